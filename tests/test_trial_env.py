"""One trial as one episode: neurogym's traps one by one, and gymnasium's own environments."""

import functools

import gymnasium as gym
import neurogym as ngym
import numpy as np
import pytest
from gymnasium import spaces

from mpn_lab import TrainConfig, TrialEnv, train
from mpn_lab.tasks.catalog import trainable_tasks
from mpn_lab.tasks.registration import check_task, task_module

TASKS = ("DelayMatchSample-v0", "PerceptualDecisionMaking-v0", "ContextDecisionMaking-v0")
ALL_TASKS = trainable_tasks()


def run_trial(env, rng, epsilon=1.0):
    """A trial of random actions: obs, actions, rewards and the last info."""
    obs, _ = env.reset()
    seen, actions, rewards = [obs], [], []
    while True:
        action = int(rng.integers(env.action_space.n)) if rng.random() < epsilon else 0
        obs, reward, terminated, truncated, info = env.step(action)
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            return np.stack(seen), actions, rewards, info, obs
        seen.append(obs)


def several(env, seed, trials=12):
    env.reset(seed=seed)
    rng = np.random.default_rng(0)
    return [run_trial(env, rng) for _ in range(trials)]


@pytest.mark.parametrize("task", ALL_TASKS)
def test_seed_in_reset_fixes_the_trials(task):
    env = TrialEnv(task, seed=0)
    one, other, two = several(env, 3), several(env, 4), several(env, 3)
    three = several(TrialEnv(task, seed=9), 3)
    for again in (two, three):
        for a, b in zip(one, again, strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            assert a[1:3] == b[1:3]
    stochastic = task not in ("Null-v0", "Bandit-v0", "DawTwoStep-v0")
    if stochastic:
        assert any(not np.array_equal(a[0], b[0]) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_first_observation_is_the_trials_own(task):
    env = TrialEnv(task, seed=1)
    for _ in range(5):
        obs, _ = env.reset()
        np.testing.assert_array_equal(obs, env.task.ob[0].astype(np.float32))
        assert env.task.t_ind == 0
        for _ in range(3):  # and so after a reset in mid-trial
            env.step(0)


@pytest.mark.filterwarnings("ignore:.*render_modes")
@pytest.mark.parametrize("task", TASKS)
def test_trial_ends_where_neurogym_says_and_nothing_leaks_in(task):
    """Step a second copy of the task by hand, by neurogym's own rules."""
    env, rng = TrialEnv(task, seed=5), np.random.default_rng(0)
    env.reset(seed=5)
    raw = ngym.make(task).unwrapped
    raw.seed(5)
    raw.new_trial()  # the one that reset(seed=5) began and nobody stepped
    raw.new_trial()
    for _ in range(20):
        planned, truth, conditions = raw.ob.copy(), raw.gt.copy(), dict(raw.trial)
        obs, actions, rewards, info, last = run_trial(env, rng, epsilon=0.1)
        for t, action in enumerate(actions):
            np.testing.assert_array_equal(obs[t], planned[t].astype(np.float32))
            _, reward, _, _, raw_info = raw.step(action)
            assert rewards[t] == reward
            assert raw_info["new_trial"] == (t == len(actions) - 1)
        assert not last.any()  # the next trial's observation is not there
        np.testing.assert_array_equal(info["ground_truth"], truth)
        np.testing.assert_array_equal(info["planned_obs"], planned.astype(np.float32))
        assert {k: v for k, v in info["trial"].items() if np.isscalar(v)} == {
            k: v for k, v in conditions.items() if np.isscalar(v)
        }
        assert info["performance"] == raw_info["performance"]
        assert info["gt"] == truth[len(actions) - 1]


def test_exploration_needs_a_generator_of_its_own():
    """Stepping and resetting draw nothing from NumPy's global generator."""
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    several(TrialEnv("ContextDecisionMaking-v0", seed=2), 1)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_decision_observation_is_zero_and_periods_are_known():
    env = TrialEnv("DelayMatchSample-v0", seed=0)
    obs, _, _, info, _ = run_trial(env, np.random.default_rng(0), epsilon=0.0)
    assert list(info["periods"]) == ["fixation", "sample", "delay", "test", "decision"]
    start, end = info["periods"]["decision"]
    assert not obs[start:end].any()
    assert (info["ground_truth"][start:end] > 0).all()
    assert len(obs) == end == 32


def test_names():
    env = TrialEnv("DelayMatchSample-v0", seed=0)
    assert env.channels == ["fixation", "stimulus_1", "stimulus_2"]
    assert env.actions == ["fixation", "match", "non-match"]
    assert env.dt == 100
    cued = TrialEnv("ContextDecisionMaking-v0", seed=0, use_expl_context=True)
    assert cued.channels[-2:] == ["context1", "context2"]
    assert len(cued.channels) == 7


@pytest.mark.filterwarnings("ignore:.*Box observation space")
def test_follows_gymnasiums_own_rules():
    from gymnasium.utils.env_checker import check_env

    check_env(TrialEnv("DelayMatchSample-v0", seed=0), skip_render_check=True)


class Marked(gym.Env):
    """A small environment that marks its trials as neurogym does."""

    def __init__(self, observation_space, action_space=None, length=3):
        self.observation_space = observation_space
        self.action_space = action_space or spaces.Discrete(2)
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        self.log = [self.observation_space.sample()]
        return self.log[0], {}

    def step(self, action):
        self.t += 1
        self.log.append(self.observation_space.sample())
        return self.log[-1], 1.0, False, False, {"new_trial": self.t % self.length == 0}


SPACES = {
    "box": (spaces.Box(0, 1, (2, 2)), ["obs_1", "obs_2", "obs_3", "obs_4"]),
    "discrete": (spaces.Discrete(3), ["obs=0", "obs=1", "obs=2"]),
    "multidiscrete": (
        spaces.MultiDiscrete([2, 3]),
        ["obs_1=0", "obs_1=1", "obs_2=0", "obs_2=1", "obs_2=2"],
    ),
    "dict": (
        spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0, 1, (2,))}),
        ["a=0", "a=1", "b_1", "b_2"],
    ),
    "tuple": (
        spaces.Tuple((spaces.Box(0, 1, (1,)), spaces.Dict({"x": spaces.Discrete(2)}))),
        ["0", "1.x=0", "1.x=1"],
    ),
}


@pytest.mark.parametrize("kind", SPACES)
def test_any_flattenable_observation(kind):
    space, names = SPACES[kind]
    raw = Marked(space)
    env = TrialEnv(raw, seed=1)
    assert env.channels == names
    obs, _ = env.reset(seed=4)
    first = spaces.flatten(space, raw.log[0])
    np.testing.assert_allclose(obs, first, rtol=1e-6)
    for t in range(3):
        obs, _, terminated, _, _ = env.step(0)
        assert terminated == (t == 2)
    # What came with the trial's end is the next trial's first observation, and only that.
    assert not obs.any()
    np.testing.assert_allclose(env.reset()[0], spaces.flatten(space, raw.log[3]), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*render_modes")
def test_wrapped_task_shows_what_the_wrapper_shows():
    class Double(gym.ObservationWrapper):
        def observation(self, obs):
            return 2 * obs

    task = "DelayMatchSample-v0"
    env = TrialEnv(Double(ngym.make(task)), seed=1)
    obs, _, _, info, _ = run_trial(env, np.random.default_rng(0), epsilon=0.0)
    inner = env.task
    assert len(obs) == 32
    assert info["planned_obs"] is None
    np.testing.assert_array_equal(obs[:, 0][:23], np.full(23, 2.0))
    np.testing.assert_array_equal(env.reset()[0], 2 * inner.ob[0])


def test_trial_that_never_ends_is_cut():
    env = TrialEnv(Marked(spaces.Discrete(2), length=1000), seed=0, max_steps=20)
    for _ in range(2):
        env.reset()
        flags = [env.step(0)[2:4] for _ in range(20)]
        assert flags[:-1] == [(False, False)] * 19
        assert flags[-1] == (False, True)


class Episode(gym.Env):
    """Terminates after `length` steps and marks no trials; `info` is added at its last step.

    Observations count the resets, so that a trial's own differ from the next one's.
    """

    observation_space = spaces.Box(0, np.inf, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, length=4, mark=None, **attributes):
        self.length, self.mark, self.seeds = length, mark, []
        vars(self).update(attributes)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.t, self.drawn = 0, self.np_random.random()
        return np.array([len(self.seeds), self.drawn]), {}

    def step(self, action):
        self.t += 1
        ended = self.t == self.length
        info = {} if self.mark is None else {"new_trial": self.mark and ended}
        return np.array([len(self.seeds), self.drawn]), 1.0, ended, False, info


def ends(env, trials):
    """(length, terminated, truncated) of each trial."""
    found = []
    for _ in range(trials):
        env.reset()
        steps, terminated, truncated = 0, False, False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(0)
            steps += 1
        assert {"trial", "performance", "ground_truth", "periods"} <= set(info)
        found.append((steps, terminated, truncated))
    return found


@pytest.mark.parametrize("mark", [None, False, True])
def test_an_episode_is_a_trial_whatever_it_says_of_new_trials(mark):
    env = TrialEnv(Episode(mark=mark), seed=0)
    assert ends(env, 3) == [(4, True, False)] * 3
    first = [env.reset()[0][0]]
    while True:
        obs, _, terminated, _, info = env.step(0)
        if terminated:
            break
        first.append(obs[0])
    assert len(set(first)) == 1  # one reset per trial, and its observations alone
    assert not obs.any()
    assert np.isnan(info["performance"])  # unknown, not wrong
    assert (info["trial"], info["ground_truth"], info["periods"]) == ({}, None, {})
    assert env.reset()[0][0] == first[0] + 1


class MarksTruncation(gym.Wrapper):
    """Marks its trials by `terminated or truncated`."""

    def step(self, action):
        obs, reward, terminated, truncated, _ = self.env.step(action)
        return obs, reward, terminated, truncated, {"new_trial": terminated or truncated}


@pytest.mark.parametrize("wrap", [lambda env: env, MarksTruncation])
def test_a_time_limit_truncates_and_the_next_trial_is_a_whole_one(wrap):
    """What is cut is never read as ended, and the next trial is reset, not one step long."""
    env = TrialEnv(wrap(gym.wrappers.TimeLimit(Episode(length=9), 5)), seed=0)
    assert ends(env, 3) == [(5, False, True)] * 3
    env = TrialEnv(wrap(gym.wrappers.TimeLimit(Episode(length=5), 5)), seed=0)
    assert ends(env, 2) == [(5, True, False)] * 2  # it ended by itself at the limit


def returning(**returned):
    """An episode of three steps that returns something else; reset: what that returns."""

    class Returning(gym.Env):
        observation_space, action_space = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            self.t = 0
            return returned.get("reset", (np.zeros(3, np.float32), {}))

        def step(self, action):
            self.t += 1
            info = returned.get("info", {"performance": returned.get("performance", 1.0)})
            obs = returned.get("obs", np.zeros(3, np.float32))
            whole = obs, returned.get("reward", 1.0), self.t == 3, False, info
            return whole[: returned.get("of_step", 5)]

    return Returning


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"reset": np.zeros(3)}, r"gives a ndarray of shape \(3,\) from reset; expected a tuple"),
        (
            {"reset": (np.zeros(1), {})},
            r"gives the observation a .* \(1,\); expected one of the sp",
        ),
        (
            {"obs": np.zeros(1)},
            r"gives the observation a ndarray of shape \(1,\); expected one of",
        ),
        (
            {"obs": np.zeros((1, 3))},
            r"the observation a ndarray of shape \(1, 3\); expected one of",
        ),
        (
            {"obs": np.zeros(4)},
            r"the observation a ndarray of shape \(4,\); expected one of the sp",
        ),
        ({"obs": None}, "gives the observation None; expected one of the space Box"),
        (
            {"obs": ["a", "b", "c"]},
            r"gives the observation \['a', 'b', 'c'\]; expected one of the sp",
        ),
        ({"reward": None}, "gives the reward None; expected one number per step"),
        ({"reward": np.ones(2)}, "gives the reward a ndarray .*; expected one number per step"),
        ({"info": None}, "gives the info None from step; expected a dict"),
        ({"of_step": 4}, r"from step; expected a tuple \(observation, reward, terminated"),
        ({"performance": "yes"}, "gives the performance 'yes' at a trial's end; expected a number"),
        (
            {"performance": 2.5},
            "gives the performance 2.5 at a trial's end; expected a number from",
        ),
    ],
)
def test_an_environment_that_returns_something_else_is_named(returned, message):
    with pytest.raises(ValueError, match=rf"Returning .*{message}") as caught:
        ends(TrialEnv(returning(**returned), seed=0), 1)
    assert "\n" not in str(caught.value)
    assert "correct the task." in str(caught.value)


def test_an_observation_inside_a_dict_has_its_shape_too():
    class Named(returning()):
        observation_space = gym.spaces.Dict({"a": gym.spaces.Box(-1, 1, (2, 2))})

        def reset(self, *, seed=None, options=None):
            super().reset()
            return {"a": np.zeros(2, np.float32)}, {}

    with pytest.raises(
        ValueError, match=r"gives the observation \{'a': array.*expected one of the"
    ):
        TrialEnv(Named, seed=0)


def test_an_unknown_performance_may_be_none():
    env = TrialEnv(returning(performance=None), seed=0)
    env.reset()
    assert np.isnan([env.step(0) for _ in range(3)][-1][4]["performance"])


def test_a_reset_is_seeded_only_when_the_environment_is():
    raw = Episode()
    env = TrialEnv(raw, seed=3)
    ends(env, 3)
    assert raw.seeds == [3, None, None, None]
    env.reset(seed=8)
    assert raw.seeds[4:] == [8]
    firsts = [[env.reset(seed=8)[0][1]] + [env.reset()[0][1] for _ in range(4)] for _ in range(2)]
    assert firsts[0] == firsts[1]
    assert len(set(firsts[0])) == 5


def test_attributes_of_another_meaning_are_left_alone():
    plain = TrialEnv(Episode(dt=0.2, latent=3.0), seed=0)
    assert plain.dt == 1  # of unknown unit: nothing else says that it follows neurogym
    plain.reset()
    assert [plain.step(0) for _ in range(4)][-1][4]["latent"] == {}
    counting = TrialEnv(Episode(trial=7), seed=0)
    counting.reset()
    assert [counting.step(0) for _ in range(4)][-1][4]["trial"] == {}
    described = TrialEnv(Episode(dt=20, trial={"cue": 1}, gt=[0, 0, 0, 1]), seed=0)
    assert described.dt == 20
    assert described.planned_ground_truth.tolist() == [0, 0, 0, 1]


def test_cartpole_follows_gymnasium_step_by_step():
    env, raw = TrialEnv("CartPole-v1", seed=0), gym.make("CartPole-v1")
    actions = np.random.default_rng(0)
    for trial in range(5):
        seed = 11 if trial == 0 else None
        (obs, _), (expected, _) = env.reset(seed=seed), raw.reset(seed=seed)
        ended = False
        while not ended:
            np.testing.assert_array_equal(obs, expected)
            action = int(actions.integers(2))
            obs, reward, ended, cut, _ = env.step(action)
            expected, *theirs, _ = raw.step(action)
            assert [reward, ended, cut] == theirs


@pytest.mark.filterwarnings("ignore:.*render_modes")
def test_ids_of_environments():
    """The id that makes this very environment, or the name of what did."""

    def noisy():
        return gym.wrappers.TransformObservation(ngym.make("GoNogo-v0"), lambda obs: obs + 1)

    found = {
        "id": TrialEnv("GoNogo-v0", seed=0),
        "object": TrialEnv(ngym.make("GoNogo-v0"), seed=0),
        "function": TrialEnv(lambda: ngym.make("GoNogo-v0"), seed=0),
        "class": TrialEnv(Episode, seed=0),
        "wrapped": TrialEnv(noisy, seed=0),
    }
    assert {kind: (env.task_id, env.registered_id) for kind, env in found.items()} == {
        "id": ("GoNogo-v0", "GoNogo-v0"),
        "object": ("GoNogo-v0", "GoNogo-v0"),
        "function": ("GoNogo-v0", "GoNogo-v0"),
        "class": ("Episode", None),
        "wrapped": ("noisy", None),  # a wrapper makes another task of it
    }


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, "There is no task 'mine/Task-v0'; expected an id registered"),
        ("my_tasks", "is not registered; first import my_tasks, which .*--import my_tasks"),
        ("__main__", "a notebook or script registered it: run that again"),
    ],
)
def test_a_task_that_is_not_registered(module, words):
    with pytest.raises(ValueError, match=words) as caught:
        check_task("mine/Task-v0", module)
    assert "\n" not in str(caught.value)


def test_the_module_of_a_registered_task(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    for name, entry in (
        ("text", "some_module:Some"),
        ("class", Episode),
        ("partial", functools.partial(Episode, length=3)),
    ):
        gym.register(f"mine/{name}-v0", entry)
    modules = {name: task_module(f"mine/{name}-v0") for name in ("text", "class", "partial")}
    assert modules == {"text": "some_module", "class": __name__, "partial": __name__}
    assert "mine/partial-v0" in trainable_tasks()


@pytest.mark.slow
def test_cartpole_is_learned():
    """One episode is one trial, and its return rises."""
    config = TrainConfig(
        task="CartPole-v1", trials=300, batch_size=16, hidden_size=32, core="gru",
        gradient_steps=12, learning_starts=50, learning_rate=0.002, eval_freq=50, eval_trials=20,
    )  # fmt: skip
    metrics = train(config, out=False, progress=False).metrics
    assert metrics.accuracy.isna().all()  # CartPole does not say which trials are correct
    assert metrics.train_return.iloc[0] < 30  # random actions
    assert metrics.train_return.iloc[-1] > 60


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrialEnv("DelayMatchSampel-v0"), "There is no task 'DelayMatchSampel-v0'.*Delay"),
        (lambda: TrialEnv("ReachingDelayResponse-v0"), "has the action space Box.*a Discrete"),
        (lambda: TrialEnv("AnnubesEnv-v0"), "needs the arguments 'session'"),
        (lambda: TrialEnv("DelayMatchSample-v0", foo=1), "takes no argument 'foo'; it takes dt,"),
        (lambda: TrialEnv(lambda: "env"), "<lambda> makes a str; expected an environment"),
        (lambda: TrialEnv(Marked), "Marked needs the argument 'observation_space'"),
        (
            lambda: TrialEnv(Episode, gt=1),
            r"Episode has a gt of shape \(\); expected one number per",
        ),
        (
            lambda: TrialEnv(Marked(spaces.Discrete(2), spaces.Box(0, 1, (1,)))),
            "expected a Discrete one",
        ),
        (
            lambda: TrialEnv(Marked(spaces.Sequence(spaces.Discrete(2)))),
            "which gymnasium cannot flatten",
        ),
        (lambda: TrialEnv(Marked(spaces.Discrete(2)), dt=20), r"task_kwargs \['dt'\] were given"),
    ],
)
def test_unusable_environments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
