"""Files that are written whole or not at all, and read without running code."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes


class RunError(Exception):
    """A run that cannot be read, written or continued; one sentence says why and what to do."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        RunError: the disk is full or the file cannot be written; what was there before stays.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise RunError(
            f"{path} could not be written ({error.strerror}); the files written before are whole: "
            "free some space or mend the folder, then resume the run."
        ) from error


def write_tensors(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays and a JSON-able description as one safetensors file, whole or not at all."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, safetensors_bytes(arrays, {"mpn_lab": json.dumps(meta)}))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        RunError: the file is missing, damaged, or not one of this project's.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            meta = (file.metadata() or {}).get("mpn_lab")
            if meta is None:
                raise RunError(f"{path} is a safetensors file of another program; expected a checkpoint.")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(meta)  # noqa: SIM118
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; expected a checkpoint of a training run.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(
            f"{path} is damaged ({error}); restore it, or train again into another folder."
        ) from error
