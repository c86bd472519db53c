"""Windows of lived trials, from a choice of starting states: the alternatives to whole trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from mpn_lab.replay.trials import TrialBatch, TrialReplayBuffer

Start = Literal["zero", "stored", "replayed"]


@runtime_checkable
class Codec(Protocol):
    """How lived states are kept, see `mpn_lab.networks.state_codec.StateCodec`."""

    width: int
    size: int
    dtype: torch.dtype

    @property
    def needs_history(self) -> bool: ...
    def decode(self, steps: Tensor, length: Tensor, start: Tensor | None = None) -> Any: ...
    def unflatten(self, flat: Tensor) -> Any: ...


class SequenceReplayBuffer(TrialReplayBuffer):
    """The last `capacity` stretches of consecutive trials, replayed in windows.

    A stretch is one trial, or the `trials_per_stretch` trials that one environment lived one after
    the other. Windows are drawn uniformly: every step is equally often inside one. A window that
    would begin before the trial (the stretch, if windows go across trials) begins with it, and
    one that would end after it ends with it. Where the trial goes on after the window, one more
    step is replayed, whose value the last TD error needs; it is not trained.

    Args:
        capacity: stretches to hold.
        codec: how the states of the steps are kept.
        window: steps that are trained; None: the whole stretch.
        start: the state before the window's first step (before the burn-in): `zero`; `stored`, the
            one that was lived, with the parameters of then; `replayed`, made anew from the last
            reset on with today's parameters, without a gradient.
        burn_in: steps before the window that only bring the state up to date (R2D2).
        across_trials: windows may hold parts of several trials.
        reset_trials: whether the state was reset before every trial, or before the stretch alone.
        trials_per_stretch: the most trials in a stretch.
        carried: whether stretches start from a state of their own instead of zero.
        n_actions, max_steps, seed: as of `TrialReplayBuffer`.

    Source: Kapturowski et al., R2D2, ICLR 2019 (stored states, burn-in).
    """

    def __init__(
        self,
        capacity: int,
        codec: Codec,
        *,
        window: int | None,
        start: Start = "stored",
        burn_in: int = 0,
        across_trials: bool = False,
        reset_trials: bool = True,
        trials_per_stretch: int = 1,
        carried: bool = False,
        n_actions: int | None = None,
        max_steps: int = 64,
        seed: int | Sequence[int] = 0,
    ) -> None:
        super().__init__(capacity, n_actions=n_actions, max_steps=max_steps, seed=seed)
        self.codec, self.window, self.start, self.burn_in = codec, window, start, burn_in
        self.across_trials, self.reset_trials = across_trials, reset_trials
        self._ends = np.zeros((capacity, trials_per_stretch), np.int64)  # of each trial
        dtype = np.dtype(str(codec.dtype).removeprefix("torch."))
        width = codec.width if self.keeps_states else 0
        self._kept = np.zeros((capacity, max_steps, width), dtype)
        self._first = np.zeros((capacity, codec.size if carried else 0), np.float32)

    @property
    def keeps_states(self) -> bool:
        """Whether the states of the steps are needed."""
        return self.start == "stored" and self.window is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return super().nbytes + self._ends.nbytes + self._kept.nbytes + self._first.nbytes

    def push_stretch(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        ends: Sequence[int],
        kept: np.ndarray | None = None,
        first: np.ndarray | None = None,
    ) -> None:
        """Store consecutive trials of T steps in all.

        Args:
            obs: [T, d]. action, reward, done: [T].
            ends: the step after the last of each trial.
            kept: [T, width], from `StateCodec.encode`, where the buffer keeps states.
            first: the flattened state that the stretch began with; None: zero.

        Raises:
            ValueError: as `push_trial`, or a first state of another size than the network's.
        """
        self._check(obs, action, reward)
        if first is not None and first.shape != self._first.shape[1:]:
            raise ValueError(
                f"the stretch's first state has shape {first.shape}; expected "
                f"{self._first.shape[1:]}: the state of the network that the buffer was made for."
            )
        i = self._put(obs, action, reward, done)
        self._ends[i] = ends[-1]
        self._ends[i, : len(ends)] = ends
        if self.keeps_states:
            self._kept[i, : len(obs)], self._kept[i, len(obs) :] = kept, 0
        if self._first.shape[1]:
            self._first[i] = 0 if first is None else first

    def sample(self, batch_size: int, device: torch.device | str | None = None) -> TrialBatch:
        """Draw `batch_size` windows; those that hold several resets come as several rows.

        Raises:
            ValueError: an empty buffer, a batch below 1, or a window longer than any trial.
        """
        if batch_size < 1 or not len(self):
            raise ValueError(
                f"batch_size is {batch_size} and the buffer holds {len(self)} stretches; push "
                "some first and ask for at least 1."
            )
        i, s, e = self._draw(batch_size)
        i, s, e, high, origin = self._parts(i, s, e)
        more = np.minimum(e + 1, high)  # with the step whose value the last one needs
        begin = s
        if self.start == "replayed":
            begin = origin
        elif self.burn_in:
            begin = np.maximum(s - self.burn_in, origin)
        t = s[:, None] + np.arange((more - s).max())  # (R, T), steps of the stretch
        mask = t < more[:, None]
        at = i[:, None], np.minimum(t, self.max_steps - 1)
        assert self._obs is not None
        batch = TrialBatch(
            *(
                torch.from_numpy(a).to(device)
                for a in (
                    np.where(mask[:, :, None], self._obs[at], np.float32(0)),
                    np.where(mask, self._action[at], 0),
                    np.where(mask, self._reward[at], np.float32(0)),
                    self._terminated[at] & (t < e[:, None]),
                    mask,
                )
            )
        )
        before = self._burn_in(i, begin, s)
        state = self._states(i, begin, origin)
        return batch._replace(state=state, **before)

    def _draw(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stretch, first step and step after the last of `n` windows."""
        if self.window is None:
            i = self.rng.integers(len(self), size=n)
            return i, np.zeros(n, np.int64), self.length[i]
        ends = self.length[: len(self), None] if self.across_trials else self._ends[: len(self)]
        starts = np.concatenate([np.zeros_like(ends[:, :1]), ends[:, :-1]], 1)
        steps = (ends - starts).ravel()
        if self.window > steps.max():
            raise ValueError(
                f"window is {self.window} steps, but the longest trial has {steps.max()}; choose a "
                "shorter window, or replay whole trials."
            )
        # Windows that reach beyond an end count too, or the steps near it would be trained less.
        count = np.where(steps > 0, steps + self.window - 1, 0).cumsum()
        drawn = self.rng.integers(count[-1], size=n)
        which = np.searchsorted(count, drawn, side="right")
        last = drawn - np.concatenate([[0], count[:-1]])[which]  # of the window, 0 .. T + W - 2
        low, high = starts.ravel()[which], ends.ravel()[which]
        s = np.maximum(low + last - self.window + 1, low)
        return which // ends.shape[1], s, np.minimum(low + last + 1, high)

    def _parts(self, i: np.ndarray, s: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, ...]:
        """Cut windows at resets.

        Returns for each part its stretch, first step and step after the last, the step that it
        stays before, and the reset that it comes after.
        """
        if self.window is None or (self.across_trials and not self.reset_trials):
            return i, s, e, self.length[i], np.zeros_like(s)
        starts = np.concatenate([np.zeros((len(i), 1), np.int64), self._ends[i][:, :-1]], 1)
        first = (self._ends[i] <= s[:, None]).sum(1)  # trial of the window's first step
        final = (self._ends[i] <= e[:, None] - 1).sum(1)  # and of its last
        parts = final - first + 1
        rows = np.repeat(np.arange(len(i)), parts)
        trial = first[rows] + np.arange(len(rows)) - np.repeat(parts.cumsum() - parts, parts)
        low, high = starts[rows, trial], self._ends[i[rows], trial]
        origin = low if self.reset_trials else np.zeros_like(low)
        return i[rows], np.maximum(s[rows], low), np.minimum(e[rows], high), high, origin

    def _burn_in(self, i: np.ndarray, begin: np.ndarray, s: np.ndarray) -> dict[str, Tensor]:
        length = s - begin
        if not length.any():
            return {}
        t = np.minimum(begin[:, None] + np.arange(length.max()), s[:, None])  # (R, K)
        assert self._obs is not None
        obs = self._obs[i[:, None], np.minimum(t, self.max_steps - 1)]
        return {"burn_in": torch.from_numpy(obs), "burn_in_length": torch.from_numpy(length)}

    def _states(self, i: np.ndarray, begin: np.ndarray, origin: np.ndarray) -> Any:
        """The states before step `begin`; None where all of them are M_0."""
        first = torch.from_numpy(self._first[i]) if self._first.shape[1] else None
        if not self.keeps_states:
            # A stretch that was carried over has nothing but its stored first state to start from.
            if first is None or self.start == "zero":
                return None
            return self.codec.unflatten(first)
        length = begin - origin
        if self.codec.needs_history:
            t = np.minimum(origin[:, None] + np.arange(length.max()), self.max_steps - 1)
        else:
            t = np.maximum(begin - 1, 0)[:, None]
        kept = torch.from_numpy(self._kept[i[:, None], t])
        return self.codec.decode(kept, torch.from_numpy(length), first)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As `TrialReplayBuffer.state`."""
        arrays, meta = super().state()
        k = len(self)
        own = {"ends": self._ends[:k], "kept": self._kept[:k], "first": self._first[:k]}
        return arrays | own, meta

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """As `TrialReplayBuffer.restore`."""
        super().restore(arrays, meta)
        k = len(self)
        self._ends[:k], self._first[:k] = arrays["ends"], arrays["first"]
        self._kept[:k, : arrays["kept"].shape[1]] = arrays["kept"]

    def _make_room(self, T: int, d: int) -> None:
        super()._make_room(T, d)
        if (more := self.max_steps - self._kept.shape[1]) > 0:
            self._kept = np.pad(self._kept, [(0, 0), (0, more), (0, 0)])
