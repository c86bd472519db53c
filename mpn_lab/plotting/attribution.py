"""Figures of what Q depends on: gradients and contributions, from `q_gradients` and its like."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpn_lab.analysis.restore import as_record
from mpn_lab.analysis.schema import trial_position
from mpn_lab.plotting.panel import AnimatedPanel, has_logits, locate, matrix_panel, over_time
from mpn_lab.plotting.style import ACTIONS, DIVERGING, GREY, largest, new_figure
from mpn_lab.plotting.trial import plot_inputs, plot_q
from mpn_lab.plotting.view import trial_title

SIZE = (11.0, 6.6)  # inches


def plot_attribution(
    ax: Axes, found: xr.Dataset, variable: str, trial: int, time: float | int = 0
) -> AnimatedPanel:
    """Plot the gradient or the contributions over the trial.

    With one value per channel, input or unit a heat map, white at zero; with a matrix at each step
    its Frobenius norm. A dashed line marks the step of Q.

    Args:
        ax: where to draw.
        found: from `q_gradients` or `integrated_gradients`, with Q at one moment per trial.
        variable: `dQ_dobs`, `dQ_dM`, `contribution` ...
        trial: the trial's number.
        time: in ms.

    Raises:
        ValueError: a Dataset that is not from these functions, no such variable or one without
            time, no such trial, or a time outside it.
    """
    check_attribution(found, variable)
    if "time" not in found[variable].dims:
        raise ValueError(f"{variable} has no time; draw it with plot_attribution_matrix.")
    found, i, step, times = locate(found, trial, time)
    values = found[variable].values[i, : len(times)]
    symbol, unit = words(found, variable)
    if values.ndim == 2:
        scale, half = largest(values), float(found.attrs["dt"]) / 2
        extent = (times[0] - half, times[-1] + half, values.shape[1] - 0.5, -0.5)
        options: dict[str, Any] = {
            "cmap": DIVERGING,
            "vmin": -scale,
            "vmax": scale,
            "extent": extent,
        }
        image = ax.imshow(values.T, aspect="auto", **options)
        ax.figure.colorbar(image, cax=ax.inset_axes((1.02, 0, 0.016, 1)))
        _name_rows(ax, found, variable)
        ax.set_title(f"{symbol}  ({unit})", pad=10)
    else:
        norm = np.linalg.norm(values.reshape(len(times), -1), axis=1)
        ax.plot(times, norm, color=ACTIONS[1], drawstyle="steps-mid")
        ax.set(ylabel="norm", ylim=(0, None))
        ax.set_title(f"size of {symbol}  ({unit})")
    ax.set_xlabel("time (ms)")
    ax.axvline(float(found["q_time"].values[i]), color=GREY, ls="--", lw=1.2)
    return over_time(ax, found, i, step, times, bands="strip" if values.ndim == 2 else "behind")


def plot_attribution_matrix(
    ax: Axes, found: xr.Dataset, variable: str, trial: int, time: float | int = 0
) -> AnimatedPanel:
    """Plot the gradient or the contributions of a state as a heat map of units by inputs.

    The scale is centred on zero and the same at all times of the trial. The arguments and errors
    are those of `plot_attribution`; where there is no time, it has no effect.
    """
    check_attribution(found, variable)
    symbol, unit = words(found, variable)
    i = trial_position(found, trial)
    if "time" in found[variable].dims:
        found, i, step, times = locate(found, trial, time)
        values = found[variable].values[i, : len(times)]
        scale = largest(values)
        panel = matrix_panel(ax, found, i, step, lambda step: values[step], scale)
        # above the period's strip
        ax.set_title(f"{symbol} at {times[step]:g} ms  ({unit})", pad=22)
    else:
        values = found[variable].values[i].reshape(found[variable].shape[1], -1)
        scale, (n, d) = largest(values), values.shape
        extent = (-0.5, d - 0.5, n, 0)
        ax.imshow(values, aspect="auto", cmap=DIVERGING, vmin=-scale, vmax=scale, extent=extent)
        ax.set(xlabel="input" if d > 1 else "", ylabel="hidden unit")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        ax.set_title(f"{symbol}, before {found['before_time'].values[i]:g} ms  ({unit})", pad=10)
        panel = AnimatedPanel([], lambda _: None)
    ax.figure.colorbar(ax.images[0], ax=ax, pad=0.03, aspect=24)
    return panel


def draw_attribution(
    record: xr.Dataset,
    found: xr.Dataset,
    trial: int,
    time: float | int = 0,
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw a trial's observations, Q, and what Q depends on.

    A dashed line marks the step of Q, a dotted one the step before which a state is replaced.

    Args:
        record: from `record`.
        found: from `q_gradients` or `integrated_gradients` of these trials, with Q at one moment
            per trial.
        trial: the trial's number.
        time: in ms, of the matrix that is shown.
        figure: cleared and drawn into; None: a new one.

    Raises:
        ValueError: the Datasets are not a record and an attribution of its trials, there is no such
            trial, or the time is outside it.

    Example:
        >>> found = q_gradients(run, trials, ["obs", "M"])  # doctest: +SKIP
        >>> draw_attribution(trials, found, trial=3, time=1000)  # doctest: +SKIP
    """
    record = as_record(record, "obs", "Q")
    check_attribution(found)
    i = trial_position(found, trial)
    own = [str(n) for n in found.data_vars if n == "contribution" or str(n).startswith("dQ_d")]
    timed = [name for name in own if "time" in found[name].dims]
    matrices = [n for n in own if n not in timed or found[n].ndim == 4]
    figure = new_figure(*SIZE) if figure is None else figure
    figure.clear()
    rows = 2 + len(timed)
    left = figure.add_gridspec(
        rows, 1, left=0.09, right=0.5 if matrices else 0.86, top=0.855, bottom=0.08, hspace=0.6
    )
    axes = [figure.add_subplot(left[k, 0]) for k in range(rows)]
    plot_inputs(axes[0], record, trial, time)
    plot_q(axes[1], record, trial, time)
    for name, dashes in (("q_time", "--"), ("before_time", ":")):
        if name in found:
            axes[1].axvline(float(found[name].values[i]), color=GREY, ls=dashes, lw=1.4)
    for ax, name in zip(axes[2:], timed, strict=True):
        plot_attribution(ax, found, name, trial, time)
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    axes[-1].set_xlabel("time (ms)")
    right = figure.add_gridspec(
        max(len(matrices), 1), 1, left=0.68, right=0.955, top=0.855, bottom=0.08, hspace=0.4
    )
    for k, name in enumerate(matrices):
        plot_attribution_matrix(figure.add_subplot(right[k, 0]), found, name, trial, time)
    title = trial_title(record, trial_position(record, trial))
    figure.text(0.01, 0.965, title, fontsize=10.5, weight="bold", va="center")
    told = f"Q of {found.attrs['of']} at {float(found['q_time'].values[i]):g} ms"
    told += f" = {float(found['value'].values[i]):.3g}"
    if "value_baseline" in found:
        base = found.attrs["baseline"]
        if "baseline_trial" in found:
            base = f"trial {int(found['baseline_trial'].values[i])}"
        told += f"    baseline, {base}: {float(found['value_baseline'].values[i]):.3g}"
    figure.text(0.01, 0.93, told, fontsize=8.5, va="center", color="#404040")
    return figure


def check_attribution(found: xr.Dataset, variable: str | None = None) -> None:
    """Raise ValueError unless `found` is an attribution of Q at one moment, with the variable."""
    if "attribution" not in found.attrs:
        raise ValueError(
            "this Dataset is not an attribution: it has no attribute 'attribution'; make one with "
            "mpn_lab.interventions.q_gradients(...) or integrated_gradients(...)."
        )
    if "at" in found.dims:
        moments = ", ".join(str(at) for at in found["at"].values)
        raise ValueError(
            f"there is Q at several times ({moments}); select one with found.sel(at=...)."
        )
    if variable is not None and variable not in found:
        names = ", ".join(str(name) for name in found.data_vars)
        raise ValueError(f"there is no {variable} in this attribution; it has {names}.")


def words(found: xr.Dataset, variable: str) -> tuple[str, str]:
    """Name a variable for these data: its symbol, and the label of its scale with the unit."""
    unit = "logit" if has_logits(found) else "reward"
    if variable == "contribution":
        to = found.attrs["to"]
        return f"contributions of {'the observations' if to == 'obs' else f'${to}$'}", unit
    name = variable.removeprefix("dQ_d")
    names = {"obs": r"\mathrm{obs}_s", "x": "x_s"}
    below = names.get(name, f"{name}_{{s-1}}" if "_" not in name else rf"\mathrm{{{name}}}")
    return rf"$\partial Q_t / \partial {below}$", f"{unit} per unit of {name.replace('_', ' ')}"


def _name_rows(ax: Axes, found: xr.Dataset, variable: str) -> None:
    dim = str(found[variable].dims[-1])
    if dim in found.coords and found.sizes[dim] <= 12:
        labels = [str(name).replace("_", " ") for name in found[dim].values]
        ax.set_yticks(range(len(labels)), labels)
    else:
        ax.set_ylabel("hidden unit" if dim == "hidden" else dim.replace("_", " "))
        ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
