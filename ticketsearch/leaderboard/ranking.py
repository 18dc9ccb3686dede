"""How well short scores rank masks, beside what any score could know, and which one a search should be given."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ticketsearch.leaderboard.fidelity import tau
from ticketsearch.leaderboard.reliability import (
    Components,
    ceiling,
    components,
    correlation,
    disattenuated,
    gain_of_selection,
)
from ticketsearch.leaderboard.statistics import Summary
from ticketsearch.records.study_records import RankingRecord


@dataclass(frozen=True)
class ScoreQuality:
    """How good one score of one length is.

    Attributes:
        steps: of the short training.
        score: what of it is scored.
        epochs: what one evaluation costs.
        reliability: of one evaluation: the share of the variance that is the masks'.
        tau: Kendall's tau of one evaluation with the confirmed accuracy, with its interval over masks.
        ceiling: of tau, for any score.
        own_ceiling: of tau, for a score as noisy as this one that measures the right thing.
        disattenuated: correlation with the confirmed accuracy without the noise of both.
        gain: of the best of as many masks as the budget pays for, in standard deviations between masks.
    """

    steps: int
    score: str
    epochs: float
    reliability: float
    tau: Summary | None
    ceiling: float
    own_ceiling: float
    disattenuated: float | None
    gain: float


@dataclass(frozen=True)
class Ranking:
    """What is known of short scores on a task.

    Attributes:
        masks: how many.
        mean: confirmed test accuracy.
        confirmed: variances of the full trainings.
        budget: of the gains, in epochs.
        scores: each length and kind.
    """

    masks: int
    mean: float
    confirmed: Components
    budget: float
    scores: list[ScoreQuality]

    @classmethod
    def of(cls, record: RankingRecord, budget: float) -> Ranking:
        """From what was measured, for a search with so many epochs."""
        accuracies = np.array(record.test_accuracies)  # (P, confirmations)
        truth, confirmed = accuracies.mean(1), components(accuracies)
        rho, qualities = confirmed.reliability, []
        for steps, kinds in sorted(record.scores.items()):
            epochs = record.evaluation_epochs[steps]
            for score, values in kinds.items():
                table = np.array(values)  # (P, orders)
                if not np.isfinite(table).all():  # some diverged: there is no variance to speak of
                    continue
                own = components(table)
                observed = [value for column in table.T if (value := correlation(column, truth)) is not None]
                mean = float(np.mean(observed)) if observed else 0.0
                qualities.append(
                    ScoreQuality(
                        steps=steps,
                        score=score,
                        epochs=epochs,
                        reliability=own.single,
                        tau=tau(table[:, 0].tolist(), truth.tolist()),
                        ceiling=ceiling(rho),
                        own_ceiling=ceiling(rho, own.single),
                        disattenuated=disattenuated(mean, own.single, rho),
                        gain=gain_of_selection(mean / rho**0.5, budget / epochs) if rho > 0 else 0.0,
                    )
                )
        return cls(len(truth), float(truth.mean()), confirmed, budget, qualities)

    @property
    def best(self) -> ScoreQuality | None:
        """The score that finds most for the budget; ``None`` where masks do not differ, or none was measured."""
        useful = [one for one in self.scores if one.gain > 0]
        return max(useful, key=lambda one: one.gain) if useful else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        best = self.best
        return {
            **asdict(self),
            "confirmed_reliability": self.confirmed.reliability,
            "recommended": None if best is None else {"fidelity": f"{best.steps}step", "score": best.score},
        }
