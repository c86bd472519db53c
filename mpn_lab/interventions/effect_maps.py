"""Which part of a network matters: effect maps with matched controls, and lesion curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optree
import torch
import xarray as xr
from scipy import stats
from torch import Tensor

from mpn_lab.analysis.restore import as_whole_trials
from mpn_lab.checks import LARGEST_SEED, check_int
from mpn_lab.interventions.changes import resolve
from mpn_lab.interventions.edited_network import run_edited
from mpn_lab.interventions.edits import zero
from mpn_lab.interventions.effects import wilson
from mpn_lab.interventions.open_loop import Starts, observations, run_factual
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.training.device import torch_threads
from mpn_lab.training.run import Run, network_of

By = Literal["units", "inputs", "synapses"] | Mapping[str, np.ndarray]
Numbers = Sequence[float | int] | np.ndarray

_ROWS = 8192  # trials that an effect map runs at once


def effect_map(
    network: QNetwork | Run,
    trials: xr.Dataset,
    target: str = "M",
    by: By = "units",
    *,
    times: Numbers | None = None,
    controls: int = 0,
    seed: int = 0,
    threads: int = 1,
) -> xr.Dataset:
    """Set each part of a state to zero at each time, in an open loop: which part matters when?

    A *matched control* changes the state in the same trial at the same time by a random vector of
    the same size (as many entries, anywhere in the state) and of the same norm. Effects are
    standardised by the mean and standard deviation of their controls; a p value is the share of all
    controls' standardised effects that are at least as large, corrected for the number of times and
    parts (Benjamini-Hochberg). Source: Benjamini & Hochberg, J. R. Stat. Soc. B 1995.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`, of this network.
        target: a state of the core: M, c, h of a GRU ...
        by: the parts: "units" (rows), "inputs" (columns), "synapses" (entries), or a dict name ->
            boolean array of the state's shape.
        times: in ms; None: every step. The state before the step is changed.
        controls: number of matched controls of each part and time; 0: none, and no p values.
        seed: seed of the controls.
        threads: number of torch threads.

    Returns:
        Over [time, part], means over the trials that last until then:

        - `dQ`, the root of the mean square change of Q at the trial's last step;
        - `flipped`, the share of trials with another response;
        - `dQ_control`, the mean of the controls, and `p`, for dQ.

    Raises:
        ValueError: no such state, time or part, or fewer than three controls.
    """
    network = network_of(network)
    if controls < 0 or 0 < controls < 3:
        raise ValueError(f"controls is {controls}; expected 0, or at least 3.")
    trials = as_whole_trials(trials, "obs")
    change = resolve(network, trials, [zero(target)])[0]
    if change.place.what != "state":
        raise ValueError(f"{target} is not a state; expected a state of the core, such as M.")
    names, masks = _parts(by, change.place.shape)
    all_times = trials["time"].values
    wanted = all_times if times is None else np.asarray(times, float)
    steps = np.searchsorted(all_times, wanted - 1e-6)
    if (steps >= len(all_times)).any() or not np.allclose(all_times[steps], wanted):
        raise ValueError(f"times holds {wanted.tolist()}; expected times of the record, in ms.")
    rng = np.random.default_rng(check_int("seed", seed, 0, LARGEST_SEED))
    shape = (len(steps), len(masks))
    found = {name: np.full(shape, np.nan) for name in ("dQ", "flipped")}
    of_controls = np.full((controls, *shape), np.nan)
    with torch_threads(threads), torch.no_grad():
        base = _Base(network, trials, target)
        for i, step in enumerate(steps.tolist()):
            rows = np.flatnonzero(base.length > step)
            if not len(rows):
                continue
            state = base.state_before(rows, step)
            value = state[target].flatten(1)  # (R, features)
            deltas = torch.where(masks[:, None], -value, torch.zeros(()))  # (P, R, features)
            found["dQ"][i], found["flipped"][i] = base.effects(deltas, state, rows, step)
            for k in range(controls):
                random = _matched(deltas, masks, rng)
                of_controls[k, i] = base.effects(random, state, rows, step)[0]
    data: dict[str, Any] = {name: (("time", "part"), array) for name, array in found.items()}
    if controls:
        data["dQ_control"] = (("time", "part"), of_controls.mean(0))
        data["p"] = (("time", "part"), _p_values(found["dQ"], of_controls))
    return xr.Dataset(
        data,
        coords={"time": ("time", wanted, trials["time"].attrs), "part": names},
        attrs={
            "target": target,
            "by": by if isinstance(by, str) else "parts",
            "controls": controls,
        },
    )


def lesion_curve(
    network: QNetwork | Run,
    trials: xr.Dataset,
    target: str = "W",
    *,
    shares: Numbers = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0),
    by: Literal["units", "synapses"] = "synapses",
    draws: int = 10,
    seed: int = 0,
    threads: int = 1,
) -> xr.Dataset:
    """Measure accuracy against the share of a network's synapses (or units) that are set to zero.

    Each is ranked by how much its removal alone changes Q at the response, on one half of the
    trials; accuracy is measured on the other half: the most important first (`best first`), the
    least important first (`worst first`), and in random order.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`, at least four.
        target: a parameter such as W, or a state such as M, set to zero throughout the trial.
        shares: shares that are removed, from 0 to 1.
        by: what is removed: single entries ("synapses"), or rows ("units").
        draws: number of random orders.
        seed: seed of the random orders.
        threads: number of torch threads.

    Returns:
        `accuracy` [order, share] with `accuracy_ci` [order, share, bound]: Wilson's interval,
        and in random order the middle 95 % of the draws; `importance` [part].

    Raises:
        ValueError: no such parameter or state, a share outside 0 to 1, or too few trials.
    """
    network = network_of(network)
    trials = as_whole_trials(trials, "obs", "correct_response")
    if trials.sizes["trial"] < 4:
        raise ValueError(f"the record has {trials.sizes['trial']} trials; expected at least 4.")
    wanted = np.asarray(shares, float)
    if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"shares is {wanted.tolist()}; expected numbers from 0 to 1.")
    shape = resolve(network, trials, [zero(target)])[0].place.shape
    draws = check_int("draws", draws, 1)
    parts = _parts(by, shape)[1].reshape(-1, *shape).cpu().numpy()
    halves = trials.isel(trial=slice(0, None, 2)), trials.isel(trial=slice(1, None, 2))
    with torch_threads(threads), torch.no_grad():
        ranking, test = (_Base(network, half, None) for half in halves)
        importance = np.array([ranking.lesion(target, part)[0] for part in parts])
        best, rng = (
            np.argsort(-importance, kind="stable"),
            np.random.default_rng(check_int("seed", seed, 0, LARGEST_SEED)),
        )
        truth = test.trials["correct_response"].values
        judged = np.isfinite(test.trials["performance"].values.astype(float))
        if (truth < 0).all():
            raise ValueError("the task has no correct responses; expected trials with some.")
        if withheld := int(((truth < 0) & judged).sum()):
            raise ValueError(
                f"{withheld} trials are correct without a response, which the recorded "
                "observations cannot judge; select the others, "
                "trials.isel(trial=trials.correct_response >= 0)."
            )

        def correct(order: np.ndarray, share: float) -> tuple[int, int]:
            chosen = order[: round(share * len(order))]
            lesion = parts[chosen].any(0) if len(chosen) else np.zeros(shape, bool)
            response = test.lesion(target, lesion)[1]
            return int((response == truth)[truth >= 0].sum()), int((truth >= 0).sum())

        accuracy, interval = np.empty((3, len(wanted))), np.empty((3, len(wanted), 2))
        for j, share in enumerate(wanted):
            for i, order in ((0, best), (2, best[::-1])):
                hits, n = correct(order, share)
                accuracy[i, j], interval[i, j] = hits / n, wilson(hits, n)
            drawn = [correct(rng.permutation(len(parts)), share) for _ in range(draws)]
            each = np.array([hits / n for hits, n in drawn])
            accuracy[1, j], interval[1, j] = each.mean(), np.quantile(each, (0.025, 0.975))
    return xr.Dataset(
        {
            "accuracy": (("order", "share"), accuracy),
            "accuracy_ci": (("order", "share", "bound"), interval),
            "importance": ("part", importance),
        },
        coords={
            "order": ["best first", "random", "worst first"],
            "share": wanted,
            "bound": ["low", "high"],
            "part": _parts(by, shape)[0],
        },
        attrs={"target": target, "by": by, "draws": draws},
    )


class _Base:
    """The unedited trials, from which parts of the network are changed."""

    def __init__(self, network: QNetwork, trials: xr.Dataset, target: str | None) -> None:
        self.network, self.trials, self.target = network, trials, target
        self.obs, self.length = observations(trials)
        self.starts = Starts(network, trials)
        if target is not None:
            _, _, self.factual = run_factual(network, self.obs, self.length, self.starts)
        self.q, _ = network(self.obs.to(network.device), self.starts.of(np.arange(len(self.obs))))
        self.last = self._last(self.q, np.arange(len(self.obs)), 0)

    def _last(self, q: Tensor, rows: np.ndarray, step: int) -> Tensor:
        """Return Q at the last step of each trial, [R, A]; q begins at `step`."""
        return q[torch.arange(len(rows)), torch.as_tensor(self.length[rows] - 1 - step)]

    def state_before(self, rows: np.ndarray, step: int) -> dict[str, Tensor]:
        """Return all states before a step by name, each [R, ...]."""
        if step == 0:
            return {name: value[rows] for name, value in self.starts.by_name().items()}
        named = self.network.named_states(self.network.initial_state(1))
        return {name: self.factual.named[name][rows, step - 1] for name in named}

    def effects(
        self, deltas: Tensor, state: dict[str, Tensor], rows: np.ndarray, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add each of deltas [P, R, features] to the target; return dQ and flips, each [P]."""
        network, R = self.network, len(rows)
        spec = optree.tree_structure(network.initial_state(1))
        x = network.embedding(self.obs[rows, step:].to(network.device))  # (R, T, d)
        before = self.last[rows]
        dQ, flips = [], []
        for part in deltas.split(max(1, _ROWS // R)):
            P = len(part)
            many = {k: v.repeat(P, *[1] * (v.dim() - 1)) for k, v in state.items()}  # (P R, ...)
            many[str(self.target)] += part.reshape(many[str(self.target)].shape)
            joined = optree.tree_unflatten(spec, list(many.values()))
            h, _ = network.core(x.repeat(P, 1, 1), joined)  # (P R, T, n)
            at = torch.as_tensor(self.length[rows] - 1 - step).repeat(P)
            q = network.readout(h[torch.arange(P * R), at]).view(P, R, -1)
            dQ.append((q - before).square().mean((1, 2)).sqrt())
            flips.append((q.argmax(2) != before.argmax(1)).double().mean(1))
        return torch.cat(dQ).cpu().numpy(), torch.cat(flips).cpu().numpy()

    def lesion(self, target: str, mask: np.ndarray) -> tuple[float, np.ndarray]:
        """Zero the entries of a mask throughout; return dQ and the responses, [B]."""
        if not mask.any():
            return 0.0, self.last.argmax(1).cpu().numpy()
        if mask.ndim == 1:
            edit = zero(target, units=np.flatnonzero(mask))
        else:
            edit = zero(target, synapses=np.argwhere(mask))
        changes = resolve(self.network, self.trials, [edit])
        rows = np.arange(len(self.obs))
        obs = self.obs.to(self.network.device)
        got = run_edited(self.network, changes, obs, self.starts.of(rows), rows)
        last = self._last(got.q, rows, 0)
        return float((last - self.last).square().mean().sqrt()), last.argmax(1).cpu().numpy()


def _parts(by: By, shape: tuple[int, ...]) -> tuple[Any, Tensor]:
    """Return the names of the parts, and which entries each has, [P, features] bool."""
    index = np.arange(int(np.prod(shape))).reshape(shape)
    if isinstance(by, Mapping):
        masks = [np.asarray(mask) for mask in by.values()]
        for name, mask in zip(by, masks, strict=True):
            if mask.shape != shape or mask.dtype != bool or not mask.any():
                raise ValueError(
                    f"the part {name!r} has shape {mask.shape} and type {mask.dtype}; expected a "
                    f"boolean array of the shape {shape} that is true somewhere."
                )
        return list(by), torch.as_tensor(np.stack([mask.reshape(-1) for mask in masks]))
    axis = {"units": 0, "inputs": 1}.get(by)
    if by not in ("units", "inputs", "synapses") or (axis is not None and axis >= len(shape)):
        raise ValueError(f"by is {by!r}; expected units, inputs or synapses of the shape {shape}.")
    if axis is None:
        return index.reshape(-1), torch.eye(index.size, dtype=torch.bool)
    groups = np.moveaxis(index, axis, 0).reshape(shape[axis], -1)
    masks_ = torch.zeros(shape[axis], index.size, dtype=torch.bool)
    masks_.scatter_(1, torch.as_tensor(groups.copy()), True)
    return np.arange(shape[axis]), masks_


def _matched(deltas: Tensor, masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Return random changes with as many entries and the same norms as deltas [P, R, features]."""
    P, R, features = deltas.shape
    order = torch.as_tensor(rng.random((P, features)).argsort(1))
    chosen = torch.gather(masks, 1, order)  # as many entries, anywhere
    drawn = torch.as_tensor(rng.standard_normal((P, R, features)), dtype=deltas.dtype)
    drawn = torch.where(chosen[:, None], drawn, torch.zeros(()))
    return drawn * (deltas.norm(dim=2) / drawn.norm(dim=2)).unsqueeze(2)


def _p_values(values: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """Return corrected p values of values [time, part] against controls [k, time, part].

    Each control is standardised by the other k - 1, and a value by the last k - 1 controls, so that
    a value that is like a control has the controls' distribution.
    """
    others = len(controls) - 1
    total, squares = controls.sum(0), (controls**2).sum(0)

    def standardised(value: np.ndarray, left_out: np.ndarray) -> np.ndarray:
        mean = (total - left_out) / others
        variance = (squares - left_out**2 - others * mean**2) / (others - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (value - mean) / np.sqrt(np.maximum(variance, 0))

    scores, null = standardised(values, controls[0]), standardised(controls, controls)
    null = np.sort(null[np.isfinite(null)])
    known = np.isfinite(scores)
    above = len(null) - np.searchsorted(null, scores[known])
    p = np.full(values.shape, np.nan)
    p[known] = stats.false_discovery_control((1 + above) / (1 + len(null)))
    return p
