"""The threads that engines compute in."""

from __future__ import annotations

import numpy as np
import torch

from ticketsearch.engine.threads import pool


def tiny_products() -> tuple[float, float, int]:
    small = np.full(64, 1e-30, np.float32)
    return (
        float((torch.from_numpy(small) * 1e-12).max()),
        float((small * np.float32(1e-12)).max()),
        torch.get_num_threads(),
    )


def test_denormal_numbers_are_zero_there_and_only_there() -> None:
    with pool(1) as threads:
        assert threads.submit(tiny_products).result() == (0.0, 0.0, 1)
    ours = tiny_products()
    assert min(ours[:2]) > 0
