"""The tensor files of a run, its lock, and the files that a killed process left half written.

A tensor file is a safetensors file, which holds no code. Its metadata has one entry, "mpn_lab":
JSON with `run`, the identity of the run that it belongs to, `meta`, a description, and `crc32`, a
checksum of all of this and of the tensors, since safetensors has none. A file that belongs to no
run (`run` is missing) has a checksum of its tensors alone.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors.numpy import save as safetensors_bytes

from mpn_lab.files import PARTIAL, make_folder, write_whole
from mpn_lab.loading import NotAFile, read_regular_file, reason_of, shorten
from mpn_lab.training.parse import parse_description, parse_tensors, read_header

Row = dict[str, int | float]  # of the metrics
LOCK = ".mpn_lab.lock"  # in a run's folder, while a process writes there
_NUMBERED = re.compile(r"trial_(\d{6,})\.safetensors")
_LEFT = {  # folder of a run -> its files, while they are written
    "": r"config\.json|metrics\.csv|resume\.safetensors",
    "checkpoints": _NUMBERED.pattern,
    "stored_trials": _NUMBERED.pattern,
}


class RunError(Exception):
    """Raised if a run cannot be read, written or continued; the message says what to do."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and hold it for writing inside the block; the lock dies with the process.

    Raises:
        RunError: another process writes there, or the folder cannot be made or written.
    """
    make_folder(folder, RunError)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RunError(
            f"{folder} is being written by another process; wait until that has ended, or choose "
            "another folder."
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error.strerror or error}); free some space or make it "
            "writable, or copy it elsewhere."
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # While it is held: a process that has just opened it then sees that it has no name.
            os.unlink(folder / LOCK)
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a process writes in a run's folder now."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:  # it cannot be opened for writing: unknown
        return False
    lock.release()
    return False


def delete_leftovers(folder: Path) -> list[Path]:
    """Delete what a killed process left half written in a locked folder. Raises RunError."""
    found = leftovers(folder)
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(
                f"{path}, which a killed process left half written, cannot be deleted "
                f"({error.strerror}); delete it, then resume the run."
            ) from error
    return found


def leftovers(folder: Path) -> list[Path]:
    """Files that a killed process left half written; of a locked folder they may be in use."""
    found = []
    for name, files in _LEFT.items():
        pattern = re.compile(rf"\.({files})\.[0-9a-f]{{8}}{re.escape(PARTIAL)}")
        with contextlib.suppress(OSError):
            found += [p for p in (folder / name).iterdir() if pattern.fullmatch(p.name)]
    return sorted(p for p in found if p.is_file() and not p.is_symlink())


def numbered_files(folder: Path) -> list[int]:
    """The numbers N of the files trial_NNNNNN.safetensors in a folder, ascending.

    Files with other names are ignored; if there is no folder, there are none.

    Raises:
        RunError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise RunError(f"{folder} is a file; move it away: a folder belongs there.") from error
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error.strerror}); make it readable.") from error
    found = ((name, _NUMBERED.fullmatch(name)) for name in names)
    numbers = {name: int(match[1]) for name, match in found if match}
    return sorted(n for name, n in numbers.items() if name == numbered_file(n))


def numbered_file(trials: int) -> str:
    """The name of a file that was written after so many trials."""
    return f"trial_{trials:06d}.safetensors"


def write_tensors(
    path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any], run: str | None = None
) -> None:
    """Write arrays and a JSON-serialisable description atomically as one tensor file.

    Raises:
        RunError: the file cannot be written; the old one is unchanged.
    """
    write_whole(path, tensor_bytes(arrays, meta, run), RunError, then="resume the run")


def tensor_bytes(
    arrays: dict[str, np.ndarray], meta: dict[str, Any], run: str | None = None
) -> bytes:
    """Return the content of a tensor file; the same arguments give the same bytes."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header: dict[str, Any] = {"meta": meta} if run is None else {"run": run, "meta": meta}
    header = {"crc32": _checksum(arrays, header), **header}
    return safetensors_bytes(arrays, {"mpn_lab": json.dumps(header)})


def read_tensors(
    path: Path, run: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Args:
        path: the file.
        run: the identity of the run that it must belong to.

    Raises:
        RunError: the file is missing, cannot be read, is damaged, was not written by mpn_lab, or
            belongs to another run.
    """
    try:
        arrays, header = parse_tensors(read_regular_file(path))
        header = _checked(path, header)
        if header.pop("crc32", None) != _checksum(arrays, header):
            raise ValueError("its checksum does not match")
    except (OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from error
    _check_run(path, header, run)
    return arrays, header["meta"]


def read_meta(path: Path, run: str | None = None) -> dict[str, Any]:
    """Read only the description of a tensor file, which is short; its checksum is not checked.

    Raises:
        RunError: as `read_tensors`.
    """
    try:
        header = _checked(path, parse_description(read_header(path)))
    except (OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from error
    _check_run(path, header, run)
    return header["meta"]


def csv_of(rows: Sequence[Row]) -> bytes:
    """Return the content of metrics.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)  # floats as repr: read back to the same bits
    return text.getvalue().encode()


def is_csv_of(data: bytes, rows: Sequence[Row]) -> bool:
    """Whether `data` is metrics.csv with these rows, or with those of the checkpoint after them.

    metrics.csv is written before resume.safetensors, so that it may have one row more.
    """
    if not rows:
        return True
    known = csv_of(rows)
    row = rb"[-+.0-9a-z]*(,[-+.0-9a-z]*){%d}\n" % (len(rows[0]) - 1)
    return data.startswith(known) and re.fullmatch(rb"(%s)?" % row, data[len(known) :]) is not None


def _checked(path: Path, header: dict[str, Any] | None) -> dict[str, Any]:
    if header is None:
        raise RunError(f"{path} was written by another program; expected a checkpoint of a run.")
    if not isinstance(header.get("meta"), dict):
        raise ValueError("its header is not one of mpn_lab")
    return header


def _check_run(path: Path, header: dict[str, Any], run: str | None) -> None:
    if run is not None and header.get("run") != run:
        other = shorten(str(header.get("run"))[:12])[1:-1]  # on one line, whatever it is
        raise RunError(
            f"{path} belongs to the run {other}, not to the run {run[:12]} "
            "in whose folder it is; restore the file that belongs there."
        )


def _unreadable(path: Path, error: Exception) -> RunError:
    if isinstance(error, FileNotFoundError):
        return RunError(f"{path} is missing; expected a checkpoint of a training run.")
    if isinstance(error, OSError):
        return RunError(f"{path} cannot be read ({error.strerror}); make it readable.")
    if isinstance(error, NotAFile):
        return RunError(
            f"{path} is not a file; move it away and restore the file that belongs there, or train "
            "again into another folder."
        )
    return RunError(
        f"{path} is damaged ({reason_of(error)}); restore it, or train again into another folder."
    )


def _checksum(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> int:
    """Return the CRC-32 of the tensors in the order of their names, and of a run's header."""
    crc = 0
    if "run" in header:
        shapes = [[name, arrays[name].dtype.str, arrays[name].shape] for name in sorted(arrays)]
        crc = zlib.crc32(json.dumps([header, shapes]).encode())
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), crc)
    return crc
