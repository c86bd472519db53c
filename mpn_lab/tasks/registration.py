"""The tasks that are registered with gymnasium: who registered them, and which there are."""

from __future__ import annotations

import difflib

import gymnasium as gym
from neurogym.envs.registration import all_envs

from mpn_lab.tasks.bandit import REVERSAL_BANDIT  # and with it the task is registered
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION, INTEGRATION

OWN_TASKS = (REVERSAL_BANDIT, INTEGRATION, CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION)


def task_module(task: str) -> str:
    """Return the module that defines a registered task; "__main__" for a notebook or script."""
    entry = gym.registry[task].entry_point
    if isinstance(entry, str):
        return entry.partition(":")[0]
    return str(getattr(getattr(entry, "func", entry), "__module__", ""))  # func: of a partial


def check_task(task: str, module: str | None = None) -> None:
    """Raise ValueError if a task is not registered; `module` is the one that defined it."""
    if task in gym.registry:
        return
    if module == "__main__":
        raise ValueError(
            f"The task {task!r} is not registered; a notebook or script registered it: run that "
            "again, or move the task into a module, and import it with --import MODULE on the "
            "command line."
        )
    if module is not None:
        raise ValueError(
            f"The task {task!r} is not registered; first import {module}, which registered it (on "
            f"the command line: --import {module})."
        )
    close = difflib.get_close_matches(task, list(gym.registry), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "`mpn-lab tasks` lists them."
    raise ValueError(
        f"There is no task {task!r}; expected an id registered with gymnasium, neurogym's or your "
        f"own (import its module first, on the command line with --import): {hint}"
    )


def task_ids() -> list[str]:
    """Return the registered ids of neurogym's, mpn_lab's and the user's tasks, trainable or not.

    gymnasium's own environments are omitted.
    """
    own = [
        name for name in gym.registry if not task_module(name).startswith(("gymnasium", "neurogym"))
    ]
    return [
        *all_envs(collections=True),
        *OWN_TASKS,
        *(name for name in own if name not in OWN_TASKS),
    ]


def registered_id(env: gym.Env, made_by_id: bool) -> str | None:
    """Return the id that makes this environment with the same wrappers; None if there is none."""
    spec = env.unwrapped.spec if made_by_id else env.spec
    if made_by_id:
        return None if spec is None else spec.id
    known = gym.registry.get(spec.id) if spec is not None else None
    if spec is None or known is None or spec.additional_wrappers != known.additional_wrappers:
        return None
    return spec.id
