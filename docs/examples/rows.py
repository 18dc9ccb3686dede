from dataclasses import dataclass

import numpy as np

from ticketsearch import MaskProblem
from ticketsearch.masks.encodings import Encoding, ScoreEncoding


@dataclass(frozen=True)
class Rows:
    """One number for each output of each layer: how much of its row is kept."""

    alpha: float = 0.7

    def build(self, problem: MaskProblem) -> Encoding:
        return RowEncoding(problem, self.alpha)


class RowEncoding(ScoreEncoding):
    def __init__(self, problem: MaskProblem, alpha: float) -> None:
        self.layers = problem.units.weights.layers
        super().__init__(problem, sum(layer.shape[0] for layer in self.layers))
        self.units = problem.units
        self.sizes = alpha * np.log(np.abs(problem.initial_weights().vector) + 1e-12)

    def scores(self, genome: np.ndarray) -> np.ndarray:
        rows = [np.full(layer.shape[0], layer.size // layer.shape[0]) for layer in self.layers]
        return self.units.reduce(self.sizes + np.repeat(genome, np.concatenate(rows)))
