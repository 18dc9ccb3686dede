"""Figures: what is drawn is what was analysed, and is told apart without colours."""

from __future__ import annotations

import itertools
import math

import pytest

from tests.helpers.studies import made, study
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.report import charts
from ticketsearch.report.charts.figure import log_ticks, wrapped
from ticketsearch.report.charts.style import DASHES, SYMBOLS

SECTION = analyse(study().results, study().baselines)[0]
STYLES = charts.styles_of([SECTION])


def test_contenders_are_told_apart_without_colour() -> None:
    assert math.gcd(len(DASHES), len(SYMBOLS)) == 1
    many = analyse([made(f"s{i}", 0, 0.9, 0.1, 1.0, run=str(i)) for i in range(60)])
    looks = {(style.dash, style.symbol) for style in charts.styles_of(many).values()}
    assert len(looks) == 60


def test_a_contender_looks_the_same_in_all_sections() -> None:
    both = analyse(study().results)
    assert charts.styles_of(both) == charts.styles_of(both[::-1])


def test_a_contender_keeps_its_name_and_look_where_its_neighbours_differ() -> None:
    alone = [made("ga", seed, 0.8, 0.1, 9.0, search=True, parameters={"x": 1}) for seed in range(2)]
    beside = [
        made("ga", seed, 0.9, 0.1, 9.0, search=True, parameters={"x": x}, run=f"{x} {seed}")
        for seed in range(2)
        for x in (1, 2)
    ]
    imp = [made("imp", seed, sparsity, 0.2, 90.0) for seed in range(2) for sparsity in (0.8, 0.9)]
    sections = analyse([*alone, *beside, *imp])
    assert {one.label for section in sections for one in section.contenders} == {"imp", "ga", "ga (x=1)", "ga (x=2)"}
    styles = charts.styles_of(sections)
    assert styles["ga"] == styles["ga (x=1)"] != styles["ga (x=2)"]
    [plot] = charts.against_sparsity(sections, styles).plots.values()
    lines = {trace["meta"]: trace["x"] for trace in plot["data"]}
    assert len(lines["ga"]) == 2
    assert len(lines["ga (x=2)"]) == 1
    again = [
        made("ga", seed, 0.9, 0.1, 9.0, search=True, parameters={"x": 1}, budget=99.0, run=f"b {seed}")
        for seed in range(2)
    ]
    twice = charts.styles_of(analyse([*alone, *beside, *again]))
    assert len({twice[label] for label in twice if "x=1" in label}) == 2  # told apart where they meet


def test_a_hybrid_is_drawn_as_a_search_is() -> None:
    both = [
        one.model_copy(update={"calls": {"evaluate": 8, "train": 2}}) if one.strategy == "ga" else one
        for one in study().results
    ]
    section = analyse(both)[0]
    assert section.contender("ga").kind == "hybrid"
    figure = charts.ratios(section, charts.styles_of([section]))
    assert figure is not None
    assert {key.name for key in figure.keys} == {"ga", "random"}


def test_the_anytime_curve_ends_at_the_confirmed_accuracy_and_the_frontier_is_a_step() -> None:
    figure = charts.anytime(SECTION, STYLES)
    assert list(figure.plots) == ["kept-weight FLOPs", "epochs", "CPU seconds"]
    plot = figure.plots["epochs"]
    assert plot["layout"]["xaxis"]["type"] == "log"
    lines = {trace["meta"]: trace for trace in plot["data"] if trace["mode"] == "lines+markers"}
    ga = SECTION.contender("ga")
    assert lines["ga"]["y"][-1] == pytest.approx(100 * ga.row.test_accuracy.mean, rel=1e-4)
    step = next(trace for trace in plot["data"] if trace.get("line", {}).get("shape") == "hv")
    assert step["x"][:-1] == pytest.approx([SECTION.contender(one).row.epochs.mean for one in SECTION.frontier])
    bands = [trace for trace in plot["data"] if trace.get("fill") == "tonexty"]
    assert {band["meta"] for band in bands} == {"ga", "random"}


def test_the_anytime_curve_is_over_each_currency() -> None:
    figure = charts.anytime(SECTION, STYLES)
    ga = SECTION.contender("ga")
    for name, expected in (
        ("kept-weight FLOPs", ga.row.sparse_flops.mean / 1e9),
        ("epochs", ga.row.epochs.mean),
        ("CPU seconds", ga.seconds["cpu"]),
    ):
        [line] = [one for one in figure.plots[name]["data"] if one["meta"] == "ga" and one["mode"] == "lines+markers"]
        assert line["x"][-1] == pytest.approx(expected, rel=1e-3)
        assert line["y"][-1] == pytest.approx(100 * ga.row.test_accuracy.mean, rel=1e-4)


def test_what_is_never_reached_stands_above_all_that_is() -> None:
    plot = charts.running_times(SECTION, STYLES).plots["train examples"]
    times = SECTION.contender("random").running_times["train examples"]
    missed = [time for time in times if math.isinf(time.ert)]
    assert 0 < len(missed) < len(times)
    reached = [y for trace in plot["data"] if "error_y" in trace for y in trace["y"] if y is not None]
    [marks] = [trace for trace in plot["data"] if trace["meta"] == "random" and trace["mode"] == "markers"]
    assert len(marks["y"]) == len(missed)
    assert min(marks["y"]) > max(reached)
    axis = plot["layout"]["yaxis"]
    assert axis["ticktext"][axis["tickvals"].index(pytest.approx(marks["y"][0], rel=1e-4))] == "not reached"
    assert all("not reached" in text for text in marks["text"])


def test_running_times_are_in_epochs_and_ratios_as_analysed() -> None:
    figure = charts.running_times(SECTION, STYLES)
    one = SECTION.contender("ga")
    [line] = [trace for trace in figure.plots["train examples"]["data"] if trace["meta"] == "ga" and "error_y" in trace]
    expected = [time.ert / one.train_size for time in one.running_times["train examples"]]
    assert line["y"] == pytest.approx(expected, rel=1e-4)
    ratios = charts.ratios(SECTION, STYLES)
    assert ratios is not None
    [line] = [trace for trace in ratios.plots["CPU seconds"]["data"] if trace["meta"] == "ga" and "error_y" in trace]
    assert line["y"] == pytest.approx([ratio.value for ratio in one.ratios["CPU seconds"]], rel=1e-4)


def test_shares_of_targets_rise_to_what_was_analysed() -> None:
    [plot] = charts.solved(SECTION, STYLES).plots.values()
    lines = {trace["meta"]: trace for trace in plot["data"]}
    for label in ("ga", "random"):
        one, line = SECTION.contender(label), lines[label]
        assert line["y"][:-1] == pytest.approx([100 * share for _, share in one.solved], rel=1e-4)
        assert line["x"][:-1] == pytest.approx([cost for cost, _ in one.solved], rel=1e-4)
        assert line["y"][-1] == pytest.approx(100 * one.solved[-1][1], rel=1e-4)
        assert line["x"][-1] == pytest.approx(one.row.epochs.mean)
    assert lines["random"]["y"][-1] < lines["ga"]["y"][-1] <= 100


def test_seconds_add_up() -> None:
    plots = charts.breakdown(SECTION).plots
    totals = [sum(parts) for parts in zip(*(trace["x"] for trace in plots["wall seconds"]["data"]), strict=True)]
    assert totals == pytest.approx([one.seconds["wall"] for one in SECTION.contenders], rel=1e-3)
    shares = [sum(parts) for parts in zip(*(trace["x"] for trace in plots["share of wall time"]["data"]), strict=True)]
    assert shares == pytest.approx([100.0] * len(shares), rel=1e-3)


def test_every_seed_is_a_point() -> None:
    [plot] = charts.seeds(SECTION).plots.values()
    points, means = plot["data"]
    assert len(points["x"]) == sum(len(one.accuracies) for one in SECTION.contenders)
    assert len(means["x"]) == len(SECTION.contenders)


def test_the_evaluator_s_length_is_shown_first() -> None:
    figure = charts.scatter(SECTION, 20)
    assert figure is not None
    assert list(figure.plots) == ["20 steps", "5 steps", "10 steps"]


def test_labels_are_broken_not_lost() -> None:
    text = "imp (scope=global, rounds=11, round_steps=100%)"
    lines = wrapped(text).split("<br>")
    assert " ".join(lines) == text
    assert max(map(len, lines)) <= 30
    assert wrapped("<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(("low", "high"), [*itertools.pairwise([1e-3, 0.5, 1.0, 7.0, 1e4, 1e13])])
def test_a_logarithmic_axis_has_some_ticks_and_not_too_many(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 12
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(ticks)


def test_break_even_is_drawn_over_sparsity_in_each_currency() -> None:
    """Of what the sections say themselves; a search above all of IMP has no multiple."""
    figure = charts.multiples([SECTION], STYLES)
    assert figure is not None
    drawn = {trace["meta"]: trace for trace in figure.plots["epochs"]["data"]}
    for one in SECTION.contenders:
        found = one.multiples.get("train examples")
        if found is None or found.standing == "above":
            assert one.label not in drawn
        else:
            assert drawn[one.label]["y"] == [pytest.approx(found.value, rel=1e-4)]
            assert drawn[one.label]["x"] == [pytest.approx(1 - SECTION.sparsity)]
            assert (drawn[one.label]["marker"]["symbol"] == ["triangle-up"]) == (found.standing == "below")
    assert drawn
    [even] = figure.plots["epochs"]["layout"]["shapes"]
    assert even["y0"] == 1
