from . import edits
from .attribution import q_gradients
from .counterfactuals import counterfactual
from .edits import Edit
from .effect_maps import effect_map, lesion_curve
from .effects import effect
from .integrated_gradients import integrated_gradients

__all__ = [
    "Edit",
    "counterfactual",
    "edits",
    "effect",
    "effect_map",
    "integrated_gradients",
    "lesion_curve",
    "q_gradients",
]
