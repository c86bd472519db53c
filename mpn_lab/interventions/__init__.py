"""What if: networks with edits of their states, inputs and parameters, and the effects of these."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
