"""When is the context applied: while the evidence comes in, or when the answer is given?

A selection is *early* if only the relevant evidence enters the state, *late* if the state holds the
evidence of both modalities and the cue selects at the end. The state of another trial tells the two
apart. Let it come from a trial of the other context, and let the cue stay that of the recipient:
then a late selection follows the donor's evidence for the recipient's context, which was of no
relevance to the donor, and an early one follows what was relevant to the donor.

All trials have the same delay and clear evidence in both modalities (coherence 15 or 50), so that
every donor is at the same step, and what it should have seen is known. The state is M of an MPN and
h of a GRU. The preference is the choice of larger Q at the last step, whether or not the network
would still fixate; the share of trials in which it would is given too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from figures.cache import Key, Measurements, Values
from figures.causal.networks import CONTEXT, CORES, network
from figures.networks import SEEDS, Trained
from mpn_lab import edits, record
from mpn_lab.analysis import decode

TRIALS, RECORD_SEED, DELAY = 1_500, 15, 600  # 600 ms is the mean delay of the task
CLEAR = 15  # %; at 5 % the noise decides one trial in five
CUES = ("context1", "context2")
MOMENTS: dict[str, str | float] = {
    "before the stimulus": "stimulus",
    "stimulus end": "delay",
    "in the delay": 1300.0,
    "delay end": "decision",
}
"""Name -> the step before which the state is replaced, as an edit's `at`."""

SHOWN: dict[str, tuple[str, ...]] = {
    "fixation": ("fixation",),
    "stimulus": ("stimulus",),
    "delay": ("delay",),
    "decision": ("decision",),
    "until the stimulus ends": ("fixation", "stimulus"),
    "after the stimulus": ("delay", "decision"),
    "always": ("fixation", "stimulus", "delay", "decision"),
}
"""Name -> the periods in which the cue is another one."""

SIGNALS = ("donor relevant", "donor other", "own relevant", "own other")
"""Evidence that may decide: of the donor or the recipient, for the context that the recipient's cue
shows (relevant) or the other one. Late selection: `donor relevant`, early: `donor other`."""


class Replaced(NamedTuple):
    """States that are put in the place of the trials' own."""

    name: str
    state: np.ndarray  # [trial, ...]
    donor: np.ndarray  # position of each trial's donor, [trial]


def measurements() -> Measurements:
    """What measures each value; the key names one of several quantities."""
    return {
        Key("selection: unedited: accuracy", core, seed): partial(
            selection, network(CONTEXT, core, seed)
        )
        for core in CORES
        for seed in SEEDS
    }


def selection(one: Trained) -> Values:
    """All values of one network."""
    trials = recorded(one)
    values = {"selection: unedited: accuracy": float(trials["correct"].mean())}
    return values | states(one, trials) | cues(one, trials) | decoded(one, trials)


def recorded(one: Trained, trials: int = TRIALS) -> xr.Dataset:
    """Fresh trials of one length; those with clear evidence in both modalities."""
    task, kwargs = one.task
    kwargs = {**kwargs, "timing": {"delay": DELAY}}
    result = record(one.network, task, kwargs, trials=trials, seed=RECORD_SEED)
    return result.isel(trial=np.minimum(result["coh_1"], result["coh_2"]).values >= CLEAR)


def evidence(trials: xr.Dataset) -> np.ndarray:
    """The choice that the evidence of each modality favours, -1 or 1, [trial, modality]."""
    relevant, other = (2 * trials[name].values - 3 for name in ("correct_response", "other_choice"))
    first = trials["context"].values == 0
    return np.stack([np.where(first, relevant, other), np.where(first, other, relevant)], 1)


@torch.no_grad()
def last_q(
    one: Trained, obs: np.ndarray, state: np.ndarray | None = None, step: int = 0
) -> np.ndarray:
    """Q at the last step, [trial, action], with a state put in before a step.

    It is what `counterfactual` gives with `set_to`, of the rest of the trial alone.
    """
    start = None if state is None else torch.from_numpy(state).float()
    return one.network(torch.from_numpy(obs[:, step:]), start)[0][:, -1].numpy()


def states(one: Trained, trials: xr.Dataset) -> Values:
    """What decides after the state is replaced, `selection: MOMENT, STATE: MEASURE`.

    Measures are the influences of `SIGNALS`; `conflict`, the share of preferences for the donor's
    relevant evidence where its two modalities disagree; `unanswered`, and `flipped`, the share of
    answers that change.
    """
    values: dict[str, float] = {}
    obs, row = trials["obs"].values, np.arange(trials.sizes["trial"])
    context, shown = trials["context"].values, evidence(trials)
    for i, (moment, at) in enumerate(MOMENTS.items()):
        rng = np.random.default_rng((one.config.seed, i))
        for name, state, donor in replaced(trials, state_before(trials, at, state_of(one)), rng):
            Q = last_q(one, obs, state, step_of(trials, at))
            signals = np.stack(
                [shown[of, which] for of in (donor, row) for which in (context, 1 - context)], 1
            )
            found = dict(zip(SIGNALS, influences(preferred(Q), signals), strict=True))
            disagree = signals[:, 0] != signals[:, 1]
            found["conflict"] = (preferred(Q) == signals[:, 0])[disagree].mean()
            found["unanswered"] = (Q.argmax(1) == 0).mean()
            found["flipped"] = (Q.argmax(1) != trials["response"].values).mean()
            values |= {f"selection: {moment}, {name}: {k}": float(v) for k, v in found.items()}
    return values


def replaced(trials: xr.Dataset, state: np.ndarray, rng: np.random.Generator) -> Iterator[Replaced]:
    """What replaces the trials' states [trial, ...] at a moment.

    With m_c the mean state of context c, a state s of context c is m_c + (s - m_c): a part that the
    context determines and one that the evidence determines.

    - whole: the donor's s, of the other context; same context: of the same;
    - evidence: the donor's s - m_c, of the other context, with the recipient's m_c;
    - context: m_c of the other context, with the recipient's s - m_c;
    - random evidence, random context: a Gaussian change of the same norm in each trial;
    - itself: the trial's own.
    """
    context, number = trials["context"].values, trials["trial"].values
    mean = np.stack([state[context == c].mean(0) for c in (0, 1)])
    deviation = state - mean[context]
    own, seed = np.arange(len(state)), int(rng.integers(2**31))
    other = np.searchsorted(number, edits.donors(trials, differ="context", seed=seed))
    same = np.searchsorted(number, edits.donors(trials, same="context", seed=seed))
    for name, donor in (("whole", other), ("same context", same), ("itself", own)):
        yield Replaced(name, state[donor], donor)
    changes = {
        "evidence": deviation[other] - deviation,
        "context": mean[1 - context] - mean[context],
    }
    for name, change in changes.items():
        yield Replaced(name, state + change, other)
        noise = of_norm(rng.standard_normal(state.shape), change)
        yield Replaced(f"random {name}", state + noise, other)


def state_of(one: Trained) -> str:
    """The name of a network's state."""
    return "M" if one.network.mpn_layers() else "h"


def step_of(trials: xr.Dataset, at: str | float) -> int:
    """The number of a step, the same in all trials."""
    if isinstance(at, str):
        return int((trials["period"].values[0] == at).argmax())
    return int(np.searchsorted(trials["time"].values, at))


def state_before(trials: xr.Dataset, at: str | float, variable: str) -> np.ndarray:
    """The state before a step, [trial, ...], float64."""
    return trials[variable].values[:, step_of(trials, at) - 1].astype(float)


def of_norm(noise: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Noise [trial, ...] scaled to the norm that `like` has in each trial."""
    axes = tuple(range(1, like.ndim))
    norms = [np.sqrt((values**2).sum(axes, keepdims=True)) for values in (noise, like)]
    return noise * norms[1] / norms[0]


def preferred(Q: np.ndarray) -> np.ndarray:
    """The choice of larger Q [trial, action], -1 or 1, [trial]."""
    return np.where(Q[:, 2] > Q[:, 1], 1, -1)


def influences(preference: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """How much each of several signals decides.

    Half the difference between the mean preference where a signal is 1 and where it is -1, every
    combination of the others counted alike: 1 for a signal that decides alone, 0 for one that does
    not matter; of signals whose effects add up, the sum is at most 1.

    Args:
        preference: -1 or 1, [trial].
        signals: -1 or 1, [trial, signal].

    Returns:
        [signal]; nan if there is a combination that no trial has.
    """
    cells = np.array(list(product((-1, 1), repeat=signals.shape[1])))
    members = (signals[None] == cells[:, None]).all(2)  # (cell, trial)
    with np.errstate(invalid="ignore"):
        means = members @ preference / members.sum(1)
    return means @ cells / len(cells)


def cues(one: Trained, trials: xr.Dataset) -> Values:
    """What decides if the cue is another one for some periods, `selection: cue, WHEN: MEASURE`.

    `own relevant` is the influence of the evidence that the trial's cue calls for otherwise, `own
    other` of that which the other cue calls for. Control, `raised cues`: both cues are raised by
    1, a change of the same norm that favours neither context.
    """
    values: dict[str, float] = {}
    context, shown, row = (
        trials["context"].values,
        evidence(trials),
        np.arange(trials.sizes["trial"]),
    )
    signals = np.stack([shown[row, context], shown[row, 1 - context]], 1)
    is_cue, period = np.isin(trials["channel"].values, CUES), trials["period"].values[0]
    for when, periods in SHOWN.items():
        cells = np.ix_(row, np.isin(period, periods), is_cue)
        own = trials["obs"].values[cells]
        for name, changed in (("cue", 1 - own), ("raised cues", own + 1)):
            obs = trials["obs"].values.copy()
            obs[cells] = changed
            Q = last_q(one, obs)
            relevant, other = influences(preferred(Q), signals)
            found = {"own relevant": relevant, "own other": other}
            found["unanswered"] = (Q.argmax(1) == 0).mean()
            values |= {f"selection: {name}, {when}: {k}": float(v) for k, v in found.items()}
    return values


def decoded(one: Trained, trials: xr.Dataset) -> Values:
    """What can be read off the state at each moment, `selection: decoded, MOMENT: WHAT`.

    `relevant` and `other`: which choice the evidence of a modality favours, within each context;
    means of both. `choice`: the correct choice in trials whose modalities disagree, of both
    contexts together; `chance`: the share of the commoner one. A decoder of the relevant evidence
    from one context is also applied to the states of the other one, less the mean of each: what it
    finds there is told by the influences `across, same modality` (which is of no relevance there;
    in a late selection 1) and `across, relevant` (in an early one). `decoded activity` is the same
    of the h of an MPN, and `at the decision` the step of the answer.
    """
    values: dict[str, float] = {}
    steps = {moment: step_of(trials, at) - 1 for moment, at in MOMENTS.items()}
    conflict = trials["correct_response"].values != trials["other_choice"].values
    for variable in dict.fromkeys((state_of(one), "h")):
        title = "decoded" if variable == state_of(one) else "decoded activity"
        at = steps | ({"at the decision": steps["delay end"] + 1} if variable == "h" else {})
        few = trials.isel(time=list(at.values()))
        choice = decode(few.isel(trial=conflict), variable=variable)
        found = {"choice": choice["accuracy"].values, "chance": choice["chance"].values}
        for what, condition in (("relevant", "correct_response"), ("other", "other_choice")):
            per_context = [
                decode(few.isel(trial=few["context"].values == c), condition, variable)["accuracy"]
                for c in (0, 1)
            ]
            found[what] = np.mean(per_context, 0)
        pairs = np.array([read_across(few, variable, k) for k in range(len(at))]).T
        found |= {"across, same modality": pairs[0], "across, relevant": pairs[1]}
        for what, result in found.items():
            for moment, value in zip(at, result, strict=True):
                values[f"selection: {title}, {moment}: {what}"] = float(value)
    return values


def read_across(trials: xr.Dataset, variable: str, step: int) -> np.ndarray:
    """What decides the reading of one context's states by the other context's decoder.

    Returns:
        The influences of the evidence for the decoder's own context and of that for the states'
        own; means of both directions.
    """
    context, shown = trials["context"].values, evidence(trials)
    state = trials[variable].values[:, step].reshape(len(context), -1).astype(float)
    result = []
    for c in (0, 1):
        here, there = context == c, context == 1 - c
        own, foreign = (state[which] - state[which].mean(0) for which in (here, there))
        decoder = make_pipeline(StandardScaler(), RidgeClassifier()).fit(own, shown[here, c])
        result.append(influences(decoder.predict(foreign), shown[there][:, [c, 1 - c]]))
    return np.mean(result, 0)
