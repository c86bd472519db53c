"""The step of a network's state near its mean: eigenvalues, slow directions, flow in a plane."""

from __future__ import annotations

import copy

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from mpn_lab.analysis.dynamics import Held, held_input, mean_in, time_constant
from mpn_lab.analysis.restore import as_record
from mpn_lab.analysis.row_maps import RowMaps
from mpn_lab.networks.autograd import plain_loop
from mpn_lab.networks.mpn import MPN
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.training.run import Run, network_of


def linearise(
    network: QNetwork | Run,
    trials: xr.Dataset,
    period: str | None = None,
    *,
    vectors: int = 3,
) -> xr.Dataset:
    """Linearise the step of a network's state at its mean state and mean input in each period.

    The Jacobian of an MPN's M has one block for each unit, diag(lam) + phi'(z) a u^T. For every
    other core, the user's own included, it comes from automatic differentiation. Both in float64.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`. A selection of trials or steps, such as one trial at one time, gives
            the Jacobian at their mean.
        period: the period's name; None: each.
        vectors: number of eigenvectors.

    Returns:
        Along `period` and `mode`, all eigenvalues, largest magnitude first: `eigenvalue`, complex;
        `time_constant` in steps, -1 / ln |eigenvalue| (negative: deviations grow), and
        `time_constant_ms`; for an MPN `unit`, the unit whose row of M the mode moves. Along
        `period` and `slow`, for the first `vectors` modes: their right eigenvectors, of unit
        length, by state: `eigenvector_M` [period, slow, hidden, input] of an MPN, `eigenvector_h`
        [period, slow, hidden] of a GRU. Where eigenvalues coincide, they span the modes' plane.

    Raises:
        ValueError: the record does not fit the network, there is no such period, or `vectors` is
            out of range.
    """
    network = network_of(network)
    named = network.named_states(network.initial_state(1))
    trials = as_record(trials, "embedded", "period", *named)
    for name, (dims, value) in named.items():
        if (found := tuple(trials.sizes[dim] for dim in dims)) != tuple(value.shape[1:]):
            raise ValueError(
                f"the record's {name} has the sizes {found}, but the network's has "
                f"{tuple(value.shape[1:])}; pass the network that the record was made with."
            )
    sizes = [value[0].numel() for _, value in named.values()]
    if not 0 <= vectors <= sum(sizes):
        raise ValueError(f"vectors is {vectors}; expected 0 to {sum(sizes)}, the state's size.")
    periods = [period] if period is not None else periods_of(trials)
    rows = []
    for each in periods:
        state = np.concatenate([mean_in(trials, name, each).ravel() for name in named])
        rows.append(_modes(network, state, mean_in(trials, "embedded", each), vectors))
    values, directions = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
    tau, dims = time_constant(values), ("period", "mode")
    per_step = {"units": "steps", "long_name": "time constant, negative: deviations grow"}
    result = xr.Dataset(
        {
            "eigenvalue": (dims, values, {"units": "per step"}),
            "time_constant": (dims, tau, per_step),
            "time_constant_ms": (dims, tau * trials.attrs["dt"], per_step | {"units": "ms"}),
        },
        coords={"period": periods},
        attrs={"core": trials.attrs["core"], "dt": trials.attrs["dt"]},
    )
    parts = np.split(directions, np.cumsum(sizes)[:-1], axis=2)
    for (name, (own, value)), part in zip(named.items(), parts, strict=True):
        array = part.reshape(*part.shape[:2], *value.shape[1:])
        result[f"eigenvector_{name}"] = (("period", "slow", *own), array)
    units = [unit for *_, unit in rows if unit is not None]
    return result.assign_coords(unit=(dims, np.stack(units))) if units else result


def flow_field(
    network: QNetwork | Run,
    components: xr.Dataset,
    x: Held,
    *,
    period: str | None = None,
    points: int = 21,
) -> xr.Dataset:
    """Compute how the state moves in one step while its input is held, in the plane of two PCs.

    The states are those of the plane through the mean, over the range of the trajectories; what
    leaves the plane shows in `speed` alone.

    Args:
        network: whose state is a single variable: M of an MPN, h of a GRU or RNN.
        components: from `pca(trials, variable)`, of that variable, with 2 components or more.
        x, period: the input, as in `fixed_points`.
        points: number of points along each axis.

    Returns:
        `along_1` and `along_2` [pc_2, pc_1], the displacement in a step projected onto the two
        axes, and `speed`, the length of the whole displacement; coordinates `pc_1` and `pc_2`.
        As matplotlib's quiver takes them: `quiver(f.pc_1, f.pc_2, f.along_1, f.along_2)`.

    Raises:
        ValueError: the components are not of the core's whole state or are fewer than 2, x has
            another size or is not finite, or `points` is below 2.
    """
    network = network_of(network)
    variable = components.attrs.get("variable")
    states = list(network.named_states(network.initial_state(1)))
    if [variable] != states:
        raise ValueError(
            f"the components are of {variable}; expected those of the core's whole state, which "
            f"is {' and '.join(states)}" + ("." if len(states) == 1 else ": no plane shows it.")
        )
    if components.sizes["component"] < 2 or points < 2:
        raise ValueError(
            f"there are {components.sizes['component']} components and {points} points along each "
            "axis; expected 2 or more of both."
        )
    held, _ = held_input(network, x, period)
    axes = components["axes"].values[:2].reshape(2, -1).astype(np.float64)
    mean = components["mean"].values.reshape(-1).astype(np.float64)
    paths = components["trajectory"].values[..., :2].reshape(-1, 2)
    low, high = np.nanmin(paths, 0), np.nanmax(paths, 0)
    room = 0.1 * (high - low)
    along = np.linspace(low - room, high + room, points)  # (points, 2)
    grid = np.stack(np.meshgrid(along[:, 0], along[:, 1]), -1).reshape(-1, 2)
    before = mean + grid @ axes
    with torch.no_grad():
        after = _step(network, torch.from_numpy(before), held).numpy()
    moved = (after - before) @ axes.T
    dims, shape = ("pc_2", "pc_1"), (points, points)
    speed = np.linalg.norm(after - before, axis=1)
    return xr.Dataset(
        {
            "along_1": (dims, moved[:, 0].reshape(shape)),
            "along_2": (dims, moved[:, 1].reshape(shape)),
            "speed": (dims, speed.reshape(shape), {"units": "per step"}),
        },
        coords={"pc_1": along[:, 0], "pc_2": along[:, 1]},
        attrs={"variable": variable, "period": period or ""},
    )


def periods_of(record: xr.Dataset) -> list[str]:
    """Return the names of the periods of a record's trials, in the order of their start."""
    names = record["period"].values  # (trial, time)
    first = {str(name): int(np.nonzero(names == name)[1].min()) for name in np.unique(names)}
    return sorted(first.keys() - {""}, key=lambda name: first[name])


def jacobian(network: QNetwork, state: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the Jacobian of a step of the core, [s, s], at a flat state [s] while x [d] is held.

    In one backward pass, for cores treat the sequences of a batch independently: sequence i of s
    equal ones contributes row i. (Unlike vmap it runs through fused kernels and any user's core.)
    """
    batch = torch.from_numpy(state).expand(len(state), -1).clone().requires_grad_()
    after = _step(network, batch, x)
    return torch.autograd.grad(after.diagonal().sum(), batch, materialize_grads=True)[0].numpy()


def _step(network: QNetwork, states: Tensor, x: np.ndarray) -> Tensor:
    """Return the flat states [k, s] after one step of the core, in float64 on the CPU."""
    double = copy.deepcopy(network).double().cpu().eval()
    codec = StateCodec(double)
    inputs = torch.from_numpy(x).expand(len(states), 1, -1)
    with plain_loop():  # one step is not worth compiling the kernels for float64
        _, after = double.core(inputs, codec.unflatten(states))
    return codec.flatten(after)


def _modes(
    network: QNetwork, state: np.ndarray, x: np.ndarray, vectors: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return eigenvalues [s], eigenvectors [vectors, s], and each one's unit [s] or None."""
    core = network.core
    if not isinstance(core, MPN):
        values, right = np.linalg.eig(jacobian(network, state, x))
        order = np.argsort(-np.abs(values), kind="stable")
        return values[order] + 0j, right.T[order[:vectors]] + 0j, None
    maps, M = RowMaps.of(core, x), state.reshape(tuple(core.W.shape))
    z = maps.c + (maps.u * M).sum(1)
    new = maps.lam * M + maps.a0 + maps.a * maps.phi(z)[:, None]
    free = np.abs(new) < maps.bound
    values, right = np.linalg.eig(maps.jacobians(z[:, None], free[:, None])[:, 0])  # (n, d)
    order = np.argsort(-np.abs(values), axis=None, kind="stable")
    unit, mode = np.unravel_index(order, values.shape)
    directions: np.ndarray = np.zeros((vectors, *M.shape), complex)
    first, which = unit[:vectors], mode[:vectors]
    directions[np.arange(vectors), first] = right[first, :, which]
    return values[unit, mode] + 0j, directions.reshape(vectors, -1), unit
