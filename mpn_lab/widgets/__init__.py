"""Explorers for notebooks: widgets that show the panels of `plotting`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
