"""Checks of what is read from files, before anything uses it.

Each raises ValueError with one line, without a full stop, that a reader puts into its sentence.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpn_lab.checks import memory

_DEPTH = 50  # levels of nested JSON: more of them would exhaust Python's stack elsewhere
_DIGITS = 40  # of an integer: a generator's state has 39


class NotJSON(ValueError):
    """Raised if a text is not JSON at all."""


class NotAFile(ValueError):
    """Raised if a folder, a pipe or a device is in the place of a file."""


class ArraySpec(NamedTuple):
    """Shape and dtype of an array; None in the shape is a size that is not known beforehand."""

    shape: tuple[int | None, ...]
    dtype: np.dtype


def check_arrays(
    arrays: Mapping[str, np.ndarray], expected: Mapping[str, ArraySpec | np.ndarray]
) -> None:
    """Raise ValueError unless the names, shapes and dtypes of `arrays` are the expected ones.

    Args:
        arrays: as read.
        expected: an `ArraySpec` for each name, or an array of the same shape and dtype. A scalar
            may come with the shape (1,).
    """
    if missing := sorted(set(expected) - set(arrays)):
        raise ValueError(f"the array {missing[0]} is missing")
    if unexpected := sorted(set(arrays) - set(expected)):
        raise ValueError(f"the array {unexpected[0]!a} is not expected")
    for name, spec in expected.items():
        array = arrays[name]
        # np.ascontiguousarray, which writers use, makes a scalar's shape (1,)
        shape = array.shape if spec.shape or array.shape != (1,) else ()
        same = [want is None or have == want for have, want in zip(shape, spec.shape, strict=False)]
        if len(shape) != len(spec.shape) or not all(same):
            sizes = ", ".join("any" if size is None else str(size) for size in spec.shape)
            raise ValueError(f"{name} has shape {array.shape}; expected ({sizes})")
        if array.dtype != spec.dtype:
            raise ValueError(f"{name} has dtype {array.dtype}; expected {spec.dtype}")


def check_integer(name: str, value: Any, low: int, high: int) -> int:
    """Return `value`; raise ValueError unless it is an int (no bool) from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {shorten(value)}; expected an integer from {low} to {high}")
    return value


def check_within(name: str, array: np.ndarray, low: int, high: int) -> None:
    """Raise ValueError unless all entries of an array of integers are from `low` to `high`."""
    outside = array[(array < low) | (array > high)]
    if outside.size:
        raise ValueError(f"{name} holds {outside[0]}; expected {low} to {high}")


def check_generator(state: Any) -> dict[str, Any]:
    """Return `state`; raise ValueError unless it is the state of `np.random.default_rng()`."""
    if not isinstance(state, dict) or state.get("bit_generator") != "PCG64":
        raise ValueError(f"the generator's state is {shorten(state)}; expected one of PCG64")
    words = state.get("state")
    if set(state) != {"bit_generator", "state", "has_uint32", "uinteger"} or not (
        isinstance(words, dict) and set(words) == {"state", "inc"}
    ):
        raise ValueError(f"the generator's state has other entries than PCG64's: {shorten(state)}")
    check_integer("the generator's state", words["state"], 0, 2**128 - 1)
    if check_integer("the generator's inc", words["inc"], 0, 2**128 - 1) % 2 == 0:
        raise ValueError(f"the generator's inc is {words['inc']}; expected an odd number")
    check_integer("the generator's has_uint32", state["has_uint32"], 0, 1)
    check_integer("the generator's uinteger", state["uinteger"], 0, 2**32 - 1)
    return state


def read_regular_file(path: Path, limit: int | None = None, *, first: int | None = None) -> bytes:
    """Return the content of a file; never waits for a pipe or reads a device.

    Args:
        path: the file, or a symbolic link to one.
        limit: the most bytes; None: half of the machine's memory.
        first: read only so many bytes of it.

    Raises:
        OSError: there is no such file, or it is not allowed to be read.
        ValueError: it is no file, or larger than the limit.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise NotAFile("it is not a file")
        limit = memory() // 2 if limit is None else limit
        if first is None and about.st_size > limit:
            raise ValueError(f"it has {about.st_size:,} bytes; expected at most {limit:,}")
        with open(handle, "rb", closefd=False) as file:
            return file.read(about.st_size if first is None else first)
    finally:
        os.close(handle)


def parse_json(text: bytes | str, *, allow_nan: bool = False) -> Any:
    """Parse strict JSON: no duplicate keys, no nan or infinity, no lone surrogates.

    Args:
        text: the document.
        allow_nan: whether NaN and Infinity are numbers, as in the rows of metrics.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=None if allow_nan else _no_constant,
            parse_float=float if allow_nan else _finite,
            parse_int=_integer,
        )
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except UnicodeError:
        raise ValueError("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise NotJSON(f"it is not JSON: {error.msg} in line {error.lineno}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    level, depth = [value], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        if (depth := depth + 1) > _DEPTH:
            raise ValueError("its JSON is nested too deeply")
        level = [p for part in level for p in (part.values() if type(part) is dict else part)]
    return value


def shorten(value: Any) -> str:
    """Return a value as one short line of ASCII."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def reason_of(error: Exception) -> str:
    """Return what an exception says as one line of ASCII without a full stop; its type if nothing.

    For exceptions of other libraries, whose messages may have paragraphs and repeat what they read.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    said = said.encode("ascii", "backslashreplace").decode()
    return (said if len(said) <= 160 else f"{said[:156]} ...").rstrip(".")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {shorten(twice)} twice")
    return result


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"it holds an integer of {len(digits)} digits; expected at most {_DIGITS}")
    return int(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}; expected finite numbers")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"it holds {shorten(digits)}; expected finite numbers")
    return value
