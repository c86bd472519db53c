"""The lockstep collector against trials collected one by one."""

import numpy as np
import pytest
import torch

from mpn_lab import QNetwork, TrialEnv, collect_trials
from mpn_lab.training.evaluate import make_envs

TASK = "ContextDecisionMaking-v0"  # its trials differ in length


def network_for(env, core="mpn"):
    generator = torch.Generator().manual_seed(1)
    d, A = env.observation_space.shape[0], int(env.action_space.n)
    return QNetwork(d, A, hidden_size=8, core=core, generator=generator)


@pytest.mark.parametrize("core", ["mpn", "lstm"])
def test_lockstep_equals_one_by_one(core):
    together, alone = (make_envs(TASK, {}, 6, (3,)) for _ in range(2))
    network = network_for(together[0], core)
    rng = np.random.default_rng(0)
    for trial, env in zip(collect_trials(together, network, 0.0, rng), alone, strict=True):
        obs, _ = env.reset()
        state, t, ended = None, 0, False
        while not ended:
            np.testing.assert_array_equal(trial.obs[t], obs)
            with torch.no_grad():
                q, state = network.step(torch.from_numpy(obs)[None], state)
            assert trial.action[t] == int(q.argmax())
            obs, reward, ended, _, info = env.step(int(trial.action[t]))
            assert trial.reward[t] == np.float32(reward)
            t += 1
        assert len(trial) == t
        assert trial.terminated.tolist() == [False] * (t - 1) + [True]
        assert trial.performance == info["performance"]
        np.testing.assert_array_equal(trial.ground_truth, info["ground_truth"])


def test_exploration_is_the_generators():
    envs = make_envs(TASK, {}, 40, (3,))
    network = network_for(envs[0])
    trials = collect_trials(envs, network, 1.0, np.random.default_rng(1))
    counts = np.bincount(np.concatenate([t.action for t in trials]), minlength=3)
    assert counts.min() > 0.25 * counts.sum()
    again = collect_trials(make_envs(TASK, {}, 40, (3,)), network, 1.0, np.random.default_rng(1))
    assert all(np.array_equal(a.action, b.action) for a, b in zip(trials, again, strict=True))


def test_answer_is_the_right_response():
    env = TrialEnv("PerceptualDecisionMaking-v0", seed=0)
    trial = collect_trials([env], network_for(env), 0.0, np.random.default_rng(0))[0]
    assert (
        trial.correct_response == trial.conditions["ground_truth"] + 1
    )  # choices are 0, 1; actions 1, 2


def test_trial_longer_than_the_first_storage():
    env = TrialEnv("PulseDecisionMaking-v0", seed=0)
    trial = collect_trials([env], network_for(env), 0.0, np.random.default_rng(0))[0]
    assert 200 <= len(trial) <= 250
    np.testing.assert_array_equal(trial.obs, trial.planned_obs[: len(trial)])
