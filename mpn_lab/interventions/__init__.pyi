from . import edits
from .counterfactuals import counterfactual
from .edits import Edit
from .effects import effect, effect_map, lesion_curve

__all__ = ["Edit", "counterfactual", "edits", "effect", "effect_map", "lesion_curve"]
