"""One neurogym trial as one gymnasium episode."""

from __future__ import annotations

import copy
import difflib
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import neurogym as ngym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from neurogym.core import TrialEnv as NeurogymTask

from mpn_lab.tasks.bandit import REVERSAL_BANDIT  # and with it the task is registered
from mpn_lab.tasks.channels import action_names, channel_names
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION, INTEGRATION

OWN_TASKS = (REVERSAL_BANDIT, INTEGRATION, CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION)

Task = str | gym.Env | Callable[..., gym.Env]
"""An id, an environment, or a class or function that makes one."""

_TRANSPARENT = (OrderEnforcing, PassiveEnvChecker)  # wrappers that change no observation
_SHARED = {"_top", "observation_space", "action_space", "spec"}  # never changed by a trial


class TrialEnv(gym.Env):
    """A gymnasium environment in which one trial is one episode.

    neurogym's own environments never terminate, take a random step in `reset`, ignore its seed
    and hand out the next trial's observation with the last reward. Here

    - `reset` returns the trial's own first observation, [d] float32, and `reset(seed=...)` fixes
      every trial that follows, whatever came before;
    - `terminated` is true exactly at the trial's last step. The observation returned with it is
      all zero: the trial has none left, and the next trial's does not leak in;
    - the last step's `info` describes the trial that has just finished: `trial` (its conditions),
      `ground_truth` ([T] or None; the correct action at every step), `periods` (name -> first step
      and step after the last), `performance` (1 where neurogym counts the trial as correct),
      `planned_obs` ([T, d] or None; the observations up to the trial's latest possible end),
      `latent` (name -> [T] or [T, k], what the task knows of every step) and
      `action_0_is_response` (whether action 0 is a response like the others, not fixation).

    Observations of any space that gymnasium can flatten come flattened, see `channels`.

    Args:
        task: a neurogym id such as "DelayMatchSample-v0", one of `OWN_TASKS`, or a gymnasium
            environment whose `info["new_trial"]` is true at each trial's last step and whose
            observation there is the next trial's first (neurogym's convention). What it lays out
            in neurogym's attributes (`trial`, `gt`, `start_ind`, `end_ind`, `dt`) is taken over,
            and so are `latent` and `action_0_is_response`, which neurogym does not have.
        seed: seeds the trials; None: drawn from the operating system.
        max_steps: a trial that is longer is cut here, with `truncated`.
        task_kwargs: passed on to the task, for example `dt=20` or `use_expl_context=True`.

    Raises:
        ValueError: an unknown id, arguments that the task does not take, an action space that is
            not Discrete, an observation space that cannot be flattened to a fixed length, or an
            environment that marks no trials.
    """

    def __init__(
        self,
        task: Task,
        seed: int | None = None,
        max_steps: int = 10_000,
        **task_kwargs: Any,
    ) -> None:
        if isinstance(task, str):
            self.task_id, env = task, _make(task, task_kwargs)
        elif not isinstance(task, gym.Env):
            env = task(**task_kwargs)
            self.task_id = getattr(task, "__name__", type(env.unwrapped).__name__)
        elif task_kwargs:
            raise ValueError(
                f"task_kwargs {sorted(task_kwargs)} were given with an environment that is made "
                "already; give them to its constructor, or give TrialEnv the task's id."
            )
        else:
            self.task_id = task.spec.id if task.spec is not None else type(task.unwrapped).__name__
            env = task
        while isinstance(env, _TRANSPARENT):
            env = env.env
        self.env = env
        self.task: Any = env.unwrapped
        self.max_steps = max_steps
        self._neurogym = isinstance(self.task, NeurogymTask)
        self._check_spaces()
        self._pristine = self._own_state()
        self.observation_space = spaces.Box(
            -np.inf, np.inf, (spaces.flatdim(env.observation_space),), np.float32
        )
        self.channels = channel_names(env.observation_space)
        self.actions = action_names(env.action_space)  # type: ignore[arg-type]  # checked above
        self.action_space = spaces.Discrete(len(self.actions))
        self.dt = float(getattr(self.task, "dt", 1))
        self._plain_box = (
            isinstance(env.observation_space, spaces.Box) and len(env.observation_space.shape) == 1
        )
        self._first_obs: np.ndarray | None = None  # of a trial that has not begun
        self._steps = 0
        self.reset(
            seed=int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        )
        if not self._neurogym:
            self._check_marks_trials(seed)

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        """Start a trial. Returns its first observation, [d] float32, and an empty dict."""
        super().reset(seed=seed)
        if seed is not None:
            self._seed(seed)
            self._first_obs = None
        if self._first_obs is None:  # after seeding, or in the middle of a trial
            self._first_obs = self._start_trial(seed)
        obs, self._first_obs = self._first_obs, None
        self._steps = 0
        self._conditions = dict(getattr(self.task, "trial", None) or {})
        self._planned = self._plan()
        return obs, {}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take one action. Returns obs [d], reward, terminated, truncated and info."""
        obs, reward, ended, cut, info = self.env.step(action)
        self._steps += 1
        if info.get("new_trial", False) or ended:
            # With `new_trial` the task has begun its next trial already: keep its observation.
            # An environment that really terminates is reset when its next trial is asked for.
            self._first_obs = None if ended else self._flat(obs)
            zero = np.zeros(len(self.channels), np.float32)
            return zero, float(reward), True, False, {**info, **self._finished(info)}
        cut = bool(cut) or self._steps >= self.max_steps
        if cut:
            info = {**info, **self._finished(info)}
        return self._flat(obs), float(reward), False, cut, info

    @property
    def planned_ground_truth(self) -> np.ndarray | None:
        """The correct action at every step of the present trial, [T], or None."""
        return self._planned["ground_truth"]

    def _finished(self, info: dict) -> dict:
        """What is known of the trial that has just ended."""
        return {
            "trial": self._conditions,
            "performance": float(info.get("performance", np.nan)),
            **self._planned,
        }

    def _plan(self) -> dict:
        """What the task has laid out for the present trial: it is overwritten when it ends."""
        task = self.task
        periods = {
            name: (start, task.end_ind[name])
            for name, start in getattr(task, "start_ind", {}).items()
            if task.end_ind[name] > start
        }
        has_gt = getattr(task, "_has_gt", False)
        has_obs = self._plain and getattr(task, "_ob_built", False)
        return {
            "ground_truth": np.array(task.gt) if has_gt else None,
            "periods": periods,
            "planned_obs": np.array(task.ob, np.float32) if has_obs else None,
            "latent": dict(getattr(task, "latent", None) or {}),
            "action_0_is_response": getattr(task, "action_0_is_response", False),
        }

    def _start_trial(self, seed: int | None) -> np.ndarray:
        if not self._neurogym:
            return self._flat(self.env.reset(seed=seed)[0])
        if self._plain:
            self.task.num_tr = self.task.t = self.task.t_ind = self.task.performance = 0
            self.task.new_trial()
            if self.task._ob_built:
                return self._flat(self.task.ob[0])
        # A wrapped task, or one without a planned observation: only a step tells its observation,
        # and the only first observation of a trial it ever gives comes with the end of the last.
        self.env.reset()
        for _ in range(self.max_steps):
            obs, _, ended, cut, info = self.env.step(0)
            if info.get("new_trial", False):
                return self._flat(obs)
            if ended or cut:
                self.env.reset()
        raise ValueError(f"{self.task_id} ended no trial within {self.max_steps} steps.")

    def _seed(self, seed: int) -> None:
        if not self._neurogym:
            return  # gymnasium's own reset(seed=...) does it
        # Blocks and rules that live longer than a trial start afresh, or the same seed would give
        # other trials the second time.
        self.task.__dict__.update(copy.deepcopy(self._pristine, self._generators()))
        self.task.seed(seed)
        if hasattr(self.task, "_rng"):  # AnnubesEnv draws from a generator that seed() leaves alone
            self.task._rng = np.random.default_rng(seed)
        if hasattr(self.task, "new_block"):  # HierarchicalReasoning draws its first block unseeded
            self.task.new_block()

    def _own_state(self) -> dict:
        if not self._neurogym:
            return {}
        state = {k: v for k, v in self.task.__dict__.items() if k not in _SHARED}
        return copy.deepcopy(state)

    def _generators(self) -> dict:
        """What `copy` is to leave: the generators, which take longer to copy than all the rest.

        neurogym's seed() puts new ones in their place at once.
        """
        if type(self.task).seed is not NeurogymTask.seed:
            return {}
        random_periods = [p for p in self._pristine["timing"].values() if hasattr(p, "seed")]
        replaced = [self._pristine["rng"], *(getattr(p, "rng", None) for p in random_periods)]
        return {id(generator): generator for generator in replaced}

    @property
    def _plain(self) -> bool:
        """Whether the task's planned observation is what the agent sees: no wrapper in between."""
        return self._neurogym and self.env is self.task

    def _flat(self, obs: Any) -> np.ndarray:
        if self._plain_box:
            return np.array(obs, np.float32).reshape(-1)
        return np.asarray(spaces.flatten(self.env.observation_space, obs), np.float32)

    def _check_spaces(self) -> None:
        obs, action = self.env.observation_space, self.env.action_space
        if not isinstance(action, spaces.Discrete):
            raise ValueError(
                f"{self.task_id} has the action space {action}; only Discrete actions can be "
                "learned here, choose a task with a discrete response."
            )
        if action.start != 0:
            raise ValueError(f"{self.task_id}'s actions start at {action.start}; expected at 0.")
        if not obs.is_np_flattenable:
            raise ValueError(
                f"{self.task_id} has the observation space {obs}, which gymnasium cannot flatten "
                "to a fixed length; wrap it into one of Box, Dict, Discrete, MultiDiscrete, Tuple."
            )

    def _check_marks_trials(self, seed: int | None) -> None:
        info = self.env.step(0)[4]
        if "new_trial" not in info:
            raise ValueError(
                f"{self.task_id} marks no trials: expected info['new_trial'] after every step; "
                "wrap the environment so that it is true at each trial's last step."
            )
        self.reset(seed=seed)


def task_module(task: str) -> str:
    """The module that defines a registered task."""
    entry = gym.registry[task].entry_point
    return str(entry).partition(":")[0] if isinstance(entry, str) else str(entry.__module__)


def check_task(task: str, module: str | None = None) -> None:
    """Raise ValueError where a task is not registered; `module` is what registered it, if known."""
    if task in gym.registry:
        return
    if module is not None:
        raise ValueError(
            f"The task {task!r} is not registered; import {module}, which registered it, first, on "
            f"the command line with --import {module}."
        )
    known = [name for name in gym.registry if "neurogym" in str(gym.registry[name].entry_point)]
    close = difflib.get_close_matches(task, [*known, *OWN_TASKS], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`mpn-lab tasks` lists them."
    raise ValueError(
        f"There is no task {task!r}; expected an id that is registered with gymnasium, such as "
        f"neurogym's: {hint}"
    )


def _make(task_id: str, task_kwargs: dict) -> gym.Env:
    check_task(task_id)
    try:
        with warnings.catch_warnings():  # neurogym's metadata lacks what gymnasium likes to see
            warnings.filterwarnings("ignore", message=".*render_modes")
            return ngym.make(task_id, **task_kwargs)
    except Exception as error:  # whatever the task's own constructor objects to
        reason = str(error).split(" was raised from")[0]  # gymnasium appends its own call
        raise ValueError(f"{task_id} cannot be made with {task_kwargs}: {reason}.") from error
