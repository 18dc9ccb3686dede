"""Twelve plug-ins, each broken in its own way, and a way to install them without pip."""

from __future__ import annotations

from pathlib import Path

from ticketsearch.plugins import STRATEGIES

HEAD = """
from dataclasses import dataclass, field
from typing import ClassVar
import numpy as np
from ticketsearch import MaskProblem, Ticket
from ticketsearch.masks import top_n

@dataclass(frozen=True)
class Mine:
    batch: int = 4
"""
SEARCH = HEAD + "    def search(self, problem: MaskProblem) -> Ticket | None:\n        rng = problem.rng('x')\n"
SOUND = SEARCH + "        problem.evaluate([problem.space.random(problem.n_kept, rng) for _ in range(4)])\n"
OFF_THE_METER = (
    SOUND
    + """
        import torch
        network = torch.nn.Linear(4, 2)
        for _ in range(5):
            loss = network(torch.ones(8, 4)).square().mean()
            loss.backward()
"""
).replace("network = torch.nn.Linear(4, 2)", "network = torch.nn.utils.skip_init(torch.nn.Linear, 4, 2)")

# name -> (source, status in the listing, the check that names the fault, words of that fault)
BROKEN: dict[str, tuple[str, str, str, str]] = {
    "import-error": ("import no_such_module_anywhere\n" + SOUND, "broken", "loads", "no_such_module_anywhere"),
    "syntax-error": (SOUND + "def broken(:\n", "broken", "loads", "SyntaxError"),
    "sys-exit": ("import sys\nsys.exit(3)\n", "broken", "loads", "SystemExit: 3"),
    "no-attribute": (SOUND.replace("class Mine", "class Yours"), "invalid", "loads", "no attribute 'Mine'"),
    "signature": (SOUND.replace("(self, problem:", "(self, a, problem:"), "invalid", "loads", "search(problem)"),
    "twin": (SOUND, "conflict", "", "registered twice; say bad-twin:twin or bad-twin-2:twin"),
    "old-api": (
        SOUND.replace("    batch", "    ticketsearch_api: ClassVar[int] = 0\n    batch"),
        "incompatible",
        "loads",
        "written for interface 0, replaced by interface 1 since ticketsearch 0.1.0",
    ),
    "endless": ("while True:\n    pass\n" + SOUND, "broken", "loads", "its import hangs"),
    "wrong-size": (SOUND + "        return Ticket(np.ones(7, dtype=bool))\n", "ok", "exact-count", "wrong size"),
    "wrong-count": (
        SOUND + "        return Ticket(problem.space.random(problem.n_kept + 1, rng))\n",
        "ok",
        "exact-count",
        "wrong count",
    ),
    "off-the-meter": (OFF_THE_METER, "ok", "metered", "backward passes"),
    "mutates": (SOUND + "        problem.sparsity = 0.5\n", "ok", "exact-count", "problem.sparsity was assigned to"),
}


def install(folder: Path, distribution: str, name: str, source: str, value: str = "") -> None:
    """A distribution as pip leaves it: metadata and a module."""
    module = distribution.replace("-", "_")
    info = folder / f"{module}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{STRATEGIES}]\n{name} = {value or module + ':Mine'}\n")
    (folder / f"{module}.py").write_text(source)


def install_all(folder: Path) -> None:
    """All twelve, the twin twice."""
    for name, (source, *_) in BROKEN.items():
        install(folder, f"bad-{name}", name, source)
    install(folder, "bad-twin-2", "twin", BROKEN["twin"][0])
