"""What one lived trial leaves behind, and the collector that lives many of them in lockstep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from mpn_lab.tasks.trial_env import TrialEnv


@dataclass(frozen=True)
class Trial:
    """One trial from its first observation to its last reward: T steps, d channels.

    Attributes:
        obs: [T, d] float32, what the agent saw before each action.
        action: [T] int64.
        reward: [T] float32, the reward for each action.
        terminated: [T] bool, true at the last step alone; all false in a trial that was cut.
        conditions: the task's own description of the trial (coherence, context ...).
        ground_truth: [T] the right action at every step, or None where the task defines none.
        periods: name -> (first step, step after the last); they may reach beyond T.
        performance: 1 where the task counts the trial as correct, 0 where not, nan if unknown.
        planned_obs: [T', d] the observations up to the latest possible end, or None.
        state: the network's state before the first step, with a batch of one, where it was carried
            over from the trial before; None: the network's start.
        latent: what the task knows of every step, each [T] or [T, k]; empty for most tasks.
        action_0_is_an_answer: whether action 0 is a response like the others, not fixation.
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
    state: Any = None
    latent: dict[str, np.ndarray] = field(default_factory=dict)
    action_0_is_an_answer: bool = False

    def __len__(self) -> int:
        return len(self.action)

    @property
    def answer(self) -> int | None:
        """The right response: the last ground truth that is a response; None if there is none."""
        if self.ground_truth is None:
            return None
        responses = self.ground_truth[(self.ground_truth != 0) | self.action_0_is_an_answer]
        return int(responses[-1]) if len(responses) else None


@runtime_checkable
class Policy(Protocol):
    """What the collector needs of a network: one step for a batch of trials."""

    def step(self, obs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """obs [B, d] and state (None: the trials' start) -> Q [B, A] and the next state."""
        ...

    def select_state(self, state: Any, keep: Tensor) -> Any:
        """The states of the trials in `keep` (indices into the batch)."""
        ...

    def join_states(self, states: list[Any]) -> Any:
        """The states of several batches as those of one."""
        ...


def collect_trials(
    envs: Sequence[TrialEnv], policy: Policy, epsilon: float, rng: np.random.Generator
) -> list[Trial]:
    """Live one trial in each environment, all in lockstep: one network call a step.

    Args:
        envs: environments of one task.
        policy: gives Q for a batch of observations.
        epsilon: the probability of a random action at each step; 0: greedy.
        rng: draws the exploration (the environments' own generators are never touched).

    Returns:
        The trials, in the order of `envs`.
    """
    return _live(envs, policy, epsilon, rng, None)[0]


def collect_episodes(
    envs: Sequence[TrialEnv],
    policy: Policy,
    epsilon: float,
    rng: np.random.Generator,
    trials: int,
    states: list[Any] | None = None,
) -> tuple[list[list[Trial]], list[Any]]:
    """Live several trials one after the other in each environment, the state carried over.

    Args:
        envs, policy, epsilon, rng: as of `collect_trials`.
        trials: how many in each environment.
        states: one per environment, with a batch of one; None: all begin from the start.

    Returns:
        For each environment its trials, each with the `state` it began with, and the states after
        the last of them.

    Raises:
        ValueError: another number of states than of environments, or one that does not fit.
    """
    if states is not None and len(states) != len(envs):
        raise ValueError(f"{len(states)} states were given for {len(envs)} environments.")
    episodes: list[list[Trial]] = [[] for _ in envs]
    for _ in range(trials):
        joined = None if states is None else policy.join_states(states)
        lived, after = _live(envs, policy, epsilon, rng, joined)
        for i, trial in enumerate(lived):
            before = None if states is None else states[i]
            episodes[i].append(replace(trial, state=before))
        states = after
    return episodes, states or []


@torch.no_grad()
def _live(
    envs: Sequence[TrialEnv],
    policy: Policy,
    epsilon: float,
    rng: np.random.Generator,
    state: Any,
) -> tuple[list[Trial], list[Any]]:
    """A trial in each environment, and the state that each ends with."""
    n, d = len(envs), len(envs[0].channels)
    n_actions = len(envs[0].actions)
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
        q, state = policy.step(torch.from_numpy(obs[active, t]), state)
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
            keep = np.flatnonzero(~ended)
            active = active[keep]
            state = policy.select_state(state, torch.from_numpy(keep))
        t += 1
    return trials, final  # type: ignore[return-value]  # every trial has ended


def _trial(obs, action, reward, length: int, terminated: bool, info: dict) -> Trial:
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
        action_0_is_an_answer=info["action_0_is_an_answer"],
    )
