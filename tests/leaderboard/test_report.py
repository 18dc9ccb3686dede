from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.helpers.results import result
from ticketsearch.errors import NotARun
from ticketsearch.leaderboard import build, load_study
from ticketsearch.leaderboard.table import Estimate, label_of
from ticketsearch.records.folder import SPEC, run_folders
from ticketsearch.records.results import read_result, write_result
from ticketsearch.report.svg import write_svg
from ticketsearch.report.text import COLUMNS, cells, markdown


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_interval_is_student_s(n: int) -> None:
    values = np.random.Generator(np.random.PCG64(n)).normal(0.6, 0.03, n)
    estimate = Estimate.of(values.tolist())
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert estimate.half_width is not None
    assert estimate.mean - estimate.half_width == pytest.approx(low)
    assert estimate.mean + estimate.half_width == pytest.approx(high)


def test_a_single_seed_has_no_interval() -> None:
    assert Estimate.of([0.6]) == Estimate(0.6, None)


def test_runs_on_other_data_engines_or_orders_are_not_averaged() -> None:
    groups = build([result(), result(task_fingerprint="f2")])
    assert [(group.task, len(group.rows)) for group in groups] == [("tiny [f1]", 1), ("tiny [f2]", 1)]
    [group] = build([result(), result(engine="sparse"), result(orders=1)])
    assert [row.settings for row in group.rows] == [
        {"orders": 1, "engine": "dense"},
        {"orders": 3, "engine": "dense"},
        {"orders": 3, "engine": "sparse"},
    ]
    assert all(row.test_accuracy.half_width is None for row in group.rows)


def test_runs_are_grouped_by_task_and_sparsity_and_averaged_over_seeds() -> None:
    groups = build(
        [
            result(seed=1, accuracy=0.5),
            result(seed=0, accuracy=0.7),
            result("imp", accuracy=0.9),
            result(sparsity=0.98),
            result(task="other"),
        ]
    )
    assert [(g.task, g.sparsity, len(g.rows)) for g in groups] == [
        ("other", 0.9, 1),
        ("tiny", 0.9, 2),
        ("tiny", 0.98, 1),
    ]
    best, second = groups[1].rows
    assert (best.strategy, second.strategy) == ("imp", "ga")  # best first
    assert second.seeds == [0, 1]
    assert second.runs == ["runs/ga-0", "runs/ga-1"]
    assert second.test_accuracy.mean == pytest.approx(0.6)
    assert (second.epochs.mean, second.trials.mean, second.random.mean) == (90.0, 80, 0.4)


def test_other_settings_and_budgets_are_other_rows_labelled_by_what_differs() -> None:
    (group,) = build(
        [
            result(),
            result(parameters={"population": 12}),
            result("imp", parameters={"rate": 0.2}),
            result(budget=50.0),
            result("sa"),
            result("sa", fidelity=20),
        ]
    )
    assert sorted(label_of(row) for row in group.rows) == sorted(
        [
            "ga (population=24, budget=100ep)",
            "ga (population=12, budget=100ep)",
            "imp",
            "ga (population=24, budget=50ep)",
            "sa (fidelity=10)",
            "sa (fidelity=20)",
        ]
    )
    assert sorted(row.budget for row in group.rows if row.strategy == "ga") == [50, 100, 100]


def test_the_order_of_runs_does_not_matter() -> None:
    results = [result(strategy, seed, 0.5 + seed / 100) for strategy in ("ga", "sa") for seed in range(4)]
    assert build(results) == build(results[::-1])


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    for number, score in enumerate((None, 0.1 + 0.2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        written = result(search_score=score, run=str(folder), ticket=str(folder / "ticket.safetensors"))
        write_result(folder, written)
        assert read_result(folder) == written


def test_a_moved_run_knows_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_result(tmp_path / "a", result())
    (tmp_path / "a").rename(tmp_path / "b")
    assert read_result(tmp_path / "b").run == str(tmp_path / "b")


def test_finished_unfinished_and_damaged_runs_are_told_apart(tmp_path: Path) -> None:
    for name in ("good", "begun", "bad", "stranger"):
        (tmp_path / name).mkdir()
        if name != "stranger":
            (tmp_path / name / SPEC).write_text("{}")
    write_result(tmp_path / "good", result())
    (tmp_path / "bad" / "result.json").write_text('{"strategy": 3}')
    assert [path.name for path in run_folders(tmp_path)] == ["bad", "begun", "good"]
    study = load_study(tmp_path)
    results, problems = study.results, study.problems
    assert [r.run for r in results] == [str(tmp_path / "good")]
    assert len(problems) == 1
    assert str(tmp_path / "bad") in problems[0]
    assert load_study(tmp_path / "good").results == results
    with pytest.raises(NotARun, match="1 unfinished"):
        load_study(tmp_path / "begun")


def test_markdown_has_a_cell_for_every_column_and_escapes_bars() -> None:
    groups = build([result(), result(seed=1, accuracy=0.61), result("a|b")])
    rows = [line for line in markdown(groups).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {len(COLUMNS) + 1}
    assert cells(groups[0].rows[0])[1] == "2" or cells(groups[0].rows[1])[1] == "2"
    assert "60.5 ± 6.4" in markdown(groups)  # t(1) = 12.706, standard error 0.5


@pytest.mark.parametrize("accuracies", [[0.6], [0.6, 0.6], [0.1, 0.9], [0.0, 1.0], [0.59, 0.61, 0.6], [1.0]])
def test_pictures_of_any_spread_are_xml_within_the_frame(tmp_path: Path, accuracies: list[float]) -> None:
    results = [result(seed=seed, accuracy=a) for seed, a in enumerate(accuracies)]
    write_svg(tmp_path / "board.svg", build([*results, result("<&>", accuracy=0.5), result(task='"<t>"')]))
    root = ET.fromstring((tmp_path / "board.svg").read_text())
    width = float(root.attrib["viewBox"].split()[2])
    circles = [node for node in root.iter() if node.tag.endswith("circle")]
    assert len(circles) == 3
    assert all(0 < float(node.attrib["cx"]) < width for node in circles)
    lines = [node.attrib["d"] for node in root.iter() if node.tag.endswith("path") and " H" in node.attrib["d"]]
    assert all(0 <= float(end) <= width for d in lines for end in (d[1:].split(",")[0], d.split("H")[1]))
    texts = "".join(node.text or "" for node in root.iter())
    assert "<&>" in texts


def test_labels_are_read_in_full_and_the_small_dense_network_is_marked(tmp_path: Path) -> None:
    runs = [
        result(parameters={"members_of_each": 24 if steps == "7%" else 48, "round_steps": steps})
        for steps in ("7%", "20%")
    ]
    write_svg(tmp_path / "board.svg", build(runs))
    text = (tmp_path / "board.svg").read_text()
    for steps in ("7%", "20%"):
        assert f"round_steps={steps})" in text
    square = "M-4,-4 h8 v8 h-8 Z"
    assert square not in text
    marked = [run.model_copy(update={"references": run.references | {"small-dense": run.confirmation}}) for run in runs]
    write_svg(tmp_path / "board.svg", build(marked))
    assert (tmp_path / "board.svg").read_text().count(square) == len(runs)


def test_a_picture_of_nothing_is_xml(tmp_path: Path) -> None:
    write_svg(tmp_path / "empty.svg", [])
    root = ET.fromstring((tmp_path / "empty.svg").read_text())
    assert root.tag.endswith("svg")
    assert not [node for node in root.iter() if node.tag.endswith("circle")]


def test_where_classes_are_unbalanced_the_majority_stands_beside_the_accuracies() -> None:
    even, uneven = result(majority_test_accuracy=0.1, n_classes=10), result(majority_test_accuracy=0.62, n_classes=2)
    assert even.unbalanced is None
    assert result().unbalanced is None  # a result that does not say
    assert uneven.unbalanced == 0.62
    assert "the most frequent class alone: 62.00 %" in markdown(build([uneven]))
    assert "most frequent" not in markdown(build([even]))
