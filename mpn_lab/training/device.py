"""The device on which the networks compute, and the number of torch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device of a name; "auto" is the GPU if there is one, and the CPU otherwise.

    Raises:
        ValueError: the name is unknown, or the device is not available.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.empty(0, device=found).numpy(force=True)  # meta tensors hold no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device is {str(device)!r}, which torch does not find on this machine; choose 'cpu', "
            "or 'auto' for a GPU if there is one."
        ) from error
    return found


def check_threads(threads: int) -> int:
    """Return the number of threads. Raises ValueError if it is below 1."""
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected 1 or more.")
    return threads


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
