"""How long a report of 10,000 results takes: read, merged, analysed, written as text and as a page.

    python -m benchmarks.reporting [--results 10000] [--repeats 3]

The results are made up from those of the study ``black-box``: the same runs under other seeds, and as other settings,
their accuracies shifted a little. They lie in two archives that share a tenth, with a thousand failures, of which the
other archive makes half good. Seconds are of whole commands, ``ticketsearch report A B --html PAGE``, start included.
Prints one JSON line and writes ``benchmarks/results/reporting.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np

from benchmarks import machine
from ticketsearch.leaderboard.studies import LoadedStudy, load_study, write_archive
from ticketsearch.records.results import Result
from ticketsearch.records.study_records import Failure

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS_EACH = 5
"""Copies of a study that are other seeds of the same settings; the next are other settings."""
FAILURES = 1000


def made_up(results: Sequence[Result]) -> Iterator[Result]:
    """The results, and then copies of them without end."""
    draw = np.random.Generator(np.random.PCG64(0))
    for copy in count():
        settings, seeds = divmod(copy, SEEDS_EACH)
        for one in results:
            shift = float(draw.normal(0, 0.005))
            accuracy = one.test_accuracy + shift
            confirmed = {"test_accuracy": accuracy, "test_accuracies": [accuracy]}
            yield one.model_copy(
                update={
                    "seed": one.seed + 1000 * seeds,
                    "run": f"{one.run}-{copy}",
                    "parameters": one.parameters | ({"copy": settings} if settings else {}),
                    "test_accuracy": accuracy,
                    "validation_accuracy": one.validation_accuracy + shift,
                    "confirmation": one.confirmation.model_copy(update=confirmed),
                }
            )


def failure_of(result: Result, made_good: bool) -> Failure:
    """A run that failed where it was tried; made good if the result is elsewhere."""
    return Failure(
        strategy=result.strategy,
        settings=result.parameters,
        task=result.task,
        sparsity=result.sparsity,
        seed=result.seed if made_good else result.seed + 10**6,
        budget=f"{result.budget!r}ep",
        reason="made up",
        task_options=result.task_options,
    )


def archives(folder: Path, results: int) -> list[Path]:
    """Two archives with so many results between them."""
    made = list(islice(made_up(load_study(RESULTS / "black-box.json.gz").results), results))
    failures = [failure_of(one, index % 2 == 0) for index, one in enumerate(made[:FAILURES])]
    studies = LoadedStudy(made[: results * 11 // 20]), LoadedStudy(made[results * 9 // 20 :], [], failures)
    paths = [folder / "a.json.gz", folder / "b.json.gz"]
    for path, study in zip(paths, studies, strict=True):
        write_archive(path, study)
    return paths


def main() -> None:
    """Make, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"text": [], "text and page": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = archives(folder, arguments.results)
        for _ in range(arguments.repeats):
            for what, more in (("text", []), ("text and page", ["--html", str(folder / "page.html")])):
                begin = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "ticketsearch", "report", *map(str, places), *more],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
                seconds[what].append(round(time.perf_counter() - begin, 2))
        size = (folder / "page.html").stat().st_size
    medians = {what: statistics.median(values) for what, values in seconds.items()}
    found = {"results": arguments.results, "median_s": medians, "page_bytes": size}
    print(json.dumps(found))
    document = {"machine": machine.describe(), **found, "seconds": seconds}
    (RESULTS / "reporting.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
