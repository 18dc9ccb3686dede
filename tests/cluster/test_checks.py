"""What is refused before anything is computed, and what needs no cluster to be seen."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.small_studies import study
from ticketsearch.cluster import check_executor
from ticketsearch.cluster.connection import import_ray
from ticketsearch.cluster.engine import packed_task, shares, unpacked_task
from ticketsearch.errors import ClusterError, InvalidValue, UnknownName
from ticketsearch.records.results import Result
from ticketsearch.studies import on_ray
from ticketsearch.studies.execution import compute
from ticketsearch.studies.item import Common, Finished
from ticketsearch.studies.study import planned, read_study


@pytest.mark.parametrize(
    ("executor", "address", "device", "message"),
    [
        ("rya", None, "cpu", "unknown executor 'rya'; did you mean 'ray'"),
        ("local", "here:6379", "cpu", "ray_address 'here:6379' needs the executor ray; add --executor ray"),
        ("ray", "ray://here:10001", "cpu", "is a Ray Client's"),
        ("ray", None, "mps", "not 'mps'; use --executor local"),
    ],
)
def test_what_no_executor_can_do_is_refused(executor: str, address: str | None, device: str, message: str) -> None:
    with pytest.raises((InvalidValue, UnknownName), match=message):
        check_executor(executor, address, device)


def test_without_the_library_one_line_names_the_extra(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidValue, match=r"pip install 'ticketsearch\[ray\]'"):
        import_ray()
    options = [
        "--strategies",
        "random",
        "--tasks",
        "tests.helpers.tiny:task",
        "--seeds",
        "0",
        "--out",
        tmp_path / "runs",
    ]
    refused = cli("compare", *options, "--budget", "12ep", "--executor", "ray")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "pip install 'ticketsearch[ray]'" in refused.err
    run = [
        "run",
        "--strategy",
        "random",
        "--task",
        "tests.helpers.tiny:task",
        "--budget",
        "12ep",
        "--out",
        tmp_path / "runs",
    ]
    refused = cli(*run, "--executor", "ray")
    assert (refused.code, refused.err.count("ticketsearch[ray]")) == (2, 1)
    assert cli(*run).code == 0  # nothing is in the way of the other executor


def test_a_study_says_where_it_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('executor = "ray"\nray_address = "head:6379"\nseeds = [0]\n')
    found = read_study(path)
    assert (found.executor, found.ray_address) == ("ray", "head:6379")
    with pytest.raises(UnknownName, match="executor"):
        compute(study(tmp_path / "out").model_copy(update={"executor": "slurm"}))


@pytest.mark.parametrize("workers", [1, 2, 7, 1000])
@pytest.mark.parametrize("grain", [1, 8])
@pytest.mark.parametrize("population", [1, 7, 64, 1000])
def test_shares_are_all_rows_once_in_whole_grains(population: int, workers: int, grain: int) -> None:
    chunks = list(shares(population, workers, grain))
    assert np.concatenate([np.arange(population)[chunk] for chunk in chunks]).tolist() == list(range(population))
    assert all(chunk.start % grain == 0 for chunk in chunks)
    assert len(chunks) >= min(workers, -(-population // grain))


def test_a_packed_task_is_the_task_without_a_copy_of_its_data() -> None:
    task = tiny.make_task()
    packed = packed_task(task)
    for arrays in packed[1].values():
        for array in arrays:
            array.flags.writeable = False  # as the object store gives them
    again = unpacked_task(packed)
    assert again.fingerprint == task.fingerprint
    assert again.train.inputs.data_ptr() == task.train.inputs.data_ptr()


def test_a_folder_that_machines_do_not_share_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "VISIBLE_S", 0.0)
    common = Common(str(tmp_path / "elsewhere"), "cpu", "auto", None, False)
    with pytest.raises(ClusterError, match=r"does not see the folder --out .*elsewhere; name one on a file system"):
        on_ray.ItemWorker().begin({}, common, ".cluster-1")
    [done, *_] = compute(study(tmp_path / "there", seeds=[0]))
    assert isinstance(done.result, Result)
    (tmp_path / "here").mkdir()
    unseen = on_ray._as_seen_here(Finished(planned(study(tmp_path))[0], done.result), tmp_path / "here")
    assert unseen.result is None
    assert "which is not seen here" in unseen.reason
    assert on_ray._as_seen_here(done, tmp_path / "there") == done


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"^no Ray cluster can be reached at 127\.0\.0\.1:9: \S.*$"):
        ticketsearch.run(
            "random", tiny.make_task(), budget="12ep", out=tmp_path, executor="ray", ray_address="127.0.0.1:9"
        )
