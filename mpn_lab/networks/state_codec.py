"""Compact storage of states: M is a decayed sum of outer products, so h and x determine it."""

from __future__ import annotations

import optree
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mpn_lab.networks.mpn import MPN
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import State

_ROWS = 512  # states decoded at once, which bounds the memory for the codes of their histories


class StateCodec:
    """Encodes the states of a trial compactly, as one code per step, and decodes them.

    The code of a step is a row of `width` numbers. Its kind depends on the network:

    - "factors", for one MPN layer without a bound and with scalar eta and lam: h_t, x_t, eta and
      lam, n + d + 2 numbers in float32 in place of the n d of M. The state is decoded from the
      codes of all steps up to it, exact to about 1e-6 of |M|.
    - "half", for every other MPN, or where it is smaller: the state itself in float16, exact to
      5e-4 of each M_ij.
    - "full", for all other cores: the state itself in float32, exact.

    Args:
        network: the network whose states are stored.
    """

    def __init__(self, network: QNetwork) -> None:
        with torch.no_grad():
            leaves, self._tree = optree.tree_flatten(network.initial_state(1))
        self._shapes = [leaf.shape[1:] for leaf in leaves]
        self.size = sum(shape.numel() for shape in self._shapes)
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
        """Bytes stored for each step of a trial."""
        return self.width * self.dtype.itemsize

    @property
    def needs_history(self) -> bool:
        """Whether decoding a state needs the codes of all steps up to it, not only the last."""
        return self.kind == "factors"

    @torch.no_grad()
    def initial(self, network: QNetwork) -> Float[Tensor, "1 s"]:
        """Return the state with which a network's trials begin, flattened."""
        return self.flatten(network.initial_state(1)).cpu()

    @torch.no_grad()
    def encode(
        self, network: QNetwork, obs: Float[Tensor, "B T c"], state: State | None = None
    ) -> Tensor:
        """Return the code of the state after every step, [B, T, width], starting from `state`."""
        obs = obs.to(network.device)
        if state is not None:
            state = optree.tree_map(lambda s: s.to(network.device), state)
        if self.kind != "factors":
            _, _, activity = network(obs, state, return_states=True)
            states = [leaf.flatten(2) for leaf in optree.tree_leaves(activity.states)]  # (B, T, .)
            return torch.cat(states, 2).to(self.dtype).cpu()
        (core,) = network.mpn_layers()
        x = network.embedding(obs)  # (B, T, d)
        h, _ = core(x, state)  # (B, T, n)
        eta_lam = torch.stack([core.eta, core.lam.clamp(0, core.lam_max)])
        return torch.cat([h, x, eta_lam.expand(*h.shape[:2], 2)], 2).cpu()

    def decode(
        self,
        codes: Float[Tensor, "R S k"],
        length: Int[Tensor, " R"],
        start: Float[Tensor, "R s"] | None = None,
    ) -> State:
        """Return the state of each row after the first `length` of its S steps.

        Args:
            codes: from `encode`; without `needs_history` only that of the last step (S is 1).
            length: number of steps; 0: the state at the start.
            start: the state of each row before its first step, flattened; None: zero.
        """
        if self.kind == "factors":
            parts = zip(codes.split(_ROWS), length.split(_ROWS), strict=True)
            flat = torch.cat([self._sum(*part) for part in parts])
            if start is not None:
                flat = flat + self._decay(codes, length)[:, :1] * start
            return self.unflatten(flat)
        flat = codes[:, -1].float() if codes.shape[1] else codes.new_zeros(len(codes), self.size)
        first = torch.zeros_like(flat) if start is None else start
        return self.unflatten(torch.where(length[:, None] > 0, flat, first))

    def _sum(self, codes: Tensor, length: Tensor) -> Tensor:
        h, x, eta, _ = codes.split(self._sizes, 2)
        u = h if self._update != "presynaptic" else torch.full_like(h, h.shape[2] ** -0.5)
        v = x if self._update != "postsynaptic" else torch.full_like(x, x.shape[2] ** -0.5)
        before = torch.arange(codes.shape[1]) < length[:, None]  # (R, S)
        weight = self._decay(codes, length)[:, 1:] * before * eta.squeeze(2)  # (R, S)
        # M = sum over t of (lam_{t+1} ... lam_{length-1}) eta_t u_t v_t^T
        return torch.einsum("rs,rsn,rsd->rnd", weight, u, v).flatten(1)

    def _decay(self, codes: Tensor, length: Tensor) -> Tensor:
        """Compute the product of lam from step t to the last before `length`, [R, S + 1]."""
        before = torch.arange(codes.shape[1]) < length[:, None]
        lam = torch.where(before, codes[:, :, -1], 1.0)  # (R, S)
        return torch.cat([lam.flip(1).cumprod(1).flip(1), lam.new_ones(len(lam), 1)], 1)

    def flatten(self, state: State) -> Float[Tensor, "R s"]:
        """Flatten a batch of states to one row of numbers each."""
        return torch.cat([leaf.flatten(1) for leaf in optree.tree_leaves(state)], 1)

    def unflatten(self, flat: Float[Tensor, "R s"]) -> State:
        """Restore the batch of states from the rows of `flatten`."""
        parts = flat.split([shape.numel() for shape in self._shapes], 1)
        leaves = [p.reshape(len(p), *shape) for p, shape in zip(parts, self._shapes, strict=True)]
        return optree.tree_unflatten(self._tree, leaves)
