"""The compiled kernels on disk: numba's cache, in a private folder and with checksums.

numba pickles what it compiles, and loads it without a check: a damaged file computes other numbers,
and one that somebody else has written runs their code. So the files lie in a folder of the user's
own, which nobody else may write to (without such a folder there is no cache), and each begins with
the SHA-256 of the rest: what does not match it is not unpickled but compiled again. The checksum
finds damage; only the folder's permissions keep out whoever could write a checksum too. The folder
is named after everything that the code depends on, so that no version finds another's files.

Imports numba: import it late.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import platform
import stat
import sys
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching


class KernelCache(caching.FunctionCache):
    """numba's cache of one function, with files that are checked before they are unpickled.

    Raises:
        OSError: there is no private folder for it.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        located = self._impl.locator
        if not isinstance(located, _Locator):  # NUMBA_CACHE_LOCATOR_CLASSES names others
            raise OSError("another locator of numba's is set")
        self._cache_file = _CheckedFiles(
            cache_path=located.get_cache_path(),
            filename_base=self._impl.filename_base,
            source_stamp=located.get_source_stamp(),
        )

    def save_overload(self, sig: Any, data: Any) -> None:
        """As numba's; a full disk is no error, since nothing is lost."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


class _Locator(caching._CacheLocator):
    """Tells numba where the cache of a function is."""

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file  # numba names it in warnings
        self._function = function
        self._source = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        self._folder = _private_folder(self._source)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._source

    def get_disambiguator(self) -> str:
        return str(self._function.__code__.co_firstlineno)


class _Impl(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


KernelCache._impl_class = _Impl


class _CheckedFiles(caching.IndexDataCacheFile):
    """The index and the data of one function, each file SHA-256 and pickle."""

    def _load_index(self) -> dict[Any, str]:
        version, stamp, names = self._read(self._index_path) or (None, None, {})
        return names if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))  # None: it is compiled again

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _read(self, path: str) -> Any:
        try:
            content = Path(path).read_bytes()
        except OSError:
            return None
        digest, pickled = content[:32], content[32:]
        return pickle.loads(pickled) if hashlib.sha256(pickled).digest() == digest else None

    def _write(self, path: str, value: Any) -> None:
        pickled = self._dump(value)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(pickled).digest() + pickled)


def _private_folder(source: str) -> Path:
    """Return the folder of the compiled code of a source file, made if it is missing.

    It is below NUMBA_CACHE_DIR, XDG_CACHE_HOME or ~/.cache. Raises OSError if there is none that
    belongs to the user alone.
    """
    versions = numba.__version__, llvmlite.__version__, sys.version, platform.machine()
    key = hashlib.sha256("\n".join((*versions, source)).encode()).hexdigest()[:16]
    caches = getattr(numba.config, "CACHE_DIR", "") or os.environ.get("XDG_CACHE_HOME")
    folder = Path(caches or Path.home() / ".cache") / "mpn_lab" / f"kernels-{key}"
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, parents=part == folder.parent, exist_ok=True)
        about = part.lstat()
        private = stat.S_ISDIR(about.st_mode)
        if hasattr(os, "getuid"):  # not on Windows, where the home folder is private
            private &= about.st_uid == os.getuid() and not about.st_mode & 0o022
        if not private:
            raise PermissionError(f"{part} is not a folder that its user alone may write to")
    return folder
