"""Panels of results from `analysis`; each function draws one result into an `ax`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from mpn_lab.checks import show
from mpn_lab.plotting.style import ACTIONS, GREY, on_axes


@on_axes
def plot_psychometric(ax: Axes, curve: xr.Dataset) -> None:
    """Plot the proportion of one choice over the strength of the evidence, from `psychometric`.

    The network's proportions have 95 % intervals; the ideal observer's are for the same trials.
    """
    _check(curve, "psychometric", evidence=("evidence",), share=("evidence",))
    x = curve["evidence"].values
    ax.axhline(0.5, color=GREY, lw=0.7, ls=":")
    ax.axvline(0, color=GREY, lw=0.7, ls=":")
    if np.isfinite(curve["ideal"]).all():
        ax.plot(x, curve["ideal"], "--", color=GREY, label="ideal observer")
    ax.errorbar(
        x, curve["share"], _interval(curve), fmt="o-", ms=4, color=ACTIONS[1], label="network"
    )
    ax.set(
        xlabel="evidence (signed coherence, %)",
        ylabel=f"proportion of choices: {curve.attrs['choice']}",
        ylim=(-0.03, 1.03),
        title="psychometric curve",
    )
    ax.legend(loc="upper left")


@on_axes
def plot_performance(ax: Axes, performance: xr.Dataset) -> None:
    """Plot the proportion of correct trials by a condition's values, from `performance_by`."""
    found = isinstance(performance, xr.Dataset) and "share" in performance
    condition = performance["share"].dims[0] if found else ""
    _check(performance, "performance_by", share=(condition,), ideal=(condition,))
    x = np.arange(performance.sizes[condition])
    ax.bar(x, performance["share"], color=ACTIONS[6], width=0.62, label="network")
    ax.errorbar(x, performance["share"], _interval(performance), fmt="none", ecolor="black", lw=1)
    if np.isfinite(performance["ideal"]).all():
        ax.hlines(
            performance["ideal"],
            x - 0.38,
            x + 0.38,
            colors="black",
            ls="--",
            label="ideal observer",
        )
    values = performance[condition].values
    ax.set_xticks(x, [f"{v:.4g}" if isinstance(v, np.number) else str(v) for v in values])
    ax.set(
        xlabel=str(condition).replace("_", " "),
        ylabel="proportion correct",
        ylim=(0, 1.05),
        title="performance",
    )
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


@on_axes
def plot_decoding(
    ax: Axes, decoded: xr.Dataset, color: str = ACTIONS[1], label: str | None = None
) -> None:
    """Plot a decoder's accuracy over time with its standard error, and chance, from `decode`."""
    _check(decoded, "decode", accuracy=("time",), sem=("time",))
    time, accuracy, sem = (decoded[k].values for k in ("time", "accuracy", "sem"))
    label = f"from {decoded.attrs['variable']}" if label is None else label
    ax.plot(time, accuracy, color=color, label=label)
    ax.fill_between(time, accuracy - sem, accuracy + sem, color=color, alpha=0.25, lw=0)
    ax.plot(time, decoded["chance"].values, ":", color=GREY)
    ax.set(
        xlabel="time (ms)",
        ylabel="accuracy, held-out trials",
        ylim=(0, 1.05),
        title=f"decoding {decoded.attrs['condition'].replace('_', ' ')}",
    )
    ax.legend(loc="lower right")


@on_axes
def plot_cross_decoding(ax: Axes, accuracy: xr.DataArray) -> None:
    """Plot the accuracy of decoders trained at one time and tested at another.

    Takes the result of `decode_across_times`.
    """
    if not isinstance(accuracy, xr.DataArray):
        raise ValueError(f"accuracy is {show(accuracy)}; expected one of decode_across_times.")
    if accuracy.dims != ("train_time", "time"):
        raise ValueError(
            f"accuracy has the dimensions {', '.join(map(str, accuracy.dims))}; expected "
            "[train_time, time], the result of decode_across_times."
        )
    time = accuracy["time"].values
    half = float(time[1] - time[0]) / 2 if len(time) > 1 else 0.5
    extent = (time[0] - half, time[-1] + half, time[0] - half, time[-1] + half)
    image = ax.imshow(
        accuracy.values, origin="lower", extent=extent, vmin=0, vmax=1, cmap="cividis"
    )
    ax.set(xlabel="tested at (ms)", ylabel="trained at (ms)", title="decoding across times")
    ax.figure.colorbar(image, ax=ax, label="accuracy, held-out trials", shrink=0.85)


def _check(result: object, maker: str, **dims: tuple) -> None:
    """Raise ValueError unless a result has variables with these dimensions."""
    if not isinstance(result, xr.Dataset):
        raise ValueError(f"{show(result)} is not a result of {maker}; expected what it returns.")
    for name, expected in dims.items():
        found = tuple(map(str, result[name].dims)) if name in result.variables else None
        if found != expected:
            has = "is missing" if found is None else f"has the dimensions {', '.join(found)}"
            raise ValueError(f"{name} {has}; expected the result of {maker} for one record.")


def _interval(shares: xr.Dataset) -> np.ndarray:
    """Return the lengths of the 95 % interval's two error bars, below and above."""
    share, low, high = (shares[k].values for k in ("share", "low", "high"))
    return np.maximum(np.stack([share - low, high - share]), 0)
