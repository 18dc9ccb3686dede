"""Archives of outcomes: the same bytes, read back, and damage that is found."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.helpers.descents import made_up
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun
from ticketsearch.records.outcomes import read_outcomes, write_outcomes
from ticketsearch.records.record import StrictRecord, write_record
from ticketsearch.studies.capacity import DescentOutcome

KINDS: dict[str, type[BaseModel]] = {"descent": DescentOutcome}


class Other(StrictRecord):
    """Of a kind that nobody reads."""

    kind: str = "other"


def archive(folder: Path) -> Path:
    path = folder / "all.json.gz"
    write_outcomes(path, made_up())
    return path


def test_what_is_written_is_read_back_and_the_same_outcomes_are_the_same_bytes(tmp_path: Path) -> None:
    path = archive(tmp_path)
    assert read_outcomes(path, KINDS) == made_up()
    first = path.read_bytes()
    assert archive(tmp_path).read_bytes() == first
    content = json.loads(gzip.decompress(first))
    assert {key: content[key] for key in ("format", "kind")} == {"format": "ticketsearch-outcomes-1", "kind": "descent"}


def test_a_number_that_is_none_survives(tmp_path: Path) -> None:
    [first, *_] = made_up()
    lost = first.points[0].model_copy(update={"test_loss": float("nan")})
    write_outcomes(tmp_path / "a.json.gz", [first.model_copy(update={"points": [lost]})])
    [found] = read_outcomes(tmp_path / "a.json.gz", KINDS)
    assert isinstance(found, DescentOutcome)
    assert found.points[0].test_loss != found.points[0].test_loss


def test_a_folder_is_read_file_by_file_and_other_records_are_left_alone(tmp_path: Path) -> None:
    for one in made_up():
        write_record(tmp_path / f"seed-{one.seed}.json", one)
    (tmp_path / "spec.json").write_text("{}")
    assert read_outcomes(tmp_path, KINDS) == made_up()
    write_record(tmp_path / "other.json", Other())
    with pytest.raises(NotARun, match="several kinds"):
        read_outcomes(tmp_path, KINDS | {"other": Other})


def test_digits_that_were_altered_are_found(tmp_path: Path) -> None:
    path = archive(tmp_path)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text.replace(b'"n_kept": 250', b'"n_kept": 251', 1)))
    with pytest.raises(CorruptRun, match="does not match its digest"):
        read_outcomes(path, KINDS)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (gzip.compress(b"{}")[:-4], CorruptRun, "cut short"),
        (gzip.compress(b"no json"), CorruptRun, "not JSON"),
        (gzip.compress(b'{"format": "ticketsearch-study-1"}'), NotARun, "archives of studies"),
        (b"plain", NotARun, "no archive"),
        (b"", CorruptRun, "cut short"),
    ],
)
def test_what_is_no_archive_is_named(content: bytes, error: type[Exception], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(content)
    with pytest.raises(error, match=words):
        read_outcomes(path, KINDS)


def test_kinds_nobody_reads_and_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="one kind"):
        write_outcomes(tmp_path / "a.json.gz", [])
    with pytest.raises(InvalidValue, match="one kind"):
        write_outcomes(tmp_path / "a.json.gz", [Other(), made_up()[0]])
    write_outcomes(tmp_path / "a.json.gz", [Other()])
    with pytest.raises(NotARun, match="kind 'other'; this ticketsearch reads descent"):
        read_outcomes(tmp_path / "a.json.gz", KINDS)
    with pytest.raises(NotARun, match="no archive"):
        read_outcomes(tmp_path / "nothing", KINDS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotARun, match="no outcomes"):
        read_outcomes(tmp_path / "empty", KINDS)
