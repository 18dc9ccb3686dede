"""Machine code is kept in a folder of the project's, and where there is none, not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba.core import config

from tests.helpers.commands import ROOT, python
from ticketsearch.engine import jit

CODE = """
from ticketsearch.engine.sparse import convolution, kernels, packing
from ticketsearch.engine.jit import cache_folder, compiled

def triple(x):
    return 3 * x

folder = cache_folder()
print(compiled(triple)(14) if folder is None else packing.pack.__name__, folder)
"""


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_", "TICKETSEARCH_"))
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE],
        env=own | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_any_place_to_write_to_it_is_compiled_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made in it")
    done = run(HOME=str(tmp_path / "file" / "home"))
    assert (done.returncode, done.stdout) == (0, "42 None\n"), done.stderr
    assert done.stderr == ""


@pytest.mark.slow  # the one above finds no place either
def test_a_file_in_the_place_of_the_cache_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = run(HOME="/nonexistent", TICKETSEARCH_CACHE=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (0, "42 None\n"), done.stderr


def test_the_project_s_own_cache_is_used(tmp_path: Path) -> None:
    done = run(TICKETSEARCH_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"pack {tmp_path / 'kernels'}" in done.stdout


def test_code_is_kept_there_and_numba_s_own_setting_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path / "kernels")
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    source = tmp_path / "double.py"
    source.write_text("def double(x):\n    return 2 * x\n")
    space: dict[str, Any] = {"__file__": str(source), "__name__": "double"}
    exec(compile(source.read_text(), str(source), "exec"), space)
    double = jit.compiled(space["double"])
    assert before == config.CACHE_DIR  # type: ignore[attr-defined]
    assert double(21) == 42
    assert list((tmp_path / "kernels").rglob("*.nbc"))


def test_other_source_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is inlined elsewhere may change, and Numba would not see it."""
    inner = tmp_path / "inner" / "b.py"
    inner.parent.mkdir()
    for path in (tmp_path / "a.py", inner):
        path.write_text("from numba import njit\n")
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "a.py"))
    first = jit._digest()
    inner.write_text("from numba import vectorize\n")
    assert jit._digest() != first
    inner.write_text("from numba import njit\n")
    (tmp_path / "c.py").write_text("import torch\n")  # nothing in it is compiled
    assert jit._digest() == first


GATES = """
import sys
import numpy as np
from ticketsearch.engine.dense import gate_kernels as kernels

f, size = np.float32, 500
scores = np.linspace(-4, 4, size, dtype=f)
arrays = [np.zeros(size, dtype=f) for _ in range(3)]
for name in sys.argv[1:]:
    if name == "soft":
        kernels.soft(scores, scores, f(2), f(0), f(1), *arrays)
    else:
        kernels.concrete(scores, scores, np.int32(3), np.int32(4), f(1.5), f(-0.1), f(1.1), *arrays)
print(b"".join(array.tobytes() for array in arrays).hex())
"""


def test_what_is_compiled_does_not_depend_on_what_was_compiled_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of one loop may be reordered; the small functions that it shares with another must not be for that."""
    found = []
    for names in (("concrete",), ("soft", "concrete")):
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "-".join(names)))
        found.append(python("-c", GATES, *names))
    assert found[0].stdout == found[1].stdout != "", found[0].stderr
