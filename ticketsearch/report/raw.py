"""Runs as rows of raw values: for a CSV file, and for whoever wants to compute a report's numbers again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ticketsearch.leaderboard.table import REFERENCES
from ticketsearch.records.files import write_atomically
from ticketsearch.records.results import CostRecord, Result
from ticketsearch.report.commands import command_of
from ticketsearch.visible import visible

PLAIN = (
    "run",
    "strategy",
    "distribution",
    "task",
    "task_fingerprint",
    "sparsity",
    "granularity",
    "seed",
    "budget",
    "fidelity",
    "orders",
    "engine",
    "device",
    "n_kept",
    "n_weights",
    "n_units_kept",
    "n_units",
    "test_accuracy",
    "validation_accuracy",
    "dense_test_accuracy",
    "random_test_accuracy",
    "magnitude_test_accuracy",
    "search_score",
    "majority_test_accuracy",
    "trials",
    "failed_trials",
    "stopped",
    "mask_digest",
)
"""Fields of a result that are one value each."""
FORMULA = ("=", "+", "-", "@", "|", "%")
"""With these a formula begins in one spreadsheet or another."""


def record(result: Result) -> dict[str, Any]:
    """One run: what it was, what it found, what it cost, its curve, and the command that repeats it."""
    row: dict[str, Any] = {name: getattr(result, name) for name in PLAIN}
    row |= {f"cost_{name}": getattr(result.cost, name) for name in CostRecord.model_fields}
    row |= {
        f"control_{name}": confirmed.test_accuracy
        for name, confirmed in result.references.items()
        if name not in REFERENCES
    }
    row |= {
        "parameters": result.parameters,
        "test_accuracies": result.confirmation.test_accuracies,
        "short_scores": {str(steps): score for steps, score in result.short_scores.items()},
        "curve": [
            {
                "epochs": point.cost.epochs,
                "train_examples": point.cost.train_examples,
                "forward_examples": point.cost.forward_examples,
                "sparse_flops": point.cost.sparse_flops,
                "cpu_s": point.cost.cpu_s,
                "search_score": point.search_score,
                "fidelity": point.fidelity,
                "test_accuracy": point.test_accuracy,
            }
            for point in result.curve
        ],
        "rounds": [
            {
                "sparsity": one.sparsity,
                "n_kept": one.n_kept,
                "validation_accuracy": one.validation_accuracy,
                "test_accuracy": one.test_accuracy,
            }
            for one in result.rounds
        ],
        "layers": {layer.name: layer.density for layer in result.layers},
        "calls": result.calls,
        "versions": result.versions,
        "machine": result.machine.model_dump(),
        "command": command_of(result),
    }
    return row


def csv_text(results: Sequence[Result]) -> str:
    """One line for each run; numbers with every digit, lists and tables as JSON, nothing where there is none."""
    rows = [record(result) for result in results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    last = "command"
    columns = [*(name for name in names if name != last), last]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writerow({name: _cell(name) for name in columns})
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write :func:`csv_text`."""
    write_atomically(path, csv_text(results).encode())


def _cell(value: Any) -> Any:
    """As a spreadsheet shows it: a text that it would compute as a formula begins with an apostrophe."""
    if isinstance(value, dict | list):
        return visible(json.dumps(value, ensure_ascii=False))
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.lstrip().startswith(FORMULA) else text
    return "" if value is None else value
