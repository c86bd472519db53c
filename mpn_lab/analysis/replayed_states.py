"""Replays stored trials and computes the state before every step, from several starting states."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mpn_lab.analysis.trial_variables import pad
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.tasks.rollout import Trial
from mpn_lab.training.experience import encode_trials

_NUMBERS = 4_000_000  # float64 numbers processed at once


class Strategy(NamedTuple):
    """The state from which each window of a trial is replayed."""

    name: str
    start: Literal["zero", "stored", "trial"]  # "trial": from the trial's start instead
    burn_in: int = 0  # steps before the window


class ReplayedStates:
    """Computes the states before every step of stored trials, as stored and as replayed, flattened.

    Both sides of a comparison result from the same computations with the same shapes, so that equal
    parameters give equal bits: h and x from the trial's start in float32, as they were stored, and
    everything else in float64.

    Args:
        trials: from `load_stored_trials`; trials shorter than the longest are padded.
        codes: the encoded states of their steps (see `StateCodec`), from `load_stored_trials`.
        networks: the networks to replay with; the first one collected the trials.
        window: number of steps in each of the windows that tile a trial.
    """

    def __init__(
        self,
        trials: list[Trial],
        codes: list[np.ndarray],
        networks: list[QNetwork],
        window: int,
    ) -> None:
        T = max(len(trial) for trial in trials)
        self.codec = codec = StateCodec(networks[0])
        self.window, self.shape = window, (len(trials), T)
        self.precise = [copy.deepcopy(network).double() for network in networks]
        self.obs = torch.from_numpy(pad([trial.obs for trial in trials], T, 0, np.float32))
        self.initial = [codec.initial(network).double() for network in networks]  # (1, s)
        self.starts = [
            torch.cat(
                [
                    i if t.initial_state is None else codec.flatten(t.initial_state).double()
                    for t in trials
                ]
            )
            for i in self.initial
        ]  # with every network, (B, s)
        steps = [encode_trials(codec, network, trials) for network in networks]
        self.stored_codes, *self.encoded = (
            torch.from_numpy(pad(rows, T, 0, rows[0].dtype)) for rows in [codes, *steps]
        )  # (B, T, width)

    def parts(self) -> Iterator[slice]:
        """Yield the trials in portions that limit the memory."""
        B, T = self.shape
        history = T if self.codec.needs_history else 1
        n = max(1, _NUMBERS // (T * (history * self.codec.width + 8 * self.codec.size)))
        return (slice(i, i + n) for i in range(0, B, n))

    def stored(self, part: slice) -> Float[Tensor, "b T s"]:
        """Return the states before every step as they were stored at collection."""
        return self._whole(self.stored_codes[part], self.starts[0][part])

    def replayed(
        self, part: slice, age: int, strategy: Strategy, stored: Float[Tensor, "b T s"]
    ) -> Float[Tensor, "b T s"]:
        """Return the states before every step when network number `age` replays the trials."""
        if strategy.start == "trial":
            return self._whole(self.encoded[age][part], self.starts[age][part])
        codec, window, obs = self.codec, self.window, self.obs[part]
        b, T, _ = obs.shape
        before = stored if strategy.start == "stored" else self.initial[age].expand(b, T, -1)
        s = torch.arange(0, T, window)  # (w,), the windows' first steps
        begin = (s - strategy.burn_in).clamp(min=0)
        t = begin[:, None] + torch.arange(strategy.burn_in + window)  # (w, L)
        start = before[:, begin].flatten(0, 1)  # (b w, s)
        codes = codec.encode(
            self.precise[age],
            obs[:, t.clamp(max=T - 1)].flatten(0, 1).double(),  # (b w, L, c)
            codec.unflatten(start),
        )
        length = (s - begin)[:, None] + torch.arange(window)  # (w, window)
        states = _after(codec, codes, length.repeat(b, 1), start)  # (b w, window, s)
        return states.view(b, len(s) * window, -1)[:, :T]

    def values(self, part: slice, age: int, states: Float[Tensor, "b T s"]) -> np.ndarray:
        """Compute Q at every step from the state before it, [b, T, A] float64."""
        obs = self.obs[part].flatten(0, 1).double()  # (b T, c)
        q, _ = self.precise[age].step(obs, self.codec.unflatten(states.flatten(0, 1)))
        return q.view(*states.shape[:2], -1).numpy()

    def _whole(self, codes: Tensor, start: Tensor) -> Tensor:
        return _after(self.codec, codes, torch.arange(self.shape[1]).repeat(len(codes), 1), start)


def _after(
    codec: StateCodec,
    codes: Float[Tensor, "R L width"],
    length: Int[Tensor, "R k"],
    start: Float[Tensor, "R s"],
) -> Float[Tensor, "R k s"]:
    """Decode the state of each row after the first `length` of its codes, float64."""
    R, k = length.shape
    row, n = torch.arange(R).repeat_interleave(k), length.flatten()
    last = codes[row, (n - 1).clamp(min=0)][:, None]  # (R k, 1, width)
    steps = codes.double()[row] if codec.needs_history else last  # (R k, L, width)
    return codec.flatten(codec.decode(steps, n, start[row])).double().view(R, k, -1)
