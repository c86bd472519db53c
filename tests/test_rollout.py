"""The lockstep collector against trials collected one by one."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import QNetwork, TrialEnv, collect_trials
from mpn_lab.tasks.rollout import make_envs
from mpn_lab.tasks.streams import TrialStream

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


def test_the_correct_response_is_the_last_ground_truth_that_is_one():
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


def test_a_class_or_a_function_makes_an_environment_for_every_slot():
    """With the trials of the id, whichever way the environments are made."""
    by_id = make_envs("GoNogo-v0", {"dt": 50}, 3, (3,))
    for task in (type(by_id[0].task), lambda dt: gym.make("GoNogo-v0", dt=dt).unwrapped):
        made = make_envs(task, {"dt": 50}, 3, (3,))
        assert len({id(env.task) for env in made}) == 3
        for env, expected in zip(made, by_id, strict=True):
            assert env.dt == expected.dt == 50
            np.testing.assert_array_equal(env.task.ob, expected.task.ob)


TAKES_SEVERAL = {
    "make_envs": lambda task: make_envs(task, {}, 2, (0,)),
    "record": lambda task: mpn_lab.record(QNetwork(4, 2, hidden_size=4), task, trials=2),
    "evaluate": lambda task: mpn_lab.evaluate(QNetwork(4, 2, hidden_size=4), task, trials=2),
    "TrialStream": lambda task: TrialStream(task, 2),
}


@pytest.mark.parametrize("use", TAKES_SEVERAL)
def test_one_environment_for_several_slots_is_refused(use):
    """Made already, or made once by a function: every slot would step the same one."""
    one = gym.make("CartPole-v1")
    with pytest.raises(ValueError, match=r"task is one TimeLimit object.* give the id") as made:
        TAKES_SEVERAL[use](one)
    with pytest.raises(ValueError, match="CartPole-v1 returns the same environment") as shared:
        TAKES_SEVERAL[use](lambda: one)
    assert "\n" not in str(made.value) + str(shared.value)
    assert TrialEnv(one, seed=0).task is one.unwrapped  # where one is enough, it will do


def test_a_trial_that_is_cut_has_no_terminal_step():
    env = TrialEnv("CartPole-v1", seed=0, max_steps=4)
    trial = collect_trials([env], network_for(env), 0.0, np.random.default_rng(0))[0]
    assert trial.terminated.tolist() == [False] * 4
