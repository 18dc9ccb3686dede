"""Fresh processes that need not import PyTorch: children of one that has, and has done nothing else.

Each is a process of its own, with the memory of one that only imported, and another order of sets than the tests'. For
:mod:`ticketsearch.testing.fresh`, which tests ask for once for each strategy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.commands import ROOT


@contextmanager
def zygote(folder: Path) -> Iterator[Any]:
    """A function in place of :func:`ticketsearch.plugins.patience.run_limited`, for the command of ``fresh`` alone."""
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    command = [sys.executable, "-m", "tests.helpers.zygote"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def run_limited(
            command: list[str], seconds: float, *, environment: Mapping[str, str], text: str
        ) -> subprocess.CompletedProcess[str]:
            assert command[1:] == ["-m", "ticketsearch.testing.fresh"]
            (folder / "job").write_text(text)
            print(folder, file=stdin, flush=True)
            code = int(stdout.readline())
            return subprocess.CompletedProcess(
                command, code, (folder / "out").read_text(), (folder / "err").read_text()
            )

        yield run_limited
        stdin.close()


def _main() -> None:
    from ticketsearch.testing import fresh
    from ticketsearch.testing.subject import Subject  # with PyTorch

    assert Subject is not None
    for line in sys.stdin:
        folder = Path(line.strip())
        if not (child := os.fork()):
            for number, (name, flags) in enumerate([("job", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY)]):
                os.dup2(os.open(folder / name, flags | (os.O_CREAT | os.O_TRUNC if number else 0)), number)
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            try:
                fresh._main()
            finally:
                os._exit(1)  # it ends by itself if all went well
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _main()
