"""Stale states as an intervention: which answers turn if M is what an older network would store?

A replay buffer holds the states of the network that collected them. Here M before the test is
replaced, in the present network and in an open loop, by the one that the same network had after
fewer trials of training, in the same trial: dM is the difference. The observations before the
answer do not depend on the actions, so that this is the state that would have been stored.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from figures.cache import Key, Measurements, Results, Values
from figures.causal.intervals import Median, holm, median, sign_flip_p
from figures.causal.memory import (
    RECORD_SEED,
    TRIALS,
    donors,
    first_steps,
    last_values,
    named,
    norm,
    of_norm,
    other_units,
    outcome,
    state_before,
    values_from,
)
from figures.causal.networks import MATCHING, OLD, network, old_network
from figures.networks import SEEDS, Trained
from mpn_lab import QNetwork, counterfactual, record
from mpn_lab.interventions import q_gradients

CHANGES = ("M", "random", "other units", "common", "rest", "same sample")
PREDICTORS = ("dM", "lead", "samples", "gradient")
FEWEST = 5  # flipped answers, and others, for an area under the curve


def measurements() -> Measurements:
    """What measures each value; a key names one of several quantities."""
    result: Measurements = {}
    for seed in SEEDS:
        old = {age: old_network(seed, age) for age in OLD}
        key = Key(f"stale {OLD[0]}, M: flipped", "MPN", seed)
        result[key] = partial(stale, network(MATCHING, "MPN", seed), *old.values())
    return result


def stale(current: Trained, *old: Trained) -> Values:
    """All values of one network; `old` are its states of training in the order of `OLD`."""
    trials = record(current.network, *current.task, trials=TRIALS, seed=RECORD_SEED)
    values: dict[str, float] = {}
    gradient = gradients(current.network, trials)
    for age, one in zip(OLD, old, strict=True):
        rng = np.random.default_rng((current.config.seed, age))
        found = of_age(current.network, one.network, trials, gradient, rng)
        values |= {f"stale {age}, {name}": value for name, value in found.items()}
    return values


def of_age(
    network: QNetwork,
    old: QNetwork,
    trials: xr.Dataset,
    gradient: np.ndarray,
    rng: np.random.Generator,
) -> Values:
    """What the M of one older network does, and what predicts it.

    The changes, `CHANGES`:

    - M: the old M; random, other units: as large a change, see `memory.edited_states`;
    - common: what dM has in common in all trials; rest: dM without it;
    - same sample: the old M in another trial with the same sample and test.

    The lead is by how much Q of the answer exceeds that of the best other action. Predictors of a
    flip: the norm of dM; a small lead; dM along the way to the other sample; and the lead that the
    gradient of Q with respect to M leaves, to first order. Nothing is fitted.
    """
    before = counterfactual(old, trials, [])
    S, stored = (state_before(data, "test", "M") for data in (trials, before))
    answers = last_values(before).argmax(1)  # of the old network, without an edit
    D = stored - S
    common = np.broadcast_to(D.mean(0), D.shape)
    changes = {
        "M": D,
        "random": of_norm(rng.standard_normal(S.shape), D),
        "other units": other_units(D, rng),
        "common": common,
        "rest": D - common,
        "same sample": stored[donors(trials, MATCHING)[1]] - S,
    }
    response, Q = trials["response"].values, last_values(trials)
    lead = lead_of(Q, response)
    toward = towards_other_sample(trials, S)
    values = {
        "old accuracy": float((answers == trials["correct_response"].values).mean()),
        "dM": float((norm(D) / norm(S)).mean()),
        "dM, sd over trials": float((norm(D) / norm(S)).std(ddof=1)),
        "dM, common share": float((norm(common) ** 2).mean() / (norm(D) ** 2).mean()),
        "dM, along samples": float(along(D, toward).mean()),
        "dM, share along samples": share_along(D, toward),
        "random, share along samples": share_along(changes["random"], toward),
    }
    new = {k: values_from(network, trials, "test", S + v) for k, v in changes.items()}
    for name, at_end in new.items():
        values |= named(name, outcome(trials, at_end))
        moved = np.abs(lead_of(at_end, response) - lead)
        values[f"{name}: lead moved"] = float(moved.mean() / lead.mean())
    expected = np.einsum("band,bnd->ba", gradient, D)  # change of Q, to first order
    size = {"dM": norm(D), "lead": -lead, "samples": along(D, toward)}
    moved = lead_of(new["M"], response) - lead
    linear = lead_of(Q + expected, response) - lead
    condition = trials["sample_theta"].values + 10 * trials["test_theta"].values
    for name, x, y in (
        ("dM", size["dM"], np.abs(moved)),
        ("samples", -size["samples"], moved),
        ("gradient", linear, moved),
    ):
        values[f"rank correlation, {name}"] = float(spearmanr(x, y).statistic)
        x, y = (within(v, condition) for v in (x, y))
        values[f"rank correlation within conditions, {name}"] = float(spearmanr(x, y).statistic)
    flipped = new["M"].argmax(1) != response
    scores = size | {"gradient": -lead_of(Q + expected, response)}
    for name, score in scores.items():
        values[f"AUC of {name}"] = auc(score, flipped)
    return values


def gradients(network: QNetwork, trials: xr.Dataset) -> np.ndarray:
    """dQ / dM of every action at the last step, by M before the test, [trial, action, n, d]."""
    row, step = np.arange(trials.sizes["trial"]), first_steps(trials, "test")
    of_action = [
        q_gradients(network, trials, "M", of=str(name))["dQ_dM"].values[row, step]
        for name in trials["action"].values
    ]
    return np.stack(of_action, 1).astype(float)


def lead_of(Q: np.ndarray, response: np.ndarray) -> np.ndarray:
    """By how much Q [trial, action] of the response exceeds that of the best other action."""
    others = Q.copy()
    others[np.arange(len(Q)), response] = -np.inf
    return Q[np.arange(len(Q)), response] - others.max(1)


def towards_other_sample(trials: xr.Dataset, S: np.ndarray) -> np.ndarray:
    """From the mean M of each trial's sample to that of the other sample, [trial, n, d]."""
    second = trials["sample_theta"].values > 0
    difference = S[second].mean(0) - S[~second].mean(0)
    return np.where(second, -1, 1)[:, None, None] * difference


def along(change: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """The part of the way to the other sample that each change goes; 1: all of it."""
    return np.einsum("bnd,bnd->b", change, toward) / norm(toward) ** 2


def share_along(change: np.ndarray, toward: np.ndarray) -> float:
    """The share of the changes' sum of squares that lies in the direction between the samples."""
    part = along(change, toward) * norm(toward)
    return float((part**2).sum() / (norm(change) ** 2).sum())


def within(values: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """Values less the mean of their condition."""
    _, of = np.unique(condition, return_inverse=True)
    return values - (np.bincount(of, values) / np.bincount(of))[of]


def auc(score: np.ndarray, flipped: np.ndarray) -> float:
    """Area under the ROC curve: is a flipped answer's score above that of one that was not?

    nan if fewer than `FEWEST` answers flipped, or did not.
    """
    if min(flipped.sum(), (~flipped).sum()) < FEWEST:
        return np.nan
    return float(roc_auc_score(flipped, score))


def compare(values: Results) -> dict[tuple[int, str], tuple[Median, float]]:
    """By how much more the lead moves with a change as large as dM than with dM.

    Returns:
        (age, change) -> the difference, seed by seed, and its p value: exact sign flips, Holm's
        correction for all that are returned.
    """
    keys = [(age, name) for age in OLD for name in ("random", "other units")]
    differences = [
        values(f"stale {age}, {name}: lead moved", "MPN")
        - values(f"stale {age}, M: lead moved", "MPN")
        for age, name in keys
    ]
    p = holm([sign_flip_p(d) for d in differences])
    return {k: (median(d), float(x)) for k, d, x in zip(keys, differences, p, strict=True)}


def compare_predictors(values: Results) -> dict[str, tuple[Median, float]]:
    """How much better the gradient predicts the flips at the oldest age; as `compare`.

    In the networks where at least `FEWEST` answers flip.
    """
    found = {name: values(f"stale {OLD[0]}, AUC of {name}", "MPN") for name in PREDICTORS}
    known = np.isfinite(found["gradient"])
    others = [name for name in PREDICTORS if name != "gradient"]
    differences = [found["gradient"][known] - found[name][known] for name in others]
    p = holm([sign_flip_p(d) for d in differences])
    return {k: (median(d), float(x)) for k, d, x in zip(others, differences, p, strict=True)}
