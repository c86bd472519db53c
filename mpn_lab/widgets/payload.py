"""What the front end is sent of a record: an overview once, and trials one by one when asked for.

A message is a header, which is JSON, and a list of arrays as bytes. M is sent as its factors where
that gives the recorded M: with M_t = lam M_{t-1} + eta h_t x_t^T the browser adds it up from h and
x, at 1 / 30 of the bytes for 100 x 50 synapses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap, to_hex

from mpn_lab.analysis.population import effective_weights, modulation_change
from mpn_lab.analysis.schema import (
    condition_names,
    previous_missing,
    step_duration,
    trial_length,
)
from mpn_lab.plotting.panel import has_logits, has_modulations, period_spans
from mpn_lab.plotting.style import GREY, action_color, largest, limits
from mpn_lab.plotting.trial import TITLES, modulation_choices
from mpn_lab.plotting.view import outcome, trial_conditions, trial_title, verdict

COMPONENTS = 6  # principal components to choose two from
FEW = 12  # a condition with more values than this is a number, not a set of classes
SAMPLED = 32  # trials whose largest values set the scales of the colours
TOLERANCE = 0.004  # largest error of M from its factors, as a share of the largest M
MOST = 64_000_000  # bytes of one message

Arrays = dict[str, np.ndarray]
_STATES = ("M", "h", "Q")
_TOLD = {"trial", "time", "action", "valid", "reward", "response", "correct_response"}
_TOLD |= {"correct", "performance"}
OF_ACTIONS = ("correct_response", "response", "ideal_response")
CONDITIONS = LinearSegmentedColormap.from_list(
    "conditions", ["#3406f8", "#9d04bd", "#e50c66"]
)  # as in axes.js


def pack(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return a message: the header, `arrays`, which describes each, and their bytes, `buffers`."""
    layout, buffers = {}, []
    for k, (name, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array)
        layout[name] = {"dtype": str(array.dtype), "shape": list(array.shape), "at": k}
        buffers.append(array.reshape(-1).view(np.uint8).data)
    return {"header": header, "arrays": layout, "buffers": buffers}


def check_size(arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Raise ValueError, with what to select, if the arrays are more than a browser should hold."""
    size = sum(array.nbytes for array in arrays.values())
    if size > MOST:
        raise ValueError(
            f"{what} takes {size / 1e6:.0f} MB in the browser, more than {MOST / 1e6:.0f}; select "
            "fewer steps, for example record.isel(time=slice(None, None, 4)), or fewer trials."
        )


def half(values: np.ndarray) -> np.ndarray:
    """Return values in 16 bits, or in 32 where the largest is too large or too small for 16."""
    fits = 1e-3 <= largest(values) < 60_000  # halves go to 65,504, in steps of 6e-8 near 0
    return values.astype(np.float16 if fits else np.float32)


def variables(record: xr.Dataset) -> list[str]:
    """Return the variables that have principal components: M, h, Q, states and observations."""
    found = [
        str(name)
        for name, v in record.data_vars.items()
        if v.dims[:2] == ("trial", "time") and v.ndim > 2 and v.dtype.kind == "f"
    ]
    return sorted(found, key=lambda name: (_STATES.index(name) if name in _STATES else 3, name))


def conditions(record: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return what can colour and select trials: `labels` and a `code` of each trial, or `values`.

    A code of -1 and a value of None mean that the trial lacks the condition.
    """
    found = {}
    told = _told(record)
    verdicts = [verdict(told, i) for i in range(record.sizes["trial"])]
    if set(verdicts) & {"correct", "wrong"}:
        names = ["correct", "wrong"]
        found["outcome"] = {
            "labels": names,
            "code": [names.index(v) if v in names else -1 for v in verdicts],
        }
    actions = [str(name) for name in record["action"].values]
    for name in condition_names(record):
        values = record[name].values
        if name in ("correct", "trial_ground_truth"):  # the outcome, the correct response
            continue
        if name in OF_ACTIONS:
            if (values >= 0).any():
                found[name] = {"labels": actions, "code": values.astype(int).tolist()}
            continue
        known = values == values  # nan: the trial lacks it
        if values.dtype.kind in "OU":
            known &= values != ""
        classes, codes = np.unique(values[known], return_inverse=True)
        if 1 < len(classes) <= FEW:
            code = np.full(len(values), -1)
            code[known] = codes
            number = values.dtype.kind in "fiub"
            labels = _in_digits(classes) if number else [str(value) for value in classes]
            found[name] = {"labels": labels, "code": code.tolist()}
        elif len(classes) > FEW and values.dtype.kind in "fiu":
            found[name] = {"values": [float(v) if np.isfinite(v) else None for v in values]}
    return found


def _in_digits(classes: np.ndarray) -> list[str]:
    """Return different numbers in as few digits, from four on, as keep them apart.

    All digits before the point are written, up to 15.
    """
    whole = [min(len(f"{abs(value):.0f}"), 15) for value in classes]
    labels: list[str] = []
    for digits in range(4, 18):
        labels = [f"{v:.{max(digits, n)}g}" for v, n in zip(classes, whole, strict=True)]
        if len(set(labels)) == len(labels):
            return labels
    return [str(value) for value in classes]  # of more than 17 digits


def coloring(record: xr.Dataset, name: str, condition: Any) -> tuple[list[str], dict[str, str]]:
    """Return a colour of each trial by a condition, one of `conditions`, and those to name.

    They are those of the browser: of actions, or from first to last class, or low to high number.
    """
    if condition is None:
        return [GREY] * record.sizes["trial"], {}
    if "values" in condition:
        values = np.array([np.nan if v is None else v for v in condition["values"]])
        low, high = np.nanmin(values), np.nanmax(values)
        named = {f"{name} {v:.3g}": to_hex(CONDITIONS(k)) for k, v in ((0.0, low), (1.0, high))}
        shares = (values - low) / (high - low)
        return [GREY if s != s else to_hex(CONDITIONS(s)) for s in shares], named
    labels, codes = condition["labels"], condition["code"]
    last = max(len(labels) - 1, 1)
    colors = [to_hex(CONDITIONS(k / last)) for k in range(len(labels))]
    if name in OF_ACTIONS:
        colors = [action_color(k) for k in range(len(labels))]
    name = name.replace("_", " ")
    named = {f"{name}: {labels[k]}": colors[k] for k in sorted(set(codes)) if k >= 0}
    return [colors[k] if k >= 0 else GREY for k in codes], named


def overview(
    record: xr.Dataset, own_scales: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Arrays]:
    """Return what the front end needs of all trials, without their states.

    Args:
        record: from `record`.
        own_scales: from `scales`, where they are known.
    """
    trials = range(record.sizes["trial"])
    told = _told(record)
    periods = [str(name) for name in dict.fromkeys(record["period"].values.reshape(-1)) if name]
    classes = conditions(record)
    by = [name for name in ("correct_response", "response") if name in classes]
    header: dict[str, Any] = {
        "task": str(record.attrs["task"]),
        "core": str(record.attrs["core"]),
        "dt": step_duration(record),
        "numbers": record["trial"].values.tolist(),
        "lengths": [trial_length(told, i) for i in trials],
        "labels": [trial_label(told, i) for i in trials],
        "titles": [trial_title(told, i) for i in trials],
        "channels": [str(name) for name in record["channel"].values],
        "actions": [str(name) for name in record["action"].values],
        "hidden": int(record.sizes["hidden"]),
        "periods": periods,
        "starts": {name: _first_steps(record, name) for name in periods},
        "conditions": classes,
        "colors": [*by, *(name for name in classes if name not in by)],
        "variables": variables(record),
        "logits": has_logits(record),
        "shows": {name: TITLES[name] for name in modulation_choices(record)},
        "scales": scales(record) if own_scales is None else dict(own_scales),
        "modulation": record.attrs.get("modulation", ""),
        "gaps": np.flatnonzero(previous_missing(record).values.any(0)).tolist(),
    }
    arrays: Arrays = {"time": record["time"].values.astype(np.float64)}
    if has_modulations(record):
        header["inputs"] = int(record.sizes["input"])
        shape = record["M"].shape[2:]
        for name in ("W", "eta", "lam", "M0"):
            if name in record and set(record[name].dims) <= {"hidden", "input"}:
                arrays[name] = _matrix(record[name], shape)
    return header, arrays


def some_of(header: Mapping[str, Any], positions: Sequence[int]) -> dict[str, Any]:
    """Return the header of an overview of some of its trials."""

    def chosen(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in positions]

    found: dict[str, Any] = {
        key: chosen(header[key]) for key in ("numbers", "lengths", "labels", "titles")
    }
    found["starts"] = {name: chosen(steps) for name, steps in header["starts"].items()}
    found["conditions"] = {
        name: {key: v if key == "labels" else chosen(v) for key, v in condition.items()}
        for name, condition in header["conditions"].items()
    }
    return {**header, **found}


def scales(record: xr.Dataset) -> dict[str, Any]:
    """Return the largest magnitude of each map over all trials, of up to SAMPLED of them."""
    count = record.sizes["trial"]
    some = record.isel(trial=np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(int)))
    found: dict[str, Any] = {name: largest(some[name].values) for name in ("h", "obs")}
    found["Q"] = limits(record["Q"].values)
    found["reward"] = largest(record["reward"].values) if "reward" in record else 1.0
    maps = {"effective weights": effective_weights, "change of M": modulation_change}
    for show in modulation_choices(record):
        found[show] = largest((maps[show](some) if show in maps else some["M"]).values)
    return found


def _told(record: xr.Dataset) -> xr.Dataset:
    """Return what labels, titles and verdicts are made of: of fewer variables, faster by far."""
    return record.drop_vars(set(record.variables) - _TOLD)


def trial_label(record: xr.Dataset, position: int) -> str:
    """Return how the menu of trials names one: its number, response and outcome."""
    of = record.variables
    response = str(of["action"].values[int(of["response"].values[position])])
    words = outcome(record, position)
    return f"{int(of['trial'].values[position])}: {response}" + (f", {words}" if words else "")


def detail(record: xr.Dataset, position: int) -> tuple[dict[str, Any], Arrays]:
    """Return a trial: its periods, and observations, Q, actions, h and M at its steps."""
    T = trial_length(record, position)
    one = record.isel(trial=position, time=slice(0, T))
    arrays: Arrays = {
        "obs": half(one["obs"].values),
        "Q": one["Q"].values.astype(np.float32),
        "h": half(one["h"].values),
        "taken": one["taken_action"].values.astype(np.int16),
        "greedy": one["greedy_action"].values.astype(np.int16),
        "truth": one["ground_truth"].values.astype(np.int16),
    }
    if "reward" in one:
        arrays["reward"] = one["reward"].values.astype(np.float32)
    if has_modulations(record):
        arrays |= modulations(record, one, arrays["h"])
    header = {
        "trial": int(record["trial"][position]),
        "periods": period_spans(one["period"].values),
        "conditions": trial_conditions(record, position),
    }
    return header, arrays


def modulations(record: xr.Dataset, one: xr.Dataset, h: np.ndarray) -> Arrays:
    """Return M of a trial as the factor x, or whole where the factors do not give it.

    They do not after an edit, for some of the steps, with a bound that is reached, or of other
    equations. The sum is done here as the browser does it, and compared with the recorded M.
    """
    M = one["M"].values
    start: Arrays = {}
    if "M_start" in one:
        start["M_start"] = half(one["M_start"].values)
    factors = ("embedded", "eta", "lam")
    if record.attrs.get("update") == "associative" and all(name in record for name in factors):
        shape = M.shape[1:]
        own = [set(one[name].dims) <= {"hidden", "input"} for name in ("eta", "lam")]
        if all(own) and "trial" not in record["eta"].dims + record["lam"].dims:
            eta, lam = (_matrix(record[name], shape) for name in ("eta", "lam"))
            x = half(one["embedded"].values)
            state = start.get("M_start", one["M0"].values if "M0" in one else np.zeros(shape))
            state, error = state.astype(np.float32), np.float32(0)
            with np.errstate(over="ignore", invalid="ignore"):  # where the network diverged
                for ht, xt, now in zip(h.astype(np.float32), x, M, strict=True):
                    state = lam * state + eta * np.outer(ht, xt)
                    error = np.maximum(error, np.abs(state - now).max(initial=0))  # nan stays nan
            if error <= TOLERANCE * largest(M):
                return start | {"x": x}
    return start | {"M": half(M)}


def _first_steps(record: xr.Dataset, period: str) -> list[int]:
    """Return the first step of a period in each trial, -1 in those without it."""
    inside = (record["period"].values == period) & record["valid"].values
    return np.where(inside.any(1), inside.argmax(1), -1).tolist()


def _matrix(values: xr.DataArray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a parameter as [hidden, input], whichever of the two it depends on."""
    array = values.values.astype(np.float32)
    array = array[:, None] if values.dims == ("hidden",) else array
    return np.broadcast_to(array, shape)
