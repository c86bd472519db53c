"""Writes files atomically and reads them without executing code."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

PARTIAL = ".partial"  # suffix of files that are being written


class RunError(Exception):
    """Raised if a run cannot be read, written or continued; the message says what to do."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees either the old content or the new, never a part.

    Raises:
        RunError: the disk is full or the file cannot be written; the old content is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with open(temporary, "wb") as file:  # unlike a tempfile, with the mode of the umask
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(
            f"{path} could not be written ({error.strerror}); the files written before are intact: "
            "free some space or make the folder writable, then resume the run."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # after success the file is already gone
            os.unlink(temporary)


def write_tensors(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays and a JSON-serialisable description atomically as one safetensors file."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = json.dumps({"crc32": _checksum(arrays), "meta": meta})
    write_whole(path, safetensors_bytes(arrays, {"mpn_lab": header}))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        RunError: the file is missing, damaged, or was not written by mpn_lab.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get("mpn_lab")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header is None:
            raise RunError(
                f"{path} was written by another program; expected a checkpoint of a run."
            )
        content = json.loads(header)
        if content["crc32"] != _checksum(arrays):
            raise ValueError("its checksum does not match")
        return arrays, content["meta"]
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; expected a checkpoint of a training run.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path} is damaged ({error}); restore it, or train again into another folder."
        ) from error


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    """Return the CRC-32 of the tensors in the order of their names: safetensors has none."""
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), crc)
    return crc
