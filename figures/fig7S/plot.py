"""The supplement of figure 7: true-anti and prospective context, and the evidence's direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.cache import Results, load_values
from figures.drawing import (
    CLASS_SHADES,
    COLORS,
    MOST,
    dots,
    dots_by_evidence,
    mean_line,
    name_components,
    readout_arrows,
    room_above,
    seeds_and_mean,
)
from figures.fig7.measure import COUNTS, OTHER
from figures.fig7.plot import draw_context, mark_periods
from figures.fig7S.measure import ALIGNED, ALIGNED_OTHER, FIRST, compute_values, configs
from figures.integration import evidence_of, record_of
from figures.networks import load_or_train
from mpn_lab.analysis import pca
from mpn_lab.plotting.style import GREY, new_figure

STRONG = 4.0  # summed strength at which the colours of (i) end
TITLES = (
    "a  true-anti: M",
    "b  true-anti: h at go",
    "c  true-anti",
    "d  prospective: M, context",
    "e  prospective: M, stimulus",
    "f  told apart",
    "g  retrospective: alignment",
    "h  prospective: alignment",
    "i  continuous: h",
)


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Measure what is missing (all, if `fresh`) in stored networks or ones trained now; draw."""
    networks = {
        name: list(load_or_train(of_task, processes=processes).values())
        for name, of_task in configs().items()
    }
    results = Results(compute_values(networks, fresh, processes))
    records = {name: record_of(by_seed[0]) for name, by_seed in networks.items()}
    return draw(records, results, Results(load_values("figS")))


def draw(records: dict[str, xr.Dataset], results: Results, of_S: Results) -> Figure:
    """The figure, from one record of each task, and the values of this figure and of figure S."""
    figure = new_figure(7.4, 6.6)
    axes = figure.add_gridspec(
        3, 3, left=0.085, right=0.985, top=0.955, bottom=0.075, wspace=0.36, hspace=0.5
    ).subplots()
    (a, b, c), (d, e, f), (g, h, i) = axes
    draw_true_anti(a, b, records["true-anti"])
    draw_accuracy(c, of_S("accuracy", "true-anti"), results("accuracy, true-anti", "GRU"))
    draw_context(d, records["prospective context"])
    draw_stimulus(e, records["prospective context"])
    mark_periods(f, records["prospective context"])
    draw_lines(f, results, (COUNTS, OTHER), "prospective", range(1, 40))
    f.axhline(0, color=GREY, lw=0.7)
    f.legend(loc="upper left")
    f.set_ylabel("readout difference $\\Delta y$")
    for ax, context in ((g, "retrospective"), (h, "prospective")):
        mark_periods(ax, records[f"{context} context"])
        draw_lines(ax, results, (ALIGNED, ALIGNED_OTHER), context, range(FIRST[context], 40))
        ax.set(ylim=(0, 1), ylabel="|cos(PC 1, readout)|")
    draw_continuous(i, records["continuous"])
    for ax, title in zip(axes.flat, TITLES, strict=True):
        ax.set_title(title)
    return figure


def draw_true_anti(a: Axes, b: Axes, trials: xr.Dataset) -> None:
    """(a) M at all steps, (b) h at go, each in its plane, by correct response and context."""
    everywhere = pca(trials, "M", 2)
    at_go = pca(trials.isel(time=[-1]), "h", 2)
    correct, context = trials["correct_response"].values, trials["context"].values
    for ax, components in ((a, everywhere), (b, at_go)):
        where = components["trajectory"].values
        for k, shades in enumerate(CLASS_SHADES):
            for name, label, color in zip(("pro", "anti"), ("true", "anti"), shades, strict=True):
                here = where[(correct == k) & (context == name)]
                dots(ax, here, color, 2, alpha=0.8, label=f"class {k + 1}, {label}")
        name_components(ax, components["explained_variance_ratio"].values)
    directions = trials["readout"].values @ at_go["axes"].values.T  # (class, 2)
    readout_arrows(b, directions, 0.5 * np.abs(at_go["trajectory"].values).max())
    b.margins(0.12)
    a.legend(
        loc="upper left", bbox_to_anchor=(-0.03, 1.02), markerscale=2.2, handletextpad=0.1,
        labelspacing=0.2,
    )  # fmt: skip
    room_above(a, 0.55)


def draw_accuracy(ax: Axes, of_mpn: np.ndarray, of_gru: np.ndarray) -> None:
    """(c) Accuracy on true-anti, by seed."""
    for x, (kind, values) in enumerate((("MPN", of_mpn), ("GRU", of_gru))):
        seeds_and_mean(ax, x, values, COLORS[kind], 0.5)
    ax.set_xticks((0, 1), ("MPN", "GRU"))
    ax.set(xlim=(-0.6, 1.6), ylim=(0.9, 1.003), ylabel="accuracy")


def draw_stimulus(ax: Axes, trials: xr.Dataset) -> None:
    """(e) M at the stimulus steps, by the evidence of the subtask that counts."""
    stimulus = trials.isel(time=trials["period"].values[0] == "stimulus")
    a, b = (evidence_of(stimulus, f"evidence_{name}").values for name in "ab")
    of_a = stimulus["context"].values[:, None] == "a"
    draw_plane(ax, stimulus, "M", np.where(of_a, a, b))


def draw_continuous(ax: Axes, trials: xr.Dataset) -> None:
    """(i) h before go, by the summed strength."""
    before = trials.isel(time=slice(0, -1))
    draw_plane(ax, before, "h", before["evidence"].values * MOST / STRONG)


def draw_plane(ax: Axes, trials: xr.Dataset, variable: str, evidence: np.ndarray) -> None:
    """A variable in the plane of its first two components, by the evidence [trial, time]."""
    components = pca(trials, variable, 2)
    dots_by_evidence(ax, components["trajectory"].values, evidence)
    name_components(ax, components["explained_variance_ratio"].values)


def draw_lines(
    ax: Axes, results: Results, quantities: tuple[str, str], network: str, steps: Sequence[int]
) -> None:
    """(f to h) By step: of the subtask that counts, and of the other; mean and standard error."""
    for quantity, label, line, color in zip(
        quantities, ("counts", "does not"), ("-", ":"), (COLORS["MPN"], "#595959"), strict=True
    ):
        values = np.stack(results.over(quantity, steps, network))  # (step, seed)
        mean_line(ax, steps, values, ls=line, lw=1.5, elinewidth=0.7, color=color, label=label)
    ax.set(xlabel="step", xlim=(0.5, 40.5), xticks=(1, 10, 20, 30, 40))
