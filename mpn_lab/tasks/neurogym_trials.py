"""The trials of a neurogym environment, through all of its wrappers: seeded, aged, and judged.

neurogym's own `seed` and `step` leave gaps. A `seed` reaches neither the other environments of
`ScheduleEnvs` nor its schedule; a block begins anew whenever an environment does; `step` erases the
performance that a task sets when it begins a trial (GoNogo); and an environment of `ScheduleEnvs`
that ends a trial returns its own observation with it, though another's trial has begun.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import gymnasium as gym
import neurogym.core
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from neurogym.core import TrialEnv as NeurogymTask
from neurogym.core import TrialWrapper
from neurogym.utils.ngym_random import TruncExp
from neurogym.utils.scheduler import BaseSchedule

TRANSPARENT = (OrderEnforcing, PassiveEnvChecker)  # wrappers that change no observation
DECLARED = "trials_per_block"  # the attribute that says how long a rule or block lasts, in trials

_AGE, _OTHERS = 0x616765, 0x6F7468  # separate an environment's age and inner seeds from its trials
_DRAWN = 200  # trials drawn to find out whether a task has rules or blocks that outlive a trial
_PROBES = (65537, 257, 17)  # seeds of the trials that are drawn again and again to that end
_KEPT = {  # never changed by a trial: neither copied nor restored
    *("_top", "observation_space", "action_space", "spec", "_has_reset"),
    *("_action_space", "_observation_space", "_cached_spec", "_metadata", "_reward_range"),
}
_UNTOUCHED = float("0")  # this object, not its value: a performance that nothing has assigned
_blocks: dict[Hashable, int] = {}  # trials per block of the tasks made so far


class NeurogymTrials:
    """Seeds a neurogym environment and begins its trials.

    It takes the place of the outermost wrapper in neurogym's own hook: a task begins each trial by
    `task._top.new_trial()`.

    Args:
        env: the environment; its innermost part is a neurogym task.
        key: identifies environments that are made alike; None: made only once.
    """

    def __init__(self, env: gym.Env, key: Hashable = None) -> None:
        self.env = env
        self.nodes = all_nodes(env)
        self.tasks = [node for node in self.nodes if isinstance(node, NeurogymTask)]
        self.wrappers = [node for node in self.nodes if not isinstance(node, NeurogymTask)]
        self._top: Any = next((n for n in self.nodes if isinstance(n, TrialWrapper)), env.unwrapped)
        self._initial: tuple[Any, Any] | None = None  # the task that began, and its performance
        for node in self.nodes:
            if isinstance(node, OrderEnforcing):  # `new_trial` takes the place of its reset
                node._has_reset = True
        for task in self.tasks:
            task.set_top(self)
        self.shows_plan = all(
            isinstance(node, TRANSPARENT) or type(node).step is gym.Wrapper.step
            for node in self.wrappers
        )
        self._judges = all(_mentions(type(task), "performance") for task in self.tasks)
        self._uses_np_random = any(_mentions(type(task), "np_random") for task in self.tasks)
        self._pristine = [(node, *_copy_state(node, self.nodes)) for node in self.nodes]
        self._key = key
        self._block: int | None = None

    @property
    def task(self) -> Any:
        """The task of the current trial: `ScheduleEnvs` has several."""
        return self.env.unwrapped

    def seed(self, seed: int) -> int:
        """Determine all subsequent trials, whatever came before.

        Returns the number of trials to draw before the first one: 0 unless a rule or block of the
        task outlives a trial. It is random, or every environment would begin in the same block.
        """
        age = random_age(seed, self._trials_per_block())
        self._reset(seed)
        return age

    def new_trial(self, **kwargs: Any) -> Any:
        """Begin a trial, as neurogym's tasks and wrappers do with their outermost wrapper."""
        for task in self.tasks:
            task.performance = _UNTOUCHED
            task._duration.clear()  # neurogym keeps the periods that an earlier trial had
        conditions = self._top.new_trial(**kwargs)
        task = self.task
        task.t = task.t_ind = 0
        self._initial = task, task.performance
        if task._ob_built:
            for other in self.tasks:  # the one whose trial ended returns its own `ob[0]`
                other.ob = task.ob
        return conditions

    def step(self, action: Any) -> Any:
        """Step the outermost wrapper that begins trials, as neurogym's `reset` does."""
        return self._top.step(action)

    def judge(self, info: dict) -> Any:
        """Return the performance in a trial's last `info`: nan if the task never assigns one.

        The next trial has begun by now; the performance that its task set then is restored.
        """
        found = info.get("performance", np.nan)
        if self._initial is not None:
            task, performance = self._initial
            task.performance = performance
        return np.nan if found is _UNTOUCHED and not self._judges else found

    def first_observation(self) -> Any:
        """Return the planned first observation, after the task's own last touch (Reaching1D's)."""
        return self.task.post_step(self.task.ob[0], 0.0, False, False, {})[0]

    @property
    def planned_obs(self) -> np.ndarray | None:
        """The observations of the current trial, [T, d], if the agent sees them as planned."""
        task = self.task
        as_planned = self.shows_plan and type(task).post_step is NeurogymTask.post_step
        return np.array(task.ob, np.float32) if as_planned and task._ob_built else None

    def _trials_per_block(self) -> int:
        """Return about how many trials a rule or block lasts; 0 if none outlives a trial."""
        declared = declared_block(self.nodes)
        if declared is not None:
            return declared
        if self._block is None:
            self._block = _blocks.get(self._key)
        if self._block is None:
            self._block = self._measure_block()
            if self._key is not None:
                _blocks[self._key] = self._block
        return self._block

    def _measure_block(self) -> int:
        """Find out how many trials a rule or block lasts: a trial that depends on none of them
        follows from its random numbers alone, however many trials came before it."""
        first = []
        for seed in _PROBES:
            self._reset(seed)
            first.append(self._draw())
        drawn, changes, found = 1, [0, 0, 0], 0
        as_first = [True, True, True]  # whether the same random numbers gave the same trial again
        for k in range(_DRAWN):
            if k % 3:  # with other random numbers; not each time, or every second trial is missed
                self._seed(k)
                self.new_trial()
                drawn += 1
            self._seed(_PROBES[k % 3])
            same = self._draw() == first[k % 3]
            found = found or (0 if same else drawn)
            drawn += 1
            changes[k % 3] += same != as_first[k % 3]
            as_first[k % 3] = same
        return -(-drawn // max(changes)) if max(changes) > 1 else found

    def _draw(self) -> Any:
        """Begin a trial, and return what is known of it, as values that compare.

        Arrays among its conditions are left out: some have entries that are never set (DawTwoStep).
        """
        conditions, task = self.new_trial(), self.task
        conditions = conditions if isinstance(conditions, dict) else {}
        known: list[Any] = [
            {k: repr(v) for k, v in conditions.items() if not isinstance(v, np.ndarray)}
        ]
        known += [{name: (task.start_ind[name], task.end_ind[name]) for name in task._duration}]
        known += [task.ob.tobytes() if task._ob_built else None]
        return [*known, task.gt.tobytes() if task._gt_built else None]

    def _reset(self, seed: int) -> None:
        """Restore the state in which the environment was made, and seed every generator."""
        for node, state, kept in self._pristine:
            own = vars(node)
            for name in [name for name in own if name not in state and name not in kept]:
                del own[name]
            shared = [*self.nodes, *_replaced_by_seed(node, state)]
            own.update(copy.deepcopy(state, {id(item): item for item in shared}))
        self._seed(seed)

    def _seed(self, seed: int) -> None:
        """Seed every generator: the first task's by the seed itself, each other by its own."""
        others = _numbers(seed)
        for node in self.wrappers:
            if hasattr(type(node), "seed"):
                node.seed(next(others))
            for name, value in list(vars(node).items()):
                if isinstance(value, BaseSchedule):
                    value.seed(next(others))
                elif isinstance(value, np.random.RandomState):
                    setattr(node, name, np.random.RandomState(next(others)))
                elif isinstance(value, np.random.Generator):
                    setattr(node, name, np.random.default_rng(next(others)))
        for task in self.tasks:
            own = seed if task is self.tasks[0] else next(others)
            task.seed(own)
            if self._uses_np_random:
                task.np_random = np.random.default_rng(own)
            for name, value in vars(task).items():
                if isinstance(value, np.random.Generator):  # AnnubesEnv's; seed() leaves it
                    setattr(task, name, np.random.default_rng(own))


def _numbers(seed: int) -> Iterator[int]:
    """Yield seeds that differ from each other and from the one that they are drawn from."""
    rng = np.random.default_rng([seed, _OTHERS])
    while True:
        yield int(rng.integers(2**32))


def all_nodes(env: gym.Env) -> list[Any]:
    """Return an environment's wrappers and tasks, from the outermost to the innermost."""
    found: list[Any] = []

    def visit(node: gym.Env) -> None:
        if any(node is other for other in found):
            return
        found.append(node)
        for name, value in vars(node).items():
            if name != "_top":  # leads back to the outermost wrapper
                for inner in value if isinstance(value, list | tuple) else [value]:
                    if isinstance(inner, gym.Env):
                        visit(inner)

    visit(env)
    return found


def declared_block(nodes: list[Any]) -> int | None:
    """Return what an environment or one of its wrappers declares as `trials_per_block`.

    Raises:
        ValueError: it is not a whole number from 0 up.
    """
    for node in nodes:
        value = vars(node).get(DECLARED, getattr(type(node), DECLARED, None))
        if value is not None:
            if not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(
                    f"{DECLARED} of {type(node).__name__} is {value!r}; expected a whole number: "
                    "about how many trials a rule or block lasts, or 0 if none outlives a trial."
                )
            return int(value)
    return None


def random_age(seed: int, trials_per_block: int) -> int:
    """Draw the number of trials that an environment is old when its first trial begins.

    The sum of two uniform numbers over four blocks each: every phase of a block is almost equally
    probable, and of two blocks in turn both are.
    """
    if not trials_per_block:
        return 0
    rng = np.random.default_rng([seed, _AGE])
    return int(rng.integers(4 * trials_per_block, size=2).sum())


@contextmanager
def seeded_construction() -> Iterator[None]:
    """Fix what a task or wrapper draws while it is made, before it can be seeded."""
    initialise = neurogym.core.BaseEnv.__init__

    def seeded(self: Any, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        self.rng = np.random.RandomState(0)

    with mock.patch.object(neurogym.core.BaseEnv, "__init__", seeded):
        yield


def _copy_state(node: Any, nodes: list[Any]) -> tuple[dict[str, Any], set[str]]:
    """Copy the state of a task or wrapper; the names that cannot be copied are apart."""
    state, kept = {}, set(_KEPT)
    for name, value in vars(node).items():
        if name not in kept:
            try:
                copy.deepcopy(value, {id(item): item for item in nodes})
                state[name] = value
            except Exception:  # a file, a lock: whatever it is, it says nothing of the next trial
                kept.add(name)
    return copy.deepcopy(state, {id(item): item for item in nodes}), kept


def _replaced_by_seed(node: Any, state: dict[str, Any]) -> list[Any]:
    """List the generators that seeding replaces: copying them takes longer than all the rest."""
    if isinstance(node, NeurogymTask):
        if type(node).seed is not NeurogymTask.seed:
            return []
        timing = state["timing"].values()
        return [state["rng"], *(period.rng for period in timing if isinstance(period, TruncExp))]
    return [value.rng for value in state.values() if isinstance(value, BaseSchedule)]


def _mentions(kind: type, name: str) -> bool:
    """Whether a task's own code has an attribute of this name; True if the code cannot be read."""
    own = kind.__mro__[: kind.__mro__.index(NeurogymTask)]
    members = [value for base in own for value in vars(base).values()]
    functions = [inspect.unwrap(f) for f in members if callable(f) and not inspect.isclass(f)]
    return any(not hasattr(f, "__code__") or name in f.__code__.co_names for f in functions)
