"""A ledger being written or replayed: the session's place in the record.

While the ledger still holds trials that this session has not reached, each question must be the one
recorded there; once past its end, trials are appended. The strategy cannot tell the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from ticketsearch.cost import Cost
from ticketsearch.errors import CorruptRun
from ticketsearch.problem.scores import Score
from ticketsearch.records.ledger import Kind, Ledger, Question, Trial


class Replay:
    """The trials of this session, from the first, replayed ones included."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.length = 0

    @property
    def replaying(self) -> bool:
        """Whether the next trial is on record."""
        return self.length < len(self.ledger)

    @property
    def recorded(self) -> int:
        """Trials on record that are still to be replayed."""
        return len(self.ledger) - self.length

    @property
    def ended(self) -> bool:
        """Whether the record says that the search ended here, before its budget."""
        return not self.replaying and self.ledger.ended is not None

    def end(self, reason: str, spent: Cost) -> None:
        """Record that it ends here, unless that is recorded."""
        if self.ledger.ended is None:
            self.ledger.end(reason, spent)

    def next(self, question: Question, after: Cost) -> Trial:
        """The next recorded trial, which must answer this question, at this price.

        Args:
            question: what is asked.
            after: what the search has spent with it.

        Raises:
            CorruptRun: it answers another one, or cost something else.
        """
        if not self.replaying:
            raise CorruptRun(f"the ledger ends within a batch, before trial {self.length}")
        trial = self.ledger[self.length]
        if trial.question != question:
            raise CorruptRun(
                f"trial {self.length} was {trial.question} when first run and is {question} now: the strategy or a "
                "library changed, or it draws random numbers outside problem.rng; move the folder away to start anew"
            )
        if (trial.after - after).counts() != Cost():
            raise CorruptRun(
                f"trial {self.length} cost something else when first run than it does now: its record was changed, or "
                "the code; move the folder away to start anew"
            )
        self.length += 1
        return trial

    def record(self, questions: Sequence[Question], scores: Sequence[Score | None], costs: Sequence[Cost]) -> None:
        """Append trials, all or none; ``costs`` are the run's costs before the first and after each one."""
        trials = [
            _trial(self.length + index, question, score, costs[index], costs[index + 1])
            for index, (question, score) in enumerate(zip(questions, scores, strict=True))
        ]
        self.ledger.append(trials)
        self.length += len(trials)


def _trial(number: int, question: Question, score: Score | None, before: Cost, after: Cost) -> Trial:
    kind: Kind
    kind, mask, fidelity = question
    measured = score is not None and not score.failed
    return Trial(
        number=number,
        kind=kind,
        mask=mask,
        fidelity=fidelity,
        state="failed" if score is not None and score.failed else "complete",
        score=score.value if score is not None and measured else None,
        loss=score.loss if score is not None and measured else None,
        reason=score.reason if score is not None else "",
        before=before,
        after=after,
    )
