"""Figure 7, panels a to h: an MPN that integrates for a context, and one that integrates numbers.

a to d: retrospective context; two subtasks, A and B, are shown at once, and only afterwards
(yellow) which one counts. (a) What was shown in one trial. (b) M_t at the stimulus steps, coloured
by the evidence of A and of B, against the one of its first five principal components that follows
it best. (c) M_t at the context steps, in a plane of their own, by the subtask that counts; dark:
the last of them. (d) Readout difference: with the answer that the network would give if go came
now, from h_GO(M_t) = phi([W * (1 + M_t)] x_go + b), readout of class 1 minus that of class 2; half
the difference between trials in which a subtask's class 1 and in which its class 2 is right.

e to h: continuous evidence, one input whose strength varies. (e) What was shown in one trial. (f) h
at all steps in its plane, by the right answer (green: class 1, purple: class 2; dark: at go);
arrows: the readout vectors. (g) Input and the hidden unit that varies most in that trial, each less
its mean, largest magnitude 1. (h) M_t in its plane, by the right answer, and its path in two
trials. Without a bias the MPN is blind to the input's sign (0.47 to 0.53 in ten seeds): these have
one, and are trained for 3,000 batches, since 98 % may never come (the ideal observer is at 0.99).

All show seed 0, 200 trials; `figures/numbers/fig7.csv` has the accuracy of ten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from integration import (
    accuracy_of,
    evidence_bar,
    following,
    if_go_came,
    name_axes,
    points,
    readouts,
    record_of,
)
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import SEEDS, Trained, config_of, names, save_figure, save_numbers, trained

from mpn_lab import SupervisedConfig, plotting
from mpn_lab.analysis import pca
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION

# An input x times its strength s moves M by eta phi(s W x) s x^T, the same for s and -s: it takes a
# bias to tell them apart.
SIGNED: dict[str, Any] = {"mpn": {"bias": True}, "trials": 64 * 3_000, "stop": None}
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "retrospective context": (CONTEXT_INTEGRATION, {}),
    "continuous": (CONTINUOUS_INTEGRATION, SIGNED),
}
COUNTS, OTHER = (
    "readout difference, subtask that counts, step {}",
    "readout difference, other, step {}",
)
SUBTASKS = {"a": "#262626", "b": "#CC79A7"}
CLASSES = (("#7FBC9B", "#00783C"), ("#BC9AC8", "#7B3294"))  # light and dark of class 1, class 2
GREY = "#8C8C8C"


def main(fresh: bool = False, processes: int = 2) -> None:
    torch.set_num_threads(1)
    found, rows = {}, []
    for name in TASKS:
        found[name] = list(trained(jobs(name), fresh=fresh, processes=processes).values())
        rows += [
            (f"accuracy, {name}", "MPN", s, accuracy_of(one)) for s, one in enumerate(found[name])
        ]
    context, continuous = found.values()
    for seed, values in enumerate(
        Parallel(n_jobs=processes)(delayed(differences)(one) for one in context)
    ):
        rows += [(quantity, "MPN", seed, value) for quantity, value in values.items()]
    save_numbers("fig7", rows)
    with plotting.style():
        save_figure(draw(record_of(context[0]), context[0], record_of(continuous[0])), "fig7")


def jobs(name: str) -> dict[str, SupervisedConfig]:
    """What is trained on one of `TASKS`, by seed."""
    task, changes = TASKS[name]
    return {
        full: config_of(kind, seed, task, **changes)
        for kind, seed, full in names(f"fig7/{name.split()[0]}", ["MPN"], SEEDS)
    }


def readout_difference(one: Trained, trials: xr.Dataset) -> dict[tuple[str, str], np.ndarray]:
    """(subtask, the one that counts) -> the readout difference at every step before go."""
    _, answer = if_go_came(one, trials.isel(time=slice(0, -1)))  # M_T is never read
    result = {}
    for subtask in SUBTASKS:
        label = trials[f"label_{subtask}"].values
        for counts in SUBTASKS:
            use = trials["context"].values == counts
            first, second = (answer[use & (label == k)].mean(0) for k in (0, 1))
            result[subtask, counts] = (first - second) / 2
    return result


def differences(one: Trained) -> dict[str, float]:
    """The readout differences by step, means over the two subtasks."""
    torch.set_num_threads(1)
    found = readout_difference(one, record_of(one))
    values = {}
    for quantity, pairs in ((COUNTS, ("aa", "bb")), (OTHER, ("ab", "ba"))):
        mean = np.mean([found[subtask, counts] for subtask, counts in pairs], axis=0)
        values |= {quantity.format(t + 1): float(value) for t, value in enumerate(mean)}
    return values


def draw(context: xr.Dataset, one: Trained, continuous: xr.Dataset) -> Figure:
    figure = plotting.new_figure(7.4, 4.9)
    left, width, height = (0.065, 0.31, 0.56, 0.815), 0.175, 0.3
    a, c, d = (figure.add_axes((left[k], 0.64, width, height)) for k in (0, 2, 3))
    b = [figure.add_axes((left[1], y, width, 0.125)) for y in (0.815, 0.64)]
    e, f, g, h = (figure.add_axes((x, 0.1, width, height)) for x in left)
    draw_trial_of_context(a, context)
    draw_stimulus(b, context)
    evidence_bar(figure, (left[1], 0.555, width, 0.012))
    draw_context(c, context)
    draw_difference(d, context, readout_difference(one, context))
    draw_trial_of_numbers(e, g, continuous)
    draw_hidden(f, continuous)
    draw_modulations(h, continuous)
    return figure


def mark_periods(ax: Axes, trials: xr.Dataset) -> None:
    """Yellow: context; grey: go."""
    periods = trials["period"].values[0]
    for name, color in (("context", "#F0E442"), ("go", GREY)):
        where = 1 + np.flatnonzero(periods == name)
        if len(where):
            ax.axvspan(where[0] - 0.5, where[-1] + 0.5, color=color, alpha=0.35, lw=0)
    ax.set(xlabel="step", xlim=(0.5, len(periods) + 0.5))


def draw_trial_of_context(ax: Axes, trials: xr.Dataset) -> None:
    """(a)"""
    differ = trials["label_a"].values != trials["label_b"].values
    mark_periods(ax, trials)
    for name, color in SUBTASKS.items():
        evidence = trials[f"evidence_{name}"].values[int(differ.argmax())]
        difference = evidence[:, 0] - evidence[:, 1]
        ax.step(
            1 + np.arange(len(difference)), difference, where="mid", color=color, label=name.upper()
        )
    ax.axhline(0, color=GREY, lw=0.7)
    room_above(ax, 0.25)
    ax.legend(loc="upper left", handlelength=1.2, ncols=2)
    ax.set(title="a  one trial", ylabel="class 1 $-$ class 2")


def draw_stimulus(axes: list[Axes], trials: xr.Dataset) -> None:
    """(b)"""
    stimulus = trials.isel(time=trials["period"].values[0] == "stimulus")
    at = pca(stimulus, "M", 5)
    where = at["trajectory"].values.reshape(-1, 5)
    for ax, name in zip(axes, SUBTASKS, strict=True):
        counts = stimulus[f"evidence_{name}"].values
        evidence = (counts[..., 0] - counts[..., 1]).ravel()
        best, along, _ = following(where, evidence)
        points(ax, where[:, along], where[:, best], evidence)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(f"{name.upper()}: PC {best + 1}", fontsize=8)
        ax.set_xlabel(f"PC {along + 1}", fontsize=8, labelpad=1)
    axes[0].set_title("b  M, stimulus")


def draw_context(ax: Axes, trials: xr.Dataset) -> None:
    """(c)"""
    shown = trials.isel(time=trials["period"].values[0] == "context")
    at = pca(shown, "M", 2)
    where = at["trajectory"].values
    for name, color in SUBTASKS.items():
        use = shown["context"].values == name
        ax.plot(
            *where[use, :-1].reshape(-1, 2).T,
            "o",
            ms=1.8,
            mew=0,
            color=color,
            alpha=0.25,
            rasterized=True,
        )
        ax.plot(
            *where[use, -1].T,
            "o",
            ms=2.2,
            mew=0,
            color=color,
            label=f"{name.upper()} counts",
            rasterized=True,
        )
    room_above(ax, 0.3)
    ax.legend(loc="upper left", handletextpad=0.1, markerscale=1.6, labelspacing=0.2)
    ax.set_title("c  M, context")
    name_axes(ax, at)


def draw_difference(ax: Axes, trials: xr.Dataset, found: dict[tuple[str, str], np.ndarray]) -> None:
    """(d)"""
    mark_periods(ax, trials)
    for (subtask, counts), values in found.items():
        ax.plot(
            1 + np.arange(len(values)),
            values,
            "-" if subtask == counts else ":",
            color=SUBTASKS[subtask],
        )
    ax.axhline(0, color=GREY, lw=0.7)
    ax.plot([], [], "-", color=GREY, label="counts")
    ax.plot([], [], ":", color=GREY, label="does not")
    ax.legend(loc="upper left", handlelength=1.4, labelspacing=0.2)
    ax.set(title="d  told apart", ylabel="readout difference $\\Delta y$")
    room_above(ax, 0.25)


def draw_trial_of_numbers(e: Axes, g: Axes, trials: xr.Dataset) -> None:
    """(e), (g)"""
    shown = trials["shown"].values[0]
    steps = 1 + np.arange(len(shown))
    mark_periods(e, trials)
    e.bar(steps, shown, color=GREY)
    e.plot(steps, trials["evidence"].values[0], color="black", label="its sum")
    e.axhline(0, color=GREY, lw=0.7)
    room_above(e, 0.25)
    e.legend(loc="upper left")
    e.set(title="e  one trial", ylabel="strength")
    h = trials["h"].values[0, :-1]
    unit = int(h.std(0).argmax())
    for values, color, name in ((shown[:-1], "black", "input"), (h[:, unit], "#0072B2", "unit")):
        centred = values - values.mean()
        g.plot(steps[:-1], centred / np.abs(centred).max(), color=color, label=name)
    room_above(g, 0.2)
    g.set(title="g  input and h", xlabel="step", ylabel="normalised")
    g.legend(loc="upper left", ncols=2, handlelength=1.2, columnspacing=0.8)


def draw_hidden(ax: Axes, trials: xr.Dataset) -> None:
    """(f)"""
    found = pca(trials, "h", 2)
    _by_answer(ax, trials, found)
    readouts(
        ax,
        trials["readout"].values @ found["axes"].values.T,
        0.5 * np.abs(found["trajectory"].values).max(),
    )
    ax.set_title("f  h")


def draw_modulations(ax: Axes, trials: xr.Dataset) -> None:
    """(h)"""
    found = pca(trials, "M", 2)
    _by_answer(ax, trials, found)
    where, answer = found["trajectory"].values, trials["correct_response"].values
    for k in (0, 1):
        ax.plot(*where[int((answer == k).argmax())].T, color="black", lw=0.9)
    ax.set_title("h  M")


def room_above(ax: Axes, share: float) -> None:
    """For a legend."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + share * (high - low))


def _by_answer(ax: Axes, trials: xr.Dataset, found: xr.Dataset) -> None:
    """All steps in the plane; light: before go, dark: at go."""
    where, answer = found["trajectory"].values, trials["correct_response"].values
    for k, (light, dark) in enumerate(CLASSES):
        before, go = where[answer == k, :-1].reshape(-1, 2), where[answer == k, -1]
        ax.plot(*before.T, "o", ms=1.8, mew=0, color=light, alpha=0.5, rasterized=True)
        ax.plot(*go.T, "o", ms=2.4, mew=0, color=dark, rasterized=True)
    name_axes(ax, found)


if __name__ == "__main__":
    main()
