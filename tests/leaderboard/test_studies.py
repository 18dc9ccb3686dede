"""A study read from its folder and from an archive is the same study."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.helpers.analyses import IMP, run
from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.leaderboard.analysis import analyse
from ticketsearch.leaderboard.studies import LoadedStudy, load_study, write_archive
from ticketsearch.records.folder import SPEC
from ticketsearch.records.record import write_record
from ticketsearch.records.results import write_result
from ticketsearch.records.study_records import Baseline, Failure, Failures

BASELINE = Baseline(
    task="tiny",
    task_fingerprint="f1",
    sparsity=0.9,
    seed=0,
    budget=9.0,
    fidelity=10,
    short_scores={10: [0.1, 0.2]},
    evaluation_epochs={10: 1.0},
    test_accuracies=[0.3, 0.4],
    dense_budget_test_accuracy=0.8,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "runs"
    (out / "baselines").mkdir(parents=True)
    for name in ("imp", "ga"):
        for seed in range(3):
            place = out / f"{name}-{seed}"
            place.mkdir()
            (place / SPEC).write_text("{}")
            points = IMP if name == "imp" else [(9.0, 0.5, 0.2)]
            write_result(place, run(name, seed, *points, sparsity=0.9 if seed < 2 else 0.5, budget=1000.0))
    write_record(out / "baselines" / "b.json", BASELINE)
    failure = Failure(strategy="x", settings={}, task="tiny", sparsity=0.9, seed=1, budget="9ep", reason="no luck")
    write_record(out / "failures.json", Failures(failures=[failure]))
    return out


def essence(study: LoadedStudy) -> object:
    return (
        [
            {key: value for key, value in one.model_dump().items() if key not in ("run", "ticket")}
            for one in study.results
        ],
        study.baselines,
        study.failures,
    )


def test_an_archive_is_the_same_study(folder: Path, tmp_path: Path) -> None:
    study = load_study(folder)
    assert (len(study.results), len(study.baselines), len(study.failures)) == (6, 1, 1)
    write_archive(tmp_path / "a.json.gz", study)
    again = load_study(tmp_path / "a.json.gz")
    assert essence(again) == essence(study)
    first, second = (analyse(one.results, one.baselines) for one in (study, again))
    assert [one.accuracies for s in first for one in s.contenders] == [
        one.accuracies for s in second for one in s.contenders
    ]
    write_archive(tmp_path / "b.json.gz", load_study(folder))
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert str(tmp_path) not in gzip.decompress((tmp_path / "a.json.gz").read_bytes()).decode()


def test_a_damaged_archive_is_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    write_archive(path, load_study(folder))
    whole = path.read_bytes()
    for damaged, error in (
        (whole[: len(whole) // 2], CorruptRun),
        (b"hello", NotARun),
        (b"", CorruptRun),
        (gzip.compress(b'{"results": 3}'), CorruptRun),
        (gzip.compress(b"[]"), CorruptRun),
    ):
        path.write_bytes(damaged)
        with pytest.raises(error, match=r"a\.json\.gz"):
            load_study(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketsearch.leaderboard.studies.MAX_BYTES", 2**16)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b"0" * 2**20))
    with pytest.raises(CorruptRun, match="unpacks to more than"):
        load_study(path)


def test_damaged_parts_of_a_folder_are_named_and_the_rest_counts(folder: Path) -> None:
    for name in ("imp-0/result.json", "baselines/b.json", "failures.json"):
        (folder / name).write_text("{")
    study = load_study(folder)
    assert len(study.results) == 5
    assert len(study.problems) == 3
    assert all("damaged" in problem for problem in study.problems)


def test_a_part_of_a_study(folder: Path) -> None:
    study = load_study(folder)
    assert len(study.only(sparsity=0.9).results) == 4
    assert study.only(sparsity=0.5).baselines == []
    with pytest.raises(NotARun, match=r"tiny at 0\.5, tiny at 0\.9"):
        study.only(task="large")
