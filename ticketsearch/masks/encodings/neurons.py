"""``neurons`` and ``degrees``: how many weights each neuron keeps, and not which.

Of an IMP ticket's accuracy over its initial weights much survives if only each neuron's number of incoming and outgoing
weights is kept and the edges are drawn anew, and more if large initial weights are preferred. So one number for each
neuron, against one for each weight, is a space in which a search without gradients can see (``benchmarks/README.md``
has the figures; ``ticketsearch encode`` measures it for any ticket).

Linear layers and convolutions alike: the channels of a convolution are its neurons, and all positions of a kernel share
their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ticketsearch.arrays import BoolArray, FloatArray, IntArray, ScoreArray
from ticketsearch.errors import InvalidValue
from ticketsearch.masks.encodings.base import EncodedProblem, Encoding, Genome, ScoreEncoding
from ticketsearch.masks.space import MaskSpace
from ticketsearch.masks.ticket import Weights

Alpha = Annotated[float, Field(ge=-100, le=100)] | Literal["gene"]
GENE_START, GENE_SPREAD = 0.7, 0.35
"""Mean and standard deviation of ``alpha`` where it is a gene."""
SHRINKAGE = 1e-3
"""Of fitted numbers: a neuron that keeps nothing has none that is likeliest."""


@dataclass(frozen=True)
class Neurons:
    """One number for each neuron: the score of weight ij is ``u_i + u_j + b_layer + alpha log(|w_ij| / sd_layer)``.

    A neuron's number counts for what comes in and for what goes out. Inputs and outputs of the network are neurons. The
    inputs of a layer are the outputs of the one before it where their numbers agree, or divide (flattened channels);
    else they are neurons of their own.

    Attributes:
        alpha: how much large initial weights are preferred; ``gene``: searched as well, as one more number.
    """

    alpha: Alpha = GENE_START

    def build(self, problem: EncodedProblem) -> Encoding:
        """Costs nothing."""
        return EdgeSums(problem, shared_neurons(problem.units.weights), self.alpha)


@dataclass(frozen=True)
class Degrees:
    """Two numbers for each neuron, fan-in and fan-out apart: ``r_i + c_j + b_layer + alpha log(|w_ij| / sd_layer)``.

    Attributes:
        alpha: how much large initial weights are preferred; ``gene``: searched as well, as one more number.
    """

    alpha: Alpha = GENE_START

    def build(self, problem: EncodedProblem) -> Encoding:
        """Costs nothing."""
        return EdgeSums(problem, separate_neurons(problem.units.weights), self.alpha)


@dataclass(frozen=True, eq=False)
class Ends:
    """The two neurons of each weight of a layer: places of their numbers in a genome.

    Attributes:
        outputs: ``(O,)``.
        inputs: ``(I,)``.
    """

    outputs: IntArray
    inputs: IntArray


def shared_neurons(space: MaskSpace) -> list[Ends]:
    """Layer by layer, a neuron being the same as an output of one and as an input of the next."""
    ends: list[Ends] = []
    count, before = 0, np.zeros(0, dtype=np.int64)
    for layer in space.layers:
        outputs, inputs = matrix_shape(layer.shape)
        if before.size and inputs % before.size == 0:
            sources = np.repeat(before, inputs // before.size)
        else:
            sources = count + np.arange(inputs)
            count += inputs
        before = count + np.arange(outputs)
        count += outputs
        ends.append(Ends(before, sources))
    return ends


def separate_neurons(space: MaskSpace) -> list[Ends]:
    """Layer by layer, each end with a number of its own."""
    ends, count = [], 0
    for layer in space.layers:
        outputs, inputs = matrix_shape(layer.shape)
        ends.append(Ends(count + np.arange(outputs), count + outputs + np.arange(inputs)))
        count += outputs + inputs
    return ends


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Outputs and inputs of a layer's weights; a vector has one input."""
    return shape[0], shape[1] if len(shape) > 1 else 1


class EdgeSums(ScoreEncoding):
    """A weight's score is the sum of the numbers of its two ends, its layer's, and of its own size."""

    step: ClassVar[float] = 0.3

    def __init__(self, problem: EncodedProblem, ends: list[Ends], alpha: float | Literal["gene"]) -> None:
        self._units, self._ends, self._alpha = problem.units, ends, alpha
        self.neurons = 1 + max(int(max(one.outputs.max(), one.inputs.max())) for one in ends)
        layers = self._units.weights.layers
        super().__init__(problem, self.neurons + len(layers) + (alpha == "gene"))
        self._sizes = log_sizes(problem.initial_weights(), self._units.weights)  # (D,)
        if alpha != "gene":
            self._sizes *= np.float32(alpha)
        self._scores: FloatArray = np.empty(self._units.weights.size, dtype=np.float32)

    def scores(self, genome: Genome) -> npt.NDArray[np.floating]:
        """``(U,)``; see the module."""
        numbers = genome.astype(np.float32)
        alpha = np.float32(GENE_START + GENE_SPREAD * numbers[-1]) if self._alpha == "gene" else None
        for index, (layer, ends) in enumerate(zip(self._units.weights.layers, self._ends, strict=True)):
            outputs, inputs = matrix_shape(layer.shape)
            shape = (outputs, inputs, -1)  # a kernel's positions last
            own, sizes = self._scores[layer.span].reshape(shape), self._sizes[layer.span].reshape(shape)
            sums = (numbers[ends.outputs] + numbers[self.neurons + index])[:, None] + numbers[ends.inputs]
            np.add(sums[..., None], sizes if alpha is None else alpha * sizes, out=own)
        return self._units.reduce(self._scores)

    def fit(self, mask: BoolArray) -> ScoreArray:
        """The most likely numbers, if weights were kept independently with probability ``sigmoid(score)``.

        That is a logistic regression. Its expected degrees are the mask's own, but for a little shrinkage.
        """
        from scipy.optimize import minimize  # here: every search has encodings, and few fit one
        from scipy.special import expit

        if self._units.of_weight is not None:
            raise InvalidValue(f"masks of {self._units.granularity} are not fitted by neurons; fit masks of weights")
        kept = mask.astype(np.float64)

        def loss(genome: ScoreArray) -> tuple[float, ScoreArray]:
            scores = self.scores(genome).astype(np.float64)
            likelihood = float((np.logaddexp(0, scores) - kept * scores).sum())
            residual = expit(scores) - kept  # (D,)
            return likelihood + SHRINKAGE / 2 * float(genome @ genome), self._pulled(residual) + SHRINKAGE * genome

        begin = np.zeros(self.dimensions)
        begin[self.neurons : self.neurons + len(self._ends)] = -4.0  # few are kept
        found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 500})
        return np.asarray(found.x)

    def _pulled(self, values: ScoreArray) -> ScoreArray:
        """Values of weights ``(D,)`` summed where each number of a genome counts."""
        pulled = np.zeros(self.dimensions)
        for index, (layer, ends) in enumerate(zip(self._units.weights.layers, self._ends, strict=True)):
            outputs, inputs = matrix_shape(layer.shape)
            own = values[layer.span].reshape(outputs, inputs, -1).sum(2)
            np.add.at(pulled, ends.outputs, own.sum(1))
            np.add.at(pulled, ends.inputs, own.sum(0))
            pulled[self.neurons + index] = own.sum()
        if self._alpha == "gene":
            pulled[-1] = GENE_SPREAD * float(values @ self._sizes)
        return pulled


def log_sizes(initial: Weights, space: MaskSpace) -> FloatArray:
    """``log(|w| / sd of the layer)`` of initial weights, ``(D,)``; a layer that begins at zero has 0 throughout."""
    logs: FloatArray = np.zeros(space.size, dtype=np.float32)
    for layer in space.layers:
        sizes = np.abs(initial.vector[layer.span].astype(np.float64))
        spread = float(initial.vector[layer.span].astype(np.float64).std()) or float(sizes.mean())
        if spread > 0:
            logs[layer.span] = np.log(np.maximum(sizes / spread, 1e-12))
    return logs
