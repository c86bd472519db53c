"""Figure 4: where the MPN keeps the evidence, and what happens to it in long trials."""

from __future__ import annotations

import numpy as np
import torch
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from figures.cache import Results, write_values
from figures.drawing import (
    COLORS,
    EVIDENCE_LABEL,
    SHOWN_COLORS,
    dots_by_evidence,
    evidence_bar,
    mean_line,
    name_components,
    readout_arrows,
    seeds_and_mean,
)
from figures.fig4.measure import (
    DELAY_TRAINED,
    DELAYS,
    EVIDENCE,
    GO_RESPONSE,
    LAM_MAX,
    LENGTHS,
    LONG,
    MOVE,
    T_TRAINED,
    Groups,
    Modulations,
    delay_configs,
    lam_max_configs,
    long_delays,
    long_trials,
    measure,
    modulations_of,
    shared_configs,
)
from figures.integration import SHOWN
from figures.networks import load_or_train
from mpn_lab import SupervisedConfig
from mpn_lab.analysis import pca
from mpn_lab.plotting.style import GREY, new_figure

LONG_COLORS = dict(zip(LAM_MAX, ("#0072B2", "#009E73", "#000000"), strict=True)) | {
    kind: COLORS[kind] for kind in ("RNN", "GRU")
}
LONG_MARKERS = dict(zip(LONG, "osDv^", strict=True))
TRIALS_SHOWN = 80


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train what is missing (all of figure 4's own, if `fresh`), measure every seed, draw."""
    torch.set_num_threads(1)
    shared, own, delayed_go = shared_configs(), lam_max_configs(), delay_configs()
    networks = load_or_train(_flat(own, delayed_go), fresh=fresh, processes=processes)
    networks |= load_or_train(_flat(shared), processes=processes)
    rows = []
    for function, groups, kinds in (
        (measure, shared, ("MPN", "MPNpre")),
        (long_trials, shared | own, LONG),
        (long_delays, delayed_go, tuple(delayed_go)),
    ):
        for kind in kinds:
            jobs = (delayed(function)(networks[name]) for name in groups[kind])
            for seed, values in enumerate(Parallel(n_jobs=processes)(jobs)):
                rows += [(quantity, kind, seed, value) for quantity, value in values.items()]
    results = Results(write_values("fig4", rows))
    examples = {k: modulations_of(networks[f"fig3/{k}-seed0"]) for k in ("MPN", "MPNpre")}
    return draw(examples, results)


def _flat(*several: Groups) -> dict[str, SupervisedConfig]:
    groups = [group for groups in several for group in groups.values()]
    return {name: config for group in groups for name, config in group.items()}


def draw(examples: dict[str, Modulations], results: Results) -> Figure:
    """The figure, from one network of each kind and the values of all seeds."""
    figure = new_figure(7.4, 7.6)
    left, width, height = (0.078, 0.405, 0.735), 0.255, 0.18
    for column, kind in enumerate(("MPN", "MPNpre")):
        ax = figure.add_axes((left[column], 0.76, width, height))
        draw_modulations(ax, examples[kind])
        ax.set_title(f"{('a  ', '')[column]}M of the {kind}")
    draw_go(figure.add_axes((left[2], 0.76, width, height)), examples["MPN"])
    evidence_bar(figure, (left[1], 0.69, width, 0.011))
    draw_responses(figure.add_axes((left[0], 0.42, width, height)), results)
    draw_moves(figure.add_axes((left[1], 0.42, width, height)), results)
    with_delay = tuple(delay_configs())
    for title, (column, y), quantity, at, kinds in (
        ("e  size of the state", (2, 0.42), "norm of state, T = {}", LENGTHS, LONG),
        ("f  size of the state", (0, 0.085), "norm of state, delay {}", DELAYS, with_delay),
        ("g  accuracy", (1, 0.085), "accuracy, T = {}", LENGTHS, LONG),
        ("h  accuracy", (2, 0.085), "accuracy, delay {}", DELAYS, with_delay),
    ):
        ax = figure.add_axes((left[column], y, width, height))
        draw_beyond_training(ax, results, quantity, at, kinds)
        ax.set_title(title)
        if at is LENGTHS:
            handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.53, 0.335), ncols=5)
    return figure


def draw_modulations(ax: Axes, modulations: Modulations) -> None:
    """(a) M in the plane of its first two principal components, coloured by evidence."""
    components = pca(modulations.trials, "M", 2)
    where = components["trajectory"].values[:TRIALS_SHOWN]
    dots_by_evidence(ax, where, modulations.evidence[:TRIALS_SHOWN])
    ax.set_aspect("equal", "datalim")
    name_components(ax, components["explained_variance_ratio"].values, " of M", ticks=True)


def draw_go(ax: Axes, modulations: Modulations) -> None:
    """(b) h_GO(M) in the plane of its first two components, and the readout vectors."""
    h = modulations.h_go  # (trial, time, hidden)
    components = PCA(2, random_state=0).fit(h.reshape(-1, h.shape[2]))
    where = components.transform(h[:TRIALS_SHOWN].reshape(-1, h.shape[2]))
    dots_by_evidence(ax, where, modulations.evidence[:TRIALS_SHOWN])
    r = modulations.trials["readout"].values @ components.components_.T
    readout_arrows(ax, r, 0.6 * np.abs(where).max())
    ax.margins(0.1)
    ax.set_aspect("equal", "datalim")
    ax.set(title="b  MPN, read by go")
    shares = components.explained_variance_ratio_
    name_components(ax, shares, " of $h_{GO}(M)$", ticks=True)


def draw_responses(ax: Axes, results: Results) -> None:
    """(c) The response to a go at once, against the evidence; mean and s.d. over seeds."""
    for kind in ("MPN", "MPNpre"):
        values = results.over(GO_RESPONSE, EVIDENCE, kind)  # not every seed has every evidence
        mean = np.array([v.mean() if len(v) else np.nan for v in values])
        spread = np.array([v.std(ddof=1) if len(v) > 1 else np.nan for v in values])
        ax.fill_between(
            EVIDENCE, mean - spread, mean + spread, color=COLORS[kind], alpha=0.25, lw=0
        )
        ax.plot(EVIDENCE, mean, color=COLORS[kind], label=kind)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.axvline(0, color=GREY, lw=0.8)
    ax.set(xlabel=EVIDENCE_LABEL, ylabel="$y_1 - y_2$ of a go now")
    ax.set(title="c  answer if go came now", xticks=(-10, 0, 10))
    ax.legend(loc="upper left")


def draw_moves(ax: Axes, results: Results) -> None:
    """(d) Every input's mean step along the evidence's direction, by seed."""
    for i, kind in enumerate(("MPN", "MPNpre")):
        for k in range(3):
            values = results(MOVE.format(SHOWN[k]), kind)
            seeds_and_mean(ax, 3.6 * i + k, values, SHOWN_COLORS[k])
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set_xticks([0, 1, 2, 3.6, 4.6, 5.6], ["1", "2", "null"] * 2)
    ax.set(
        xlabel="present input",
        ylabel="move of M (evidence)",
        title="d  what an input adds",
    )
    for x, kind in ((1, "MPN"), (4.6, "MPNpre")):
        ax.text(x, 1.85, kind, ha="center", fontsize=8.5)
    ax.set_ylim(-1.8, 2.2)


def draw_beyond_training(
    ax: Axes, results: Results, quantity: str, at: tuple[int, ...], kinds: tuple[str, ...]
) -> None:
    """(e to h) A quantity against the trials' length or delay; norms relative to a base."""
    is_norm, is_length = quantity.startswith("norm"), at is LENGTHS
    for kind in kinds:
        values = np.stack(results.over(quantity, at, kind))  # (n, seed)
        if is_norm:
            values = values / results(quantity.format(T_TRAINED if is_length else 0), kind)
        label = f"MPN, $\\lambda$ ≤ {LAM_MAX[kind]:g}" if kind in LAM_MAX else kind
        mean_line(
            ax, at, values, fmt=LONG_MARKERS[kind] + "-", ms=3, lw=1.2, color=LONG_COLORS[kind],
            label=label,
        )  # fmt: skip
    ax.axvline(T_TRAINED if is_length else DELAY_TRAINED, color=GREY, lw=0.8, ls=":", zorder=0)
    ax.set_xlabel("length of the trial T (steps)" if is_length else "delay before go (steps)")
    if is_norm:
        ax.set_ylabel("norm / at T = 20" if is_length else "norm / without delay")
    else:
        ax.set(ylabel="accuracy", ylim=(0.83, 1.01) if is_length else (0.45, 1.02))
