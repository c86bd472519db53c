"""Is the delay silent? What h holds in the delay, what causes it, and whether it is used.

With x = 0, h_t = phi([W * (1 + M_{t-1})] x_t + b) = phi(b), whatever M holds. Two experiments tell
what breaks this silence: networks trained in the eight ways of `VARIANTS` (by reward or
supervision, with or without an input in the delay, with or without b), and edits of the input, of b
and of h in the delay of trained networks. An edit of h enters the Hebbian update of its step,
M_t = lam M_{t-1} + eta h_t x_t^T: this is the only way in which the h of a delay can act later.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from figures.cache import Key, Measurements, Results, Values
from figures.causal.intervals import median
from figures.causal.networks import MATCHING, VARIANTS, Variant, network, variant
from figures.drawing import COLORS
from figures.fig5.measure import configs as paper_configs
from figures.networks import SEEDS, Trained, load_or_train
from mpn_lab import TrialEnv, counterfactual, edits, record
from mpn_lab.analysis import decode
from mpn_lab.interventions import Edit
from mpn_lab.plotting.style import GREY

TRIALS, RECORDED = 200, 1  # number and seed of the trials
DRAWS = 3  # of everything random
PAPER = "paper"
"""Figure 5's MPNs: supervised, three classes, no bias, only noise (of norm 0.1) in the delay."""

INPUTS = ("x = 0", "embedding bias", "cue", "random x", "b = 0", "x = 0 before the sample")
"""Edits of what drives h in the delay; `cue`: x of the fixation cue (in the paper's: of null)."""

Edits = list[Edit]


def name_of(kind: Variant) -> str:
    """The name of a variant in the values: "reward, input, no bias"."""
    how = "reward" if kind.reward else "supervised"
    bias = "bias" if kind.bias else "no bias"
    return f"{how}, {'input' if kind.delay_input else 'silence'}, {bias}"


def measurements() -> Measurements:
    """What measures each value."""
    paper = load_or_train({n: c for n, c in paper_configs().items() if "MPN" in n})
    result: Measurements = {}
    for seed in SEEDS:
        networks = {MATCHING: network(MATCHING, "MPN", seed), PAPER: paper[f"fig5/MPN-seed{seed}"]}
        for name, one in networks.items():
            result[Key("silence: accuracy, x = 0", name, seed)] = partial(interventions, one)
        networks |= {name_of(kind): variant(kind, seed) for kind in VARIANTS}
        for name, one in networks.items():
            result[Key("silence: decoded from h", name, seed)] = partial(activity, one)
    return result


def label_of(trials: xr.Dataset) -> str:
    """The condition that has to be remembered in the delay."""
    return "sample_theta" if "sample_theta" in trials.coords else "correct_response"


def activity(one: Trained) -> Values:
    """How well the sample is read off h and M, and how much h differs between trials, in the delay.

    `decoded from h` is the mean over the steps of the delay; its control with permuted samples (ten
    times) and M are of the delay's end. `differs` is the variance of h over trials / its mean
    square, both summed over units; mean over steps.
    """
    trials = record(one.network, *one.task, trials=TRIALS, seed=RECORDED)
    label, delay = label_of(trials), in_delay(trials)
    read = decode(trials.isel(time=delay), label, "h")
    h = trials["h"].values[:, delay].astype(np.float64)  # (B, steps, n)
    differs, square = h.var(0).sum(1), (h**2).mean(0).sum(1)
    rng = np.random.default_rng(one.config.seed)
    last, permuted = trials.isel(time=[int(np.flatnonzero(delay)[-1])]), []
    for _ in range(10):
        other = ("trial", rng.permutation(trials[label].values))
        permuted.append(float(decode(last.assign_coords(other=other), "other", "h").accuracy[0]))
    values = {
        "accuracy": float(trials["performance"].mean()),
        "decoded from h": float(read.accuracy.mean()),
        "decoded from h, permuted": float(np.mean(permuted)),
        "decoded from M": float(decode(last, label, "M").accuracy[0]),
        "mean |h|": float(np.abs(h).mean()),
        "differs": float((differs / np.maximum(square, 1e-30)).mean()),  # 0 where h is 0
    }
    return {f"silence: {name}": value for name, value in values.items()}


def interventions(one: Trained) -> Values:
    """What each edit of the delay does to the answers, to h and to the memory.

    `accuracy` counts fixating at the response as wrong, `choice` only which of the answers has the
    higher value; `flipped` is the share of other responses; `decoded`, of the sample from h, mean
    over the delay; `memory`, the spread of M before the response between samples, in units of that
    without an edit.
    """
    trials = record(one.network, *one.task, trials=TRIALS, seed=RECORDED)
    label, delay = label_of(trials), in_delay(trials)
    end = int(np.flatnonzero(delay)[-1])
    spread = spread_between(trials["M"].values[:, end], trials[label].values)
    values = {"choice": choice_accuracy(trials)}
    for name, alternatives in edits_of(one, trials).items():
        found: dict[str, list[float]] = {}
        for edit in alternatives:
            changed = counterfactual(one.network, trials, edit)
            now = {
                "accuracy": float(changed["performance"].mean()),
                "choice": choice_accuracy(changed),
                "flipped": float((changed["response"] != trials["response"]).mean()),
            }
            left = spread_between(changed["M"].values[:, end], trials[label].values)
            now["memory"] = left / spread
            if name in INPUTS:
                read = decode(changed[["h", "valid"]].isel(time=delay), label, "h")
                now["decoded"] = float(read.accuracy.mean())
            for what, value in now.items():
                found.setdefault(what, []).append(value)
        values |= {f"{what}, {name}": float(np.mean(each)) for what, each in found.items()}
    return {f"silence: {name}": value for name, value in values.items()}


def edits_of(one: Trained, trials: xr.Dataset) -> dict[str, list[Edits]]:
    """The edits, by name: one list for each draw of what is random in it."""
    rng = np.random.default_rng((one.config.seed, 5))
    delay: dict[str, Any] = {"during": "delay"}
    result: dict[str, list[Edits]] = {"x = 0": [[edits.zero("x", **delay)]]}
    if one.config.embedding == "random":
        result["embedding bias"] = [[edits.zero("obs", **delay)]]
    cue = cue_of(one, trials)
    if np.abs(trials["embedded"].values[:, in_delay(trials)] - cue).max() > 1e-5:
        result["cue"] = [[edits.set_to("x", cue, **delay)]]  # which is not shown there anyway
    result["M frozen"] = [[edits.freeze("M", **delay)]]
    random = rng.standard_normal((DRAWS, len(cue)))
    random *= np.linalg.norm(cue) / np.linalg.norm(random, axis=1, keepdims=True)
    result["random x"] = [[edits.set_to("x", vector, **delay)] for vector in random]
    if one.network.mpn_layers()[0].b is not None:
        result["b = 0"] = [[edits.zero("b", **delay)]]
    if "fixation" in trials["period"].values:
        result["x = 0 before the sample"] = [[edits.zero("x", during="fixation")]]
        result["M frozen before the sample"] = [[edits.freeze("M", during="fixation")]]
    return result | edits_of_h(trials, rng)


def edits_of_h(trials: xr.Dataset, rng: np.random.Generator) -> dict[str, list[Edits]]:
    """Those of h in the delay.

    The random change is as large as that by the other sample's h; half of it is as large as the
    change by the mean.
    """
    label = trials[label_of(trials)].values
    times = trials["time"].values[in_delay(trials)]
    h = trials["h"].values[:, in_delay(trials)].astype(np.float64)  # (B, steps, n)

    def replace(by: np.ndarray) -> Edits:
        steps = zip(times, by, strict=True)  # of [steps, n] or [steps, B, n]
        return [edits.set_to("h", value, at=float(time)) for time, value in steps]

    of_sample = np.empty_like(h)
    for sample in np.unique(label):
        of_sample[label == sample] = h[label == sample].mean(0)
    other = edits.donors(trials, differ=label_of(trials), seed=0)
    same = edits.donors(trials, same=label_of(trials), seed=0)
    size = np.linalg.norm(h[other] - h, axis=2, keepdims=True)  # (B, steps, 1)
    random = rng.standard_normal((DRAWS, len(h), 1, h.shape[2]))  # one direction in each trial
    random /= np.linalg.norm(random, axis=3, keepdims=True)
    half: dict[str, list[Edits]] = {}
    if len(np.unique(label)) == 2:
        half["half the change"] = [replace((h + size / 2 * u).swapaxes(0, 1)) for u in random]
    return {
        "mean h": [replace(h.mean(0))],
        "mean h of each sample": [replace(of_sample.swapaxes(0, 1))],
        "h of another sample": [[edits.swap("h", donor=other, during="delay")]],
        "h of the same sample": [[edits.swap("h", donor=same, during="delay")]],
        "random change of h": [replace((h + size * u).swapaxes(0, 1)) for u in random],
    } | half


def cue_of(one: Trained, trials: xr.Dataset) -> np.ndarray:
    """x of the fixation cue, which is shown before the sample; in the paper's task, of null."""
    if "fixation" in trials["period"].values:
        return trials["embedded"].values[0, 0]
    task, kwargs = one.task
    return np.asarray(TrialEnv(task, **kwargs).task.vectors["null"])


def in_delay(trials: xr.Dataset) -> np.ndarray:
    """Which steps are the delay's, the same ones in each trial, [time]."""
    delay = trials["period"].values == "delay"
    assert (delay == delay[0]).all()
    return delay[0]


def choice_accuracy(trials: xr.Dataset) -> float:
    """Share of trials in which the correct answer has the highest value of all answers.

    Where fixating is an action, it is no answer.
    """
    answers = [k for k, name in enumerate(trials["action"].values) if name != "fixation"]
    last = trials["length"].values - 1
    Q = trials["Q"].values[np.arange(len(last)), last][:, answers]
    chosen = np.array(answers)[Q.argmax(1)]
    return float((chosen == trials["correct_response"].values).mean())


def spread_between(states: np.ndarray, label: np.ndarray) -> float:
    """Root of the variance of the means of each label, summed over features; [B, ...]."""
    means = np.stack([states[label == k].mean(0) for k in np.unique(label)])
    return float(np.sqrt(means.var(0).sum()))


SHADES = {"reward": COLORS["MPN"], "supervised": "#009E73", PAPER: "#404040"}
"""By how a network was trained."""

FACTORS = {"input": "delay_input", "bias": "bias", "reward": "reward"}


def factor_effects(results: Results, quantity: str) -> dict[str, np.ndarray]:
    """What each factor changes, [seed]: mean over the networks with it minus that without it."""
    by_variant = {kind: results(f"silence: {quantity}", name_of(kind)) for kind in VARIANTS}
    return {
        name: np.mean([v for kind, v in by_variant.items() if getattr(kind, field)], axis=0)
        - np.mean([v for kind, v in by_variant.items() if not getattr(kind, field)], axis=0)
        for name, field in FACTORS.items()
    }


def draw_factors(ax: Axes, results: Results) -> None:
    """How well the sample is read off h in the delay, in the networks trained in eight ways."""
    x = 0.0
    middles = []
    for shown in (True, False):
        here = [kind for kind in VARIANTS if kind.delay_input == shown]
        middles.append(x + (len(here) - 1) / 2)
        for kind in here:
            color = SHADES["reward" if kind.reward else "supervised"]
            seeds(ax, x, results("silence: decoded from h", name_of(kind)), color, kind.bias)
            x += 1
        x += 0.8
    for how in ("reward", "supervised"):
        for bias in (True, False):
            mark = {"color": SHADES[how], "mfc": SHADES[how] if bias else "white", "ms": 4}
            ax.plot([], [], "o", label=f"{how}, {'' if bias else 'no '}bias", **mark)
    chance(ax, 0.5)
    ax.set_xticks(middles, ["fixation cue\nin the delay", "nothing shown\nin the delay"])
    ax.tick_params(axis="x", length=0)
    ax.set(ylim=(0.42, 1.04), ylabel="sample read off $h$")


def draw_factor_effects(ax: Axes, results: Results) -> None:
    """What input, bias and reward each change in it."""
    effects = factor_effects(results, "decoded from h")
    for y, values in enumerate(effects.values()):
        ax.plot(values, y + np.linspace(-0.15, 0.15, len(values)), "o", ms=2.6, color=GREY, mew=0)
        found = median(values)
        ax.hlines(y, found.low, found.high, color="black", lw=1.2)
        ax.plot(found.median, y, "D", color="black", ms=4.5)
    ax.axvline(0, color=GREY, ls="--", lw=1)
    ax.set_yticks(range(len(effects)), list(effects))
    ax.set(xlim=(-0.1, 0.6), ylim=(len(effects) - 0.5, -0.5), xlabel="change of decoding")


def draw_inputs(ax: Axes, results: Results) -> None:
    """The same decoding, while something else drives the units of a trained network."""
    rows = [
        (MATCHING, "decoded from h", "as trained (cue)"),
        (MATCHING, "decoded, embedding bias", "embedding bias"),
        (MATCHING, "decoded, random x", "random $x$"),
        (MATCHING, "decoded, b = 0", "$b$ = 0"),
        (MATCHING, "decoded, x = 0", "$x$ = 0"),
        (PAPER, "decoded from h", "as trained (noise)"),
        (PAPER, "decoded, cue", "null input"),
        (PAPER, "decoded, random x", "random $x$"),
        (PAPER, "decoded, x = 0", "$x$ = 0"),
    ]
    where = [k + 0.7 * (name == PAPER) for k, (name, *_) in enumerate(rows)]
    for y, (name, quantity, _) in zip(where, rows, strict=True):
        values = results(f"silence: {quantity}", name)
        color = SHADES["reward" if name == MATCHING else PAPER]
        ax.plot(values, y + np.linspace(-0.2, 0.2, len(values)), "o", ms=2.6, color=color, mew=0)
        ax.vlines(np.median(values), y - 0.35, y + 0.35, color=color, lw=2)
    ax.vlines(1 / 2, -0.5, 4.5, color=GREY, ls="--", lw=1)
    ax.vlines(1 / 3, 5.2, 9.2, color=GREY, ls="--", lw=1)
    ax.set_yticks(where, [label for *_, label in rows], fontsize=7.5)
    ax.set(xlim=(0.28, 1.03), ylim=(9.2, -0.6), xlabel="sample read off $h$ in the delay")
    ax.text(0.54, 2.9, "default training,\n2 samples", color=SHADES["reward"], va="center", size=8)
    ax.text(0.54, 7.6, "paper's,\n3 classes", color=SHADES[PAPER], va="center", size=8)


def draw_uses(ax: Axes, results: Results) -> None:
    """Accuracy after edits of h or of the update in the delay, in networks trained by reward.

    Grey: the share of trials in which the better valued of the two answers is correct.
    """
    rows = {
        "accuracy": "no edit",
        "accuracy, mean h of each sample": "mean $h$ per sample",
        "accuracy, h of the same sample": "$h$, same sample",
        "accuracy, M frozen before the sample": "$\\eta$ = 0 in fixation",
        "accuracy, half the change": "random, half",
        "accuracy, mean h": "mean $h$",
        "accuracy, M frozen": "$\\eta$ = 0 ($x$ = 0)",
        "accuracy, random change of h": "random",
        "accuracy, h of another sample": "$h$, other sample",
    }
    for y, quantity in enumerate(rows):
        values = results(f"silence: {quantity}", MATCHING)
        choice = results(f"silence: {quantity.replace('accuracy', 'choice')}", MATCHING)
        for each, color, shift in ((values, SHADES["reward"], -0.16), (choice, GREY, 0.16)):
            ax.plot(each, np.full(len(each), y + shift), "o", ms=2.4, color=color, alpha=0.6, mew=0)
            ax.plot(median(each).median, y + shift, "|", color=color, ms=7, mew=2)
    ax.axvline(0.5, color=GREY, ls="--", lw=1)
    ax.set_yticks(range(len(rows)), list(rows.values()), fontsize=7.5)
    ax.set(xlim=(0, 1.03), ylim=(len(rows) - 0.5, -0.5), xlabel="accuracy")


def seeds(ax: Axes, x: float, values: np.ndarray, color: str, filled: bool = True) -> None:
    """One point per seed, and their median as a line."""
    where = x + np.linspace(-0.25, 0.25, len(values))
    ax.plot(where, values, "o", ms=3, color=color, mfc=color if filled else "white", mew=0.7)
    ax.hlines(np.median(values), x - 0.38, x + 0.38, color=color, lw=2)


def chance(ax: Axes, value: float) -> None:
    """The line of an accuracy by chance."""
    ax.axhline(value, color=GREY, ls="--", lw=1)
