"""One direction or many? How many components of the state carry the behaviour.

The state that the stimulus or the delay leaves behind, M of an MPN or h of a GRU, is taken apart
into the principal components of its differences between trials, all at that moment of the trial:

    v = c + sum_k s_k u_k,    c the mean over trials, u_k the axes, s_k the scores of a trial.

Axes and mean come from 200 trials, the edits are made in 200 others. A component is mirrored
(s_k -> -s_k about c), the first k are removed (s_1 ... s_k -> 0), or they alone are kept (all else
-> c). Controls move each trial's state by as much as its mirrored first component, in a random
direction of the whole state or of the span of components 2 to 10.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes

from figures.cache import Key, Measurements, Results, Values
from figures.causal.intervals import median
from figures.causal.networks import CONTEXT, CORES, INTEGRATION, MATCHING, TASKS, network
from figures.drawing import COLORS
from figures.networks import SEEDS, Trained
from mpn_lab import record
from mpn_lab.plotting.style import GREY

TRIALS, FITTED, EDITED = 200, 2, 1  # number of trials, and the seeds of both halves
COMPONENTS = 10
DRAWS = 3  # of each random control
KEPT = range(COMPONENTS + 1)
SPAN = 20  # components among which random directions are kept or removed
AT = {MATCHING: "test", CONTEXT: "delay", INTEGRATION: "go"}
"""The state before the first step of this period is edited. In ContextDecisionMaking the delay is
of random length: it is the state at the stimulus's end, when all trials have lasted as long."""


LABELS = {"DelayMatchSample-v0": "sample_theta"}
"""What has to be remembered; elsewhere it is the correct response."""


class Components(NamedTuple):
    """The principal components of a state at one moment, the largest first."""

    name: str  # of the state
    at: str  # the period before which it is
    center: np.ndarray  # [...]
    axes: np.ndarray  # [component, ...], of unit length
    shares: np.ndarray  # [component] of the variance between trials
    difference: np.ndarray  # [...] of the means of the two samples, or correct responses

    def scores(self, states: np.ndarray) -> np.ndarray:
        """s_k of each trial: [B, ...] -> [B, component]."""
        flat = (states - self.center).reshape(len(states), -1)
        return flat @ self.axes.reshape(len(self.axes), -1).T


def measurements() -> Measurements:
    """What measures each value."""
    result: Measurements = {}
    for task in (*TASKS, INTEGRATION):
        for core in CORES:
            for seed in SEEDS:
                result |= of_network(task, core, seed, network(task, core, seed))
    return result


def of_network(task: str, core: str, seed: int, one: Trained) -> Measurements:
    """What measures the values of one network."""
    key = Key("components: turned, mirror 1", f"{core}, {task}", seed)
    return {key: partial(measure, one, AT[task])}


def measure(one: Trained, at: str) -> Values:
    """All values of one network."""
    parts = components_of(one, at)
    trials = record(one.network, *one.task, trials=TRIALS, seed=EDITED)
    values = content(parts, trials) | behaviour(one, parts, trials)
    return {f"components: {name}": value for name, value in values.items()}


def behaviour(one: Trained, parts: Components, trials: xr.Dataset) -> Values:
    """What changes of the components do to the answers.

    `turned` is the share of trials in which another of the answers has the highest value (fixating
    is no answer), `flipped` that of other responses, fixating among them, and `accuracy` that of
    correct responses. Each random control is the mean of `DRAWS` draws.
    """
    found: dict[str, list[float]] = {}
    original = state_before(trials, parts.name, parts.at)
    for name, states in changed_states(parts, original, one.config.seed):
        for what, value in effects(trials, one, parts.at, name, states).items():
            found.setdefault(f"{what}, {name}", []).append(value)
    return {name: float(np.mean(each)) for name, each in found.items()}


def changed_states(
    parts: Components, states: np.ndarray, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The states [B, ...] after each change, with its name, which random ones share."""
    rng, scores = np.random.default_rng((seed, 4)), parts.scores(states)
    flat, count = parts.axes.reshape(len(parts.axes), -1), min(COMPONENTS, len(parts.axes))

    def along(scores: np.ndarray, axes: np.ndarray) -> np.ndarray:
        return (scores @ axes).reshape(len(scores), *parts.center.shape)

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    yield "nothing", states
    for k in range(count):
        yield f"mirror {k + 1}", states - 2 * along(scores[:, [k]], flat[[k]])
        yield f"without first {k + 1}", states - along(scores[:, : k + 1], flat[: k + 1])
    for k in range(count + 1):
        yield f"only first {k}", parts.center + along(scores[:, :k], flat[:k])
    yield "without 2 to 10", states - along(scores[:, 1:count], flat[1:count])
    u = unit(parts.difference.reshape(1, -1))
    offset = (states - parts.center).reshape(len(states), -1)
    yield "mirror difference", states - 2 * along(offset @ u.T, u)
    size = 2 * np.abs(scores[:, :1])  # (B, 1), |change| by mirroring the first component
    for _ in range(DRAWS):
        anywhere = size * unit(rng.standard_normal(offset.shape))
        yield "random", states + anywhere.reshape(states.shape)
        within = unit(rng.standard_normal((len(states), count - 1)))
        yield "random within 2 to 10", states + along(size * within, flat[1:count])
        for k in (1, 2, 5, COMPONENTS):
            basis = np.linalg.qr(rng.standard_normal((len(flat), k)))[0].T @ flat  # (k, features)
            yield f"only random {k}", parts.center + along(offset @ basis.T, basis)
            yield f"without random {k}", states - along(offset @ basis.T, basis)


@torch.no_grad()
def values_after(one: Trained, trials: xr.Dataset, at: str, states: np.ndarray) -> np.ndarray:
    """Q at each trial's last step if the period `at` began with these states, [B, action].

    The rest of the trial is run with the recorded observations, as `counterfactual` runs it.
    """
    first, last = first_step(trials, at), trials["length"].values - 1
    obs = torch.from_numpy(np.nan_to_num(trials["obs"].values[:, first:]))
    Q, _ = one.network(obs, torch.from_numpy(states.astype(np.float32)))
    return Q.numpy()[np.arange(len(last)), last - first]


def content(parts: Components, trials: xr.Dataset) -> Values:
    """What each component follows: r^2 of its score with conditions, over the edited trials.

    `evidence 1` and `evidence 2` are those of the modalities that were shown, summed over the
    stimulus; `counts` is that of the modality which counts in the trial.
    """
    scores = parts.scores(state_before(trials, parts.name, parts.at))
    cosine = parts.axes[0].ravel() @ parts.difference.ravel() / np.linalg.norm(parts.difference)
    values = {
        "cosine of 1 and difference": abs(float(cosine)),
        "participation ratio": float(parts.shares.sum() ** 2 / (parts.shares**2).sum()),
    }
    for k in range(min(COMPONENTS, len(parts.axes))):
        values[f"share of variance, {k + 1}"] = float(parts.shares[k])
        for name, condition in conditions_of(trials).items():
            r = np.corrcoef(scores[:, k], condition)[0, 1]
            values[f"r2 with {name}, {k + 1}"] = float(r**2)
    return values


def conditions_of(trials: xr.Dataset) -> dict[str, np.ndarray]:
    """What a component could follow, [trial] each."""
    if "sample_theta" in trials.coords:
        return {"sample": trials["sample_theta"].values}
    if "context" not in trials.coords:
        evidence = trials["evidence_1"].values - trials["evidence_2"].values
        return {"evidence": evidence, "correct response": trials["correct_response"].values}
    context = trials["context"].values
    shown = trials["obs"].where(trials["period"] == "stimulus", 0)  # (B, T, channel)
    first, second = (
        (shown.sel(channel=f"stim1_mod{k}") - shown.sel(channel=f"stim2_mod{k}")).sum("time").values
        for k in (1, 2)
    )
    return {
        "context": context,
        "evidence 1": first,
        "evidence 2": second,
        "evidence that counts": np.where(context == 0, first, second),
        "evidence that does not": np.where(context == 0, second, first),
        "correct response": trials["correct_response"].values,
    }


def components_of(one: Trained, at: str) -> Components:
    """The components of a network's state before a period."""
    trials = record(one.network, *one.task, trials=TRIALS, seed=FITTED)
    name = "M" if one.network.mpn_layers() else "h"
    states = state_before(trials, name, at)
    center = states.mean(0)
    rows = (states - center).reshape(len(states), -1)
    _, size, axes = np.linalg.svd(rows, full_matrices=False)
    label = trials[LABELS.get(one.config.task, "correct_response")].values
    low, high = (states[label == value].mean(0) for value in np.unique(label))
    most = min(SPAN, int((size > 1e-6 * size[0]).sum()))  # an axis without variance is arbitrary
    return Components(
        name,
        at,
        center,
        axes[:most].reshape(most, *center.shape),
        (size**2 / (size**2).sum())[:most],
        high - low,
    )


def first_step(trials: xr.Dataset, period: str) -> int:
    """The first step of a period, the same one in each trial."""
    first = (trials["period"].values == period).argmax(1)
    assert (first == first[0]).all()
    return int(first[0])


def state_before(trials: xr.Dataset, name: str, period: str) -> np.ndarray:
    """A state before the first step of a period, [B, ...]."""
    return trials[name].values[:, first_step(trials, period) - 1].astype(np.float64)


def effects(
    trials: xr.Dataset, one: Trained, at: str, name: str, states: np.ndarray
) -> dict[str, float]:
    """What the change `name` does; see `behaviour`."""
    last = trials["length"].values - 1
    before = trials["Q"].values[np.arange(len(last)), last]  # (B, action)
    after = values_after(one, trials, at, states)
    answers = np.array([k for k, name in enumerate(trials["action"].values) if name != "fixation"])
    turned = before[:, answers].argmax(1) != after[:, answers].argmax(1)
    found = {"turned": turned, "flipped": after.argmax(1) != trials["response"].values}
    found["accuracy"] = after.argmax(1) == trials["correct_response"].values
    if "context" in trials.coords and name.startswith("mirror"):
        for k in (0, 1):
            found[f"turned in context {k + 1}"] = turned[trials["context"].values == k]
    return {what: float(each.mean()) for what, each in found.items()}


def kept(results: Results, network: str, which: str = "only first") -> np.ndarray:
    """Share of responses that stay with only (or without) the first k components, [k, seed]."""
    start = 0 if which == "only first" else 1
    quantities = [f"components: flipped, {which} {k}" for k in range(start, COMPONENTS + 1)]
    rows = [1 - results(quantity, network) for quantity in quantities]
    return np.stack(rows if start == 0 else [np.ones_like(rows[0]), *rows])


def components_needed(results: Results, network: str, share: float = 0.95) -> np.ndarray:
    """The smallest k whose first k components alone keep this share of responses, [seed].

    More than `COMPONENTS` where they all keep less.
    """
    enough = kept(results, network) >= share
    return np.where(enough.any(0), enough.argmax(0), COMPONENTS + 1)


def component_of(results: Results, network: str, condition: str) -> np.ndarray:
    """The number of the component that follows a condition best, from 1, [seed]."""
    quantities = [f"components: r2 with {condition}, {k + 1}" for k in range(COMPONENTS)]
    return np.argmax([results(quantity, network) for quantity in quantities], axis=0) + 1


def at_component(results: Results, network: str, quantity: str, k: np.ndarray) -> np.ndarray:
    """A quantity of the component k[seed] of each network, such as "turned, mirror", [seed]."""
    return np.array(
        [results(f"components: {quantity} {one}", network)[seed] for seed, one in enumerate(k)]
    )


CHANGES = {
    "mirror 1": "PC 1\nmirrored",
    "mirror difference": "means\nmirrored",
    "random": "random,\nall",
    "random within 2 to 10": "random,\nPC 2-10",
}
MARKS = {MATCHING: "o", INTEGRATION: "s", CONTEXT: "^"}


def draw_mirrored(
    ax: Axes, results: Results, tasks: tuple[str, ...] = (MATCHING, INTEGRATION)
) -> None:
    """Answers that turn when the first component is mirrored, and by changes of the same size."""
    columns = [(core, task) for core in CORES for task in tasks]
    for x, change in enumerate(CHANGES):
        for j, (core, task) in enumerate(columns):
            values = results(f"components: turned, {change}", f"{core}, {task}")
            at = x + (j - (len(columns) - 1) / 2) * 0.2
            where = at + np.linspace(-0.06, 0.06, len(values))
            label = f"{core}, {task}" if x == 0 else None
            face = COLORS[core] if task == tasks[0] else "white"
            ax.plot(
                where,
                values,
                MARKS[task],
                ms=2.8,
                color=COLORS[core],
                mfc=face,
                mew=0.6,
                label=label,
            )
            ax.hlines(np.median(values), at - 0.09, at + 0.09, color=COLORS[core], lw=2)
    ax.set_xticks(range(len(CHANGES)), list(CHANGES.values()), fontsize=7.5)
    ax.set(ylim=(-0.03, 1.03), ylabel="answers turned")


def draw_kept(ax: Axes, results: Results, task: str) -> None:
    """Responses that stay with only the first k components, and with all but them."""
    for shift, core in zip((-0.1, 0.1), CORES, strict=True):
        for which, line, face in (
            ("only first", "o-", COLORS[core]),
            ("without first", "s--", "white"),
        ):
            rows = [median(row) for row in kept(results, f"{core}, {task}", which)]
            middle = np.array([row.median for row in rows])
            errors = [middle - [row.low for row in rows], [row.high for row in rows] - middle]
            style = {"color": COLORS[core], "mfc": face, "ms": 3.5, "elinewidth": 0.8, "lw": 1.2}
            label = f"{core}, {'only' if which == 'only first' else 'without'} the first $k$"
            ax.errorbar(
                shift + np.arange(len(rows)), middle, errors, fmt=line, label=label, **style
            )
    ax.axhline(0.95, color=GREY, ls=":", lw=1)
    ax.set(
        ylim=(-0.03, 1.04), xlabel="components $k$", ylabel="responses kept", xticks=range(0, 11, 2)
    )


CONDITIONS = ("context", "evidence 1", "evidence 2")


def draw_contents(ax: Axes, results: Results, core: str) -> None:
    """ContextDecisionMaking: answers that turn when the component of a condition is mirrored."""
    name = f"{core}, {CONTEXT}"
    for x, condition in enumerate(CONDITIONS):
        k = component_of(results, name, condition)
        for j, shade in enumerate(("#7B3294", "#00783C")):
            values = at_component(results, name, f"turned in context {j + 1}, mirror", k)
            at = x + (j - 0.5) * 0.36
            where = at + np.linspace(-0.1, 0.1, len(values))
            label = f"context {j + 1}" if x == 0 else None
            ax.plot(where, values, "o", ms=2.8, color=shade, alpha=0.75, mew=0, label=label)
            ax.hlines(np.median(values), at - 0.15, at + 0.15, color=shade, lw=2)
    ax.set_xticks(range(len(CONDITIONS)), ["context", "evid. 1", "evid. 2"], fontsize=7.5)
    ax.set(ylim=(-0.03, 1.03), xlim=(-0.5, 2.5), ylabel="answers turned")
    ax.set_xlabel("component mirrored")
    ax.set_title(core, loc="center", weight="normal", size=9, color=COLORS[core])
