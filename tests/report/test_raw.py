"""CSV: one line for each run, every digit."""

from __future__ import annotations

import csv
import io
import json

from tests.helpers.studies import evil, study
from ticketsearch.records.results import CostRecord
from ticketsearch.report.raw import PLAIN, csv_text


def test_a_table_read_back_holds_the_values_of_the_results() -> None:
    results = [*study(seeds=2).results, *evil().results]
    lines = list(csv.DictReader(io.StringIO(csv_text(results), newline="")))
    assert len(lines) == len(results)
    for line, one in zip(lines, results, strict=True):
        for name in PLAIN:
            value = getattr(one, name)
            assert line[name] == ("" if value is None else str(value)), name
        for name in CostRecord.model_fields:
            assert float(line[f"cost_{name}"]) == getattr(one.cost, name)
        assert json.loads(line["parameters"]) == one.parameters
        assert [point["test_accuracy"] for point in json.loads(line["curve"])] == [p.test_accuracy for p in one.curve]
        assert float(line["control_shuffle-mask"]) == one.references["shuffle-mask"].test_accuracy
        assert json.loads(line["short_scores"]) == {str(k): v for k, v in one.short_scores.items()}
        assert line["command"].startswith("ticketsearch run --strategy ")


def test_columns_are_those_of_all_runs() -> None:
    with_control, without = study(seeds=1).results[0], study(seeds=1).results[1].model_copy(update={"references": {}})
    for results in ([with_control, without], [without, with_control]):
        lines = list(csv.DictReader(io.StringIO(csv_text(results))))
        assert {line["control_shuffle-mask"] == "" for line in lines} == {True, False}
