"""A node is lost in mid-run, on a cluster with nobody else's workers: what is left must have room for the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.cluster.conftest import Nodes, trials
from tests.helpers.commands import Cli
from tests.helpers.small_studies import study
from ticketsearch import MaskProblem, Result
from ticketsearch.records.folder import LEDGER
from ticketsearch.records.ledger import read_record
from ticketsearch.records.results import read_result
from ticketsearch.report.progress import ProgressBar
from ticketsearch.studies.execution import compute
from ticketsearch.studies.item import Finished

pytestmark = pytest.mark.xdist_group("ray")  # one cluster for all of them


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
