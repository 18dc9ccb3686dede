"""What the folders of runs and of studies are made of. Never imports torch.

A run reads, writes and removes files of its own alone. Whatever else lies at one of its names (a symbolic link, a pipe,
a device, a folder in place of a file) is named, and left as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from ticketsearch.digests import digest_of_file
from ticketsearch.errors import CorruptRun, InvalidValue, NotARun, StorageError
from ticketsearch.records.files import FULL
from ticketsearch.records.lock import LOCK, only_writer

SPEC, LEDGER, TICKET, RESULT = "spec.json", "ledger.sqlite", "ticket.safetensors", "result.json"
RESUME = "resume"
MARKER, FAILURES, BASELINES, REPLACED = ".ticketsearch", "failures.json", "baselines", ".replaced"
LOGS = (f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal")
"""What SQLite makes beside a ledger."""
SEALED = (SPEC, LEDGER, TICKET)
"""Files of a finished run whose digests its result holds."""
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}


def check_run(folder: Path) -> None:
    """Refuse a run's folder in which something else lies at one of the run's names.

    Raises:
        CorruptRun: names it, and what it is.
    """
    for name in (SPEC, LEDGER, *LOGS, TICKET, RESULT, LOCK):
        check_file(folder / name)
    _check_folder(folder / RESUME)


def check_study(out: Path) -> None:
    """Refuse a study's folder in which something else lies at one of the study's names.

    Raises:
        CorruptRun: names it, and what it is.
    """
    check_file(out / MARKER)
    check_file(out / FAILURES)
    _check_folder(out / BASELINES)
    _check(out / REPLACED, stat.S_IFDIR)


def check_file(path: Path) -> None:
    """Refuse what is no regular file, if anything is there.

    Raises:
        CorruptRun: names it, and what it is.
    """
    _check(path, stat.S_IFREG)


def _check_folder(path: Path) -> None:
    """A folder of files, if it is there."""
    _check(path, stat.S_IFDIR)
    try:
        names = os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CorruptRun(f"{path} cannot be read: {error.strerror}") from error
    for name in names:
        check_file(path / name)


def _check(path: Path, wanted: int) -> None:
    try:
        found = stat.S_IFMT(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CorruptRun(f"{path} cannot be read: {error.strerror}") from error
    if found != wanted:
        raise CorruptRun(
            f"{path} is {_KINDS.get(found, 'something else')}, not {_KINDS[wanted]} of a run's own; it is left as it "
            "is: move it away"
        )


def digests_of(folder: Path) -> dict[str, str]:
    """File name -> size in bytes and digest of its content, of what a finished run's result vouches for.

    Raises:
        CorruptRun: one is missing or cannot be read.
    """
    return {name: _digest_of(folder / name) for name in SEALED}


def check_digests(folder: Path, digests: dict[str, str]) -> None:
    """Refuse a finished run's folder in which a file is not as it was when the run finished.

    Raises:
        CorruptRun: names it.
    """
    for name, wanted in digests.items():
        if not _is(folder / name, wanted):
            raise CorruptRun(
                f"{folder / name} is damaged: it is not as it was when the run finished; move the folder away and run "
                "the same command again"
            )


def _is(path: Path, digest: str) -> bool:
    """Whether a file has a digest; one of another size is not read: it may be long."""
    check_file(path)
    with suppress(OSError):
        if not digest.startswith(f"{path.stat().st_size}:"):
            return False
    return _digest_of(path) == digest


def _digest_of(path: Path) -> str:
    check_file(path)
    try:
        with path.open("rb") as file:
            content = digest_of_file(file)
            return f"{os.fstat(file.fileno()).st_size}:{content}"
    except OSError as error:
        raise CorruptRun(
            f"{path} cannot be read: {error.strerror}; move the folder away and run the same command again"
        ) from error


def make_run_folder(folder: Path) -> None:
    """Make a run's folder, and mark the one around it as a place of runs.

    Raises:
        NotARun: something else is there, or no folder can be made.
        CorruptRun: something else is at one of the run's names.
        StorageError: the disk is full.
    """
    if folder.is_symlink():
        raise NotARun(f"{folder} is a symbolic link, through which no run writes; move it away or choose another --out")
    ours = {SPEC, LOCK}  # the lock comes first: a process killed in between leaves nothing else
    if folder.exists():
        if not folder.is_dir():
            raise NotARun(f"{folder} is a file; move it away or choose another --out")
        if (found := set(os.listdir(folder))) and not found & ours:
            raise NotARun(f"{folder} exists, is not empty and is not a run; move it away or choose another --out")
        check_run(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        mark(folder.parent)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(f"{folder} cannot be made: {error.strerror}; make room") from error
        raise NotARun(f"no folder can be made in --out {folder.parent}: {error.strerror}") from error


def mark(out: Path) -> None:
    """Leave the sign by which a folder of runs is known.

    Raises:
        CorruptRun: something else is at one of the study's names.
    """
    check_study(out)
    (out / MARKER).touch()


def set_aside(folder: Path) -> None:
    """Move a run's folder to ``.replaced`` beside it, where no report looks, if it is there.

    Raises:
        NotARun: it cannot be moved, or is no folder of a run.
        CorruptRun: something else is at one of the run's names.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not os.path.lexists(folder / SPEC):
        raise NotARun(f"{folder} is not a run; move it away or choose another --out")
    check_run(folder)
    check_study(folder.parent)
    with only_writer(folder):
        replaced = folder.parent / REPLACED
        number = next(n for n in count(1) if not (replaced / f"{folder.name}.{n}").exists())
        try:
            replaced.mkdir(exist_ok=True)
            folder.rename(replaced / f"{folder.name}.{number}")
        except OSError as error:
            raise NotARun(f"{folder} cannot be moved to {replaced}: {error.strerror}") from error


def checked_out(out: Path) -> Path:
    """``out``, if run folders may be made in it: it is new, empty, or holds runs already."""
    try:
        if b"\0" in str(out).encode():
            raise NotARun(f"--out {str(out)[:100]!r} cannot be a folder: it has a NUL")
        if not out.exists():
            return out
        if not out.is_dir():
            raise NotARun(f"--out {out} is a file; name a folder")
        if os.path.lexists(out / SPEC):
            raise NotARun(f"--out {out} is a run itself; name the folder above it")
        names = os.listdir(out)
    except UnicodeEncodeError:
        raise NotARun(f"--out {str(out)[:100]!r} is no text that a result could hold; name another folder") from None
    except OSError as error:
        raise NotARun(f"--out {str(out)[:100]} cannot be read: {error.strerror}") from error
    if names and MARKER not in names and not any(os.path.lexists(out / name / SPEC) for name in names):
        raise NotARun(f"--out {out} exists, is not empty and holds no runs; name a new or an empty folder")
    return out


def check_output(path: Path) -> None:
    """Refuse to write what somebody asked for over what a run is made of.

    Raises:
        InvalidValue: the file is one of a run's own.
    """
    if path.name in (SPEC, LEDGER, *LOGS, TICKET, RESULT, LOCK) and os.path.lexists(path.parent / SPEC):
        raise InvalidValue(f"{path} belongs to a run; name another file")


def check_outputs(paths: Iterable[Path]) -> None:
    """Several files to be written: none a run's own, no two the same, and each in a folder that is there.

    Raises:
        InvalidValue: one is.
    """
    seen: set[Path] = set()
    for path in paths:
        check_output(path)
        if not path.parent.is_dir():
            raise InvalidValue(f"{path} cannot be written: there is no folder {path.parent}; make it, or name another")
        if path in seen:
            raise InvalidValue(f"{path} is named for two outputs; name a file for each")
        seen.add(path)


def run_folders(out: str | os.PathLike[str]) -> Iterator[Path]:
    """Folders of runs, finished or not, in ``out``; or ``out`` itself if it is one. Sorted by name.

    Raises:
        NotARun: no such folder.
    """
    root = Path(out)
    if not root.is_dir():
        raise NotARun(f"{root} is not a folder of runs; name the folder given to --out")
    if os.path.lexists(root / SPEC):
        yield root
        return
    for folder in sorted(root.iterdir()):
        if os.path.lexists(folder / SPEC):
            yield folder
