"""What a study will do, before it does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ticketsearch.report.progress import duration
from ticketsearch.studies.forecast import Ahead
from ticketsearch.studies.study import Item, Planned
from ticketsearch.visible import visible


def plan_in_words(items: Sequence[Item]) -> str:
    """In a line: ``18 runs (3 strategies, 2 sparsities, 3 seeds) and 6 baselines``."""
    runs = [item for item in items if isinstance(item, Planned)]
    kinds: dict[str, set[Any]] = {
        "strategies": {(run.strategy, str(run.settings)) for run in runs},
        "tasks": {(run.task, str(run.task_options)) for run in runs},
        "sparsities": {run.sparsity for run in runs},
        "seeds": {run.seed for run in runs},
    }
    counts = ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items() if len(found) > 1)
    line = _counted(len(runs), "run") + (f" ({counts})" if counts else "")
    others = len(items) - len(runs)
    return f"{line} and {_counted(others, 'baseline')}" if others else line


def time_in_words(ahead: Ahead) -> str:
    """``12 of them finished, the others at most about 25 min``."""
    left = len(ahead.items) - ahead.finished - ahead.unknown
    parts = [f"{ahead.finished} of them finished"] if ahead.finished else []
    if left:
        parts.append(f"{'the others ' if parts else ''}at most about {duration(ahead.seconds)}")
    if ahead.unknown:
        parts.append(f"{ahead.unknown} that will fail or cannot be foreseen")
    return ", ".join(parts)


def plan_in_full(items: Sequence[Item]) -> str:
    """A line for each row of the table, with its seeds and what its search may spend."""
    seeds: dict[tuple[str, str], list[int]] = defaultdict(list)
    for item in items:
        seeds[item.row, item.budget if isinstance(item, Planned) else ""].append(item.seed)
    lines = [
        f"{visible(row)}: seed{'s' if len(own) > 1 else ''} {_ranges(own)}" + (f", {budget} each" if budget else "")
        for (row, budget), own in seeds.items()
    ]
    return "\n".join(lines)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _ranges(seeds: Sequence[int]) -> str:
    """``0-4, 7``."""
    parts: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
