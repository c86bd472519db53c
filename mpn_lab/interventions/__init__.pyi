from . import edits
from .counterfactuals import counterfactual
from .edits import Edit

__all__ = ["Edit", "counterfactual", "edits"]
