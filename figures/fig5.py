"""Figure 5: a memory that no activity shows, and what theory says of h and M.

Three classes, 20 steps with the go step and a delay of 20 before it (the input noise goes on
there). (a) Some hidden units in one trial. (b) How well a trial's label can be read off h at a
step: a linear support vector classifier with balanced classes, 10-fold cross-validated over 1,000
fresh trials, ten networks each. (c) Two hidden units and two entries of M in one trial, beside
equations 4 and 5.
(d) The error of both equations, relative to the network's own norm, mean over steps and trials:
new networks with eta = 1 and lam = 0.95, in trials without the delay, ten of each size; and trained
ones, in trials with it, ten of the paper's size and three of each other from 20 on (2,000 batches).

MPNs are trained as in the paper. GRUs go without L1, and stop at 98 % after at least 500 batches,
not 2,000: with its L1 of 1e-4 two of two were still at chance after 4,000. The plain RNN is left
out, as in the paper.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from decoders import answers, decoded
from kept import Measured, Number, measured
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, learned, names, save_figure, trained

from mpn_lab import QNetwork, SupervisedConfig, plotting, record
from mpn_lab.analysis import first_order, first_order_error
from mpn_lab.plotting.style import GREY, new_figure
from mpn_lab.training.config import StopConfig

TASK = {"n_classes": 3, "delay": 20}
STIMULUS, GO = 19, 39  # the first step of the delay, and the go step, counted from 0
SETTINGS: dict[str, dict[str, Any]] = {  # of networks that are trained with a delay
    "MPN": {},
    "GRU": {"l1": 0.0, "stop": StopConfig(min_updates=500)},
}
DECODED = [*range(0, 19, 3), *range(19, 39, 3), 38, 39]  # steps
SIZES = (10, 20, 50, 100, 200)
FEW = range(3)  # seeds of networks trained with other sizes
TRIALS = 100  # of the theory's error
H, M = COLORS["MPN"], "#CC79A7"


def jobs() -> dict[str, SupervisedConfig]:
    """What is trained."""
    return {
        name: config_of(kind, seed, task_kwargs=dict(TASK), **SETTINGS[kind])
        for kind, seed, name in names("fig5", list(SETTINGS))
    }


def decoding(network: Trained) -> Measured:
    """How well the label is read off h, over time."""
    seen = answers(network.network, network.task[1])
    at = {step: decoded(seen.h[:, step], seen.label) for step in DECODED}
    return {
        "accuracy": seen.accuracy,
        "decoding, end of stimulus": at[STIMULUS - 1],
        "decoding, delay": float(np.mean([at[s] for s in DECODED if STIMULUS <= s < GO])),
        "decoding, end of delay": at[GO - 1],
        "decoding, go": at[GO],
        **{f"decoding, step {step + 1}": value for step, value in at.items()},
    }


def activity(network: Trained) -> Measured:
    """How active h is, mean of |h_i|, and how much it varies, in stimulus and delay."""
    h = answers(network.network, network.task[1]).h
    varies = variation(h)
    return {
        "mean activity, stimulus": float(np.abs(h[:, :STIMULUS]).mean()),
        "mean activity, delay": float(np.abs(h[:, STIMULUS:GO]).mean()),
        "variation over 5 steps, stimulus": float(varies[: STIMULUS - 4].mean()),
        "variation over 5 steps, delay": float(varies[STIMULUS : GO - 4].mean()),
    }


def variation(h: np.ndarray) -> np.ndarray:
    """Variance of h_i over 5 steps / its mean square there, mean over neurons and trials.

    [B, T, n] -> [T - 4], at the last step of each window.
    """
    windows = np.lib.stride_tricks.sliding_window_view(h, 5, axis=1)  # (B, T - 4, n, 5)
    return (windows.var(3) / np.maximum((windows**2).mean(3), 1e-12)).mean((0, 2))


def trained_error(network: Trained) -> Measured:
    """Of the equations, in a trained network."""
    trials = record(network.network, *network.task, trials=TRIALS)
    error = first_order_error(trials)
    result = {}
    for name in ("h", "M"):
        result[f"error of {name}"] = float(error[name].mean())
        for period in ("stimulus", "delay", "go"):
            inside = error[name].where(trials["period"] == period)
            result[f"error of {name}, {period}"] = float(inside.mean())
    return result


def new_error(d: int, n: int, seed: int) -> Measured:
    """Of the equations, in a network as it is drawn."""
    network = QNetwork(
        d,
        3,
        hidden_size=n,
        embedding="none",
        bias=False,
        lam_max=0.95,
        generator=torch.Generator().manual_seed(seed),
    )
    kwargs = {"n_classes": 3, "input_size": d, "vectors_seed": seed}
    error = first_order_error(record(network, "mpn_lab/Integration-v0", kwargs, trials=20))
    return {f"error of {name}, d={d} n={n}": float(error[name].mean()) for name in ("h", "M")}


def trained_size_error(d: int, n: int, seed: int) -> Measured:
    """Of the equations, in a network that was trained with other sizes for 2,000 batches."""
    config = config_of(
        "MPN", seed, task_kwargs={**TASK, "input_size": d}, hidden_size=n, trials=64 * 2_000
    )
    network, _ = learned(config)
    error = first_order_error(record(network, config.task, config.task_kwargs, trials=20))
    return {
        f"trained, d={d} n={n}: error of {name}": float(error[name].mean()) for name in ("h", "M")
    }


def all_numbers(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """Measured now where they are not kept."""
    work: dict[Number, Any] = {}
    for kind in ("MPN", "GRU"):
        for _, seed, name in names("fig5", [kind]):
            work[Number("decoding, go", kind, seed)] = partial(decoding, networks[name])
            work[Number("mean activity, delay", kind, seed)] = partial(activity, networks[name])
            if kind == "MPN":
                work[Number("error of h", kind, seed)] = partial(trained_error, networks[name])
    sizes = {(d, 100) for d in SIZES} | {(50, n) for n in SIZES}
    for d, n in sorted(sizes):
        for seed in SEEDS:
            work[Number(f"error of h, d={d} n={n}", "new MPN", seed)] = partial(
                new_error, d, n, seed
            )
    for seed in FEW:
        for d, n in sorted(sizes - {(50, 100)}):
            if min(d, n) >= 20:
                function = partial(trained_size_error, d, n, seed)
                work[Number(f"trained, d={d} n={n}: error of h", "MPN", seed)] = function
    return measured("fig5", work, fresh=fresh, processes=processes)


def mark_periods(ax: Axes) -> None:
    """Grey: stimulus; violet: go. Steps are counted from 1."""
    ax.axvspan(0.5, STIMULUS + 0.5, color="#EDEDED", lw=0)
    ax.axvspan(GO + 0.5, GO + 1.5, color="#D9CCE8", lw=0)
    ax.set(xlim=(0.5, GO + 1.5), xticks=[1, 10, 20, 30, 40])


def draw_units(axes: list[Axes], networks: dict[str, Trained]) -> None:
    """(a): the six units that vary most, of one trial."""
    steps = np.arange(1, GO + 2)
    for ax, kind in zip(axes, ("MPN", "GRU"), strict=True):
        network = networks[f"fig5/{kind}-seed0"]
        h = answers(network.network, network.task[1], trials=1).h[0]
        units = np.argsort(-h.std(0))[:6]
        mark_periods(ax)
        for unit, shade in zip(units, np.linspace(0.45, 1, len(units)), strict=True):
            ax.plot(steps, h[:, unit], color=COLORS[kind], alpha=shade, lw=1.1)
        ax.set(ylim=(-1.08, 1.08), yticks=[-1, 0, 1], ylabel=f"$h_i$ ({kind})")
    axes[0].tick_params(labelbottom=False)
    axes[0].set_title("a   hidden units in one trial")
    axes[1].set_xlabel("step")


def draw_decoding(ax: Axes, found: pd.DataFrame) -> None:
    """(b): mean over the networks, and each of them."""
    mark_periods(ax)
    ax.axhline(1 / 3, color=GREY, ls="--", lw=1)
    ax.text(21, 1 / 3 - 0.02, "chance", color="#595959", va="top", size=8)
    for kind in ("GRU", "MPN"):
        of = found[found["network"] == kind]
        table = pd.DataFrame(
            {
                s + 1: of[of["quantity"] == f"decoding, step {s + 1}"]["value"].values
                for s in DECODED
            }
        )
        ax.plot(table.columns, table.T.values, color=COLORS[kind], lw=0.5, alpha=0.4)
        ax.plot(table.columns, table.mean(), "o-", color=COLORS[kind], ms=3, label=kind)
    ax.set(ylim=(0, 1.04), xlabel="step", ylabel="decoding accuracy")
    ax.set_title("b   the label, read off $h$")
    ax.legend(loc="lower left", bbox_to_anchor=(0.02, 0.02))


def draw_theory(axes: list[Axes], network: Trained) -> None:
    """(c): two units and two entries of M whose errors are quartiles of those that vary."""
    trials = record(network.network, *network.task, trials=1)
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


def draw_errors(axes: list[Axes], found: pd.DataFrame) -> None:
    """(d): against d and against n, mean and standard error."""
    for ax, label, at in (
        (axes[0], "inputs $d$, $n$ = 100", [(d, 100) for d in SIZES]),
        (axes[1], "units $n$, $d$ = 50", [(50, n) for n in SIZES]),
    ):
        for name, color, marker in (("h", H, "o"), ("M", M, "s")):
            for which, line, face in (("new", "-", color), ("trained", "--", "white")):
                errors = {
                    size: _error_of(found, name, d, n, which)
                    for size, (d, n) in zip(SIZES, at, strict=True)
                }
                errors = {size: values for size, values in errors.items() if len(values)}
                ax.errorbar(
                    list(errors),
                    [values.mean() for values in errors.values()],
                    [values.sem() for values in errors.values()],
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


def _error_of(found: pd.DataFrame, name: str, d: int, n: int, which: str) -> pd.Series:
    """By seed; empty where it was not measured."""
    quantity = f"error of {name}, d={d} n={n}"
    if which == "trained":
        main = (d, n) == (50, 100)
        quantity = f"error of {name}" if main else f"trained, d={d} n={n}: error of {name}"
    return found[found["quantity"] == quantity]["value"]


def draw(networks: dict[str, Trained], found: pd.DataFrame) -> Figure:
    figure = new_figure(7.2, 5.4)
    grid = figure.add_gridspec(
        2, 2, left=0.085, right=0.985, top=0.95, bottom=0.09, hspace=0.38, wspace=0.27
    )
    units = list(grid[0, 0].subgridspec(2, 1, hspace=0.12).subplots())
    theory = list(grid[1, 0].subgridspec(2, 1, hspace=0.12).subplots())
    draw_units(units, networks)
    draw_theory(theory, networks["fig5/MPN-seed0"])
    draw_decoding(figure.add_subplot(grid[0, 1]), found)
    draw_errors(list(grid[1, 1].subgridspec(1, 2, wspace=0.13).subplots(sharey=True)), found)
    figure.align_ylabels(units + theory)
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    """Train what is missing, measure what is not kept, draw."""
    networks = trained(jobs(), fresh=fresh, processes=processes)
    found = all_numbers(networks, fresh, processes)
    with plotting.style():
        figure = draw(networks, found)
    save_figure(figure, "fig5")


if __name__ == "__main__":
    main()
