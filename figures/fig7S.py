"""Figure 7's supplement: true-anti context, prospective context, and what turns from the readout.

a to c: true-anti context, a context shown at every step tells whether the class shown most or the
one shown least is right. (a) M_t at all steps, in its plane, by the right answer (green: class 1,
purple: class 2) and context (light: true, dark: anti). (b) The same of h at go, in a plane of its
own; arrows: the readout vectors. (c) Accuracy on 2,000 fresh trials, ten networks each.

d to f: prospective context, it is known before the stimulus (yellow) which subtask counts. (d) As
figure 7c. (e) M_t at the stimulus steps in its plane, coloured by the evidence of the subtask that
counts, as in figure 7b. (f) As figure 7d, mean over both subtasks, and mean and standard error of
ten networks.

g, h: how the direction of the evidence lies to the readout: |cos| between a readout vector and the
first principal component of h_GO(M), where M is the mean M_t of the trials with the same evidence
of a subtask, by context (4,000 trials, so that the other subtask averages out); line: the subtask
that counts, dotted: the other one. Mean over readout vectors and subtasks, and mean and standard
error of ten networks, from the fifth stimulus step on; retrospective (g, networks of figure 7) and
prospective context (h). (i) Continuous evidence, seed 0: h before go in a plane of its own, by the
summed strength (green: above 0, purple: below).
"""

from __future__ import annotations

from functools import partial

import fig7
import figS
import numpy as np
import torch
import xarray as xr
from integration import (
    MOST,
    accuracy_of,
    by_seed,
    name_axes,
    points,
    project_to_go,
    readouts,
    record_of,
)
from kept import Found, Measured, Number, measured, numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, learned, save_figure, trained
from sklearn.decomposition import PCA

from mpn_lab import TrialEnv, plotting
from mpn_lab.analysis import pca
from mpn_lab.plotting.style import GREY, new_figure

ALIGNED, ALIGNED_OTHER = "alignment, subtask that counts, step {}", "alignment, other, step {}"
TRIALS = 4_000  # trials, so many that the other subtask averages out
FIRST = {"retrospective": 5, "prospective": 25}  # step, counted from 1: evidence has some spread
STRONG = 4.0  # summed strength at which the colours of (i) end
CLASSES = fig7.CLASSES  # here: pro and anti of class 1, of class 2


@torch.no_grad()
def alignments(one: Trained, context: str) -> Measured:
    """(g), (h): by step, for the subtask that counts and the other one."""
    task, task_kwargs = one.task
    drawn = TrialEnv(task, **task_kwargs).task.sample_batch(np.random.default_rng(1), TRIALS)
    of_a = drawn.conditions["context"] == "a"
    readout = one.network.readout.weight.numpy()
    readout = readout / np.linalg.norm(readout, axis=1, keepdims=True)
    result, M = {}, None
    for step in range(1, drawn.obs.shape[1]):  # go, the last one, does not count: M_T is never read
        _, M = one.network.core(torch.from_numpy(drawn.obs[:, step - 1 : step]), M)
        if step < FIRST[context]:
            continue
        for quantity, same in ((ALIGNED, True), (ALIGNED_OTHER, False)):
            lines = [
                evidence_line(
                    one, M.numpy()[use], drawn.latent[f"evidence_{subtask}"][use, step - 1]
                )
                for subtask in fig7.SUBTASKS
                for use in (of_a if (subtask == "a") == same else ~of_a,)
            ]
            result[quantity.format(step)] = float(np.abs(np.stack(lines) @ readout.T).mean())
    return result


def evidence_line(one: Trained, M: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The first principal component of h_GO, M averaged over trials of equal evidence. [n]

    Args:
        M: [k, n, d].
        counts: how often each class of the subtask was shown, [k, 2].
    """
    evidence = counts[:, 0] - counts[:, 1]
    means = np.stack([M[evidence == e].mean(0) for e in np.unique(evidence)])
    return PCA(1).fit(project_to_go(one, means)).components_[0]


def true_anti_by_a_gru(seed: int) -> Measured:
    """(c): trained and thrown away."""
    network, updates = learned(config := config_of("GRU", seed, task_kwargs={"anti": True}))
    return {"accuracy, true-anti": accuracy_of(Trained(network, config, updates, np.nan))}


def all_numbers(networks: dict[str, list[Trained]], fresh: bool, processes: int) -> Found:
    """Measured now where they are not kept."""
    work = {}
    for seed in SEEDS:
        for context in FIRST:
            one = networks[f"{context} context"][seed]
            work[Number(ALIGNED.format(39), context, seed)] = partial(alignments, one, context)
        one = networks["prospective context"][seed]
        number = Number(fig7.COUNTS.format(39), "prospective", seed)
        work[number] = partial(fig7.differences, one)
        number = Number("accuracy, true-anti", "GRU", seed)
        work[number] = partial(true_anti_by_a_gru, seed)
    return Found(measured("fig7S", work, fresh=fresh, processes=processes))


def draw_true_anti(a: Axes, b: Axes, trials: xr.Dataset) -> None:
    """(a) M_t at all steps, (b) h at go, each in its plane, by right answer and context."""
    everywhere = pca(trials, "M", 2)
    at_go = pca(trials.isel(time=[-1]), "h", 2)
    for ax, found in ((a, everywhere), (b, at_go)):
        where = found["trajectory"].values
        for k, shades in enumerate(CLASSES):
            for context, color in zip(("pro", "anti"), shades, strict=True):
                use = (trials["correct_response"].values == k) & (
                    trials["context"].values == context
                )
                label = f"class {k + 1}, {'true' if context == 'pro' else 'anti'}"
                ax.plot(
                    *where[use].reshape(-1, 2).T, "o", ms=2, mew=0, color=color, alpha=0.8,
                    rasterized=True, label=label,
                )  # fmt: skip
        name_axes(ax, found)
    readouts(
        b,
        trials["readout"].values @ at_go["axes"].values.T,
        0.5 * np.abs(at_go["trajectory"].values).max(),
    )
    b.margins(0.12)
    a.legend(
        loc="upper left", bbox_to_anchor=(-0.03, 1.02), markerscale=2.2, handletextpad=0.1,
        labelspacing=0.2,
    )  # fmt: skip
    fig7.room_above(a, 0.55)


def draw_accuracy(ax: Axes, found: Found) -> None:
    """(c)"""
    of_mpn = Found(numbers("figS"))("accuracy", "true-anti")
    for x, (kind, values) in enumerate(
        {"MPN": of_mpn, "GRU": found("accuracy, true-anti", "GRU")}.items()
    ):
        by_seed(ax, x, values, COLORS[kind], 0.5)
    ax.set_xticks((0, 1), ("MPN", "GRU"))
    ax.set(xlim=(-0.6, 1.6), ylim=(0.9, 1.003), ylabel="accuracy")


def draw_stimulus(ax: Axes, trials: xr.Dataset) -> None:
    """(e)"""
    shown = trials.isel(time=trials["period"].values[0] == "stimulus")
    found = pca(shown, "M", 2)
    evidence = {
        name: (v := shown[f"evidence_{name}"].values)[..., 0] - v[..., 1] for name in fig7.SUBTASKS
    }
    of_a = shown["context"].values == "a"
    where = found["trajectory"].values.reshape(-1, 2)
    counts = np.where(of_a[:, None], evidence["a"], evidence["b"]).ravel()
    points(ax, where[:, 0], where[:, 1], counts)
    name_axes(ax, found)


def draw_lines(ax: Axes, found: Found, quantities: dict[str, str], network: str, of: range) -> None:
    """(f), (g), (h): mean and standard error over networks, by step."""
    for (quantity, label), line in zip(quantities.items(), ("-", ":"), strict=True):
        values = np.stack([found(quantity.format(t), network) for t in of])  # (step, seed)
        sem = values.std(1, ddof=1) / values.shape[1] ** 0.5
        color = COLORS["MPN"] if line == "-" else "#595959"
        ax.errorbar(
            of, values.mean(1), sem, ls=line, lw=1.5, elinewidth=0.7, color=color, label=label
        )
    ax.set(xlabel="step", xlim=(0.5, 40.5), xticks=(1, 10, 20, 30, 40))


def draw_closeup(ax: Axes, trials: xr.Dataset) -> None:
    """(i)"""
    before = trials.isel(time=slice(0, -1))
    found = pca(before, "h", 2)
    where = found["trajectory"].values.reshape(-1, 2)
    evidence = before["evidence"].values.ravel()
    points(ax, where[:, 0], where[:, 1], evidence * MOST / STRONG)
    name_axes(ax, found)


def draw(networks: dict[str, list[Trained]], found: Found) -> Figure:
    figure = new_figure(7.4, 6.6)
    axes = figure.add_gridspec(
        3, 3, left=0.085, right=0.985, top=0.955, bottom=0.075, wspace=0.36, hspace=0.5
    ).subplots()
    records = {name: record_of(of[0]) for name, of in networks.items()}
    (a, b, c), (d, e, f), (g, h, i) = axes
    draw_true_anti(a, b, records["true-anti"])
    draw_accuracy(c, found)
    fig7.draw_context(d, records["prospective context"])
    draw_stimulus(e, records["prospective context"])
    fig7.mark_periods(f, records["prospective context"])
    both = {fig7.COUNTS: "counts", fig7.OTHER: "does not"}
    draw_lines(f, found, both, "prospective", range(1, 40))
    f.axhline(0, color=GREY, lw=0.7)
    f.legend(loc="upper left")
    f.set_ylabel("readout difference $\\Delta y$")
    both = {ALIGNED: "counts", ALIGNED_OTHER: "does not"}
    for ax, context in ((g, "retrospective"), (h, "prospective")):
        fig7.mark_periods(ax, records[f"{context} context"])
        draw_lines(ax, found, both, context, range(FIRST[context], 40))
        ax.set(ylim=(0, 1), ylabel="|cos(PC 1, readout)|")
    draw_closeup(i, records["continuous"])
    for ax, title in zip(
        axes.flat,
        (
            "a  true-anti: M",
            "b  true-anti: h at go",
            "c  true-anti",
            "d  prospective: M, context",
            "e  prospective: M, stimulus",
            "f  told apart",
            "g  retrospective: alignment",
            "h  prospective: alignment",
            "i  continuous: h",
        ),
        strict=True,
    ):
        ax.set_title(title)
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    """Measure what is not kept (`fresh`: all), in networks that are saved or trained now; draw."""
    networks = {
        name: list(trained(jobs, processes=processes).values())
        for name, jobs in {
            "retrospective context": fig7.jobs("retrospective context"),
            "continuous": fig7.jobs("continuous"),
            "prospective context": figS.jobs("prospective context"),
            "true-anti": figS.jobs("true-anti"),
        }.items()
    }
    found = all_numbers(networks, fresh, processes)
    with plotting.style():
        figure = draw(networks, found)
    save_figure(figure, "fig7S")


if __name__ == "__main__":
    main()
