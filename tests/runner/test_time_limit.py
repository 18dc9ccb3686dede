"""A limit on the wall time of a search: kept by those who call, enforced on those who hang, and remembered."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.crashes import CrashAt
from tests.helpers.runs import Crash, folder_of, outcome, trials_of
from ticketsearch import MaskProblem, Result, Ticket, TicketsearchError
from ticketsearch.cost import parse_seconds
from ticketsearch.engine import make_engine
from ticketsearch.errors import InvalidValue, StrategyError, TimeLimitReached
from ticketsearch.masks import digest
from ticketsearch.records.results import read_result

LONG, SHORT = "100000ep", "0.5s"
WHY = "TimeLimitReached: the search may take 0.5 s"


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """An engine's first evaluation takes longer, loading what was compiled; that is over before the clock runs."""
    engine = make_engine(tiny.make_task())
    problem = tiny.make_problem(engine=engine)
    problem.evaluate(tiny.masks_of(problem, 3))
    list(problem.train())


def run(out: Path, strategy: Any, **arguments: Any) -> Result:
    arguments = {"budget": LONG, "orders": 2, "time_limit": SHORT, "checkpoints": 0, **arguments}
    return ticketsearch.run(strategy, tiny.make_task(), out=out, **arguments)


@dataclass(frozen=True)
class Hangs:
    """Scores some masks and then does something for ever, or nearly."""

    how: str
    scored: int = 3

    def search(self, problem: MaskProblem) -> Ticket | None:
        if self.scored:
            problem.evaluate(tiny.masks_of(problem, self.scored))
        HOW[self.how](problem)
        return None


def spin(_problem: MaskProblem) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def sleep(_problem: MaskProblem) -> None:
    time.sleep(60)


def catch_all(_problem: MaskProblem) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            while time.monotonic() < end:
                time.sleep(0.01)


def free_questions(problem: MaskProblem) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        problem.rng("again").random()
        assert problem.remaining > 0


def train(problem: MaskProblem) -> None:
    while True:
        for _ in problem.train(every=7):
            pass


def think_while_training(problem: MaskProblem) -> None:
    for snapshot in problem.train(every=7):
        if snapshot.step > 20:
            sleep(problem)


def break_off_and_hang(problem: MaskProblem) -> None:
    for snapshot in problem.train(every=7):
        if snapshot.step > 20:
            break
    sleep(problem)


def score_while_training(problem: MaskProblem) -> None:
    for _ in problem.train(recipe=problem.recipe.lasting(10**5), every=10):
        problem.evaluate(tiny.masks_of(problem, 2, int(problem.rng("x").integers(10**9)) + problem.trials))


HOW: dict[str, Callable[[MaskProblem], None]] = {
    one.__name__: one
    for one in (
        spin,
        sleep,
        catch_all,
        free_questions,
        train,
        think_while_training,
        break_off_and_hang,
        score_while_training,
    )
}


@pytest.mark.parametrize("how", HOW)
def test_a_search_ends_when_its_time_is_up_and_stays_ended(tmp_path: Path, how: str) -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Crash):
        run(tmp_path, Hangs(how), progress=CrashAt(confirming="dense"))
    before = trials_of(folder_of(tmp_path))
    begin = time.monotonic()
    result = run(tmp_path, Hangs(how))
    assert time.monotonic() - begin < 20
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert result.stopped == WHY
    assert trials_of(result.run) == before  # ended where it did
    assert 0.5 <= result.cost.wall_s < 8
    best = max((t for t in before if t.kind == "evaluate"), key=lambda t: (t.score, -(t.loss or 0)))
    assert result.mask_digest == best.mask
    assert result == read_result(folder_of(tmp_path))
    if how == "break_off_and_hang":
        assert result.calls == {"evaluate": 3, "train": 1}  # it was broken off before the time was up
    if how == "think_while_training":
        assert result.calls == {"evaluate": 3}


@pytest.mark.parametrize("strategy", ["ga", "random", "imp"])
def test_strategies_that_call_are_stopped_by_the_call(tmp_path: Path, strategy: str) -> None:
    settings = {"imp": {"rounds": 5000, "round_steps": "20ep"}}.get(strategy, {})
    begin = time.monotonic()
    try:
        result = run(tmp_path, strategy, settings=settings)
    except StrategyError as error:
        assert strategy == "imp"  # no mask was scored
        assert WHY in str(error)  # noqa: PT017
    else:
        assert result.stopped.startswith(("TimeLimitReached", "SearchStalled"))
        assert result.trials > 3
    assert time.monotonic() - begin < 20


def test_a_hanging_strategy_without_a_score_is_a_failure_that_says_why(tmp_path: Path) -> None:
    for _ in range(2):  # resumed, too
        with pytest.raises(StrategyError, match=r"without one scored mask \(TimeLimitReached: the search may"):
            run(tmp_path, Hangs("sleep", scored=0))


SLOW: list[bool] = []


@dataclass(frozen=True)
class SlowOnce:
    """Thinks too long; the next time, on a faster machine, it does not."""

    then: str

    def search(self, problem: MaskProblem) -> Ticket:
        masks = tiny.masks_of(problem, 6)
        if self.then != "only returns":
            problem.evaluate(masks[:3])
        if SLOW:
            time.sleep(60)
        if self.then == "asks":
            problem.evaluate(masks[3:])
        return Ticket(masks[5])


@pytest.mark.parametrize("then", ["asks", "returns"])
def test_a_search_that_would_be_in_time_now_still_ends_where_it_did(tmp_path: Path, then: str) -> None:
    SLOW[:] = [True]
    with pytest.raises(Crash):
        run(tmp_path, SlowOnce(then), progress=CrashAt(confirming="dense"))
    SLOW.clear()
    result = run(tmp_path, SlowOnce(then))
    assert (result.trials, result.stopped) == (3, WHY)
    best = max(trials_of(result.run), key=lambda t: (t.score, -(t.loss or 0)))
    assert result.mask_digest == best.mask


def test_a_search_that_ended_with_nothing_still_has_nothing(tmp_path: Path) -> None:
    for slow in ([True], []):
        SLOW[:] = slow
        with pytest.raises(StrategyError, match="without a ticket and without one scored mask"):
            run(tmp_path, SlowOnce("only returns"))


@dataclass(frozen=True)
class Listens:
    """Returns what it has when told."""

    def search(self, problem: MaskProblem) -> Ticket:
        masks = tiny.masks_of(problem, 2)
        problem.evaluate(masks)
        with contextlib.suppress(TimeLimitReached):
            time.sleep(60)
        return Ticket(masks[1])


def test_a_strategy_may_return_what_it_has_when_told(tmp_path: Path) -> None:
    result = run(tmp_path, Listens())
    assert result.stopped == WHY
    problem = tiny.make_problem()
    assert result.mask_digest == digest(tiny.masks_of(problem, 2)[1])


def test_a_run_that_needs_less_time_is_the_run_without_a_limit_but_for_its_folder(tmp_path: Path) -> None:
    limited, free = (
        run(tmp_path, "ga", settings={"population": 4}, budget="12ep", time_limit=limit) for limit in ("1h", None)
    )
    assert outcome(limited) == outcome(free)
    assert limited.run != free.run
    assert "time_limit" not in (Path(free.run) / "spec.json").read_text()
    assert json.loads((Path(limited.run) / "spec.json").read_text())["time_limit_s"] == 3600


def test_in_a_thread_the_verbs_look_at_the_clock(tmp_path: Path) -> None:
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path, Hangs("train"))))
    thread.start()
    thread.join(60)
    assert found[0].stopped == WHY


def test_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    arguments = ("run", "--strategy", "ga", "--task", "tests.helpers.tiny:task", "--orders", "2", "--out", tmp_path)
    result = json.loads(cli(*arguments, "--budget", LONG, "--time-limit", "500ms", "--json").out or "{}")
    assert result == {}
    result = json.loads(cli(*arguments, "--budget", LONG, "--time-limit", SHORT, "--json").out)
    assert result["stopped"] == WHY
    refused = cli(*arguments, "--time-limit", "soon")
    assert refused.code == 2
    assert refused.err == (
        "ticketsearch: error: time limit 'soon' is not a time; write it like '90s', '10min' or '2h'\n"
    )


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10min", 600), ("2h", 7200), (" 1.5 H ", 5400)])
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "0s", "1d", "1e9s", "nans", "1e999h", "1min30s", "\u0661s"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidValue, match="time limit"):
        parse_seconds(text)


def test_the_limit_is_an_error_of_the_tree() -> None:
    assert issubclass(TimeLimitReached, TicketsearchError)
