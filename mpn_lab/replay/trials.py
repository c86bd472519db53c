"""A replay buffer of whole trials; states are not stored but recomputed during replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import optree
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mpn_lab.checks import check_device, check_int, check_memory, memory, show
from mpn_lab.loading import (
    ArraySpec,
    check_arrays,
    check_generator,
    check_integer,
    check_within,
)


class TrialBatch(NamedTuple):
    """A batch of B rows, whole trials or parts of them, zero-padded to the length T of the longest.

    A network processes a row starting from `state` (None: M_0): first the observations of
    `burn_in`, which only update the state, then those of `obs`, which are trained on.
    """

    obs: Float[Tensor, "B T d"]
    action: Int[Tensor, "B T"]
    reward: Float[Tensor, "B T"]
    terminated: Bool[Tensor, "B T"]  # true at a trial's last step, unless the trial was cut
    mask: Bool[Tensor, "B T"]  # true at the steps of the trial, false at padding
    state: Any = None  # as the network's core takes it
    burn_in: Float[Tensor, "B K d"] | None = None  # obs before each row, padded at the end
    burn_in_length: Int[Tensor, " B"] | None = None
    cut: Bool[Tensor, "B T"] | None = None  # where a trial was cut and the row may go on; None: no

    def to(self, device: torch.device | str) -> TrialBatch:
        """Return the batch on a device. Raises ValueError if torch does not find it."""
        if device != "cpu":
            device = check_device(device)
        moved: Any = optree.tree_map(lambda tensor: tensor.to(device), self)  # type: ignore[arg-type]
        return cast(TrialBatch, moved)


def _array(name: str, values: Any) -> np.ndarray:
    """Return one of a trial's lists as an array with a first axis. Raises ValueError."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # of unequal parts, or of tensors with gradients
        array = np.asarray(None)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"the trial's {name} is {show(values)}; expected an array, or a list of numbers or of "
            "equally long parts, with one entry per step."
        )
    return array


class TrialReplayBuffer:
    """Stores the last `buffer_size` trials and samples batches of them.

    Trials may differ in length: the arrays have room for `max_steps` steps per trial and grow when
    a longer one is pushed. Trials are sampled uniformly, with replacement.

    Args:
        buffer_size: number of trials stored; each further one overwrites the oldest.
        n_actions: if given, actions outside 0 .. n_actions - 1 are refused.
        max_steps: expected length of the longest trial; the arrays grow for a longer one.
        seed: seed of the sampling.

    Raises:
        ValueError: a buffer_size below 1, or more than fits into the memory.
    """

    # the arrays that grow with max_steps
    _per_step: tuple[str, ...] = ("_obs", "_action", "_reward", "_terminated")

    def __init__(
        self,
        buffer_size: int,
        *,
        n_actions: int | None = None,
        max_steps: int = 64,
        seed: int | Sequence[int] = 0,
    ) -> None:
        buffer_size = check_int("buffer_size", buffer_size, 1)
        max_steps = check_int("max_steps", max_steps, 1)
        if n_actions is not None:
            n_actions = check_int("n_actions", n_actions, 1)
        for number in seed if isinstance(seed, list | tuple) else [seed]:
            check_int("seed", number, 0, None)
        self.buffer_size, self.n_actions, self.max_steps = buffer_size, n_actions, max_steps
        self.rng = np.random.default_rng(seed)
        self.pushed = 0  # trials ever pushed
        self._obs: np.ndarray | None = None  # (buffer_size, max_steps, d), from the first push on
        with self._within_memory(max_steps, 0):
            self._allocate()

    def _allocate(self) -> None:
        """Make the arrays whose sizes are known before the first push."""
        shape = self.buffer_size, self.max_steps
        self.length = np.zeros(shape[0], np.int64)  # number of steps of each stored trial
        self._action = np.zeros(shape, np.int64)
        self._reward = np.zeros(shape, np.float32)
        self._terminated = np.zeros(shape, bool)

    def _size(self, steps: int, d: int) -> int:
        """Return the size in bytes of the arrays of trials of up to `steps` steps."""
        return self.buffer_size * (8 + steps * (4 * d + 8 + 4 + 1))

    @contextmanager
    def _within_memory(self, steps: int, d: int) -> Iterator[None]:
        """Raise ValueError if the arrays are too large, before or while they are made inside."""
        size, advice = self._size(steps, d), "choose a smaller buffer_size"
        what = f"a buffer of {self.buffer_size:,} trials of {steps:,} steps"
        check_memory(size, what, advice)
        try:
            yield
        except MemoryError:  # less of it is free, or the process is limited
            would = f"{what} would take {size / 1e9:,.1f} GB"
            raise ValueError(f"{would}, more than is free; {advice}.") from None

    def __len__(self) -> int:
        """Number of trials stored now."""
        return min(self.pushed, self.buffer_size)

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        arrays = (self._obs, self._action, self._reward, self._terminated, self.length)
        return sum(a.nbytes for a in arrays if a is not None)

    def push_trial(
        self,
        obs_list: Sequence[Any] | np.ndarray,
        action_list: Sequence[Any] | np.ndarray,
        reward_list: Sequence[Any] | np.ndarray,
        done_list: Sequence[Any] | np.ndarray,
    ) -> None:
        """Store one whole trial of T steps.

        Args:
            obs_list: T observations of d channels, each made before the action of its step.
            action_list: T actions.
            reward_list: T rewards, each received for the action of its step.
            done_list: T flags, true at the last step only; all false: the trial was cut short, and
                its last step, whose future is unknown, is not trained.

        Raises:
            ValueError: an empty trial, lists of different lengths, observations or rewards that
                are not finite, an action out of range, another number of channels than before, or
                a trial that is done before its last step. The buffer stays as it was.
        """
        obs, action, reward, done = self._checked(obs_list, action_list, reward_list, done_list)
        if done[:-1].any():
            raise ValueError(
                f"the trial is done at step {int(done.argmax())} of {len(done)}; expected done at "
                "the last step only: push one trial at a time."
            )
        self._put(obs, action, reward, done)

    def _checked(
        self, obs_list: Any, action_list: Any, reward_list: Any, done_list: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a trial as arrays obs [T, d], action, reward and done [T]; nothing is written.

        Raises ValueError, as `push_trial` says.
        """
        given = {"obs": obs_list, "action": action_list, "reward": reward_list, "done": done_list}
        arrays = {name: _array(name, value) for name, value in given.items()}
        lengths = [len(array) for array in arrays.values()]
        if len(set(lengths)) > 1:
            found = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise ValueError(f"a trial's lists have lengths {found}; expected all the same.")
        if lengths[0] == 0:
            raise ValueError("the trial is empty; expected at least one step.")
        for name in ("action", "reward", "done"):
            if arrays[name].ndim != 1:
                raise ValueError(
                    f"the trial's {name} has the shape {arrays[name].shape}; expected one for each "
                    f"of its {lengths[0]} steps."
                )
        obs, action, reward, done = arrays.values()
        obs = obs.reshape(len(obs), -1)
        if not obs.shape[1]:
            raise ValueError("the trial's observations have no channels; expected at least one.")
        with np.errstate(over="ignore"):  # infinite in float32: refused below
            obs, reward = obs.astype(np.float32, copy=False), reward.astype(np.float32, copy=False)
        self._check(obs, action, reward)
        if done.dtype != bool and not np.isin(done, (0, 1)).all():
            raise ValueError("the trial's done holds something other than True and False.")
        return obs, action, reward, done.astype(bool, copy=False)

    def _put(
        self, obs: np.ndarray, action: np.ndarray, reward: np.ndarray, done: np.ndarray
    ) -> int:
        """Overwrite the oldest trial. Returns its index."""
        T = len(obs)
        self._make_room(T, obs.shape[1])
        assert self._obs is not None
        i = self.pushed % self.buffer_size
        self._obs[i, :T], self._action[i, :T] = obs, action
        self._reward[i, :T], self._terminated[i, :T] = reward, done
        for array in (self._obs, self._action, self._reward, self._terminated):
            array[i, T:] = 0  # what an older, longer trial left there
        self.length[i] = T
        self.pushed += 1
        return i

    def sample(self, batch_size: int, device: torch.device | str = "cpu") -> TrialBatch:
        """Sample trials uniformly, with replacement.

        Raises:
            ValueError: a batch below 1 or larger than the number of stored trials.
        """
        if check_int("batch_size", batch_size, 1) > len(self):
            raise ValueError(
                f"batch_size is {batch_size}, but the buffer holds {len(self)} trials; "
                "push more trials first or ask for fewer."
            )
        assert self._obs is not None
        chosen = self.rng.integers(len(self), size=batch_size)
        length = self.length[chosen]
        T = int(length.max())
        mask = np.arange(T) < length[:, None]  # (B, T)
        arrays = (
            self._obs[chosen, :T],
            self._action[chosen, :T],
            self._reward[chosen, :T],
            self._terminated[chosen, :T],
            mask,
        )
        return TrialBatch(*(torch.from_numpy(a) for a in arrays)).to(device)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what `load_state` needs: arrays, and values that JSON can hold."""
        arrays: dict[str, np.ndarray] = {"length": self.length}
        if self._obs is not None:
            k = len(self)
            arrays |= {"obs": self._obs[:k], "action": self._action[:k]}
            arrays |= {"reward": self._reward[:k], "terminated": self._terminated[:k]}
        return arrays, {"pushed": self.pushed, "rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Restore what `state` returned. Raises ValueError, changing nothing, if it does not fit.

        The buffer must be of the same sizes, and nothing may have been pushed into it.
        """
        self.check_state(arrays, meta)
        self.length[:] = arrays["length"]
        if meta["pushed"]:
            k, steps, d = arrays["obs"].shape
            self._make_room(steps, d)
            assert self._obs is not None
            self._obs[:k, :steps], self._action[:k, :steps] = arrays["obs"], arrays["action"]
            self._reward[:k, :steps] = arrays["reward"]
            self._terminated[:k, :steps] = arrays["terminated"]
        self.pushed = meta["pushed"]
        self.rng.bit_generator.state = meta["rng"]

    def expected(self, k: int) -> dict[str, ArraySpec | np.ndarray]:
        """Return names, shapes and dtypes of the arrays of a buffer that holds `k` trials."""
        specs: dict[str, ArraySpec | np.ndarray] = {"length": self.length}
        if k:
            for name in ("action", "reward", "terminated"):
                specs[name] = ArraySpec((k, None), getattr(self, f"_{name}").dtype)
            specs["obs"] = ArraySpec((k, None, None), np.dtype(np.float32))
        return specs

    def check_state(self, arrays: dict[str, np.ndarray], meta: Any) -> None:
        """Raise ValueError unless `load_state` can load this, and every later sample is a trial."""
        if not isinstance(meta, dict) or set(meta) != {"pushed", "rng"}:
            raise ValueError("the buffer is not described by `pushed` and `rng`")
        k = min(check_integer("pushed", meta["pushed"], 0, 2**53), self.buffer_size)
        check_generator(meta["rng"])
        check_arrays(arrays, self.expected(k))
        length = arrays["length"]
        check_within("length of the empty places", length[k:], 0, 0)
        if not k:
            return
        steps, d = arrays["obs"].shape[1:]
        per_trial = [a for name, a in arrays.items() if name in ("action", "reward", "terminated")]
        if steps < 1 or any(array.shape[1] != steps for array in per_trial):
            raise ValueError("obs, action, reward and terminated have different numbers of steps")
        if (size := self._size(steps, d)) > memory():
            raise ValueError(f"the buffer would take {size / 1e9:.0f} GB, more than the memory")
        check_within("length", length[:k], 1, steps)
        check_within("action", arrays["action"], 0, _top(self.n_actions))
        padding = np.arange(steps) >= length[:k, None]  # (k, steps)
        for name in ("obs", "action", "reward", "terminated"):
            if arrays[name][padding].any():
                raise ValueError(f"{name} is not zero after the end of a trial")
            if name in ("obs", "reward") and not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} holds nan or infinity; expected finite numbers")
        last = np.zeros((k, steps), bool)
        np.put_along_axis(last, self._check_ends(arrays) - 1, True, axis=1)
        if (arrays["terminated"] & ~last).any():
            raise ValueError("terminated is true before the last step of a trial")

    def _check_ends(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return the step after the last of each trial, (k, trials); lengths are checked."""
        return arrays["length"][: len(arrays["obs"]), None]

    def _check(self, obs: np.ndarray, action: np.ndarray, reward: np.ndarray) -> None:
        for name, array in (("observation", obs), ("reward", reward)):
            if not np.isfinite(array).all():
                step = int(np.argwhere(~np.isfinite(array))[0][0])
                raise ValueError(
                    f"the {name} at step {step} holds {array[step]}; expected finite numbers."
                )
        if self._obs is not None and obs.shape[1] != self._obs.shape[2]:
            raise ValueError(
                f"the trial's observations have {obs.shape[1]} channels; the trials before it had "
                f"{self._obs.shape[2]}."
            )
        top = _top(self.n_actions)
        if not np.issubdtype(action.dtype, np.integer) or action.min() < 0 or action.max() > top:
            wrong = [a for a in action.tolist() if type(a) is not int or not 0 <= a <= top]
            upwards = "from 0" if self.n_actions is None else f"0 to {top}"
            raise ValueError(
                f"the trial has the action {show(wrong[0])}; expected integers {upwards}."
            )

    def _make_room(self, T: int, d: int) -> None:
        fits = self.max_steps >= T
        if fits and self._obs is not None:
            return
        steps = self.max_steps if fits else max(T, 2 * self.max_steps)
        with self._within_memory(steps, d):
            if self._obs is None:
                self._obs = np.zeros((self.buffer_size, self.max_steps, d), np.float32)
            more = [(0, 0), (0, steps - self.max_steps)]
            arrays = [] if fits else [getattr(self, name) for name in self._per_step]
            grown = [np.pad(array, more + [(0, 0)] * (array.ndim - 2)) for array in arrays]
        for name, array in zip(self._per_step, grown, strict=False):
            setattr(self, name, array)
        self.max_steps = steps


def _top(n_actions: int | None) -> int:
    """Return the largest action."""
    return np.iinfo(np.int64).max if n_actions is None else n_actions - 1
