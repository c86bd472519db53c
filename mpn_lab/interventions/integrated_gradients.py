"""How much each entry of the observations, or of one state, contributes to a difference of Q.

Sundararajan, Taly & Yan, ICML 2017; arXiv:1703.01365. On the straight path between two trials Q
often changes within a small part of it, where a fixed number of points misses the step. So the
path is halved where the contributions of a piece do not add up to its difference of Q.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optree
import torch
import xarray as xr
from torch import Tensor

from mpn_lab.analysis.schema import trial_positions
from mpn_lab.interventions.attribution import (
    Choice,
    Moment,
    action_weights,
    as_weights,
    checked,
    describe,
    results,
    start_state,
    steps_at,
    to_numpy,
    variables_of,
)
from mpn_lab.interventions.open_loop import Starts, observations
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import State
from mpn_lab.training.device import torch_threads
from mpn_lab.training.run import Run

NODES = 8  # of the Gauss-Legendre rule on each piece of a path
HALVINGS = 10  # of a path at most
CHUNK = 256  # pieces that are computed at once


def integrated_gradients(
    network: QNetwork | Run,
    trials: xr.Dataset,
    to: str = "obs",
    *,
    before: Moment | None = None,
    baseline: float | int | str | Sequence[int] | np.ndarray = 0,
    of: Choice = "taken",
    at: Moment | None = None,
    tolerance: float | int = 1e-3,
    device: str | torch.device | None = None,
    threads: int = 1,
) -> xr.Dataset:
    """Divide the difference of Q between each trial and a baseline among the entries of a variable.

    The contribution of an entry is (v - b) times the mean of dQ/dv on the straight path from the
    baseline b to the recorded value v. The contributions of a trial add up to Q(v) - Q(b)
    (completeness); the path is halved until they do.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`.
        to: `obs`, at all steps together, or the name of one of the core's states, at one moment.
        before: for a state, the step before which it is replaced, given as `at`.
        baseline: a number for all entries; "mean", over the trials, of the observation at the same
            time or of the state; or the number of one other trial for each, as `edits.donors` draws
            them: its observations at the same times, or its state before its own step.
        of, at: whose Q and when, as in `q_gradients`. "taken" and "greedy" name the recorded
            trial's action for the baseline too.
        tolerance: the completeness error that is allowed in a trial, in reward.
        device: device to which the network is moved, "auto" for a GPU if there is one; None: the
            network stays on its device.
        threads: number of torch threads.

    Returns:
        `contribution` [trial, time, channel] (nan after a trial's end), or [trial, ...] with the
        state's dimensions, in reward; `value` and `value_baseline` [trial], Q (or the difference of
        two) at both ends of the path; `completeness_error` [trial], the sum of the contributions
        minus the difference of Q; the coordinates [trial] `q_time` and, for a state, `before_time`,
        in ms, and `baseline_trial`, where it is another trial.

    Raises:
        ValueError: as `q_gradients`; a baseline that does not fit, a state without `before`, or one
            that is replaced after the step of Q.

    Warns:
        UserWarning: a completeness error is larger than `tolerance` after all halvings.

    Example:
        >>> import mpn_lab
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
        >>> found = integrated_gradients(network, trials, "M", before="test", baseline="mean")
        >>> bool((abs(found.completeness_error) < 1e-3).all())
        True
    """
    network, trials = checked(network, trials, device)
    dims, _ = variables_of(network, trials, [to])[to]
    if to == "x":
        raise ValueError("to is 'x'; expected obs, of which x is a function, or a state.")
    if (before is None) != (to == "obs"):
        need = "leave it out for obs" if to == "obs" else f"expected the step where {to} changes"
        raise ValueError(f"before is {describe(before)}; {need}.")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; expected a positive number.")
    obs, length = observations(trials)
    t, s = steps_at(trials, at, length), np.zeros(len(length), int)
    if before is not None:
        s = steps_at(trials, before, length)
        for i in np.flatnonzero(s > t)[:1]:
            times, number = trials["time"].values, trials["trial"].values[i]
            raise ValueError(
                f"trial {number} has Q at {times[t[i]]:g} ms, but {to} is replaced later, at "
                f"{times[s[i]]:g} ms; choose a later step of Q."
            )
    with torch_threads(threads), torch.backends.cudnn.flags(enabled=False):
        path = _Path(network, as_weights(network, obs[:, : t.max() + 1]), t, s, to, trials)
        base = _baseline(baseline, trials, path.actual, t if to == "obs" else None)
        path.choose(action_weights(of, trials))
        total, ends = _integrate(path, base, float(tolerance))
    contribution = to_numpy(total * (path.actual - base))
    value, value_baseline = to_numpy(ends)
    sums = contribution.reshape(len(t), -1).sum(1, dtype=np.float64)
    error = sums - (value - value_baseline)
    if np.abs(error).max() > tolerance:
        warnings.warn(
            f"the contributions miss the difference of Q by up to {np.abs(error).max():.2g}, more "
            f"than the tolerance {tolerance:g}; the network may be too steep for its precision.",
            UserWarning,
            stacklevel=2,
        )
    if to == "obs":
        later = ((0, 0), (0, trials.sizes["time"] - contribution.shape[1]), (0, 0))
        contribution = np.pad(contribution, later)
        contribution[np.arange(trials.sizes["time"]) >= length[:, None]] = np.nan
    found: dict[str, Any] = {
        "contribution": (
            ("trial", "time", *dims) if to == "obs" else ("trial", *dims),
            contribution,
        ),
        "value": ("trial", value),
        "value_baseline": ("trial", value_baseline),
        "completeness_error": ("trial", error),
    }
    others = isinstance(baseline, Sequence | np.ndarray) and not isinstance(baseline, str)
    told = {"before": describe(before), "at": describe(at)}
    told["baseline"] = "another trial" if others else describe(baseline)
    result = results(trials, found, "integrated gradients", [to], of, told)
    moments = {"q_time": t} | ({} if before is None else {"before_time": s})
    result = result.assign_coords(
        {name: ("trial", trials["time"].values[step]) for name, step in moments.items()}
    )
    return (
        result.assign_coords(baseline_trial=("trial", np.asarray(baseline))) if others else result
    )


class _Path:
    """Computes Q at step t of each trial as a function of its observations, or of a state.

    Args:
        network: the network.
        obs: [B, T, channel].
        t: the step of Q, [B].
        s: the step from which on the network runs, [B].
        to: obs, or the name of the state before s.
        trials: the record.
    """

    def __init__(
        self,
        network: QNetwork,
        obs: Tensor,
        t: np.ndarray,
        s: np.ndarray,
        to: str,
        trials: xr.Dataset,
    ) -> None:
        self.network, self.obs, self.t, self.s = network, obs, t, s
        self.states = _states_before(network, obs, Starts(network, trials), s)
        named = network.named_states(self.states)
        self.place = None if to == "obs" else list(named).index(to)
        self.actual = obs if to == "obs" else named[to][1]
        self.weights = torch.empty(0)

    def choose(self, weights: Any) -> None:
        """Set whose Q it is, by its values at the recorded end of the path."""
        rows = np.arange(len(self.t))
        with torch.no_grad():
            q = torch.empty(len(rows), self.network.n_actions).to(self.obs)
            for part in _parts(self.s):
                q[part] = self._q(part, self.actual[part])
        self.weights = weights(q, rows, self.t)

    def value(self, rows: np.ndarray, at: Tensor) -> Tensor:
        """Return Q of trials that share s, where their variable has the values `at`, [R]."""
        return (self.weights[rows] * self._q(rows, at)).sum(1)

    def _q(self, rows: np.ndarray, at: Tensor) -> Tensor:
        leaves, spec = optree.tree_flatten(self.states)
        leaves, first = [leaf[rows] for leaf in leaves], int(self.s[rows[0]])
        obs = at
        if self.place is not None:
            leaves[self.place], obs = at, self.obs[rows, first:]
        q, _ = self.network(obs, optree.tree_unflatten(spec, leaves))
        return q[torch.arange(len(rows)), self.t[rows] - first]  # (R, A)


def _integrate(path: _Path, base: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return the mean gradient on the path from the baseline, and Q at both ends, [2, B]."""
    difference = path.actual - base
    ends = difference.new_empty(2, len(base))
    nodes, node_weights = np.polynomial.legendre.leggauss(NODES)
    total = torch.zeros_like(base)
    with torch.no_grad():
        for part in _parts(path.s):
            ends[0, part] = path.value(part, path.actual[part])
            ends[1, part] = path.value(part, base[part])
    row, low, high = np.arange(len(base)), np.zeros(len(base)), np.ones(len(base))  # the pieces
    q_low, q_high = (to_numpy(q).astype(np.float64) for q in (ends[1], ends[0]))
    for halving in range(HALVINGS + 1):
        pieces = []
        for part in _parts(path.s[row]):
            r, a, b = row[part], low[part], high[part]
            gradient = torch.zeros_like(base[r])
            for node, weight in zip((1 + nodes) / 2, node_weights / 2, strict=True):
                at = _point(base, difference, r, a + (b - a) * node).requires_grad_()
                with torch.enable_grad():
                    q = path.value(r, at).sum()
                    (found,) = torch.autograd.grad(q, [at], materialize_grads=True)
                gradient += weight * found
            gradient *= _column(b - a, gradient)
            sums = to_numpy((gradient * difference[r]).flatten(1).sum(1))
            missing = np.abs(sums - (q_high[part] - q_low[part]))
            done = (missing <= tolerance * (b - a)) | (halving == HALVINGS)
            total.index_add_(0, torch.as_tensor(r[done], device=total.device), gradient[done])
            if not done.all():
                r, a, b, rest = r[~done], a[~done], b[~done], part[~done]
                middle = (a + b) / 2
                with torch.no_grad():
                    q_middle = to_numpy(path.value(r, _point(base, difference, r, middle)))
                pieces.append((r, a, middle, q_low[rest], q_middle))
                pieces.append((r, middle, b, q_middle, q_high[rest]))
        if not pieces:
            break
        row, low, high, q_low, q_high = (np.concatenate(p) for p in zip(*pieces, strict=True))
    return total, ends


def _point(base: Tensor, difference: Tensor, rows: np.ndarray, share: np.ndarray) -> Tensor:
    return base[rows] + _column(share, difference) * difference[rows]


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """Return values [R] that broadcast against [R, ...]."""
    return torch.as_tensor(values).to(like).reshape(-1, *[1] * (like.dim() - 1))


def _parts(first: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions of equal entries, at most `CHUNK` at once."""
    for value in np.unique(first):
        where = np.flatnonzero(first == value)
        yield from (where[i : i + CHUNK] for i in range(0, len(where), CHUNK))


@torch.no_grad()
def _states_before(network: QNetwork, obs: Tensor, starts: Starts, s: np.ndarray) -> State:
    """Return the state of every trial before its own step s."""
    order = list(_parts(s))
    parts = []
    for rows in order:
        state, first = start_state(network, starts, rows), int(s[rows[0]])
        parts.append(network(obs[rows, :first], state)[1] if first else state)
    back = np.argsort(np.concatenate(order))
    return optree.tree_map(lambda *leaves: torch.cat(leaves)[back], *parts)


def _baseline(baseline: Any, trials: xr.Dataset, actual: Tensor, t: np.ndarray | None) -> Tensor:
    """Return the baseline of every trial; `t` [B] is the step of Q, None for a state."""
    if isinstance(baseline, str):
        if baseline != "mean":
            raise ValueError(f"baseline is {baseline!r}; expected a number, mean, or trials.")
        if t is None:
            return actual.mean(0, keepdim=True).expand_as(actual)
        valid = trials["valid"].transpose("trial", "time").values[:, : actual.shape[1], None]
        count = torch.as_tensor(valid.sum(0), device=actual.device)
        return (actual.sum(0) / count).expand_as(actual)  # obs is 0 after a trial's end
    given = np.asarray(baseline)
    if given.ndim == 0:
        if not np.isfinite(given):
            raise ValueError(f"baseline is {baseline}; expected a finite number.")
        return torch.full_like(actual, float(given))
    numbers = trials["trial"].values
    if given.shape != numbers.shape:
        raise ValueError(
            f"baseline has the shape {given.shape} for {len(numbers)} trials; expected the number "
            "of one trial for each."
        )
    for number in given[~np.isin(given, numbers)][:1]:
        raise ValueError(f"baseline: the record has no trial {number}; choose among its trials.")
    position = trial_positions(trials)
    donor = np.array([position[number] for number in given])
    if t is not None:
        length = trials["valid"].transpose("trial", "time").values.sum(1)
        for i in np.flatnonzero(length[donor] <= t)[:1]:
            raise ValueError(
                f"trial {given[i]}, the baseline of trial {numbers[i]}, has {length[donor][i]} "
                f"steps, too few for Q at step {t[i]}; choose longer ones, as "
                "donors(trials, same='length') does."
            )
    return actual[donor]
