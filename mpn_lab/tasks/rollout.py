"""Makes and seeds environments, and collects trials from them in lockstep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from mpn_lab.checks import check_number, show
from mpn_lab.tasks.making import Task, check_task_kwargs
from mpn_lab.tasks.trial_env import TrialEnv

ResetState = Literal["trial", "episode", "never"]
"""When a recurrent state is reset: before every trial, before every episode, or never."""


@dataclass(frozen=True)
class Trial:
    """One trial from its first observation to its last reward: T steps, d channels.

    Attributes:
        obs: [T, d] float32, the observation before each action.
        action: [T] int64.
        reward: [T] float32, the reward for each action.
        terminated: [T] bool, true only at the last step; all false in a truncated trial.
        conditions: the task's own description of the trial (coherence, context ...).
        ground_truth: [T] the correct action at every step, or None if the task defines none.
        periods: name -> (first step, step after the last); they may extend beyond T.
        performance: 1 if the task counts the trial as correct, 0 if not, nan if unknown.
        planned_obs: [T', d] the observations up to the latest possible end, or None.
        initial_state: the network's state before the first step, with a batch of one, if it was
            carried over from the previous trial; None: the network's own initial state.
        latent: latent variables of the task at every step, [T] or [T, k]; empty for most tasks.
        action_0_is_response: whether action 0 is a response like the others, not fixation.
    """

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    conditions: dict[str, Any] = field(default_factory=dict)
    ground_truth: np.ndarray | None = None
    periods: dict[str, tuple[int, int]] = field(default_factory=dict)
    performance: float = float("nan")
    planned_obs: np.ndarray | None = None
    initial_state: Any = None
    latent: dict[str, np.ndarray] = field(default_factory=dict)
    action_0_is_response: bool = False

    def __len__(self) -> int:
        return len(self.action)

    @property
    def correct_response(self) -> int | None:
        """The correct response: the last ground truth that is a response; None if there is none."""
        if self.ground_truth is None:
            return None
        responses = self.ground_truth[(self.ground_truth != 0) | self.action_0_is_response]
        return int(responses[-1]) if len(responses) else None


def mean_performance(trials: Sequence[Trial]) -> float:
    """Return the mean performance of the trials that the task judges; nan if there is none."""
    judged = [trial.performance for trial in trials if not np.isnan(trial.performance)]
    return float(np.mean(judged)) if judged else float("nan")


@runtime_checkable
class Policy(Protocol):
    """Computes the action values of a batch of trials, one step at a time."""

    def step(self, obs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Map obs [B, d] and state (None: the trials' start) to Q [B, A] and the next state."""
        ...

    def select_state(self, state: Any, index: Tensor) -> Any:
        """Return the states of the trials in `index` (positions in the batch)."""
        ...

    def join_states(self, states: list[Any]) -> Any:
        """Concatenate the states of several batches."""
        ...


def make_envs(
    task: Task, task_kwargs: dict[str, Any] | None, n: int, stream: Sequence[int]
) -> list[TrialEnv]:
    """Make `n` environments of a task, seeded by the numbers in `stream`.

    Args:
        task: an id, or a class or function that makes a new environment at each call.
        task_kwargs: arguments of the task.
        n: number of environments.
        stream: a seed and numbers that distinguish its streams; environments get different trials.

    Raises:
        ValueError: `TrialEnv` does not take the task, or the task is an existing environment (or
            a function that always returns the same one), which all slots would share.
    """
    if isinstance(task, gym.Env):
        raise ValueError(
            f"task is one {type(task).__name__} object, but every slot of a batch needs its own "
            "environment; give the id, the class, or a function that makes one."
        )
    check_task_kwargs(task_kwargs := {} if task_kwargs is None else task_kwargs)
    envs = [TrialEnv(task, seed=0, **task_kwargs) for _ in range(n)]
    if len({id(env.task) for env in envs}) < n:
        raise ValueError(
            f"{envs[0].task_id} returns the same environment at every call, but every slot of a "
            "batch needs its own; make a new environment in the function."
        )
    seed_envs(envs, stream)
    return envs


def seed_envs(envs: Sequence[TrialEnv], stream: Sequence[int]) -> None:
    """Seed the environments, each differently: this determines all their subsequent trials."""
    for i, env in enumerate(envs):
        env.reset(seed=int(np.random.SeedSequence([*stream, i]).generate_state(1)[0]))


def n_envs_for(trials: int, most: int, reset_state: ResetState, trials_per_episode: int) -> int:
    """Return the number of environments, at most `most`, with which to collect `trials` trials.

    It is smaller if the state is carried from trial to trial, so that each has a history.
    """
    trials_each = {"trial": 1, "episode": trials_per_episode, "never": 50}[reset_state]
    return min(most, -(-trials // trials_each))


def rollout(
    envs: Sequence[TrialEnv],
    policy: Policy,
    trials: int,
    reset_state: ResetState = "trial",
    trials_per_episode: int = 1,
    *,
    epsilon: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[Trial]:
    """Collect trials, spread evenly over the environments; greedy unless epsilon is given."""
    rng = np.random.default_rng(0) if rng is None else rng
    collected: list[Trial] = []
    k = trials_per_episode if reset_state == "episode" else -(-trials // len(envs))
    while len(collected) < trials:
        left = trials - len(collected)
        if reset_state == "trial":
            collected += collect_trials(envs[:left], policy, epsilon, rng)
        else:
            episodes, _ = collect_episodes(envs[: -(-left // k)], policy, epsilon, rng, k)
            collected += [trial for episode in episodes for trial in episode]
    return collected[:trials]


def collect_trials(
    envs: Sequence[TrialEnv], policy: Policy, epsilon: float, rng: np.random.Generator
) -> list[Trial]:
    """Collect one trial from each environment in lockstep, with one network call per step.

    Args:
        envs: environments of one task.
        policy: computes Q for a batch of observations.
        epsilon: probability of a random action at each step; 0: greedy.
        rng: generator of the exploration (the environments' own generators are not used).

    Returns:
        The trials, in the order of `envs`.

    Raises:
        ValueError: there are no environments, they are not a TrialEnv each, epsilon is outside
            [0, 1] or has no generator, or a task gives observations or rewards that are not finite.
    """
    _check(envs, policy, epsilon, rng)
    return _collect(envs, policy, epsilon, rng, None)[0]


def _check(envs: Any, policy: Any, epsilon: Any, rng: Any) -> None:
    """Raise ValueError for what `collect_trials` and `collect_episodes` do not take."""
    envs = envs if isinstance(envs, list | tuple) else []
    if not envs or not all(isinstance(env, TrialEnv) for env in envs):
        raise ValueError("envs is no list of one TrialEnv or more; make it with TrialEnv(task).")
    if not isinstance(policy, Policy):
        raise ValueError(
            f"policy is {show(policy)}; expected a network, or an object with the methods step, "
            "select_state and join_states."
        )
    if check_number("epsilon", epsilon, 0, 1) and not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng is {show(rng)}; expected a generator for the random actions, from "
            "np.random.default_rng(seed)."
        )


def collect_episodes(
    envs: Sequence[TrialEnv],
    policy: Policy,
    epsilon: float,
    rng: np.random.Generator,
    trials: int,
    states: list[Any] | None = None,
) -> tuple[list[list[Trial]], list[Any]]:
    """Collect several consecutive trials from each environment, carrying the state over.

    Args:
        envs, policy, epsilon, rng: as in `collect_trials`.
        trials: number of trials from each environment.
        states: one per environment, with a batch of one; None: the initial state for all.

    Returns:
        The trials of each environment, each trial with its `initial_state`, and the states after
        the last trials.

    Raises:
        ValueError: as in `collect_trials`; the numbers of states and environments differ, or a
            state does not fit.
    """
    _check(envs, policy, epsilon, rng)
    if states is not None and len(states) != len(envs):
        raise ValueError(f"{len(states)} states were given for {len(envs)} environments.")
    episodes: list[list[Trial]] = [[] for _ in envs]
    for _ in range(trials):
        joined = None if states is None else policy.join_states(states)
        collected, after = _collect(envs, policy, epsilon, rng, joined)
        for i, trial in enumerate(collected):
            before = None if states is None else states[i]
            episodes[i].append(replace(trial, initial_state=before))
        states = after
    return episodes, states or []


@torch.no_grad()
def _collect(
    envs: Sequence[TrialEnv],
    policy: Policy,
    epsilon: float,
    rng: np.random.Generator,
    state: Any,
) -> tuple[list[Trial], list[Any]]:
    """Return a trial from each environment and the state after it."""
    n, d = len(envs), len(envs[0].channels)
    n_actions, device = len(envs[0].actions), getattr(policy, "device", "cpu")
    obs: np.ndarray = np.zeros((n, 64, d), np.float32)
    action: np.ndarray = np.zeros((n, 64), np.int64)
    reward: np.ndarray = np.zeros((n, 64), np.float32)
    trials: list[Trial | None] = [None] * n
    for i, env in enumerate(envs):
        obs[i, 0] = env.reset()[0]
    active: np.ndarray = np.arange(n)
    final: list[Any] = [None] * n
    t = 0
    while len(active):
        if t + 1 == obs.shape[1]:
            obs, action, reward = (
                np.concatenate([a, np.zeros_like(a)], 1) for a in (obs, action, reward)
            )
        q, state = policy.step(torch.from_numpy(obs[active, t]).to(device), state)
        chosen = q.argmax(1).cpu().numpy()
        if epsilon > 0:
            explore = rng.random(len(active)) < epsilon
            chosen = np.where(explore, rng.integers(n_actions, size=len(active)), chosen)
        action[active, t] = chosen
        ended = np.zeros(len(active), bool)
        for k, (i, a) in enumerate(zip(active.tolist(), chosen.tolist(), strict=True)):
            obs[i, t + 1], reward[i, t], terminated, truncated, info = envs[i].step(a)
            if terminated or truncated:
                ended[k] = True
                trials[i] = _trial(obs[i], action[i], reward[i], t + 1, terminated, info)
        if ended.any():
            for k in np.flatnonzero(ended):
                final[active[k]] = policy.select_state(state, torch.tensor([k]))
            still = np.flatnonzero(~ended)
            active = active[still]
            state = policy.select_state(state, torch.from_numpy(still))
        t += 1
    return trials, final  # type: ignore[return-value]  # every trial has ended


def _trial(
    obs: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    length: int,
    terminated: bool,
    info: dict,
) -> Trial:
    for name, values in (("observation", obs[:length]), ("reward", reward[:length])):
        if not np.isfinite(values).all():
            step = int(np.argwhere(~np.isfinite(values))[0][0])
            raise ValueError(
                f"the {name} at step {step} of a trial is not finite; check the task and its "
                "arguments."
            )
    done = np.zeros(length, bool)
    done[-1] = terminated
    return Trial(
        obs=obs[:length].copy(),
        action=action[:length].copy(),
        reward=reward[:length].copy(),
        terminated=done,
        conditions=info["trial"],
        ground_truth=info["ground_truth"],
        periods=info["periods"],
        performance=info["performance"],
        planned_obs=info["planned_obs"],
        latent=info["latent"],
        action_0_is_response=info["action_0_is_response"],
    )
