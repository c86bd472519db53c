"""A full disk stops a training; what was written stays whole, and the run resumes."""

import errno
import os

import pytest

from mpn_lab import RunError, files, resume, train


def test_full_disk_leaves_what_was_written_and_resumes(
    short_run, short_config, content, tmp_path, monkeypatch
):
    real, written = os.fsync, []

    def full(handle):
        written.append(1)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(RunError, match="could not be written \\(No space left on device\\)"):
            train(short_config(), tmp_path / "run", progress=False)
    left = [p.name for p in (tmp_path / "run").rglob(".*")]
    assert left == []  # no half-written file
    resume(tmp_path / "run", progress=False)
    assert content(tmp_path / "run") == content(short_run.path)
