"""Stops a training at a safe moment when a signal asks for it, as the command line does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked: list[int] = []  # the signals that were received and have not been obeyed


class TrainingStopped(KeyboardInterrupt):
    """Raised where a training stops for a signal; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stop_at_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM stop a training inside the block after its current round.

    A second signal raises TrainingStopped at once. Signals that are ignored stay ignored; outside
    the main thread, which alone may handle signals, nothing changes.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        _asked.append(number)
        if len(_asked) > 1:
            raise TrainingStopped(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, ask)
    _asked.clear()
    try:
        yield
        stop_if_asked()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def stop_if_asked() -> None:
    """Raise TrainingStopped if a signal has asked for it."""
    if _asked:
        raise TrainingStopped(_asked[0])
