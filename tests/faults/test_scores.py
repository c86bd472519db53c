"""Scores mean what they say: nothing unknown counts as wrong, and no score depends on the layout.

The oracle accuracy of a few tasks is compared over layouts; MPN_LAB_ALL_TASKS=1 compares it for all
of neurogym's.
"""

import itertools
import json
import math
import os

import gymnasium as gym
import neurogym as ngym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from neurogym.wrappers import PassReward, SideBias, TrialHistoryV2

import mpn_lab
from mpn_lab import TrialEnv, describe_task, evaluate, trainable_tasks
from mpn_lab.analysis import performance_by
from mpn_lab.plotting.view import outcome, trial_title, verdict
from mpn_lab.tasks import ideal
from mpn_lab.tasks.ceiling import known_faults
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.tasks.rollout import Trial, make_envs, mean_performance, rollout
from mpn_lab.training.config import StopConfig, SupervisedConfig
from mpn_lab.training.evaluate import summarise
from mpn_lab.training.horizon import mean_trial_length
from mpn_lab.training.supervised import SupervisedTrainer
from mpn_lab.training.trainer import _postfix

ALL = sorted({*trainable_tasks()} - {"mpn_lab/ContinuousIntegration-v0"})
YANG = [name for name in ALL if name.startswith("yang19")]
LAYOUTS = (1, 4, 25, 250)  # numbers of environments over which the same number of trials is spread
FORMERLY_WRONG = [
    *("GoNogo-v0", "DelayPairedAssociation-v0", "HierarchicalReasoning-v0", "yang19.go-v0"),
    *("yang19.dlyanti-v0", "perceptualdecisionmaking.roitman02-v0", "DelayMatchSample-v0"),
]


class Always:
    """Takes the same action at every step."""

    def __init__(self, action, n_actions):
        self.q = torch.eye(n_actions)[action]

    def step(self, obs, state):
        return self.q.expand(len(obs), -1), None

    def select_state(self, state, index):
        return None

    def join_states(self, states):
        return None


def run(env, act, trials=1):
    """The last infos of trials, and what the environment itself called its ground truth."""
    found = []
    for _ in range(trials):
        env.reset()
        theirs, ended = [], False
        while not ended:
            _, _, terminated, cut, info = env.step(act(env, len(theirs)))
            theirs.append(info.get("gt"))
            ended = terminated or cut
        found.append((info, theirs))
    return found


def follow(env, t):
    """The action that the ground truth asks for."""
    truth = env.planned_ground_truth
    return int(truth[t]) if truth is not None and t < len(truth) else 0


def first_trials(task, n, **task_kwargs):
    """The first trial of each of n environments, fixating."""
    envs = make_envs(task, task_kwargs, n, (3, 1))
    return rollout(envs, Always(0, len(envs[0].actions)), n)


def network(env):
    generator = torch.Generator().manual_seed(0)
    d, actions = len(env.channels), len(env.actions)
    return mpn_lab.QNetwork(d, actions, hidden_size=4, generator=generator)


# What is unknown


UNJUDGED = ("Bandit-v0", "Null-v0", "ToneDetection-v0", "CartPole-v1")


@pytest.mark.parametrize("task", UNJUDGED)
def test_a_task_that_judges_no_trial_has_a_return_and_no_accuracy(task):
    env = TrialEnv(task, seed=0)
    result = evaluate(Always(0, len(env.actions)), task, trials=30)
    assert math.isnan(result.accuracy)
    assert all(math.isnan(end) for end in result.accuracy_ci95)
    assert (result.judged, result.ceiling, result.ceiling_accuracy) == (0, "none", None)
    assert (result.ideal_accuracy, result.ratio) == (None, None)
    assert math.isfinite(result.mean_return)
    assert json.loads(result.model_dump_json())["accuracy"] is None
    assert describe_task(task, trials=5).oracle_accuracy is None


def test_a_record_says_unknown_not_wrong():
    env = TrialEnv("Bandit-v0", seed=0)
    record = mpn_lab.record(network(env), "Bandit-v0", trials=8)
    assert np.isnan(record["correct"]).all()
    assert np.isnan(record["performance"]).all()
    assert (record["correct_response"] == -1).all()
    assert record.attrs["ceiling"] == "none"
    total = record["reward"].sum("time").values
    for i in range(8):
        assert verdict(record, i) == ""
        assert outcome(record, i) == f"return {total[i]:.3g}"
        assert f"(return {total[i]:.3g})" in trial_title(record, i)
    assert np.isnan(performance_by(record, "response")["share"]).all()


def test_an_explorer_of_unjudged_trials_offers_no_verdicts():
    env = TrialEnv("Bandit-v0", seed=0)
    explorer = mpn_lab.TrialExplorer(mpn_lab.record(network(env), "Bandit-v0", trials=8))
    assert "outcome" not in explorer._header["conditions"]
    assert all("return" in label and "wrong" not in label for label in explorer._header["labels"])


def trial(performance, reward=1.0):
    one = np.ones(1)
    return Trial(one[:, None], one, reward * one, one, performance=performance)


def test_trials_that_are_not_judged_count_for_the_return_alone():
    env = TrialEnv("GoNogo-v0", seed=0)
    mixed = [trial(1.0), trial(math.nan, 5.0), trial(0.0), trial(math.nan)]
    result = summarise(env, mixed)
    assert (result.trials, result.judged, result.accuracy) == (4, 2, 0.5)
    assert result.mean_return == 2
    assert result.accuracy_ci95 == summarise(env, [trial(1.0), trial(0.0)]).accuracy_ci95
    graded = summarise(env, [trial(0.25), trial(0.75), trial(math.nan)])
    assert graded.accuracy == 0.5
    assert all(math.isnan(end) for end in summarise(env, [trial(0.25)]).accuracy_ci95)


def test_shares_by_condition_leave_out_what_is_unknown():
    env = TrialEnv("DelayMatchSample-v0", seed=0)
    record = mpn_lab.record(network(env), "DelayMatchSample-v0", trials=12)
    side = np.repeat([0, 1, 2], 4)
    correct = np.array([1, 0, np.nan, 1, np.nan, 1, 1, 0, *[np.nan] * 4])
    changed = record.assign_coords(
        side=("trial", side),
        correct=("trial", correct == 1),  # as version 0.1 had it: unknown, and not correct
        performance=("trial", correct),
    )
    result = performance_by(changed, "side")
    np.testing.assert_allclose(result["share"], [2 / 3, 2 / 3, np.nan])
    assert result["trials"].values.tolist() == [3, 3, 0]
    judged = performance_by(changed.isel(trial=np.flatnonzero(~np.isnan(correct))), "side")
    for name in ("low", "high", "ideal"):
        np.testing.assert_array_equal(result[name][:2], judged[name])


def test_a_graded_performance_is_neither_correct_nor_wrong():
    env = TrialEnv("Reaching1D-v0", seed=0)
    record = mpn_lab.record(network(env), "Reaching1D-v0", trials=6)
    performance = record["performance"].values
    graded = (performance > 0) & (performance < 1)
    assert graded.any()
    np.testing.assert_array_equal(np.isnan(record["correct"]), graded)
    i = int(graded.argmax())
    assert verdict(record, i) == f"performance {performance[i]:.2f}"


def test_progress_and_monitor_show_the_return_where_the_accuracy_is_unknown(short_config):
    config = short_config(task="Bandit-v0", trials=75, eval_freq=25)
    monitor, words = mpn_lab.TrainingMonitor(config), []
    run = mpn_lab.train(
        config,
        out=False,
        progress=False,
        on_row=lambda row: (monitor(row), words.append(_postfix(row))),
    )
    assert run.metrics["accuracy"].isna().all()
    assert "nan" not in str(words)
    assert all("accuracy" not in one and "return" in one for one in words)
    assert f"return {run.metrics['mean_return'].iloc[-1]:.3g} after 75" in monitor.description
    titles = [panel["title"] for panel in monitor._overview["header"]["panels"]]
    assert "accuracy" not in titles
    assert "trial return" in titles


def stopped(rows, **rules):
    """Whether a supervised training with these rows of metrics is over."""
    trainer = object.__new__(SupervisedTrainer)
    stop = StopConfig(min_updates=0, window=2, **rules)
    trainer.config, trainer.trials = SupervisedConfig(stop=stop), 0
    trainer.rows = [
        {"accuracy": accuracy, "mean_return": value, "updates": k}
        for k, (accuracy, value) in enumerate(rows)
    ]
    return trainer.finished


def test_early_stopping_goes_by_the_return_where_the_accuracy_is_unknown():
    rising = [(math.nan, float(k)) for k in range(6)]
    assert not stopped(rising, patience=2)  # a return of 5 is no accuracy of 500 %
    assert stopped([*rising, (math.nan, 4.0), (math.nan, 4.0)], patience=2)
    assert stopped([(0.5, 0.0), (math.nan, 0.0), (1.0, 0.0), (math.nan, 9.0)], accuracy=1.0)
    assert not stopped([(0.5, 0.0), (math.nan, 0.0), (math.nan, 0.0)], accuracy=1.0)


# Accuracy and the layout of the trials


@pytest.mark.parametrize("task", ["GoNogo-v0", "DelayPairedAssociation-v0"])
def test_every_trial_of_an_environment_can_count(task):
    """Also a later one in which withholding the response is correct."""
    infos = [info for info, _ in run(TrialEnv(task, seed=0), follow, 30)]
    assert [info["performance"] for info in infos] == [1] * 30
    withheld = [not info["ground_truth"].any() for info in infos]
    assert 5 < sum(withheld) < 25
    wrong = [info for info, _ in run(TrialEnv(task, seed=0), lambda env, t: 1, 30)]
    assert [info["performance"] == 0 for info in wrong] == [
        not info["ground_truth"].any() for info in wrong
    ]


def oracle_accuracy(task, n_envs, trials):
    """The share of trials that are correct if the ground truth is followed; None without one."""
    envs = make_envs(task, {}, n_envs, (5, n_envs))
    try:
        found = rollout(envs, ExpertPolicy(envs), trials)
    except ValueError:  # the ground truth is not an action
        return None
    return mean_performance(found)


def assert_equal_within_interval(shares, trials):
    mean = float(np.mean(shares))
    spread = 4 * math.sqrt(mean * (1 - mean) / trials)  # four standard errors
    assert max(abs(share - mean) for share in shares) <= spread + 1e-12, shares


WHOLE = bool(os.environ.get("MPN_LAB_ALL_TASKS"))


@pytest.mark.parametrize("task", ALL if WHOLE else FORMERLY_WRONG)
def test_oracle_accuracy_does_not_depend_on_the_number_of_environments(task):
    layouts, trials = (LAYOUTS, 500) if WHOLE else ((1, 25), 50)
    shares = [oracle_accuracy(task, n, trials) for n in layouts]
    if shares[0] is None or math.isnan(shares[0]):
        assert task not in FORMERLY_WRONG
        return
    assert_equal_within_interval(shares, trials)
    if not known_faults(TrialEnv(task, seed=0)):
        assert min(shares) == 1  # whoever knows the ground truth is never wrong


# Rules and blocks that outlive a trial


def test_many_environments_show_the_tasks_own_blocks():
    hierarchical = first_trials("HierarchicalReasoning-v0", 100)
    assert 0.3 < np.mean([one.conditions["rule"] for one in hierarchical]) < 0.7
    two_step = first_trials("DawTwoStep-v0", 100)
    assert 0.3 < np.mean([one.conditions["hi_state"] for one in two_step]) < 0.7
    go = first_trials("yang19.go-v0", 100)
    modality = [one.obs[:, 1:17].any() for one in go]
    assert 0.3 < np.mean(modality) < 0.7
    ages = [one.conditions["block_trial"] for one in first_trials("mpn_lab/ReversalBandit-v0", 400)]
    assert np.mean(ages) == pytest.approx(19, abs=4)  # 0.95 / 0.05
    assert min(ages) == 0


@pytest.mark.slow
def test_blocks_of_a_schedule_of_ninety_trials():
    """Each block favours one side by 0.8 to 0.2; over many environments both sides are equal."""
    trials = first_trials("perceptualdecisionmaking.ibl20-v0", 300)
    truth = np.array([one.correct_response for one in trials])
    assert 0.4 < np.mean(truth == 1) < 0.6


@pytest.mark.parametrize(
    "task",
    [
        *("HierarchicalReasoning-v0", "DawTwoStep-v0", "yang19.dms-v0"),
        lambda: PassReward(ngym.make("yang19.rtgo-v0")),
        lambda: SideBias(ngym.make("GoNogo-v0"), [[0.9, 0.1], [0.1, 0.9]], block_dur=(3, 6)),
        lambda: TrialHistoryV2(ngym.make("GoNogo-v0"), np.array([[0.9, 0.1], [0.1, 0.9]])),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_modes")
def test_the_seed_fixes_blocks_and_schedules(task):
    """Whatever came before, in another environment too; and another seed gives other trials."""

    def trials(env, seed):
        env.reset(seed=seed)
        infos = [info for info, _ in run(env, follow, 20)]
        for info in infos:
            info["trial"].pop("transition", None)  # DawTwoStep never sets its first entry
        return [repr((info["trial"], info["ground_truth"])) for info in infos]

    one, two = TrialEnv(task, seed=0), TrialEnv(task, seed=9)
    first = trials(one, 4)
    other = trials(one, 5)
    assert trials(two, 4) == trials(one, 4) == first
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 20


class Blocks(gym.Env):
    """One of two rules for eight trials each; gymnasium's own kind of environment."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2)
    trials_per_block = 8

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = 0 if seed is not None else self.n + 1
        self.trial = {"rule": self.n // 8 % 2}
        return np.zeros(1, np.float32), {}

    def step(self, action):
        correct = float(action == self.trial["rule"])
        return np.zeros(1, np.float32), correct, True, False, {"performance": correct}


def test_a_task_of_ones_own_declares_how_long_its_blocks_last():
    rules = [one.conditions["rule"] for one in first_trials(Blocks, 200)]
    assert 0.35 < np.mean(rules) < 0.65
    again = [one.conditions["rule"] for one in first_trials(Blocks, 200)]
    assert rules == again
    longer = [one.conditions["rule"] for one in first_trials(Blocks, 20)]
    assert longer == rules[:20]

    class Independent(Blocks):
        trials_per_block = 0

    assert not any(one.conditions["rule"] for one in first_trials(Independent, 20))

    class Wrong(Blocks):
        trials_per_block = -3

    with pytest.raises(
        ValueError, match=r"trials_per_block of Wrong is -3; expected a whole .*\.$"
    ):
        TrialEnv(Wrong, seed=0)


@pytest.mark.parametrize("task", ["HierarchicalReasoning-v0", "yang19.go-v0"])
def test_a_shorter_record_is_the_beginning_of_a_longer_one(task):
    net = network(TrialEnv(task, seed=0))
    short, long = (mpn_lab.record(net, task, trials=n) for n in (4, 9))
    n = short.sizes["time"]
    assert short.obs.equals(long.obs.isel(trial=slice(4), time=slice(n)))
    assert short.ground_truth.equals(long.ground_truth.isel(trial=slice(4), time=slice(n)))


# Ground truth


def wrapped(wrap, task):
    return lambda: wrap(ngym.make(task))


TRUTHS = [
    *(name for name in ALL if not name.startswith("mpn_lab") and name not in UNJUDGED),
    wrapped(PassReward, "yang19.dms-v0"),
    wrapped(
        lambda env: gym.wrappers.TransformObservation(env, lambda obs: 2 * obs), "yang19.go-v0"
    ),
]


@pytest.mark.filterwarnings("ignore:.*render_modes")
@pytest.mark.parametrize("task", TRUTHS)
def test_ground_truth_is_that_of_its_own_trial(task):
    """Step by step what neurogym reports with each step, also where two tasks take turns."""
    env = TrialEnv(task, seed=2)
    steps = 0
    for act in (follow, lambda env, t: 0):
        for info, theirs in run(env, act, 6):
            truth = info["ground_truth"]
            if truth is None:
                continue
            n = min(len(truth), len(theirs))
            # ReactionTime writes the response of the stimulus period in a trial's first step.
            assert truth[:n].tolist() == [int(one) for one in theirs[:n]]
            steps += n
    named = {"Reaching1D-v0", "Reaching1DWithSelfDistraction-v0", "DawTwoStep-v0"}
    assert steps or task in named | {"EconomicDecisionMaking-v0"}


@pytest.mark.parametrize("task", YANG)
def test_two_environments_of_one_seed_agree(task):
    one, two, other = (TrialEnv(task, seed=seed) for seed in (3, 3, 4))
    a, b, c = ([info for info, _ in run(env, follow, 12)] for env in (one, two, other))
    for mine, same in zip(a, b, strict=True):
        np.testing.assert_array_equal(mine["planned_obs"], same["planned_obs"])
        np.testing.assert_array_equal(mine["ground_truth"], same["ground_truth"])
    assert any(
        not np.array_equal(x["planned_obs"], y["planned_obs"]) for x, y in zip(a, c, strict=True)
    )


def test_the_two_tasks_of_a_schedule_are_independent():
    """Seeded alike, they would show every stimulus twice, once in each modality."""
    infos = [
        info["trial"]["ground_truth"] for info, _ in run(TrialEnv("yang19.go-v0", 1), follow, 80)
    ]
    pairs = [a == b for a, b in itertools.pairwise(infos)]
    assert np.mean(pairs) < 0.25  # one in 16


def test_observations_are_those_of_the_trial_that_has_begun():
    for task in ("yang19.go-v0", "yang19.dms-v0"):
        env = TrialEnv(task, seed=1)
        for _ in range(8):
            obs, _ = env.reset()
            seen, ended = [obs], False
            while not ended:
                obs, _, ended, _, info = env.step(0)
                seen.append(obs)
            np.testing.assert_array_equal(np.stack(seen[:-1]), info["planned_obs"])


def test_the_first_observation_after_seeding_is_complete():
    """Reaching1D adds its own position to an observation as it is returned."""
    env = TrialEnv("Reaching1D-v0", seed=0)
    firsts = [env.reset(seed=1)[0]]
    for _ in range(3):
        run(env, lambda env, t: 0)
        firsts.append(env.reset()[0])
    for first in firsts:
        np.testing.assert_array_equal(first, firsts[0])
        assert first[16:].any()


def test_periods_are_those_of_the_trial():
    """neurogym keeps the sure target's onset of an earlier trial that offered one."""
    infos = [info for info, _ in run(TrialEnv("PostDecisionWager-v0", seed=0), follow, 20)]
    offered = [bool(info["trial"]["wager"]) for info in infos]
    assert 0 < sum(offered) < 20
    assert ["pre_sure" in info["periods"] for info in infos] == offered


# Ceilings


@pytest.fixture
def observers(monkeypatch):
    monkeypatch.setattr(ideal, "_OBSERVERS", dict(ideal._OBSERVERS))


def correct(env, trial):
    return [trial.correct_response or 0]


def test_an_ideal_observer_gives_a_ratio_and_an_oracle_does_not():
    ideal_one = evaluate(Always(1, 3), "PerceptualDecisionMaking-v0", trials=60)
    assert ideal_one.ceiling == "ideal observer"
    assert ideal_one.ceiling_accuracy == ideal_one.ideal_accuracy < 1
    assert ideal_one.ratio == ideal_one.accuracy / ideal_one.ideal_accuracy
    oracle = evaluate(Always(1, 3), "DelayComparison-v0", trials=60)
    assert (oracle.ceiling, oracle.ceiling_accuracy) == ("oracle", 1)
    assert (oracle.ideal_accuracy, oracle.ratio) == (None, None)
    task = describe_task("DelayComparison-v0", trials=5)
    assert (task.ceiling, task.ceiling_accuracy, task.ideal_accuracy) == ("oracle", 1, None)


class GoNoGo(gym.Env):
    """One of two cues: respond to the one at the last step, fixate to the end at the other."""

    observation_space, action_space = spaces.Box(0, 1, (2,)), spaces.Discrete(2)
    has_truth = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.go = 0, int(self.np_random.integers(2))
        if self.has_truth:
            self.gt = np.array([0, 0, self.go])
        return np.eye(2, dtype=np.float32)[self.go], {}

    def step(self, action):
        correct = float(action == (self.go if self.t == 2 else 0))
        self.t += 1
        return np.eye(2, dtype=np.float32)[self.go], correct, self.t == 3, False, {
            "performance": correct
        }  # fmt: skip


class WithoutTruth(GoNoGo):
    has_truth = False


@pytest.fixture
def go_nogo(monkeypatch, observers):
    """The ids of both, with an observer that is always right."""
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    ids = []
    for task in (GoNoGo, WithoutTruth):
        ids.append(f"mine/{task.__name__}-v0")
        gym.register(ids[-1], task)
        mpn_lab.register_observer(ids[-1], lambda env, trial: [int(trial.obs[0].argmax())])
    return ids


def test_an_observer_may_say_that_fixating_is_correct(go_nogo):
    described = describe_task(go_nogo[0], trials=20)
    assert (described.ceiling_accuracy, described.oracle_accuracy) == (1, 1)
    result = evaluate(Always(0, 2), go_nogo[0], trials=60)
    assert (result.ideal_accuracy, result.ratio) == (1, result.accuracy)
    assert 0.3 < result.accuracy < 0.7


def test_an_observers_accuracy_is_unknown_where_the_correct_action_is(go_nogo):
    result = evaluate(Always(0, 2), go_nogo[1], trials=60)
    assert (result.ceiling, result.ceiling_accuracy, result.ideal_accuracy) == ("none", None, None)
    assert 0.3 < result.accuracy < 0.7
    described = describe_task(go_nogo[1], trials=5)
    assert (described.ceiling, described.ceiling_accuracy) == ("none", None)


@pytest.mark.usefixtures("observers")
def test_a_best_known_strategy_is_no_ideal_observer():
    mpn_lab.register_observer("IntervalDiscrimination-v0", correct, kind="best known")
    result = evaluate(Always(1, 3), "IntervalDiscrimination-v0", trials=40)
    assert (result.ceiling, result.ceiling_accuracy) == ("best known", 1)
    assert (result.ideal_accuracy, result.ratio) == (None, None)
    task = describe_task("IntervalDiscrimination-v0", trials=5)
    assert (task.ceiling, task.ceiling_accuracy, task.ideal_accuracy) == ("best known", 1, None)
    env = TrialEnv("IntervalDiscrimination-v0", seed=0)
    record = mpn_lab.record(network(env), "IntervalDiscrimination-v0", trials=3)
    assert record.attrs["ceiling"] == "best known"
    assert (record["ideal_response"] == -1).all()
    with pytest.raises(ValueError, match="kind is 'oracle'; expected 'ideal observer' or 'best"):
        mpn_lab.register_observer("GoNogo-v0", correct, kind="oracle")


FAULTY = {
    "PostDecisionWager-v0": "one below the ground truth",
    "ReadySetGo-v0": "one step late",
    "Reaching1D-v0": "cut to a whole number",
    "Reaching1DWithSelfDistraction-v0": "cut to a whole number",
    "DualDelayMatchSample-v0": "either of its two tests",
    "ToneDetection-v0": "No response is rewarded",
    **{f"yang19.{name}-v0": "counts as wrong" for name in ("dms", "dnms", "dmc", "dnmc")},
}


@pytest.mark.parametrize("task", FAULTY)
def test_known_faults_are_named_and_no_ceiling_is_made_of_them(task):
    described = describe_task(task, trials=5)
    (sentence,) = described.known_faults
    assert FAULTY[task] in sentence
    assert sentence.endswith(".")
    assert (described.oracle_accuracy, described.ceiling) == (None, "none")
    record = mpn_lab.record(network(TrialEnv(task, seed=0)), task, trials=2)
    assert json.loads(record.attrs["known_faults"]) == [sentence]
    assert record.attrs["ceiling"] == "none"


def test_the_faults_are_in_neurogym():
    """If one is mended there, its sentence must go."""

    def returns(task, act):
        env, total = TrialEnv(task, seed=0), []
        for _ in range(40):
            env.reset()
            total.append(0.0)
            ended = False
            t = 0
            while not ended:
                _, reward, ended, _, _ = env.step(act(env, t))
                total[-1] += reward
                t += 1
        return np.array(total)

    assert returns("PostDecisionWager-v0", follow).max() <= 0
    wager = TrialEnv("PostDecisionWager-v0", seed=0)
    below = [
        info["performance"] for info, _ in run(wager, lambda e, t: max(0, follow(e, t) - 1), 40)
    ]
    assert set(below) == {0, 1}  # the second choice is rewarded for the action of the first

    late = returns("ReadySetGo-v0", follow)
    earlier = returns("ReadySetGo-v0", lambda e, t: int(follow(e, t + 1)))
    assert late.max() < 0.7
    assert earlier.min() > 0.99

    one_test = [
        info["performance"]
        for info, _ in run(
            TrialEnv("DualDelayMatchSample-v0", seed=0),
            lambda e, t: 3 - follow(e, t) if follow(e, t) and t >= 35 else follow(e, t),
            20,
        )
    ]
    assert one_test == [1] * 20  # the second test was answered wrongly

    for task in ("Reaching1D-v0", "Reaching1DWithSelfDistraction-v0"):
        env = TrialEnv(task, seed=0)
        env.reset()
        assert (
            env.task.gt[-1] == int(env.task.trial["ground_truth"]) != env.task.trial["ground_truth"]
        )

    assert not any(returns("ToneDetection-v0", lambda e, t: t % 4))
    infos = [info for info, _ in run(TrialEnv("yang19.dms-v0", seed=0), follow, 40)]
    assert [info["performance"] == 1 for info in infos] == [
        info["ground_truth"].any() for info in infos
    ]


# A task that ends no trial


class Endless(Blocks):
    trials_per_block = 0

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_a_task_whose_every_trial_would_be_cut_is_refused(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    gym.register("mine/Endless-v0", Endless)
    with pytest.raises(ValueError, match="mine/Endless-v0 ends no trial within 10,000 steps"):
        mpn_lab.train(mpn_lab.TrainConfig(task="mine/Endless-v0"), out=False, progress=False)

    class OnResponse(Endless):  # ends as soon as there is a response, and never without
        def step(self, action):
            return np.zeros(1, np.float32), 0.0, action == 1, False, {}

    gym.register("mine/OnResponse-v0", OnResponse)
    assert mean_trial_length(mpn_lab.TrialEnv("mine/OnResponse-v0", seed=0)) < 5
