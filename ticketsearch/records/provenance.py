"""What made a run: digests of the code that decides it, versions, the machine.

A finished run answers only for the same code. That of a strategy from outside is in the run's digest; that of this
package is in the ledger, so that no search goes on with trials that other code has made.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType

from ticketsearch.digests import Digest
from ticketsearch.records.results import Machine
from ticketsearch.system import cores

PACKAGE = Path(__file__).parents[1]
IDLE = ("cli", "exporting", "leaderboard", "plugins", "report", "scaffold", "testing")
"""Parts of the package that decide no trial."""
LIBRARIES = ("torch", "numpy", "numba")


def source_of(cls: type) -> str | None:
    """A digest of the code of a strategy from outside: its own modules, as far as they can be read.

    These are the modules of its class and of its base classes, with what they import from the same package or from
    the same folder. A class that has no file, as in a notebook, is known by its compiled functions.

    Returns:
        16 hexadecimal digits; ``None`` for a strategy of this package.
    """
    bases = [base for base in cls.__mro__ if _is_outside(base.__module__)]
    if not bases:
        return None
    state = Digest()
    found: dict[str, ModuleType | None] = {}
    for base in bases:
        _collect(base.__module__, found)
    for name, module in sorted(found.items()):
        state.add(name)
        text = _text(module)
        if text is not None:
            state.add(text)
    for base in bases:
        if _text(sys.modules.get(base.__module__)) is None:
            for code in _codes(base):
                state.add(code)
    return state.text()


@lru_cache(maxsize=1)
def code_of_package() -> str:
    """A digest of what makes trials: this package's own source, and the libraries' versions."""
    state = Digest()
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] not in IDLE:
            state.add("/".join(parts), path.read_bytes())
    for name in LIBRARIES:
        state.add(name, importlib.metadata.version(name))
    return state.text()


def _is_outside(module: str) -> bool:
    top = module.partition(".")[0]
    return top != "ticketsearch" and top not in sys.stdlib_module_names


def _collect(name: str, found: dict[str, ModuleType | None]) -> None:
    """A module, and those of the same package or folder whose objects it has."""
    if name in found:
        return
    module = found[name] = sys.modules.get(name)
    for value in list(vars(module).values()) if module else ():
        other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(other, str) and other in sys.modules and _is_outside(other) and _together(name, other):
            _collect(other, found)


def _together(name: str, other: str) -> bool:
    """Whether two modules belong together: one package, or files side by side that nobody installed."""
    if name.partition(".")[0] == other.partition(".")[0]:
        return True
    first, second = (_file(sys.modules.get(one)) for one in (name, other))
    installed = Path(sysconfig.get_paths()["purelib"])
    return (
        first is not None
        and second is not None
        and installed not in first.parents
        and (first.parent == second.parent or first.parent in second.parents)
        and installed not in second.parents
    )


def _file(module: ModuleType | None) -> Path | None:
    place = getattr(module, "__file__", None)
    return Path(place) if isinstance(place, str) else None


def _text(module: ModuleType | None) -> bytes | None:
    path = _file(module)
    if path is None or path.suffix != ".py" or not path.is_file():
        return None
    return path.read_bytes().replace(b"\r\n", b"\n")


def _codes(cls: type) -> Iterator[bytes]:
    """The compiled functions of a class, and their constants."""
    for name, value in sorted(vars(cls).items()):
        function = getattr(value, "__func__", value)
        if isinstance(code := getattr(function, "__code__", None), CodeType):
            yield name.encode() + _code(code)


def _code(code: CodeType) -> bytes:
    constants = [_code(one) if isinstance(one, CodeType) else repr(one).encode() for one in code.co_consts]
    return b"\0".join([code.co_code, *constants, *(name.encode() for name in code.co_names)])


def versions_of(distribution: str) -> dict[str, str]:
    """Versions of what decides a result: Python, this package, PyTorch, NumPy and the strategy's distribution."""
    versions = {"python": platform.python_version()}
    for name in ("ticketsearch", "torch", "numpy", distribution):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a strategy given as an instance has no distribution
            continue
    return versions


def machine_of(threads: int, device: str) -> Machine:
    """This machine: its processors' names, the cores this process may use, and the engine's threads."""
    facts = Path("/proc/cpuinfo")
    text = facts.read_text(encoding="utf-8", errors="replace") if facts.is_file() else ""
    models = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return Machine(
        processor=models[0] if models else platform.processor() or platform.machine(),
        cores=cores(),
        threads=threads,
        accelerator=_accelerator(device),
        system=f"{platform.system()} {platform.machine()}",
    )


def _accelerator(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    import torch

    return torch.cuda.get_device_name(device)
