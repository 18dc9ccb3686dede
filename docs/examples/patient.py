from dataclasses import dataclass

import numpy as np

from ticketsearch import MaskProblem, Ticket


@dataclass(frozen=True)
class Patient:
    """Train while the validation score rises, then keep the largest weights.

    Attributes:
        patience: epochs without a better score before it stops.
    """

    patience: int = 2

    def search(self, problem: MaskProblem) -> Ticket:
        """Spends at most one training, with a validation after each epoch."""
        steps = problem.steps_for(1, reserve=0.1)  # the full recipe, or what the budget has of it
        best, best_score, waited = problem.initial_weights().vector, -1.0, 0
        for snapshot in problem.train(recipe=problem.recipe.lasting(steps), every="1ep"):
            score, waited = float(problem.validate(None, snapshot.weights)), waited + 1
            if score > best_score:
                best, best_score, waited = snapshot.weights.vector, score, 0
            if waited == self.patience:
                break
        worth = problem.units.reduce(np.abs(best))  # of weights to of channels, if those are what is pruned
        return Ticket(problem.space.top(worth, problem.n_kept))
