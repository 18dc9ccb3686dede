"""Wrong labels: how many, which, where, and the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import tiny
from tests.helpers.images import write_idx
from ticketsearch import DataSource, Task, load_task
from ticketsearch.errors import InvalidValue
from ticketsearch.tasks.noise import LabelNoise

LABELS = torch.arange(20_000) % 10


def wrong(fraction: float, kind: Any, labels: torch.Tensor = LABELS) -> torch.Tensor:
    return LabelNoise(fraction, kind).of(labels) != labels


def own_noise(*, label_noise: str = "loud") -> Task:
    assert label_noise == "quiet"
    return tiny.make_task()


def test_flips_are_exactly_as_many_as_asked_for_and_redrawn_labels_are_right_by_chance() -> None:
    assert int(wrong(0.2, "flip").sum()) == 4000
    redrawn = int(wrong(0.2, "uniform").sum())
    assert abs(redrawn - 0.9 * 4000) < 4 * (4000 * 0.9 * 0.1) ** 0.5  # binomial
    assert int(wrong(0.0, "flip").sum()) == 0


@pytest.mark.parametrize(("kind", "expected"), [("flip", 1 / 9), ("uniform", 0.1)])
def test_wrong_classes_are_equally_frequent(kind: Any, expected: float) -> None:
    noisy = LabelNoise(0.9, kind).of(LABELS)
    shifts = (noisy - LABELS) % 10
    count = torch.bincount(shifts, minlength=10)[1:].float() / 18_000
    assert torch.allclose(count, torch.full((9,), expected), atol=0.01)


@pytest.mark.parametrize("kind", ["uniform", "flip"])
def test_less_noise_is_part_of_more_and_the_same_each_time(kind: Any) -> None:
    less, more = LabelNoise(0.1, kind).of(LABELS), LabelNoise(0.3, kind).of(LABELS)
    there = less != LABELS
    assert torch.equal(less[there], more[there])
    assert torch.equal(more, LabelNoise(0.3, kind).of(LABELS))
    assert not torch.equal(more, LabelNoise(0.3, kind).of(LABELS.flip(0)).flip(0))  # labels decide


def test_labels_stay_among_those_that_occur() -> None:
    labels = torch.tensor([3, 7] * 50)
    assert set(LabelNoise(0.5, "flip").of(labels).tolist()) == {3, 7}


@pytest.mark.parametrize("name", ["mnist-lenet", "moons", "tests.helpers.tiny:task"])
def test_every_task_has_it_and_only_training_labels_change(name: str, tmp_path: Path) -> None:
    write_idx(tmp_path, "MNIST")
    source = DataSource(tmp_path)
    clean, noisy, zero = (
        load_task(name, source, options)
        for options in ({}, {"label_noise": 0.2, "label_noise_kind": "flip"}, {"label_noise": 0.0})
    )
    assert int((clean.train.labels != noisy.train.labels).sum()) == round(0.2 * len(clean.train.labels))
    assert torch.equal(clean.train.inputs, noisy.train.inputs)
    for split in ("validation", "test"):
        assert torch.equal(getattr(clean, split).labels, getattr(noisy, split).labels)
    assert noisy.options == {**clean.options, "label_noise": 0.2, "label_noise_kind": "flip"}
    assert noisy.fingerprint != clean.fingerprint == zero.fingerprint
    assert zero.options == clean.options


def test_a_task_s_own_option_of_that_name_is_its_own() -> None:
    made = load_task("tests.tasks.test_noise:own_noise", options={"label_noise": "quiet"})
    assert torch.equal(made.train.labels, tiny.make_task().train.labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_noise": 1.0}, "not a fraction"),
        ({"label_noise": -0.1}, "not a fraction"),
        ({"label_noise": "much"}, "valid number"),
        ({"label_noise": 0.1, "label_noise_kind": "some"}, "label_noise_kind = 'some'"),
    ],
)
def test_what_is_no_noise_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        load_task("tests.helpers.tiny:task", options=options)
