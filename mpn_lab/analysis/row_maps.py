"""The maps that the rows of an MPN's M follow while an input x is held.

With u_ij = W_ij x_j (multiplicative) or x_j (additive) and c = W x + b, unit i and its row m obey

    z = c_i + u_i . m_{t-1},   h = phi(z),   m_t = clip(lam_i * m_{t-1} + a0_i + a_i h)

with a = eta x (associative) or eta / sqrt(d) (postsynaptic) and a0 = 0; presynaptic: a = 0 and
a0 = eta x / sqrt(n). No row depends on another. At a fixed point m = clip((a0 + a h) / (1 - lam)),
entry by entry, which leaves one equation for each unit, whatever the shapes of eta and lam:

    F(z) = z - c_i - u_i . clip((a0_i + a_i phi(z)) / (1 - lam_i)) = 0

Between the values of z where an entry reaches the bound, F(z) = z - c' - k' phi(z) with constants
c', k'; between those and the turning points phi'(z) = 1 / k', F is monotone. Every change of its
sign there is one fixed point, and there are no others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mpn_lab.networks.mpn import MPN


@dataclass(frozen=True)
class RowMaps:
    """The constants of the rows' maps, float64."""

    c: np.ndarray  # [n]
    u: np.ndarray  # [n, d]
    a: np.ndarray  # [n, d]
    a0: np.ndarray  # [n, d]
    lam: np.ndarray  # [n, d]
    bound: float  # inf: none
    relu: bool

    @classmethod
    def of(cls, core: MPN, x: np.ndarray) -> RowMaps:
        """Return the maps of a layer while its input is x [d]."""
        W = _array(core.W)
        n, d = W.shape
        eta, lam = (
            np.broadcast_to(_array(value), W.shape)
            for value in (core.eta, core.lam.clamp(0.0, core.lam_max))
        )
        ones, zero = np.ones_like(W), np.zeros_like(W)
        a, a0 = {
            "associative": (eta * x, zero),
            "presynaptic": (zero, eta * x / np.sqrt(n)),
            "postsynaptic": (eta / np.sqrt(d), zero),
        }[core.update]
        return cls(
            c=W @ x + (0.0 if core.b is None else _array(core.b)),
            u=(W if core.modulation == "multiplicative" else ones) * x,
            a=a,
            a0=a0,
            lam=lam,
            bound=np.inf if core.bound is None else core.bound,
            relu=core.activation == "relu",
        )

    def phi(self, z: np.ndarray) -> np.ndarray:
        """Return the activity at preactivations z."""
        return np.maximum(z, 0.0) if self.relu else np.tanh(z)

    def gain(self, z: np.ndarray) -> np.ndarray:
        """Return phi'(z); 0 at the kink of a ReLU, as in torch."""
        if self.relu:
            return np.where(np.isnan(z), np.nan, z > 0)
        return 1 - np.tanh(z) ** 2

    def fixed_rows(self, z: np.ndarray) -> np.ndarray:
        """Return the rows of M at fixed points z [n, p]: [n, p, d]."""
        return np.clip(self._unclipped(z), -self.bound, self.bound)

    def jacobians(self, z: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Return the Jacobians of the rows' maps, [n, p, d, d].

        Args:
            z: preactivations, [n, p].
            free: [n, p, d], whether an entry stays within the bound in the step.
        """
        outer = self.a[:, None, :, None] * self.u[:, None, None, :]  # a u^T
        decay = (self.lam[:, :, None] * np.eye(self.lam.shape[1]))[:, None]
        return free[..., None] * (decay + self.gain(z)[..., None, None] * outer)

    def eigenvalues(self, z: np.ndarray) -> np.ndarray:
        """Return the eigenvalues of the Jacobians at fixed points z [n, p], [n, p, d], complex.

        The largest in magnitude is first. Where lam is the same along a row, diag(lam) + phi' a u^T
        has the eigenvalue lam + phi' u . a, and lam in all other directions; an entry at the bound
        has 0.
        """
        free = np.abs(self._unclipped(z)) < self.bound
        values: np.ndarray = np.full(free.shape, np.nan + 0j)
        found = np.isfinite(z)
        mixed = ~self.uniform_lam[:, None] & found
        if mixed.any():
            values[mixed] = np.linalg.eigvals(self.jacobians(z, free)[mixed])
        plain = self.uniform_lam[:, None] & found
        count = free.sum(2)[plain][:, None]  # [k, 1]
        lam = np.broadcast_to(self.lam[:, :1], z.shape)[plain][:, None]
        seen = (free * (self.u * self.a)[:, None]).sum(2)[plain] * self.gain(z)[plain]
        place = np.arange(free.shape[2])
        one = np.where(place < count, lam, 0.0)
        values[plain] = np.where(place == count - 1, lam + seen[:, None], one)
        order = np.argsort(-np.abs(values), axis=2, kind="stable")
        return np.take_along_axis(values, order, 2)

    @property
    def uniform_lam(self) -> np.ndarray:
        """Whether lam is the same along a row, [n]."""
        return (self.lam == self.lam[:, :1]).all(1)

    @property
    def scalar(self) -> np.ndarray:
        """Whether z_t depends on z_{t-1} alone, [n]: z' = (1 - lam) c + lam z + u . (a0 + a h)."""
        return self.uniform_lam & (self.bound == np.inf)

    def slopes(self, z: np.ndarray) -> np.ndarray:
        """Return dz_t / dz_{t-1} at z [n, p]; nan where z alone does not determine the next z."""
        slope = self.lam[:, :1] + self.gain(z) * (self.u * self.a).sum(1, keepdims=True)
        return np.where(self.scalar[:, None], slope, np.nan)

    def basins(self, z: np.ndarray, stable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the borders of the basins of the stable among the fixed points z [n, p].

        Known where the map of z is monotone (the neighbouring fixed points are the borders), and
        where a map has one fixed point that attracts everything: a contraction, a ReLU that is
        driven below its threshold, and the presynaptic update. Elsewhere nan.
        """
        n = len(z)
        below = np.concatenate([np.full((n, 1), -np.inf), z[:, :-1]], 1)
        above = np.concatenate([z[:, 1:], np.full((n, 1), np.nan)], 1)
        above = np.where(np.isnan(above), np.inf, above)
        lam, kappa = self.lam[:, 0], (self.u * self.a).sum(1)
        known = self.scalar & ((kappa > -1 - lam) | (self.relu & (self.c <= 0)))
        known |= (self.a == 0).all(1)  # M follows x alone: a linear contraction
        show = known[:, None] & stable
        return np.where(show, below, np.nan), np.where(show, above, np.nan)

    def fixed_points(self) -> np.ndarray:
        """Return the preactivations z at all fixed points, ascending, [n, p], padded with nan."""
        edges, c, k = self._monotone_pieces()
        positive = self._residual(edges) >= 0
        rows, pieces = np.nonzero(positive[:, :-1] != positive[:, 1:])
        low, high = edges[rows, pieces], edges[rows, pieces + 1]
        c, k = c[rows, pieces], k[rows, pieces]
        if self.relu:  # linear: z = c' + k' h, and h = z or 0 (there c' = c, k' = 0)
            with np.errstate(divide="ignore"):
                roots = np.clip(c / (1 - k), low, high)
        else:
            roots = _bisect(c, k, low, high, positive[rows, pieces])
        new = np.ones(len(rows), bool)  # one that touches zero at an edge is found twice
        new[1:] = (rows[1:] != rows[:-1]) | (roots[1:] != roots[:-1])
        rows, roots = rows[new], roots[new]
        count = np.bincount(rows, minlength=len(self.c))
        result = np.full((len(count), max(1, count.max(initial=0))), np.nan)
        result[np.arange(result.shape[1]) < count[:, None]] = roots
        return result

    def _unclipped(self, z: np.ndarray) -> np.ndarray:
        """(a0 + a phi(z)) / (1 - lam), [n, p, d]."""
        h = self.phi(z)[..., None]
        return (self.a0[:, None] + self.a[:, None] * h) / (1 - self.lam[:, None])

    def _residual(self, z: np.ndarray) -> np.ndarray:
        return z - self.c[:, None] - np.einsum("nd,npd->np", self.u, self.fixed_rows(z))

    def _monotone_pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return edges [n, e + 1] between which F is monotone, and c', k' [n, e] of each piece."""
        n = len(self.c)
        ratio = self.a / (1 - self.lam)  # entries of M per h, [n, d]
        start = np.clip(self.a0 / (1 - self.lam), -self.bound, self.bound)
        c = self.c + (self.u * start).sum(1)
        with np.errstate(divide="ignore"):
            limit = np.where(ratio == 0, np.inf, self.bound / np.abs(ratio))  # h at the bound
        if self.relu:
            breaks = np.concatenate([np.zeros((n, 1)), limit], 1)
        else:
            limit = np.where(limit < 1, np.arctanh(np.minimum(limit, 1 - 1e-16)), np.inf)
            breaks = np.concatenate([-limit, limit], 1)
        # No fixed point lies beyond `end`: |z| <= |c| + sum |u_j m_j|, or z = c / (1 - k).
        if self.relu and self.bound == np.inf:
            k = (self.u * ratio).sum(1)
            end = np.abs(c) * (1 + 2 / np.maximum(np.abs(1 - k), 1e-15)) + 1
        else:
            most = np.abs(ratio) if self.bound == np.inf else np.minimum(np.abs(ratio), self.bound)
            most = np.where(ratio != 0, self.bound, 0.0) if self.relu else most
            end = np.abs(c) + (np.abs(self.u) * most).sum(1) + 1
        end = end[:, None]
        edges = np.sort(np.concatenate([-end, np.clip(breaks, -end, end), end], 1), 1)
        h = self.phi((edges[:, :-1] + edges[:, 1:]) / 2)  # inside each piece, [n, p]
        m = ratio[:, None] * h[..., None]  # [n, p, d]
        free = np.abs(m) < self.bound
        at_bound = np.where(free, 0.0, np.sign(m) * (0 if self.bound == np.inf else self.bound))
        c = c[:, None] + np.einsum("nd,npd->np", self.u, at_bound)
        k = np.einsum("nd,npd->np", self.u * ratio, free)
        if self.relu:
            return edges, c, np.where(h > 0, k, 0.0)
        turn = np.arccosh(np.sqrt(np.maximum(k, 1.0)))  # phi'(z) = 1 / k'
        low, high = edges[:, :-1], edges[:, 1:]
        inner = np.stack([low, np.clip(-turn, low, high), np.clip(turn, low, high)], 2)
        edges = np.concatenate([inner.reshape(n, -1), edges[:, -1:]], 1)
        return edges, np.repeat(c, 3, axis=1), np.repeat(k, 3, axis=1)


def _bisect(
    c: np.ndarray, k: np.ndarray, low: np.ndarray, high: np.ndarray, positive: np.ndarray
) -> np.ndarray:
    """Return the zeros of z - c - k tanh(z), one in each [low, high]; `positive`: >= 0 at low."""

    def F(z: np.ndarray) -> np.ndarray:
        return z - c - k * np.tanh(z)

    for _ in range(200):  # some 55, but more where a zero is at 0
        middle = (low + high) / 2
        same = (F(middle) >= 0) == positive
        low, high = np.where(same, middle, low), np.where(same, high, middle)
        if (high - low <= 4e-16 * np.maximum(np.abs(low), np.abs(high))).all():
            break
    return np.where(np.abs(F(low)) <= np.abs(F(high)), low, high)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
