from .attribution import draw_attribution, plot_attribution, plot_attribution_matrix
from .dynamics import (
    draw_fixed_points,
    draw_flow,
    plot_fixed_points,
    plot_flow,
    plot_time_constants,
)
from .results import plot_cross_decoding, plot_decoding, plot_performance, plot_psychometric
from .staleness import (
    plot_staleness_map,
    plot_staleness_modulations,
    plot_staleness_over_trial,
    plot_staleness_q,
)
from .style import new_figure, style
from .training import (
    draw_training,
    plot_accuracy,
    plot_epsilon,
    plot_loss,
    plot_plasticity,
    plot_return,
)
from .trial import plot_hidden, plot_inputs, plot_modulations, plot_q, plot_trajectory
from .view import draw_staleness, draw_trial

__all__ = [
    "draw_attribution",
    "draw_fixed_points",
    "draw_flow",
    "draw_staleness",
    "draw_training",
    "draw_trial",
    "new_figure",
    "plot_accuracy",
    "plot_attribution",
    "plot_attribution_matrix",
    "plot_cross_decoding",
    "plot_decoding",
    "plot_epsilon",
    "plot_fixed_points",
    "plot_flow",
    "plot_hidden",
    "plot_inputs",
    "plot_loss",
    "plot_modulations",
    "plot_performance",
    "plot_plasticity",
    "plot_psychometric",
    "plot_q",
    "plot_return",
    "plot_staleness_map",
    "plot_staleness_modulations",
    "plot_staleness_over_trial",
    "plot_staleness_q",
    "plot_time_constants",
    "plot_trajectory",
    "style",
]
