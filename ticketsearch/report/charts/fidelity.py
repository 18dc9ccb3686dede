"""RankCorrelation: how well short scores rank confirmed accuracies, and what they look like against each other."""

from __future__ import annotations

from collections.abc import Iterable

from ticketsearch.leaderboard.section import RankCorrelation, Section
from ticketsearch.report.charts.accuracy import name_of
from ticketsearch.report.charts.figure import Figure, Key, Table, plot, rounded
from ticketsearch.report.charts.style import Style
from ticketsearch.report.verdicts import summary

LOOKS = (Style("--c0", "solid", "circle"), Style("--c1", "6px,3px", "diamond-open"), Style("--c2", "2px,3px", "x"))


def _populations(section: Section) -> dict[str, list[RankCorrelation]]:
    found: dict[str, list[RankCorrelation]] = {}
    for one in section.fidelity:
        found.setdefault(one.population, []).append(one)
    return found


def tau_over_steps(section: Section, evaluator: int | None) -> Figure | None:
    """Kendall's tau over the length of the short training; None where nothing was measured.

    Args:
        section: of which.
        evaluator: the steps that searches were given, to be marked.
    """
    found = _populations(section)
    if not found:
        return None
    data, keys, rows = [], [], []
    for (name, own), style in zip(found.items(), LOOKS, strict=False):
        known = [(one, one.tau) for one in own if one.tau is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "meta": name,
                "x": [one.steps for one, _ in known],
                "y": rounded([tau.value for _, tau in known]),
                "line": style.line(),
                "marker": style.marker(9),
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "color": style.colour,
                    "thickness": 1.2,
                    "width": 4,
                    "array": rounded([None if t.high is None else t.high - t.value for _, t in known]),
                    "arrayminus": rounded([None if t.low is None else t.value - t.low for _, t in known]),
                },
                "text": [
                    f"{name}<br>{one.steps} steps: tau {summary(tau, 1, 2)}, n = {tau.n} seeds" for one, tau in known
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
        keys.append(Key(name, style))
        rows += [
            [
                name,
                str(one.steps),
                "" if one.epochs is None else f"{one.epochs:.3g}",
                "none" if one.tau is None else summary(one.tau, 1, 2),
                str(one.tau.n if one.tau else 0),
            ]
            for one in own
        ]
    steps = sorted({one.steps for one in section.fidelity})
    shapes = (
        [
            {
                "type": "line",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "x0": evaluator,
                "x1": evaluator,
                "layer": "below",
                "line": {"color": "--muted", "width": 1, "dash": "dot"},
            }
        ]
        if evaluator
        else []
    )
    x = {"type": "log", "title": "steps of the short training", "tickvals": steps, "ticktext": list(map(str, steps))}
    return Figure(
        title=name_of(section),
        alt="Kendall's tau between short scores and confirmed accuracies over the steps of the short training.",
        plots={"": plot(data, x, {"title": "Kendall's tau", "range": [-0.55, 1.05]}, shapes=shapes)},
        keys=keys,
        table=Table(("population", "steps", "one evaluation, ep", "tau, 95 % interval", "n seeds"), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=340,
        lines=_lines(section, evaluator),
    )


def _lines(section: Section, evaluator: int | None) -> list[str]:
    """What stands beneath the picture."""
    ceilings = [one.ceiling for one in section.fidelity if one.ceiling is not None]
    lines = [f"The dotted line is at the evaluator of these runs: {evaluator} steps."] if evaluator else []
    if ceilings:
        lines.append(
            f"No score of random masks could have a tau above {ceilings[0]:.2f}: confirmed accuracies depend on the "
            "data order, too."
        )
    return lines


def _tenths(values: Iterable[float]) -> list[float]:
    """Percentages with two digits after the point: there are thousands of these."""
    return [round(100 * value, 2) for value in values]


def scatter(section: Section, evaluator: int | None) -> Figure | None:
    """Short score against confirmed accuracy, one picture for each length; None where nothing was measured."""
    found = _populations(section)
    if not found:
        return None
    steps = sorted({one.steps for one in section.fidelity}, key=lambda one: (one != evaluator, one))
    plots = {}
    for length in steps:
        data = [
            {
                "type": "scatter",
                "mode": "markers",
                "meta": name,
                "marker": style.marker(6) | {"opacity": 0.65},
                "x": _tenths(short for short, _ in one.pairs),
                "y": _tenths(full for _, full in one.pairs),
                "hovertemplate": f"{name}<br>short %{{x:.1f}} %, confirmed %{{y:.1f}} %<extra></extra>",
            }
            for (name, own), style in zip(found.items(), LOOKS, strict=False)
            for one in own
            if one.steps == length
        ]
        plots[f"{length} steps"] = plot(
            data, {"title": f"validation accuracy after {length} steps, %"}, {"title": "confirmed test accuracy, %"}
        )
    rows = [[one.population, str(one.steps), str(len(one.pairs))] for one in section.fidelity]
    return Figure(
        title=name_of(section),
        alt="Scatter of short scores against confirmed accuracies, of random masks and of tickets of all strategies.",
        plots=plots,
        keys=[Key(name, style, line=False) for name, style in zip(found, LOOKS, strict=False)],
        table=Table(("population", "steps", "pairs"), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=360,
        choice="length",
    )
