"""Makes every trial of a task one gymnasium episode."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Hashable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from neurogym.core import TrialEnv as NeurogymTask

from mpn_lab.checks import check_int, reason, show
from mpn_lab.tasks.channels import action_names, channel_names
from mpn_lab.tasks.making import Task, make_env
from mpn_lab.tasks.neurogym_trials import (
    TRANSPARENT,
    NeurogymTrials,
    all_nodes,
    declared_block,
    random_age,
)
from mpn_lab.tasks.registration import registered_id
from mpn_lab.tasks.returned import check_performance, check_reset, check_step, flatten

_LARGEST_SEED = 2**32 - 1  # of neurogym's generator
_LAYOUT = ("trial", "gt", "start_ind")  # a task with one of these describes trials as neurogym does

# neurogym's wrappers read the attributes of the environment within at every trial or step.
warnings.filterwarnings("ignore", message=".*to get variables from other wrappers is deprecated")


class TrialEnv(gym.Env):
    """A gymnasium environment in which every trial is one episode.

    neurogym's own environments never terminate, take a random step in `reset`, ignore its seed
    and return the next trial's observation together with the last reward. In a TrialEnv

    - `reset` returns the trial's own first observation, [d] float32, and `reset(seed=...)`
      determines all subsequent trials, regardless of what came before;
    - `terminated` is true exactly at the last step of a trial that has ended. The observation
      returned with it is all zero, so that the next trial's observation does not leak in;
    - `truncated` is true if the trial was cut short, by the environment (`TimeLimit`) or by
      `max_steps`. The next trial then begins with a reset of the environment;
    - the last step's `info` describes the trial that has just finished: `trial` (its conditions),
      `ground_truth` ([T] or None; the correct action at every step), `periods` (name -> first step
      and step after the last), `performance` (1 if the task counts the trial as correct, 0 if
      not, nan if it does not say),
      `planned_obs` ([T, d] or None; the observations up to the trial's latest possible end),
      `latent` (name -> [T] or [T, k], latent variables of the task at every step) and
      `action_0_is_response` (whether action 0 is a response like the others, not fixation).

    The task may be any gymnasium environment with discrete actions. One of its episodes is one
    trial, unless it continues over trials as neurogym's environments do: then `info["new_trial"]`
    is true at each trial's last step, and the observation there is the first of the next trial. The
    environment may describe its current trial in neurogym's attributes: `trial` (its conditions),
    `gt` (the correct action at every step), `start_ind` and `end_ind` (name of a period -> step),
    `dt` (ms per step); and in two that neurogym does not have, `latent` and `action_0_is_response`.

    If a rule or block outlives a trial, an environment is of a random age after seeding: a random
    number of trials passes before its first one, so that the first trials of many environments show
    all blocks, as the trials of one environment do. How long a block lasts is measured for
    neurogym's tasks; any task can declare it as `trials_per_block` (0: none outlives a trial).

    Observations are flattened, from any space that gymnasium can flatten; see `channels`.

    Args:
        task: an id registered with gymnasium, such as neurogym's "DelayMatchSample-v0", a class or
            function that makes an environment, or an environment.
        seed: seed of the trials; None: drawn from the operating system.
        max_steps: number of steps after which a trial is truncated.
        task_kwargs: arguments of the task, for example `dt=20` or `use_expl_context=True`.

    Attributes:
        task_id: the id; for a class or function, the id by which its environment was made, or else
            its name.
        registered_id: the id by which gymnasium makes this very environment; None if a wrapper was
            added or the environment was not made by an id.
        channels, actions: the names of the channels and the actions.
        dt: ms per step; 1 if the environment does not follow neurogym.

    Raises:
        ValueError: the id is not registered; the task does not take the arguments, would ignore one
            of them, or cannot start a trial with them; the action space is not Discrete; or the
            observation space cannot be flattened to a fixed length.
    """

    def __init__(
        self,
        task: Task,
        seed: int | None = None,
        max_steps: int = 10_000,
        **task_kwargs: Any,
    ) -> None:
        self.max_steps = check_int("max_steps", max_steps, 1)
        env = make_env(task, task_kwargs)
        self.registered_id = registered_id(env, made_by_id=isinstance(task, str))
        name = getattr(task, "__name__", type(env.unwrapped).__name__)
        self.task_id = task if isinstance(task, str) else (self.registered_id or name)
        while isinstance(env, TRANSPARENT):
            env = env.env
        self.env = env
        self._check_spaces()
        self._neurogym: NeurogymTrials | None = None  # of another environment
        if isinstance(self.task, NeurogymTask):
            made = not isinstance(task, gym.Env) and isinstance(task, Hashable)
            kind = (task, type(self.task), repr(sorted(task_kwargs.items())))
            self._neurogym = NeurogymTrials(env, kind if made else None)
        self.observation_space = spaces.Box(
            -np.inf, np.inf, (spaces.flatdim(env.observation_space),), np.float32
        )
        self.channels = channel_names(env.observation_space)
        self.actions = action_names(env.action_space)  # type: ignore[arg-type]  # checked above
        self.action_space = spaces.Discrete(len(self.actions))
        self._first_obs: np.ndarray | None = None  # of a trial that has not begun
        self._steps = 0
        self._ended = True  # no trial has begun
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seed: int | None = check_int("seed", seed, 0, _LARGEST_SEED)  # until the first reset
        try:
            obs = self._try_trial() if self._neurogym else self.reset(seed=seed)[0]
        except Exception as error:  # whatever the task objects to in its arguments only now
            raise ValueError(
                f"{self.task_id} cannot start a trial with {show(task_kwargs)}: {reason(error)}."
            ) from error
        if obs is not None and not np.isfinite(obs).all():
            raise ValueError(
                f"{self.task_id} begins with the observation {show(obs.tolist())}; expected finite "
                f"numbers: check its arguments {show(task_kwargs)}."
            )
        # In an environment of another kind, dt need not be in ms (Acrobot's is in s).
        follows = self._neurogym or any(hasattr(self.task, name) for name in _LAYOUT)
        self.dt = float(self.task.dt) if follows and hasattr(self.task, "dt") else 1.0

    @property
    def task(self) -> Any:
        """The task of the current trial, without wrappers: some wrappers have several tasks."""
        return self.env.unwrapped

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        """Start a trial. Returns its first observation, [d] float32, and an empty dict."""
        if seed is not None:
            seed = check_int("seed", seed, 0, _LARGEST_SEED)
        super().reset(seed=seed)
        if seed is None and self._seed is not None:
            self._start_trial(self._seed)  # nobody sees the first trial of a seed given so
        self._seed = None
        if seed is not None or self._first_obs is None:  # None: in the middle of a trial
            self._first_obs = self._start_trial(seed)
        obs, self._first_obs = self._first_obs, None
        self._steps, self._ended = 0, False
        self._conditions = _dict(self.task, "trial")
        self._planned = self._plan()
        return obs, {}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take one action. Returns obs [d], reward, terminated, truncated and info.

        Raises ValueError for anything but one of the actions, after the end of the trial, and if
        the environment returns something other than gymnasium asks for.
        """
        if type(action) is not int:
            action = self._index(action)
        if not 0 <= action < len(self.actions):
            raise self._no_action(action)
        if self._ended:
            raise ValueError("no trial has begun, or it has ended; call reset() before this step.")
        returned = check_step(self.task_id, self.env.step(action))
        obs, reward, terminated, truncated, info = returned
        self._steps += 1
        # With `new_trial` the task has already begun its next trial: the observation belongs to it.
        # An environment that has terminated or was truncated is reset before its next trial; some
        # also set `new_trial` then, which changes nothing.
        marked = bool(info.get("new_trial", False)) and not truncated
        if terminated or marked:
            self._first_obs = None if terminated else self._flat(obs)
            self._ended = True
            zero = np.zeros(len(self.channels), np.float32)
            return zero, reward, True, False, {**info, **self._finished(info)}
        truncated = bool(truncated) or self._steps >= self.max_steps
        if self._steps == 1 and self._neurogym and not self._neurogym.shows_plan:
            self._planned = self._plan()  # ReactionTime changes it in a trial's first step
        if truncated:
            self._ended = True
            info = {**info, **self._finished(info)}
        return self._flat(obs), reward, False, truncated, info

    @property
    def planned_ground_truth(self) -> np.ndarray | None:
        """The correct action at every step of the current trial, [T], or None."""
        return self._planned["ground_truth"]

    @property
    def planned_obs(self) -> np.ndarray | None:
        """The observations up to the current trial's latest possible end, [T, d], or None."""
        return self._planned["planned_obs"]

    def _index(self, action: Any) -> int:
        """Return an action of another type than int, such as np.int64, as int."""
        try:
            if isinstance(action, bool | np.bool_):
                raise TypeError
            return operator.index(action)
        except TypeError:
            raise self._no_action(action) from None

    def _no_action(self, action: Any) -> ValueError:
        return ValueError(
            f"action is {show(action)}; expected a whole number from 0 to "
            f"{len(self.actions) - 1}: {self.task_id} has {len(self.actions)} actions."
        )

    def _finished(self, info: dict) -> dict:
        """Return the description of the trial that has just ended."""
        given = self._neurogym.judge(info) if self._neurogym else info.get("performance")
        performance = check_performance(self.task_id, given)
        return {"trial": self._conditions, "performance": performance, **self._planned}

    def _plan(self) -> dict:
        """Return the task's plan of the current trial, which the task overwrites at its end."""
        task, neurogym = self.task, self._neurogym
        periods = {
            name: (start, task.end_ind[name])
            for name, start in getattr(task, "start_ind", {}).items()
            if task.end_ind[name] > start and (not neurogym or name in task._duration)
        }
        has_gt = task._has_gt if neurogym else getattr(task, "gt", None) is not None
        return {
            "ground_truth": self._ground_truth() if has_gt else None,
            "periods": periods,
            "planned_obs": neurogym.planned_obs if neurogym else None,
            "latent": _dict(task, "latent"),
            "action_0_is_response": getattr(task, "action_0_is_response", False),
        }

    def _ground_truth(self) -> np.ndarray | None:
        truth = np.array(self.task.gt)
        if truth.ndim != 1 and not self._neurogym:
            raise ValueError(
                f"{self.task_id} has a gt of shape {truth.shape}; expected one number per step of "
                "the trial: the correct action at that step."
            )
        return truth if are_actions(truth, len(self.actions)) else None

    def _start_trial(self, seed: int | None) -> np.ndarray:
        """Begin a trial; with a seed, the first one of an environment of a random age."""
        if self._neurogym is None:
            obs = check_reset(self.task_id, self.env.reset(seed=seed))
            block = declared_block(all_nodes(self.env)) if seed is not None else None
            for _ in range(random_age(seed or 0, block or 0)):
                obs = self._pass_trial()
            return self._flat(obs)
        age = 0 if seed is None else self._neurogym.seed(seed)
        if self._neurogym.shows_plan:
            for _ in range(age + 1):
                self._neurogym.new_trial()
            if self.task._ob_built:
                return self._flat(self._neurogym.first_observation())
            age = 0
        # Where no observations are planned, or wrappers change them, they come from steps alone,
        # and a trial's first one from the last step of the trial before.
        self.env.reset()
        for _ in range(age):
            self._neurogym.new_trial()
        return self._flat(self._pass_trial())

    def _try_trial(self) -> np.ndarray | None:
        """Draw a trial of neurogym, of which the first `reset` leaves no trace.

        Returns its first observation, if it is planned.
        """
        assert self._neurogym is not None
        self._neurogym.new_trial()
        planned = self._neurogym.shows_plan and self.task._ob_built
        return self._flat(self._neurogym.first_observation()) if planned else None

    def _pass_trial(self) -> Any:
        """Take action 0 to the end of a trial. Returns the next trial's first observation."""
        for _ in range(self.max_steps):
            obs, _, ended, cut, info = check_step(self.task_id, self.env.step(0))
            if info.get("new_trial", False) and not (ended or cut):
                if self._neurogym:
                    self._neurogym.judge(info)
                return obs
            if ended or cut:
                obs = check_reset(self.task_id, self.env.reset())
                if not self._neurogym:
                    return obs
        raise ValueError(f"{self.task_id} ended no trial within {self.max_steps} steps.")

    def _flat(self, obs: Any) -> np.ndarray:
        return flatten(self.task_id, self.env.observation_space, obs)

    def _check_spaces(self) -> None:
        obs, action = self.env.observation_space, self.env.action_space
        if not isinstance(action, spaces.Discrete):
            raise ValueError(
                f"{self.task_id} has the action space {action}; expected a Discrete one: choose a "
                "task with discrete responses."
            )
        if action.start != 0:
            raise ValueError(f"{self.task_id}'s actions start at {action.start}; expected 0.")
        if not obs.is_np_flattenable:
            raise ValueError(
                f"{self.task_id} has the observation space {obs}, which gymnasium cannot flatten "
                "to a fixed length; convert it to Box, Dict, Discrete, MultiDiscrete or Tuple."
            )


def are_actions(ground_truth: np.ndarray | None, n_actions: int) -> bool:
    """Whether a trial's ground truth is an action: Reaching1D's, for one, is a position."""
    if ground_truth is None or not np.issubdtype(ground_truth.dtype, np.integer):
        return False
    return bool(((ground_truth >= 0) & (ground_truth < n_actions)).all())


def _dict(task: Any, name: str) -> dict:
    """Return a copy of the task's dict of this name; empty if there is no such dict."""
    found = getattr(task, name, None)
    if not isinstance(found, dict):
        return {}
    mutable = dict | list | np.ndarray
    return {k: copy.deepcopy(v) if isinstance(v, mutable) else v for k, v in found.items()}
