"""Files are written whole, with the mode that the umask asks for."""

import os
import stat

import numpy as np
import pytest

from mpn_lab.files import write_whole
from mpn_lab.training.files import read_tensors, write_tensors


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_get_the_mode_of_the_umask(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_the_old_content_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def refuse(*names):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match=r"could not be written \(Permission denied\)"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=r"could not be written \(No such file or directory\)"):
        write_whole(tmp_path / "missing" / "file", b"new")


def test_an_interruption_leaves_no_partial_file(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_tensors_come_back(tmp_path):
    arrays = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.zeros((0, 2), np.float32)}
    write_tensors(tmp_path / "x.safetensors", arrays, {"n": [1, None, "three"]})
    found, meta = read_tensors(tmp_path / "x.safetensors")
    assert meta == {"n": [1, None, "three"]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
