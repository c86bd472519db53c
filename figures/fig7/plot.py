"""Figure 7, panels a to h: MPNs that integrate in a context, and that integrate numbers."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.cache import write_values
from figures.drawing import (
    CLASS_SHADES,
    COLORS,
    component_by_evidence,
    dots,
    evidence_bar,
    name_components,
    readout_arrows,
    room_above,
)
from figures.fig7.measure import TASKS, configs, differences, readout_difference
from figures.integration import accuracy_of, evidence_of, record_of
from figures.networks import Trained, load_or_train
from mpn_lab.analysis import pca
from mpn_lab.plotting.style import GREY, new_figure

SUBTASK_COLORS = {"a": "#262626", "b": "#CC79A7"}


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train what is missing (all, if `fresh`), measure every seed, draw."""
    torch.set_num_threads(1)
    networks, rows = {}, []
    for name in TASKS:
        by_name = load_or_train(configs(name), fresh=fresh, processes=processes)
        networks[name] = list(by_name.values())
        rows += [
            (f"accuracy, {name}", "MPN", seed, accuracy_of(one))
            for seed, one in enumerate(networks[name])
        ]
    context, continuous = networks.values()
    jobs = (delayed(differences)(one) for one in context)
    for seed, values in enumerate(Parallel(n_jobs=processes)(jobs)):
        rows += [(quantity, "MPN", seed, value) for quantity, value in values.items()]
    write_values("fig7", rows)
    return draw(context[0], record_of(context[0]), record_of(continuous[0]))


def draw(one: Trained, context: xr.Dataset, continuous: xr.Dataset) -> Figure:
    """The figure, from a network of the context task, its record, and a record of numbers."""
    figure = new_figure(7.4, 4.9)
    left, width, height = (0.065, 0.31, 0.56, 0.815), 0.175, 0.3
    a, c, d = (figure.add_axes((left[k], 0.64, width, height)) for k in (0, 2, 3))
    b = [figure.add_axes((left[1], y, width, 0.125)) for y in (0.815, 0.64)]
    e, f, g, h = (figure.add_axes((x, 0.1, width, height)) for x in left)
    draw_trial_of_context(a, context)
    draw_stimulus(b, context)
    evidence_bar(figure, (left[1], 0.555, width, 0.012))
    draw_context(c, context)
    c.set_title("c  M, context")
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
    """(a) The evidence of both subtasks in a trial in which their labels differ."""
    differ = trials["label_a"].values != trials["label_b"].values
    mark_periods(ax, trials)
    for name, color in SUBTASK_COLORS.items():
        evidence = evidence_of(trials, f"evidence_{name}").values[int(differ.argmax())]
        steps = 1 + np.arange(len(evidence))
        ax.step(steps, evidence, where="mid", color=color, label=name.upper())
    ax.axhline(0, color=GREY, lw=0.7)
    room_above(ax, 0.25)
    ax.legend(loc="upper left", handlelength=1.2, ncols=2)
    ax.set(title="a  one trial", ylabel="class 1 $-$ class 2")


def draw_stimulus(axes: list[Axes], trials: xr.Dataset) -> None:
    """(b) M at the stimulus steps, by the evidence of either subtask."""
    stimulus = trials.isel(time=trials["period"].values[0] == "stimulus")
    scores = pca(stimulus, "M", 5)["trajectory"].values
    for ax, name in zip(axes, SUBTASK_COLORS, strict=True):
        evidence = evidence_of(stimulus, f"evidence_{name}").values
        best, along, _ = component_by_evidence(ax, scores, evidence)
        ax.set_ylabel(f"{name.upper()}: PC {best + 1}", fontsize=8)
        ax.set_xlabel(f"PC {along + 1}", fontsize=8, labelpad=1)
    axes[0].set_title("b  M, stimulus")


def draw_context(ax: Axes, trials: xr.Dataset) -> None:
    """(c) M at the context steps, by the subtask that counts; dark: the last of them."""
    context = trials.isel(time=trials["period"].values[0] == "context")
    components = pca(context, "M", 2)
    where = components["trajectory"].values
    for name, color in SUBTASK_COLORS.items():
        here = where[context["context"].values == name]
        dots(ax, here[:, :-1], color, alpha=0.25)
        dots(ax, here[:, -1], color, 2.2, label=f"{name.upper()} counts")
    room_above(ax, 0.3)
    ax.legend(loc="upper left", handletextpad=0.1, markerscale=1.6, labelspacing=0.2)
    name_components(ax, components["explained_variance_ratio"].values)


def draw_difference(
    ax: Axes, trials: xr.Dataset, by_subtask: dict[tuple[str, str], np.ndarray]
) -> None:
    """(d) The readout difference of every subtask, where it counts and where it does not."""
    mark_periods(ax, trials)
    for (subtask, counts), values in by_subtask.items():
        line = "-" if subtask == counts else ":"
        ax.plot(1 + np.arange(len(values)), values, line, color=SUBTASK_COLORS[subtask])
    ax.axhline(0, color=GREY, lw=0.7)
    ax.plot([], [], "-", color=GREY, label="counts")
    ax.plot([], [], ":", color=GREY, label="does not")
    ax.legend(loc="upper left", handlelength=1.4, labelspacing=0.2)
    ax.set(title="d  told apart", ylabel="readout difference $\\Delta y$")
    room_above(ax, 0.25)


def draw_trial_of_numbers(e: Axes, g: Axes, trials: xr.Dataset) -> None:
    """(e) The input of one trial, and (g) the hidden unit that varies most in it."""
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
    for values, color, name in (
        (shown[:-1], "black", "input"),
        (h[:, unit], COLORS["MPN"], "unit"),
    ):
        centred = values - values.mean()
        g.plot(steps[:-1], centred / np.abs(centred).max(), color=color, label=name)
    room_above(g, 0.2)
    g.set(title="g  input and h", xlabel="step", ylabel="normalised")
    g.legend(loc="upper left", ncols=2, handlelength=1.2, columnspacing=0.8)


def draw_hidden(ax: Axes, trials: xr.Dataset) -> None:
    """(f) h by the correct response, and the readout vectors."""
    components = pca(trials, "h", 2)
    _draw_by_response(ax, trials, components)
    directions = trials["readout"].values @ components["axes"].values.T  # (class, 2)
    readout_arrows(ax, directions, 0.5 * np.abs(components["trajectory"].values).max())
    ax.set_title("f  h")


def draw_modulations(ax: Axes, trials: xr.Dataset) -> None:
    """(h) M by the correct response, and its path in one trial of each class."""
    components = pca(trials, "M", 2)
    _draw_by_response(ax, trials, components)
    where, correct = components["trajectory"].values, trials["correct_response"].values
    for k in (0, 1):
        ax.plot(*where[int((correct == k).argmax())].T, color="black", lw=0.9)
    ax.set_title("h  M")


def _draw_by_response(ax: Axes, trials: xr.Dataset, components: xr.Dataset) -> None:
    """All steps in the plane; light: before go, dark: at go."""
    where, correct = components["trajectory"].values, trials["correct_response"].values
    for k, (light, dark) in enumerate(CLASS_SHADES):
        here = where[correct == k]
        dots(ax, here[:, :-1], light, alpha=0.5)
        dots(ax, here[:, -1], dark, 2.4)
    name_components(ax, components["explained_variance_ratio"].values)
