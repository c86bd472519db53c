"""All fixed points of an MPN's M while its input is held, and where M settles.

The idea of looking at a trained network this way is that of Sussillo & Barak, Neural Computation
2013;25:626, who search by optimisation from many starts. The rows of M do not meet while x is held:
their fixed points are found unit by unit, all of them, without a search.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from mpn_lab.analysis.population import period_mask
from mpn_lab.analysis.restore import as_record, step_values
from mpn_lab.analysis.row_maps import RowMaps
from mpn_lab.networks.mpn import MPN
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.training.run import Run

Held = xr.Dataset | xr.DataArray | np.ndarray | Tensor | Sequence[float | int]
"""An input that is held: a record (its mean input over a period), or the numbers themselves."""


def fixed_points(
    network: QNetwork | Run | MPN,
    x: Held,
    *,
    period: str | None = None,
    dt: float | int | None = None,
) -> xr.Dataset:
    """Find all fixed points of an MPN's M while its input x is held, unit by unit.

    Each row of M has fixed points of its own, and every combination over units is a fixed point of
    M: with 20 units that have 2 stable ones, M has 2^20. They are found by bracketing between the
    turning points of the row's equation (see `row_maps`), to the precision of float64. Two that
    merge (a tangency) count as one, two or none, as rounding decides.

    Args:
        network: an MPN's, or the layer itself; of several layers the first.
        x: the input that is held. A record: its mean input, over all its trials, in `period`.
            Numbers: an observation or an embedded input, told apart by their number, or by the
            dimension `channel` or `input` of a DataArray, such as `trials.obs.sel(trial=3,
            time=900)`.
        period: of a record; None: the whole trial.
        dt: length of a step in ms; None: the record's, if x is one.

    Returns:
        With the dimensions `hidden` (n), `fixed_point` (ascending in z; nan where a unit has fewer)
        and `mode` (d, largest eigenvalue first):

        - `count` [hidden]; `stable` [hidden, fixed_point], all eigenvalues within the unit circle;
        - `preactivation` z, `h` [hidden, fixed_point] and `M` [hidden, fixed_point, input];
        - `eigenvalue` [hidden, fixed_point, mode] of the Jacobian of the row's map; `time_constant`
          in steps, -1 / ln |eigenvalue| (negative: deviations grow), and `time_constant_ms`;
        - `slope` [hidden, fixed_point], dz_t / dz_{t-1}, and the borders of the basin of attraction
          on the axis of z, `basin_low` and `basin_high`: nan where z alone does not determine its
          future (lam differs along the row, a bound), where the map has a slope below -1 somewhere
          and z may oscillate for ever, and for an unstable point;
        - `x` [input]; `drive` [hidden] and `weight` [hidden, input], with which the next
          preactivation is z = drive + sum over inputs of weight * M.

    Raises:
        ValueError: the core is not an MPN, x has another size or is not finite, lam is 1 or more
            (M then grows without end), or there is no such period.

    Example:
        >>> import mpn_lab
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> points = mpn_lab.analysis.fixed_points(network, [1.0, 0.0, 0.0])
        >>> bool((points["count"] >= 1).all())
        True
    """
    core = _mpn(network)
    held, own_dt = held_input(network, x, period)
    maps = RowMaps.of(core, held)
    if (maps.lam >= 1).any():
        raise ValueError(
            f"lam is {maps.lam.max():g}; expected below 1, since M else never settles: train with "
            "a lower lam_max."
        )
    z = maps.fixed_points()
    eigenvalue = maps.eigenvalues(z)
    stable = (np.abs(eigenvalue) < 1).all(2)  # nan: False
    low, high = maps.basins(z, stable)
    dims = ("hidden", "fixed_point")
    per_step = {"units": "steps", "long_name": "time constant, negative: deviations grow"}
    tau, dt = time_constant(eigenvalue), own_dt if dt is None else dt
    return xr.Dataset(
        {
            "count": ("hidden", np.isfinite(z).sum(1)),
            "stable": (dims, stable),
            "preactivation": (dims, z),
            "h": (dims, maps.phi(z)),
            "M": ((*dims, "input"), maps.fixed_rows(z)),
            "eigenvalue": ((*dims, "mode"), eigenvalue, {"units": "per step"}),
            "time_constant": ((*dims, "mode"), tau, per_step),
            "time_constant_ms": ((*dims, "mode"), tau * dt, per_step | {"units": "ms"}),
            "slope": (dims, maps.slopes(z), {"units": "per step"}),
            "basin_low": (dims, low, {"long_name": "lower border of the basin in z"}),
            "basin_high": (dims, high, {"long_name": "upper border of the basin in z"}),
            "x": ("input", held),
            "drive": ("hidden", maps.c),
            "weight": (("hidden", "input"), maps.u),
        },
        attrs={"period": period or "", "dt": dt} | core.equations(),
    )


def attractor(points: xr.Dataset, M: xr.DataArray) -> xr.DataArray:
    """Return the fixed point at which M ends up if the input stays what it is in `points`.

    No step is computed: the basins tell. nan in the rows whose basins are unknown, and in those
    that grow without end.

    Args:
        points: from `fixed_points`.
        M: modulations with the dimensions hidden and input, and any others, such as
            `trials.M.sel(time=900)`.

    Raises:
        ValueError: M does not fit.
    """
    sizes = {dim: points.sizes[dim] for dim in ("hidden", "input")}
    if {dim: M.sizes.get(dim) for dim in sizes} != sizes:
        raise ValueError(f"M has the dimensions {dict(M.sizes)}; expected {sizes} among them.")
    z = points["drive"] + (points["weight"] * M).sum("input", skipna=False)
    inside = (points["basin_low"] < z) & (z < points["basin_high"])
    found = points["M"].isel(fixed_point=inside.argmax("fixed_point"))
    return found.where(inside.any("fixed_point")).transpose(*M.dims).rename("attractor")


def time_constant(eigenvalue: np.ndarray) -> np.ndarray:
    """Return -1 / ln |eigenvalue|: steps in which a deviation shrinks by e; negative: grows."""
    with np.errstate(divide="ignore"):
        log = np.log(np.abs(eigenvalue))
        return np.where(log == 0, np.inf, -1 / log)


def _mpn(network: QNetwork | Run | nn.Module) -> MPN:
    network = network.network if isinstance(network, Run) else network
    core = network.layers[0] if isinstance(network, QNetwork) else network
    if not isinstance(core, MPN):
        raise ValueError(
            f"the core is {type(core).__name__}, whose rows of M are not independent or which has "
            "no M; expected MPN: use linearise or flow_field instead."
        )
    return core


def held_input(
    network: QNetwork | Run | MPN, x: Held, period: str | None
) -> tuple[np.ndarray, float]:
    """Return the embedded input [d], float64, and the length of a step in ms (nan: unknown).

    Raises:
        ValueError: as in `fixed_points`.
    """
    network = network.network if isinstance(network, Run) else network
    embedding: nn.Module = nn.Identity()
    if isinstance(network, QNetwork):
        embedding, channels, d = network.embedding, network.obs_size, network.input_sizes[0]
    else:
        channels = d = network.input_size
    dims: tuple[Any, ...] = ()
    if isinstance(x, xr.Dataset):
        x = as_record(x, "embedded", "period")
        held, dims, dt = mean_in(x, "embedded", period), ("input",), float(x.attrs["dt"])
    else:
        if period is not None:
            raise ValueError(f"period is {period!r}, but x is no record; pass one, or no period.")
        dims, dt = (x.dims if isinstance(x, xr.DataArray) else ()), np.nan
        x = x.detach().cpu() if isinstance(x, Tensor) else x
        held = np.asarray(x, np.float64)
    sizes = {"channel": channels, "input": d}
    kinds = [k for k, n in sizes.items() if held.shape == (n,) and dims in ((), (k,))]
    if not kinds:
        named = dict(zip(dims, held.shape, strict=True)) if dims else held.shape
        raise ValueError(
            f"x has the shape {named}; expected {channels} channels of an observation or {d} "
            "embedded inputs."
        )
    if len(kinds) == 2 and not isinstance(embedding, nn.Identity):
        raise ValueError(
            f"x has {d} numbers, and so have an observation and an embedded input; pass a "
            "DataArray with the dimension channel or input."
        )
    if not np.isfinite(held).all():
        raise ValueError("x holds nan or inf; expected finite numbers, from a step of the trial.")
    if kinds[0] == "channel":
        double = copy.deepcopy(embedding).double().cpu()
        with torch.no_grad():
            held = double(torch.from_numpy(held)).numpy()
    return held, dt


def mean_in(record: xr.Dataset, variable: str, period: str | None) -> np.ndarray:
    """Return the mean of a variable over all steps of a period, in float64."""
    mask = period_mask(record, period).values
    return step_values(record, variable)[mask].mean(0, dtype=np.float64)
