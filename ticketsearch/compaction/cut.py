"""``compact``: a smaller module that computes the same, and what became of each layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from ticketsearch.applying import state_like, unwrapped
from ticketsearch.applying.names import aliases
from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.compaction.analysis import Analysis
from ticketsearch.compaction.checking import difference, output_of
from ticketsearch.compaction.counting import flops_of, parameters_of
from ticketsearch.compaction.operations import CONVOLUTIONS
from ticketsearch.compaction.surgery import Cut, cut, dissolve
from ticketsearch.compaction.tracing import Traced, copy_of, trace
from ticketsearch.errors import InvalidValue

Masks = Mapping[str, "npt.NDArray[np.bool_] | Tensor"]


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
        result = state_like(self.module, {})
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
        result = OrderedDict((name, tensor.detach().clone()) for name, tensor in into.items())
        result._metadata = getattr(into, "_metadata", {})  # type: ignore[attr-defined]
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
        module: left as it is. Inside ``DataParallel`` or ``torch.compile``, it is the network inside that is cut.
        masks: parameter name -> boolean array of its shape, False = zero. Other zeros are found in the weights.
        example: an input with its batch dimension; its shape decides FLOPs, never its values.
        training: whether the module is to be trained on.

    Raises:
        InvalidValue: a mask fits no parameter, or the network cannot process the example.
    """
    whole = _copied(unwrapped(module))
    zeros = _masked(whole, masks or {})
    device, modes = example.device, {name: part.training for name, part in whole.named_modules()}
    whole, example = whole.cpu().eval(), example.detach().cpu()
    output_of(whole, example)
    try:
        traced = trace(copy_of(whole), example)
    except Exception as error:  # whatever a user's forward does under symbolic tracing
        note = f"nothing was cut: the network cannot be traced ({_reason(error)})"
    else:
        note = "nothing was cut: in training the network does something else"
        if not training or not traced.modal:
            try:
                made = _cut(whole, traced, zeros, training, example)
            except Exception as error:  # the analysis of a graph like no other; nothing of the whole network is touched
                note = f"nothing was cut: its graph is not understood ({_reason(error)})"
            else:
                note = "nothing was cut: the cut network would differ"
                if made is not None:
                    _restore(made.module, device, modes)
                    return made
    size, flops = parameters_of(whole), flops_of(whole, example)
    _restore(whole, device, modes)
    return Compaction(whole, (), (note,), (size, size), (flops, flops), 0.0, zeros=zeros)


def _cut(
    whole: nn.Module, traced: Traced, zeros: dict[str, BoolArray], training: bool, example: Tensor
) -> Compaction | None:
    """The network cut; ``None`` if it would differ."""
    analysis = Analysis(traced, zeros, training).run()
    gone = []
    while found := analysis.zero_branch():
        gone.append(found[0].name)
        dissolve(traced, *found)
        analysis = Analysis(traced, zeros, training).run()
    before = dict(whole.named_modules())
    made = cut(analysis)
    constant = {str(mixer.node.target): _stuck(analysis, mixer.node, made) for mixer in analysis.mixers}
    result = fx.GraphModule(traced.module, traced.graph, class_name=type(whole).__name__)
    apart = difference(whole, result, example)
    if apart is None:
        return None
    notes = [f"{name}: this sum's other operand is zero, and what computed it is gone" for name in gone]
    notes += analysis.notes
    if traced.modal:
        notes.append("in training the network does something else: this one is for evaluation only")
    layers = tuple(_layer(name, before[name], made, constant.get(name, 0)) for name in _called(traced, made))
    sizes = parameters_of(whole), parameters_of(result)
    flops = flops_of(whole, example), flops_of(result, example)
    return Compaction(result, layers, tuple(notes), sizes, flops, apart, made.index, tuple(made.folded), zeros)


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
    whole = _copied(unwrapped(module)).cpu()
    _masked(whole, masks)
    result = {name: _boolean(mask) for name, mask in masks.items()}
    try:
        traced = trace(whole, example.detach().cpu())
    except Exception as error:  # as above
        raise InvalidValue(
            f"the network cannot be traced ({_reason(error)}); give masks of all its parameters"
        ) from error
    for node in traced.graph.nodes:
        weight = f"{node.target}.weight"
        if node.op != "call_module" or weight not in result:
            continue
        if not isinstance(traced.module.get_submodule(str(node.target)), (nn.Linear, *CONVOLUTIONS)):
            continue  # the first axis of its weight is none of outputs
        left = result[weight].reshape(len(result[weight]), -1).any(1)
        readers = [user for user in node.users if user.op == "call_module"]
        normalised = [
            str(user.target)
            for user in readers
            if isinstance(traced.module.get_submodule(str(user.target)), nn.modules.batchnorm._BatchNorm)
        ]
        names = [f"{node.target}.bias", *(f"{one}.{key}" for one in normalised for key in ("weight", "bias"))]
        known = dict(traced.module.named_parameters())
        for name in names:
            if name in known:
                result[name] = result.get(name, np.ones(left.size, dtype=bool)) & left
    return result


def _boolean(mask: npt.NDArray[np.bool_] | Tensor) -> BoolArray:
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    return np.asarray(array, dtype=bool)


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy_of(module)
    except Exception as error:  # whatever a user's module holds
        raise InvalidValue(f"the network cannot be copied ({_reason(error)}), so it cannot be cut") from error


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _masked(module: nn.Module, masks: Masks) -> dict[str, BoolArray]:
    """Put the zeros of the masks into a module; where they are, by the first name of each parameter."""
    known = {name: (names[0], parameter) for parameter, names in aliases(module) for name in names}
    zeros: dict[str, BoolArray] = {}
    for name, mask in masks.items():
        keep = _boolean(mask)
        if name not in known or tuple(known[name][1].shape) != keep.shape:
            found = tuple(known[name][1].shape) if name in known else "nothing of that name"
            raise InvalidValue(f"the mask {name!r} has shape {keep.shape}, the module has {found}")
        first, parameter = known[name]
        zeros[first] = zeros.get(first, False) | ~keep
        with torch.no_grad():
            parameter.masked_fill_(torch.from_numpy(~keep).to(parameter.device), 0)
    return zeros


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
