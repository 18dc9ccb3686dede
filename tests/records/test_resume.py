"""What a run leaves for the process that resumes it, and what that one does not compute again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ticketsearch
from tests.helpers import tiny
from tests.helpers.crashes import CrashAt
from tests.helpers.runs import Crash, folder_of, outcome, run, trials_of
from ticketsearch import MaskProblem, Ticket
from ticketsearch.digests import digest_of
from ticketsearch.engine import Job
from ticketsearch.engine.sparse.perceptron import SparseEngine
from ticketsearch.errors import CorruptRun
from ticketsearch.masks import digest, top_n
from ticketsearch.records.folder import RESUME
from ticketsearch.records.resume import ResumeStore

IMP: dict[str, Any] = {
    "strategy": "imp",
    "settings": {"rounds": 3, "rewind": "5step"},
    "sparsity": 0.8,
    "budget": "20ep",
}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """Counts every step that the sparse engine trains, by the first mask and the step."""
    counted: Counter[tuple[str, int]] = Counter()
    train = SparseEngine.train

    def counting(self: SparseEngine, job: Job, stops: tuple[int, ...]) -> Iterator[Any]:
        before = 0
        for stop, state in zip(stops, train(self, job, stops), strict=True):
            counted.update((digest(job.masks[0]), job.first_step + step) for step in range(before, stop))
            before = stop
            yield state

    monkeypatch.setattr(SparseEngine, "train", counting)
    return counted


def test_finished_trainings_of_a_search_are_not_computed_again(tmp_path: Path, steps: Counter[tuple[str, int]]) -> None:
    whole = run(tmp_path / "whole", **IMP)
    once = steps.copy()
    steps.clear()
    kills = range(4, 40, 4)  # a search of imp tells its progress each epoch and at the end of each round
    finished = False
    for calls in kills:
        recorded = {trial.mask for trial in trials_of(folder_of(tmp_path / "broken"))} if calls > 4 else set()
        before = steps.copy()
        try:
            run(tmp_path / "broken", progress=CrashAt(calls), **IMP)
            finished = True
            break
        except Crash:
            assert recorded.isdisjoint(mask for mask, _ in steps - before)
    assert finished
    assert calls > 12
    assert outcome(run(tmp_path / "broken", **IMP)) == outcome(whole)
    assert set(steps) == set(once)


def test_a_snapshot_that_was_kept_is_the_one_that_was_given(tmp_path: Path) -> None:
    def snapshots(seen: list[Any], engine: tiny.WrappedEngine) -> None:
        problem = tiny.make_problem(engine=engine, resume=ResumeStore(tmp_path))
        seen += list(problem.train(every="1ep", at=(7,)))
        seen += list(problem.train(np.arange(tiny.SIZE) % 2 == 0, every=20))

    first: list[Any] = []
    again: list[Any] = []
    snapshots(first, tiny.WrappedEngine(tiny.make_task()))
    engine = tiny.WrappedEngine(tiny.make_task())
    snapshots(again, engine)
    assert engine.calls == []
    for a, b in zip(first, again, strict=True):
        assert (a.step, a.train_loss) == (b.step, b.train_loss)
        assert np.array_equal(a.weights.vector, b.weights.vector)
        assert np.array_equal(a.weights.rest, b.weights.rest)
        b.weights.vector[0] = 1.0  # a strategy may write to what it was given


@pytest.mark.parametrize("missing", [0, 1, 3, 6])
def test_a_training_goes_on_after_the_snapshots_that_were_kept(tmp_path: Path, missing: int) -> None:
    def train(resume: ResumeStore | None) -> list[Any]:
        problem = tiny.make_problem(resume=resume)
        return [(s.step, s.train_loss, s.weights.vector.tolist()) for s in problem.train(every=13)]

    whole = train(None)
    train(ResumeStore(tmp_path))
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == len(whole) == 5
    for path in paths[missing:] if missing < 6 else paths[1:3]:
        path.unlink()
    assert train(ResumeStore(tmp_path)) == whole
    assert train(ResumeStore(tmp_path, limit_bytes=0)) == whole


def test_trained_vectors_of_a_relaxation_and_gradients_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strategies that use them, killed after their last trial, compute nothing anew."""
    from ticketsearch.engine.dense.derivatives import Derivatives

    for strategy in ("supermask", "snip", "grasp"):
        whole = run(tmp_path / "whole", strategy, budget="20ep")
        with pytest.raises(Crash):
            run(tmp_path / strategy, strategy, budget="20ep", progress=CrashAt(confirming="ticket"))

        def never(*_: object, **__: object) -> None:
            raise AssertionError("computed again")

        with monkeypatch.context() as patch:
            for name in ("gradients", "hessian_gradient"):
                patch.setattr(Derivatives, name, never)
            patch.setattr(SparseEngine, "train_relaxed", never)
            assert outcome(run(tmp_path / strategy, strategy, budget="20ep")) == outcome(whole)


def test_finished_references_are_not_trained_again(tmp_path: Path, steps: Counter[tuple[str, int]]) -> None:
    arguments: dict[str, Any] = {"controls": ("reinitialise", "shuffle-mask"), "checkpoints": 3}
    whole = run(tmp_path / "whole", "ga", settings={"population": 4}, budget="20ep", **arguments)
    once = steps.total()
    steps.clear()
    for what in ("dense", "random", "magnitude", "reinitialise", "shuffle-mask", "checkpoints"):
        with pytest.raises(Crash):
            run(
                tmp_path / "broken",
                "ga",
                settings={"population": 4},
                budget="20ep",
                progress=CrashAt(confirming=what),
                **arguments,
            )
        assert (folder_of(tmp_path / "broken") / RESUME).is_dir()
    assert outcome(run(tmp_path / "broken", "ga", settings={"population": 4}, budget="20ep", **arguments)) == outcome(
        whole
    )
    assert steps.total() <= once + 5 * 10 + 60  # an epoch of each reference, a training of the checkpoints' first order
    assert not (folder_of(tmp_path / "broken") / RESUME).exists()


def test_checkpoints_that_a_killed_process_left_beside_its_result_are_removed(tmp_path: Path) -> None:
    result = run(tmp_path)
    left = Path(result.run) / RESUME
    ResumeStore(left).save("train-0-1", "x", {"a": np.zeros(3)})
    (Path(result.run) / ".ticket.safetensors.tmp-abc").write_bytes(b"half")
    assert run(tmp_path) == result
    assert not left.exists()
    assert not list(Path(result.run).glob(".*tmp*"))


def test_damaged_checkpoints_cost_their_computation_again(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", **IMP)
    with pytest.raises(Crash):
        run(tmp_path / "broken", progress=CrashAt(confirming="dense"), **IMP)
    rng = np.random.Generator(np.random.PCG64(0))
    for path in (folder_of(tmp_path / "broken") / RESUME).iterdir():
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content[: rng.integers(len(content))] if rng.random() < 0.3 else content)
    assert outcome(run(tmp_path / "broken", **IMP)) == outcome(whole)


@dataclass(frozen=True)
class Moody:
    """A strategy that is not the same the next time."""

    def search(self, problem: MaskProblem) -> Ticket:
        MOODS.append(None)
        recipe = problem.recipe.lasting(20 + len(MOODS))
        weights = next(iter(problem.train(recipe=recipe))).weights
        return Ticket(top_n(weights.vector, problem.n_kept))


MOODS: list[None] = []


def test_a_checkpoint_of_other_work_is_a_corrupt_run(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        ticketsearch.run(Moody(), tiny.make_task(), budget="20ep", out=tmp_path, progress=CrashAt(confirming="ticket"))
    folder = folder_of(tmp_path) / RESUME
    for path in folder.glob("train-0-*"):  # the same step, another recipe
        path.rename(folder / "train-0-22.safetensors")
    with pytest.raises(CorruptRun, match="made for other work than train-0-22 is now"):
        ticketsearch.run(Moody(), tiny.make_task(), budget="20ep", out=tmp_path)


def test_nothing_is_kept_beyond_the_limit_or_without_a_folder(tmp_path: Path) -> None:
    kept = ResumeStore(tmp_path / "some", limit_bytes=100)
    for number in range(4):
        kept.save(str(number), "x", {"a": np.zeros(5)})  # 40 bytes
    assert len(list((tmp_path / "some").iterdir())) == 2
    assert kept.load("0", "x") is not None
    assert kept.load("3", "x") is None
    nowhere = ResumeStore()
    nowhere.save("a", "x", {"a": np.zeros(3)})
    nowhere.clear()
    assert nowhere.load("a", "x") is None
    assert not nowhere
    again = ResumeStore(tmp_path / "some", limit_bytes=100)
    again.save("4", "x", {"a": np.zeros(1)})  # the files and their headers count
    assert again.load("4", "x") is None


def test_an_identity_tells_apart_what_differs() -> None:
    a = np.arange(6, dtype=np.float32)
    parts: list[tuple[Any, ...]] = [
        (a,),
        (a.astype(np.float64),),
        (a.reshape(2, 3),),
        (a + 1,),
        (a, a),
        (a, None),
        (a, 1),
        (a, "1"),
        (a, "None"),
        (None, a),
        ("ab", "c"),
        ("a", "bc"),
    ]
    assert len({digest_of(*one) for one in parts}) == len(parts)
    assert digest_of(a[::2]) == digest_of(a[::2].copy())
