"""Figure 3: the hidden activity that integrates two classes, in RNN and GRU and in the MPN.

An RNN or GRU holds the accumulated evidence in h, along a line. The MPN's h says what is shown
now; the evidence is in M (figure 4).

a to d: h at all steps of 80 trials, seed 0, in the plane of its first two principal components;
arrows: the directions of the two readout vectors. e: the neuron of median r2 (RNN: on evidence,
MPN: on present input) of those with more than a tenth of the largest variance. f: mean and standard
error of 10 seeds. g: r2 of a neuron's h on the evidence (class 1 minus class 2 shown so far), and
on the present input (an indicator for each of the four), at all steps of 200 trials; mean over
neurons (of the MPNpre, the seeds whose eta ended above 0 follow the evidence more than the others).
h: |cos| between a readout vector and h, mean over both readouts and all steps except go: not the
definition of the paper's Methods, but the one that gives its numbers (the table has both); and the
participation ratio of h over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from integration import (
    EVIDENCE_COLORS,
    MOST,
    SHOWN,
    SHOWN_COLORS,
    by_seed,
    evidence_bar,
    evidence_of,
    mark_paper,
    paper_key,
    points,
    readouts,
    record_of,
)
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from paper import COLORS, Trained, config_of, names, save_figure, save_numbers, trained
from sklearn.decomposition import PCA

from mpn_lab import plotting
from mpn_lab.analysis import participation_ratio, pca, variance_explained

KINDS = ("RNN", "GRU", "MPN", "MPNpre")
COMPONENTS = 6
R2_EVIDENCE, R2_INPUT = "r2 of h on accumulated evidence", "r2 of h on present input"
RATIO = "participation ratio of h"
COSINE = "cosine of h and readout except at go"
ALIGNMENT = "readout alignment of non-go clusters"
ALIGNMENT_GO = "readout alignment of the go cluster"
VARIANCE = "share of variance of h, PC {}"


def readout_alignment(trials: xr.Dataset, inputs: Sequence[int]) -> float:
    """|cos| between a readout vector and the first PC of h where one input is shown, their mean.

    Args:
        inputs: which of them, as `shown` counts.
    """
    h, shown = trials["h"].values, trials["shown"].values
    r = trials["readout"].values  # (class, hidden)
    first = np.stack([PCA(1).fit(h[shown == k]).components_[0] for k in inputs])
    return float(np.abs(first @ r.T / np.linalg.norm(r, axis=1)).mean())


def readout_cosine(trials: xr.Dataset) -> float:
    """|cos| between a readout vector and h itself, mean over all steps but those of go."""
    h, r = trials["h"].values[trials["shown"].values != SHOWN.index("go")], trials["readout"].values
    cosine = h @ r.T / np.linalg.norm(h, axis=1, keepdims=True) / np.linalg.norm(r, axis=1)
    return float(np.abs(cosine).mean())


def measure(network: Trained) -> dict[str, float]:
    """The figure's numbers of one network, all of whole trials."""
    trials = record_of(network)
    r2 = variance_explained(trials, evidence_of(trials), "h", None, trials["shown"])
    shares = pca(trials, "h", COMPONENTS)["explained_variance_ratio"].values
    numbers = {
        R2_EVIDENCE: float(r2["evidence"].mean()),
        R2_INPUT: float(r2["input"].mean()),
        RATIO: float(participation_ratio(trials, "h")),
        COSINE: readout_cosine(trials),
        ALIGNMENT: readout_alignment(trials, range(3)),
        ALIGNMENT_GO: readout_alignment(trials, [3]),
        **{VARIANCE.format(i + 1): float(share) for i, share in enumerate(shares)},
        "accuracy": float(trials["correct"].mean()),
        "updates": float(network.updates),
    }
    if layers := network.network.mpn_layers():
        numbers["eta"] = layers[0].eta.item()
    return numbers


def plane(ax: Axes, trials: xr.Dataset, by: str, title: str, shown_trials: int = 80) -> None:
    """h in the plane of its first two principal components, by evidence or by present input."""
    found = pca(trials, "h", 2)
    at = found["trajectory"].values[:shown_trials].reshape(-1, 2)
    if by == "evidence":
        points(ax, at[:, 0], at[:, 1], evidence_of(trials).values[:shown_trials].ravel())
    else:
        shown = trials["shown"].values[:shown_trials].ravel()
        for k, (name, color) in enumerate(zip(SHOWN, SHOWN_COLORS, strict=True)):
            here = at[shown == k]
            ax.plot(*here.T, "o", ms=2.2, mew=0, color=color, label=name, rasterized=True)
    axes = found["axes"].values  # (component, hidden)
    readouts(ax, trials["readout"].values @ axes.T, 0.36 * np.abs(at).max())
    shares = 100 * found["explained_variance_ratio"].values
    ax.margins(0.08)
    ax.set_aspect("equal", "datalim")
    ax.set(title=title, xlabel=f"PC 1 of h ({shares[0]:.0f} %)", ylabel=f"PC 2 ({shares[1]:.0f} %)")


def one_neuron(ax: Axes, trials: xr.Dataset, title: str, regressor: str) -> None:
    """A neuron of median r2 on the regressor, of those that are active, in four trials."""
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
    ax.set(title=title, ylim=(-1.08, 1.08), xlabel="step", ylabel="h", xticks=(1, 5, 10, 15, 19))


def variances(ax: Axes, numbers: dict[str, dict[str, np.ndarray]]) -> None:
    """Share of variance by principal component, mean and standard error over seeds."""
    components = 1 + np.arange(COMPONENTS)
    for kind in KINDS:
        shares = np.stack([numbers[kind][VARIANCE.format(i)] for i in components])  # (PC, seed)
        error = shares.std(1, ddof=1) / np.sqrt(shares.shape[1])
        ax.errorbar(
            components, shares.mean(1), error, fmt="o-", ms=3.5, color=COLORS[kind], label=kind
        )
    ax.set(yscale="log", title="f  variance of h")
    ax.set(xlabel="principal component", ylabel="share of variance")
    ax.set_xticks(components)
    ax.legend(loc="lower left", ncols=2, columnspacing=0.8, handlelength=1)


def explained(ax: Axes, numbers: dict[str, dict[str, np.ndarray]]) -> None:
    """r2 on evidence and on present input by network: seeds, their mean, the paper's."""
    for group, quantity in enumerate((R2_EVIDENCE, R2_INPUT)):
        for i, kind in enumerate(KINDS):
            x = 5 * group + i
            by_seed(ax, x, numbers[kind][quantity], COLORS[kind])
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


def strips(
    ax: Axes, kinds: tuple[str, ...], quantity: str, numbers: dict[str, dict[str, np.ndarray]]
) -> None:
    for x, kind in enumerate(kinds):
        by_seed(ax, x, numbers[kind][quantity], COLORS[kind])
        mark_paper(ax, x + 0.42, "fig3", quantity, kind)
    ax.set_xticks(range(len(kinds)), kinds)
    ax.set_xlim(-0.6, len(kinds) - 0.3)


def draw(example: dict[str, xr.Dataset], numbers: dict[str, dict[str, np.ndarray]]) -> Figure:
    """The figure. Args: one record, and every quantity by seed, of each network."""
    figure = plotting.new_figure(7.4, 8.4)
    left, width = (0.078, 0.405, 0.735), 0.255
    for row, kind in enumerate(("RNN", "GRU")):
        ax = figure.add_axes((left[0], 0.888 - 0.14 * row, width, 0.062))
        plane(ax, example[kind], "evidence", f"{'ab'[row]}  {kind}")
    ax = figure.add_axes((left[1], 0.748, width, 0.202))
    plane(ax, example["MPN"], "evidence", "c  MPN, by evidence")
    ax = figure.add_axes((left[2], 0.748, width, 0.202))
    plane(ax, example["MPN"], "input", "d  MPN, by present input")
    ax.legend(loc="lower left", handletextpad=0.1, markerscale=1.8, labelspacing=0.15)
    evidence_bar(figure, (left[1], 0.682, width, 0.010))
    for column, kind, regressor, title in (
        (0, "RNN", "evidence", "e  a neuron of the RNN"),
        (1, "MPN", "input", "a neuron of the MPN"),
    ):
        ax = figure.add_axes((left[column], 0.42, width, 0.185))
        one_neuron(ax, example[kind], title, regressor)
        if column == 1:
            ax.text(1, -0.93, "line: evidence at the end; dot: input", fontsize=7)
    ax = figure.add_axes((left[2], 0.42, width, 0.185))
    variances(ax, numbers)
    ax = figure.add_axes((left[0], 0.095, 0.475, 0.215))
    explained(ax, numbers)
    ax = figure.add_axes((0.64, 0.095, 0.13, 0.215))
    strips(ax, ("MPN", "MPNpre"), COSINE, numbers)
    ax.set(ylim=(0, 1.03), ylabel="mean |cos(h, readout)|", title="h  h and readout")
    ax = figure.add_axes((0.85, 0.095, 0.14, 0.215))
    strips(ax, ("RNN", "GRU", "MPN"), RATIO, numbers)
    ax.set(ylim=(0.8, None), ylabel="participation ratio", title="dimensions")
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    """Train what is missing (all, if `fresh`), measure every seed, draw."""
    torch.set_num_threads(1)
    listed = names("fig3", KINDS)
    nets = trained({n: config_of(k, s) for k, s, n in listed}, fresh=fresh, processes=processes)
    found = Parallel(n_jobs=processes)(delayed(measure)(nets[n]) for _, _, n in listed)
    save_numbers(
        "fig3",
        [(q, k, s, v) for (k, s, _), m in zip(listed, found, strict=True) for q, v in m.items()],
    )
    numbers = {
        kind: {
            q: np.array([m[q] for (k, _, _), m in zip(listed, found, strict=True) if k == kind])
            for q in found[0]  # those that all networks have
        }
        for kind in KINDS
    }
    example = {k: record_of(nets[n]) for k, s, n in listed if s == 0}
    with plotting.style():
        save_figure(draw(example, numbers), "fig3")


if __name__ == "__main__":
    main()
