"""The ready callbacks, with the real libraries, offline: what was written is read back by them."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import runs
from tests.helpers.commands import python
from tests.helpers.crashes import CrashAt
from ticketsearch import Callback, Result
from ticketsearch.callbacks import MLflow, TensorBoard, WeightsAndBiases
from ticketsearch.errors import InvalidValue

BUDGET = "6ep"
EPOCH = 3 * 300


def run(out: Path, callback: Callback, **arguments: Any) -> Result:
    return runs.run(out, "random", budget=BUDGET, orders=1, checkpoints=2, callbacks=[callback], **arguments)


def confirmed(result: Result) -> dict[str, float]:
    """What each library has to hold at the end."""
    return {
        "confirmed/test_accuracy": result.test_accuracy,
        "confirmed/validation_accuracy": result.validation_accuracy,
        "reference/random/test_accuracy": result.random_test_accuracy,
        "reference/dense/test_accuracy": result.dense_test_accuracy,
        "cost/epochs": result.cost.epochs,
        "cost/sparse_flops": result.cost.sparse_flops,
    }


def searched(result: Result) -> tuple[list[float], list[Any]]:
    """Epochs spent after each trial, and its score."""
    trials = runs.trials_of(result.run)
    return [one.after.thirds / EPOCH for one in trials], [one.score for one in trials]


def hundredths(epochs: list[float]) -> list[int]:
    return [round(100 * one) for one in epochs]


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run(tmp_path / "runs", TensorBoard(tmp_path / "logs"))
    epochs, scores = searched(result)
    name = Path(result.run).name
    assert os.listdir(tmp_path / "logs") == [name]
    read = EventAccumulator(str(tmp_path / "logs" / name), size_guidance={"scalars": 0})
    read.Reload()

    def series(tag: str) -> tuple[list[int], list[float]]:
        events = read.Scalars(tag)
        return [one.step for one in events], [one.value for one in events]

    steps, values = series("search/score")
    assert steps == hundredths(epochs)
    assert values == pytest.approx(scores)
    best = [max(scores[: count + 1]) for count in range(len(scores))]
    steps, values = series("search/best")
    assert steps[: len(best)] == hundredths(epochs)
    assert values[: len(best)] == pytest.approx(best)
    curve = [one.test_accuracy for one in result.curve]
    assert series("curve/test_accuracy")[1] == pytest.approx(curve)
    for tag, value in confirmed(result).items():
        assert series(tag)[1][-1] == pytest.approx(value), tag
    hparams = read.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"strategy" in hparams
    assert b"sparsity" in hparams


def records(path: Path) -> Iterator[Any]:
    """Records of a file of W&B's: LevelDB's log format behind seven bytes, a message in each record."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, message = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place < len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or last
            record = Record()
            record.ParseFromString(message)
            yield record
            message = b""


def test_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    result = run(tmp_path / "runs", WeightsAndBiases("lottery", mode="offline", dir=tmp_path))
    wandb.teardown()  # its service has written all of it when it ends
    epochs, scores = searched(result)
    [path] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    history: dict[str, list[Any]] = defaultdict(list)
    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            assert (record.run.project, record.run.display_name) == ("lottery", Path(result.run).name)
            config |= {one.key: json.loads(one.value_json) for one in record.run.config.update}
        if kind == "summary":
            summary |= {one.key or one.nested_key[0]: json.loads(one.value_json) for one in record.summary.update}
        if kind == "history":
            row = {one.key or one.nested_key[0]: json.loads(one.value_json) for one in record.history.item}
            for key in {"search/score", "curve/test_accuracy"} & row.keys():
                history[key].append((row["epochs"], row[key]))
    assert history["search/score"] == list(zip(epochs, scores, strict=True))
    assert history["curve/test_accuracy"] == [(one.cost.epochs, one.test_accuracy) for one in result.curve]
    assert {key: summary[key] for key in confirmed(result)} == pytest.approx(confirmed(result))
    assert (config["strategy"], config["sparsity"], config["seed"]) == ("random", 0.9, 0)


STORES = ["file", pytest.param("sqlite", marks=pytest.mark.slow)]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's tables
@pytest.mark.parametrize("store", STORES)
def test_mlflow_also_goes_on_with_a_resumed_run(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes seconds to be made
    place = f"sqlite:///{tmp_path}/mlflow.db" if store == "sqlite" else str(tmp_path / "mlruns")
    client = MlflowClient(place)
    with pytest.raises(runs.Crash):
        run(tmp_path / "runs", MLflow("lottery", place), progress=CrashAt(confirming="dense"))
    experiment = client.get_experiment_by_name("lottery")
    assert experiment is not None
    [cut] = client.search_runs([experiment.experiment_id])
    assert cut.info.status == "KILLED"
    result = run(tmp_path / "runs", MLflow("lottery", place))
    [logged] = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == Path(result.run).name
    epochs, scores = searched(result)
    history = client.get_metric_history(logged.info.run_id, "search/score")
    assert [(one.step, one.value) for one in history] == list(zip(hundredths(epochs), scores, strict=True))
    curve = client.get_metric_history(logged.info.run_id, "curve/test_accuracy")
    assert [one.value for one in curve] == [one.test_accuracy for one in result.curve]
    assert {key: logged.data.metrics[key] for key in confirmed(result)} == pytest.approx(confirmed(result))
    assert logged.data.params["strategy"] == "random"
    assert logged.data.params["sparsity"] == "0.9"


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [
        (lambda: TensorBoard("x"), "torch.utils.tensorboard", "tensorboard"),
        (WeightsAndBiases, "wandb", "wandb"),
        (MLflow, "mlflow.entities", "mlflow"),
    ],
    ids=["tensorboard", "wandb", "mlflow"],
)
def test_without_the_library_the_extra_is_named(
    make: Any, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # import says that there is none
    with pytest.raises(InvalidValue, match=rf"not installed \(.*\): pip install 'ticketsearch\[{extra}\]'"):
        make()


def test_nothing_of_theirs_is_imported_before_it_is_used() -> None:
    code = "import sys, ticketsearch.callbacks; print({'torch', 'tensorboard', 'wandb', 'mlflow'} & set(sys.modules))"
    assert python("-c", code).stdout.strip() == "set()"
