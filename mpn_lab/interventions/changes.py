"""Edits resolved against a network and a record: where they act, and what they make of a value."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from mpn_lab.analysis.schema import trial_positions
from mpn_lab.interventions.edits import Edit
from mpn_lab.interventions.timing import active_steps
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import state_dims

What = Literal["obs", "x", "state", "output", "hold", "parameter"]


@dataclass(frozen=True)
class Place:
    """Where in a network an edit acts.

    Attributes:
        what: obs, x, a state before a step, the output of a step, a state that a step must leave
            as it was (hold), or a parameter during a step.
        variable: the name in a record ("M_2"), or of the parameter within its layer.
        layer: number of the layer, from 0.
        leaf: position of the state among those of its layer; for an output, that of the state h;
            -1: not a state.
        shape: of one trial at one step.
    """

    what: What
    variable: str
    layer: int
    leaf: int
    shape: tuple[int, ...]


@dataclass
class Factual:
    """What the unedited network does in every trial: where donors' values come from.

    Attributes:
        named: name in a record -> [trial, time, ...]: obs, x, h, and the states after every step.
        starts: name -> [trial, ...], the states before the first step.
        length: [trial], number of steps.
    """

    named: dict[str, Tensor]
    starts: dict[str, Tensor]
    length: np.ndarray


class Change:
    """One edit at one place of a network.

    Args:
        place: where it acts.
        edit: what it does.
        active: at which steps of which trials, [trial, time].
        trials: the record.
        like: a parameter of the network, for dtype and device.

    Raises:
        ValueError: a value, a selection or a donor does not fit.
    """

    def __init__(
        self, place: Place, edit: Edit, active: np.ndarray, trials: xr.Dataset, like: Tensor
    ) -> None:
        self.place, self.edit, self.active = place, edit, active
        self.n_trials = trials.sizes["trial"]
        self.dtype, self.device = like.dtype, like.device
        self.selected = torch.as_tensor(_selection(edit, place, trials), device=self.device)
        self.donor: np.ndarray | None = None  # [trial], positions
        self.factual: Factual | None = None  # where the donors' values come from
        self.held: Tensor  # the state before a step, which `run_edited` sets
        self.values: dict[str, Tensor] = {}  # those of the edit's options that are arrays
        if edit.kind == "swap" or edit.options.get("over") == "trials":
            if place.what == "parameter":
                raise ValueError(
                    f"{edit}: all trials share {edit.target}; choose obs, x, h or a state."
                )
            self.donor = _donors(edit, trials)
            self.donor_shift = _donor_shift(edit, trials, self.donor)
        elif edit.kind == "shuffle":
            self.values["order"] = torch.as_tensor(self._orders(), device=self.device)
        for name in ("value", "direction", "center"):
            if name in edit.options:
                self.values[name] = self._fitting(name, edit.options[name])
        if "direction" in self.values:
            rows = self.values.pop("direction").reshape(-1, int(np.prod(place.shape))).double()
            _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
            independent = sizes > 1e-6 * sizes[0]  # a decoder's axes may sum to 0
            self.values["basis"] = basis[independent].to(self.dtype)  # orthonormal rows

    def acting(self, rows: np.ndarray, start: int, T: int) -> np.ndarray:
        """Return where it acts on the trials `rows` (-1: none) from step `start` on, [R, T]."""
        steps = np.arange(start, start + T)
        last = self.active.shape[1] - 1
        known = self.active[np.maximum(rows, 0)][:, np.minimum(steps, last)]
        open_end = self.edit.at is None and self.edit.during is None
        return known & (rows >= 0)[:, None] & (open_end | (steps <= last))

    def limit(self, length: np.ndarray, T: int) -> None:
        """Let it act within the trials alone, which have these numbers of steps, [trial], of T."""
        self.active = self.acting(np.arange(self.n_trials), 0, T) & (np.arange(T) < length[:, None])

    def apply(self, value: Tensor, rows: np.ndarray, steps: np.ndarray) -> Tensor:
        """Return the edited value [R, ...] of the trials `rows` [R], each at its own step [R].

        A trial that is its own donor and has its own value, but for rounding (which depends on how
        many trials are run at once), keeps it to the bit.
        """
        changed = torch.where(self.selected, self._changed(value, rows, steps), value)
        if self.donor is not None:
            own = torch.as_tensor(self.donor[rows] == rows, device=value.device)
            close = torch.isclose(changed, value, 1e-4, 1e-5).flatten(1).all(1)
            kept = (own & close).view(-1, *[1] * (value.dim() - 1))
            changed = torch.where(kept, value, changed)
        return changed

    def _changed(self, v: Tensor, rows: np.ndarray, steps: np.ndarray) -> Tensor:
        options, values = self.edit.options, self.values
        if self.donor is not None:
            return self._of_donor(self.donor[rows], steps + self.donor_shift[rows])
        match self.edit.kind:
            case "freeze" if self.place.what == "hold":
                return self.held
            case "zero" | "freeze":  # of eta
                return torch.zeros_like(v)
            case "scale":
                return v * options["factor"]
            case "set_to":
                per_trial = values["value"].dim() > len(self.place.shape)
                return (values["value"][rows] if per_trial else values["value"]).expand_as(v)
            case "clamp":
                return v.clamp(options["low"], options["high"])
            case "add_noise":
                return v + options["std"] * self._noise(rows, steps)
            case "shuffle":
                order = values["order"] if self.place.what == "parameter" else values["order"][rows]
                return v.reshape(len(v), -1).gather(1, order).view_as(v)
        flat = v.reshape(len(v), -1)  # project_out, mirror
        offset = flat - values["center"].reshape(-1) if "center" in values else flat
        along = offset @ values["basis"].T @ values["basis"]  # (u . offset) u
        return (flat - (2 if self.edit.kind == "mirror" else 1) * along).view_as(v)

    def _of_donor(self, donor: np.ndarray, step: np.ndarray) -> Tensor:
        """Return the donors' values at a step, or before it if the variable is a state.

        Raises ValueError if a donor's trial is too short.
        """
        assert self.factual is not None
        if self.place.variable not in self.factual.named:
            raise ValueError(f"{self.edit}: a record does not hold {self.edit.target} of donors.")
        series, before = self.factual.named[self.place.variable], self.place.what == "state"
        length = self.factual.length[donor]
        wrong = np.flatnonzero((step < 0) | (step >= length + before))
        if len(wrong):
            i = wrong[0]
            raise ValueError(
                f"{self.edit}: a donor of {length[i]} steps has no step {step[i]}; choose donors "
                "that last as long, as donors(trials, same='length') does."
            )
        values = series[donor, np.maximum(step - before, 0)]
        if before and (first := np.flatnonzero(step == 0)).size:
            values[first] = self.factual.starts[self.place.variable][donor[first]]
        return values

    def _noise(self, rows: np.ndarray, steps: np.ndarray) -> Tensor:
        """Draw normal numbers that depend on the seed, the variable, the trial and the step."""
        drawn = np.empty((len(rows), *self.place.shape))
        own = zlib.crc32(f"{self.place.what} {self.place.variable} {self.place.layer}".encode())
        for t in np.unique(steps):
            rng = np.random.default_rng((self.edit.options["seed"], own, int(t)))
            of_all = rng.standard_normal((self.n_trials, *self.place.shape))
            drawn[steps == t] = of_all[rows[steps == t]]
        return torch.as_tensor(drawn, dtype=self.dtype, device=self.device)

    def _orders(self) -> np.ndarray:
        """Return a permutation of the selected entries, [trial or 1, features]."""
        shape, rng = self.place.shape, np.random.default_rng(self.edit.options["seed"])
        index = np.arange(int(np.prod(shape))).reshape(shape)
        selected: Any = self.selected.cpu().numpy()
        whole_rows = self.edit.options["over"] == "units"
        if whole_rows:
            selected = selected.reshape(shape[0], -1).any(1)
        orders = []
        for _ in range(1 if self.place.what == "parameter" else self.n_trials):
            order, chosen = index.copy(), np.flatnonzero(selected)
            if whole_rows:
                order[chosen] = index[rng.permutation(chosen)]
            else:
                order.reshape(-1)[chosen] = rng.permutation(chosen)
            orders.append(order.reshape(-1))
        return np.stack(orders)

    def _fitting(self, name: str, value: Any) -> Tensor:
        array, shape = np.asarray(value, dtype=np.float64), self.place.shape
        several = name == "direction" and array.shape[1:] == shape
        shared = self.place.what == "parameter"
        per_trial = name == "value" and not shared and array.shape == (self.n_trials, *shape)
        if array.shape != shape and not (
            several or per_trial or (name == "value" and not array.ndim)
        ):
            raise ValueError(
                f"{self.edit}: {name} has shape {array.shape}, but {self.edit.target} has {shape}."
            )
        return torch.as_tensor(array, dtype=self.dtype, device=self.device)


def resolve(network: QNetwork, trials: xr.Dataset, edits: Sequence[Edit]) -> list[Change]:
    """Return the changes that edits make to a network.

    Raises:
        ValueError: an edit names something that the network does not have, or does not fit.
    """
    changes = []
    for edit in edits:
        active = active_steps(edit, trials)
        for place in _places(network, edit):
            where = active
            if place.what == "state" and _is_span_of_h(network, edit):
                where = active & ~np.pad(active, ((0, 0), (1, 0)))[:, :-1]  # before each span
            changes.append(Change(place, edit, where, trials, network.readout.weight))
    return changes


def _is_span_of_h(network: QNetwork, edit: Edit) -> bool:
    return edit.at is None and edit.target.split("_")[0] == "h"


def _places(network: QNetwork, edit: Edit) -> list[Place]:
    target = edit.target
    if target in ("obs", "x"):
        size = network.obs_size if target == "obs" else network.input_sizes[0]
        if edit.kind == "freeze":
            raise ValueError(f"{edit}: {target} has no update; expected the name of a state.")
        return [Place(target, target, 0, -1, (size,))]  # type: ignore[arg-type]
    found: dict[str, list[Place]] = {}
    named = network.named_states(network.initial_state(1))
    names, last = list(named), len(network.layers) - 1
    for k, layer in enumerate(network.layers):
        leaves = list(state_dims(layer))
        for leaf, local in enumerate(leaves):
            name = names.pop(0)
            shape = tuple(named[name][1].shape[1:])
            found[name] = [Place("state", name, k, leaf, shape)]
            if local == "h" and edit.at is None:
                found[name].append(Place("output", name, k, leaf, shape))
            if edit.kind == "freeze":
                found[name] = [_frozen(layer, edit, name, k, leaf, shape)]
        if "h" not in leaves and edit.kind != "freeze":
            name = "h" if k == last else f"h_{k + 1}"
            found[name] = [Place("output", name, k, -1, (network.readout.in_features,))]
        for name, parameter in layer.named_parameters():
            if edit.kind != "freeze":
                full = name if k == 0 else f"{name}_{k + 1}"
                place = Place("parameter", name, k, -1, _shape(layer, name, parameter, edit))
                found.setdefault(full, [place])
    if target not in found:
        if edit.kind == "freeze":
            raise ValueError(
                f"{edit}: {target} has no update; expected a state: {', '.join(found)}."
            )
        raise ValueError(
            f"{edit}: this network has no {target!r}; it has {', '.join(['obs', 'x', *found])}."
        )
    return found[target]


def _frozen(
    layer: nn.Module, edit: Edit, name: str, k: int, leaf: int, shape: tuple[int, ...]
) -> Place:
    """Return where a state's update is stopped: eta = 0, or the state is held."""
    eta = dict(layer.named_parameters()).get("eta")
    if eta is not None:
        return Place("parameter", "eta", k, -1, _shape(layer, "eta", eta, edit))
    return Place("hold", name, k, leaf, shape)


def _shape(layer: nn.Module, name: str, value: Tensor, edit: Edit) -> tuple[int, ...]:
    """Return a parameter's shape; eta and lam are spread over W where an edit selects in them."""
    W = getattr(layer, "W", None)
    if name in ("eta", "lam") and W is not None and (edit.units or edit.inputs or edit.synapses):
        return tuple(W.shape)
    return tuple(value.shape)


def _selection(edit: Edit, place: Place, trials: xr.Dataset) -> np.ndarray:
    """Return which entries of the variable are edited, of its shape."""
    shape = place.shape
    selected = np.ones(shape, bool)
    for axis, (name, chosen) in enumerate((("units", edit.units), ("inputs", edit.inputs))):
        if chosen is None:
            continue
        if axis >= len(shape) or max(chosen, default=0) >= shape[axis]:
            size = shape[axis] if axis < len(shape) else "no"
            raise ValueError(f"{edit}: {edit.target} has {size} {name}, which count from 0.")
        along = np.zeros(shape[axis], bool)
        along[chosen] = True
        selected &= along.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    if edit.synapses is not None:
        pairs = np.array(edit.synapses)
        if len(shape) != 2 or (pairs >= shape).any():
            raise ValueError(
                f"{edit}: {edit.target} has the shape {shape}; expected synapses of it."
            )
        of_pairs = np.zeros(shape, bool)
        of_pairs[tuple(pairs.T)] = True
        selected &= of_pairs
    if edit.channels is not None:
        names = [str(name) for name in trials["channel"].values]
        for name in edit.channels:
            if name not in names:
                raise ValueError(
                    f"{edit}: the record has no channel {name!r}; it has {', '.join(names)}."
                )
        selected &= np.isin(names, edit.channels)
    return selected


def _donors(edit: Edit, trials: xr.Dataset) -> np.ndarray:
    """Return the position of each trial's donor."""
    n_trials = trials.sizes["trial"]
    if edit.kind == "shuffle":
        return np.random.default_rng(edit.options["seed"]).permutation(n_trials)
    donor = edit.options["donor"]
    if len(donor) != n_trials:
        raise ValueError(
            f"{edit}: there are {len(donor)} donors for {n_trials} trials; expected the number of "
            "one trial for each."
        )
    position = trial_positions(trials)
    missing = [number for number in donor if number not in position]
    if missing:
        raise ValueError(f"{edit}: the record has no trial {missing[0]} to be a donor.")
    return np.array([position[number] for number in donor])


def _donor_shift(edit: Edit, trials: xr.Dataset, donor: np.ndarray) -> np.ndarray:
    """Return by how many steps the donor's step is later than the trial's own, [trial]."""
    if isinstance(edit.at, str) or isinstance(edit.during, str):  # counted from the period's start
        first = active_steps(replace(edit, trials=None), trials).argmax(1)
        return first[donor] - first
    return np.zeros(len(donor), int)
