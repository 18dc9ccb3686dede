"""Bits flipped and ends cut off, anywhere in a run folder: detected or harmless, and never touched."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from tests.helpers import tiny
from tests.helpers.commands import Cli
from tests.helpers.crashes import CrashAt
from tests.helpers.runs import Crash, outcome, run
from ticketsearch import Result, load_ticket
from ticketsearch.errors import CorruptRun, NotARun, TicketsearchError
from ticketsearch.leaderboard import load_study
from ticketsearch.masks import digest, pack
from ticketsearch.records.folder import BASELINES, LEDGER, RESULT, SPEC, TICKET
from ticketsearch.records.ledger import read_record
from ticketsearch.records.results import read_result
from ticketsearch.records.sealed import read_sealed, write_sealed
from ticketsearch.records.spec import read_spec
from ticketsearch.records.study_records import read_baseline
from ticketsearch.runner.setup import Setup
from ticketsearch.studies.baseline import measure_baseline

IMP: dict[str, Any] = {"strategy": "imp", "settings": {"rounds": 3}, "sparsity": 0.8, "budget": "20ep"}


def folder_of(out: Path) -> Path:
    [folder] = [path for path in out.iterdir() if (path / SPEC).is_file()]
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run and a baseline."""
    out = tmp_path_factory.mktemp("finished")
    run(out, "ga", settings={"population": 4})
    task = tiny.make_task()
    measure_baseline(Setup.of(task, tiny.dense_engine(task), seed=0), 0.9, 12.0, 10, out)
    return out


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder with one run that was killed while confirming, and what it would have come to."""
    out = tmp_path_factory.mktemp("broken")
    with pytest.raises(Crash):
        run(out, progress=CrashAt(confirming="dense"), **IMP)
    return out, run(tmp_path_factory.mktemp("whole"), **IMP)


def damages(content: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Flipped bits, a lost end, a run of zeros, other bytes."""
    while True:
        where, damaged = int(rng.integers(len(content))), bytearray(content)
        kind = rng.integers(5)
        if kind < 2:
            damaged[where] ^= 1 << rng.integers(8)
        elif kind == 2:
            del damaged[where:]
        elif kind == 3:
            damaged[where : where + 64] = bytes(len(damaged[where : where + 64]))
        else:
            damaged[where] = int(rng.integers(256))
        if bytes(damaged) != content:
            yield bytes(damaged)


@pytest.mark.parametrize("name", [RESULT, SPEC])
def test_a_file_of_another_run_is_named(tmp_path: Path, cli: Cli, name: str) -> None:
    first, second = (Path(run(tmp_path / "runs", seed=seed).run) for seed in (0, 1))
    shutil.copyfile(second / name, first / name)
    with pytest.raises(CorruptRun, match=r"result\.json is of another run than spec\.json: seed is \d, not \d; move"):
        run(tmp_path / "runs")
    done = cli("report", tmp_path / "runs")
    assert done.code == 1  # the others are reported all the same
    assert "tiny at sparsity 0.9" in done.out
    assert "of another run" in done.err
    assert read_result(second).seed == 1


@pytest.mark.parametrize("name", [RESULT, SPEC])
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_neither_a_pipe_nor_an_endless_file_is_read(tmp_path: Path, cli: Cli, name: str, kind: str) -> None:
    folder = Path(run(tmp_path / "runs").run)
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).touch()
        os.truncate(folder / name, 20 * 2**30)
    for command in (["verify", folder, "--task", "tests.helpers.tiny:task"], ["report", tmp_path / "runs"]):
        done = cli(*command)
        assert done.code in ((0, 1, 2) if command[0] == "report" else (1, 2))
        assert len(done.err.splitlines()) <= 1


def test_an_archive_is_not_read_without_end(tmp_path: Path) -> None:
    (tmp_path / "study.json.gz").write_bytes(b"\x1f\x8b")
    os.truncate(tmp_path / "study.json.gz", 20 * 2**30)
    with pytest.raises(NotARun, match="are more than the"):
        load_study(tmp_path / "study.json.gz")


@pytest.mark.parametrize("name", [RESULT, SPEC, LEDGER, TICKET, BASELINES])
def test_damage_to_a_finished_run_is_found_or_harmless_and_left_as_it_is(
    finished: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(finished, tmp_path / "out")
    folder = folder_of(tmp_path / "out")
    path = next((tmp_path / "out" / BASELINES).iterdir()) if name == BASELINES else folder / name
    read: dict[str, Callable[[], Any]] = {
        RESULT: lambda: read_result(folder),
        SPEC: lambda: read_spec(folder),
        LEDGER: lambda: read_record(path).trials,
        TICKET: lambda: [
            load_ticket(folder).mask.tolist(),
            *(
                {name: array.tolist() for name, array in load_ticket(folder).state_dict(trained=trained).items()}
                for trained in (False, True)
            ),
        ],
        BASELINES: lambda: read_baseline(path),
    }
    content, whole = path.read_bytes(), read[name]()
    rng = np.random.Generator(np.random.PCG64([5, *name.encode()]))
    found = harmless = 0
    for damaged, _ in zip(damages(content, rng), range(60), strict=False):
        path.write_bytes(damaged)
        try:
            again = read[name]()
        except CorruptRun as error:
            found += str(path) in str(error)
        else:
            harmless += 1
            if name == SPEC:  # JSON without a digest: the folder's name has it
                assert again.folder_name != folder.name or again == whole
            else:
                assert again == whole or (name == LEDGER and again == whole[: len(again)])
        assert path.read_bytes() == damaged
        study = load_study(tmp_path / "out")  # what a report is made of
        of_runs = [problem for problem in study.problems if BASELINES not in problem]
        assert len(study.results) + len(of_runs) == 1
    assert found + harmless == 60
    assert found > (10 if name in (LEDGER, SPEC) else 50)


def test_a_report_of_damaged_runs_names_them_and_shows_the_others(cli: Cli, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "out")
    run(tmp_path / "out", "sa", settings={"chains": 2})
    path = next(path for path in (tmp_path / "out").iterdir() if "-ga-" in path.name) / RESULT
    content = path.read_bytes()
    digits = content.replace(b'"test_accuracy": 0.', b'"test_accuracy": 1.', 1)
    assert digits != content
    for damaged in (digits, b'{"digest": "x"}', b"[" * 100_000, content[:-3], b""):
        path.write_bytes(damaged)
        shown = cli("report", tmp_path / "out")
        assert shown.code == 1
        assert str(path) in shown.err
        assert len(shown.err.splitlines()) == 1
        assert "sa" in shown.out
        assert path.read_bytes() == damaged


def test_a_run_with_damage_is_resumed_to_the_same_end_or_says_what_is_damaged(
    broken_off: tuple[Path, Result], tmp_path: Path
) -> None:
    out, whole = broken_off
    rng = np.random.Generator(np.random.PCG64(11))
    names = [path.relative_to(folder_of(out)) for path in folder_of(out).rglob("*") if path.is_file()]
    ends = set()
    for number in range(24):
        copy = tmp_path / str(number)
        shutil.copytree(out, copy)
        path = folder_of(copy) / names[number % len(names)]
        if not path.stat().st_size:
            continue
        damaged = next(damages(path.read_bytes(), rng))
        path.write_bytes(damaged)
        try:
            again = run(copy, **IMP)
        except CorruptRun as error:
            ends.add("named" if str(path) in str(error) else str(error))
            assert path.read_bytes() == damaged
            assert not (folder_of(copy) / RESULT).exists()
        else:
            ends.add("harmless")
            assert outcome(again) == outcome(whole)
    assert ends == {"named", "harmless"}


def test_an_altered_spec_is_named_and_not_written_over(broken_off: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(broken_off[0], tmp_path / "copy")
    path = folder_of(tmp_path / "copy") / SPEC
    altered = path.read_bytes().replace(b'"seed": 0', b'"seed": 1')
    path.write_bytes(altered)
    with pytest.raises(CorruptRun, match=r"spec.json is not as it was written"):
        run(tmp_path / "copy", **IMP)
    assert path.read_bytes() == altered


def test_trials_altered_moved_or_taken_out_by_hand_are_found(finished: Path, tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / LEDGER
    whole = read_record(folder_of(finished) / LEDGER).trials
    for statement in (
        "UPDATE trials SET score = 1.0 WHERE number = 3",
        "UPDATE trials SET reason = 'x' WHERE number = 0",
        "UPDATE trials SET after = replace(after, '1', '2') WHERE number = 5",
        "DELETE FROM trials WHERE number = 2",
        "UPDATE trials SET number = -1 - number; UPDATE trials SET number = 10 + number",
        "INSERT INTO ended VALUES ('enough', '{}', '')",
        "DROP TABLE trials",
    ):
        shutil.copy(folder_of(finished) / LEDGER, path)
        with sqlite3.connect(path) as connection:
            connection.executescript(statement)
        connection.close()
        with pytest.raises(CorruptRun, match="is not a readable ledger"):
            read_record(path)
    with sqlite3.connect(path := tmp_path / "cut") as connection:  # the last trials: they are computed again
        shutil.copy(folder_of(finished) / LEDGER, path)
        connection.execute("DELETE FROM trials WHERE number >= 4")
    connection.close()
    assert read_record(path).trials == whole[:4]


# Ticket files of strangers.

numbers = st.one_of(st.integers(-3, 300), st.integers(2**31, 2**70), st.floats(), st.booleans(), st.none(), st.text())
shapes = st.one_of(st.lists(numbers, max_size=4), numbers, st.just([2**31, 2**31]), st.just([2**62, 0]))
listings = st.lists(st.one_of(st.tuples(st.text(max_size=3), shapes, numbers), st.tuples(st.text(max_size=3), shapes)))


@given(
    layers=st.one_of(listings, st.just([["a", [10, 10], 1]])),
    rest=st.one_of(listings, st.just([["b", [3]]])),
    step=st.one_of(st.just("0"), st.text(max_size=5)),
    counts=st.lists(st.integers(0, 100), min_size=6, max_size=6),
)
def test_a_stranger_s_ticket_is_refused_whatever_it_says(
    tmp_path_factory: pytest.TempPathFactory, layers: Any, rest: Any, step: str, counts: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "stranger.safetensors"
    names = ("start", "held", "start_rest", "trained", "trained_rest")
    tensors: dict[str, np.ndarray[Any, Any]] = {
        name: np.zeros(count, np.float32) for name, count in zip(names, counts[1:], strict=True)
    }
    tensors["mask"] = np.zeros(counts[0], np.uint8)
    header = {
        "format": "ticketsearch-ticket-2",
        "mask_digest": "0",
        "layers": json.dumps(layers),
        "rest": json.dumps(rest),
        "step": step,
    }
    write_sealed(path, header, tensors, sync=False)
    with pytest.raises(CorruptRun, match="is not a readable ticket"):
        load_ticket(path)


@pytest.mark.parametrize("shape", [[-1, -3], [3.0], [True, 3], "abc", [3] + [1] * 20, [2**80, 0]])
@pytest.mark.parametrize("which", ["rest", "layers"])
def test_shapes_are_whole_numbers(tmp_path: Path, shape: Any, which: str) -> None:
    """Of tickets that would add up."""
    mask = np.ones(3, dtype=bool)
    listed: dict[str, Any] = {"layers": [["a", [3], 1]], "rest": [["b", [3]]]}
    tensors: dict[str, np.ndarray[Any, Any]] = {
        name: np.zeros(3, np.float32) for name in ("start", "trained", "start_rest", "trained_rest")
    }
    if shape == [2**80, 0]:
        mask, empty = mask[:0], np.zeros(0, np.float32)
        listed, tensors = {"layers": [], "rest": []}, dict.fromkeys(tensors, empty)
    header = {"format": "ticketsearch-ticket-2", "mask_digest": digest(mask), "step": "0"}
    more: dict[str, np.ndarray[Any, Any]] = {"held": np.zeros(0, np.float32), "mask": pack(mask)}
    for good in (True, False):
        if not good:
            listed[which] = [["c", shape, 1][: 3 if which == "layers" else 2]]
        text = {name: json.dumps(value) for name, value in listed.items()}
        write_sealed(tmp_path / TICKET, {**header, **text}, {**tensors, **more})
        if good:
            assert load_ticket(tmp_path).mask.size == mask.size
        else:
            with pytest.raises(CorruptRun, match=r"is not a size|is not a name and a shape"):
                load_ticket(tmp_path)


def test_a_ticket_that_claims_more_than_its_length_pays_for_reserves_nothing(tmp_path: Path) -> None:
    """The claims: a network of 2**40 weights; tensors of 2**50 bytes; a header of 2**60 bytes."""
    import resource

    path = tmp_path / "bomb.safetensors"
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, limit[1]))  # a gigabyte more is a MemoryError
    try:
        rows = np.zeros(1, np.float32)
        tensors = dict.fromkeys(("start", "held", "start_rest", "trained", "trained_rest"), rows)
        header = {"format": "ticketsearch-ticket-2", "mask_digest": "0", "step": "0", "rest": "[]"}
        for layers in ([["a", [2**20, 2**20], 1]], [["a", [2**13, 2**13], 1]] * 2**14, [["a", [2**40, 0], 1]]):
            write_sealed(path, {**header, "layers": json.dumps(layers)}, {**tensors, "mask": np.zeros(1, np.uint8)})
            with pytest.raises(CorruptRun, match=r"mask is|one name"):
                load_ticket(path)
        content = save({"mask": np.zeros(8, np.uint8)})
        length = int.from_bytes(content[:8], "little")
        claims = json.loads(content[8 : 8 + length])
        claims["mask"] |= {"shape": [2**50], "data_offsets": [0, 2**50]}
        text = json.dumps(claims).encode()
        for damaged in (len(text).to_bytes(8, "little") + text + bytes(8), (2**60).to_bytes(8, "little") + content[8:]):
            path.write_bytes(damaged)
            with pytest.raises(CorruptRun, match="not a readable ticket"):
                load_ticket(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)


def test_a_pickle_in_the_place_of_a_ticket_is_not_run(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
            return Path.touch, (tmp_path / "exploded",)  # type: ignore[return-value]

    (tmp_path / TICKET).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CorruptRun):
        load_ticket(tmp_path)
    assert not (tmp_path / "exploded").exists()


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(content)
    for reader in (load_ticket, read_baseline):
        with pytest.raises(TicketsearchError):
            reader(path)
    with suppress(CorruptRun):
        assert read_record(path).trials == []
    with pytest.raises(ValueError, match=r".+"):
        read_sealed(path)


@given(st.floats(), st.integers(), st.text())
def test_what_was_sealed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, number: float, other: int, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "sealed"
    tensors = {"a": np.array([number]), "b": np.array([[other % 256]], np.uint8), "c": np.zeros((0, 3), np.float32)}
    with suppress(UnicodeEncodeError):
        text.encode()
        write_sealed(path, {"text": text}, tensors, sync=False)
        header, again = read_sealed(path)
        assert header == {"text": text}
        assert {name: (a.dtype, a.shape) for name, a in again.items()} == {
            name: (a.dtype, a.shape) for name, a in tensors.items()
        }
        assert again["a"][0] == number or math.isnan(number)
        again["a"][0] = 1.0  # and may be written to
