"""A replay buffer that samples windows, with a choice of the states from which they start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mpn_lab.checks import check_choice, check_int, show
from mpn_lab.loading import ArraySpec, check_within
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.replay.trials import TrialBatch, TrialReplayBuffer

Start = Literal["zero", "stored", "replayed"]


class SequenceReplayBuffer(TrialReplayBuffer):
    """Stores the last `buffer_size` segments of consecutive trials and samples windows of them.

    A segment is one trial, or `trials_per_segment` consecutive trials of one environment. Windows
    are sampled so that every step is included equally often. A window that would extend beyond the
    beginning or the end of its trial (of its segment, if windows span trials) is cut there. If the
    trial continues after the window, one more step is replayed but not trained on: the last TD
    error needs its value.

    Args:
        buffer_size: number of segments stored.
        codec: encodes the states of the steps as codes, see `StateCodec`.
        window: number of steps that are trained on; None: the whole segment.
        start: the state before the first step that is replayed: `zero`; `stored`, the state at
            collection, computed with the parameters at collection; `replayed`, recomputed from the
            last reset with the current parameters, without a gradient.
        burn_in: number of steps before the window that only update the state (R2D2).
        across_trials: whether a window may contain parts of several trials.
        reset_trials: whether the state was reset before every trial, or only before the segment.
        trials_per_segment: maximum number of trials in a segment.
        carried: whether each segment starts from its own stored state instead of zero.
        n_actions, max_steps, seed: as in `TrialReplayBuffer`.

    Source: Kapturowski et al., R2D2, ICLR 2019 (stored states, burn-in).
    """

    _per_step = (*TrialReplayBuffer._per_step, "_codes")

    def __init__(
        self,
        buffer_size: int,
        codec: StateCodec,
        *,
        window: int | None,
        start: Start = "stored",
        burn_in: int = 0,
        across_trials: bool = False,
        reset_trials: bool = True,
        trials_per_segment: int = 1,
        carried: bool = False,
        n_actions: int | None = None,
        max_steps: int = 64,
        seed: int | Sequence[int] = 0,
    ) -> None:
        check_choice("start", start, Start)
        if window is not None:
            window = check_int("window", window, 1)
        trials_per_segment = check_int("trials_per_segment", trials_per_segment, 1)
        burn_in = check_int("burn_in", burn_in, 0)
        self.codec, self.window, self.start, self.burn_in = codec, window, start, burn_in
        self.across_trials, self.reset_trials = across_trials, reset_trials
        self.trials_per_segment, self.carried = trials_per_segment, carried
        super().__init__(buffer_size, n_actions=n_actions, max_steps=max_steps, seed=seed)

    def _allocate(self) -> None:
        super()._allocate()
        n, codec = self.buffer_size, self.codec
        self._ends = np.zeros((n, self.trials_per_segment), np.int64)  # of each trial
        self._codes = np.zeros((n, self.max_steps, self._width), self._dtype)
        self._initial = np.zeros((n, codec.size if self.carried else 0), np.float32)

    def _size(self, steps: int, d: int) -> int:
        per_segment = 8 * self.trials_per_segment + 4 * self.codec.size * self.carried
        per_segment += steps * self._width * self._dtype.itemsize
        return super()._size(steps, d) + self.buffer_size * per_segment

    @property
    def _width(self) -> int:
        """Numbers in the code of one step's state."""
        return self.codec.width if self.stores_states else 0

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype(str(self.codec.dtype).removeprefix("torch."))

    @property
    def stores_states(self) -> bool:
        """Whether the states of the steps are stored."""
        return self.start == "stored" and self.window is not None

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        return super().nbytes + self._ends.nbytes + self._codes.nbytes + self._initial.nbytes

    def push_segment(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        ends: Sequence[int],
        codes: np.ndarray | None = None,
        initial_state: np.ndarray | None = None,
    ) -> None:
        """Store consecutive trials of T steps in total.

        Args:
            obs: [T, d]. action, reward, done: [T].
            ends: for each trial, the step after its last.
            codes: [T, width], from `StateCodec.encode`, if the buffer stores states.
            initial_state: the state before the segment, flattened; None: zero.

        Raises:
            ValueError: as in `push_trial`, or ends, codes or an initial state that do not belong
                to such a segment. The buffer stays as it was.
        """
        obs, action, reward, done = self._checked(obs, action, reward, done)
        most, T = self._ends.shape[1], len(obs)
        stops = np.asarray(ends)
        rising = (
            stops.ndim == 1
            and stops.dtype.kind in "iu"
            and 1 <= len(stops) <= most
            and stops[-1] == T
            and (np.diff(stops, prepend=0) > 0).all()
        )
        if not rising:
            raise ValueError(
                f"the segment's ends are {show(ends)}; expected 1 to {most} rising steps, the "
                f"last of them {T}, the segment's length."
            )
        expected = (T, self._codes.shape[2])
        if self.stores_states and np.shape(codes) != expected:  # type: ignore[arg-type]
            raise ValueError(
                f"the segment's codes have the shape {np.shape(codes)}; expected {expected}, from "  # type: ignore[arg-type]
                "StateCodec.encode."
            )
        if initial_state is not None and initial_state.shape != self._initial.shape[1:]:
            raise ValueError(
                f"the segment's initial state has shape {initial_state.shape}; expected "
                f"{self._initial.shape[1:]}: the state of the network that the buffer was made for."
            )
        i = self._put(obs, action, reward, done)
        self._ends[i] = ends[-1]
        self._ends[i, : len(ends)] = ends
        if self.stores_states:
            self._codes[i, : len(obs)], self._codes[i, len(obs) :] = codes, 0
        if self._initial.shape[1]:
            self._initial[i] = 0 if initial_state is None else initial_state

    def sample(self, batch_size: int, device: torch.device | str = "cpu") -> TrialBatch:
        """Sample `batch_size` windows; one with resets inside becomes several rows.

        Raises:
            ValueError: an empty buffer, a batch below 1, or a window longer than any trial.
        """
        check_int("batch_size", batch_size, 1)
        if not len(self):
            raise ValueError("the buffer holds no segments; push some first.")
        i, s, e = self._sample_windows(batch_size)
        i, s, e, high, origin = self._cut_at_resets(i, s, e)
        stop = np.minimum(e + 1, high)  # with the step whose value the last TD error needs
        begin = s
        if self.start == "replayed":
            begin = origin
        elif self.burn_in:
            begin = np.maximum(s - self.burn_in, origin)
        t = s[:, None] + np.arange((stop - s).max())  # (R, T), steps of the segment
        mask = t < stop[:, None]
        at = i[:, None], np.minimum(t, self.max_steps - 1)
        assert self._obs is not None
        batch = TrialBatch(
            torch.from_numpy(np.where(mask[:, :, None], self._obs[at], np.float32(0))),
            torch.from_numpy(np.where(mask, self._action[at], 0)),
            torch.from_numpy(np.where(mask, self._reward[at], np.float32(0))),
            torch.from_numpy(self._terminated[at] & (t < e[:, None])),
            torch.from_numpy(mask),
            self._states(i, begin, origin),
            **self._burn_in(i, begin, s),
            cut=self._cut(i, np.minimum(t, self.max_steps - 1), mask),
        )
        return batch.to(device)

    def _sample_windows(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample `n` windows. Returns their segments, first steps, and steps after the last."""
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
        # Windows that extend beyond an end are included, or steps near it would be trained less.
        count = np.where(steps > 0, steps + self.window - 1, 0).cumsum()
        sampled = self.rng.integers(count[-1], size=n)
        which = np.searchsorted(count, sampled, side="right")
        last = sampled - np.concatenate([[0], count[:-1]])[which]  # step of the window, 0 .. T+W-2
        low, high = starts.ravel()[which], ends.ravel()[which]
        s = np.maximum(low + last - self.window + 1, low)
        return which // ends.shape[1], s, np.minimum(low + last + 1, high)

    def _cut_at_resets(self, i: np.ndarray, s: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, ...]:
        """Cut windows at resets into parts, each a row of the batch.

        Returns for each part its segment `i`, first step `s`, step after the last `e`, the step
        `high` after the last of its trial (or segment), and the step `origin` of the last reset.
        """
        if self.window is None or (self.across_trials and not self.reset_trials):
            return i, s, e, self.length[i], np.zeros_like(s)
        starts = np.concatenate([np.zeros((len(i), 1), np.int64), self._ends[i][:, :-1]], 1)
        first = (self._ends[i] <= s[:, None]).sum(1)  # trial of the window's first step
        final = (self._ends[i] <= e[:, None] - 1).sum(1)  # trial of its last step
        parts = final - first + 1
        rows = np.repeat(np.arange(len(i)), parts)
        trial = first[rows] + np.arange(len(rows)) - np.repeat(parts.cumsum() - parts, parts)
        low, high = starts[rows, trial], self._ends[i[rows], trial]
        origin = low if self.reset_trials else np.zeros_like(low)
        return i[rows], np.maximum(s[rows], low), np.minimum(e[rows], high), high, origin

    def _cut(self, i: np.ndarray, t: np.ndarray, mask: np.ndarray) -> Tensor | None:
        """Return where a trial that was cut short ends at step `t`; None if none does in a row."""
        if self.trials_per_segment == 1:
            return None
        last = np.zeros((len(i), self.max_steps), bool)
        np.put_along_axis(last, self._ends[i] - 1, True, axis=1)
        cut = np.take_along_axis(last, t, 1) & ~self._terminated[i[:, None], t] & mask
        return torch.from_numpy(cut) if cut.any() else None

    def _burn_in(self, i: np.ndarray, begin: np.ndarray, s: np.ndarray) -> dict[str, Tensor]:
        """Return the observations from step `begin` to `s` as fields of a batch; none: {}."""
        length = s - begin
        if not length.any():
            return {}
        t = np.minimum(begin[:, None] + np.arange(length.max()), s[:, None])  # (R, K)
        assert self._obs is not None
        obs = self._obs[i[:, None], np.minimum(t, self.max_steps - 1)]
        return {"burn_in": torch.from_numpy(obs), "burn_in_length": torch.from_numpy(length)}

    def _states(self, i: np.ndarray, begin: np.ndarray, origin: np.ndarray) -> Any:
        """Return the states before step `begin`; None where all of them are M_0."""
        initial = torch.from_numpy(self._initial[i]) if self._initial.shape[1] else None
        if not self.stores_states:
            # A carried state cannot be recomputed: the segment starts from the stored one.
            if initial is None or self.start == "zero":
                return None
            return self.codec.unflatten(initial)
        length = begin - origin
        if self.codec.needs_history:
            t = np.minimum(origin[:, None] + np.arange(length.max()), self.max_steps - 1)
        else:
            t = np.maximum(begin - 1, 0)[:, None]
        codes = torch.from_numpy(self._codes[i[:, None], t])
        return self.codec.decode(codes, torch.from_numpy(length), initial)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As in `TrialReplayBuffer`."""
        arrays, meta = super().state()
        k = len(self)
        own = {"ends": self._ends[:k], "codes": self._codes[:k], "initial": self._initial[:k]}
        return arrays | own, meta

    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """As in `TrialReplayBuffer`."""
        super().load_state(arrays, meta)
        k, steps = arrays["codes"].shape[:2]
        self._ends[:k], self._initial[:k] = arrays["ends"], arrays["initial"]
        self._codes[:k, :steps] = arrays["codes"]

    def expected(self, k: int) -> dict[str, ArraySpec | np.ndarray]:
        """As in `TrialReplayBuffer`."""
        own: dict[str, ArraySpec | np.ndarray] = {
            "ends": self._ends[:k],
            "initial": self._initial[:k],
            "codes": ArraySpec((k, None, self._codes.shape[2]), self._codes.dtype),
        }
        return super().expected(k) | own

    def _check_ends(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """As in `TrialReplayBuffer`; raises ValueError where they do not rise to the length."""
        ends = arrays["ends"]
        if arrays["codes"].shape[1] != arrays["obs"].shape[1]:
            raise ValueError("codes and obs have different numbers of steps")
        length = arrays["length"][: len(ends), None]
        check_within("ends", ends, 1, int(length.max()))
        rises = (np.diff(ends) > 0) | (ends[:, :-1] == length)  # the last one is repeated
        if not rises.all() or (ends[:, -1:] != length).any():
            raise ValueError("ends do not rise to the length of their segment")
        return ends
