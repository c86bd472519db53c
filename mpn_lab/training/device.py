"""The device on which the networks compute, and the number of torch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """Find a device by its name; "auto" is the GPU where there is one, and otherwise the CPU.

    Raises:
        ValueError: an unknown name, or a device that is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.empty(0, device=found).numpy(force=True)  # meta tensors hold no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device is {str(device)!r}, which torch does not find on this machine; choose 'cpu', "
            "or 'auto' for a GPU where there is one."
        ) from error
    return found


def check_threads(threads: int) -> int:
    """Return the number of threads. Raises ValueError where it is below 1."""
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected 1 or more.")
    return threads


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set torch's number of threads inside the block, and restore it afterwards.

    Small networks make thousands of small operations, and the threads of each wait for one another
    whenever another process runs: one thread is the fastest for most of these networks.

    Raises:
        ValueError: fewer than one thread.
    """
    check_threads(threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
