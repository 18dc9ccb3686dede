"""Predictors of tickets: a table and a picture for each population."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.prediction import Prediction, predictions_of
from ticketsearch.leaderboard.statistics import Summary
from ticketsearch.records.files import write_atomically
from ticketsearch.records.study_records import PredictOutcome
from ticketsearch.report import charts
from ticketsearch.report.chapter import Chapter
from ticketsearch.report.text import escaped
from ticketsearch.report.verdicts import summary

COLUMNS = ("predictor", "better is", "tau", "less the null's", "AUC of matching", "epochs")
NOTE = (
    "tau: Kendall's, with confirmed accuracy, within each seed; mean over seeds and its 95 % t interval. The null is "
    "what the layers' densities alone say. AUC: how often a candidate that matches the dense network is ranked above "
    "one that does not. epochs: of the dense network, for each candidate. A predictor says beforehand which way is "
    "better."
)


def rows_of(prediction: Prediction) -> list[list[str]]:
    """Cells, in the order of the predictors."""
    return [
        [
            one.predictor,
            "higher" if one.sign > 0 else "lower",
            _cell(one.tau) if one.tau else "constant",
            _cell(one.to_null),
            _cell(one.auc),
            f"{one.epochs:.3g}",
        ]
        for one in prediction.qualities
    ]


def _cell(value: Summary | None) -> str:
    return "" if value is None else summary(value, 1.0, 2)


def title(prediction: Prediction) -> str:
    """What the table is about."""
    seeds = "1 seed" if len(prediction.seeds) == 1 else f"{len(prediction.seeds)} seeds"
    counts = "" if prediction.population == "tickets" else f" ({prediction.counts})"
    units = "" if prediction.granularity == "weight" else f" of {prediction.granularity}"
    return (
        f"{prediction.task}, {prediction.population}{counts}{units}, sparsity {prediction.sparsity:g}, {seeds} of "
        f"{prediction.candidates:.3g}"
    )


def words(prediction: Prediction) -> str:
    """What the table stands on."""
    ceiling = "not known, of single confirmations" if prediction.ceiling is None else f"{prediction.ceiling:.2f}"
    return (
        f"Confirmed {100 * prediction.mean:.1f} %, the dense network {100 * prediction.dense:.1f} %; "
        f"{100 * prediction.matching:.0f} % match it within {100 * prediction.margin:g} points. "
        f"Ceiling of tau, by the noise of confirmed accuracy: {ceiling}."
    )


def table(predictions: Sequence[Prediction]) -> Renderables:
    """For a terminal."""
    parts: list[Table | Text] = []
    for prediction in predictions:
        drawn = Table(title=title(prediction), title_justify="left", title_style="bold")
        for index, column in enumerate(COLUMNS):
            drawn.add_column(column, justify="right" if index > 1 else "left", no_wrap=not index)
        for row in rows_of(prediction):
            drawn.add_row(*row, style="bold" if prediction.best and row[0] == prediction.best.predictor else None)
        parts += [drawn, Text(words(prediction))]
    return Renderables(*parts, Text(NOTE, style="dim"))


def markdown(predictions: Sequence[Prediction]) -> str:
    """GitHub-flavoured tables."""
    lines = []
    for prediction in predictions:
        lines += [f"### {escaped(title(prediction))}", "", "| " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * 4]
        lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows_of(prediction)]
        lines += ["", words(prediction), ""]
    return "\n".join([*lines, NOTE])


def figure(predictions: Sequence[Prediction]) -> Any:
    """Tau of each predictor with its interval, beneath the ceiling, by plotly; a colour for each population."""
    import plotly.graph_objects as go
    from plotly.colors import qualitative

    drawn: Any = go.Figure()
    colours = qualitative.Plotly
    for index, prediction in enumerate(predictions):
        own = [(one.predictor, one.tau) for one in reversed(prediction.qualities) if one.tau is not None]
        colour = colours[index % len(colours)]
        drawn.add_scatter(
            x=[tau.value for _, tau in own],
            y=[name for name, _ in own],
            mode="markers",
            name=title(prediction),
            marker={"color": colour},
            error_x={
                "array": [0 if tau.high is None else tau.high - tau.value for _, tau in own],
                "arrayminus": [0 if tau.low is None else tau.value - tau.low for _, tau in own],
            },
        )
        if prediction.ceiling is not None:
            drawn.add_vline(prediction.ceiling, line_dash="dot", line_color=colour, annotation_text="ceiling")
    drawn.add_vline(0, line_width=1, line_color="grey")
    drawn.update_layout(
        xaxis={"title": "Kendall's tau with confirmed accuracy", "range": [-1, 1]},
        legend={"orientation": "h", "y": -0.2},
        template="plotly_white",
    )
    return drawn


def chapter(outcomes: Sequence[PredictOutcome]) -> Chapter:
    """For the HTML report."""
    predictions = predictions_of(outcomes)
    names = list(map(title, predictions))
    tasks = ", ".join(dict.fromkeys(one.task for one in predictions))
    heading = f"Predictors of tickets, {tasks}"
    rows = [[name, *row] for name, each in zip(names, predictions, strict=True) for row in rows_of(each)]
    return Chapter(
        title=heading,
        lines=[*(f"{name}. {words(each)}" for name, each in zip(names, predictions, strict=True)), NOTE],
        table=charts.Table(("population", *COLUMNS), rows),
        figures=[charts.predictors(predictions, names, heading)],
    )


def write_picture(path: Path, predictions: Sequence[Prediction]) -> None:
    """The figure as a page of HTML."""
    page: str = figure(predictions).to_html(include_plotlyjs=True, full_html=True)
    write_atomically(path, page.encode())
