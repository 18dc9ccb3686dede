"""The executor ray on a local cluster of three nodes: the same results as here, whatever happens to nodes and workers.

Tests that lose a node come first: what is left of it must have room for their work, and nobody else has workers yet.
"""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ticketsearch
from tests.cluster.conftest import Nodes, trials
from tests.helpers import tiny
from tests.helpers.commands import ROOT, Cli
from tests.helpers.small_studies import study
from tests.helpers.workers import PLACE, SLEEP_S, Marked
from ticketsearch import MaskProblem, Recipe, Result
from ticketsearch.cluster import engine as cluster_engine
from ticketsearch.cluster import fleet
from ticketsearch.cluster.connection import connected
from ticketsearch.cluster.engine import RayEngine
from ticketsearch.engine import Job, Measures, batch_indices, make_engine
from ticketsearch.errors import ClusterError
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import Ledger, read_record
from ticketsearch.records.results import read_result
from ticketsearch.report.progress import ProgressBar
from ticketsearch.studies.execution import compute
from ticketsearch.studies.item import Finished
from ticketsearch.tasks.layout import read_weights

TASK = tiny.make_task()
MASKS = tiny.masks_of(tiny.make_problem(task=TASK), 100)


def essence(result: Any) -> Any:
    """All but seconds, places and machines."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(part) for key, part in value.items() if not str(key).endswith("_s")}
        return [without(part) for part in value] if isinstance(value, list) else value

    return without(result.model_dump(exclude={"run", "ticket", "machine", "finished", "files"}))


def test_a_run_that_loses_a_node_ends_as_the_serial_one(
    losing: Nodes, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []

    def search(self: ProgressBar, problem: MaskProblem) -> None:
        if not lost:
            lost.append(problem.trials)
            losing.lose_one()

    monkeypatch.setattr(ProgressBar, "search", search)
    command = ["run", "--strategy", "ga", "--task", "tests.helpers.tiny:task", "--budget", "150ep", "--orders", "1"]
    command += ["--executor", "ray", "--ray-address", losing.address, "--json", "--out", str(tmp_path / "shared")]
    done = cli(*command)
    assert (done.code, lost) == (0, [24])
    result = read_result(Path(json.loads(done.out)["run"]))  # one object on stdout, and nothing else
    serial = ticketsearch.run(
        "ga", "tests.helpers.tiny:task", budget="150ep", orders=1, workers=1, out=tmp_path / "serial"
    )
    assert essence(result) == essence(serial)
    records = [trials(read_record(Path(one.run) / LEDGER).trials) for one in (result, serial)]
    assert records[0] == records[1]
    assert len(records[0]) > 100


@pytest.mark.slow  # the one above loses a node too
def test_a_study_that_loses_a_node_has_every_result(losing: Nodes, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"seeds": [0, 1, 2], "baselines": True}
    ended: list[Finished] = []

    def tell(one: Finished) -> None:
        ended.append(one)
        if len(ended) == 1:
            losing.lose_one()

    plan = study(tmp_path / "shared", **wanted)
    shared = compute(plan.model_copy(update={"executor": "ray", "ray_address": losing.address}), tell=tell)
    serial = compute(study(tmp_path / "serial", **wanted))
    assert len(ended) == len(shared) == 9
    assert [one.reason for one in shared] == [""] * 9
    assert [essence(one.result) if isinstance(one.result, Result) else one.result for one in shared] == [
        essence(one.result) if isinstance(one.result, Result) else one.result for one in serial
    ]
    assert all(Path(one.result.run).parent == tmp_path / "shared" for one in shared if isinstance(one.result, Result))
    assert not list((tmp_path / "shared").glob(".cluster-*"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers are told how to behave."""
    folder = tmp_path_factory.mktemp("workers")
    np.save(folder / "marked.npy", np.packbits(MASKS[0]))
    return folder


@pytest.fixture(scope="module")
def shared(nodes: Nodes, place: Path) -> Iterator[RayEngine]:
    """An engine with two workers."""
    local = make_engine(TASK, workers=1)
    with (
        pytest.MonkeyPatch.context() as patch,
        RayEngine(local, TASK, nodes.address, "auto", "cpu", 2, Marked) as engine,
    ):
        patch.setenv(PLACE, str(place))
        engine.warm_up()
        yield engine


@pytest.fixture
def workers(shared: RayEngine, place: Path) -> RayEngine:
    behave(place, "")
    (place / "given").unlink(missing_ok=True)
    return shared


def behave(place: Path, how: str) -> None:
    (place / "behaviour").write_text(how)


def job_for(engine: Any, masks: Any = MASKS, steps: int = 20) -> Job:
    batches = batch_indices(300, 30, steps, np.random.Generator(np.random.PCG64(1)))
    return Job(masks, read_weights(TASK.build(0), engine.layout), tiny.RECIPE, batches)


def same(one: Measures, other: Measures) -> bool:
    return np.array_equal(one.accuracy, other.accuracy) and np.array_equal(one.loss, other.loss)


def test_a_connection_leaves_the_process_as_it_was(nodes: Nodes) -> None:
    """Before the others: those share a connection."""
    before = signal.getsignal(signal.SIGTERM)
    with connected(nodes.address) as ray:
        assert ray.is_initialized()
        assert signal.getsignal(signal.SIGTERM) is not before
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before


def test_scores_are_the_local_ones_whatever_the_chunks(workers: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    local = make_engine(TASK, workers=1)
    whole = local.evaluate(job_for(local), TASK.validation)
    assert workers.width == 2
    for per_worker in (1, 4, 50):
        monkeypatch.setattr(cluster_engine, "SHARES", per_worker)
        for size in (1, 17, 100):
            found = workers.evaluate(job_for(workers, MASKS[:size]), TASK.validation)
            assert same(found, Measures(whole.accuracy[:size], whole.loss[:size])), (per_worker, size)
            assert (found.cpu_s > 0) == (size > 1)
    plain = job_for(local)
    held = Job(MASKS, plain.start, Recipe(5, 30, 0.1), plain.batches[:5], held=plain.start.vector)
    each = Job(MASKS[:3], plain.start, tiny.RECIPE, np.stack([plain.batches] * 3))
    for job in (held, each):
        assert same(workers.evaluate(job, TASK.test), local.evaluate(job, TASK.test))


def test_the_dense_engine_is_shared_out_as_well(nodes: Nodes, shared: RayEngine) -> None:
    local = make_engine(TASK, engine="dense", workers=1)
    with RayEngine(local, TASK, nodes.address, "dense", "cpu", 1) as engine:
        engine.warm_up()
        assert engine.width == local.grain > 1
        assert same(engine.evaluate(job_for(engine), TASK.validation), local.evaluate(job_for(local), TASK.validation))


def test_a_straggling_chunk_is_issued_again_and_counted_once(workers: RayEngine, place: Path) -> None:
    behave(place, "straggle")
    ledgers = Ledger(), Ledger()
    problem = tiny.make_problem(200.0, task=TASK, ledger=ledgers[0], engine=workers)
    found = problem.evaluate(MASKS)
    assert problem.spent.wall_s < SLEEP_S
    assert found == tiny.make_problem(200.0, task=TASK, ledger=ledgers[1], engine=make_engine(TASK)).evaluate(MASKS)
    assert trials(ledgers[0]) == trials(ledgers[1])
    given = sum(int(line) for line in (place / "given").read_text().split())
    assert len(ledgers[0]) == len(MASKS) < given


def test_a_fault_on_a_worker_is_one_line(workers: RayEngine, place: Path) -> None:
    behave(place, "fail")
    with pytest.raises(ClusterError, match=r"^a worker failed: ZeroDivisionError: no luck$"):
        workers.evaluate(job_for(workers), TASK.validation)


def test_what_no_worker_survives_is_an_error_and_the_run_goes_on_later(
    workers: RayEngine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "LOSSES", 2)
    behave(place, "die")
    masks = np.roll(MASKS, 64, axis=0)  # the marked one begins the second slab
    ledger = Ledger()
    problem = tiny.make_problem(200.0, task=TASK, ledger=ledger, engine=workers)
    with pytest.raises(ClusterError, match="evaluations got no answer: it was lost with 2 workers") as error:
        problem.evaluate(masks)
    assert "\n" not in str(error.value)
    assert len(ledger) == 64
    again = tiny.make_problem(200.0, task=TASK, ledger=ledger, engine=make_engine(TASK))
    assert len(again.evaluate(masks)) == len(ledger) == 100


def test_the_commands_of_the_pages(nodes: Nodes, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, but with a small budget, on a small task, on the cluster of this test."""
    lines = (ROOT / "docs" / "examples" / "ray.sh").read_text().splitlines()
    one, many = (shlex.split(line, comments=True)[1:] for line in lines)
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    task = ["--task", "tests.helpers.tiny:task"]
    ran = cli(*one, *task, "--budget", "30ep", "--orders", "1", "--checkpoints", "0", "--out", tmp_path)
    assert ran.code == 0, ran.err
    monkeypatch.chdir(tmp_path)
    study = 'tasks = ["tests.helpers.tiny:task"]\nstrategies = ["random"]\nseeds = [0]\nbudget = "12ep"\norders = 1\n'
    Path("study.toml").write_text(study + "controls = []\nfrontier = false\nbaselines = false\ncheckpoints = 0\n")
    there = {"head:6379": nodes.address, "/shared/runs": str(tmp_path / "shared")}
    compared = cli(*(there.get(word, word) for word in many))
    assert compared.code == 0, compared.err
