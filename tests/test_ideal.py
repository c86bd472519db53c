"""Ideal observers: their accuracies, and that nothing beats them."""

from math import comb

import numpy as np
import pytest
import torch

from mpn_lab import TrialEnv, collect_trials, ideal_accuracy, ideal_actions
from mpn_lab.training.evaluate import make_envs


class Fixate:
    """Never answers, so that every trial runs to its end."""

    def step(self, obs, state):
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(obs), -1), None

    def select_state(self, state, keep):
        return None

    def join_states(self, states):
        return None


def trials_of(task, kwargs, n):
    envs = make_envs(task, kwargs, min(n, 250), (1,))
    lived = []
    while len(lived) < n:
        lived += collect_trials(envs, Fixate(), 0.0, np.random.default_rng(0))
    return envs[0], lived


@pytest.mark.parametrize(
    ("task", "kwargs", "expected"),  # measured once over 20,000 trials each
    [
        ("DelayMatchSample-v0", {}, 1.0),
        ("PerceptualDecisionMaking-v0", {}, 0.897),
        ("ContextDecisionMaking-v0", {}, 0.941),
        ("ContextDecisionMaking-v0", {"use_expl_context": True}, 0.940),
    ],
)
def test_accuracy(task, kwargs, expected):
    env, lived = trials_of(task, kwargs, 4000)
    assert ideal_accuracy(env, lived) == pytest.approx(expected, abs=4 * 0.3 / 4000**0.5)


def test_a_noisier_match_is_still_the_most_likely_one():
    """More directions and more noise: against the posterior by brute force over all stimuli."""
    env, lived = trials_of("DelayMatchSample-v0", {"dim_ring": 4, "sigma": 12.0}, 300)
    theta, sigma = env.task.theta, env.task.sigma
    answers = ideal_actions(env, lived)
    for trial, answer in zip(lived, answers, strict=True):
        likelihood = {1: 0.0, 2: 0.0}
        for match in (1, 2):
            for k in theta:
                other = k if match == 1 else k + np.pi
                expected = np.zeros_like(trial.obs[:, 1:], dtype=np.float64)
                for name, angle in (("sample", k), ("test", other)):
                    start, end = trial.periods[name]
                    expected[start:end] = np.cos(theta - angle) * 0.5 + 0.5
                likelihood[match] += np.exp(
                    -((trial.obs[:, 1:] - expected) ** 2).sum() / 2 / sigma**2
                )
        assert answer == (1 if likelihood[1] >= likelihood[2] else 2)
    assert 0.6 < ideal_accuracy(env, lived) < 0.95


def test_pulses_are_counted_and_a_tie_is_worth_half():
    """Against the accuracy by enumeration: only ties, which a coin settles, are ever wrong."""
    env, lived = trials_of("PulseDecisionMaking-v0", {}, 4000)
    tie = sum(comb(6, k) ** 2 for k in range(7)) * (0.3 * 0.7) ** 6
    assert ideal_accuracy(env, lived) == pytest.approx(1 - tie / 2, abs=4 * 0.14 / 4000**0.5)
    n1, n2 = (np.array([t.conditions[p].sum() for t in lived]) for p in ("pulse1", "pulse2"))
    answers, truth = (
        ideal_actions(env, lived),
        np.array([trial.correct_response for trial in lived]),
    )
    assert (answers[n1 != n2] == truth[n1 != n2]).all()
    assert ideal_accuracy(env, lived) == 1 - (n1 == n2).mean() / 2
    assert ideal_accuracy(env, [lived[int(np.flatnonzero(n1 == n2)[0])]]) == 0.5


def test_pulses_shorter_than_a_step_are_not_seen():
    env, lived = trials_of("PulseDecisionMaking-v0", {"dt": 20}, 20)
    assert not np.any([trial.obs[:, 1:] for trial in lived])
    assert ideal_accuracy(env, lived) == 0.5


def test_a_task_without_an_ideal_observer():
    env = TrialEnv("GoNogo-v0", seed=0)
    assert ideal_actions(env, []) is None
    assert np.isnan(ideal_accuracy(env, []))


def test_a_trial_cut_before_its_evidence_is_refused():
    import dataclasses

    env, lived = trials_of("PerceptualDecisionMaking-v0", {}, 1)
    short = dataclasses.replace(lived[0], obs=lived[0].obs[:5], planned_obs=None)
    with pytest.raises(ValueError, match="the trial has 5 steps; its stimulus ends at step 21"):
        ideal_actions(env, [short])
