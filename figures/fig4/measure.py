"""Figure 4's networks: what M holds of the evidence, and what remains of it in long trials."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr

import figures.fig3.measure as fig3
import figures.fig5.measure as fig5
from figures.integration import SHOWN, evidence_of, record_of, respond_to_go
from figures.networks import SEEDS, Trained, config_of
from mpn_lab import SupervisedConfig, TrialEnv
from mpn_lab.analysis import modulation_change, pca
from mpn_lab.training.data import step_accuracies

LENGTHS = (10, 15, 20, 30, 50, 70, 100, 150, 200)
DELAYS = (0, 5, 10, 20, 30, 50, 70, 100)
T_TRAINED, DELAY_TRAINED = 20, 20
TESTS = 400
LAM_MAX = {"MPN": 0.95, "MPN, lam_max 0.99": 0.99, "MPN, lam_max 1": 1.0}
LONG = (*LAM_MAX, "RNN", "GRU")
"""The networks of the long trials; the MPN's lam_max is 0.95 unless it is named."""
GO_RESPONSE = "answer at evidence {}"
MOVE, NORM, ACCURACY = "move of M by {}", "norm of state, {}", "accuracy, {}"
EVIDENCE = range(-15, 16)  # at which the response to go is averaged

Groups = dict[str, dict[str, SupervisedConfig]]  # network -> NAME -> what to train


def shared_configs() -> Groups:
    """Networks of figure 3, trained at T = 20."""
    return {kind: fig3.configs([kind]) for kind in ("MPN", "MPNpre", "RNN", "GRU")}


def lam_max_configs() -> Groups:
    """The MPN with another lam_max."""
    return {
        kind: {
            f"fig4/MPN-lam{lam:g}-seed{seed}": config_of("MPN", seed, core_options={"lam_max": lam})
            for seed in SEEDS
        }
        for kind, lam in LAM_MAX.items()
        if kind != "MPN"
    }


def delay_configs() -> Groups:
    """Networks that are trained with a delay."""
    delay: dict[str, Any] = {"task_kwargs": {"delay": DELAY_TRAINED}}
    groups = {
        kind: {
            f"fig4/MPN-lam{lam:g}-delay-seed{seed}": config_of(
                "MPN", seed, core_options={"lam_max": lam}, **delay
            )
            for seed in SEEDS
        }
        for kind, lam in LAM_MAX.items()
    }
    settings = delay | fig5.SETTINGS["GRU"]
    gru = {f"fig4/GRU-delay-seed{seed}": config_of("GRU", seed, **settings) for seed in SEEDS}
    return groups | {"GRU": gru}


class Modulations(NamedTuple):
    """One network's M before go, and how the network would respond to go."""

    trials: xr.Dataset
    evidence: np.ndarray  # (trial, time)
    h_go: np.ndarray  # h_GO(M_t), (trial, time, hidden)
    y: np.ndarray  # y_1 - y_2 from it, (trial, time)


def modulations_of(one: Trained) -> Modulations:
    """M_t of all steps before go, and h_GO(M_t) = phi((M_t * W) x_go + W x_go + b)."""
    trials = record_of(one).isel(time=slice(0, -1))
    return Modulations(trials, evidence_of(trials).values, *respond_to_go(one, trials))


def measure(one: Trained) -> dict[str, float]:
    """(a to d) The values of one MPN."""
    modulations = modulations_of(one)
    components = pca(modulations.trials, "M", 3)
    scores = components["trajectory"].values.reshape(-1, 3)
    evidence, y = modulations.evidence.ravel(), modulations.y.ravel()
    means = {
        GO_RESPONSE.format(value): float(y[evidence == value].mean())
        for value in EVIDENCE
        if (evidence == value).sum() >= 5
    }
    clear = evidence != 0
    return {
        "r2 of the PC of M that follows evidence best": float(
            max(np.corrcoef(score, evidence)[0, 1] ** 2 for score in scores.T)
        ),
        "r2 of the go answer on accumulated evidence": float(np.corrcoef(y, evidence)[0, 1] ** 2),
        "share of correct go answers": float((y * evidence > 0)[clear].mean()),
        **{
            f"share of variance of M, PC {i + 1}": float(share)
            for i, share in enumerate(components["explained_variance_ratio"].values)
        },
        **moves(modulations),
        **means,
    }


def moves(modulations: Modulations) -> dict[str, float]:
    """What each input adds to M along the evidence's direction, in units of evidence.

    The direction is the difference between the classes' mean M before go. The projection of M_t on
    it, regressed on the evidence, gives the unit.
    """
    trials, last = modulations.trials, modulations.evidence[:, -1]
    M = trials["M"].values.reshape(*modulations.evidence.shape, -1)  # (trial, time, n d)
    direction = M[last > 0, -1].mean(0) - M[last < 0, -1].mean(0)  # (n d)
    unit = np.polyfit(modulations.evidence.ravel(), (M @ direction).ravel(), 1)[0]
    change = modulation_change(trials).values.reshape(M.shape) @ direction / unit  # (trial, time)
    shown = trials["shown"].values
    return {MOVE.format(SHOWN[k]): float(change[shown == k].mean()) for k in range(3)}


def long_trials(one: Trained) -> dict[str, float]:
    """(e, g) In trials of all `LENGTHS`."""
    return {k: v for n in LENGTHS for k, v in _tested(one, f"T = {n}", {"steps": n}).items()}


def long_delays(one: Trained) -> dict[str, float]:
    """(f, h) In trials with all `DELAYS`."""
    return {k: v for n in DELAYS for k, v in _tested(one, f"delay {n}", {"delay": n}).items()}


@torch.no_grad()
def _tested(one: Trained, name: str, changes: dict[str, int]) -> dict[str, float]:
    """Norm of the state before go, and accuracy, in trials that differ from those of training."""
    task, kwargs = one.task
    rng = np.random.default_rng(3)
    batch = TrialEnv(task, **(kwargs | changes)).task.sample_batch(rng, TESTS)
    _, state = one.network(torch.from_numpy(batch.obs[:, :-1]))
    return {
        NORM.format(name): float(state.flatten(1).norm(dim=1).mean()),
        ACCURACY.format(name): step_accuracies(one.network, batch)[0],
    }
