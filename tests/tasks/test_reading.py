"""Data sets and loaders of PyTorch's as splits, tasks as functions, numbers as budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import ticketsearch
from tests.helpers import tiny
from ticketsearch.cost import parse_epochs
from ticketsearch.errors import InvalidValue
from ticketsearch.tasks import Split, Task, load_task

TRAIN = tiny.blobs(300, 1)


class Pairs(Dataset[tuple[Any, Any]]):
    """What a user writes; ``label`` makes of a class what his examples have."""

    def __init__(self, split: Split = TRAIN, label: Any = int) -> None:
        self.split, self.label = split, label

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return self.split.inputs[index], self.label(self.split.labels[index])


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield TRAIN.inputs[0], 0


SOURCES: dict[str, Any] = {
    "tensors": TensorDataset(*TRAIN),
    "data set": Pairs(),
    "data set of tensors": Pairs(label=lambda label: label),
    "loader": DataLoader(Pairs(), batch_size=64),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_split_may_be_a_data_set_or_a_loader(kind: str) -> None:
    own = tiny.make_task()
    task = replace(own, train=SOURCES[kind])
    assert torch.equal(task.train.inputs, TRAIN.inputs)
    assert torch.equal(task.train.labels, TRAIN.labels)
    assert task.fingerprint == replace(own, train=TRAIN).fingerprint
    assert torch.equal(Split.read(SOURCES[kind]).labels, TRAIN.labels)


def test_a_shuffling_loader_gives_the_same_order_each_time_and_leaves_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    first, again = (Split.read(DataLoader(Pairs(), batch_size=50, shuffle=True)) for _ in range(2))
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, TRAIN.inputs)
    assert sorted(first.labels.tolist()) == sorted(TRAIN.labels.tolist())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Endless(), "Endless has no length"),
        (Pairs(Split(TRAIN.inputs[:0], TRAIN.labels[:0])), "Pairs is empty"),
        (Pairs(label=lambda label: "a class"), "example 0 of Pairs is no pair of a tensor and a class"),
        (TensorDataset(TRAIN.inputs), "a TensorDataset of 1 tensors"),
        (Pairs(label=lambda label: torch.zeros(int(label) + 1)), "differ in shape"),
    ],
)
def test_what_cannot_be_read_is_named(data: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=f"task 'tiny': train: .*{words}"):
        replace(tiny.make_task(), train=data)


def narrow(*, examples: int = 300) -> Task:
    return replace(tiny.make_task(name="narrow"), train=tiny.blobs(examples, 1))


def test_a_task_may_be_the_function_that_makes_it(tmp_path: Path) -> None:
    by_function = load_task(narrow, options={"examples": "200"})
    by_name = load_task("tests.tasks.test_reading:narrow", options={"examples": 200})
    assert by_function.fingerprint == by_name.fingerprint
    assert (by_function.options, by_function.origin) == (by_name.options, by_name.origin)
    result = ticketsearch.run("random", narrow, budget=12, orders=1, checkpoints=0, out=tmp_path)
    assert (result.budget, result.task_source) == (12.0, "tests.tasks.test_reading:narrow")
    assert load_task(lambda: tiny.make_task()).origin is None  # nobody could import it again


@pytest.mark.parametrize(
    ("given", "epochs"), [(200, 200.0), (0.5, 0.5), (1_500_000, 1.5e6), (1e-6, 1e-6), ("7ep", 7.0)]
)
def test_a_budget_may_be_a_number(given: Any, epochs: float) -> None:
    assert parse_epochs(given) == epochs


@pytest.mark.parametrize("given", [True, 0, -3, float("nan"), float("inf"), None, [3]])
def test_what_is_no_budget(given: Any) -> None:
    with pytest.raises(InvalidValue, match="budget"):
        parse_epochs(given)
