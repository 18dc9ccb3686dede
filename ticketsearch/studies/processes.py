"""Items of a study one by one in this process, or several at a time in processes of its own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from ticketsearch.studies.item import Common, Finished, computed
from ticketsearch.studies.study import Item


def on_this_machine(items: Sequence[Item], common: Common) -> Generator[tuple[int, Finished], None, None]:
    """Results as they come; no more items are handed out than there are processes, so that a stop is soon one."""
    if common.jobs == 1:
        for index, item in enumerate(items):
            yield index, computed(item, common)
        return
    waiting, pool = list(enumerate(items))[::-1], None
    running: dict[Future[Finished], int] = {}
    try:
        while waiting or running:
            pool = pool or ProcessPoolExecutor(common.jobs, get_context("spawn"))
            while waiting and len(running) < common.jobs:
                index, item = waiting.pop()
                running[pool.submit(computed, item, common)] = index
            done, _ = wait(running, return_when=FIRST_COMPLETED)
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
