"""Lived states, kept cheaply: M is a decayed sum of outer products, so h and x bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mpn_lab.networks.recurrent import State
from mpn_lab.networks.mpn import MPN
from mpn_lab.networks.qnetwork import QNetwork

_ROWS = 512  # states that are brought back at once: bounds the memory of their histories


class StateCodec:
    """What to keep of every step so that the state at any step can be brought back.

    - "factors", of one MPN layer without a bound and with scalar eta and lam: h_t, x_t, eta and lam
      of the step, n + d + 2 numbers in float32 instead of M's n d. Exact to some 1e-6 of |M|.
    - "half": the states themselves in float16, for every other MPN, or where that is smaller.
      Exact to 5e-4 of each M_ij.
    - "full": the states in float32, of a GRU, LSTM or RNN: they are vectors. Exact.

    Args:
        network: whose states are kept; its sizes and options decide.
    """

    def __init__(self, network: QNetwork) -> None:
        with torch.no_grad():
            _, state = network(torch.zeros(1, 1, network.obs_size))
        self._like = state
        self.size = sum(leaf[0].numel() for leaf in _leaves(state))
        self.kind = "half" if network.mpn_layers() else "full"
        core = network.core
        if isinstance(core, MPN) and core.bound is None and core.eta.dim() == core.lam.dim() == 0:
            self._update, self._sizes = core.update, [core.hidden_size, core.input_size, 1, 1]
            if 4 * sum(self._sizes) < 2 * self.size:
                self.kind = "factors"
        self.width = sum(self._sizes) if self.kind == "factors" else self.size
        self.dtype = torch.float16 if self.kind == "half" else torch.float32

    @property
    def bytes_per_step(self) -> int:
        """Bytes kept for each step of a trial."""
        return self.width * self.dtype.itemsize

    @property
    def needs_history(self) -> bool:
        """Whether a state is brought back from all steps before it, or from the last alone."""
        return self.kind == "factors"

    @torch.no_grad()
    def initial(self, network: QNetwork) -> Float[Tensor, "1 s"]:
        """The state that a network's trials begin with, flattened: zero, or the trained M_0."""
        first = [layer.initial_state(1).flatten(1) for layer in network.mpn_layers()]
        return torch.cat(first, 1) if first else torch.zeros(1, self.size)

    @torch.no_grad()
    def encode(
        self, network: QNetwork, obs: Float[Tensor, "B T c"], state: State | None = None
    ) -> Tensor:
        """What is kept of every step, [B, T, width], of rows that start from `state`."""
        if self.kind != "factors":
            _, _, activity = network(obs, state, return_states=True)
            states = [leaf.flatten(2) for leaf in _leaves(activity.states)]  # (B, T, .)
            return torch.cat(states, 2).to(self.dtype)
        core: Any = network.core
        x = network.embedding(obs)  # (B, T, d)
        h, _ = core(x, state)  # (B, T, n)
        eta_lam = torch.stack([core.eta, core.lam.clamp(0, core.lam_max)])
        return torch.cat([h, x, eta_lam.expand(*h.shape[:2], 2)], 2)

    def decode(
        self,
        steps: Float[Tensor, "R S k"],
        length: Int[Tensor, " R"],
        start: Float[Tensor, "R s"] | None = None,
    ) -> State:
        """The states after the first `length` of the S steps of each row.

        Without `needs_history` S is 1: the last step alone.

        Args:
            steps: what `encode` gave.
            length: steps to go; 0: the state at the start.
            start: the rows' state before their first step, flattened; None: zero.
        """
        if self.kind == "factors":
            parts = [steps[i : i + _ROWS] for i in range(0, len(steps), _ROWS)]
            lengths = length.split(_ROWS)
            flat = torch.cat([self._sum(*part) for part in zip(parts, lengths, strict=True)])
            if start is not None:
                flat = flat + self._decay(steps, length)[:, :1] * start
            return self.unflatten(flat)
        flat = steps[:, -1].float() if steps.shape[1] else steps.new_zeros(len(steps), self.size)
        first = torch.zeros_like(flat) if start is None else start
        return self.unflatten(torch.where(length[:, None] > 0, flat, first))

    def _sum(self, steps: Tensor, length: Tensor) -> Tensor:
        h, x, eta, _ = steps.split(self._sizes, 2)
        u = h if self._update != "presynaptic" else torch.full_like(h, h.shape[2] ** -0.5)
        v = x if self._update != "postsynaptic" else torch.full_like(x, x.shape[2] ** -0.5)
        lived = torch.arange(steps.shape[1]) < length[:, None]  # (R, S)
        weight = self._decay(steps, length)[:, 1:] * lived * eta.squeeze(2)  # (R, S)
        # M = sum over t of (lam_{t+1} ... lam_{length-1}) eta_t u_t v_t^T
        return torch.einsum("rs,rsn,rsd->rnd", weight, u, v).flatten(1)

    def _decay(self, steps: Tensor, length: Tensor) -> Tensor:
        """[R, S + 1]: the product of lam over the steps from t to the last lived one."""
        lived = torch.arange(steps.shape[1]) < length[:, None]
        lam = torch.where(lived, steps[:, :, -1], 1.0)  # (R, S)
        return torch.cat([lam.flip(1).cumprod(1).flip(1), lam.new_ones(len(lam), 1)], 1)

    def flatten(self, state: State) -> Float[Tensor, "R s"]:
        """One row of numbers for each state of a batch."""
        return torch.cat([leaf.flatten(1) for leaf in _leaves(state)], 1)

    def unflatten(self, flat: Float[Tensor, "R s"]) -> State:
        """The states that `flatten` made rows of."""
        sizes = [leaf[0].numel() for leaf in _leaves(self._like)]
        return _rebuild(self._like, iter(flat.split(sizes, 1)))


def _leaves(state: State) -> list[Tensor]:
    if isinstance(state, tuple):
        return [leaf for part in state for leaf in _leaves(part)]
    return [state]


def _rebuild(like: State, parts: Iterator[Tensor]) -> State:
    if isinstance(like, tuple):
        return tuple(_rebuild(part, parts) for part in like)
    part = next(parts)
    return part.reshape(len(part), *like.shape[1:])
