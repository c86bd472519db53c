"""The reversal bandit: what it shows, pays and marks, and how well it can be done."""

import gymnasium as gym
import numpy as np
import pytest

from mpn_lab import TrainConfig, TrialEnv, describe_task, ideal_accuracy, train
from mpn_lab.tasks.bandit import REVERSAL_BANDIT
from mpn_lab.tasks.rollout import Trial


def run_trial(env, choose):
    """A trial; `choose` gives the action at the choice, [T] all else is fixation."""
    obs, _ = env.reset()
    seen, rewards = [obs], []
    while True:
        action = choose if obs[1] else 0
        obs, reward, ended, _, info = env.step(action)
        rewards.append(reward)
        if ended:
            return np.stack(seen), rewards, info
        seen.append(obs)


def test_names_periods_and_ground_truth():
    env = TrialEnv(REVERSAL_BANDIT, seed=0)
    assert env.channels == ["fixation", "go", "arm_1", "arm_2", "paid"]
    assert env.actions == ["fixation", "arm_1", "arm_2"]
    assert env.dt == 100
    _, _, info = run_trial(env, 1)
    assert info["periods"] == {"fixation": (0, 2), "choice": (2, 3), "feedback": (3, 5)}
    better = info["trial"]["better_arm"]
    assert info["ground_truth"].tolist() == [0, 0, better, 0, 0]
    assert info["performance"] == (better == 1)


def test_only_the_feedback_shows_the_payment():
    env = TrialEnv(REVERSAL_BANDIT, seed=0)
    for i in range(50):
        arm = 1 + i % 2
        obs, rewards, _ = run_trial(env, arm)
        assert obs[:3].tolist() == [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
        feedback = [1, 0, int(arm == 1), int(arm == 2), 1 if rewards[2] else -1]
        assert obs[3:].tolist() == [feedback, feedback]
    obs, rewards, info = run_trial(env, 0)  # no choice, no feedback
    assert rewards == [0] * 5
    assert obs[3:].tolist() == [[1, 0, 0, 0, 0]] * 2
    assert info["performance"] == 0


def test_arms_pay_and_swap_with_the_given_probabilities():
    env = TrialEnv(REVERSAL_BANDIT, seed=1, p=0.8, reversal=0.1)
    trials = [run_trial(env, 1) for _ in range(3000)]
    better = np.array([info["trial"]["better_arm"] for *_, info in trials])
    paid = np.array([rewards[2] for _, rewards, _ in trials])
    assert paid[better == 1].mean() == pytest.approx(0.8, abs=0.03)
    assert paid[better == 2].mean() == pytest.approx(0.2, abs=0.03)
    assert (better[1:] != better[:-1]).mean() == pytest.approx(0.1, abs=0.02)
    starts = [info["trial"]["block_trial"] == 0 for *_, info in trials]
    assert starts[1:] == (better[1:] != better[:-1]).tolist()


def test_payments_are_drawn_independently_of_the_choices():
    def better(choose):
        env = TrialEnv(REVERSAL_BANDIT, seed=3)
        infos = [run_trial(env, choose)[2]["trial"] for _ in range(40)]
        return [info["better_arm"] for info in infos]

    assert better(0) == better(1) == better(2)


def test_belief_is_bayes_over_all_histories():
    """Against the sum over every sequence of better arms, written out."""
    p, r, T = 0.8, 0.1, 7
    env = TrialEnv(REVERSAL_BANDIT, seed=2, p=p, reversal=r)
    rng = np.random.default_rng(0)
    choices = rng.integers(0, 3, T).tolist()
    trials = [run_trial(env, arm) for arm in choices]
    paid = [bool(rewards[2]) for _, rewards, _ in trials]
    for t in range(T):
        weight = np.zeros(3)
        for code in range(2 ** (t + 1)):
            arms = [1 + (code >> i) % 2 for i in range(t + 1)]
            w = 0.5
            for i in range(t):
                w *= r if arms[i + 1] != arms[i] else 1 - r
                if choices[i]:
                    w *= p if (choices[i] == arms[i]) == paid[i] else 1 - p
            weight[arms[t]] += w
        expected = weight[1] / weight.sum()
        assert trials[t][2]["trial"]["belief"] == pytest.approx(expected)


def test_ideal_observer_is_between_chance_and_certainty():
    task = describe_task(REVERSAL_BANDIT, trials=100)
    assert task.oracle_accuracy == 1
    assert 0.86 < task.ideal_accuracy < 0.92
    env = TrialEnv(REVERSAL_BANDIT, seed=0)
    one = np.zeros(1)
    truth = np.array([0, 0, 2, 0, 0])
    trial = Trial(one, one, one, one, {"belief": 0.3}, ground_truth=truth)
    assert ideal_accuracy(env, [trial]) == 1


def test_gymnasium_knows_it_and_a_near_miss_is_named():
    assert gym.make(REVERSAL_BANDIT, p=0.7).unwrapped.p == 0.7
    with pytest.raises(ValueError, match="did you mean mpn_lab/ReversalBandit-v0"):
        TrialEnv("mpn_lab/ReversalBandits-v0")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"p": 0.5}, "p is 0.5; expected more than 0.5"),
        ({"reversal": 0.6}, "reversal is 0.6; expected 0 to 0.5"),
        ({"dt": 0}, "dt is 0; expected more than 0"),
        ({"feedback": 50}, "feedback 50 ms"),
    ],
)
def test_bad_arguments(bad, words):
    with pytest.raises(ValueError, match=words):
        TrialEnv(REVERSAL_BANDIT, **bad)


@pytest.mark.slow
def test_carrying_the_state_helps(tmp_path):
    config = TrainConfig(task=REVERSAL_BANDIT, trials=1000, batch_size=16)
    carried = config.model_copy(update={"reset_state": "episode", "trials_per_episode": 25})
    reset = train(config, tmp_path / "reset", progress=False).evaluate(trials=2000, seed=1)
    result = train(carried, tmp_path / "carried", progress=False).evaluate(trials=2000, seed=1)
    assert reset.accuracy < 0.55
    assert result.ratio > 0.9
