"""Where the seconds of a search went."""

from __future__ import annotations

from ticketsearch.leaderboard.section import Contender, Section
from ticketsearch.report.charts.accuracy import name_of
from ticketsearch.report.charts.figure import Figure, Key, Table, plain, plot, rounded, rows_axis, rows_height
from ticketsearch.report.charts.style import Style


def breakdown(section: Section) -> Figure:
    """Where the seconds of a search went: the engine, the strategy's own code, the rest."""
    contenders = section.contenders
    labels = [one.label for one in contenders]
    parts = {name: [value[name] for value in map(_parts, contenders)] for name in _parts(contenders[0])}
    looks = {"engine": ("--c0", ""), "strategy's own": ("--c1", "/"), "rest": ("--c2", "x")}
    plots = {}
    for variant in ("share of wall time", "wall seconds"):
        data = []
        for name, (colour, pattern) in looks.items():
            shares = [
                100 * part / max(1e-12, one.seconds["wall"]) for part, one in zip(parts[name], contenders, strict=True)
            ]
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "meta": name,
                    "y": list(range(len(labels))),
                    "x": rounded(shares if variant.startswith("share") else parts[name]),
                    "marker": {
                        "color": colour,
                        "line": {"color": "--paper", "width": 1},
                        "pattern": {
                            "shape": pattern,
                            "bgcolor": colour,
                            "fgcolor": "--paper",
                            "size": 7,
                            "solidity": 0.25,
                        },
                    },
                    "text": [
                        f"{plain(label)}<br>{name}: {part:.4g} s ({share:.1f} %)"
                        for label, part, share in zip(labels, parts[name], shares, strict=True)
                    ],
                    "textposition": "none",
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )
        title = "% of wall time" if variant.startswith("share") else "wall seconds"
        plots[variant] = plot(data, {"title": title}, rows_axis(labels), barmode="stack", bargap=0.25)
    rows = [
        [
            one.label,
            *(f"{part:.4g}" for part in _parts(one).values()),
            f"{one.seconds['wall']:.4g}",
            f"{one.seconds['cpu']:.4g}",
            str(len(one.row.seeds)),
        ]
        for one in contenders
    ]
    return Figure(
        title=name_of(section),
        alt="Stacked bars: seconds of each search in the engine, in the strategy's own code, and elsewhere.",
        plots=plots,
        keys=[
            Key(name, Style(colour, symbol={"": "square", "/": "bar-/", "x": "bar-x"}[pattern]), line=False)
            for name, (colour, pattern) in looks.items()
        ],
        table=Table(("strategy", "engine, s", "strategy's own, s", "rest, s", "wall, s", "CPU, s", "n"), rows),
        task=section.task,
        sparsity=section.sparsity,
        height=rows_height(labels),
        choice="unit",
    )


def _parts(one: Contender) -> dict[str, float]:
    """Wall seconds, means over seeds; they add up."""
    wall, engine, own = (one.seconds[name] for name in ("wall", "engine", "strategy"))
    return {"engine": engine, "strategy's own": own, "rest": max(0.0, wall - engine - own)}
