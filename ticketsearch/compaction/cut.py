"""``compact``: a smaller module that computes the same, and what became of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.compaction.analysis import Analysis
from ticketsearch.compaction.counting import flops_of, parameters_of
from ticketsearch.compaction.surgery import Cut, cut, dissolve
from ticketsearch.compaction.tracing import Traced, copy_of, trace
from ticketsearch.errors import InvalidValue
from ticketsearch.seeds import stream

Masks = Mapping[str, "npt.NDArray[np.bool_] | Tensor"]
TOLERANCE = 1e-4
"""Of the outputs' largest difference, relative to the largest output: more, and nothing is cut."""


@dataclass(frozen=True)
class CutLayer:
    """What became of a layer: the channels or neurons it reads and writes, before and after."""

    name: str
    kind: str
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Compaction:
    """A module without its dead channels.

    Attributes:
        module: in the mode of the original, on its device; a ``torch.fx.GraphModule``, or a copy if it has no graph.
        layers: in the order they are called.
        notes: what was not cut, or not understood, and why.
        parameters: numbers in the parameters, before and after.
        flops: of one example forward, before and after, by ``torch.utils.flop_counter``.
        difference: largest absolute difference between the outputs of the masked network and the module.
        index: name in the module's state -> kept indices of each leading dimension that was cut.
        folded: layers whose biases took constants in: the module's weights are then no selection of the network's.
        zeros: parameter name -> where the masks are False.
    """

    module: nn.Module
    layers: tuple[CutLayer, ...]
    notes: tuple[str, ...]
    parameters: tuple[int, int]
    flops: tuple[int, int]
    difference: float
    index: dict[str, tuple[IntArray, ...]] = field(default_factory=dict)
    folded: tuple[str, ...] = ()
    zeros: dict[str, BoolArray] = field(default_factory=dict)

    def gather(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From a state dict of the whole network to one of the module."""
        result = {}
        for name, own in self.module.state_dict().items():
            found = self._of(state, name).detach()
            for dimension, kept in enumerate(self.index.get(name, ())):
                found = found.index_select(dimension, torch.from_numpy(kept).to(found.device))
            if found.shape != own.shape:
                raise InvalidValue(
                    f"{name!r} has shape {tuple(found.shape)} once cut; the module's is {tuple(own.shape)}"
                )
            result[name] = found.clone()
        return result

    def scatter(self, state: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From a state dict of the module to one of the whole network.

        Args:
            state: the module's, after training it say.
            into: the whole network's, whose values stay where the module has none and no mask says zero.

        Raises:
            InvalidValue: constants were folded into biases (``training=True`` folds none), or a name is missing.
        """
        if self.folded:
            raise InvalidValue(
                f"{', '.join(self.folded)} took constants into the bias, so weights do not fit back; "
                "compact with training=True"
            )
        result = {name: tensor.detach().clone() for name, tensor in into.items()}
        for name, zero in self.zeros.items():
            self._of(result, name)[torch.from_numpy(zero)] = 0
        for name, own in state.items():
            whole, sides = self._of(result, name), self.index.get(name, ())
            if not sides:
                whole.copy_(own.detach())
                continue
            grid = np.ix_(*sides)
            whole[tuple(torch.from_numpy(side).to(whole.device) for side in grid)] = own.detach().to(whole)
        return result

    def report(self) -> str:
        """For people: what became of each layer, and what was kept and why."""
        lines = [
            f"parameters {self.parameters[0]} -> {self.parameters[1]}, FLOPs {self.flops[0]} -> {self.flops[1]}, "
            f"outputs differ by {self.difference:.1e}"
        ]
        for layer in self.layers:
            line = f"{layer.name}: {layer.kind} {_arrow(layer.inputs)} -> {_arrow(layer.outputs)}"
            lines.append(line + (f"; {layer.note}" if layer.note else ""))
        return "\n".join([*lines, *self.notes])

    @staticmethod
    def _of(state: Mapping[str, Tensor], name: str) -> Tensor:
        if name not in state:
            raise InvalidValue(f"the state has no {name!r}")
        return state[name]


def compact(module: nn.Module, masks: Masks | None = None, *, example: Tensor, training: bool = False) -> Compaction:
    """Remove the channels and neurons of a network that its masks, or its zeros, leave dead.

    In evaluation the module computes what the masked network does. With ``training`` it also trains as the masked
    network does: then only what ``masks`` holds at zero counts as zero, whatever a value is now; give masks of biases
    and normalisation parameters too (:func:`follow_masks` adds them). Dropout draws other numbers where there are
    fewer channels.

    Args:
        module: left as it is.
        masks: parameter name -> boolean array of its shape, False = zero. Other zeros are found in the weights.
        example: an input with its batch dimension; its shape decides FLOPs, never its values.
        training: whether the module is to be trained on.

    Raises:
        InvalidValue: a mask fits no parameter, or the network cannot process the example.
    """
    whole = copy_of(module)
    zeros = _masked(whole, masks or {})
    device, modes = example.device, {name: part.training for name, part in whole.named_modules()}
    whole, example = whole.cpu().eval(), example.detach().cpu()
    reference = _output(whole, example)
    try:
        traced = trace(copy_of(whole), example)
    except Exception as error:  # whatever a user's forward does under symbolic tracing
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return _uncut(whole, example, f"nothing was cut: the network cannot be traced ({reason})", device, modes, zeros)
    if training and traced.modal:
        return _uncut(
            whole, example, "nothing was cut: in training the network does something else", device, modes, zeros
        )
    analysis = Analysis(traced, zeros, training).run()
    gone = []
    while found := analysis.zero_branch():
        gone.append(found[0].name)
        dissolve(traced, *found)
        analysis = Analysis(traced, zeros, training).run()
    before = dict(whole.named_modules())
    made = cut(analysis)
    constant = {str(mixer.node.target): _stuck(analysis, mixer.node, made) for mixer in analysis.mixers}
    result = fx.GraphModule(traced.module, traced.graph, class_name=type(module).__name__)
    difference = _difference(reference, whole, result, example)
    if difference is None:
        return _uncut(whole, example, "nothing was cut: the cut network would differ", device, modes, zeros)
    notes = [f"{name}: this sum's other operand is zero, and what computed it is gone" for name in gone]
    notes += analysis.notes
    if traced.modal:
        notes.append("in training the network does something else: this one is for evaluation only")
    layers = tuple(_layer(name, before[name], made, constant.get(name, 0)) for name in _called(traced, made))
    sizes = parameters_of(whole), parameters_of(result)
    flops = flops_of(whole, example), flops_of(result, example)
    _restore(result, device, modes)
    return Compaction(result, layers, tuple(notes), sizes, flops, difference, made.index, tuple(made.folded), zeros)


def follow_masks(module: nn.Module, masks: Masks, *, example: Tensor) -> dict[str, BoolArray]:
    """Masks of weights, and of the biases and batch normalisations of those outputs that have no weight left.

    A channel whose weights are all pruned still has a bias, a scale and a shift. Held at zero as well, it is gone.

    Args:
        module: the network.
        masks: parameter name -> boolean array.
        example: an input with its batch dimension.

    Raises:
        InvalidValue: a mask fits no parameter, or the network cannot be traced.
    """
    whole = copy_of(module).cpu()
    _masked(whole, masks)
    result = {name: _boolean(mask) for name, mask in masks.items()}
    try:
        traced = trace(whole, example.detach().cpu())
    except Exception as error:  # as above
        raise InvalidValue(f"the network cannot be traced ({error}); give masks of all its parameters") from error
    for node in traced.graph.nodes:
        weight = f"{node.target}.weight"
        if node.op != "call_module" or weight not in result:
            continue
        left = result[weight].reshape(len(result[weight]), -1).any(1)
        readers = [user for user in node.users if user.op == "call_module"]
        normalised = [
            str(user.target) for user in readers
            if isinstance(traced.module.get_submodule(str(user.target)), nn.modules.batchnorm._BatchNorm)
        ]  # fmt: skip
        names = [f"{node.target}.bias", *(f"{one}.{key}" for one in normalised for key in ("weight", "bias"))]
        known = dict(traced.module.named_parameters())
        for name in names:
            if name in known:
                result[name] = result.get(name, np.ones(left.size, dtype=bool)) & left
    return result


def _boolean(mask: npt.NDArray[np.bool_] | Tensor) -> BoolArray:
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    return np.asarray(array, dtype=bool)


def _masked(module: nn.Module, masks: Masks) -> dict[str, BoolArray]:
    """Put the zeros of the masks into a module; parameter name -> where they are."""
    known, zeros = dict(module.named_parameters()), {}
    for name, mask in masks.items():
        keep = _boolean(mask)
        if name not in known or tuple(known[name].shape) != keep.shape:
            found = tuple(known[name].shape) if name in known else "nothing of that name"
            raise InvalidValue(f"the mask {name!r} has shape {keep.shape}, the module has {found}")
        zeros[name] = ~keep
        with torch.no_grad():
            known[name].mul_(torch.from_numpy(keep).to(known[name].device))
    return zeros


def _output(module: nn.Module, example: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            output: Any = module(example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InvalidValue(f"the network cannot process an input of shape {tuple(example.shape)}: {error}") from error
    if not isinstance(output, Tensor):
        raise InvalidValue(f"the network returns {type(output).__name__}; one that returns a tensor can be compacted")
    return output


def _difference(reference: Tensor, whole: nn.Module, result: nn.Module, example: Tensor) -> float | None:
    """Largest difference on the example and on random input; ``None`` beyond what rounding explains."""
    noise = torch.from_numpy(stream(0, "compact").normal(size=tuple(example.shape))).to(example)
    worst = 0.0
    for wanted, given in ((reference, example), (_output(whole, noise), noise)):
        try:
            found = _output(result, given)
        except InvalidValue:
            return None
        if wanted.shape != found.shape or not wanted.numel():
            return None
        difference = float((wanted - found).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(wanted.abs().max())):
            return None
        worst = max(worst, difference)
    return worst


def _uncut(
    whole: nn.Module, example: Tensor, note: str, device: torch.device, modes: dict[str, bool],
    zeros: dict[str, BoolArray],
) -> Compaction:  # fmt: skip
    size, flops = parameters_of(whole), flops_of(whole, example)
    _restore(whole, device, modes)
    return Compaction(whole, (), (note,), (size, size), (flops, flops), 0.0, zeros=zeros)


def _restore(module: nn.Module, device: torch.device, modes: dict[str, bool]) -> None:
    module.to(device)
    for name, part in module.named_modules():
        part.training = modes.get(name, modes[""])


def _called(traced: Traced, made: Cut) -> list[str]:
    """Names of the layers that were cut, each once, in the order they are called."""
    return list(dict.fromkeys(str(node.target) for node in traced.graph.nodes if node.target in made.outputs))


def _stuck(analysis: Analysis, node: fx.Node, made: Cut) -> int:
    """Outputs of a layer that are constant and stay."""
    return int(np.isfinite(analysis.values[node].constants[made.outputs[str(node.target)]]).sum())


def _layer(name: str, before: nn.Module, made: Cut, stuck: int) -> CutLayer:
    widths: Any = before
    if isinstance(before, nn.Linear):
        inputs, outputs = widths.in_features, widths.out_features
    elif isinstance(before, nn.modules.conv._ConvNd):
        inputs, outputs = widths.in_channels, widths.out_channels
    else:
        inputs = outputs = widths.num_features
    words = []
    if stuck:
        words.append(f"{stuck} constant outputs stay: others share their channel, or what reads them cannot fold them")
    if name in made.widened:
        words.append(f"its zeros are left out of a stream of {made.widened[name]}")
    if name in made.folded:
        words.append("constants folded into its bias")
    after = len(made.inputs[name]), len(made.outputs[name])
    return CutLayer(name, type(before).__name__, (inputs, after[0]), (outputs, after[1]), "; ".join(words))


def _arrow(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[1]} (of {pair[0]})"
