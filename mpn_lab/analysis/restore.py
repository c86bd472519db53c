"""Restores a record after a selection, and refuses a Dataset without single trials.

Every public function that takes a record passes it through one of the functions `as_...` first.
xarray's `where` turns integers and booleans into floats and repeats the weights for every trial, as
does `concat`: this is undone. An average, or a stack of runs, is refused with a sentence that says
what to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mpn_lab.analysis.schema import (
    STALENESS,
    check_marked,
    check_record,
    previous_missing,
    step_duration,
)

_BASE = ("strategy", "age", "trial", "time")
_STEPS = ("trial", "time")
_MANY = {"strategy": "strategies", "age": "ages", "trial": "trials", "time": "steps"}
_DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("valid", "period", "taken_action", "greedy_action", "reward"), _STEPS),
    "ground_truth": _STEPS,
    "obs": (*_STEPS, "channel"),
    "h": (*_STEPS, "hidden"),
    "Q": (*_STEPS, "action"),
    "Q_collected": (*_STEPS, "action"),
    "Q_stored": (*_BASE[1:], "action"),
    "Q_replayed": (*_BASE, "action"),
    **dict.fromkeys(("dM", "dM_raw", "dQ", "dQ_raw", "dQ_from_start", "flipped"), _BASE),
    "step_in_window": ("time",),
}
_PREFIX = {
    "embedded": _STEPS,
    "M": _STEPS,
    "M_stored": _STEPS,
    "M_replayed": _BASE,
} | dict.fromkeys(
    ("W", "b", "eta", "lam", "M0", "readout", "readout_bias", "projection", "projection_bias"), ()
)
"""The first dimensions of the variables whose others depend on the core."""
_ACTIONS = {"taken_action", "greedy_action", "ground_truth"}
_ACTIONS |= {"correct_response", "response", "ideal_response"}
_WHOLE = _ACTIONS | {"step_in_window"}


def as_record(record: xr.Dataset, *variables: str) -> xr.Dataset:
    """Return a record, or a selection of one, in the shape and with the types of a record.

    Trials without a valid step, which `where` leaves behind, are dropped.

    Args:
        record: from `record`, or a selection of one: by `isel`, `sel`, `where`, or joined by
            `concat` along `trial`.
        *variables: names of variables and coordinates that it must have.

    Raises:
        ValueError: it is not a record, has other dimensions (an average, several runs), has no
            trials or steps left, or lacks one of the variables.
    """
    check_record(record)
    record = _restored(record)
    check_record(record, *variables)
    return record


def as_mpn_record(record: xr.Dataset) -> xr.Dataset:
    """Restore a record of an MPN: one with M, W and the attribute `modulation`."""
    record = as_record(record, "M", "W")
    if "modulation" not in record.attrs:
        core = record.attrs.get("core", "unknown")
        raise ValueError(
            f"the record is of a {core} network, which does not say how M acts on W (attribute "
            "modulation); expected one of an MPN."
        )
    return record


def as_whole_trials(record: xr.Dataset, *variables: str) -> xr.Dataset:
    """Restore a record whose trials begin with their first step, so that they can be run again."""
    record = as_record(record, *variables)
    if previous_missing(record).any():
        raise ValueError(
            "the record lacks steps from the trials' starts; pass the whole trials, and select "
            "times of the result."
        )
    return record


def as_staleness(data: xr.Dataset, *variables: str) -> xr.Dataset:
    """Restore a Dataset from `staleness`, as `as_record` does."""
    check_marked(
        data,
        STALENESS,
        "holds no stored and replayed states",
        "mpn_lab.analysis.staleness(...)",
    )
    data = _restored(data)
    for name in variables:
        if name not in data.variables:
            core = data.attrs.get("core", "unknown")
            raise ValueError(
                f"there is no {name} among the stored and replayed states of this {core} network; "
                f"there are {', '.join(str(v) for v in data.data_vars)}."
            )
    return data


def as_trials(data: xr.Dataset, *variables: str) -> xr.Dataset:
    """Restore a record or a Dataset from `staleness`, as `as_record` does."""
    restore = as_staleness if STALENESS in getattr(data, "attrs", {}) else as_record
    return restore(data, *variables)


def _restored(data: xr.Dataset) -> xr.Dataset:
    """Undo what selections change in dimensions and types; return `data` if nothing changed."""
    base = _BASE if STALENESS in data.attrs else _STEPS
    for dim in base:
        if dim not in data.dims:
            raise ValueError(_without(data, dim))
        if not data.sizes[dim]:
            raise ValueError(f"the record has no {_MANY[dim]} left; remove some filters.")
    if "valid" not in data.variables:
        raise ValueError("the record has no valid; keep this variable, which marks the steps.")
    reached = _typed("valid", _shaped("valid", data.variables["valid"], data, base)).values.any(1)
    if not reached.any():
        raise ValueError("the record has no trials left; remove some filters.")
    data = data if reached.all() else data.isel(trial=reached)
    changed: dict[Any, xr.Variable] = {}
    for name, variable in data.variables.items():
        restored = _typed(str(name), _shaped(str(name), variable, data, base))
        if restored is not variable:
            changed[name] = restored
    data = data.assign(changed) if changed else data
    for name in _ACTIONS & set(data.variables) if "action" in data.sizes else ():
        if (largest := int(data[name].values.max())) >= data.sizes["action"]:
            raise ValueError(
                f"{name} holds action {largest}, which the dimension action lacks; select trials "
                "or steps of the record, not actions."
            )
    return data


def _without(data: xr.Dataset, dim: str) -> str:
    """Say what to do about a Dataset that has lost a dimension."""
    if dim in data.coords and not data[dim].ndim:
        value = data[dim].item()
        chosen = f"{value:g}" if isinstance(value, float) else repr(value)
        return (
            f"this is a single {dim} ({chosen}) without the dimension {dim}; keep the dimension: "
            f"record.sel({dim}=[{chosen}])."
        )
    other = [str(d) for d in data.dims if d in data.coords and d not in (*_BASE, *_own(data))]
    group = f'.groupby("{other[0]}").mean()' if other else f'.mean("{dim}")'
    return (
        f"this record has no dimension {dim}{f' but {other[0]}' if other else ''}, as after an "
        f"average; pass the record before it was averaged, and average the result, for example "
        f"pca(record).trajectory{group}."
    )


def _own(data: xr.Dataset) -> set[str]:
    """Return the dimensions of a record that are neither trials nor steps."""
    return {"channel", "action", "input", "hidden"} & {str(dim) for dim in data.dims}


def _shaped(name: str, variable: xr.Variable, data: xr.Dataset, base: tuple) -> xr.Variable:
    """Return a variable with the dimensions that it has in every record, in their order."""
    own = tuple(d for d in variable.dims if d not in base)
    expected: tuple[Any, ...]
    if name in _DIMS:
        expected = _DIMS[name]
    elif name in _PREFIX:
        expected = (*_PREFIX[name], *own)
    elif name.endswith("_start"):  # a state before the first step
        expected = ("trial", *own)
    else:
        expected = (*(d for d in base if d in variable.dims), *own)
    if variable.dims == expected:
        return variable
    extra = [d for d in variable.dims if d not in expected]
    lost = [d for d in expected if d not in variable.dims]
    if lost:
        raise ValueError(
            f"{name} has the dimensions {', '.join(map(str, variable.dims))} and lacks {lost[0]}; "
            "pass the record before it was averaged, and average the result."
        )
    if foreign := [str(d) for d in extra if d not in base]:
        raise ValueError(_foreign(name, foreign[0], data))
    if not extra:
        return variable.transpose(*expected)
    copies = variable.transpose(*extra, *expected)
    rows = copies.values.reshape(-1, *copies.shape[len(extra) :])
    missing = pd.isnull(rows)  # `where` leaves nan where it masks
    one = np.take_along_axis(rows, (~missing).argmax(0)[None], 0)[0]
    if not ((rows == one) | missing).all():
        if name in _DIMS:
            raise ValueError(
                f"{name} differs along {extra[0]}; select with sel or isel in place of where."
            )
        return variable.transpose(*base, ..., missing_dims="ignore")  # weights of several networks
    return xr.Variable(expected, one, variable.attrs)


def _foreign(name: str, dim: str, data: xr.Dataset) -> str:
    """Say what to do about a Dataset with a dimension too many."""
    if dim in _own(data):
        return (
            f"the record was masked by a condition that depends on {dim}, so that {name} has this "
            f'dimension too; mask one variable instead, for example record["h"].where(...).'
        )
    return (
        f"this record has the dimension {dim} (of {data.sizes[dim]}) besides its own; pass one of "
        f'them, for example record.isel({dim}=0), or join trials with xarray.concat(..., "trial").'
    )


def _typed(name: str, variable: xr.Variable) -> xr.Variable:
    """Return a variable with its type; nan becomes -1, False or, in text, the empty string."""
    if name == "period" and variable.dtype.kind not in "UT":
        values = variable.values
        return variable.copy(data=np.where(pd.isnull(values), "", values).astype(str))
    truth = name in ("valid", "flipped")
    if variable.dtype.kind in ("b" if truth else "iu") or not (truth or name in _WHOLE):
        return variable
    values = variable.values.astype(float)
    values = np.where(np.isnan(values), 0 if truth else -1, values)
    whole = values.astype(int)
    if (whole != values).any() or (truth and not np.isin(whole, (0, 1)).all()):
        value = values[(whole != values) | (whole > 1)].flat[0]
        raise ValueError(
            f"{name} holds {value:g}, as after an average; pass the record before it was averaged, "
            "and average the result."
        )
    return variable.copy(data=whole.astype(bool) if truth else whole)


def explorable(data: xr.Dataset) -> xr.Dataset:
    """Return trials as an explorer needs them: renumbered from 0 if two have the same number.

    Raises:
        ValueError: the times are not evenly spaced.
    """
    step_duration(data)
    numbers = data["trial"].values
    if len(np.unique(numbers)) == len(numbers):
        return data
    return data.assign_coords(trial=np.arange(len(numbers)))


def step_values(record: xr.Dataset, variable: str) -> np.ndarray:
    """Return a variable of every step, [trial, time, ...]; it must be finite at valid steps.

    Raises:
        ValueError: there is no such variable, it is not one number or array per step, or it is nan
            or infinite at a valid step.
    """
    check_record(record, variable)
    dims, values = record[variable].dims, record[variable].values
    if dims[:2] != _STEPS or values.dtype.kind not in "fiub":
        raise ValueError(
            f"{variable} has the dimensions {', '.join(map(str, dims)) or 'none'} and the type "
            f"{values.dtype}; expected numbers of every step, [trial, time, ...], such as h."
        )
    finite = np.isfinite(values).reshape(*values.shape[:2], -1).all(2)
    valid = record["valid"].values
    if (bad := valid & ~finite).any():
        i, t = np.argwhere(bad)[0]
        raise ValueError(
            f"{variable} is nan or infinite at {bad.sum()} of {valid.sum()} steps (first in trial "
            f"{record['trial'].values[i]} at {record['time'].values[t]:g} ms): the network "
            "diverged, or the variable was masked; select trials in which it is finite."
        )
    return values


def aligned(values: xr.DataArray, record: xr.Dataset, name: str, *dims: str) -> xr.DataArray:
    """Return values at the record's trials (and steps), with their dimensions in order.

    Raises:
        ValueError: the values have other dimensions, or are not given for each of the trials.
    """
    if not isinstance(values, xr.DataArray):
        raise ValueError(
            f"{name} is a {type(values).__name__}; expected a DataArray, one per trial."
        )
    if set(dims) != set(values.dims):
        raise ValueError(
            f"{name} has dimensions {dict(values.sizes)}; expected one per {' and '.join(dims)}."
        )
    for dim in (dim for dim in dims if dim in record.dims):
        wanted, n, labelled = record[dim].values, values.sizes[dim], dim in values.coords
        if np.array_equal(values[dim].values, wanted) or (not labelled and n == len(wanted)):
            continue
        given = values[dim].values
        if not (labelled and len(np.unique(given)) == n and np.isin(wanted, given).all()):
            raise ValueError(
                f"{name} has dimensions {dict(values.sizes)}; expected one per {dim} of the "
                f"record, which has {len(wanted)}."
            )
        values = values.sel({dim: wanted})
    return values.transpose(*dims)
