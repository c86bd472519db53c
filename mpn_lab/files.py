"""Writes files atomically, for all packages: whole or not there, also after a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

PARTIAL = ".partial"  # a file that is being written: .NAME.8 hexadecimal digits.partial


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with `~` and `~user` expanded. Raises ValueError if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{path} begins with the home folder of a user that is not known; write it in full."
        ) from error


def write_whole(
    path: Path,
    data: bytes | memoryview,
    error: type[Exception] = OSError,
    then: str = "try again",
) -> None:
    """Write a file atomically: a reader sees either the old content or the new, never a part.

    The content is written to a temporary file beside it, synced to the disk, renamed, and the
    folder synced. The file has the mode that the umask gives.

    Args:
        path: the file, new or to be replaced.
        data: its content.
        error: what to raise.
        then: what to do once it can be written; the end of the error message.

    Raises:
        error: the disk is full or the file cannot be written; the old content is unchanged.
    """
    if path.exists() and not path.is_file():  # never replaces /dev/null
        raise error(
            f"{path} could not be written (it exists and is no regular file); choose another place "
            f"or move it away, then {then}."
        )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        _write(temporary, memoryview(data))
        os.replace(temporary, path)
    except OSError as reason:
        raise error(
            f"{path} could not be written ({reason.strerror or reason}); what was written before "
            f"is unchanged: free some space or make the folder writable, then {then}."
        ) from reason
    finally:
        with contextlib.suppress(OSError):  # after success it is already gone
            os.unlink(temporary)
    try:
        _sync_folder(path.parent)
    except OSError as reason:
        raise error(
            f"{path} is written, but its folder could not be synced to the disk ({reason.strerror})"
            f", so that a power cut may undo it: check the disk, then {then}."
        ) from reason


def make_folder(path: Path, error: type[Exception] = OSError) -> None:
    """Make a folder and those above it that are missing, each synced; it may exist.

    Raises:
        error: it cannot be made.
    """
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                _sync_folder(folder.parent)
    except (FileExistsError, NotADirectoryError) as reason:
        raise error(
            f"the folder {path} cannot be made, since {folder} is a file; move that away or choose "
            "another place, then try again."
        ) from reason
    except OSError as reason:
        raise error(
            f"the folder {path} cannot be made ({reason.strerror or reason}); free some space or "
            "choose another place, then try again."
        ) from reason


def _write(path: Path, data: memoryview) -> None:
    """Write a new file, synced to the disk; `tempfile` would give it another mode."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # binary: Windows
    handle = os.open(path, flags, 0o666)
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Sync a folder's list of names to the disk, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows, or a folder that may be written but not listed
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # network file systems without it
            raise
    finally:
        os.close(handle)
