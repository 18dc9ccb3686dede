"""A thousand runs are read, analysed and written without PyTorch."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.commands import python
from tests.helpers.studies import baseline, study
from ticketsearch.records.folder import SPEC
from ticketsearch.records.record import write_record
from ticketsearch.records.results import write_result

CODE = """
import sys
from ticketsearch.cli import main
sys.argv = ["ticketsearch", "report", {runs!r}, "--html", {html!r}, "--csv", {csv!r}]
try:
    main()
except SystemExit as stop:
    print("exit", stop.code)
print("heavy", sorted({{"torch", "numba", "sklearn", "pandas", "optuna"}} & set(sys.modules)))
"""


def test_a_thousand_runs_need_no_torch_and_fit_into_five_megabytes(tmp_path: Path) -> None:
    sparsities = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    results = study(seeds=28, sparsities=sparsities).results
    assert len(results) > 1000
    for one in results:
        folder = tmp_path / "runs" / one.run
        folder.mkdir(parents=True)
        (folder / SPEC).write_text("{}")
        write_result(folder, one)
    (tmp_path / "runs" / "baselines").mkdir()
    for sparsity in sparsities:
        for seed in range(28):
            path = tmp_path / "runs" / "baselines" / f"{sparsity}-{seed}.json"
            write_record(path, baseline(seed, sparsity))
    code = CODE.format(runs=str(tmp_path / "runs"), html=str(tmp_path / "r.html"), csv=str(tmp_path / "r.csv"))
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["exit 0", "heavy []"]
    assert (tmp_path / "r.html").stat().st_size < 5_000_000
    assert len((tmp_path / "r.csv").read_text().splitlines()) == len(results) + 1
