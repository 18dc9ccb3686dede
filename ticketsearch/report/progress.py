"""What is going on, on stderr: the progress bar of a run or of steps, the live table of a study."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ticketsearch.records.results import already_finished, score_in_words

if TYPE_CHECKING:
    from ticketsearch.problem import MaskProblem
    from ticketsearch.problem.scores import TrainedRound
    from ticketsearch.records.results import Result
    from ticketsearch.runner.forecast import Forecast


AT_ONCE = 5.0
"""Seconds of work that need no announcement."""


class _Bar:
    """A bar that begins and ends with a block; plain silence where stderr is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class StepBar(_Bar):
    """Shows what is being done and the fraction done."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._task: TaskID = self._bar.add_task("", total=1.0, detail="")

    def update(self, what: str, fraction: float) -> None:
        """Show it."""
        self._bar.update(self._task, completed=fraction, detail=what)


class ProgressBar(_Bar):
    """Shows a run."""

    def __init__(self, console: Console, strategy: str, budget: float) -> None:
        super().__init__(console)
        self._budget = budget
        self._search: TaskID = self._bar.add_task(strategy, total=budget, detail="")
        self._confirm: TaskID | None = None
        self._first: tuple[float, int] | None = None

    def begin(self, forecast: Callable[[], Forecast]) -> None:
        """Say how long it may take, unless it is over at once."""
        ahead = forecast()
        if ahead.seconds < AT_ONCE:
            return
        self._bar.console.print(
            f"ticketsearch: at most about {duration(ahead.seconds)}: {duration(ahead.search)} for a search of up to "
            f"{ahead.epochs:.4g} ep, {duration(ahead.confirmation)} for its confirmation",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def search(self, problem: MaskProblem) -> None:
        """Show what was spent and found."""
        spent = self._budget - problem.remaining
        now, trainings = time.perf_counter(), problem.spent.trainings
        self._first = self._first or (now, trainings)  # what was compiled before it is no rate of anything
        rate = (trainings - self._first[1]) / max(1e-9, now - self._first[0])
        best = problem.incumbent
        score = f"best {score_in_words(best.score.value)}  " if best else ""
        speed = f"{rate:.1f} masks/s" if trainings > self._first[1] else ""
        detail = f"{spent:.4g} of {self._budget:g} ep  {score}{speed}"
        self._bar.update(self._search, completed=spent, detail=detail)

    def round(self, problem: MaskProblem, trained: TrainedRound) -> None:
        """Show nothing: the search goes on."""

    def found(self, result: Result) -> None:
        """Say that nothing is computed."""
        self._bar.console.print(already_finished(result), markup=False, highlight=False, soft_wrap=True)

    def confirm(self, what: str, fraction: float) -> None:
        """Show the confirmation."""
        if self._confirm is None:
            self._confirm = self._bar.add_task("confirmation", total=1.0, detail="")
        self._bar.update(self._confirm, completed=fraction, detail=what)


class StudyTable:
    """A row for each strategy, task and sparsity: runs done of all, failures, mean accuracy so far.

    Where stderr is not a terminal, one line for each run as it ends.
    """

    def __init__(self, console: Console, rows: Sequence[str]) -> None:
        self._console, self._planned = console, Counter(rows)
        self._accuracies: dict[str, list[float]] = defaultdict(list)
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._begin = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = time.monotonic()
        self._before: list[str] = []
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        if self._before:
            first, last = (f"{one[:16].replace('T', ' ')}" for one in (min(self._before), max(self._before)))
            self._say(
                f"{len(self._before)} of {self._planned.total()} runs had finished before ({first} to {last} UTC) and "
                "are shown, not repeated; 'ticketsearch run --fresh' runs one anew"
            )

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def tell(self, row: str, seed: int, accuracy: float | None, reason: str, finished: str = "") -> None:
        """A run of a row has ended, or had ended before; ``finished`` is when, in UTC, if it is known."""
        if finished and finished < self._begin:
            self._before.append(finished)
        self._done[row] += 1
        self._failed[row] += bool(reason)
        if accuracy is not None:
            self._accuracies[row].append(accuracy)
        if self._console.is_terminal:
            return
        what = f"failed: {reason}" if reason else "done" if accuracy is None else f"{100 * accuracy:.2f} %"
        self._say(f"[{self._done.total()}/{self._planned.total()}] {row} seed {seed}: {what}")

    def _table(self) -> Table:
        table = Table(title=self._time(), title_justify="left", title_style="")
        table.add_column("run", ratio=1, overflow="fold")
        for name in ("done", "failed", "test accuracy %"):
            table.add_column(name, justify="right", no_wrap=name == "done")
        for row, count in self._planned.items():
            own = self._accuracies[row]
            mean = f"{100 * statistics.fmean(own):.1f}" if own else ""
            table.add_row(Text(row), f"{self._done[row]}/{count}", str(self._failed[row] or ""), mean)
        return table

    def _time(self) -> str:
        """How many are done, since when, and how long the others may take: as long as those made so far, on average."""
        done, total, elapsed = self._done.total(), self._planned.total(), time.monotonic() - self._started
        line = f"{done} of {total} done, {duration(elapsed)}"
        made = done - len(self._before)
        return f"{line}, about {duration(elapsed / made * (total - done))} left" if made and done < total else line


def duration(seconds: float) -> str:
    """In words that are short: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
