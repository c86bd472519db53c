"""Edits: what is changed in a network during a trial, and when, for `counterfactual`.

An edit is a small value that reads like a sentence,

    edits.zero("M", at="test")                          # M_{t-1} = 0 before the test's first step
    edits.freeze("M", during="delay")                   # no Hebbian update in the delay
    edits.swap("M", donor=other, at="test")             # M of another trial, before its own test
    edits.zero("h", units=[3, 17], from_time=900)       # two hidden units are silent from 900 ms on

and is stored with the record that it led to, as JSON (`to_json`, `from_json`).

**What** is edited, the target:

- `obs`, the observation, and `x`, the embedded observation, at each of the chosen steps;
- a state of the core under its name in the record (`M`, `c`, `h` of a GRU ...): the state *before*
  each of the chosen steps, so that "at" the first step of the test it is the last state of the
  delay;
- `h`, the output of the core at each of the chosen steps. Where h is also a state, what is carried
  on is edited with it; the h of an MPN enters the Hebbian update of the same step;
- a parameter of the core (`W`, `eta`, `lam`, or any other that its module names), for the chosen
  steps.

**When**: `at` one step, the first of a period or the one at a time in ms (or one time per trial);
`from_time` in ms to the trial's end; `during` a period, from one time to another, or at the steps
of a boolean mask [time] or [trial, time]. Without any of these, during the whole trial.

**Where**: `units` select along the variable's first dimension (hidden units), `inputs` along its
second, `synapses` pairs of both; `channels` select in obs by name; `trials` by number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypedDict, Unpack, get_args

import numpy as np
import xarray as xr

from mpn_lab.analysis.restore import as_record
from mpn_lab.analysis.schema import condition_of
from mpn_lab.checks import LARGEST_SEED, check_int

Over = Literal["units", "synapses", "trials"]
Ints = Sequence[int] | np.ndarray | xr.DataArray
Moment = str | float | int | Sequence[float] | np.ndarray
Span = str | tuple[float | int, float | int] | np.ndarray | xr.DataArray

KINDS = (
    *("zero", "scale", "set_to", "add_noise", "clamp", "swap", "shuffle", "freeze"),
    *("project_out", "mirror"),
)


class Where(TypedDict, total=False):
    """The keywords that every edit takes: when and where it acts; see this module."""

    at: Moment
    from_time: float | int
    during: Span
    units: Ints
    inputs: Ints
    synapses: Sequence[tuple[int, int]] | np.ndarray
    channels: str | Sequence[str]
    trials: Ints


@dataclass(frozen=True)
class Edit:
    """One change of a network during trials; made by the functions of this module.

    Attributes:
        kind: name of the function that made it.
        target: what is edited.
        options: the function's other arguments, as JSON can hold them.
        at, from_time, during: when; at most one is given.
        units, inputs, synapses, channels, trials: where; None: everywhere.
    """

    kind: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)
    at: Any = None
    from_time: Any = None
    during: Any = None
    units: Any = None
    inputs: Any = None
    synapses: Any = None
    channels: Any = None
    trials: Any = None

    def __str__(self) -> str:
        words = [self.kind, self.target]
        words += [f"{name} {_short(value)}" for name, value in self.options.items()]
        for name in ("units", "inputs", "synapses", "channels", "trials"):
            if (value := getattr(self, name)) is not None:
                words.append(f"of {name} {_short(value)}")
        for name, unit in (("at", " ms"), ("from_time", " ms"), ("during", "")):
            if (value := getattr(self, name)) is not None:
                text = _short(value) + ("" if isinstance(value, str) else unit)
                words.append(f"{name.removesuffix('_time')} {text}")
        return " ".join(words)


def zero(target: str, **where: Unpack[Where]) -> Edit:
    """Set to zero."""
    return _edit("zero", target, {}, where)


def scale(target: str, factor: float | int, **where: Unpack[Where]) -> Edit:
    """Multiply by a factor."""
    return _edit("scale", target, {"factor": _number("factor", factor)}, where)


def set_to(target: str, value: Any, **where: Unpack[Where]) -> Edit:
    """Replace by a value: a number, an array of the variable's shape, or one per trial."""
    return _edit("set_to", target, {"value": _finite("value", value)}, where)


def add_noise(target: str, std: float | int, *, seed: int = 0, **where: Unpack[Where]) -> Edit:
    """Add Gaussian noise of a standard deviation, drawn from the seed.

    It is drawn anew for each trial and step; to a parameter, which the trials share, it is drawn
    once.
    """
    return _edit(
        "add_noise",
        target,
        {"std": _number("std", std, 0), "seed": check_int("seed", seed, 0, LARGEST_SEED)},
        where,
    )


def clamp(target: str, low: float | int, high: float | int, **where: Unpack[Where]) -> Edit:
    """Limit to the range from low to high."""
    low, high = _number("low", low), _number("high", high)
    if low > high:
        raise ValueError(f"low is {low} and high {high}; expected a low that is not above high.")
    return _edit("clamp", target, {"low": low, "high": high}, where)


def swap(target: str, donor: Ints, **where: Unpack[Where]) -> Edit:
    """Replace by what the donor has at the same time of its own, unedited trial.

    With a period in `at` or `during`, times are counted from the period's start in each trial.

    Args:
        target: a state, obs, x or h.
        donor: the number of one trial per trial of the record; `donors` chooses some.
        where: when and where; see this module.
    """
    numbers = np.asarray(donor)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"donor is {_short(donor)}; expected the number of one trial per trial.")
    return _edit("swap", target, {"donor": numbers.tolist()}, where)


def shuffle(target: str, over: Over, *, seed: int = 0, **where: Unpack[Where]) -> Edit:
    """Permute over units (rows), synapses (all entries), or the trials of the record.

    The permutation is drawn once from the seed, and is the same at every step; that of units and
    synapses differs between trials.
    """
    if over not in get_args(Over):
        raise ValueError(f"over is {over!r}; expected one of {', '.join(get_args(Over))}.")
    return _edit(
        "shuffle", target, {"over": over, "seed": check_int("seed", seed, 0, LARGEST_SEED)}, where
    )


def freeze(target: str, **where: Unpack[Where]) -> Edit:
    """Stop the update of a state.

    In a core with a parameter eta, such as the MPN, eta is 0: M then only decays. The state of any
    other core keeps the value that it has before the first of the steps.
    """
    return _edit("freeze", target, {}, where)


def project_out(target: str, direction: Any, *, center: Any = None, **where: Unpack[Where]) -> Edit:
    """Remove the component along a direction: v - (u . (v - center)) u, with u of unit length.

    Args:
        target: what is edited.
        direction: of the variable's shape, such as `pca(trials, "M").axes.sel(component=1)`, a
            decoder's axis, or several, [k, ...], which are removed together.
        center: of the variable's shape; None: 0.
        where: when and where; see this module.
    """
    return _along("project_out", target, direction, center, where)


def mirror(target: str, direction: Any, *, center: Any = None, **where: Unpack[Where]) -> Edit:
    """Reverse the component along a direction: v - 2 (u . (v - center)) u; as `project_out`."""
    return _along("mirror", target, direction, center, where)


def donors(
    trials: xr.Dataset,
    differ: str | None = None,
    same: str | Sequence[str] = (),
    *,
    seed: int = 0,
) -> np.ndarray:
    """Draw for each trial another trial as its donor, as `swap` takes it.

    Args:
        trials: from `record`.
        differ: a condition in which the donor differs from the trial; None: no such condition.
        same: conditions in which they agree.
        seed: seed of the draw.

    Returns:
        The numbers of the donors, [trial].

    Raises:
        ValueError: there is no such condition, or some trial has no donor.
    """
    trials = as_record(trials)
    names = [same] if isinstance(same, str) else list(same)
    allowed = ~np.eye(trials.sizes["trial"], dtype=bool)
    for name in names:
        values = condition_of(trials, name).values
        allowed &= values[:, None] == values[None, :]
    if differ is not None:
        values = condition_of(trials, differ).values
        known = condition_of(trials, differ).notnull().values  # nan differs even from itself
        allowed &= (values[:, None] != values[None, :]) & known & known[:, None]
    numbers, rng = (
        trials["trial"].values,
        np.random.default_rng(check_int("seed", seed, 0, LARGEST_SEED)),
    )
    if not allowed.any(1).all():
        alone = numbers[~allowed.any(1)][0]
        asked = [f"the same {name}" for name in names] + ([f"another {differ}"] if differ else [])
        raise ValueError(
            f"trial {alone} has no donor with {' and '.join(asked) or 'another number'}; record "
            "more trials, or ask for less."
        )
    return numbers[[rng.choice(np.flatnonzero(row)) for row in allowed]]


def to_json(edits: Sequence[Edit]) -> str:
    """Return edits as the JSON that `counterfactual` stores in the attribute `edits`."""
    given = [{k: v for k, v in asdict(edit).items() if v is not None} for edit in edits]
    return json.dumps(given)


def from_json(text: str) -> list[Edit]:
    """Return the edits of a record's attribute `edits`. Raises ValueError if it holds no edits."""
    known = {f.name for f in fields(Edit)}
    try:
        parts = json.loads(text)
        if all(part.keys() <= known and part["kind"] in KINDS for part in parts):
            return [Edit(**part) for part in parts]
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise ValueError(f"{_short(text)} holds no edits; expected what counterfactual has stored.")


def _edit(kind: str, target: str, options: dict[str, Any], where: Where) -> Edit:
    """Make an edit from what a caller gave, as JSON can hold it."""
    given: dict[str, Any] = {k: v for k, v in where.items() if v is not None}
    unknown = set(given) - set(Where.__annotations__)
    if unknown:
        raise ValueError(
            f"{kind} has no argument {sorted(unknown)[0]!r}; expected "
            f"{', '.join(Where.__annotations__)}."
        )
    times = [name for name in ("at", "from_time", "during") if name in given]
    if len(times) > 1:
        raise ValueError(f"{kind} has both {times[0]} and {times[1]}; expected one of them.")
    if not isinstance(target, str):
        raise ValueError(f"target is {target!r}; expected a name, such as 'M'.")
    if "from_time" in given:
        given["from_time"] = _number("from_time", given["from_time"])
    if "at" in given and not isinstance(given["at"], str):
        given["at"] = _finite("at", given["at"])
    if "during" in given and not isinstance(given["during"], str):
        span = np.asarray(given["during"])
        if span.dtype != bool and span.shape != (2,):
            raise ValueError(
                f"during is {_short(given['during'])}; expected a period's name, a start and an "
                "end in ms, or a boolean mask."
            )
        given["during"] = span.tolist()
    for name in ("units", "inputs", "trials"):
        if name in given:
            given[name] = _integers(name, given[name])
    if "synapses" in given:
        pairs = np.asarray(given["synapses"])
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(
                f"synapses is {_short(given['synapses'])}; expected pairs (unit, input)."
            )
        given["synapses"] = [_integers("synapses", pair) for pair in pairs]
    if "channels" in given:
        names = given["channels"]
        given["channels"] = [names] if isinstance(names, str) else [str(name) for name in names]
        if target != "obs":
            raise ValueError(f"channels are those of obs; expected no channels with {target!r}.")
    return Edit(kind, target, options, **given)


def _along(kind: str, target: str, direction: Any, center: Any, where: Where) -> Edit:
    options = {"direction": _finite("direction", direction)}
    if not np.any(options["direction"]):
        raise ValueError("direction is zero everywhere; expected one that points somewhere.")
    if center is not None:
        options["center"] = _finite("center", center)
    return _edit(kind, target, options, where)


def _number(name: str, value: Any, low: float | int = -np.inf) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{name} is {value!r}; expected a number.")
    if not np.isfinite(value) or value < low:
        least = "a finite number" if low == -np.inf else f"a number of at least {low:g}"
        raise ValueError(f"{name} is {value}; expected {least}.")
    return float(value)


def _finite(name: str, value: Any) -> Any:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {_short(value)}; expected numbers.") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds nan or infinity; expected finite numbers.")
    return array.tolist()


def _integers(name: str, value: Any) -> list[int]:
    array = np.asarray(value).reshape(-1)
    if not np.issubdtype(array.dtype, np.integer) or (array < 0).any():
        raise ValueError(f"{name} is {_short(value)}; expected whole numbers from 0 on.")
    return array.tolist()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(np.asarray(value).tolist())
    return text if len(text) <= 40 else f"{text[:37]}..."
