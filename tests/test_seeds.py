from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch

from tests.helpers.commands import python
from ticketsearch.seeds import derive, fenced_globals, stream


def global_draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002


def misbehave(seed: int | None) -> None:
    with fenced_globals(seed):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        global_draws()
        raise ZeroDivisionError


def test_streams_of_different_names_or_seeds_differ() -> None:
    keys: list[tuple[int | str, ...]] = [(0, "a"), (0, "b"), (1, "a"), (0, "a", 0), (0, "a", "0"), (0, "a0"), (0,)]
    draws = [tuple(stream(int(seed), *names).integers(2**62, size=4)) for seed, *names in keys]
    assert len(set(draws)) == len(keys)


def test_streams_are_uncorrelated() -> None:
    a, b = (stream(0, name).normal(size=20_000) for name in ("train", "evaluate"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(20_000)


def test_a_stream_is_the_same_in_a_fresh_process() -> None:
    code = "from ticketsearch.seeds import stream; print(stream(7, 'ga', 3).integers(2**62))"
    printed = python("-c", code).stdout
    assert int(printed) == stream(7, "ga", 3).integers(2**62)


def test_derive_takes_seeds_of_any_size() -> None:
    assert derive(2**63 - 1, "x") != derive(2**63 - 2, "x")
    assert 0 <= derive(0, "x") < 2**128


@pytest.mark.parametrize("seed", [None, 5])
def test_the_fence_leaves_every_global_generator_as_found(seed: int | None) -> None:
    with fenced_globals():
        expected = global_draws()
    with fenced_globals():
        with pytest.raises(ZeroDivisionError):
            misbehave(seed)
        assert global_draws() == expected


def test_inside_a_seeded_fence_draws_depend_on_the_seed_alone() -> None:
    def inside(seed: int) -> list[float]:
        with fenced_globals(seed):
            return global_draws()

    first = inside(3)
    global_draws()
    assert inside(3) == first
    assert all(a != b for a, b in zip(inside(4), first, strict=True))


def test_the_fence_does_not_import_torch() -> None:
    code = "import sys; from ticketsearch.seeds import *\nwith fenced_globals(1): pass\nprint('torch' in sys.modules)"
    assert python("-c", code).stdout.strip() == "False"
    assert "torch" in sys.modules
