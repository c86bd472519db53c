"""Train multi-plasticity networks by replaying whole trials, and look inside them.

The public names are in `__init__.pyi`; each is imported when it is first used.
"""

from importlib.metadata import PackageNotFoundError, version

from mpn_lab.lazy import attach_stub

try:
    __version__ = version("mpn_lab")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
