"""Figure 5's supplement: the silence of an MPN, and an input in the delay that breaks it.

Networks and task as in figure 5; two more kinds of MPN are trained where a random binary vector is
shown throughout the delay, of a norm of 0.05 or 0.1 (the classes' have 1, the noise 0.1). Mean of
ten networks each, and in d their standard error. (a) Mean of |h_i|. (b) How well the label is read
off h, as in figure 5b: even an input of half the noise lets it be read in the delay, in some seven
trials of ten (the paper: the accuracy "increases slightly"). (c) Variance of h_i over the five
steps up to this one / its mean square there. (d) Error of equations 4 and 5, relative to the
network's own norm (without an input in the delay; at step 1, and 2 for h, they are exact). It grows
through the stimulus; that of h falls in the delay. (e) How well the label is read off h by a
decoder (ridge, 5-fold, 300 trials) that was trained at another step; seed 0.
"""

from __future__ import annotations

from functools import partial

import fig5
import numpy as np
import pandas as pd
import torch
import xarray as xr
from decoders import answers
from joblib import Parallel, delayed
from kept import Found, Measured, Number, measured
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, names, save_figure, trained

from mpn_lab import SupervisedConfig, plotting, record
from mpn_lab.analysis import decode_across_times, first_order_error
from mpn_lab.plotting.style import GREY, new_figure

INPUTS = {"MPN, delay input 0.05": 0.05, "MPN, delay input 0.1": 0.1}
LINES = {"MPN": "-", "MPN, delay input 0.05": "--", "MPN, delay input 0.1": ":", "GRU": "-"}
LABELS = {"MPN": "MPN, 0", "GRU": "GRU, 0"} | {name: f"MPN, {x}" for name, x in INPUTS.items()}
ACROSS = "decoding by decoders of other steps"
EVERY = 3  # steps between those of (e)
SHOWN = ("GRU", "MPN", "MPN, delay input 0.05")  # in (e)


def jobs() -> dict[str, SupervisedConfig]:
    """What is trained, beside figure 5's."""
    return {
        f"fig5S/MPN-input{x}-seed{seed}": config_of(
            "MPN", seed, task_kwargs={**fig5.TASK, "delay_input": x}
        )
        for x in INPUTS.values()
        for seed in SEEDS
    }


def by_kind(networks: dict[str, Trained]) -> dict[str, list[Trained]]:
    """The networks of `LINES`, by seed."""
    found = {k: [networks[n] for _, _, n in names("fig5", [k])] for k in ("MPN", "GRU")}
    for name, x in INPUTS.items():
        found[name] = [networks[f"fig5S/MPN-input{x}-seed{seed}"] for seed in SEEDS]
    return {name: found[name] for name in LINES}


def matrix_of(one: Trained) -> xr.DataArray:
    """(e): [train_time, time]."""
    trials = record(one.network, *one.task, trials=300, seed=1)
    return decode_across_times(trials, "correct_response", "h", EVERY)


def across(one: Trained) -> Measured:
    """How well decoders do at other steps than their own, from step 10 on."""
    late = slice(10 // EVERY, None)
    matrix = matrix_of(one).isel(train_time=late, time=late).values
    return {ACROSS: float(matrix[~np.eye(len(matrix), dtype=bool)].mean())}


def theory_by_step(one: Trained) -> Measured:
    """(d)"""
    error = first_order_error(record(one.network, *one.task, trials=fig5.TRIALS))
    return {
        f"error of {name}, step {t + 1}": float(value)
        for name in ("h", "M")
        for t, value in enumerate(error[name].mean("trial").values)
    }


def all_numbers(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """Measured now where they are not kept."""
    work = {}
    for name, of in by_kind(networks).items():
        for seed, one in enumerate(of):
            if name in INPUTS:
                work[Number("decoding, go", name, seed)] = partial(fig5.decoding, one)
                work[Number("mean activity, delay", name, seed)] = partial(fig5.activity, one)
            if name in SHOWN:
                work[Number(ACROSS, name, seed)] = partial(across, one)
            if name == "MPN":
                work[Number("error of h, step 1", name, seed)] = partial(theory_by_step, one)
    return measured("fig5S", work, fresh=fresh, processes=processes)


def activity_by_step(one: Trained) -> tuple[np.ndarray, np.ndarray]:
    """(a), (c): of every step, and of every step from the fifth on."""
    torch.set_num_threads(1)
    h = answers(one.network, one.task[1]).h
    return np.abs(h).mean((0, 2)), fig5.variation(h)


def draw_lines(ax: Axes, curves: dict[str, np.ndarray], first: int = 1) -> None:
    """Means over the networks [seed, step]; the first step of a curve is `first`."""
    fig5.mark_periods(ax)
    for name, values in curves.items():
        steps = np.arange(first, first + values.shape[1])
        color = COLORS[name.split(",")[0]]
        ax.plot(steps, values.mean(0), LINES[name], color=color, lw=1.4, label=LABELS[name])
    ax.set(xlabel="step")


def draw_decoding(ax: Axes, found: Found) -> None:
    """(b)"""
    fig5.mark_periods(ax)
    steps = [s + 1 for s in fig5.DECODED]
    for name, line in LINES.items():
        means = [values.mean() for values in found.over("decoding, step {}", steps, name)]
        color = COLORS[name.split(",")[0]]
        ax.plot(steps, means, line, color=color, lw=1.4, marker="o", ms=2.5)
    ax.axhline(1 / 3, color=GREY, ls="--", lw=1)
    ax.set(ylim=(0, 1.04), xlabel="step", ylabel="decoding accuracy")


def draw_error(ax: Axes, found: Found) -> None:
    """(d)"""
    fig5.mark_periods(ax)
    steps = np.arange(1, fig5.GO + 2)
    for name, color in (("h", fig5.H), ("M", fig5.M)):
        values = np.stack(found.over(f"error of {name}, step {{}}", steps, "MPN"))  # (step, seed)
        sem = values.std(1, ddof=1) / values.shape[1] ** 0.5
        ax.errorbar(steps, values.mean(1), sem, color=color, lw=1.3, elinewidth=0.7)
        ax.text(30, 1.12 * values.mean(1)[30], f"${name}$", color=color, va="bottom")
    ax.set(xlabel="step", ylabel="relative error", yscale="log", ylim=(0.015, 1.1))


def draw(
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    found: Found,
    matrices: dict[str, xr.DataArray],
) -> Figure:
    figure = new_figure(7.4, 4.7)
    a, b, c = figure.add_gridspec(
        1, 3, left=0.075, right=0.985, top=0.935, bottom=0.6, wspace=0.36
    ).subplots()
    draw_lines(a, {name: pair[0] for name, pair in curves.items()})
    a.set(ylabel="mean $|h_i|$", ylim=(0, 1.02), title="a   activity")
    a.legend(loc="upper right", title="input in the delay", labelspacing=0.25)
    draw_decoding(b, found)
    b.set_title("b   the label, read off $h$")
    draw_lines(c, {name: pair[1] for name, pair in curves.items()}, first=5)
    c.set(ylabel="variance / mean square", ylim=(0, 1.02), title="c   variation over 5 steps")
    ax = figure.add_axes((0.075, 0.1, 0.2, 0.33))
    draw_error(ax, found)
    ax.set_title("d   error of the theory")
    for k, (name, matrix) in enumerate(matrices.items()):
        ax = figure.add_axes((0.36 + 0.185 * k, 0.1, 0.165, 0.33))
        steps = 1 + EVERY * np.arange(len(matrix))
        low, high = steps[0] - EVERY / 2, steps[-1] + EVERY / 2
        extent = (low, high, low, high)
        image = ax.imshow(matrix, "viridis", vmin=1 / 3, vmax=1, origin="lower", extent=extent)
        ax.set(xlabel="tested at step", xticks=(1, 20, 40), yticks=(1, 20, 40))
        ax.set_title(("e   " if k == 0 else "") + LABELS[name], loc="left")
        if k == 0:
            ax.set_ylabel("trained at step")
        else:
            ax.tick_params(labelleft=False)
    bar = figure.colorbar(image, cax=figure.add_axes((0.925, 0.15, 0.01, 0.23)))
    bar.set_ticks([1 / 3, 2 / 3, 1], labels=["1/3", "2/3", "1"])
    bar.ax.set_title("accuracy", fontsize=8)
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    """Train what is missing, measure what is not kept, draw."""
    networks = trained(fig5.jobs(), processes=processes)
    networks |= trained(jobs(), fresh=fresh, processes=processes)
    found = all_numbers(networks, fresh, processes)
    of_5 = fig5.all_numbers(networks, False, processes)
    by_name = by_kind(networks)
    curves = {}
    for name, of in by_name.items():
        pairs = Parallel(n_jobs=processes)(delayed(activity_by_step)(one) for one in of)
        activity, variation = (np.stack(values) for values in zip(*pairs, strict=True))
        curves[name] = activity, variation
    matrices = {name: matrix_of(by_name[name][0]) for name in SHOWN}
    with plotting.style():
        figure = draw(curves, Found(pd.concat([of_5, found])), matrices)
    save_figure(figure, "fig5S")


if __name__ == "__main__":
    main()
