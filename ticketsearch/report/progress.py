"""The live progress bar of a run, on stderr: spent of the budget, incumbent, masks per second."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from ticketsearch.problem import MaskProblem


class _Bar:
    """A bar that begins and ends with a block; plain silence where stderr is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
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
        self._begin = time.perf_counter()

    def search(self, problem: MaskProblem) -> None:
        """Show what was spent and found."""
        spent = self._budget - problem.remaining
        rate = problem.spent.trainings / max(1e-9, time.perf_counter() - self._begin)
        best = problem.incumbent
        score = f"best {100 * best.score.value:.1f} %  " if best else ""
        detail = f"{spent:.4g} of {self._budget:g} ep  {score}{rate:.1f} masks/s"
        self._bar.update(self._search, completed=spent, detail=detail)

    def confirm(self, what: str, fraction: float) -> None:
        """Show the confirmation."""
        if self._confirm is None:
            self._confirm = self._bar.add_task("confirmation", total=1.0, detail="")
        self._bar.update(self._confirm, completed=fraction, detail=what)
