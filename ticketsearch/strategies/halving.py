"""Successive halving: score many masks briefly, the better ones longer, the best longest.

Source: Jamieson & Talwalkar (arXiv:1502.07943), algorithm 1, in the form Hyperband uses it: each level keeps one in
``reduction`` masks and trains it ``reduction`` times as long, so every level costs about the same. Every training is
metered as it is run; a longer one starts anew, because its learning-rate schedule is another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import InvalidValue
from ticketsearch.problem import MaskProblem
from ticketsearch.problem.scores import Score


def fidelities(problem: MaskProblem, levels: int, reduction: int = 3) -> list[int]:
    """Steps of each level, shortest first: the problem's fidelity, times ``reduction`` from level to level.

    None is longer than the full recipe; levels that would be are left out.
    """
    if levels < 1 or reduction < 2:
        raise InvalidValue(f"levels {levels} must be at least 1 and reduction {reduction} at least 2")
    steps = [problem.fidelity * reduction**level for level in range(levels)]
    return [step for step in steps if step <= problem.recipe.steps] or [problem.fidelity]


def successive_halving(
    problem: MaskProblem,
    masks: BoolArray | Sequence[BoolArray],
    *,
    levels: int = 3,
    reduction: int = 3,
) -> list[tuple[BoolArray, Score]]:
    """Score ``(P, D)`` masks in levels of growing fidelity, keeping one in ``reduction`` at each.

    Args:
        problem: pays.
        masks: candidates.
        levels: how many fidelities; see :func:`fidelities`.
        reduction: how many fewer masks, and how much longer a training, from level to level.

    Returns:
        The masks of the last level with their scores there, best first.

    Raises:
        BudgetExhausted: within a level; what was scored is recorded, and the host has the incumbent.
    """
    population = np.asarray(masks)
    scores: list[Score] = []
    for level, steps in enumerate(fidelities(problem, levels, reduction)):
        if level:
            population = population[: max(1, len(population) // reduction)]
        scores = problem.evaluate(population, fidelity=steps)
        order = sorted(range(len(population)), key=lambda row: (scores[row], -row), reverse=True)
        population, scores = population[order], [scores[row] for row in order]
    return list(zip(population, scores, strict=True))
