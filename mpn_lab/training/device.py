"""The device on which the networks compute, and the number of torch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mpn_lab.checks import check_device, check_int


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device of a name; "auto" is the GPU if there is one, and the CPU otherwise.

    Raises:
        ValueError: the name is unknown, or the device is not available.
    """
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return check_device(device)


def check_threads(threads: int) -> int:
    """Return the number of threads. Raises ValueError if it is below 1."""
    return check_int("threads", threads, 1, 1024)


@contextmanager
def training_defaults() -> Iterator[None]:
    """Set torch's global switches as training needs them, float32 and gradients, then restore them.

    A user may have changed them: `torch.set_default_dtype(torch.float64)`, `torch.no_grad()`.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set torch's number of threads inside the block, and restore it afterwards.

    Small networks perform thousands of small operations, whose threads wait for one another
    whenever another process runs: one thread is the fastest for most of these networks.

    Raises:
        ValueError: `threads` is below 1.
    """
    check_threads(threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
