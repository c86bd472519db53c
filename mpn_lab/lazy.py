"""Lazy public names: each is imported on first use, and says how to get a library it misses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lazy_loader

EXTRAS = {"anywidget": "lab", "ipywidgets": "lab", "IPython": "lab"}  # library -> the extra with it


def attach_stub(package: str, file: str) -> tuple[Callable[[str], Any], Any, Any]:
    """`lazy_loader.attach_stub`, with errors that name the extra that brings a missing library.

    Arguments are the package's `__name__` and `__file__`; returns its `__getattr__`, `__dir__` and
    `__all__`. Accessing a name whose library is not installed raises ImportError.
    """
    load, names, public = lazy_loader.attach_stub(package, file)

    def __getattr__(name: str) -> Any:
        try:
            return load(name)
        except ModuleNotFoundError as error:
            library = (error.name or "").split(".")[0]
            if library not in EXTRAS:
                raise
            raise ImportError(
                f"{name} needs {library}; install it with: "
                f"pip install 'mpn_lab[{EXTRAS[library]}]'",
                name=library,
            ) from error

    return __getattr__, names, public
