"""Figure 6: how much the networks can hold, how little training they need, and what they forget.

(a, b) Networks of three hidden units: accuracy against the number of classes (20 steps) and
against the length of a trial (two classes), once the loss in validation no longer falls; median and
quartiles of ten seeds. (c) Accuracy where the noise of the input is not what
they were trained with. (d) Only the readout trained. (e) Two classes and a delay, before and after
the same network learned the task with other vectors; three GRUs of ten lose most of the first task,
the others little more than the MPNs. (f-h) A class that a network of two classes never saw: the
last states of three-class trials (300 of 1,000 are drawn) in their first two principal components,
and how well the right class is read off them.

(c) and (f-h) look at the networks of figure 3. What is measured, and how the networks of the other
panels are trained, is said in `measures6`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import measures6 as measure
import numpy as np
import pandas as pd
from integration import SHOWN_COLORS, by_seed, mark_paper, paper_key
from kept import Found, Measured, Number, measured
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, names, save_figure, trained
from sklearn.decomposition import PCA

from mpn_lab import SupervisedConfig, plotting
from mpn_lab.plotting.style import GREY, new_figure

KINDS = ("MPN", "MPNpre", "RNN", "GRU")
CLASSES, LENGTHS = (2, 3, 5, 8), (10, 20, 50, 100, 200)
SMALL = {"MPN": ("MPN", 10), "MPN, d=40": ("MPN", 40), "GRU": ("GRU", 10), "RNN": ("RNN", 10)}
SIZES = ((25, 50), (50, 100))  # d, n of (d)
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


def jobs() -> dict[str, SupervisedConfig]:
    """The saved networks, figure 3's."""
    return {n: config_of(kind, seed) for kind, seed, n in names("fig3", KINDS)}


def work(networks: dict[str, Trained]) -> dict[Number, Callable[[], Measured]]:
    """What measures each number, the quicker first."""
    result: dict[Number, Callable[[], Measured]] = {}
    for seed in SEEDS:
        for kind in ("MPN", "GRU"):
            function = partial(measure.novel_class, networks[f"fig3/{kind}-seed{seed}"])
            result[Number("novel class decoded", kind, seed)] = function
        for kind in ("MPN", "GRU"):
            result[Number("first task, lost", kind, seed)] = partial(measure.forgetting, kind, seed)
    of_kind = {k: [networks[n] for _, _, n in names("fig3", [k])] for k in KINDS}
    return result | noise_and_readout(of_kind) | capacities(SMALL)


def noise_and_readout(
    networks: Mapping[str, Sequence[Trained]],
) -> dict[Number, Callable[[], Measured]]:
    """What measures (c) and (d). Args: `networks`: kind -> by seed; (c) is of these."""
    result: dict[Number, Callable[[], Measured]] = {}
    for kind, by_seeds in networks.items():
        for seed, one in enumerate(by_seeds):
            function = partial(measure.noise_resistance, one)
            result[Number("accuracy, signal/noise 1", kind, seed)] = function
            for d, n in SIZES:
                name = f"readout alone, d={d} n={n}"
                result[Number(name, kind, seed)] = partial(
                    measure.readout_alone, kind, seed, d, n, name
                )
    return result


def capacities(small: Mapping[str, tuple[str, int]]) -> dict[Number, Callable[[], Measured]]:
    """What measures (a, b). Args: `small`: name -> network and d."""
    result: dict[Number, Callable[[], Measured]] = {}
    for seed in SEEDS:
        for name, (kind, d) in small.items():
            tasks = {f"accuracy, N={N}": {"n_classes": N} for N in CLASSES}
            if d == 10:
                tasks |= {f"accuracy, T={T}": {"steps": T} for T in LENGTHS if T != 20}
            for quantity, task in tasks.items():
                same = ("accuracy, T=20",) if quantity == "accuracy, N=2" else ()
                function = partial(
                    measure.capacity, kind, seed, (quantity, *same), input_size=d, **task
                )
                result[Number(quantity, name, seed)] = function
    return result


def draw_capacity(
    ax: Axes, found: Found, quantity: str, at: Sequence[int], lines: Mapping[str, str]
) -> None:
    """(a, b): median, quartiles of the networks of `lines` (with their colours) that were run."""
    for name, color in lines.items():
        values = found.over(quantity, at, name)
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


def draw_capacities(a: Axes, b: Axes, found: Found, lines: Mapping[str, str]) -> None:
    """(a, b), with chance."""
    draw_capacity(a, found, "accuracy, N={}", CLASSES, lines)
    a.plot(CLASSES, [1 / N for N in CLASSES], "--", color=GREY, lw=1)
    a.text(5.2, 0.1, "chance", color="#595959", size=7.5)
    a.set(xlabel="classes $N$", ylabel="accuracy", xticks=CLASSES)
    draw_capacity(b, found, "accuracy, T={}", LENGTHS, lines)
    b.axhline(0.5, color=GREY, ls="--", lw=1)
    b.set(xlabel="steps $T$", ylim=(0.43, 1.03), xscale="log")
    b.set_xticks(LENGTHS, [str(T) for T in LENGTHS])
    b.minorticks_off()


def draw_noise(ax: Axes, found: Found, colors: Mapping[str, str]) -> None:
    """(c): mean and standard error."""
    for kind, color in colors.items():
        values = found.over("accuracy, signal/noise {:g}", measure.RATIOS, kind)
        mean = [v.mean() for v in values]
        sem = [v.std(ddof=1) / len(v) ** 0.5 for v in values]
        ax.errorbar(measure.RATIOS, mean, sem, fmt="o-", ms=3, color=color, label=kind)
    ax.axvline(10, color="#404040", ls=":", lw=1)
    ax.axhline(0.5, color=GREY, ls="--", lw=1)
    ax.text(9, 0.55, "trained", rotation=90, ha="right", va="bottom", size=7.5, color="#404040")
    ax.set(xscale="log", xlabel="signal / noise", ylim=(0.43, 1.03))
    ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])


def draw_readout_alone(ax: Axes, found: Found, colors: Mapping[str, str]) -> None:
    """(d): each network, and the means."""
    for i, (d, n) in enumerate(SIZES):
        for j, (kind, color) in enumerate(colors.items()):
            values = found(f"readout alone, d={d} n={n}", kind)
            x = i + (j - (len(colors) - 1) / 2) * 0.8 / len(colors)
            by_seed(ax, x, values, color, 0.68 / len(colors), kind if i == 0 else None)
    ax.set_xticks(range(len(SIZES)), [f"$d$ = {d}, $n$ = {n}" for d, n in SIZES])
    ax.set(ylim=(0.76, 1.01), xlim=(-0.5, len(SIZES) - 0.5), ylabel="accuracy")


def draw_forgetting(ax: Axes, found: Found, colors: Mapping[str, str]) -> None:
    """(e): each network that learned both a line, the mean bold."""
    for i, (kind, color) in enumerate(colors.items()):
        ends = np.stack(
            [found(f"first task, {moment}", kind) for moment in ("before", "after")]
        )  # (2, seeds)
        x = [1.6 * i, 1.6 * i + 1]
        ax.plot(x, ends, "o-", color=color, lw=0.7, ms=2.5, alpha=0.45)
        ax.plot(x, ends.mean(1), "o-", color=color, lw=2.6, ms=6)
        learned = kind if ends.shape[1] == len(SEEDS) else f"{kind} ({ends.shape[1]})"
        size = 7.5 if len(colors) > 2 else None
        ax.text(x[0] - 0.15, 0.6, learned, color=color, weight="bold", size=size)
    ax.axhline(1 / 2, color=GREY, ls="--", lw=1)
    ax.text(1.3, 1 / 2 + 0.01, "chance", color="#595959", size=7.5, ha="center", va="bottom")
    last = 1.6 * (len(colors) - 1)
    ticks = [x for i in range(len(colors)) for x in (1.6 * i, 1.6 * i + 1)]
    ax.set_xticks(ticks, ["before", "after"] * len(colors))
    ax.set(ylim=(0.1, 1.03), xlim=(-0.3, last + 1.3), ylabel="accuracy, first task")
    ax.set_xlabel("the second task is learned")


def draw_states(ax: Axes, network: Trained) -> None:
    """(f, g): the last states, marked by what is right."""
    states, seen = measure.last_states(network)
    at = PCA(2, random_state=0).fit(states)
    where, shares = at.transform(states)[:SHOWN], 100 * at.explained_variance_ratio_
    for k, (color, marker, label) in enumerate(zip(LABEL_COLORS, MARKERS, LABELS, strict=True)):
        of = seen.label[:SHOWN] == k
        ax.scatter(*where[of].T, s=9, marker=marker, color=color, alpha=0.65, lw=0, label=label)
    ax.set(xlabel=f"PC 1 ({shares[0]:.0f} %)", ylabel=f"PC 2 ({shares[1]:.0f} %)")
    ax.set(xticks=[], yticks=[])


def draw_novel(ax: Axes, found: Found) -> None:
    """(h): each network, the means, and the paper's."""
    for x, kind in enumerate(("MPN", "GRU")):
        by_seed(ax, x, found("novel class decoded", kind), COLORS[kind], 0.3)
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


def draw(networks: dict[str, Trained], found: Found) -> Figure:
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
    draw_capacities(a, b, found, LINES)
    draw_noise(c, found, COLORS)
    b.plot([], [], "s--", mfc="white", color=COLORS["MPN"], ms=4, label="MPN, $d$ = 40 (a)")
    b.plot([], [], "o-", color=COLORS["MPNpre"], ms=4, label="MPNpre (c)")
    b.legend(loc="lower left", bbox_to_anchor=(0.06, 0.17))
    draw_readout_alone(d, found, COLORS)
    d.legend(ncols=4, loc="lower right", bbox_to_anchor=(1.02, 0.0), columnspacing=0.8)
    draw_forgetting(e, found, {kind: COLORS[kind] for kind in ("MPN", "GRU")})
    draw_states(f, networks["fig3/GRU-seed0"])
    draw_states(g, networks["fig3/MPN-seed0"])
    f.legend(loc="upper left", bbox_to_anchor=(0.18, 1.02), markerscale=1.3, handletextpad=0.1)
    draw_novel(h, found)
    for ax, title in zip((a, b, c, d, e, f, g, h), TITLES, strict=True):
        ax.set_title(title)
    return figure


def all_numbers(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """Measured now where they are not kept."""
    return measured("fig6", work(networks), fresh=fresh, processes=processes)


def main(fresh: bool = False, processes: int = 2) -> None:
    """Measure what is not kept (`fresh`: all), in networks that are saved or trained now; draw."""
    networks = trained(jobs(), processes=processes)
    found = Found(all_numbers(networks, fresh, processes))
    with plotting.style():
        figure = draw(networks, found)
    save_figure(figure, "fig6")


if __name__ == "__main__":
    main()
