"""Limits on what plug-ins compute, fair to honest ones on busy machines.

A limit is of seconds of a processor. A process that waits for one, because others hold it, is not slower for it. What
neither computes nor waits for a processor (it sleeps, it waits for a network) is ended after :data:`PATIENCE` times the
limit. Where the system does not say how long a process waited (all but Linux), that is of wall time.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 3.0
STEP_S = 0.1
"""How often a process is looked at."""


class Allowance:
    """A limit, and how much of it is used.

    Args:
        seconds: of a processor.
        computed: a clock of the seconds computed; ``None`` if there is none.
        waited: a clock of the seconds waited for a processor.
    """

    def __init__(self, seconds: float, computed: Callable[[], float | None], waited: Callable[[], float]) -> None:
        self.seconds, self._computed, self._waited = seconds, computed, waited
        self._begin = time.monotonic(), computed(), waited()

    @property
    def over(self) -> bool:
        """Whether it is used up."""
        began, had_computed, had_waited = self._begin
        computed = self._computed()
        if computed is not None and had_computed is not None and computed - had_computed >= self.seconds:
            return True
        return time.monotonic() - began - (self._waited() - had_waited) >= PATIENCE * self.seconds

    @classmethod
    def of_this_thread(cls, seconds: float) -> Allowance:
        """Of the calling thread, and of what the process computes on others, shared among its processors."""
        cores = os.cpu_count() or 1
        place = Path("/proc/thread-self/schedstat")
        return cls(
            seconds, lambda: max(time.thread_time(), time.process_time() / cores), lambda: _schedule(place, 1) or 0.0
        )

    @classmethod
    def of_process(cls, seconds: float, pid: int) -> Allowance:
        """Of another process."""
        place = Path(f"/proc/{pid}/schedstat")
        return cls(seconds, lambda: _schedule(place, 0), lambda: _schedule(place, 1) or 0.0)


def _schedule(place: Path, column: int) -> float | None:
    """Seconds that Linux's scheduler counts: computed (column 0) or waited; ``None`` where it does not."""
    with suppress(OSError, ValueError, IndexError):
        return int(place.read_text().split()[column]) / 1e9
    return None


def run_limited(
    command: Sequence[str], seconds: float, *, environment: Mapping[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command with a limit, ``text`` on its stdin.

    Raises:
        subprocess.TimeoutExpired: it used up its limit and was killed; has what it had written.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, env=dict(environment), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        allowance = Allowance.of_process(seconds, process.pid)
        given: str | None = text
        while True:
            try:
                out, error = process.communicate(given, timeout=STEP_S)
                return subprocess.CompletedProcess(command, process.returncode, out, error)
            except subprocess.TimeoutExpired:
                given = None
                if not allowance.over:
                    continue
                process.kill()
                out, error = process.communicate()
                raise subprocess.TimeoutExpired(command, seconds, out, error) from None
            except BaseException:
                process.kill()
                raise
