"""Short scores beside what they could know, for a terminal and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from ticketsearch.leaderboard.ranking import Ranking
from ticketsearch.records.files import write_atomically
from ticketsearch.report.verdicts import summary

if TYPE_CHECKING:
    from ticketsearch.studies.encode import Written


def table(ranking: Ranking, title: str) -> Renderables:
    """A line for each length and kind of score, and what is to be made of them."""
    lines = Table(title=title, title_justify="left")
    columns = ("steps", "score", "one evaluation, ep", "tau", "ceiling", "its own", "reliability", "true r", "gain")
    for column in columns:
        lines.add_column(column, justify="left" if column == "score" else "right")
    best = ranking.best
    for one in ranking.scores:
        lines.add_row(
            str(one.steps),
            one.score,
            f"{one.epochs:.3g}",
            "" if one.tau is None else summary(one.tau, 1.0, 2),
            f"{one.ceiling:.2f}",
            f"{one.own_ceiling:.2f}",
            f"{one.reliability:.2f}",
            "" if one.disattenuated is None else f"{min(1.0, one.disattenuated):.2f}",
            f"{one.gain:.2f}",
            style="bold" if one is best else None,
        )
    return Renderables(lines, Text(words(ranking)))


def words(ranking: Ranking) -> str:
    """What the table says."""
    between, within = 100 * ranking.confirmed.mask**0.5, 100 * ranking.confirmed.order**0.5
    text = (
        f"{ranking.masks} masks, confirmed {100 * ranking.mean:.2f} %: true accuracies differ by {between:.2f} points "
        f"(sd), data orders of one mask by {within:.2f}; the mean of {ranking.confirmed.orders} trainings has "
        f"reliability {ranking.confirmed.reliability:.2f}.\n"
        "tau: of one evaluation with the confirmed accuracy; ceiling: the highest tau of any score, its own: of one as "
        "noisy as this; true r: correlation without noise; gain: of the best of as many masks as "
        f"{ranking.budget:g} ep pay for, in standard deviations between masks.\n"
    )
    if ranking.best is None:
        return text + "No score tells these masks apart."
    return text + f"For that budget: --fidelity {ranking.best.steps}step, --set score={ranking.best.score}."


def write_picture(path: Path, ranking: Ranking, title: str) -> None:
    """Tau of each score over the length of the training, beneath its ceiling, as a page of HTML."""
    import plotly.graph_objects as go

    figure: Any = go.Figure()
    steps = sorted({one.steps for one in ranking.scores})
    for kind in dict.fromkeys(one.score for one in ranking.scores):
        own = [one for one in ranking.scores if one.score == kind and one.tau is not None]
        taus = [one.tau for one in own if one.tau is not None]
        figure.add_scatter(
            x=[one.steps for one in own],
            y=[tau.value for tau in taus],
            name=kind,
            error_y={
                "array": [0 if tau.high is None else tau.high - tau.value for tau in taus],
                "arrayminus": [0 if tau.low is None else tau.value - tau.low for tau in taus],
            },
        )
    figure.add_hline(ranking.scores[0].ceiling, line_dash="dot", annotation_text="ceiling of any score")
    figure.update_layout(
        title=title,
        xaxis={"type": "log", "title": "steps of the short training", "tickvals": steps},
        yaxis={"title": "Kendall's tau with confirmed accuracy", "range": [-0.2, 1.0]},
        template="plotly_white",
    )
    write_atomically(path, figure.to_html(include_plotlyjs=True, full_html=True).encode())


def written_table(found: Sequence[Written], title: str) -> Table:
    """A ticket as it is, with parts drawn anew, and written in encodings."""
    lines = Table(title=title, title_justify="left")
    for column in ("mask", "numbers", "overlap with the ticket %", "test accuracy %"):
        lines.add_column(column, justify="left" if column == "mask" else "right")
    for one in found:
        lines.add_row(
            one.name,
            "" if one.numbers is None else f"{one.numbers:,}",
            f"{100 * one.overlap:.1f}",
            f"{100 * one.test_accuracy:.2f} ± {100 * one.spread:.2f}",
        )
    return lines
