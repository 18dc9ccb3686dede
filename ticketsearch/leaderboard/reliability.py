"""What a score could know: its own noise, that of what it foretells, and the ceiling that both put on their agreement.

Scores of each mask on the same few data orders tell apart how much masks differ and how much the orders favour one or
the other (a two-way layout: what an order does to all masks alike changes no ranking, and is left out). *Reliability*
is the share of the variance that is the masks', for a mean of k orders ``var_mask / (var_mask + var_order / k)``. Two
measures of the same thing correlate by ``sqrt(rho_1 rho_2)`` at most (Spearman, Am. J. Psychol. 15, 1904); an observed
correlation divided by that is what it would be without noise, *disattenuated*. Under normality Kendall's tau is
``2/pi asin(r)`` (Kendall, Rank Correlation Methods, 1948), so a ceiling of the one is a ceiling of the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ticketsearch.arrays import ScoreArray
from ticketsearch.errors import InvalidValue


@dataclass(frozen=True)
class Components:
    """Variances of scores.

    Attributes:
        mask: between the true values of masks.
        order: between data orders of one mask, apart from what an order does to all.
        orders: k, that the scores of a mask are the mean of.
    """

    mask: float
    order: float
    orders: int

    @property
    def reliability(self) -> float:
        """Of the mean over the orders, in [0, 1]."""
        total = self.mask + self.order / self.orders
        return self.mask / total if total > 0 else 0.0

    @property
    def single(self) -> float:
        """Reliability of one order."""
        total = self.mask + self.order
        return self.mask / total if total > 0 else 0.0


def components(scores: npt.ArrayLike) -> Components:
    """Variances from scores ``(P, k)``, P masks on the same k data orders; that between masks is not below zero.

    Raises:
        InvalidValue: fewer than two masks or orders: nothing tells the two apart.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise InvalidValue(f"reliability needs at least two masks on two orders each, not {table.shape}")
    masks, orders = table.shape
    means = table.mean(1)
    rest = table - means[:, None] - table.mean(0) + table.mean()
    within = float((rest**2).sum() / ((masks - 1) * (orders - 1)))
    between = float(orders * ((means - means.mean()) ** 2).sum() / (masks - 1))
    return Components(max(0.0, (between - within) / orders), within, orders)


def tau_of(correlation: float) -> float:
    """Kendall's tau of two normal variables with this correlation."""
    return 2 / math.pi * math.asin(max(-1.0, min(1.0, correlation)))


def ceiling(confirmed: float, score: float = 1.0) -> float:
    """The highest tau that a score can have with what it foretells.

    Args:
        confirmed: reliability of what is foretold.
        score: reliability of the score; 1: any score, however good.
    """
    return tau_of(math.sqrt(confirmed * score))


def disattenuated(correlation: float, score: float, confirmed: float) -> float | None:
    """A correlation without the noise of both sides; ``None`` if one of them is nothing but noise.

    It may be above 1 by chance.
    """
    limit = math.sqrt(score * confirmed)
    return correlation / limit if limit > 0 else None


def correlation(first: Sequence[float] | ScoreArray, second: Sequence[float] | ScoreArray) -> float | None:
    """Pearson's; ``None`` where one side is constant."""
    x, y = (np.asarray(values, dtype=np.float64) - np.mean(values) for values in (first, second))
    scale = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else None


def gain_of_selection(true_correlation: float, evaluations: float) -> float:
    """How far the best of so many masks by their score lies above the mean, in standard deviations between masks.

    The breeder's equation: the expected highest of N normal scores (Blom, 1958) times the correlation of the score with
    the true value. It says which length of a score finds more for the same cost.
    """
    if evaluations < 2:
        return 0.0
    from scipy.special import ndtri  # the quantile alone, without the weight of scipy.stats

    return true_correlation * float(ndtri((evaluations - 0.375) / (evaluations + 0.25)))
