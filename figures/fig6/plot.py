"""Figure 6: how much the networks can hold, how little training they need, and what they forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from figures.cache import Results
from figures.drawing import (
    COLORS,
    SHOWN_COLORS,
    mark_paper,
    mean_line,
    name_components,
    paper_key,
    seeds_and_mean,
)
from figures.fig6.measure import (
    CLASSES,
    LENGTHS,
    RATIOS,
    SIZES,
    compute_values,
    configs,
    last_states,
)
from figures.networks import SEEDS, Trained, load_or_train
from mpn_lab.plotting.style import GREY, new_figure

LINES = COLORS | {"MPN, d=40": COLORS["MPN"]}
LABELS = ("class 1", "class 2", "novel")
LABEL_COLORS, MARKERS = (*SHOWN_COLORS[:2], "#262626"), "os^"
SHOWN = 300  # of the states in (f, g)
TITLES = (
    "a   classes, $n$ = 3",
    "b   length, $n$ = 3",
    "c   noise",
    "d   only the readout trained",
    "e   a second task in the same network",
    "f   GRU: $h_T$",
    "g   MPN: $M_{T-1}$",
    "h   read off the state",
)


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Measure what is missing (all, if `fresh`) in stored networks or ones trained now; draw."""
    networks = load_or_train(configs(), processes=processes)
    return draw(networks, Results(compute_values(networks, fresh, processes)))


def draw(networks: dict[str, Trained], results: Results) -> Figure:
    """The figure, from the networks of seed 0 and the values of all seeds."""
    figure = new_figure(7.2, 7.0)
    a, b, c = figure.add_gridspec(
        1, 3, left=0.08, right=0.985, top=0.96, bottom=0.735, wspace=0.3
    ).subplots()
    d, e = figure.add_gridspec(
        1, 2, left=0.08, right=0.985, top=0.64, bottom=0.42, wspace=0.24
    ).subplots()
    f, g, h = figure.add_gridspec(
        1, 3, left=0.08, right=0.985, top=0.315, bottom=0.07, wspace=0.3
    ).subplots()
    draw_capacities(a, b, results, LINES)
    draw_noise(c, results, COLORS)
    b.plot([], [], "s--", mfc="white", color=COLORS["MPN"], ms=4, label="MPN, $d$ = 40 (a)")
    b.plot([], [], "o-", color=COLORS["MPNpre"], ms=4, label="MPNpre (c)")
    b.legend(loc="lower left", bbox_to_anchor=(0.06, 0.17))
    draw_readout_alone(d, results, COLORS)
    d.legend(ncols=4, loc="lower right", bbox_to_anchor=(1.02, 0.0), columnspacing=0.8)
    draw_forgetting(e, results, {kind: COLORS[kind] for kind in ("MPN", "GRU")})
    draw_states(f, networks["fig3/GRU-seed0"])
    draw_states(g, networks["fig3/MPN-seed0"])
    f.legend(loc="upper left", bbox_to_anchor=(0.18, 1.02), markerscale=1.3, handletextpad=0.1)
    draw_novel(h, results)
    for ax, title in zip((a, b, c, d, e, f, g, h), TITLES, strict=True):
        ax.set_title(title)
    return figure


def draw_capacities(a: Axes, b: Axes, results: Results, lines: Mapping[str, str]) -> None:
    """(a, b) Accuracy against classes and length, with chance."""
    draw_capacity(a, results, "accuracy, N={}", CLASSES, lines)
    a.plot(CLASSES, [1 / N for N in CLASSES], "--", color=GREY, lw=1)
    a.text(5.2, 0.1, "chance", color="#595959", size=7.5)
    a.set(xlabel="classes $N$", ylabel="accuracy", xticks=CLASSES)
    draw_capacity(b, results, "accuracy, T={}", LENGTHS, lines)
    b.axhline(0.5, color=GREY, ls="--", lw=1)
    b.set(xlabel="steps $T$", ylim=(0.43, 1.03), xscale="log")
    b.set_xticks(LENGTHS, [str(T) for T in LENGTHS])
    b.minorticks_off()


def draw_capacity(
    ax: Axes, results: Results, quantity: str, at: Sequence[int], lines: Mapping[str, str]
) -> None:
    """(a, b) Median and quartiles of the networks of `lines` (with their colours) that were run."""
    for name, color in lines.items():
        values = results.over(quantity, at, name)
        if not all(map(len, values)):
            continue
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
        wide = "d=40" in name
        ax.errorbar(
            at,
            middle,
            (middle - low, high - middle),
            fmt="s--" if wide else "o-",
            mfc="white" if wide else color,
            color=color,
            ms=4,
            elinewidth=0.8,
            label=name.replace("d=40", "$d$ = 40"),
        )
    ax.set_ylim(0, 1.04)


def draw_noise(ax: Axes, results: Results, colors: Mapping[str, str]) -> None:
    """(c) Mean and standard error."""
    for kind, color in colors.items():
        values = np.stack(results.over("accuracy, signal/noise {:g}", RATIOS, kind))
        mean_line(ax, RATIOS, values, fmt="o-", ms=3, color=color, label=kind)
    ax.axvline(10, color="#404040", ls=":", lw=1)
    ax.axhline(0.5, color=GREY, ls="--", lw=1)
    ax.text(9, 0.55, "trained", rotation=90, ha="right", va="bottom", size=7.5, color="#404040")
    ax.set(xscale="log", xlabel="signal / noise", ylim=(0.43, 1.03))
    ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])


def draw_readout_alone(ax: Axes, results: Results, colors: Mapping[str, str]) -> None:
    """(d) Each network, and the means."""
    for i, (d, n) in enumerate(SIZES):
        for j, (kind, color) in enumerate(colors.items()):
            values = results(f"readout alone, d={d} n={n}", kind)
            x = i + (j - (len(colors) - 1) / 2) * 0.8 / len(colors)
            label = kind if i == 0 else None
            seeds_and_mean(ax, x, values, color, 0.68 / len(colors), label)
    ax.set_xticks(range(len(SIZES)), [f"$d$ = {d}, $n$ = {n}" for d, n in SIZES])
    ax.set(ylim=(0.76, 1.01), xlim=(-0.5, len(SIZES) - 0.5), ylabel="accuracy")


def draw_forgetting(ax: Axes, results: Results, colors: Mapping[str, str]) -> None:
    """(e) A line for each network that learned both tasks, the mean in bold."""
    for i, (kind, color) in enumerate(colors.items()):
        before, after = (results(f"first task, {when}", kind) for when in ("before", "after"))
        ends = np.stack([before, after])  # (2, seed)
        x = [1.6 * i, 1.6 * i + 1]
        ax.plot(x, ends, "o-", color=color, lw=0.7, ms=2.5, alpha=0.45)
        ax.plot(x, ends.mean(1), "o-", color=color, lw=2.6, ms=6)
        label = kind if len(after) == len(SEEDS) else f"{kind} ({len(after)})"
        size = 7.5 if len(colors) > 2 else None
        ax.text(x[0] - 0.15, 0.6, label, color=color, weight="bold", size=size)
    ax.axhline(1 / 2, color=GREY, ls="--", lw=1)
    ax.text(1.3, 1 / 2 + 0.01, "chance", color="#595959", size=7.5, ha="center", va="bottom")
    last = 1.6 * (len(colors) - 1)
    ticks = [x for i in range(len(colors)) for x in (1.6 * i, 1.6 * i + 1)]
    ax.set_xticks(ticks, ["before", "after"] * len(colors))
    ax.set(ylim=(0.1, 1.03), xlim=(-0.3, last + 1.3), ylabel="accuracy, first task")
    ax.set_xlabel("the second task is learned")


def draw_states(ax: Axes, one: Trained) -> None:
    """(f, g) The last states, marked by the correct response."""
    states, responses = last_states(one)
    components = PCA(2, random_state=0).fit(states)
    where = components.transform(states)[:SHOWN]
    for k, (color, marker, label) in enumerate(zip(LABEL_COLORS, MARKERS, LABELS, strict=True)):
        here = where[responses.label[:SHOWN] == k]
        ax.scatter(*here.T, s=9, marker=marker, color=color, alpha=0.65, lw=0, label=label)
    name_components(ax, components.explained_variance_ratio_)


def draw_novel(ax: Axes, results: Results) -> None:
    """(h) Each network, the means, and the paper's."""
    for x, kind in enumerate(("MPN", "GRU")):
        seeds_and_mean(ax, x, results("novel class decoded", kind), COLORS[kind], 0.3)
        mark_paper(ax, x + 0.32, "fig6", "novel class decoded", kind)
    ax.legend(handles=[paper_key()], loc="lower left", bbox_to_anchor=(0, 0.27))
    ax.axhline(2 / 3, color=GREY, ls="--", lw=1)
    ax.text(
        0.5,
        2 / 3 + 0.004,
        "both known classes",
        color="#595959",
        size=7.5,
        ha="center",
        va="bottom",
    )
    ax.set_xticks([0, 1], ["MPN", "GRU"])
    ax.set(ylim=(0.6, 1.03), xlim=(-0.5, 1.6), ylabel="decoding accuracy")
