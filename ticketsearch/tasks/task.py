"""The Task value, where its data comes from, and finding one by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.utils.data import DataLoader, Dataset

from ticketsearch import plugins
from ticketsearch.applying import unwrapped
from ticketsearch.digests import Digest, digest_of, digest_of_bytes
from ticketsearch.errors import InvalidValue, PluginError, TicketsearchError, at
from ticketsearch.plugins.by_place import import_place
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import derive, fenced_globals
from ticketsearch.tasks.augmentation import Augmentation
from ticketsearch.tasks.layout import Layout, layout_of
from ticketsearch.tasks.noise import NAMES, LabelNoise, apart
from ticketsearch.tasks.options import as_json, complete_options, options_of, wants_source
from ticketsearch.tasks.probe import probe, probe_augmentation, without_addresses
from ticketsearch.tasks.reading import is_data, read_data


class Split(NamedTuple):
    """Inputs ``(N, ...)`` float32, or int64 for an embedding, and labels ``(N,)`` int64."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def read(cls, data: Dataset[Any] | DataLoader[Any]) -> Split:
        """All of a data set, or of a loader of one; random transforms are drawn once.

        Raises:
            InvalidValue: it has no length, is empty, or its examples are no pairs of a tensor and a class.
        """
        return cls(*read_data(data))


@dataclass(frozen=True)
class DataSource:
    """Where data sets lie, and whether they may be fetched.

    Attributes:
        root: folder of downloaded data sets; ``None`` = ``TICKETSEARCH_DATA``, else ``data`` in the cache.
        download: allow torchvision to download what is missing.
        cache: folder of generated data; ``None`` = ``TICKETSEARCH_CACHE``, else the user's cache folder.
    """

    root: str | os.PathLike[str] | None = None
    download: bool = False
    cache: str | os.PathLike[str] | None = None

    @property
    def cache_folder(self) -> Path:
        """Folder of generated data."""
        place = self.cache or os.environ.get("TICKETSEARCH_CACHE") or platformdirs.user_cache_dir("ticketsearch")
        return Path(place)

    @property
    def data_folder(self) -> Path:
        """Folder of downloaded data sets."""
        return Path(self.root or os.environ.get("TICKETSEARCH_DATA") or self.cache_folder / "data")


INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, eq=False)
class Task:
    """Frozen data, network, recipe and the evaluator's fidelity; classification, scored by accuracy.

    Attributes:
        name: the name in reports.
        network: makes a fresh ``torch.nn.Module``; may draw its initial weights from PyTorch's global generator,
            which the host seeds and restores around the call.
        train: ``(inputs, labels)`` to train on; or a data set or loader of PyTorch's, which is read once. Likewise:
        validation: what scores are measured on.
        test: touched by confirmation alone.
        recipe: the full training.
        fidelity: steps of the evaluator's short training.
        augment: what a training step does to its inputs; ``None`` = nothing. Validation and test are as they are.
        keep: names or patterns of layers that are left dense, in every run on this task.
        options: what :func:`load_task` made it with, defaults included, as JSON values.
        origin: ``module:function``, if :func:`load_task` made it from there.
        scaled: makes the network with all its hidden widths times a factor: the control of a dense network with as many
            weights as a ticket needs it; ``None`` = there is no such control.
    """

    name: str
    network: Callable[[], nn.Module]
    train: Split
    validation: Split
    test: Split
    recipe: Recipe
    fidelity: int
    augment: Augmentation | None = None
    keep: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: str | None = None
    scaled: Callable[[float], nn.Module] | None = None

    def __post_init__(self) -> None:
        _check_text(self.name)
        if isinstance(self.keep, str) or not all(isinstance(name, str) for name in self.keep):
            raise InvalidValue(f"{self._where} keep {self.keep!r} is not a list of names of layers")
        object.__setattr__(self, "keep", tuple(self.keep))
        for name in ("train", "validation", "test"):
            object.__setattr__(self, name, self._checked(name, getattr(self, name)))
        for name in ("validation", "test"):
            own, needed = tuple(getattr(self, name).inputs.shape[1:]), tuple(self.train.inputs.shape[1:])
            if own != needed:
                raise InvalidValue(f"{self._where} {name}: an example has shape {own}, one of train {needed}")
            if getattr(self, name).inputs.dtype != self.train.inputs.dtype:
                raise InvalidValue(f"{self._where} {name}: its inputs are integers, or train's are; give both alike")
        if int(self.train.labels.min()) == int(self.train.labels.max()):
            raise InvalidValue(
                f"{self._where} all {len(self.train.labels)} training examples are of class "
                f"{int(self.train.labels[0])}; there is nothing to learn from one class"
            )
        if self.recipe.batch_size > len(self.train.labels):
            raise InvalidValue(f"{self._where} batch_size {self.recipe.batch_size} exceeds the training split")
        if isinstance(self.fidelity, bool) or not isinstance(self.fidelity, int) or self.fidelity < 0:
            raise InvalidValue(f"{self._where} fidelity {self.fidelity!r} is not a number of steps, 0 or more")

    @property
    def _where(self) -> str:
        return f"task {self.name!r}:"

    def _checked(self, name: str, pair: Any) -> Split:
        try:
            pair = read_data(pair) if is_data(pair) else pair
            inputs, labels = (torch.as_tensor(part).detach() for part in pair)
        except InvalidValue as error:
            raise InvalidValue(f"{self._where} {name}: {error}") from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidValue(f"{self._where} {name} must be a pair (inputs, labels): {error}") from error
        if len(inputs) != len(labels) or len(labels) == 0 or labels.ndim != 1 or labels.dtype not in INTEGERS:
            raise InvalidValue(
                f"{self._where} {name} needs inputs (N, ...) and integer labels (N,), N > 0; "
                f"got {tuple(inputs.shape)} and {tuple(labels.shape)} {labels.dtype}"
            )
        if inputs.dtype in INTEGERS:  # of an embedding
            return Split(inputs.long().contiguous(), labels.long().contiguous())
        if not inputs.is_floating_point() or not bool(torch.isfinite(inputs := inputs.float()).all()):
            raise InvalidValue(
                f"{self._where} {name} inputs must be integers, or finite floating-point numbers, also in float32"
            )
        return Split(inputs.contiguous(), labels.long().contiguous())

    def check_labels(self, classes: int) -> None:
        """Refuse labels a network of so many classes cannot give.

        Raises:
            InvalidValue: a label outside ``[0, classes)``.
        """
        for name in ("train", "validation", "test"):
            labels = getattr(self, name).labels
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= classes:
                raise InvalidValue(
                    f"{self._where} {name} has labels {low} to {high}; the network has {classes} classes"
                )

    @property
    def n_classes(self) -> int:
        """Classes that the test split has."""
        return int(torch.count_nonzero(torch.bincount(self.test.labels)))

    @property
    def majority(self) -> float:
        """Test accuracy of always answering the training split's most frequent class (the first, of several)."""
        most = torch.bincount(self.train.labels).argmax()
        return float((self.test.labels == most).double().mean())

    @cached_property
    def overlap(self) -> dict[str, int]:
        """Pairs of splits -> examples of the second whose inputs are among the first's, where there are any."""
        rows = {name: _rows(getattr(self, name).inputs) for name in ("train", "validation", "test")}
        found = {}
        for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
            known = set(rows[first])
            found[f"{first} and {second}"] = sum(row in known for row in rows[second])
        return {pair: count for pair, count in found.items() if count}

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training split; what is left over is dropped, and drawn anew each epoch."""
        return len(self.train.labels) // self.recipe.batch_size

    def build(self, seed: int) -> nn.Module:
        """A fresh network whose initial weights depend on the seed alone.

        Raises:
            PluginError: the factory failed.
        """
        with fenced_globals(derive(seed, "initial weights")), redirect_stdout(sys.stderr):
            try:
                network = self.network()
            except TicketsearchError:
                raise
            except (Exception, SystemExit) as error:
                raise PluginError(f"{self._where} building the network failed: {error!r}") from error
            if not isinstance(network, nn.Module):
                raise PluginError(f"{self._where} network() returned {type(network).__name__}, not a torch.nn.Module")
            network = unwrapped(network)
            if any(isinstance(one, UninitializedParameter) for one in network.parameters()):
                self._materialise(network)
        return network

    def _materialise(self, network: nn.Module) -> None:
        """Give lazy layers their shapes, and with them their initial weights."""
        training = network.training
        try:
            with torch.no_grad():
                network.eval()(self.train.inputs[:1].clone())
        except Exception as error:  # the user's own code
            raise InvalidValue(f"{self._where} its lazy layers cannot be made from an example: {error}") from error
        network.train(training)

    @cached_property
    def layout(self) -> Layout:
        """Where each parameter of the network lies.

        Raises:
            InvalidValue: it is no network that can be trained here; says why.
        """
        batch = self.train.inputs[: self.recipe.batch_size], self.train.labels[: self.recipe.batch_size]
        layout = layout_of(self.build(seed=0), *batch, self.keep, self._where)
        self.check_labels(layout.classes)
        return layout

    @cached_property
    def fingerprint(self) -> str:
        """Digest of data, recipe, fidelity, and of what the network computes; see :mod:`ticketsearch.tasks.probe`."""
        state = Digest()
        for split in (self.train, self.validation, self.test):
            state.add(*(tensor.cpu().numpy() for tensor in split))
        state.add(self.probe(0), repr((self.recipe.identity, self.fidelity)))
        if self.augment is not None:
            state.add(without_addresses(repr(self.augment)))
        return state.text()

    def probe(self, seed: int) -> str:
        """Digest of the network at a seed: its initial weights, its outputs, its gradients, and of augmentation."""
        network = probe(partial(self.build, seed), self.train.inputs, self.train.labels)
        if self.augment is None:
            return network
        return digest_of(network, probe_augmentation(self.augment, self.train.inputs, seed))


def _rows(inputs: Tensor) -> list[str]:
    """A digest of each example."""
    rows = inputs.reshape(len(inputs), -1).numpy()
    return [digest_of_bytes(row.tobytes(), 16) for row in rows]


def _check_text(name: object) -> None:
    """Raise InvalidValue if a task's name is no text that can be seen: a file and a terminal must hold it."""
    if not isinstance(name, str) or not name:
        raise InvalidValue(f"the name of a task must be a text, not {name!r}")
    if not name.isprintable():
        raise InvalidValue(f"the name of a task must be of visible characters, which {name!r} is not")


def load_task(
    task: str | Callable[..., Task], source: DataSource | None = None, options: Mapping[str, Any] | None = None
) -> Task:
    """A registered task by name, or a user's own by ``package.module:function``, or by the function itself.

    Args:
        task: its name, or what makes it.
        source: where data sets lie; for functions with a positional parameter.
        options: values of the function's keyword parameters, which ``ticketsearch tasks show NAME`` lists; and those of
            :class:`~ticketsearch.tasks.noise.LabelNoise`, which every task has.

    Raises:
        UnknownName: no such task, or it has no such option.
        InvalidValue: a value an option cannot have.
        PluginError: it cannot be imported, or does not return a Task.
    """
    factory, name = (task_factory(task), task) if isinstance(task, str) else (task, place_of(task))
    noise_options, own = apart(options or {}, options_of(factory))
    noise = LabelNoise(**complete_options(name, LabelNoise, noise_options))
    values = complete_options(name, factory, own, also=NAMES)
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            made = factory(source or DataSource(), **values) if wants_source(factory) else factory(**values)
    except TicketsearchError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"task {name!r} failed to build{at(error)}: {type(error).__name__}: {error}") from error
    if not isinstance(made, Task):
        raise PluginError(f"task {name!r} returned {type(made).__name__}; it must return a ticketsearch.Task")
    origin = name if name not in _registered() and ":" in name else None
    if noise.label_noise:
        made = replace(made, train=Split(made.train.inputs, noise.of(made.train.labels)))
    said = values | noise.options
    if not said and origin is None:
        return made
    return replace(made, options=as_json(name, said) if said else made.options, origin=origin)


def place_of(factory: Callable[..., object]) -> str:
    """``package.module:function``, where it can be imported from there; else its name."""
    module, name = getattr(factory, "__module__", "__main__"), getattr(factory, "__qualname__", repr(factory))
    return name if module == "__main__" or not name.isidentifier() else f"{module}:{name}"


def _registered() -> set[str]:
    """Names that lead to a registered task and have a colon: ``distribution:task``."""
    return {f"{plugin.distribution}:{plugin.name}" for plugin in plugins.available(plugins.TASKS)}


def keeping(task: Task, keep: Sequence[str] | str) -> Task:
    """The same task with more layers left dense.

    Args:
        task: may have some already.
        keep: names or patterns of layers; a text is one of them.

    Raises:
        InvalidValue: something else than a list of texts.
    """
    names = [keep] if isinstance(keep, str) else keep
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise InvalidValue(f"keep {keep!r} is not a list of names of layers, or patterns like 'head.*'")
    both = tuple(sorted({*task.keep, *names}))
    return task if both == task.keep else replace(task, keep=both)


def task_factory(name: str) -> Callable[..., object]:
    """What makes the task of that name.

    Raises:
        UnknownName: no such task.
        PluginError: it cannot be imported.
    """
    if (":" in name or name.endswith(".py") or os.sep in name) and name not in _registered():
        return import_place("task", name)
    factory: Callable[..., object] = plugins.load(plugins.TASKS, name)
    return factory
