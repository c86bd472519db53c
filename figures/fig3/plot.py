"""Figure 3: the hidden activity of RNN, GRU and MPN while they integrate."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.cache import Results, write_values
from figures.drawing import (
    COLORS,
    EVIDENCE_COLORS,
    MOST,
    SHOWN_COLORS,
    dots,
    dots_by_evidence,
    evidence_bar,
    mark_paper,
    mean_line,
    name_components,
    paper_key,
    readout_arrows,
    seeds_and_mean,
)
from figures.fig3.measure import (
    COMPONENTS,
    COSINE,
    KINDS,
    R2_EVIDENCE,
    R2_INPUT,
    RATIO,
    VARIANCE,
    configs,
    measure,
)
from figures.integration import SHOWN, evidence_of, record_of
from figures.networks import load_or_train
from mpn_lab.analysis import pca, variance_explained
from mpn_lab.plotting.style import new_figure

TRIALS_SHOWN = 80


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train what is missing (all, if `fresh`), measure every seed, draw."""
    torch.set_num_threads(1)
    networks = load_or_train(configs(), fresh=fresh, processes=processes)
    values = Parallel(n_jobs=processes)(delayed(measure)(one) for one in networks.values())
    seeds = [(kind, seed) for kind in KINDS for seed in range(len(networks) // len(KINDS))]
    table = write_values(
        "fig3",
        [(q, *at, v) for at, found in zip(seeds, values, strict=True) for q, v in found.items()],
    )
    examples = {kind: record_of(networks[f"fig3/{kind}-seed0"]) for kind in KINDS}
    return draw(examples, Results(table))


def draw(examples: dict[str, xr.Dataset], results: Results) -> Figure:
    """The figure, from one record of each network and the values of all seeds."""
    figure = new_figure(7.4, 8.4)
    left, width = (0.078, 0.405, 0.735), 0.255
    for row, kind in enumerate(("RNN", "GRU")):
        ax = figure.add_axes((left[0], 0.888 - 0.14 * row, width, 0.062))
        draw_plane(ax, examples[kind], "evidence")
        ax.set_title(f"{'ab'[row]}  {kind}")
    ax = figure.add_axes((left[1], 0.748, width, 0.202))
    draw_plane(ax, examples["MPN"], "evidence")
    ax.set_title("c  MPN, by evidence")
    ax = figure.add_axes((left[2], 0.748, width, 0.202))
    draw_plane(ax, examples["MPN"], "input")
    ax.set_title("d  MPN, by present input")
    ax.legend(loc="lower left", handletextpad=0.1, markerscale=1.8, labelspacing=0.15)
    evidence_bar(figure, (left[1], 0.682, width, 0.010))
    for column, kind, regressor, title in (
        (0, "RNN", "evidence", "e  a neuron of the RNN"),
        (1, "MPN", "input", "a neuron of the MPN"),
    ):
        ax = figure.add_axes((left[column], 0.42, width, 0.185))
        draw_neuron(ax, examples[kind], regressor)
        ax.set_title(title)
        if column == 1:
            ax.text(1, -0.93, "line: evidence at the end; dot: input", fontsize=7)
    draw_variances(figure.add_axes((left[2], 0.42, width, 0.185)), results)
    draw_explained(figure.add_axes((left[0], 0.095, 0.475, 0.215)), results)
    ax = figure.add_axes((0.64, 0.095, 0.13, 0.215))
    draw_strips(ax, ("MPN", "MPNpre"), COSINE, results)
    ax.set(ylim=(0, 1.03), ylabel="mean |cos(h, readout)|", title="h  h and readout")
    ax = figure.add_axes((0.85, 0.095, 0.14, 0.215))
    draw_strips(ax, ("RNN", "GRU", "MPN"), RATIO, results)
    ax.set(ylim=(0.8, None), ylabel="participation ratio", title="dimensions")
    return figure


def draw_plane(ax: Axes, trials: xr.Dataset, by: str) -> None:
    """(a to d) h in the plane of its first two components, by evidence or by present input."""
    components = pca(trials, "h", 2)
    where = components["trajectory"].values[:TRIALS_SHOWN]  # (trial, time, 2)
    if by == "evidence":
        dots_by_evidence(ax, where, evidence_of(trials).values[:TRIALS_SHOWN])
    else:
        shown = trials["shown"].values[:TRIALS_SHOWN]
        for k, (name, color) in enumerate(zip(SHOWN, SHOWN_COLORS, strict=True)):
            dots(ax, where[shown == k], color, 2.2, label=name)
    axes = components["axes"].values  # (component, hidden)
    readout_arrows(ax, trials["readout"].values @ axes.T, 0.36 * np.abs(where).max())
    ax.margins(0.08)
    ax.set_aspect("equal", "datalim")
    name_components(ax, components["explained_variance_ratio"].values, " of h", ticks=True)


def draw_neuron(ax: Axes, trials: xr.Dataset, regressor: str) -> None:
    """(e) The active neuron of median r2 on the regressor, in four trials."""
    evidence = evidence_of(trials)
    r2 = variance_explained(trials, evidence, "h", None, trials["shown"])[regressor].values
    variance = trials["h"].values[:, :-1].var((0, 1))
    active = np.flatnonzero(variance > 0.1 * variance.max())
    neuron = int(active[np.argsort(r2[active])[len(active) // 2]])
    last = evidence.isel(time=-1).values
    steps = 1 + np.arange(trials.sizes["time"] - 1)
    for wanted in (13, 5, -5, -13):
        trial = int(np.abs(last - wanted).argmin())
        h, shown = trials["h"].values[trial, :-1, neuron], trials["shown"].values[trial, :-1]
        ax.plot(steps, h, color=EVIDENCE_COLORS(0.5 + last[trial] / (2 * MOST)), lw=1.3)
        for k in range(3):
            at = steps[shown == k], h[shown == k]
            ax.plot(*at, "o", ms=3.2, mew=0.5, mec="white", color=SHOWN_COLORS[k])
    ax.set(ylim=(-1.08, 1.08), xlabel="step", ylabel="h", xticks=(1, 5, 10, 15, 19))


def draw_variances(ax: Axes, results: Results) -> None:
    """(f) Share of variance by principal component."""
    components = 1 + np.arange(COMPONENTS)
    for kind in KINDS:
        shares = np.stack(results.over(VARIANCE, components, kind))  # (component, seed)
        mean_line(ax, components, shares, fmt="o-", ms=3.5, color=COLORS[kind], label=kind)
    ax.set(yscale="log", title="f  variance of h")
    ax.set(xlabel="principal component", ylabel="share of variance")
    ax.set_xticks(components)
    ax.legend(loc="lower left", ncols=2, columnspacing=0.8, handlelength=1)


def draw_explained(ax: Axes, results: Results) -> None:
    """(g) r2 on the evidence and on the present input: seeds, their mean, the paper's."""
    for group, quantity in enumerate((R2_EVIDENCE, R2_INPUT)):
        for i, kind in enumerate(KINDS):
            x = 5 * group + i
            seeds_and_mean(ax, x, results(quantity, kind), COLORS[kind])
            mark_paper(ax, x + 0.42, "fig3", quantity, kind)
    ticks = [5 * group + i for group in range(2) for i in range(4)]
    ax.set_xticks(ticks, KINDS * 2, fontsize=7.5)
    ax.set_xlim(-0.6, 8.6)
    ax.set(ylim=(0, 1), ylabel="$r^2$ of h, mean over neurons")
    ax.set_title("g  on evidence so far")
    ax.set_title("on present input          ", loc="right")
    ax.legend(
        handles=[
            Line2D([], [], marker="o", ls="none", ms=3, color="#595959", label="a seed"),
            Line2D([], [], color="#595959", lw=2, label="mean"),
            paper_key(),
        ],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=3,
        columnspacing=1.4,
    )


def draw_strips(ax: Axes, kinds: tuple[str, ...], quantity: str, results: Results) -> None:
    """(h) Seeds, their mean and the paper's."""
    for x, kind in enumerate(kinds):
        seeds_and_mean(ax, x, results(quantity, kind), COLORS[kind])
        mark_paper(ax, x + 0.42, "fig3", quantity, kind)
    ax.set_xticks(range(len(kinds)), kinds)
    ax.set_xlim(-0.6, len(kinds) - 0.3)
