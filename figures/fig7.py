"""Figure 7, panels a to h: an MPN that integrates for a context, and one that integrates numbers.

a to d: retrospective context (yellow); two subtasks are shown at once, and only afterwards which
one counts. (a) What was shown of both in one trial. (b) Readout, class 1 minus class 2, of
h_GO(M_t) = phi([W * (1 + M_t)] x_go + b), the answer if go came now; means over the trials whose
subtasks differ, by what they ask and which counts. (c) How often that answer is what a subtask
asks. (d) Accuracy of ten networks.

e to h: continuous evidence, one input whose strength varies. (e) One trial. (f) M_t at the stimulus
steps in the plane of its first two principal components. (g) The answer if go came now. (h)
Accuracy of ten networks; the ideal observer is at 0.99. Without a bias the MPN is blind to the
input's sign (0.47 to 0.53 in ten seeds): these have one, and are trained for 3,000 batches.

a to c and e to g show seed 0, in 200 and 300 trials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from integration import EVIDENCE_COLORS, if_go_came
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, names, save_figure, save_numbers, trained

from mpn_lab import TrialEnv, plotting, record
from mpn_lab.analysis import pca
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION
from mpn_lab.training.sources import share_right

# An input x times its strength s moves M by eta phi(s W x) s x^T, the same for s and -s: it takes a
# bias to tell them apart. 98 % may never come.
SIGNED: dict[str, Any] = {"mpn": {"bias": True}, "trials": 64 * 3_000, "stop": None}
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "retrospective context": (CONTEXT_INTEGRATION, {}),
    "continuous": (CONTINUOUS_INTEGRATION, SIGNED),
}
TESTED = 2_000  # fresh trials behind every accuracy
BLUE, ORANGE, GREY = COLORS["MPN"], COLORS["GRU"], "#8C8C8C"


def main(fresh: bool = False, processes: int = 2) -> None:
    torch.set_num_threads(1)
    accuracy, shown = {}, {}
    for name, (task, changes) in TASKS.items():
        jobs = {
            full: config_of(kind, seed, task, **changes)
            for kind, seed, full in names(f"fig7/{name.split()[0]}", ["MPN"], SEEDS)
        }
        found = list(trained(jobs, fresh=fresh, processes=processes).values())
        accuracy[name] = [accuracy_of(one) for one in found]
        shown[name] = found[0]
    rows = [
        (f"accuracy, {name}", "MPN", seed, value)
        for name, values in accuracy.items()
        for seed, value in enumerate(values)
    ]
    save_numbers("fig7", rows)
    save_figure(draw(shown, accuracy), "fig7")


def accuracy_of(one: Trained) -> float:
    """On `TESTED` fresh trials."""
    task, task_kwargs = one.task
    drawn = TrialEnv(task, seed=0, **task_kwargs).task.sample_batch(
        np.random.default_rng((one.config.seed, 7)), TESTED
    )
    return share_right(one.network, drawn)[0]


def draw(shown: dict[str, Trained], accuracy: dict[str, list[float]]) -> Figure:
    with plotting.style():
        figure = plotting.new_figure(10.4, 5.2)
        (a, b, c, d), (e, f, g, h) = figure.subplots(2, 4)
        draw_context(a, b, c, shown["retrospective context"])
        draw_continuous(e, f, g, shown["continuous"])
        for ax, letter, name in ((d, "d", "retrospective context"), (h, "h", "continuous")):
            values = 100 * np.array(accuracy[name])
            ax.plot(np.linspace(-0.15, 0.15, len(values)), values, "o", ms=4, color=BLUE, alpha=0.8)
            ax.hlines(values.mean(), -0.3, 0.3, color=BLUE)
            ax.axhline(50, color=GREY, lw=0.7, ls=":")
            ax.set(
                title=f"{letter}  accuracy",
                ylabel="right answers (%)",
                xlim=(-1, 1),
                ylim=(45, 101),
            )
            ax.set_xticks([0], [f"MPN, {len(values)} seeds"])
        figure.subplots_adjust(left=0.06, right=0.98, top=0.94, bottom=0.1, hspace=0.45, wspace=0.5)
    return figure


def draw_context(a: Axes, b: Axes, c: Axes, one: Trained) -> None:
    trials = record(one.network, *one.task, trials=200, seed=1)
    step = np.arange(1, trials.sizes["time"] + 1)
    periods = list(dict.fromkeys(trials["period"].values[0].tolist()))
    for ax in (a, b, c):
        for name in periods:
            where = step[trials["period"].values[0] == name]
            if name in ("context", "go"):
                ax.axvspan(where[0] - 0.5, where[-1] + 0.5, color="#F0E442", alpha=0.35, lw=0)
        ax.set(xlabel="step", xlim=(0.5, step[-1] + 0.5))
    differ = trials["label_a"].values != trials["label_b"].values
    for name, color in (("a", BLUE), ("b", ORANGE)):
        evidence = trials[f"evidence_{name}"].isel(trial=int(differ.argmax()))
        a.step(step, evidence[:, 0] - evidence[:, 1], color=color, label=f"subtask {name}")
    a.axhline(0, color=GREY, lw=0.7)
    a.set(title="a  one trial's evidence", ylabel="class 1 minus 2")
    legend_above(a)
    _, answer = if_go_came(one, trials.isel(time=slice(0, -1)))  # M_T is never read
    b.axhline(0, color=GREY, lw=0.7)
    for context, style in (("a", "-"), ("b", "--")):
        for label, color in ((0, BLUE), (1, ORANGE)):
            use = (
                differ & (trials["context"].values == context) & (trials["label_a"].values == label)
            )
            text = f"a: {label + 1}, b: {2 - label}; {context} counts"
            b.plot(step[:-1], answer[use].mean(0), style, color=color, label=text)
    limit = 2.4 * np.abs(b.get_ylim()).max()
    b.legend(loc="upper left", fontsize=7)
    b.set(title="b  if go came now", ylabel="readout, class 1 minus 2", ylim=(-limit / 2, limit))
    for share, color, label in zip(
        agreement(one, trials), (BLUE, GREY), ("that counts", "other"), strict=True
    ):
        c.plot(step[:-1], 100 * share, color=color, label=label)
    c.axhline(50, color=GREY, lw=0.7, ls=":")
    c.legend(loc="lower left")
    c.set(title="c  agrees with subtask", ylabel="share of trials (%)", ylim=(0, 101))


def agreement(one: Trained, trials: xr.Dataset | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How often a go at once would be answered as a subtask asks: the one that counts, the other.

    Each a share of the trials at every step before go, [time].
    """
    trials = record(one.network, *one.task, trials=200, seed=1) if trials is None else trials
    _, answer = if_go_came(one, trials.isel(time=slice(0, -1)))  # M_T is never read
    shares = []
    for counts in (True, False):
        right = []
        for name in "ab":
            asked = (trials["context"].values == name) == counts
            wanted = trials[f"label_{name}"].values[asked, None] == 0
            right.append((answer[asked] > 0) == wanted)
        shares.append(np.concatenate(right).mean(0))
    return shares[0], shares[1]


def legend_above(ax: Axes) -> None:
    """A legend above the lines, with room made for it."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.25 * (high - low))
    ax.legend(loc="upper left", ncols=2, columnspacing=0.8)


def draw_continuous(e: Axes, f: Axes, g: Axes, one: Trained) -> None:
    trials = record(one.network, *one.task, trials=300, seed=1)
    step = np.arange(1, trials.sizes["time"] + 1)
    evidence = trials["evidence"]
    e.bar(step, trials["shown"][0], color=GREY, label="shown")
    e.plot(step, evidence[0], color=BLUE, label="summed")
    e.axhline(0, color=GREY, lw=0.7)
    e.set(title="e  one trial's evidence", xlabel="step", ylabel="strength")
    legend_above(e)
    found = pca(trials, "M", components=2)
    inside = trials["period"].values == "stimulus"
    places, value = found["trajectory"].values[inside], evidence.values[inside]
    limit = np.abs(value).max()
    dots = f.scatter(
        *places.T,
        c=value,
        s=4,
        cmap=EVIDENCE_COLORS,
        vmin=-limit,
        vmax=limit,
        lw=0,
        rasterized=True,
    )
    f.figure.colorbar(dots, ax=f, fraction=0.08)
    share = 100 * found["explained_variance_ratio"].values
    f.set(
        title="f  $M_t$ by summed strength",
        xlabel=f"PC 1 ({share[0]:.0f} %)",
        ylabel=f"PC 2 ({share[1]:.0f} %)",
    )
    answer = if_go_came(one, trials)[1][inside]
    g.plot(value, answer, ".", ms=2, color=BLUE, rasterized=True)
    g.axhline(0, color=GREY, lw=0.7)
    g.axvline(0, color=GREY, lw=0.7)
    g.set(
        title="g  if go came now",
        xlabel="summed strength so far",
        ylabel="readout, class 1 minus 2",
    )


if __name__ == "__main__":
    main()
