"""Figure 5: a memory that no activity shows, and what theory says of h and M."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.cache import Results
from figures.decoding import respond
from figures.drawing import COLORS
from figures.fig5.measure import DECODED, GO, SIZES, STIMULUS, compute_values, configs
from figures.networks import Trained, load_or_train
from mpn_lab import record
from mpn_lab.analysis import first_order
from mpn_lab.plotting.style import GREY, new_figure

H, M = COLORS["MPN"], "#CC79A7"


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train and measure what is missing (all, if `fresh`), draw."""
    networks = load_or_train(configs(), fresh=fresh, processes=processes)
    return draw(networks, Results(compute_values(networks, fresh, processes)))


def draw(networks: dict[str, Trained], results: Results) -> Figure:
    """The figure, from the networks of seed 0 and the values of all seeds."""
    figure = new_figure(7.2, 5.4)
    grid = figure.add_gridspec(
        2, 2, left=0.085, right=0.985, top=0.95, bottom=0.09, hspace=0.38, wspace=0.27
    )
    units = list(grid[0, 0].subgridspec(2, 1, hspace=0.12).subplots())
    theory = list(grid[1, 0].subgridspec(2, 1, hspace=0.12).subplots())
    draw_units(units, networks)
    draw_theory(theory, networks["fig5/MPN-seed0"])
    draw_decoding(figure.add_subplot(grid[0, 1]), results)
    draw_errors(list(grid[1, 1].subgridspec(1, 2, wspace=0.13).subplots(sharey=True)), results)
    figure.align_ylabels(units + theory)
    return figure


def mark_periods(ax: Axes) -> None:
    """Grey: stimulus; violet: go. Steps are counted from 1."""
    ax.axvspan(0.5, STIMULUS + 0.5, color="#EDEDED", lw=0)
    ax.axvspan(GO + 0.5, GO + 1.5, color="#D9CCE8", lw=0)
    ax.set(xlim=(0.5, GO + 1.5), xticks=[1, 10, 20, 30, 40])


def draw_units(axes: list[Axes], networks: dict[str, Trained]) -> None:
    """(a) The six units that vary most, in one trial."""
    steps = np.arange(1, GO + 2)
    for ax, kind in zip(axes, ("MPN", "GRU"), strict=True):
        one = networks[f"fig5/{kind}-seed0"]
        h = respond(one.network, one.task[1], trials=1).h[0]  # (T, n)
        units = np.argsort(-h.std(0))[:6]
        mark_periods(ax)
        for unit, shade in zip(units, np.linspace(0.45, 1, len(units)), strict=True):
            ax.plot(steps, h[:, unit], color=COLORS[kind], alpha=shade, lw=1.1)
        ax.set(ylim=(-1.08, 1.08), yticks=[-1, 0, 1], ylabel=f"$h_i$ ({kind})")
    axes[0].tick_params(labelbottom=False)
    axes[0].set_title("a   hidden units in one trial")
    axes[1].set_xlabel("step")


def draw_decoding(ax: Axes, results: Results) -> None:
    """(b) Mean over the networks, and each of them."""
    mark_periods(ax)
    ax.axhline(1 / 3, color=GREY, ls="--", lw=1)
    ax.text(21, 1 / 3 - 0.02, "chance", color="#595959", va="top", size=8)
    steps = [step + 1 for step in DECODED]
    for kind in ("GRU", "MPN"):
        values = np.stack(results.over("decoding, step {}", steps, kind))  # (step, seed)
        ax.plot(steps, values, color=COLORS[kind], lw=0.5, alpha=0.4)
        ax.plot(steps, values.mean(1), "o-", color=COLORS[kind], ms=3, label=kind)
    ax.set(ylim=(0, 1.04), xlabel="step", ylabel="decoding accuracy")
    ax.set_title("b   the label, read off $h$")
    ax.legend(loc="lower left", bbox_to_anchor=(0.02, 0.02))


def draw_theory(axes: list[Axes], one: Trained) -> None:
    """(c) Two units and two entries of M: quartiles of the error among those that vary."""
    trials = record(one.network, *one.task, trials=1)
    theory = first_order(trials)
    steps = np.arange(1, GO + 2)
    for ax, name, color in zip(axes, ("h", "M"), (H, M), strict=True):
        own, other = (v[name].values[0].reshape(len(steps), -1) for v in (trials, theory))
        mark_periods(ax)
        for k, shade in zip(_quartiles(own, other), (0.5, 1.0), strict=True):
            ax.plot(steps, own[:, k], color=color, alpha=shade)
            ax.plot(steps, other[:, k], ":", color="black", lw=1.3)
    axes[0].plot([], [], color="black", label="network")
    axes[0].plot([], [], ":", color="black", lw=1.3, label="equations 4, 5")
    axes[0].legend(loc="lower left", bbox_to_anchor=(0.5, -0.03))
    axes[0].set(ylabel="$h_i$", ylim=(-1.08, 1.08), yticks=[-1, 0, 1])
    axes[0].tick_params(labelbottom=False)
    axes[1].set(ylabel="$M_{ij}$", xlabel="step")
    axes[0].set_title("c   theory beside simulation")


def _quartiles(own: np.ndarray, other: np.ndarray) -> list[int]:
    """Of the half of all columns that vary most: those with quartiles 1 and 3 of the error."""
    spread = own.std(0)
    varying = np.flatnonzero(spread > np.median(spread))
    error = np.linalg.norm(other - own, axis=0)[varying] / np.linalg.norm(own, axis=0)[varying]
    ordered = varying[error.argsort()]
    return [int(ordered[len(ordered) * k // 4]) for k in (1, 3)]


def draw_errors(axes: list[Axes], results: Results) -> None:
    """(d) Against d and against n, mean and standard error."""
    for ax, label, at in (
        (axes[0], "inputs $d$, $n$ = 100", [(d, 100) for d in SIZES]),
        (axes[1], "units $n$, $d$ = 50", [(50, n) for n in SIZES]),
    ):
        for name, color, marker in (("h", H, "o"), ("M", M, "s")):
            for which, line, face in (("new", "-", color), ("trained", "--", "white")):
                errors = {
                    size: values
                    for size, (d, n) in zip(SIZES, at, strict=True)
                    if len(values := _error_of(results, name, d, n, which))
                }
                ax.errorbar(
                    list(errors),
                    [values.mean() for values in errors.values()],
                    [values.std(ddof=1) / np.sqrt(len(values)) for values in errors.values()],
                    fmt=marker + line,
                    color=color,
                    mfc=face,
                    ms=4,
                    label=f"${name}_t$, {which}",
                )
        ax.set(xscale="log", yscale="log", xlabel=label, ylim=(0.0015, 1.1))
        ax.set_xticks(SIZES, [str(s) for s in SIZES], minor=False)
        ax.minorticks_off()
    axes[0].set(ylabel="relative error")
    axes[0].set_title("d   error of the theory")
    axes[0].legend(loc="lower left", bbox_to_anchor=(0.0, 0.0), labelspacing=0.3)
    axes[1].tick_params(labelleft=False)


def _error_of(results: Results, name: str, d: int, n: int, which: str) -> np.ndarray:
    """By seed; empty where it was not measured."""
    if which == "new":
        return results(f"error of {name}, d={d} n={n}", "new MPN")
    if (d, n) == (50, 100):  # the paper's size
        return results(f"error of {name}", "MPN")
    return results(f"trained, d={d} n={n}: error of {name}", "MPN")
