"""Does the memory live in M? The state is wiped, replaced, frozen and displaced, period by period.

Each edit acts before the first step after a period, in 200 trials of each network, in an open loop.
M is all that an MPN carries from one step to the next, and h all that a GRU does. What is compared
is therefore not M with something else, but what M holds with changes of M that are as large.

Only trials that the unedited network answers are counted. Where the edited one still prefers to
fixate at that step, its answer is missing: it has flipped, it is wrong, and it has not turned.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from figures.cache import Key, Measurements, Values
from figures.causal.networks import CONTEXT, CORES, INTEGRATION, MATCHING, network
from figures.networks import SEEDS, Trained
from mpn_lab import QNetwork, counterfactual, edits, record
from mpn_lab.analysis import attractor, fixed_points

TRIALS, RECORD_SEED = 200, 14
Span = str | tuple[int, int]


class Task(NamedTuple):
    """When a task's state is edited, and whose state replaces it."""

    moments: dict[str, tuple[str | int, Span]]  # name -> the first step after it, what ends there
    differ: str  # in this condition a donor differs that leads to the other answer
    same: tuple[str, ...] = ()  # in these every donor agrees


TASKS = {
    MATCHING: Task(
        {
            "after sample": ("delay", "sample"),
            "after delay": ("test", "delay"),
            "after test": ("decision", "test"),
        },
        "sample_theta",
        ("test_theta",),
    ),
    CONTEXT: Task(
        {"after stimulus": ("delay", "stimulus"), "after delay": ("decision", "delay")},
        "response",
        ("context",),
    ),
    INTEGRATION: Task(
        {"after 10 steps": (1000, (500, 1000)), "after stimulus": ("go", (1500, 1900))},
        "response",
    ),
}
LAST = {MATCHING: "after delay", CONTEXT: "after delay", INTEGRATION: "after stimulus"}
"""The moment at which nothing but the state tells the network what it saw."""

SIZES = (0.25, 0.5, 0.75, 1.0)
LONGER = (0, 10, 30, 100, 300, 1_000, 3_000)  # further steps of the delay


def measurements() -> Measurements:
    """What measures each value; a key names one of several quantities."""
    result: Measurements = {}
    for seed in SEEDS:
        for core in CORES:
            for task in TASKS:
                name = "delay + 0" if task == MATCHING else f"{task}, {LAST[task]}, other"
                key = Key(f"{name}: turned", core, seed)
                result[key] = partial(memory, network(task, core, seed), task)
    return result


def memory(one: Trained, task: str) -> Values:
    """All values of one network, in fresh trials that it answers."""
    trials = record(one.network, *one.task, trials=TRIALS, seed=RECORD_SEED)
    answered = trials["response"].values >= first_choice(trials)
    values = {f"{task}: answered": float(answered.mean())}
    trials = trials.isel(trial=answered)
    values |= effects(one, trials, task)
    if task == MATCHING:
        values |= sizes(one, trials) | longer_delays(one, trials)
        if one.network.mpn_layers():
            values |= attractors(one, trials)
    return values


def effects(one: Trained, trials: xr.Dataset, task: str) -> Values:
    """What every edit does at every moment: `TASK, MOMENT, EDIT: MEASURE`."""
    values = named(f"{task}, unedited", outcome(trials, last_values(trials)))
    for i, (moment, (at, _)) in enumerate(TASKS[task].moments.items()):
        rng = np.random.default_rng((one.config.seed, i))
        for name, state in edited_states(one.network, trials, task, moment, rng).items():
            found = outcome(trials, values_from(one.network, trials, at, state))
            values |= named(f"{task}, {moment}, {name}", found)
    return values


def edited_states(
    network: QNetwork, trials: xr.Dataset, task: str, moment: str, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The states that replace the one at a moment, [trial, ...] each.

    - other, same: that of a donor that leads to the other answer, or to the same one;
    - within: the difference from the donor `same`, made as large as that from `other`;
    - zero; mean: what all trials have in common then;
    - frozen: as it is without an update during the period that ends there; mean kept: but what all
      trials have in common is that of the unedited network;
    - as EDIT, random: as large a change as EDIT, in a random direction; other units: EDIT's own
      change, in other units.
    """
    state, (at, period) = state_name(network), TASKS[task].moments[moment]
    S = state_before(trials, at, state)
    mean = np.broadcast_to(S.mean(0), S.shape)
    frozen = counterfactual(network, trials, edits.freeze(state, during=period))
    F = state_before(frozen, at, state)
    other, same = (S[donor] for donor in donors(trials, task))
    states = {"other": other, "same": same, "within": S + of_norm(same - S, other - S)}
    states |= {"zero": np.zeros_like(S), "mean": mean}
    states |= {"frozen": F, "frozen, mean kept": F - F.mean(0) + mean}
    for name in ("other", "zero", "frozen"):
        change = states[name] - S
        states[f"as {name}, random"] = S + of_norm(rng.standard_normal(S.shape), change)
        states[f"as {name}, other units"] = S + other_units(change, rng)
    return states


def sizes(one: Trained, trials: xr.Dataset) -> Values:
    """Changes before the test, as parts of the swap with a trial of the other sample."""
    S = state_before(trials, "test", state_name(one.network))
    states = edited_states(
        one.network, trials, MATCHING, "after delay", np.random.default_rng((one.config.seed, 10))
    )
    values = {
        f"{name} donor, change / norm": float((norm(states[name] - S) / norm(S)).mean())
        for name in ("other", "same")
    }
    for name in ("other", "within", "as other, random", "as other, other units"):
        for size in SIZES:
            part = S + size * (states[name] - S)
            found = outcome(trials, values_from(one.network, trials, "test", part))
            values |= named(f"size {size:g}, {name}", found)
    return values


def longer_delays(one: Trained, trials: xr.Dataset) -> Values:
    """The answers if the delay's input, which is constant, were held for more steps."""
    values, done = {}, 0
    S = torch.from_numpy(state_before(trials, "test", state_name(one.network))).float()
    x = torch.from_numpy(at_step(trials, "test", "embedded"))[:, None]  # (B, 1, d)
    for k in LONGER:
        if k > done:
            with torch.no_grad():
                S = one.network.layers[0](x.repeat(1, k - done, 1), S)[1]
            done = k
        found = outcome(trials, values_from(one.network, trials, "test", S.numpy()))
        values |= named(f"delay + {k}", found)
    return values


def attractors(one: Trained, trials: xr.Dataset) -> Values:
    """The answers from the fixed point in whose basin M lies at the end of the sample.

    The input of the delay is constant and without noise, so that M goes to this point if the delay
    never ends. Controls: changes of M before the test as large as the one to the attractor; and the
    attractors' differences between trials, with what all trials have in common as it is before the
    test (mean kept), and also as large as they are there (mean and size kept).
    """
    rng = np.random.default_rng((one.config.seed, 11))
    points = fixed_points(one.network, trials, period="delay")
    start, S = (state_before(trials, at, "M") for at in ("delay", "test"))
    A = attractor(points, xr.DataArray(start, dims=("trial", "hidden", "input"))).values
    second = trials["sample_theta"].values > 0
    apart = np.abs(A[second].mean(0) - A[~second].mean(0)).max(1)  # (n,)
    deviation, common = A - A.mean(0), S.mean(0)
    states = {
        "attractor": A,
        "as attractor, random": S + of_norm(rng.standard_normal(S.shape), A - S),
        "as attractor, other units": S + other_units(A - S, rng),
        "attractor, mean kept": deviation + common,
        "attractor, mean and size kept": of_norm(deviation, S - common) + common,
    }
    sample = cross_val_score(KNeighborsClassifier(), A.reshape(len(A), -1), second)
    values = {
        "attractor: unknown rows": float(np.isnan(A).any(2).mean()),
        "attractor: units with two": float((points["stable"].sum("fixed_point") > 1).sum()),
        "attractor: units that tell the sample": float((apart > 1e-3).sum()),
        "attractor: sample decoded": float(sample.mean()),
        "attractor: change / norm": float((norm(A - S) / norm(S)).mean()),
    }
    for name, state in states.items():
        values |= named(name, outcome(trials, values_from(one.network, trials, "test", state)))
    return values


def first_choice(trials: xr.Dataset) -> int:
    """The number of the first action that is an answer."""
    return int("fixation" in trials["action"].values)


def state_name(network: QNetwork) -> str:
    """What the network carries from step to step."""
    return "M" if network.mpn_layers() else "h"


def donors(trials: xr.Dataset, task: str) -> tuple[np.ndarray, np.ndarray]:
    """For each trial one that leads to the other answer, and one that leads to the same.

    As positions in the record, [trial] each.
    """
    of = TASKS[task]
    other = edits.donors(trials, of.differ, of.same, seed=1)
    same = edits.donors(trials, None, (of.differ, *of.same), seed=2)
    numbers = trials["trial"].values
    return np.searchsorted(numbers, other), np.searchsorted(numbers, same)


def state_before(trials: xr.Dataset, at: str | int, state: str) -> np.ndarray:
    """The state that acts at a step of each trial, [trial, ...] in float64."""
    return at_step(trials, at, state).astype(float)


def at_step(trials: xr.Dataset, at: str | int, variable: str) -> np.ndarray:
    """A variable of the step before the first one of a period, or before a time in ms."""
    step = first_steps(trials, at) - 1
    return trials[variable].values[np.arange(len(step)), step]


def first_steps(trials: xr.Dataset, at: str | int) -> np.ndarray:
    """The first step of a period in each trial, or the one at a time in ms, [trial]."""
    if isinstance(at, str):
        return (trials["period"].values == at).argmax(1)
    return np.full(trials.sizes["trial"], int(at / trials.attrs["dt"]))


@torch.no_grad()
def values_from(
    network: QNetwork, trials: xr.Dataset, at: str | int, state: np.ndarray
) -> np.ndarray:
    """Q [trial, action] at the trials' last steps if the state [trial, ...] acts at a step.

    As `counterfactual` with `set_to` in an open loop, which a test compares, but only what follows
    from that step on is computed.
    """
    obs, S = np.nan_to_num(trials["obs"].values), torch.tensor(state, dtype=torch.float32)
    start, last = first_steps(trials, at), trials["length"].values - 1
    values: np.ndarray = np.empty((len(obs), network.n_actions))
    for s in np.unique(start):
        rows = np.flatnonzero(start == s)
        Q = network(torch.from_numpy(obs[rows, s:]), S[rows])[0].numpy()
        values[rows] = Q[np.arange(len(rows)), last[rows] - s]
    return values


def last_values(trials: xr.Dataset) -> np.ndarray:
    """Q [trial, action] at the trials' last steps."""
    return trials["Q"].values[np.arange(trials.sizes["trial"]), trials["length"].values - 1]


def outcome(trials: xr.Dataset, Q: np.ndarray) -> Values:
    """What an edit does to the answers, from Q [trial, action] at the last step.

    - flipped: the answer is another, or missing;
    - turned: it is the other choice;
    - accuracy: it is the correct one;
    - preferred: of the two choices the correct one has the larger Q, answered or not.
    """
    before, after, first = trials["response"].values, Q.argmax(1), first_choice(trials)
    correct = trials["correct_response"].values
    return {
        "flipped": float((after != before).mean()),
        "turned": float(((after != before) & (after >= first)).mean()),
        "accuracy": float((after == correct).mean()),
        "preferred": float((Q[:, first:].argmax(1) + first == correct).mean()),
    }


def named(name: str, found: Values) -> Values:
    """Measures under the name of what was done."""
    return {f"{name}: {measure}": value for measure, value in found.items()}


def norm(change: np.ndarray) -> np.ndarray:
    """The norm in each trial."""
    return np.linalg.norm(change.reshape(len(change), -1), axis=1)


def of_norm(direction: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Directions [trial, ...], each scaled to the norm that `like` has in that trial."""
    own = norm(direction)
    factor = norm(like) / np.where(own > 0, own, 1)
    return direction * factor.reshape(-1, *[1] * (like.ndim - 1))


def other_units(change: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A change [trial, unit, ...] with the units' parts permuted, anew in each trial."""
    return np.stack([own[rng.permutation(len(own))] for own in change])
