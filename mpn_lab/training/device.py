"""Where and with how many threads the networks compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """The device of a name; "auto" is the GPU where there is one, or else the CPU.

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


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads within, and as many as before afterwards.

    Small networks make thousands of small operations, whose threads wait for each other wherever
    another process runs: one thread is the fastest for most of them.

    Raises:
        ValueError: fewer than one thread.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected 1 or more.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
