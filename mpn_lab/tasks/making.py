"""Makes the environments of tasks, and refuses arguments that they cannot use."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import neurogym as ngym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from neurogym.core import TrialEnv as NeurogymTask

from mpn_lab.checks import check_number, did_you_mean, reason, show
from mpn_lab.tasks.neurogym_trials import seeded_construction
from mpn_lab.tasks.registration import check_task

Task = str | gym.Env | Callable[..., gym.Env]
"""An id, an environment, or a class or function that makes one."""

_DISTRIBUTIONS = ("uniform", "choice", "truncated_exponential", "constant", "until")  # of a timing


def make_env(task: Task, task_kwargs: dict) -> gym.Env:
    """Return an environment. Raises ValueError if the task does not take the arguments."""
    if isinstance(task, gym.Env):
        if task_kwargs:
            raise ValueError(
                f"task_kwargs {sorted(task_kwargs)} were given with an existing environment; pass "
                "them to its constructor, or pass the task's id to TrialEnv."
            )
        return task
    check_task_kwargs(task_kwargs)
    if not isinstance(task, str) and not callable(task):
        raise ValueError(
            f"task is {show(task)}; expected an id such as 'DelayMatchSample-v0', a class or a "
            "function that makes an environment, or an environment."
        )
    name = task if isinstance(task, str) else getattr(task, "__name__", show(task))
    if isinstance(task, str):
        check_task(task)
    try:
        env = _construct(task, task_kwargs)
    except Exception as error:  # whatever the task's own constructor objects to
        why = reason(error).split(" was raised from")[0]  # gymnasium appends its own call
        if isinstance(error, TypeError) and (wrong := _wrong_argument(name, task, why)):
            raise ValueError(wrong) from error
        raise ValueError(f"{name} cannot be made with {show(task_kwargs)}: {why}.") from error
    if isinstance(env, gym.Env) and isinstance(env.unwrapped, NeurogymTask):
        _check_effect(name, task, task_kwargs, env.unwrapped)
    if not isinstance(env, gym.Env):
        raise ValueError(
            f"{name} makes a {type(env).__name__}; expected an environment (gymnasium.Env)."
        )
    return env


def _construct(task: Task, task_kwargs: dict) -> Any:
    with warnings.catch_warnings():  # neurogym's metadata lacks fields that gymnasium expects
        warnings.filterwarnings("ignore", message=".*render_modes")
        with seeded_construction():
            return ngym.make(task, **task_kwargs) if isinstance(task, str) else task(**task_kwargs)  # type: ignore[operator]


def _wrong_argument(name: str, task: Task, error: str) -> str | None:
    """Describe Python's complaint about a constructor's arguments; None if it is another one."""
    made: Any = task
    if isinstance(task, str):
        entry = gym.registry[task].entry_point
        made = load_env_creator(entry) if isinstance(entry, str) else entry
    of = getattr(made, "__init__") if isinstance(made, type) else made  # noqa: B009
    known = [p for p in inspect.signature(of).parameters if p != "self"]
    if found := re.search(r"unexpected keyword argument '(\w+)'", error):
        hint = did_you_mean(found[1], known) or f"; it takes {', '.join(known) or 'none'}"
        return f"{name} takes no argument {found[1]!r}{hint}."
    if found := re.search(r"missing \d+ required \S+ (arguments?): ([^.]+)", error):
        return f"{name} needs the {found[1]} {found[2]}, which its task_kwargs do not hold."
    return None


def check_task_kwargs(task_kwargs: Any) -> None:
    """Raise ValueError for arguments that no task takes, whichever it is."""
    if not isinstance(task_kwargs, dict) or not all(isinstance(name, str) for name in task_kwargs):
        raise ValueError(
            f"task_kwargs is {show(task_kwargs)}; expected a dict of the task's arguments, such as "
            "{'dt': 20}."
        )
    for name, value in task_kwargs.items():
        if name in ("task", "seed", "max_steps"):
            raise ValueError(
                f"task_kwargs holds {name!r}, which is no argument of a task; leave it out: each "
                "trial's seed and longest duration are set elsewhere."
            )
        if name == "dt":
            check_number("dt", value, 0, above=True)
        if name == "sigma":
            check_number("sigma", value, 0)
        if name == "cohs" and not isinstance(value, list | tuple | np.ndarray):
            raise ValueError(f"cohs is {show(value)}; expected a list of coherences.")
        if name == "cohs":
            for coherence in value:
                check_number("each of cohs", coherence)
        if _holds_nan(value):
            raise ValueError(f"{name} is {show(value)}, with nan in it; expected numbers.")
        if isinstance(value, list | tuple) and not value:
            raise ValueError(f"{name} is empty; expected at least one value to choose from.")
        if name in ("timing", "rewards") and not isinstance(value, dict | None):
            raise ValueError(f"{name} is {show(value)}; expected a dict.")
        if name == "timing":
            for period, duration in (value or {}).items():
                _check_duration(period, duration)


def _check_duration(period: Any, duration: Any) -> None:
    """Raise ValueError for a duration that neurogym cannot draw from."""
    if callable(duration):
        return
    drawn = isinstance(duration, list | tuple) and len(duration) > 0
    if drawn and isinstance(duration[0], str):
        fits = len(duration) == 2 and duration[0] in _DISTRIBUTIONS
        numbers: Any = duration[1] if fits else ()
        if fits and duration[0] in ("constant", "until"):
            numbers = [numbers]
        drawn = fits and isinstance(numbers, list | tuple)
    else:
        numbers = duration if drawn else [duration]
    if not drawn and not isinstance(duration, int | float):
        raise ValueError(
            f"the timing of {period!r} is {show(duration)}; expected ms, a list of ms to choose "
            f"from, or a distribution ({', '.join(_DISTRIBUTIONS)}) such as "
            "('uniform', (100, 300))."
        )
    for number in numbers:
        check_number(f"timing of {period!r}", number, 0)


def _check_effect(name: str, task: Task, task_kwargs: dict, made: NeurogymTask) -> None:
    """Raise ValueError for arguments that a neurogym task takes and then does not use.

    These are names that it does not know in its dicts `timing` and `rewards`, and a time step in
    which a whole period disappears.
    """
    updated = [of for of in ("timing", "rewards") if isinstance(task_kwargs.get(of), dict)]
    if updated:
        others = {k: v for k, v in task_kwargs.items() if k not in updated}
        default = _construct(task, others).unwrapped
        for of in updated:
            known = getattr(default, of, None)
            for key in task_kwargs[of]:
                if isinstance(known, dict) and key not in known:
                    hint = did_you_mean(key, known) or f"; it has {', '.join(map(str, known))}"
                    raise ValueError(f"{name} has no {key!r} in its {of}{hint}.")
    if "dt" in task_kwargs or "timing" in task_kwargs:
        for period, value in made.timing.items():
            longest = max(value, default=0) if _are_numbers(value) else value
            if isinstance(longest, int | float) and 0 < longest < made.dt:
                raise ValueError(
                    f"dt is {made.dt:g} ms, longer than the period {period!r} of {name} "
                    f"({longest:g} ms), which would have no step; choose a smaller dt."
                )


def _holds_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nan, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_nan, value))
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(v, int | float) for v in values)
