"""What a study left behind, read from its folder or from one file.

An archive is one gzipped JSON file of results and baselines, without ledgers and tickets: small enough to be committed,
complete enough for every number of a report to be computed again.
"""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ticketsearch.errors import CorruptRun, NotARun
from ticketsearch.records.files import read_whole, write_atomically
from ticketsearch.records.folder import BASELINES, RESULT, check_run, check_study, run_folders
from ticketsearch.records.results import Result, faults_of, read_finished
from ticketsearch.records.study_records import Baseline, Failure, read_baseline, read_failures
from ticketsearch.runner.audit import faults_on_file
from ticketsearch.visible import visible, visible_in

FAULTS = 3
"""Of a ledger, that are told."""
GZIP = b"\x1f\x8b"
MAX_BYTES = 2**30
"""Most an archive may unpack to: a file made by a stranger must not fill the memory."""


class _Archive(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
    format: str = "ticketsearch-study-1"
    results: list[Result]
    baselines: list[Baseline]
    failures: list[Failure]


@dataclass(frozen=True)
class LoadedStudy:
    """Everything a report is made of.

    Attributes:
        results: of finished runs.
        baselines: measured beside them.
        failures: planned runs that gave no result when last tried.
        problems: a line for each file that cannot be read; the others count all the same.
        unfinished: runs without a result.
    """

    results: list[Result]
    baselines: list[Baseline] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unfinished: int = 0

    def only(self, task: str | None = None, sparsity: float | None = None) -> LoadedStudy:
        """What belongs to one task, or to one sparsity.

        Raises:
            NotARun: nothing does.
        """

        def fits(one: Result | Baseline) -> bool:
            return task in (None, one.task) and sparsity in (None, one.sparsity)

        results = [one for one in self.results if fits(one)]
        if not results:
            found = sorted({f"{one.task} at {one.sparsity:g}" for one in self.results})
            raise NotARun(
                f"no finished run of task {task or 'any'} at sparsity {sparsity or 'any'}; there are {', '.join(found)}"
            )
        baselines = [one for one in self.baselines if fits(one)]
        return LoadedStudy(results, baselines, self.failures, self.problems, self.unfinished)


def published() -> dict[str, Path]:
    """Archives that come with the package, by name."""
    return {
        file.name.partition(".")[0]: file for file in sorted((Path(__file__).parent / "published").glob("*.json.gz"))
    }


def load_study(path: str | Path) -> LoadedStudy:
    """Read a folder of runs, one run's folder, an archive, or, by its name, one that comes with the package.

    Raises:
        NotARun: nothing of the kind is there, or no run in it is finished.
        CorruptRun: an archive is damaged.
    """
    place = Path(path)
    if not place.exists() and str(path) in (shipped := published()):
        place = shipped[str(path)]
    if place.is_file():
        return _read_archive(place)
    results: list[Result] = []
    baselines: list[Baseline] = []
    failures: list[Failure] = []
    problems: list[str] = []
    unfinished = 0
    for folder in run_folders(place):
        try:
            if not os.path.lexists(folder / RESULT):
                check_run(folder)
                unfinished += 1
                continue
            result = read_finished(folder)
            faults = [*faults_of(result), *islice(faults_on_file(folder, result), FAULTS)]
        except CorruptRun as error:
            problems.append(str(error))
            continue
        if faults:
            problems.append(f"{folder} contradicts itself and is left out: {'; '.join(faults)}")
        else:
            results.append(result)
    try:
        check_study(place)
    except CorruptRun as error:
        problems.append(str(error))
    for file in sorted((place / BASELINES).glob("*.json")):
        try:
            baselines.append(read_baseline(file))
        except CorruptRun as error:
            problems.append(str(error))
    try:
        failures = read_failures(place)
    except CorruptRun as error:
        problems.append(str(error))
    if not results and not problems:
        raise NotARun(f"{path} holds no finished run" + (f" ({unfinished} unfinished)" if unfinished else ""))
    return LoadedStudy(results, baselines, failures, [visible(one) for one in problems], unfinished)


def write_archive(path: Path, study: LoadedStudy) -> None:
    """Write results, baselines and failures as one file; the same study gives the same bytes."""
    results = [one.model_copy(update={"run": Path(one.run).name, "ticket": ""}) for one in study.results]
    document = _Archive(results=results, baselines=study.baselines, failures=study.failures)
    write_atomically(path, gzip.compress(document.model_dump_json().encode(), mtime=0))


def _read_archive(path: Path) -> LoadedStudy:
    try:
        packed = read_whole(path, MAX_BYTES)
        if not GZIP.startswith(packed[:2]):  # nothing at all is an archive cut short
            raise NotARun(f"{path} is no archive of a study and no folder of runs")
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = unpacker.decompress(packed, MAX_BYTES)
        if not unpacker.eof:
            raise CorruptRun(f"{path} is cut short, or unpacks to more than {MAX_BYTES // 2**20} MiB")
        archive = _Archive.model_validate_json(text)
        if any(fault in text for fault in (b"\\", b"\x7f")) or not text.isascii():
            archive = _Archive.model_validate(visible_in(archive.model_dump()))
    except (zlib.error, OSError) as error:
        raise NotARun(f"{path} is no archive of a study: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CorruptRun(f"{path} is damaged: {where}: {first['msg']}") from error
    found = {one.run: list(faults_of(one)) for one in archive.results}
    problems = [f"{run} contradicts itself and is left out: {'; '.join(own)}" for run, own in found.items() if own]
    sound = [one for one in archive.results if not found[one.run]]
    return LoadedStudy(sound, archive.baselines, archive.failures, [visible(one) for one in problems])
