"""Checks of arguments: each returns the value, or raises ValueError with one sentence."""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mpn_lab.files import user_path

MOST = 1_000_000_000
"""Largest number of trials, steps or units that any argument takes."""
MOST_SAMPLED = 1_000_000
"""Largest number of trials to evaluate or record: more would only take memory."""
MOST_SIDE_BY_SIDE = 100_000
"""Largest number of environments, or of rows in a batch."""
LARGEST_SEED = 2**63 - 1
_MANY = 1000  # a limit of so many only keeps numbers from being absurd: it is not worth a word


def check_int(name: str, value: Any, low: int | None = None, high: int | None = MOST) -> int:
    """Return a whole number, Python's or numpy's, as int; True and False are none."""
    number = value
    if type(value) is not int:  # bool is a subclass
        try:
            if isinstance(value, bool | np.bool_):
                raise TypeError
            number = operator.index(value)
        except TypeError:
            raise ValueError(
                f"{name} is {show(value)}; expected a whole number{_range(low, high, ', ')}."
            ) from None
    if low is not None and number < low:
        raise ValueError(f"{name} is {number}; expected {_range(low, high)}.")
    if high is not None and number > high:
        expected = "at most 2**63 - 1" if high == LARGEST_SEED else f"at most {high:,}"
        raise ValueError(
            f"{name} is {number}; expected {_range(low, high) if high < _MANY else expected}."
        )
    return number


def check_number(
    name: str,
    value: Any,
    low: int | float | None = None,
    high: int | float | None = None,
    *,
    above: bool = False,
) -> float:
    """Return a finite number, Python's or numpy's, as float; `above`: `low` itself is too low."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not _is_finite(plain):
        kind = "a finite number" if type(plain) in (int, float) else "a number"
        raise ValueError(
            f"{name} is {show(plain)}; expected {kind}{_range(low, high, ', ', above)}."
        )
    too_low = low is not None and (plain <= low if above else plain < low)
    if too_low or (high is not None and plain > high):
        raise ValueError(f"{name} is {plain}; expected {_range(low, high, above=above)}.")
    return float(plain)


def _is_finite(number: int | float) -> bool:
    """Whether a number is finite as a float: an int may be larger than all of them."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def check_choice(name: str, value: Any, choices: Any) -> Any:
    """Return one of some strings, given as a list or as a Literal."""
    known = list(get_args(choices) or choices)
    if not isinstance(value, str) or value not in known:
        expected = ", ".join(known)
        raise ValueError(
            f"{name} is {show(value)}; expected one of {expected}{did_you_mean(value, known)}."
        )
    return value


def check_bool(name: str, value: Any) -> bool:
    """Return True or False, Python's or numpy's."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {show(value)}; expected True or False.")
    return bool(value)


def check_path(name: str, path: Any) -> Path:
    """Return a path, with ~ for the user's own folder."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ValueError(f"{name} is {show(path)}; expected the path of a file or folder.")
    return user_path(path)


def check_device(device: Any) -> Any:
    """Return torch's device of a name that it finds on this machine."""
    import torch  # not for the whole of the package: only what computes needs it

    try:
        if not isinstance(device, str | torch.device):
            raise RuntimeError
        found = torch.device(device)
        torch.empty(0, device=found).numpy(force=True)  # meta tensors hold no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device is {show(str(device) if isinstance(device, torch.device) else device)}, which "
            "torch does not find on this machine; choose 'cpu', or 'auto' for a GPU if there is "
            "one."
        ) from error
    return found


def check_memory(size: int | float, what: str, advice: str) -> None:
    """Raise ValueError if `size` bytes are more than the machine's memory."""
    if size > memory():
        raise ValueError(
            f"{what} would take {size / 1e9:,.1f} GB, more than the machine's "
            f"{memory() / 1e9:,.1f} GB; {advice}."
        )


def memory() -> int:
    """Return the machine's memory in bytes; a very large number if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 62


def did_you_mean(value: Any, known: Iterable[Any]) -> str:
    """Return ": did you mean X?" without its question mark, or nothing where nothing is close."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(str(value).lower(), names, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def show(value: Any) -> str:
    """Describe a value in some words on one line: its repr where that is short."""
    if isinstance(value, str | int | float | bytes | tuple | list | dict | set | None):
        text = " ".join(repr(value).split())
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
        return getattr(value, "__qualname__", value.__name__)
    shape = getattr(value, "shape", None)
    what = f"of shape {tuple(shape)}" if isinstance(shape, tuple) else "object"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name} {what}"


def reason(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop, or else its class."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def _range(
    low: int | float | None, high: int | float | None, before: str = "", above: bool = False
) -> str:
    """Describe a range, without an upper limit of `_MANY` or more."""
    if high is None or high >= _MANY:
        if low is None:
            return ""
        return f"{before}more than {low:,}" if above else f"{before}{low:,} or more"
    if low is None:
        return f"{before}at most {high:,}"
    return f"{before}{f'more than {low:,}, at most' if above else f'{low:,} to'} {high:,}"
