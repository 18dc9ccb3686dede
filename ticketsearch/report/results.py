"""Results in Python: read from folders and archives, or made by a study; as a data frame, a leaderboard, pictures."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketsearch.errors import InvalidValue
from ticketsearch.leaderboard import Group, LoadedStudy, build, load_study, merged
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.section import Section
from ticketsearch.leaderboard.studies import write_archive
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Baseline, Failure
from ticketsearch.report import raw, text
from ticketsearch.report.text import COLUMNS, cells

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

    from ticketsearch.callbacks import Callback

SHOWN = 12
"""Lines of a leaderboard in a notebook."""


@dataclass(frozen=True)
class Results(Sequence[Result]):
    """Finished runs, of one study or of several put together; a sequence of :class:`ticketsearch.Result`.

    Attributes:
        study: the runs, and what was measured beside them.
    """

    study: LoadedStudy

    def __len__(self) -> int:
        return len(self.study.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.study.results)

    def __getitem__(self, index: Any) -> Any:
        return self.study.results[index]

    @property
    def failures(self) -> list[Failure]:
        """Planned runs that gave no result when last tried, with reasons."""
        return self.study.failures

    def only(self, task: str | None = None, sparsity: float | None = None) -> Results:
        """Those on a task, or at a sparsity.

        Raises:
            NotARun: there are none.
        """
        return Results(self.study.only(task, sparsity))

    def leaderboard(self) -> list[Group]:
        """Means over seeds: for each task and sparsity a group of rows, best first."""
        return build(self.study.results)

    def to_frame(self) -> pandas.DataFrame:
        """A line for each run, a column for each value, as in ``ticketsearch report --csv``; needs pandas.

        Raises:
            InvalidValue: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise InvalidValue(
                f"to_frame needs pandas ({error}): pip install 'ticketsearch[frame]'; report --csv writes the same"
            ) from error
        return pd.DataFrame([raw.record(result) for result in self.study.results])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an archive: one file that :func:`load_results` and ``ticketsearch report`` read."""
        write_archive(Path(path), self.study)

    def plot_cost(self, task: str | None = None, sparsity: float | None = None) -> Figure:
        """Confirmed accuracy over the cost of the search, with SGD's frontier; of one task and sparsity."""
        from ticketsearch.report import charts

        section = self._section(task, sparsity)
        return _drawn(charts.anytime(section, charts.styles_of([section])))

    def plot_seeds(self, task: str | None = None, sparsity: float | None = None) -> Figure:
        """Confirmed accuracy of each seed; of one task and sparsity."""
        from ticketsearch.report import charts

        return _drawn(charts.seeds(self._section(task, sparsity)))

    def plot_sparsity(self, task: str | None = None) -> Figure:
        """Confirmed accuracy over sparsity; of one task."""
        from ticketsearch.report import charts

        tasks = dict.fromkeys(section.task for section in self._sections if task in (None, section.task))
        if len(tasks) != 1:
            known = ", ".join(dict.fromkeys(section.task for section in self._sections))
            raise InvalidValue(f"task {task or 'any'} is not one; say which of {known}")
        sections = [section for section in self._sections if section.task in tasks]
        return _drawn(charts.against_sparsity(sections, charts.styles_of(sections)))

    @cached_property
    def _sections(self) -> list[Section]:
        return analyse(self.study.results, self.study.baselines)

    def _section(self, task: str | None, sparsity: float | None) -> Section:
        fitting = [one for one in self._sections if task in (None, one.task) and sparsity in (None, one.sparsity)]
        if len(fitting) != 1:
            there = ", ".join(f"{one.task} at {one.sparsity:g}" for one in fitting or self._sections)
            asked = f"task {task or 'any'} at sparsity {'any' if sparsity is None else format(sparsity, 'g')}"
            raise InvalidValue(f"{asked} is not one leaderboard; say which of {there}")
        return fitting[0]

    def __repr__(self) -> str:
        groups = self.leaderboard()
        about = ", ".join(f"{group.task} at {group.sparsity:g}" for group in groups[:4])
        more = f" and {len(groups) - 4} more" if len(groups) > 4 else ""
        strategies = {result.strategy for result in self.study.results}
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<Results: {len(self)} runs of {len(strategies)} strategies{failed}; {about}{more}>"

    def _repr_html_(self) -> str:
        """The leaderboards, for a notebook."""
        parts = []
        for group in self.leaderboard():
            rows = [cells(row) for row in group.rows[:SHOWN]]
            head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
            body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            left = len(group.rows) - len(rows)
            note = f"<p>and {left} more</p>" if left else ""
            parts.append(
                f"<h4>{html.escape(text.title(group))}</h4><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
                f"</table>{note}"
            )
        return "".join(parts) + f"<p><small>{html.escape(text.NOTE)}</small></p>"


def load_results(*places: str | os.PathLike[str]) -> Results:
    """Read folders of runs, run folders and archives; several are put together.

    Args:
        places: where they lie; default ``runs``.

    Raises:
        NotARun: nothing of the kind is there.
        CorruptRun: an archive is damaged.
    """
    return Results(merged([load_study(Path(place)) for place in places or ("runs",)]))


def compare(
    strategies: Sequence[str | Mapping[str, Any]] | str,
    *,
    out: str | os.PathLike[str] = "runs",
    jobs: int = 1,
    data_root: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    **grid: Any,
) -> Results:
    """Run strategies on tasks over paired seeds; what is finished is not repeated. ``ticketsearch compare`` in Python.

    Args:
        strategies: names, or mappings of a name and settings: ``{"name": "ga", "population": 64}``.
        out: folder of run folders.
        jobs: runs at a time, each in a process of its own.
        data_root: folder of data sets.
        against: an archive, a folder, or the name of a published study: tasks, sparsities, seeds, budgets and
            settings are those of its runs, unless ``grid`` says otherwise, and its runs are among the results.
        callbacks: told, in this process, of trials, rounds and results; see :class:`ticketsearch.Callback`.
        **grid: keys of a study, as :class:`ticketsearch.studies.study.Grid` has them: ``tasks`` (names, or functions
            that make them), ``sparsities``, ``seeds`` (a range, a list or ``"0-9"``), ``budget`` (epochs, a number or
            ``"60ep"``), ``fidelity``, ``orders``, ``controls``, ``checkpoints``, ``frontier``, ``baselines``,
            ``granularity``, ``keep``; ``device``, ``engine``.

    Raises:
        UsageError: a key or a value is wrong; nothing was computed.
        CallbackError: a callback raised an exception; the study has finished all the same.
    """
    from ticketsearch.report.against import among
    from ticketsearch.studies.against import grids_against
    from ticketsearch.studies.execution import compute, failure_of
    from ticketsearch.studies.forecast import untimed
    from ticketsearch.studies.known import Known
    from ticketsearch.studies.study import make_study

    own = {key: grid.pop(key) for key in ("device", "engine") if key in grid}
    values = {"strategies": _listed(strategies), **{key: _plain(key, value) for key, value in grid.items()}}
    published = None if against is None else load_study(os.fspath(against))
    grids = [values]
    if published is not None:
        grids = grids_against(published.results, make_study("compare", {"grids": [values]}).grids[0])
    study = make_study("compare", {"grids": grids, "out": os.fspath(out)} | own)
    known = Known.of(published.results, published.baselines, study) if published else None
    root = None if data_root is None else Path(data_root)
    finished = compute(study, data_root=root, jobs=jobs, ahead=untimed(study, known, root), callbacks=callbacks)
    failures = [failure_of(one) for one in finished if one.result is None]
    results = [one.result for one in finished if isinstance(one.result, Result)]
    if published is not None:
        return Results(replace(among(published, results), failures=failures))
    baselines = [one.result for one in finished if isinstance(one.result, Baseline)]
    return Results(LoadedStudy(results, baselines, failures))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Mapping) else [dict(v) if isinstance(v, Mapping) else v for v in value]


def _plain(key: str, value: Any) -> Any:
    """As a study file has it."""
    if key == "budget" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.10g}ep"
    if key == "tasks":
        return [
            _importable(task) if callable(task) else task for task in _listed([value] if callable(value) else value)
        ]
    if isinstance(value, range | tuple):
        return list(value)
    return [value] if key in ("sparsities", "seeds") and isinstance(value, int | float) else value


def _importable(task: Any) -> str:
    """Where a study's processes find the function that makes a task."""
    from ticketsearch.tasks import place_of

    place = place_of(task)
    if ":" not in place:
        raise InvalidValue(f"compare: task {place}: its function must be in a module, which other processes can import")
    return place


def _drawn(figure: Any) -> Figure:
    """A figure of the report as Plotly's."""
    from plotly.graph_objects import Figure

    plot = next(iter(figure.plots.values()))
    drawn = Figure(data=plot["data"], layout=plot["layout"], skip_invalid=True)
    drawn.update_layout(title=figure.title, showlegend=True, height=figure.height, width=None)
    return drawn
