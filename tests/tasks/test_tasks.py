from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ticketsearch
from tests.helpers import tiny
from ticketsearch import DataSource, Split, Task, load_task
from ticketsearch.engine.sparse.perceptron import SparseEngine
from ticketsearch.errors import CorruptRun, InvalidValue, MissingData, PluginError, UnknownName
from ticketsearch.seeds import fenced_globals
from ticketsearch.tasks.layout import layout_of, read_weights
from ticketsearch.tasks.networks import mlp
from ticketsearch.tasks.options import wants_source


@pytest.fixture(scope="module")
def mnist1d() -> Task:
    return load_task("mnist1d-mlp")


def test_mnist1d_has_the_published_sizes_and_a_validation_split_of_its_own(mnist1d: Task) -> None:
    assert [len(split.labels) for split in (mnist1d.train, mnist1d.validation, mnist1d.test)] == [4000, 2000, 1000]
    rows = [{row.tobytes() for row in s.inputs.numpy()} for s in (mnist1d.train, mnist1d.validation, mnist1d.test)]
    assert [len(a & b) for a, b in combinations(rows, 2)] == [0, 0, 0]
    space = mnist1d.layout.space
    assert [layer.shape for layer in space.layers] == [(100, 40), (100, 100), (10, 100)]


def test_mnist1d_is_the_package_s_own_default_data_set(mnist1d: Task) -> None:
    from mnist1d.data import get_dataset_args, make_dataset

    with fenced_globals():
        data = make_dataset(get_dataset_args())
    np.testing.assert_array_equal(mnist1d.test.inputs.numpy(), np.asarray(data["x_test"], dtype=np.float32))
    np.testing.assert_array_equal(mnist1d.train.labels.numpy(), data["y"])


def test_generating_mnist1d_leaves_global_generators_and_stdout_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with fenced_globals(7):  # from a state the generator cannot have left behind earlier
        before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
        load_task("mnist1d-mlp", DataSource(cache=tmp_path))
        assert random.getstate() == before[0]
        np.testing.assert_equal(np.random.get_state(), before[1])  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), before[2])
    assert capfd.readouterr().out == ""
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_cache_says_what_to_delete(tmp_path: Path) -> None:
    (tmp_path / "mnist1d-v1.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CorruptRun, match="delete it, it is made again"):
        load_task("mnist1d-mlp", DataSource(cache=tmp_path))


def test_a_search_on_mnist1d_ends_with_a_ticket_that_learned(tmp_path: Path) -> None:
    result = ticketsearch.run("magnitude", budget="15ep", out=tmp_path, orders=1)
    assert result.n_kept == 1500
    assert result.dense_test_accuracy > 0.55
    assert result.test_accuracy > result.random_test_accuracy > 0.2


def test_missing_images_are_named_with_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingData, match=r"MNIST.*--data-root or TICKETSEARCH_DATA.*--download"):
        load_task("mnist-lenet", DataSource(str(tmp_path)))
    monkeypatch.setenv("TICKETSEARCH_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(MissingData, match="elsewhere"):
        load_task("fashion-lenet")


def test_initial_weights_depend_on_the_seed_alone() -> None:
    task = tiny.make_task()
    states = [task.build(seed).state_dict() for seed in (0, 0, 1)]
    torch.rand(3)
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["hidden1.weight"], states[2]["hidden1.weight"])


def test_networks_are_initialised_as_said() -> None:
    torch_state = torch.random.get_rng_state()
    for init, deviation in (("kaiming", (2 / 400) ** 0.5), ("glorot", (2 / 700) ** 0.5)):
        layer = mlp(400, 300, init=init).output  # type: ignore[arg-type]
        assert isinstance(layer, nn.Linear)
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
        assert torch.count_nonzero(layer.bias) == 0
    torch.random.set_rng_state(torch_state)
    assert list(dict(mlp(4, 3, 2).named_parameters())) == [
        "hidden1.weight",
        "hidden1.bias",
        "output.weight",
        "output.bias",
    ]


def test_the_fingerprint_knows_data_recipe_fidelity_and_architecture() -> None:
    from dataclasses import replace

    base = tiny.make_task()
    others = [
        replace(base, train=Split(base.train.inputs + 1, base.train.labels)),
        replace(base, test=Split(base.test.inputs[:-1], base.test.labels[:-1])),
        replace(base, recipe=replace(base.recipe, momentum=0.8)),
        replace(base, fidelity=11),
        tiny.make_task(lambda: mlp(tiny.INPUTS, 13, 10, 3)),
    ]
    assert len({task.fingerprint for task in (base, *others)}) == 6
    assert tiny.make_task().fingerprint == base.fingerprint


INPUTS, LABELS = torch.zeros(40, 8), torch.arange(40) % 2


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ((INPUTS, LABELS[:-1]), "needs inputs"),
        ((INPUTS[:0], LABELS[:0]), "N > 0"),
        ((INPUTS, LABELS.float()), "integer labels"),
        ((INPUTS, LABELS[:, None]), "needs inputs"),
        ((INPUTS.long(), LABELS), "its inputs are integers, or train's are"),
        ((INPUTS.bool(), LABELS), "integers, or finite floating-point"),
        ((INPUTS / 0, LABELS), "finite floating-point"),
        ((INPUTS.double() + 1e300, LABELS), "finite floating-point"),
        ((INPUTS, LABELS.bool()), "integer labels"),
        ((INPUTS[:, :7], LABELS), r"has shape \(7,\), one of train \(8,\)"),
        ((INPUTS[:, 0], LABELS), r"has shape \(\), one of train \(8,\)"),
        (INPUTS, "must be a pair"),
        (None, "must be a pair"),
        (("a", "b"), "must be a pair"),
    ],
)
def test_splits_that_cannot_be_trained_on_are_refused(split: Any, words: str) -> None:
    good = Split(INPUTS, LABELS)
    with pytest.raises(InvalidValue, match=f"task 'mine': validation.*{words}"):
        Task("mine", tiny.NETWORK, good, split, good, tiny.RECIPE, 10)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fidelity": True}, "fidelity True"),
        ({"fidelity": 1.5}, r"fidelity 1\.5"),
        ({"name": 3}, "must be a text, not 3"),
        ({"name": "\ud800"}, "visible characters"),
    ],
)
def test_what_no_record_could_hold_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        replace(tiny.make_task(), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 2.5},
        {"steps": 10**15},
        {"batch_size": True},
        {"warmup_steps": 0.5},
        {"betas": (0.9,)},
        {"epsilon": float("inf")},
        {"learning_rate": 1e31},
    ],
)
def test_recipes_that_no_training_follows_are_refused(changes: dict[str, Any]) -> None:
    [name] = changes
    with pytest.raises(InvalidValue, match=f"recipe: {name} = .* is out of range"):
        replace(tiny.RECIPE, **changes)


def test_a_task_that_exits_is_an_error() -> None:
    def leaves() -> Any:
        raise SystemExit(0)

    good = Split(INPUTS, LABELS)
    with pytest.raises(PluginError, match="building the network failed: SystemExit"):
        Task("mine", leaves, good, good, good, tiny.RECIPE, 10).build(0)
    with pytest.raises(PluginError, match=r"leave' failed to build at .*tiny.py:[0-9]+: SystemExit: 0"):
        load_task("tests.helpers.tiny:leave")


def test_arrays_become_tensors_of_the_right_type() -> None:
    pair: Any = (np.zeros((40, 8)), np.arange(40, dtype=np.int32) % 3)
    task = Task("mine", tiny.NETWORK, pair, pair, pair, tiny.RECIPE, 10)
    assert (task.train.inputs.dtype, task.train.labels.dtype) == (torch.float32, torch.int64)
    assert task.steps_per_epoch == 1


def test_a_batch_larger_than_the_split_is_refused() -> None:
    small = Split(INPUTS[:20], LABELS[:20])
    with pytest.raises(InvalidValue, match="batch_size 30 exceeds"):
        Task("mine", tiny.NETWORK, small, small, small, tiny.RECIPE, 10)


@pytest.mark.parametrize("network", [lambda: 3, lambda: 1 / 0, lambda: None])
def test_factories_that_build_no_network_are_refused(network: Callable[[], Any]) -> None:
    with pytest.raises(PluginError, match="task 'tiny'"):
        tiny.make_task(network).build(0)


def test_the_layout_names_layers_and_counts_their_uses() -> None:
    conv, linear = nn.Conv2d(1, 3, 3, stride=2), nn.Linear(27, 2)
    network = nn.Sequential(conv, nn.Flatten(), linear)
    layout = layout_of(network, torch.zeros(2, 1, 8, 8), torch.zeros(2).long())
    assert [(layer.name, layer.shape, layer.uses) for layer in layout.space.layers] == [
        ("0.weight", (3, 1, 3, 3), 9),
        ("2.weight", (2, 27), 1),
    ]
    assert layout.rest_shapes == {"0.bias": (3,), "2.bias": (2,)}
    weights = read_weights(network, layout)
    assert np.array_equal(weights.vector[:27], conv.weight.detach().numpy().ravel())
    assert np.array_equal(weights.rest[3:], linear.bias.detach().numpy())
    assert network.training


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.ReLU(), "nothing can be pruned"),
        (nn.Linear(9, 3), r"cannot process an input of shape \(1, 8\)"),
        (nn.Sequential(nn.Linear(8, 3), nn.Flatten(0)), r"must map \(1, ...\) to scores \(1, classes\)"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network: nn.Module, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        layout_of(network, torch.zeros(2, 8), torch.zeros(2).long())


def test_a_user_s_own_task_is_found_by_module_and_function() -> None:
    assert load_task("tests.helpers.tiny:task").name == "tiny"
    assert load_task("tests.helpers.tiny:sourced").name == "tiny-sourced"
    assert load_task("ticketsearch:mnist1d-mlp").name == "mnist1d-mlp"


def test_a_user_s_module_is_found_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_task.py").write_text("from tests.helpers.tiny import task as mine\n")
    monkeypatch.chdir(tmp_path)
    assert load_task("my_own_task:mine").name == "tiny"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("mnist1d-mpl", UnknownName, "did you mean 'mnist1d-mlp'"),
        ("nowhere:task", UnknownName, "unknown module 'nowhere'.*looked in"),
        ("tests.nowhere:task", UnknownName, "unknown module 'tests.nowhere'"),
        ("tests.helpers.tiny:tsk", UnknownName, "did you mean 'task'"),
        ("tests.helpers.tiny:SIZE", UnknownName, "unknown function"),
        ("tests.helpers.tiny:", InvalidValue, "not of the form"),
        (":task", InvalidValue, "not of the form"),
        ("a-b:c", InvalidValue, "not of the form"),
        ("tests.helpers.tiny:broken", PluginError, "failed to build at .*tiny.py:[0-9]+: ValueError: no luck today"),
        ("tests.helpers.tiny:not_a_task", PluginError, "returned int; it must return a ticketsearch.Task"),
    ],
)
def test_tasks_that_cannot_be_loaded_are_named(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        load_task(name)


@pytest.mark.parametrize("code", ["import nowhere_at_all", "1 +", "raise RuntimeError('boom')"])
def test_a_user_s_module_that_breaks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    (tmp_path / "breaks.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=r"task 'breaks:x' failed to import at .*breaks\.py:1: "):
        load_task("breaks:x")


def test_labels_a_network_cannot_give_are_refused_by_split_and_value() -> None:
    task = tiny.make_task()
    wild = replace(task, test=Split(task.test.inputs, task.test.labels + 1))
    with pytest.raises(InvalidValue, match=r"test has labels 1 to 3; the network has 3 classes"):
        tiny.dense_engine(wild)
    with pytest.raises(InvalidValue, match="train has labels -1 to 1"):
        SparseEngine(replace(task, train=Split(task.train.inputs, task.train.labels - 1)))


def test_statistics_over_all_batches_ever_seen_are_refused() -> None:
    network = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 3))
    with pytest.raises(InvalidValue, match="layer '1' averages its statistics"):
        tiny.dense_engine(tiny.make_task(lambda: network))


def test_only_a_parameter_without_default_is_for_the_data_source() -> None:
    assert not wants_source(lambda size=3: size)
    assert not wants_source(lambda *rest, flag=True: rest)
    assert wants_source(lambda source: source)
