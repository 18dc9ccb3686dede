"""What a check of a study found, in lines."""

from __future__ import annotations

from pathlib import Path

from ticketsearch.leaderboard.soundness import Soundness


def lines_of(found: Soundness) -> list[str]:
    """What is in it, what made it, what is missing or wrong, and the verdict."""
    lines = [f"{found.runs} finished runs", *found.contents]
    for what, counts in found.made_by.items():
        single = len(counts) == 1
        lines.append(f"{what}: " + ", ".join(name if single else f"{name} ({n} runs)" for name, n in counts.items()))
    lines += [f"fault: {line}" for line in found.faults]
    lines += [f"missing: {line}" for line in found.gaps]
    for one in found.sample:
        name = Path(one.run).name
        lines += [f"made again: {name} differs: {line}" for line in one.differences]
        lines += [] if one.differences else [f"made again: {name} agrees, {100 * one.test_accuracy:.2f} %"]
    return [*lines, "sound" if found.sound else "not sound: see the lines that begin with fault, missing, made again"]
