"""Figure 4: where the MPN keeps the evidence, and what happens to it in long trials.

M accumulates the evidence along one direction; at go it is read through h. What M holds decays by
lam at every step, so lam_max sets how far back the network counts.

a, b: M_t and h_GO(M_t) = phi((M_t * W) x_go + W x_go + b) at the steps before go of 80 trials, seed
0, in the planes of their first two principal components; arrows: the directions of the readout
vectors. c: readout of h_GO(M_t), mean and standard deviation of 10 seeds. d: mean change of M_t by
the present input, along the difference between the classes' mean M before go, in units of evidence
(a regression of that projection on the evidence). e to h: Euclidean norm of the state before go (M;
h of RNN and GRU) and accuracy on 400 trials, mean and standard error of 10 seeds. Dotted: what the
networks were trained with, T = 20 without a delay (e, g), or a delay of 20 steps (f, h; without the
plain RNN, as in the paper, and the GRU trained as for figure 5); the MPN with the lam_max that is
named, where lam stayed. (c) has standard deviations, to show how the networks differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import fig5
import numpy as np
import torch
import xarray as xr
from integration import (
    SHOWN,
    SHOWN_COLORS,
    by_seed,
    evidence_bar,
    evidence_of,
    if_go_came,
    points,
    readouts,
    record_of,
)
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, names, save_figure, save_numbers, trained
from sklearn.decomposition import PCA

from mpn_lab import SupervisedConfig, TrialEnv, plotting
from mpn_lab.analysis import modulation_change, pca
from mpn_lab.training.data import step_accuracies

LENGTHS = (10, 15, 20, 30, 50, 70, 100, 150, 200)
DELAYS = (0, 5, 10, 20, 30, 50, 70, 100)
T_TRAINED, DELAY_TRAINED = 20, 20
TESTS = 400
LAM_MAX = {"MPN": 0.95, "MPN, lam_max 0.99": 0.99, "MPN, lam_max 1": 1.0}
LONG = (*LAM_MAX, "RNN", "GRU")
"""The networks of the long trials; the MPN's lam_max is 0.95 unless it is named."""
LONG_COLORS = dict(zip(LAM_MAX, ("#0072B2", "#009E73", "#000000"), strict=True)) | {
    kind: COLORS[kind] for kind in ("RNN", "GRU")
}
LONG_MARKERS = dict(zip(LONG, "osDv^", strict=True))


class Modulations(NamedTuple):
    """One network's M and what it would answer."""

    trials: xr.Dataset
    evidence: np.ndarray  # (trial, time), before go
    go: np.ndarray  # h_GO(M_t), (trial, time, hidden)
    answer: np.ndarray  # y_1 - y_2 from it, (trial, time)


def modulations_of(network: Trained) -> Modulations:
    """M_t of all steps before go, and h_GO(M_t) = phi((M_t * W) x_go + W x_go + b)."""
    trials = record_of(network).isel(time=slice(0, -1))
    return Modulations(trials, evidence_of(trials).values, *if_go_came(network, trials))


def moves(found: Modulations) -> dict[str, float]:
    """What each input adds to M along the evidence's direction, in units of evidence.

    The direction is the difference between the classes' mean M before go. The projection of M_t on
    it, regressed on the evidence, gives the unit.
    """
    trials, last = found.trials, found.evidence[:, -1]
    M = trials["M"].values.reshape(*found.evidence.shape, -1)  # (trial, time, n d)
    direction = M[last > 0, -1].mean(0) - M[last < 0, -1].mean(0)
    unit = np.polyfit(found.evidence.ravel(), (M @ direction).ravel(), 1)[0]
    change = modulation_change(trials).values.reshape(M.shape) @ direction / unit
    shown = trials["shown"].values
    return {f"move of M by {SHOWN[k]}": float(change[shown == k].mean()) for k in range(3)}


def measure(network: Trained) -> dict[str, float]:
    """The numbers of panels a to d, of one MPN."""
    found = modulations_of(network)
    at = pca(found.trials, "M", 3)
    scores = at["trajectory"].values.reshape(-1, 3)
    e, y = found.evidence.ravel(), found.answer.ravel()
    means = {
        f"answer at evidence {value}": float(y[e == value].mean())
        for value in range(-15, 16)
        if (e == value).sum() >= 5
    }
    clear = e != 0
    return {
        "r2 of the PC of M that follows evidence best": float(
            max(np.corrcoef(score, e)[0, 1] ** 2 for score in scores.T)
        ),
        "r2 of the go answer on accumulated evidence": float(np.corrcoef(y, e)[0, 1] ** 2),
        "go answer right": float((y * e > 0)[clear].mean()),
        **{
            f"share of variance of M, PC {i + 1}": float(share)
            for i, share in enumerate(at["explained_variance_ratio"].values)
        },
        **moves(found),
        **means,
    }


@torch.no_grad()
def tested(network: Trained, name: str, changes: dict[str, int]) -> dict[str, float]:
    """Norm of the state before go and accuracy in other trials than it was trained with."""
    task, kwargs = network.task
    rng = np.random.default_rng(3)
    drawn = TrialEnv(task, **(kwargs | changes)).task.sample_batch(rng, TESTS)
    _, state = network.network(torch.from_numpy(drawn.obs[:, :-1]))
    return {
        f"norm of state, {name}": float(state.flatten(1).norm(dim=1).mean()),
        f"accuracy, {name}": step_accuracies(network.network, drawn)[0],
    }


def long_trials(network: Trained) -> dict[str, float]:
    """Panels e and g."""
    found = [tested(network, f"T = {n}", {"steps": n}) for n in LENGTHS]
    return {name: value for numbers in found for name, value in numbers.items()}


def long_delays(network: Trained) -> dict[str, float]:
    """Panels f and h."""
    found = [tested(network, f"delay {n}", {"delay": n}) for n in DELAYS]
    return {name: value for numbers in found for name, value in numbers.items()}


def modulation_plane(ax: Axes, found: Modulations, title: str, shown_trials: int = 80) -> None:
    """M in the plane of its first two principal components, coloured by evidence."""
    at = pca(found.trials, "M", 2)
    where = at["trajectory"].values[:shown_trials].reshape(-1, 2)
    points(ax, where[:, 0], where[:, 1], found.evidence[:shown_trials].ravel())
    shares = 100 * at["explained_variance_ratio"].values
    ax.set_aspect("equal", "datalim")
    ax.set(title=title)
    ax.set(xlabel=f"PC 1 of M ({shares[0]:.0f} %)", ylabel=f"PC 2 ({shares[1]:.0f} %)")


def go_plane(ax: Axes, found: Modulations, shown_trials: int = 80) -> None:
    """h_GO(M) in the plane of its first two principal components, and the readout vectors."""
    fitted = PCA(2, random_state=0).fit(found.go.reshape(-1, found.go.shape[2]))
    where = fitted.transform(found.go[:shown_trials].reshape(-1, found.go.shape[2]))
    points(ax, where[:, 0], where[:, 1], found.evidence[:shown_trials].ravel())
    r = found.trials["readout"].values @ fitted.components_.T
    readouts(ax, r, 0.6 * np.abs(where).max())
    shares = 100 * fitted.explained_variance_ratio_
    ax.margins(0.1)
    ax.set_aspect("equal", "datalim")
    ax.set(title="b  MPN, read by go")
    ax.set(xlabel=f"PC 1 of $h_{{GO}}(M)$ ({shares[0]:.0f} %)", ylabel=f"PC 2 ({shares[1]:.0f} %)")


def answers(ax: Axes, numbers: dict[str, list[dict[str, float]]]) -> None:
    """What a go at once would be answered, against evidence; mean and s.d. of seeds."""
    for kind in ("MPN", "MPNpre"):
        lines = []
        values = np.arange(-15, 16)
        for measured in numbers[kind]:
            y = [measured.get(f"answer at evidence {v}", np.nan) for v in values]
            lines.append(np.array(y))
        mean, spread = np.nanmean(lines, 0), np.nanstd(lines, 0, ddof=1)
        ax.fill_between(values, mean - spread, mean + spread, color=COLORS[kind], alpha=0.25, lw=0)
        ax.plot(values, mean, color=COLORS[kind], label=kind)
    ax.axhline(0, color="#8C8C8C", lw=0.8)
    ax.axvline(0, color="#8C8C8C", lw=0.8)
    ax.set(xlabel="evidence, class 1 $-$ class 2", ylabel="$y_1 - y_2$ of a go now")
    ax.set(title="c  answer if go came now", xticks=(-10, 0, 10))
    ax.legend(loc="upper left")


def moved(ax: Axes, numbers: dict[str, list[dict[str, float]]]) -> None:
    """Every input's mean step along the evidence's direction, by seed."""
    for i, kind in enumerate(("MPN", "MPNpre")):
        for k in range(3):
            values = np.array([m[f"move of M by {SHOWN[k]}"] for m in numbers[kind]])
            by_seed(ax, 3.6 * i + k, values, SHOWN_COLORS[k])
    ax.axhline(0, color="#8C8C8C", lw=0.8)
    ax.set_xticks([0, 1, 2, 3.6, 4.6, 5.6], ["1", "2", "null"] * 2)
    ax.set(
        xlabel="present input",
        ylabel="move of M (evidence)",
        title="d  what an input adds",
    )
    for x, kind in ((1, "MPN"), (4.6, "MPNpre")):
        ax.text(x, 1.85, kind, ha="center", fontsize=8.5)
    ax.set_ylim(-1.8, 2.2)


def against(
    ax: Axes, numbers: dict[str, list[dict[str, float]]], name: str, at: tuple[int, ...], base: str
) -> None:
    """A quantity against trial length or delay, mean and standard error over seeds."""
    for kind in numbers:
        values = np.array([[m[f"{name} {n}"] for n in at] for m in numbers[kind]])  # (seed, n)
        if base:
            values = values / np.array([m[base] for m in numbers[kind]])[:, None]
        error = values.std(0, ddof=1) / np.sqrt(len(values))
        label = f"MPN, $\\lambda$ ≤ {LAM_MAX[kind]:g}" if kind in LAM_MAX else kind
        ax.errorbar(
            at, values.mean(0), error, fmt=LONG_MARKERS[kind] + "-", ms=3, lw=1.2,
            color=LONG_COLORS[kind], label=label,
        )  # fmt: skip


def draw(
    example: dict[str, Modulations],
    short: dict[str, list[dict[str, float]]],
    long: dict[str, list[dict[str, float]]],
    waited: dict[str, list[dict[str, float]]],
) -> Figure:
    """The figure; the numbers are one dict per seed, by network."""
    figure = plotting.new_figure(7.4, 7.6)
    left, width, height = (0.078, 0.405, 0.735), 0.255, 0.18
    for column, kind in enumerate(("MPN", "MPNpre")):
        ax = figure.add_axes((left[column], 0.76, width, height))
        modulation_plane(ax, example[kind], f"{('a  ', '')[column]}M of the {kind}")
    ax = figure.add_axes((left[2], 0.76, width, height))
    go_plane(ax, example["MPN"])
    evidence_bar(figure, (left[1], 0.69, width, 0.011))
    ax = figure.add_axes((left[0], 0.42, width, height))
    answers(ax, short)
    ax = figure.add_axes((left[1], 0.42, width, height))
    moved(ax, short)
    panels = (  # title, where, numbers, quantity, at, what it is divided by
        ("e  size of the state", (2, 0.42), long, "norm of state, T =", LENGTHS, "T = 20"),
        ("f  size of the state", (0, 0.085), waited, "norm of state, delay", DELAYS, "delay 0"),
        ("g  accuracy", (1, 0.085), long, "accuracy, T =", LENGTHS, ""),
        ("h  accuracy", (2, 0.085), waited, "accuracy, delay", DELAYS, ""),
    )
    for title, (column, y), numbers, quantity, at, base in panels:
        ax = figure.add_axes((left[column], y, width, height))
        against(ax, numbers, quantity, at, f"norm of state, {base}" if base else "")
        ax.set_title(title)
        trained_with = T_TRAINED if at is LENGTHS else DELAY_TRAINED
        ax.axvline(trained_with, color="#8C8C8C", lw=0.8, ls=":", zorder=0)
        ax.set_xlabel(
            "length of the trial T (steps)" if at is LENGTHS else "delay before go (steps)"
        )
        if base:
            ax.set_ylabel("norm / at T = 20" if at is LENGTHS else "norm / without delay")
        else:
            ax.set(ylabel="accuracy", ylim=(0.83, 1.01) if at is LENGTHS else (0.45, 1.02))
        if numbers is long:
            handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.53, 0.335), ncols=5)
    return figure


Groups = dict[str, dict[str, SupervisedConfig]]  # network -> NAME -> what to train


def shared_jobs() -> Groups:
    """Networks of figure 3, trained at T = 20."""
    kinds = ("MPN", "MPNpre", "RNN", "GRU")
    return {kind: {n: config_of(kind, s) for _, s, n in names("fig3", (kind,))} for kind in kinds}


def lam_max_jobs() -> Groups:
    """The same with another lam_max."""
    return {
        kind: {
            f"fig4/MPN-lam{lam:g}-seed{s}": config_of("MPN", s, mpn={"lam_max": lam}) for s in SEEDS
        }
        for kind, lam in LAM_MAX.items()
        if kind != "MPN"
    }


def delay_jobs() -> Groups:
    """Networks that are trained with a delay."""
    delay: dict[str, Any] = {"task_kwargs": {"delay": DELAY_TRAINED}}
    groups = {
        kind: {
            f"fig4/MPN-lam{lam:g}-delay-seed{s}": config_of("MPN", s, mpn={"lam_max": lam}, **delay)
            for s in SEEDS
        }
        for kind, lam in LAM_MAX.items()
    }
    settings = delay | fig5.SETTINGS["GRU"]
    gru = {f"fig4/GRU-delay-seed{s}": config_of("GRU", s, **settings) for s in SEEDS}
    return groups | {"GRU": gru}


def _flat(*several: Groups) -> dict[str, SupervisedConfig]:
    groups = [group for groups in several for group in groups.values()]
    return {name: config for group in groups for name, config in group.items()}


def main(fresh: bool = False, processes: int = 2) -> None:
    """Train what is missing (all of figure 4's own, if `fresh`), measure every seed, draw."""
    torch.set_num_threads(1)
    shared, own, waiting = shared_jobs(), lam_max_jobs(), delay_jobs()
    nets = trained(_flat(own, waiting), fresh=fresh, processes=processes)
    nets |= trained(_flat(shared), processes=processes)
    work = Parallel(n_jobs=processes)
    short, long, waited = (
        {kind: list(work(delayed(function)(nets[name]) for name in groups[kind])) for kind in kinds}
        for function, groups, kinds in (
            (measure, shared, ("MPN", "MPNpre")),
            (long_trials, shared | own, LONG),
            (long_delays, waiting, waiting),
        )
    )
    save_numbers(
        "fig4",
        [
            (quantity, kind, seed, value)
            for found in (short, long, waited)
            for kind, by_seeds in found.items()
            for seed, measured in enumerate(by_seeds)
            for quantity, value in measured.items()
        ],
    )
    example = {k: modulations_of(nets[next(iter(shared[k]))]) for k in ("MPN", "MPNpre")}
    with plotting.style():
        save_figure(draw(example, short, long, waited), "fig4")


if __name__ == "__main__":
    main()
