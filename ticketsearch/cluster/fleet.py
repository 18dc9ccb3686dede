"""Workers on a Ray cluster, each an actor with a CPU or a GPU of its own, and the handing out of pieces of work.

The fleet keeps the books itself instead of leaving retries to Ray, so that there is one rule for all that can happen:

* A worker that is lost (killed, out of memory, its machine gone) is replaced when the cluster has room, and its piece
  is handed to another one; a piece that takes several workers with it is given up, with the reason.
* A piece that takes far longer than others of its size is handed out a second time once a worker has nothing else to
  do. The first answer counts, the other is cancelled; a worker that goes on nevertheless is left alone until it
  answers, and replaced if it does not.
* An error that a worker raises is the caller's error: it would be raised again.

Results depend on none of this, because the same piece has the same answer everywhere.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ticketsearch.cluster.connection import first_line, slots
from ticketsearch.errors import ClusterError, TicketsearchError

LOSSES = 3
"""Workers that one piece may cost before it is given up."""
STRAGGLING, MARGIN_S = 3.0, 0.5
"""A piece straggles when it takes so many times the median for its size, and so many seconds more."""
PATIENCE_S = 60.0
"""How long a worker may take over an answer that nobody waits for any more."""
START_S = 300.0
"""How long to wait for a first worker, or for a new one when all are gone."""
POLL_S, PAUSE_S = 0.1, 5.0
"""Between looks for stragglers; between looks at the cluster's size, and after a worker that did not start."""


@dataclass(frozen=True)
class GivenUp:
    """A piece without an answer, and why."""

    reason: str


@dataclass(frozen=True)
class _Errand:
    """A piece in a worker's hands."""

    worker: Any
    index: int
    begun: float


class Fleet:
    """Workers of one kind.

    Args:
        ray: the library, connected.
        kind: class of the workers. Its ``begin`` is called first, with ``arguments``, and may raise what ails it.
        arguments: see ``kind``.
        device: ``cpu``: a CPU for each worker; else a GPU.
        limit: most workers; ``None`` = as many as the cluster has room for.
    """

    def __init__(self, ray: ModuleType, kind: type, arguments: tuple[Any, ...], device: str, limit: int | None) -> None:
        self._ray, self._arguments, self._device, self._limit = ray, arguments, device, limit
        needs = {"num_cpus": 1} if device == "cpu" else {"num_cpus": 0, "num_gpus": 1}
        self._actor = ray.remote(kind).options(**needs)
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, _Errand] = {}
        self._late: dict[Any, _Errand] = {}
        self._paces: deque[float] = deque(maxlen=100)
        self._size, self._next_look, self._last_seen, self._ill = 0, 0.0, time.monotonic(), ""

    @property
    def size(self) -> int:
        """Workers that there are, or are to be."""
        return self._size

    @property
    def working(self) -> int:
        """Workers that have begun."""
        return len(self._idle) + len(self._busy) + len(self._late)

    def start(self) -> None:
        """Wait for a first worker.

        Raises:
            ClusterError: none comes.
        """
        self._last_seen = time.monotonic()
        while not self.working:
            self._hire()
            list(self._returned(POLL_S))
            self._check_alive()

    def work(
        self, method: str, pieces: Sequence[tuple[Any, ...]], sizes: Sequence[float] | None = None
    ) -> Iterator[tuple[int, Any]]:
        """Call a method of the workers with each of ``pieces``, its arguments.

        Args:
            method: its name.
            pieces: arguments, handed out in order.
            sizes: what each piece is expected to take, in any unit; ``None``: no piece is handed out twice.

        Yields:
            Positions in ``pieces`` and answers, or :class:`GivenUp`, as they come; each position once.

        Raises:
            TicketsearchError: a worker raised it.
            ClusterError: a worker raised something else, or there are none.
        """
        todo, left, losses = deque(range(len(pieces))), set(range(len(pieces))), Counter[int]()
        self._last_seen = time.monotonic()
        try:
            while left:
                self._hire()
                while todo and self._idle:
                    self._hand_out(method, pieces[todo[0]], todo.popleft())
                if sizes is not None and not todo:
                    for index in self._stragglers(sizes)[: len(self._idle)]:
                        self._hand_out(method, pieces[index], index)
                watching = sizes is not None and not todo and bool(self._idle)
                for errand, answer in self._returned(POLL_S if watching else 1.0):
                    index = errand.index
                    if index not in left:
                        continue
                    if isinstance(answer, GivenUp):
                        losses[index] += 1
                        if any(other.index == index for other in self._busy.values()):
                            continue
                        if losses[index] < LOSSES:
                            todo.appendleft(index)
                            continue
                        answer = GivenUp(f"it was lost with {LOSSES} workers, one after another: {answer.reason}")
                    elif sizes is not None:
                        self._paces.append((time.monotonic() - errand.begun) / max(sizes[index], 1e-9))
                    left.remove(index)
                    self._let_go(index)
                    yield index, answer
                self._check_alive()
        finally:
            self._let_go(None)

    def close(self) -> None:
        """End all workers."""
        errands = [*self._busy.values(), *self._late.values()]
        for worker in [*self._starting.values(), *self._idle, *(errand.worker for errand in errands)]:
            self._ray.kill(worker)
        self._starting, self._idle, self._busy, self._late = {}, [], {}, {}

    def _hire(self) -> None:
        """Ask for the workers that are missing; those for which there is no room come when there is."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + PAUSE_S
        room = slots(self._ray, self._device)
        self._size = room if self._limit is None else min(self._limit, room)
        for _ in range(self._size - self.working - len(self._starting)):
            worker = self._actor.remote()
            self._starting[worker.begin.remote(*self._arguments)] = worker

    def _hand_out(self, method: str, piece: tuple[Any, ...], index: int) -> None:
        worker = self._idle.pop()
        self._busy[getattr(worker, method).remote(*piece)] = _Errand(worker, index, time.monotonic())

    def _stragglers(self, sizes: Sequence[float]) -> list[int]:
        """Pieces to be handed out again, the slowest first."""
        if not self._idle or not self._paces:
            return []
        now, pace = time.monotonic(), statistics.median(self._paces)
        copies = Counter(errand.index for errand in self._busy.values())
        slow = [
            errand
            for errand in self._busy.values()
            if copies[errand.index] == 1 and now - errand.begun > max(STRAGGLING * pace * sizes[errand.index], MARGIN_S)
        ]
        return [errand.index for errand in sorted(slow, key=lambda errand: errand.begun)]

    def _returned(self, timeout_s: float) -> Iterator[tuple[_Errand, Any]]:
        """What came back from errands that are waited for; workers that have begun, or answered late, are idle."""
        waiting = [*self._starting, *self._busy, *self._late]
        if not waiting:
            time.sleep(timeout_s)
            return
        ready, others = self._ray.wait(waiting, num_returns=1, timeout=timeout_s)
        more = self._ray.wait(others, num_returns=len(others), timeout=0)[0] if ready and others else []
        for reference in [*ready, *more]:
            if reference in self._busy:
                errand = self._busy.pop(reference)
                yield errand, self._answer(reference, errand.worker)
            elif reference in self._starting:
                self._answer(reference, self._starting.pop(reference))
            else:  # let go, perhaps since the loop began
                self._answer(reference, self._late.pop(reference).worker, wanted=False)
        for reference, errand in list(self._late.items()):
            if time.monotonic() - errand.begun > PATIENCE_S:
                del self._late[reference]
                self._ray.kill(errand.worker)

    def _answer(self, reference: Any, worker: Any, *, wanted: bool = True) -> Any:
        """What a worker answered; it is idle now, or gone."""
        exceptions = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except exceptions.RayTaskError as error:
            self._idle.append(worker)
            if wanted:
                cause = getattr(error, "cause", error)
                if isinstance(cause, TicketsearchError):
                    raise cause from None
                raise ClusterError(f"a worker failed: {type(cause).__name__}: {first_line(cause)}") from error
            return None
        except exceptions.TaskCancelledError:
            self._idle.append(worker)
            return None
        except exceptions.RayError as error:
            self._ray.kill(worker)
            self._ill = first_line(error)
            return GivenUp(self._ill)
        self._idle.append(worker)
        return answer

    def _let_go(self, index: int | None) -> None:
        """Nobody waits any more for the answers to a piece, or to any."""
        for reference, errand in list(self._busy.items()):
            if index is None or errand.index == index:
                self._ray.cancel(reference)
                self._late[reference] = _Errand(errand.worker, errand.index, time.monotonic())
                del self._busy[reference]

    def _check_alive(self) -> None:
        now = time.monotonic()
        if self.working:
            self._last_seen = now
        elif now - self._last_seen > START_S:
            what = {"cpu": "CPU"}.get(self._device, "GPU")
            why = f"the last one: {self._ill}" if self._ill else "'ray status' says what the cluster is busy with"
            raise ClusterError(
                f"no worker began within {START_S:g} s; the cluster has {slots(self._ray, self._device)} {what}s; "
                f"{why}. The same command goes on where this one stopped"
            )
