"""Static figures: panels as functions that take an `ax`, in one colour-blind-safe style."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
