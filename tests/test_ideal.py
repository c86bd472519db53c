"""Ideal observers: their accuracies, and that nothing beats them."""

import dataclasses
from math import comb

import gymnasium as gym
import neurogym as ngym
import numpy as np
import pytest
import torch

from mpn_lab import (
    TrialEnv,
    collect_trials,
    evaluate,
    ideal_accuracy,
    ideal_actions,
    register_observer,
)
from mpn_lab.tasks import ideal
from mpn_lab.tasks.rollout import Trial, make_envs


class Fixate:
    """Never responds, so that every trial runs to its end."""

    def step(self, obs, state):
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(obs), -1), None

    def select_state(self, state, keep):
        return None

    def join_states(self, states):
        return None


def trials_of(task, kwargs, n):
    envs = make_envs(task, kwargs, min(n, 250), (1,))
    trials = []
    while len(trials) < n:
        trials += collect_trials(envs, Fixate(), 0.0, np.random.default_rng(0))
    return envs[0], trials


def planned_trials(task, kwargs, n):
    """Trials as the task plans them: all that an observer looks at, without a step being taken."""
    env = TrialEnv(task, seed=1, **kwargs)
    trials = []
    for _ in range(n):
        env.reset()
        plan = env.task
        trial = Trial(
            obs=np.array(plan.ob, np.float32),
            action=np.zeros(0, int),
            reward=np.zeros(0, np.float32),
            terminated=np.zeros(0, bool),
            conditions=dict(plan.trial),
            ground_truth=env.planned_ground_truth,
            periods={name: (start, plan.end_ind[name]) for name, start in plan.start_ind.items()},
        )
        trials.append(trial)
    return env, trials


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
    env, trials = planned_trials(task, kwargs, 4000)
    assert ideal_accuracy(env, trials) == pytest.approx(expected, abs=4 * 0.3 / 4000**0.5)


def test_a_noisier_match_is_still_the_most_likely_one():
    """More directions and more noise: against the posterior by brute force over all stimuli."""
    env, trials = trials_of("DelayMatchSample-v0", {"dim_ring": 4, "sigma": 12.0}, 300)
    theta, sigma = env.task.theta, env.task.sigma
    responses = ideal_actions(env, trials)
    for trial, response in zip(trials, responses, strict=True):
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
        assert response == (1 if likelihood[1] >= likelihood[2] else 2)
    assert 0.6 < ideal_accuracy(env, trials) < 0.95


@pytest.mark.parametrize(
    ("task", "kwargs"),
    [
        ("DelayMatchSample-v0", {"sigma": 0}),
        ("DelayMatchSample-v0", {"dim_ring": 1}),  # whose two stimuli have different norms
        ("DelayMatchSample-v0", {"dim_ring": 3, "sigma": 0}),
        ("PerceptualDecisionMaking-v0", {"cohs": [-51.2]}),
        ("PerceptualDecisionMaking-v0", {"cohs": [-51.2], "sigma": 0, "dim_ring": 3}),
    ],
)
def test_what_the_observations_decide_is_always_right(task, kwargs):
    assert ideal_accuracy(*planned_trials(task, kwargs, 200)) > 0.99


def test_mixed_coherences_are_weighed_by_their_likelihoods():
    """Against the posterior by brute force over the coherences and directions."""
    kwargs = {"cohs": [-20, 6.4, 51.2], "dim_ring": 3, "sigma": 2.0}
    env, trials = planned_trials("PerceptualDecisionMaking-v0", kwargs, 200)
    theta, sigma = env.task.theta, env.task.sigma
    for trial, response in zip(trials, ideal_actions(env, trials), strict=True):
        start, end = trial.periods["stimulus"]
        likelihood = np.zeros(3)
        for k in range(3):
            for coherence in kwargs["cohs"]:
                stimulus = 0.5 + coherence / 200 * np.cos(theta - theta[k])
                likelihood[k] += np.exp(
                    -((trial.obs[start:end, 1:] - stimulus) ** 2).sum() / 2 / sigma**2
                )
        assert response == 1 + likelihood.argmax()


@pytest.mark.parametrize(
    ("task", "absent", "chance"),
    [
        ("PerceptualDecisionMaking-v0", "stimulus", 1 / 2),
        ("ContextDecisionMaking-v0", "stimulus", 1 / 2),
        ("DelayMatchSample-v0", "sample", 1 / 2),
        ("DelayMatchSample-v0", "test", 1 / 2),
    ],
)
def test_a_period_without_a_step_is_no_evidence(task, absent, chance):
    env = TrialEnv(task, seed=0, timing={absent: 0})
    trials = collect_trials([env], Fixate(), 0.0, np.random.default_rng(0))
    assert absent not in trials[0].periods
    assert ideal_accuracy(env, trials) == chance


def test_pulses_are_counted_and_a_tie_is_worth_half():
    """Against the accuracy by enumeration: only ties, which a coin settles, are ever wrong."""
    env, trials = planned_trials("PulseDecisionMaking-v0", {}, 4000)
    tie = sum(comb(6, k) ** 2 for k in range(7)) * (0.3 * 0.7) ** 6
    assert ideal_accuracy(env, trials) == pytest.approx(1 - tie / 2, abs=4 * 0.14 / 4000**0.5)
    n1, n2 = (np.array([t.conditions[p].sum() for t in trials]) for p in ("pulse1", "pulse2"))
    responses = ideal_actions(env, trials)
    truth = np.array([trial.correct_response for trial in trials])
    assert (responses[n1 != n2] == truth[n1 != n2]).all()
    assert ideal_accuracy(env, trials) == 1 - (n1 == n2).mean() / 2
    assert ideal_accuracy(env, [trials[int(np.flatnonzero(n1 == n2)[0])]]) == 0.5


def test_a_task_without_an_ideal_observer():
    env = TrialEnv("GoNogo-v0", seed=0)
    assert ideal_actions(env, []) is None
    assert np.isnan(ideal_accuracy(env, []))


def test_a_trial_cut_before_its_evidence_is_refused():
    env, trials = trials_of("PerceptualDecisionMaking-v0", {}, 1)
    short = dataclasses.replace(trials[0], obs=trials[0].obs[:5], planned_obs=None)
    with pytest.raises(ValueError, match="the trial has 5 steps; its stimulus ends at step 21"):
        ideal_actions(env, [short])


@pytest.fixture
def observers(monkeypatch):
    """The table of observers, as it was afterwards."""
    monkeypatch.setattr(ideal, "_OBSERVERS", dict(ideal._OBSERVERS))


def first_action(env, trial):
    return [1]


@pytest.mark.usefixtures("observers")
def test_a_registered_observer_judges_its_task():
    assert evaluate(Fixate(), "GoNogo-v0", trials=20).ideal_accuracy is None
    register_observer("GoNogo-v0", first_action)
    result = evaluate(Fixate(), "GoNogo-v0", trials=200)
    env, trials = trials_of("GoNogo-v0", {}, 200)
    go = np.mean([trial.correct_response == 1 for trial in trials])
    assert 0 < go < 1
    assert ideal_accuracy(env, trials) == go
    assert 0.3 < result.ideal_accuracy < 0.7


class DelayMatchSample(gym.Env):
    """Called like neurogym's, but another task: its observer would read channels it lacks."""

    observation_space = gym.spaces.Box(0, 1, (1,))
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {"performance": float(action == 0)}


@pytest.mark.filterwarnings("ignore:.*render_modes")
def test_no_observer_is_found_by_a_name():
    """By the id alone, and only for what the id makes: a wrapper may hide the evidence."""
    result = evaluate(Fixate(), DelayMatchSample, trials=5)
    assert (result.accuracy, result.ideal_accuracy) == (1, None)
    task = "DelayMatchSample-v0"
    noisier = gym.wrappers.TransformObservation(ngym.make(task), lambda obs: 0 * obs)
    assert ideal.observer_kind(TrialEnv(task, seed=0)) == "ideal observer"
    assert ideal.observer_kind(TrialEnv(lambda: ngym.make(task), seed=0))
    assert not ideal.observer_kind(TrialEnv(noisier, seed=0))
    assert not ideal.observer_kind(TrialEnv(type(ngym.make(task).unwrapped), seed=0))


@pytest.mark.usefixtures("observers")
def test_a_second_observer_is_refused_and_the_same_one_is_not():
    register_observer("GoNogo-v0", first_action)
    register_observer("GoNogo-v0", first_action)  # as when a notebook's cell runs twice
    with pytest.raises(ValueError, match=r"'GoNogo-v0' already has an ideal observer .*first_act"):
        register_observer("GoNogo-v0", lambda env, trial: [0])
    with pytest.raises(ValueError, match="'DelayMatchSample-v0' already has an ideal observer"):
        register_observer("DelayMatchSample-v0", first_action)


@pytest.mark.usefixtures("observers")
@pytest.mark.parametrize("responses", [[], [2], [-1]])
def test_an_observer_that_names_no_action_is_refused(responses):
    register_observer("GoNogo-v0", lambda env, trial: responses)
    env, trials = trials_of("GoNogo-v0", {}, 1)
    with pytest.raises(ValueError, match="expected one or more of the actions 0 to 1"):
        ideal_actions(env, trials)
