"""Points in the plane, and digits, beside scikit-learn's."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_circles, make_moons

from ticketsearch.errors import InvalidValue, MissingData
from ticketsearch.tasks import load_task

SMALL = {"examples": 3000}


def points(name: str, **options: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    train = load_task(name, options=SMALL | options).train
    return train.inputs.numpy(), train.labels.numpy()


@pytest.mark.parametrize(("name", "make"), [("moons", make_moons), ("circles", make_circles)])
def test_without_noise_points_lie_where_scikit_learn_s_do(name: str, make: Any) -> None:
    inputs, labels = points(name, noise=0.0)
    theirs, classes = make(n_samples=20_000)
    for label in (0, 1):
        curve = theirs[classes == label]
        nearest = [float(np.min(np.linalg.norm(curve - point, axis=1))) for point in inputs[labels == label][:100]]
        assert max(nearest) < 1e-3
        np.testing.assert_allclose(inputs[labels == label].mean(0), curve.mean(0), atol=0.08)  # all along it
    assert 0.45 < labels.mean() < 0.55


@pytest.mark.parametrize("name", ["moons", "circles", "blobs"])
def test_noise_is_as_large_as_asked_for(name: str) -> None:
    (quiet, labels), (noisy, same) = (points(name, noise=noise) for noise in (0.0, 0.3))
    np.testing.assert_array_equal(labels, same)
    assert (noisy - quiet).std() == pytest.approx(0.3, rel=0.05)


def test_splits_share_nothing_and_are_the_same_each_time() -> None:
    first, again = (load_task("blobs", options=SMALL) for _ in range(2))
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert first.overlap == {}
    assert [len(split.labels) for split in (first.train, first.validation, first.test)] == [3000, 600, 600]


def test_digits_are_scikit_learn_s() -> None:
    task = load_task("digits")
    inputs, labels = load_digits(return_X_y=True)
    splits = (task.train, task.validation, task.test)
    assert [len(split.labels) for split in splits] == [1078, 359, 360]
    theirs = sorted((*row, label) for row, label in zip((inputs / 16).tolist(), labels.tolist(), strict=True))
    ours = [(*row, label) for split in splits for row, label in zip(*(part.tolist() for part in split), strict=True)]
    assert sorted(ours) == theirs


def test_weights_and_biases_are_uniform(capsys: pytest.CaptureFixture[str]) -> None:
    network = load_task("digits", options={"hidden": "100,50"}).build(3)
    values = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    assert [tuple(p.shape) for p in network.parameters()] == [(100, 64), (100,), (50, 100), (50,), (10, 50), (10,)]
    assert -1 < float(values.min()) < -0.99 < 0.99 < float(values.max()) < 1
    assert float(values.var()) == pytest.approx(1 / 3, rel=0.03)
    small = load_task("digits", options={"hidden": 20}).scaled
    assert small is not None
    assert next(tuple(p.shape) for p in small(0.5).parameters()) == (10, 64)


@pytest.mark.parametrize("hidden", ["", "0", "20,", "a", "-3", "20;20"])
def test_widths_that_are_none(hidden: str) -> None:
    with pytest.raises(InvalidValue, match=r"hidden .* are no widths from 1 to 9999"):
        load_task("moons", options=SMALL | {"hidden": hidden})


def test_without_scikit_learn_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def none(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError("No module named 'sklearn'")
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(MissingData, match=r"pip install 'ticketsearch\[digits\]'"):
        load_task("digits")
