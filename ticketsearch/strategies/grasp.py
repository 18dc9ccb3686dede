"""GraSP: prune at initialisation so that the gradient flow is preserved.

Source: Wang, Zhang & Grosse (arXiv:2002.07376), eq. 8 and algorithm 1: ``S = -w * (H g)``, logits divided by 200; the
weights of the highest S are removed, those of the lowest kept. H g is one double backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ticketsearch.masks.ticket import Ticket
from ticketsearch.problem import KnownProblem, MaskProblem


@dataclass(frozen=True)
class Grasp:
    """Keep the weights whose removal would lower the gradient norm most.

    Attributes:
        examples: training examples of the gradients; fewer if there are not as many.
        temperature: the logits' divisor.
        balanced: as many examples of each class, as published (ten of each there).
    """

    examples: Annotated[int, Field(ge=1)] = 1000
    temperature: Annotated[float, Field(gt=0)] = 200.0
    balanced: bool = True

    def trainings(self, problem: KnownProblem) -> float:
        """A Hessian-gradient product's part of one."""
        return 2 * min(self.examples, problem.train_size) / (problem.recipe.steps * problem.recipe.batch_size)

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends one Hessian-gradient product, twice the price of a gradient."""
        examples = min(self.examples, problem.train_size)
        flow = problem.hessian_gradient(None, examples, temperature=self.temperature, balanced=self.balanced)
        scores = problem.units.reduce(problem.initial_weights().vector * flow)
        return Ticket(problem.space.top(scores, problem.n_kept), scores=scores)
