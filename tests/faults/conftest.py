"""Trainings of a tenth of a second, and faults of the disk at any of their writes."""

import errno
import os

import pytest

from mpn_lab import TrainConfig, train

TINY = {
    "trials": 4,
    "hidden_size": 4,
    "eval_freq": 2,
    "eval_trials": 1,
    "learning_starts": 2,
    "train_freq": 2,
    "batch_size": 2,
    "gradient_steps": 1,
    "store_trials": 1,
}


@pytest.fixture(scope="session")
def tiny_config():
    """A training of two checkpoints; called with the fields to change."""
    return lambda **changes: TrainConfig(**(TINY | changes))


@pytest.fixture(scope="session")
def tiny_run(tiny_config, tmp_path_factory):
    """A finished run with stored trials, in a folder that no test changes."""
    return train(tiny_config(), tmp_path_factory.mktemp("run") / "tiny", progress=False)


class Disk:
    """Counts the calls that write, and lets them fail with an error from a given one on.

    Args:
        at: the number of the first call that fails; None: none does.
        code: the error.
        lasting: whether all later calls fail, too, or that one alone.
    """

    CALLS = ("open", "write", "fsync", "replace", "mkdir")

    def __init__(self, at=None, code=errno.ENOSPC, lasting=True):
        self.at, self.code, self.lasting, self.calls = at, code, lasting, []

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        for name in self.CALLS:
            self.patch.setattr(os, name, self.failing(name, getattr(os, name)))
        return self

    def __exit__(self, *error):
        self.patch.undo()

    def failing(self, name, real):
        def call(*arguments, **options):
            writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
            if name == "open" and arguments[1] & os.O_NONBLOCK and not arguments[1] & writing:
                # as `read_regular_file` opens
                return real(*arguments, **options)
            n = len(self.calls)
            self.calls.append(name)
            if self.at is not None and (n == self.at or (self.lasting and n > self.at)):
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **options)

        return call


@pytest.fixture(scope="session")
def disk():
    """The class `Disk`, for a `with` block in which writing fails."""
    return Disk
