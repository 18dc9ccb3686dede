"""What differs between operating systems, as far as one of them can tell."""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
import time

import pytest

from tests.helpers.commands import ROOT
from ticketsearch.system import alarm, cores


class Rung(Exception):
    pass


def ring() -> None:
    raise Rung


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5})
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores() == 7


def test_an_alarm_ends_a_block_and_leaves_the_process_as_it_was() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Rung), alarm(0.01, 0.01, ring):
        time.sleep(60)
    with alarm(60, 1, ring):
        pass
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_rings_again_if_it_is_swallowed() -> None:
    rung: list[int] = []
    end = time.monotonic() + 30
    with alarm(0.01, 0.01, lambda: rung.append(1)):
        while len(rung) < 3 and time.monotonic() < end:
            time.sleep(0.001)
    assert len(rung) >= 3


def test_an_alarm_within_an_alarm_lets_the_outer_one_go_on() -> None:
    rung: list[int] = []
    with alarm(0.05, 0.05, lambda: rung.append(1)):
        with alarm(60, 1, ring):
            pass
        time.sleep(0.2)
    assert rung


def test_without_signals_nothing_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def block() -> None:
        with alarm(0.01, 0.01, ring):
            time.sleep(0.05)
        ended.set()

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert ended.is_set()
    monkeypatch.setattr(sys, "platform", "win32")
    with alarm(0.01, 0.01, ring):
        time.sleep(0.05)


def test_what_windows_lacks_is_imported_where_the_platform_is_asked() -> None:
    """Modules of one platform are imported within functions, and calls of Linux stand in one module."""
    only = {"fcntl", "resource", "pwd", "grp", "termios"}
    for path in sorted((ROOT / "ticketsearch").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                assert not names & only, path
        if path.name != "system.py":
            calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert not calls & {"sched_getaffinity", "pread", "pwrite", "setitimer", "fork", "killpg"}, path
