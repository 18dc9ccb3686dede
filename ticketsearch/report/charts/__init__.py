"""Figures of the HTML report, as plain Plotly figures: what is drawn, in words, in numbers, in light and in dark."""

from ticketsearch.report.charts.accuracy import against_sparsity, anytime, seeds
from ticketsearch.report.charts.barriers import barriers
from ticketsearch.report.charts.cost import breakdown
from ticketsearch.report.charts.descent import over_capacity
from ticketsearch.report.charts.fidelity import scatter, tau_over_steps
from ticketsearch.report.charts.figure import Figure, Key, Table
from ticketsearch.report.charts.masks import densities, overlap
from ticketsearch.report.charts.multiples import multiples
from ticketsearch.report.charts.predictors import predictors
from ticketsearch.report.charts.style import Style, styles_of
from ticketsearch.report.charts.targets import ratios, running_times, solved

__all__ = [
    "Figure",
    "Key",
    "Style",
    "Table",
    "against_sparsity",
    "anytime",
    "barriers",
    "breakdown",
    "densities",
    "multiples",
    "over_capacity",
    "overlap",
    "predictors",
    "ratios",
    "running_times",
    "scatter",
    "seeds",
    "solved",
    "styles_of",
    "tau_over_steps",
]
