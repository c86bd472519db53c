"""Explorers for notebooks: widgets that show the panels of `plotting`."""

from mpn_lab.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
