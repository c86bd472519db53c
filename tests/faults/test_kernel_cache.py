"""A damaged, foreign or open cache of compiled kernels is not believed: they are compiled anew."""

import hashlib
import importlib.util
import pickle
import stat
import sys
from pathlib import Path

import pytest

numba = pytest.importorskip("numba")

from mpn_lab.networks.kernel_cache import KernelCache  # noqa: E402

SOURCE = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Compiles a function as a new process would. Returns whether the cache had it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "tiny.py").write_text(SOURCE)

    def call():
        spec = importlib.util.spec_from_file_location("tiny", tmp_path / "tiny.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "tiny", module)  # where numba looks for its names
        spec.loader.exec_module(module)
        dispatcher = numba.njit(module.double)
        dispatcher._cache = KernelCache(module.double)
        assert dispatcher(21) == 42
        return bool(dispatcher.stats.cache_hits)

    assert not call()
    assert call()
    return call


class Marks:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def file_of(tmp_path, kind):
    (path,) = (tmp_path / "cache" / "mpn_lab").glob(f"*/*.{kind}")
    return path


def test_the_folder_is_the_users_own(call, tmp_path):
    inner = file_of(tmp_path, "nbi").parent
    assert stat.S_IMODE(inner.stat().st_mode) == 0o700
    assert stat.S_IMODE(inner.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_anew(call, tmp_path, kind):
    path = file_of(tmp_path, kind)
    whole = path.read_bytes()
    for damaged in (
        whole[:-1],
        whole[:40],
        b"",
        whole + b"x",
        *(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 997)),
    ):
        path.write_bytes(damaged)
        assert not call()
        assert call()  # it is mended


def test_a_pickle_without_its_checksum_is_not_unpickled(call, tmp_path):
    for kind in ("nbi", "nbc"):
        path = file_of(tmp_path, kind)
        path.write_bytes(pickle.dumps(Marks(tmp_path / "ran")))
        assert not call()
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_others_may_write_to_is_not_used(call, tmp_path):
    path = file_of(tmp_path, "nbc")
    pickled = pickle.dumps(Marks(tmp_path / "ran"))
    path.write_bytes(hashlib.sha256(pickled).digest() + pickled)  # whoever may write, can do this
    for folder in (path.parent, path.parent.parent):
        for mode in (0o720, 0o702):
            folder.chmod(mode)
            with pytest.raises(PermissionError, match="that its user alone may write to"):
                call()
        folder.chmod(0o700)
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="that its user alone may write to"):
        call()
    assert not (tmp_path / "ran").exists()


def test_another_source_or_version_has_another_folder(call, tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(SOURCE + "# another\n")
    assert not call()
    monkeypatch.setattr(numba, "__version__", "0.0")
    assert not call()
    assert len(list((tmp_path / "cache" / "mpn_lab").iterdir())) == 3


def test_the_kernels_use_it():
    from mpn_lab.networks import kernels

    assert type(kernels.forward._cache) is KernelCache
    assert type(kernels.backward._cache) is KernelCache
