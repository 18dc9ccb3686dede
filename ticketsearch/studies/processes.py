"""Items of a study one by one in this process, or several at a time in processes of its own.

Callbacks are called in this process: others put what they have to tell into a queue. A third process holds it, so that
one that dies while it writes takes nothing with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from queue import Queue
from typing import Any

from ticketsearch.callbacks.audience import Audience
from ticketsearch.studies.item import Common, Finished, computed
from ticketsearch.studies.study import Item

TELL_S = 0.2
"""How often callbacks are told what other processes did."""


def on_this_machine(
    items: Sequence[Item], common: Common, audience: Audience
) -> Generator[tuple[int, Finished], None, None]:
    """Results as they come; no more items are handed out than there are processes, so that a stop is soon one."""
    if common.jobs == 1:
        for index, item in enumerate(items):
            yield index, computed(item, common, audience.tell if audience else None)
        return
    waiting, pool = list(enumerate(items))[::-1], None
    running: dict[Future[Finished], int] = {}
    with _queue(audience) as queue:
        try:
            while waiting or running:
                pool = pool or ProcessPoolExecutor(common.jobs, get_context("spawn"))
                while waiting and len(running) < common.jobs:
                    index, item = waiting.pop()
                    running[pool.submit(_computed, item, common, queue)] = index
                done, _ = wait(running, None if queue is None else TELL_S, FIRST_COMPLETED)
                _hand_on(queue, audience)
                for future in done:
                    index = running.pop(future)
                    try:
                        yield index, future.result()
                    except BrokenProcessPool:  # every item in flight ends so; which one is to blame cannot be told
                        yield index, Finished(items[index], None, "a process died under it: killed, or out of memory?")
                        pool = None
        finally:
            if pool is not None:
                pool.shutdown(wait=not running, cancel_futures=True)


def _computed(item: Item, common: Common, queue: Queue[Any] | None) -> Finished:
    """In another process; what it has to tell is lost if the first one is no more."""

    def tell(*told: object) -> None:
        if queue is not None:
            with suppress(OSError, EOFError):
                queue.put(told)

    return computed(item, common, None if queue is None else tell)


@contextmanager
def _queue(audience: Audience) -> Iterator[Queue[Any] | None]:
    """Between processes, if there is anybody to be told."""
    if not audience:
        yield None
        return
    with get_context("spawn").Manager() as manager:
        yield manager.Queue()


def _hand_on(queue: Queue[Any] | None, audience: Audience) -> None:
    """Tell what is in the queue."""
    while queue is not None and not queue.empty():
        audience.tell(*queue.get())
