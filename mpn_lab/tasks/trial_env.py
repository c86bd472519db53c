"""Makes every trial of a task one gymnasium episode."""

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
from neurogym.envs.registration import all_envs

from mpn_lab.tasks.bandit import REVERSAL_BANDIT  # and with it the task is registered
from mpn_lab.tasks.channels import action_names, channel_names
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION, INTEGRATION

OWN_TASKS = (REVERSAL_BANDIT, INTEGRATION, CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION)

Task = str | gym.Env | Callable[..., gym.Env]
"""An id, an environment, or a class or function that makes one."""

_TRANSPARENT = (OrderEnforcing, PassiveEnvChecker)  # wrappers that change no observation
_SHARED = {"_top", "observation_space", "action_space", "spec"}  # never changed by a trial
_LAYOUT = ("trial", "gt", "start_ind")  # what has one of these describes its trials as neurogym


class TrialEnv(gym.Env):
    """A gymnasium environment in which every trial is one episode.

    neurogym's own environments never terminate, take a random step in `reset`, ignore its seed
    and hand out the next trial's observation with the last reward. Here

    - `reset` returns the trial's own first observation, [d] float32, and `reset(seed=...)` fixes
      every trial that follows, whatever came before;
    - `terminated` is true exactly at the last step of a trial that has ended. The observation
      returned with it is all zero: the trial has none left, and the next trial's does not leak in;
    - `truncated` is true where the trial was cut: by the environment (`TimeLimit`) or by
      `max_steps`. The next trial then begins with a reset of the environment;
    - the last step's `info` describes the trial that has just finished: `trial` (its conditions),
      `ground_truth` ([T] or None; the correct action at every step), `periods` (name -> first step
      and step after the last), `performance` (1 where neurogym counts the trial as correct),
      `planned_obs` ([T, d] or None; the observations up to the trial's latest possible end),
      `latent` (name -> [T] or [T, k], what the task knows of every step) and
      `action_0_is_response` (whether action 0 is a response like the others, not fixation).

    Any gymnasium environment with discrete actions will do. One episode of it is one trial, unless
    it runs on over its trials as neurogym's do: then `info["new_trial"]` is true at each trial's
    last step, and the observation there is the next trial's first. It may describe its current
    trial in neurogym's attributes: `trial` (its conditions), `gt` (the correct action at every
    step), `start_ind` and `end_ind` (name of a period -> step), `dt` (ms a step); and in two that
    neurogym does not have, `latent` and `action_0_is_response`.

    Observations of any space that gymnasium can flatten come flattened, see `channels`.

    Args:
        task: an id that is registered with gymnasium, such as neurogym's "DelayMatchSample-v0", a
            class or function that makes an environment, or an environment.
        seed: seeds the trials; None: drawn from the operating system.
        max_steps: a trial that is longer is cut here, with `truncated`.
        task_kwargs: passed on to the task, for example `dt=20` or `use_expl_context=True`.

    Attributes:
        task_id: the id; of a class or function the id that its environment was made by, or else
            its name.
        registered_id: the id by which gymnasium makes this very environment; None where a wrapper
            was put around it, or where it was made by no id.
        channels, actions: their names.
        dt: ms a step; 1 where the environment does not follow neurogym.

    Raises:
        ValueError: an id that is not registered, arguments that the task does not take, an action
            space that is not Discrete, or an observation space that cannot be flattened to a fixed
            length.
    """

    def __init__(
        self,
        task: Task,
        seed: int | None = None,
        max_steps: int = 10_000,
        **task_kwargs: Any,
    ) -> None:
        env = _make(task, task_kwargs)
        self.registered_id = _registered_id(env)
        name = getattr(task, "__name__", type(env.unwrapped).__name__)
        self.task_id = task if isinstance(task, str) else (self.registered_id or name)
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
        self._plain_box = (
            isinstance(env.observation_space, spaces.Box) and len(env.observation_space.shape) == 1
        )
        self._first_obs: np.ndarray | None = None  # of a trial that has not begun
        self._steps = 0
        self.reset(
            seed=int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        )
        # Whatever an environment of another kind calls dt need not be in ms (Acrobot's is in s).
        follows = self._neurogym or any(hasattr(self.task, name) for name in _LAYOUT)
        self.dt = float(self.task.dt) if follows and hasattr(self.task, "dt") else 1.0

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
        self._conditions = _dict(self.task, "trial")
        self._planned = self._plan()
        return obs, {}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take one action. Returns obs [d], reward, terminated, truncated and info."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        # With `new_trial` the task has begun its next trial already: its observation is for later.
        # An environment that is over, terminated or cut, is reset when its next trial is asked for;
        # some say `new_trial` there too, which changes nothing.
        marked = bool(info.get("new_trial", False)) and not truncated
        if terminated or marked:
            self._first_obs = None if terminated else self._flat(obs)
            zero = np.zeros(len(self.channels), np.float32)
            return zero, float(reward), True, False, {**info, **self._finished(info)}
        truncated = bool(truncated) or self._steps >= self.max_steps
        if truncated:
            info = {**info, **self._finished(info)}
        return self._flat(obs), float(reward), False, truncated, info

    @property
    def planned_ground_truth(self) -> np.ndarray | None:
        """The correct action at every step of the current trial, [T], or None."""
        return self._planned["ground_truth"]

    def _finished(self, info: dict) -> dict:
        """What is known of the trial that has just ended."""
        return {
            "trial": self._conditions,
            "performance": float(info.get("performance", np.nan)),
            **self._planned,
        }

    def _plan(self) -> dict:
        """What the task has laid out for the current trial: it is overwritten when it ends."""
        task = self.task
        periods = {
            name: (start, task.end_ind[name])
            for name, start in getattr(task, "start_ind", {}).items()
            if task.end_ind[name] > start
        }
        has_gt = task._has_gt if self._neurogym else getattr(task, "gt", None) is not None
        has_obs = self._plain and getattr(task, "_ob_built", False)
        return {
            "ground_truth": self._ground_truth() if has_gt else None,
            "periods": periods,
            "planned_obs": np.array(task.ob, np.float32) if has_obs else None,
            "latent": _dict(task, "latent"),
            "action_0_is_response": getattr(task, "action_0_is_response", False),
        }

    def _ground_truth(self) -> np.ndarray:
        truth = np.array(self.task.gt)
        if truth.ndim != 1 and not self._neurogym:
            raise ValueError(
                f"{self.task_id} has a gt of shape {truth.shape}; expected one number per step of "
                "the trial, the correct action at that step."
            )
        return truth

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


def task_module(task: str) -> str:
    """The module that defines a registered task; "__main__" for a notebook or a script."""
    entry = gym.registry[task].entry_point
    if isinstance(entry, str):
        return entry.partition(":")[0]
    return str(getattr(getattr(entry, "func", entry), "__module__", ""))  # func: of a partial


def check_task(task: str, module: str | None = None) -> None:
    """Raise ValueError where a task is not registered; `module` is what defined it, if known."""
    if task in gym.registry:
        return
    if module == "__main__":
        raise ValueError(
            f"The task {task!r} is not registered; a notebook or script registered it: do so again "
            "first, or put it into a module, which the command line takes as --import MODULE."
        )
    if module is not None:
        raise ValueError(
            f"The task {task!r} is not registered; import {module}, which registered it, first, on "
            f"the command line with --import {module}."
        )
    close = difflib.get_close_matches(task, list(gym.registry), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "`mpn-lab tasks` lists them."
    raise ValueError(
        f"There is no task {task!r}; expected an id that is registered with gymnasium, neurogym's "
        f"or one of your own (import its module first, or --import it): {hint}"
    )


def task_ids() -> list[str]:
    """Registered ids, whether or not they can be trained: neurogym's, mpn_lab's and a user's own.

    gymnasium's own environments are left out.
    """
    own = [
        name for name in gym.registry if not task_module(name).startswith(("gymnasium", "neurogym"))
    ]
    return [*all_envs(), *OWN_TASKS, *(name for name in own if name not in OWN_TASKS)]


def _make(task: Task, task_kwargs: dict) -> gym.Env:
    if isinstance(task, gym.Env):
        if task_kwargs:
            raise ValueError(
                f"task_kwargs {sorted(task_kwargs)} were given with an environment that is made "
                "already; give them to its constructor, or give TrialEnv the task's id."
            )
        return task
    name = task if isinstance(task, str) else getattr(task, "__name__", repr(task))
    if isinstance(task, str):
        check_task(task)
    try:
        with warnings.catch_warnings():  # neurogym's metadata lacks what gymnasium likes to see
            warnings.filterwarnings("ignore", message=".*render_modes")
            env = ngym.make(task, **task_kwargs) if isinstance(task, str) else task(**task_kwargs)
    except Exception as error:  # whatever the task's own constructor objects to
        reason = str(error).split(" was raised from")[0]  # gymnasium appends its own call
        raise ValueError(f"{name} cannot be made with {task_kwargs}: {reason}.") from error
    if not isinstance(env, gym.Env):
        raise ValueError(
            f"{name} makes a {type(env).__name__}; expected an environment (gymnasium.Env)."
        )
    return env


def _dict(task: Any, name: str) -> dict:
    """A copy of the dict that a task has by this name; empty where it has none, or no dict."""
    found = getattr(task, name, None)
    return dict(found) if isinstance(found, dict) else {}


def _registered_id(env: gym.Env) -> str | None:
    """The id that makes this environment, with the same wrappers; None if there is none."""
    spec = env.spec
    known = gym.registry.get(spec.id) if spec is not None else None
    if spec is None or known is None or spec.additional_wrappers != known.additional_wrappers:
        return None
    return spec.id
