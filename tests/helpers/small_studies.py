"""Studies on the tiny task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ticketsearch.studies.study import Study, make_study

GRID: dict[str, Any] = {
    "tasks": ["tests.helpers.tiny:task"],
    "strategies": ["random", "magnitude"],
    "seeds": [0, 1],
    "budget": "12ep",
    "orders": 1,
    "frontier": False,
    "controls": [],
    "baselines": False,
}


def study(out: Path, **changes: Any) -> Study:
    return make_study("test", {"grids": [GRID | changes], "out": str(out)})
