"""Fixed points by unit, their time constants, and the flow of the state in the plane of two PCs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from mpn_lab.plotting.style import ACTIONS, GREY, new_figure

STABLE, UNSTABLE = ACTIONS[1], ACTIONS[2]


def plot_fixed_points(ax: Axes, points: xr.Dataset, order: np.ndarray | None = None) -> None:
    """Plot the activity of every unit at its fixed points: filled where stable, else open.

    Args:
        ax: where to draw.
        points: from `fixed_points`.
        order: order of the hidden units; None: by the activity at the highest stable one.
    """
    order = _order(points) if order is None else order
    h, stable = points["h"].values[order], points["stable"].values[order]
    unit = np.broadcast_to(np.arange(len(h))[:, None], h.shape)
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(h, 1), np.fmax.reduce(h, 1)
    ax.vlines(unit[:, 0], low, high, color=GREY, lw=0.6, zorder=1)
    ax.plot(unit[stable], h[stable], "o", ms=4, color=STABLE, label="stable")
    unstable = ~stable & np.isfinite(h)
    ax.plot(unit[unstable], h[unstable], "o", ms=4, mfc="white", color=UNSTABLE, label="unstable")
    several = int((stable.sum(1) > 1).sum())
    ax.set(
        xlabel="hidden unit, sorted",
        ylabel="$h$ at the fixed point",
        title=_title(points, f"{several} of {len(h)} units have several stable points"),
    )
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def plot_time_constants(ax: Axes, points: xr.Dataset, order: np.ndarray | None = None) -> None:
    """Plot how fast h comes back to each stable fixed point, and leaves each unstable one.

    The time constant of the slope dz_t / dz_{t-1} where it is known, else of the slowest mode; in
    ms if the length of a step is known, else in steps. A cross: the approach oscillates.

    Args:
        ax: where to draw.
        points: from `fixed_points`.
        order: order of the hidden units; None: as in `plot_fixed_points`.
    """
    order = _order(points) if order is None else order
    rate = points["slope"].where(points["slope"].notnull(), points["eigenvalue"].isel(mode=0))
    rate, dt = rate.values[order], float(points.attrs["dt"])
    with np.errstate(divide="ignore"):
        tau = 1 / np.abs(np.log(np.abs(rate))) * (dt if np.isfinite(dt) else 1)
    stable = points["stable"].values[order]
    unstable = ~stable & np.isfinite(points["h"].values[order])
    turns = (rate.real < 0) | (rate.imag != 0)
    unit = np.broadcast_to(np.arange(len(tau))[:, None], tau.shape)
    for which, mark, color in (
        (stable & ~turns, "o", STABLE),
        (stable & turns, "x", STABLE),
        (unstable & ~turns, "o", UNSTABLE),
        (unstable & turns, "x", UNSTABLE),
    ):
        fill = color if color == STABLE else "white"
        ax.plot(unit[which], tau[which], mark, ms=4, color=color, mfc=fill)
    ax.set(
        xlabel="hidden unit, sorted",
        ylabel=f"time constant ({'ms' if np.isfinite(dt) else 'steps'})",
        yscale="log",
        title="time constants of return (filled) and departure (open)",
    )


def plot_flow(
    ax: Axes, flow: xr.Dataset, components: xr.Dataset, fastest: float | None = None
) -> Quiver:
    """Plot the flow in the plane of two components, over the trajectories of all trials.

    Arrows give the direction within the plane, their colour the speed of the whole state. The
    trajectories are light, and dark in the flow's period.

    Args:
        ax: where to draw.
        flow: from `flow_field`.
        components: from `pca`, those that the flow was computed with.
        fastest: the speed at the top of the colours; None: the flow's own maximum.

    Returns:
        The arrows, for a colour bar.
    """
    paths = components["trajectory"].values[..., :2]
    now = components["period"].values == flow.attrs["period"]
    starts = ~np.isnan(paths[:, 1:, 0])
    segments = np.stack([paths[:, :-1], paths[:, 1:]], 2)
    for which, color in ((starts, "#DDDDDD"), (starts & now[:, 1:], "#7F7F7F")):
        ax.add_collection(LineCollection(list(segments[which]), colors=color, linewidths=0.7))
    u, v = flow["along_1"].values, flow["along_2"].values
    length = np.hypot(u, v)
    scale = np.where(length > 0, length, 1.0)
    fastest = float(flow["speed"].max()) if fastest is None else fastest
    arrows = ax.quiver(
        flow["pc_1"], flow["pc_2"], u / scale, v / scale, flow["speed"].values,
        norm=Normalize(0, fastest), cmap="viridis",
        angles="xy", pivot="mid", scale=1.3 * len(flow["pc_1"]), width=0.004, zorder=2,
    )  # fmt: skip
    share = components["explained_variance_ratio"].values
    ax.set(
        xlabel=f"PC 1 ({share[0]:.0%})",
        ylabel=f"PC 2 ({share[1]:.0%})",
        title=_title(flow, f"flow of ${flow.attrs['variable']}$"),
    )
    ax.margins(0.02)
    return arrows


def draw_fixed_points(points: xr.Dataset, figure: Figure | None = None) -> Figure:
    """Draw the fixed points of every unit, and the time constants of all of them.

    Args:
        points: from `fixed_points`.
        figure: cleared and drawn into; None: a new one.
    """
    figure = new_figure(8, 5) if figure is None else figure
    figure.clear()
    top, bottom = figure.subplots(2, 1, sharex=True)
    plot_fixed_points(top, points)
    plot_time_constants(bottom, points)
    top.set_xlabel("")
    figure.subplots_adjust(left=0.1, right=0.98, top=0.93, bottom=0.1, hspace=0.25)
    return figure


def draw_flow(
    flows: xr.Dataset | Sequence[xr.Dataset], components: xr.Dataset, figure: Figure | None = None
) -> Figure:
    """Draw flow fields side by side, such as those of all periods, with one scale of the speed.

    Args:
        flows: from `flow_field`.
        components: from `pca`, those that the flows were computed with.
        figure: cleared and drawn into; None: a new one.
    """
    flows = [flows] if isinstance(flows, xr.Dataset) else list(flows)
    figure = new_figure(4 * len(flows) + 1, 3.8) if figure is None else figure
    figure.clear()
    axes = figure.subplots(1, len(flows), squeeze=False, sharey=True)[0]
    fastest = max(float(flow["speed"].max()) for flow in flows)
    for ax, flow in zip(axes, flows, strict=True):
        arrows = plot_flow(ax, flow, components, fastest)
        ax.label_outer()
    figure.subplots_adjust(left=0.7 / (4 * len(flows) + 1), right=0.97, top=0.9, bottom=0.14)
    label = f"change of ${flows[0].attrs['variable']}$ per step"
    figure.colorbar(arrows, ax=list(axes), label=label, fraction=0.03, pad=0.02)
    return figure


def _order(points: xr.Dataset) -> np.ndarray:
    h = points["h"].where(points["stable"]).max("fixed_point").values
    return np.argsort(h, kind="stable")


def _title(data: xr.Dataset, text: str) -> str:
    return f"{text} ({data.attrs['period']})" if data.attrs["period"] else text
