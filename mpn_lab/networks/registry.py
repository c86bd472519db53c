"""The registry of cores: `register_core`, and the protocol that a custom core follows.

A core is an `nn.Module`, constructed as `Core(input_size, hidden_size, generator=..., **options)`
and called as

    output, state = core(input, state=None)                             # (B, T, d) -> (B, T, n)
    output, state, states = core(input, state=None, return_states=True)

`state` is a tensor, or a flat tuple of tensors, batch first; None means the start of a sequence.
`states` contains the state after every step, with the time axis after the batch axis. The class
attribute `state_dims` names the tensors in order, and the dimensions of each after the batch:

    state_dims = {"u": ("hidden",), "M": ("hidden", "input")}

`record` stores each under its name. A core may also define

- `initial_state(batch_size)`: the state at a sequence's start; without it the state is all zero;
- `project_()`: projects parameters into their valid range, called after every optimizer step;
- `state_after(state, input, output)`: the state after a step with this output, for counterfactuals
  that edit the output of a core whose output is not itself a state;
- `metrics()`: name -> number, added to each row of a run's metrics;
- `weights()`: name -> (dimensions, tensor), stored by `record`, as `"W": (("hidden", "input"), W)`;
- `equations()`: name -> text, stored in the attributes of a record;
- `horizon_options(steps)`, a classmethod: defaults derived from the mean length of the task's
  trials in steps, for options that the configuration does not set.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import optree
import torch
from torch import Tensor, nn

from mpn_lab.checks import check_int, check_memory, did_you_mean, reason, show

_CHECKED_STATES = 12  # states of one trial that `check_core` holds at once

State = Any  # a tensor, or a tuple of tensors (in a Stack of states), batch first
Dims = tuple[str, ...]

RESERVED = {
    *("trial", "time", "channel", "action", "input", "hidden", "hidden_below", "period", "obs"),
    *("reward", "ground_truth", "valid", "taken_action", "greedy_action", "Q", "embedded"),
    *("length", "correct_response", "response", "correct", "performance", "ideal_response"),
    *("readout", "readout_bias", "projection", "projection_bias", "strategy", "age", "flipped"),
    *("trained_trials", "step_in_window", "dM", "dM_raw", "dQ", "dQ_raw", "dQ_from_start"),
    *("Q_collected", "Q_stored", "Q_replayed", "M_stored", "M_replayed"),
}
"""Names that a record uses itself, which no state of a core may have."""

_BUILT_IN = ("mpn_lab.networks.mpn", "mpn_lab.networks.recurrent")  # register themselves
_CORES: dict[str, type[Any]] = {}


class CoreError(ValueError):
    """Raised if a core is not registered or does not follow the protocol."""


def register_core(name: str, core: type[Any]) -> None:
    """Register a core under a name, for `TrainConfig(core=name)` and `QNetwork(core=name)`.

    Args:
        name: a name that no other class has; the same class may be registered again.
        core: the class; see this module for the protocol.

    Raises:
        CoreError: the name is taken, the class is not an `nn.Module` or names no states, or a
            state has a name that a record uses itself.

    Example:
        >>> register_core("oja", OjaCore)  # doctest: +SKIP
        >>> train(TrainConfig(core="oja", core_options={"rate": 0.1}))  # doctest: +SKIP
    """
    if not isinstance(name, str) or not name:
        raise CoreError(f"the core's name is {show(name)}; expected text.")
    if getattr(core, "__module__", "") not in _BUILT_IN:
        core_names()  # register mpn_lab's own cores first
    if not isinstance(core, type) or not issubclass(core, nn.Module):
        raise CoreError(
            f"the core {name!r} is {show(core)}; expected a class that is an nn.Module."
        )
    if name in _CORES and _where(_CORES[name]) != _where(core):
        raise CoreError(
            f"the core {name!r} is already registered ({_where(_CORES[name])}); choose another "
            "name."
        )
    dims: Any = getattr(core, "state_dims", None)
    if not (isinstance(dims, dict) and dims and all(isinstance(d, tuple) for d in dims.values())):
        raise CoreError(
            f"{_where(core)} names no states (state_dims is {dims!r}); give the class state_dims "
            'such as {"M": ("hidden", "input")}.'
        )
    for state, own in dims.items():
        names = [state, *(dim for dim in own if dim not in ("hidden", "input"))]
        if any(_is_reserved(n) for n in names) or set(own) & set(dims) or len({*own}) < len(own):
            raise CoreError(
                f"{_where(core)} has a state {state!r} with the dimensions {own}; expected "
                "distinct names that a record does not use itself."
            )
    _CORES[name] = core


def core_names() -> list[str]:
    """Return the names of all registered cores."""
    for module in _BUILT_IN:
        importlib.import_module(module)
    return list(_CORES)


def core_class(name: str, module: str | None = None) -> type[Any]:
    """Return the class registered under a name.

    Args:
        name: name of the core.
        module: the module that defined it, if known; the error message names it.

    Raises:
        CoreError: no core is registered under this name.
    """
    known = core_names()
    if name not in _CORES:
        if module == "__main__":  # of a script or a notebook
            module = None
        hint = (
            "call mpn_lab.register_core"
            if module is None
            else f"import {module}, which registered it"
        )
        raise CoreError(
            f"the core {show(name)} is not registered; expected one of {', '.join(known)}"
            f"{did_you_mean(name, known)}: first "
            f"{hint} (on the command line: --import {module or 'MODULE'})."
        )
    return _CORES[name]


def core_module(name: str) -> str:
    """Return the module that defines a registered core."""
    return str(core_class(name).__module__)


def make_core(
    name: str,
    input_size: int,
    hidden_size: int,
    *,
    generator: torch.Generator | None = None,
    **options: Any,
) -> nn.Module:
    """Create one layer of a registered core, and check it on a small batch.

    Raises:
        CoreError: the core is not registered, does not take the options, or breaks the protocol.
        ValueError: the core itself rejects an option.
    """
    made = core_class(name)
    signature = inspect.signature(made)
    try:
        signature.bind(input_size, hidden_size, generator=generator, **options)
    except TypeError as error:
        own = [p for p in list(signature.parameters)[2:] if p != "generator"]
        foreign = {option: value for option, value in options.items() if option not in own}
        if foreign:
            raise CoreError(
                f"the core {name!r} does not take core_options {show(foreign)}"
                f"{did_you_mean(next(iter(foreign)), own)}; it takes {', '.join(own) or 'none'}."
            ) from error
        raise CoreError(
            f"the core {name!r} cannot be made with core_options {show(options)} "
            f"({reason(error)}); it takes {', '.join(own) or 'none'}."
        ) from error
    core: nn.Module = made(input_size, hidden_size, generator=generator, **options)
    check_core(core, input_size, hidden_size)
    return core


def check_sizes(
    input_size: Any, hidden_size: Any, generator: Any, *, recurrent: int = 0
) -> tuple[int, int]:
    """Return the sizes of a layer, and check the generator of its weights.

    `recurrent` is the number of matrices [hidden, hidden]. Raises ValueError for sizes that are no
    whole numbers of 1 or more, or whose weights, with the states of some steps, exceed the memory.
    """
    d, n = check_int("input_size", input_size, 1), check_int("hidden_size", hidden_size, 1)
    numbers = n * d * (1 + _CHECKED_STATES) + recurrent * n * n
    check_memory(
        4 * numbers, f"a layer with {d:,} inputs and hidden_size {n:,}", "choose smaller sizes"
    )
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator is {show(generator)}; expected a torch.Generator, or None.")
    return d, n


def check_input(input: Any, input_size: int, weight: Any) -> None:
    """Raise ValueError unless `input` is a tensor [B, T, input_size] of the weights' dtype."""
    if not isinstance(input, Tensor) or input.dim() != 3 or input.shape[2] != input_size:
        found = f"shape {tuple(input.shape)}" if isinstance(input, Tensor) else show(input)
        is_or_has = "has" if isinstance(input, Tensor) else "is"
        raise ValueError(f"input {is_or_has} {found}; expected a tensor [B, T, {input_size}].")
    if input.dtype != weight.dtype and not torch.is_autocast_enabled(input.device.type):
        raise ValueError(
            f"input is of {input.dtype}, but the weights are of {weight.dtype}; convert one of "
            "them, for example with input.float() or network.double()."
        )


def state_dims(core: nn.Module) -> dict[str, Dims]:
    """Return the names of a core's states and their dimensions after the batch."""
    return core.state_dims  # type: ignore[return-value]


def initial_state(core: nn.Module, input: Tensor) -> State:
    """Return the state at the start of sequences `input` [B, T, d], in its dtype and device."""
    if method := getattr(core, "initial_state", None):
        return optree.tree_map(lambda s: s.to(input), method(len(input)))
    return optree.tree_map(torch.zeros_like, core(input[:, :1])[1])


@torch.no_grad()
def check_core(core: nn.Module, input_size: int, hidden_size: int) -> None:
    """Test a core on a small batch. Raises CoreError if it does not follow the protocol."""
    training, dims, (B, T) = core.training, state_dims(core), (3, 4)
    core.eval()
    weight = next(core.parameters(), torch.zeros(()))  # tells precision and device
    x = torch.rand(B, T, input_size, generator=torch.Generator().manual_seed(0)).to(weight)
    sizes: dict[str, int] = {"hidden": hidden_size, "input": input_size}

    def require(holds: bool, problem: str) -> None:
        if not holds:
            raise CoreError(f"the core {type(core).__name__} {problem}.")

    def call(x: Tensor, state: State = None, **options: bool) -> Any:
        before = optree.tree_map(torch.clone, state)
        try:
            result = core(x, state, **options)
        except Exception as error:
            name, shape = type(core).__name__, tuple(x.shape)
            raise CoreError(f"the core {name} fails on an input of {shape}: {error!r}.") from error
        expected = ("output", "state", "states")[: 2 + len(options)]
        require(
            isinstance(result, tuple) and len(result) == len(expected),
            f"returns {describe(result)}; expected a tuple of {', '.join(expected)}",
        )
        require(_close(state, before), "modifies the state that it is given; return new tensors")
        return result

    def leaves(state: State) -> tuple[Tensor, ...]:
        parts = state if isinstance(state, tuple) else (state,)
        require(
            len(parts) == len(dims) and all(isinstance(part, Tensor) for part in parts),
            f"has {describe(state)} as its state; expected a tensor for each name in state_dims "
            f"({', '.join(dims)}), several as a flat tuple",
        )
        return parts

    def expect(what: str, tensor: Tensor, *shape: int | str) -> None:  # a name: any size
        found, dtype = getattr(tensor, "shape", ()), getattr(tensor, "dtype", None)
        fits = len(found) == len(shape) and dtype == x.dtype
        require(
            fits and all(a == b or isinstance(b, str) for a, b in zip(found, shape, strict=True)),
            f"has {what} that is {describe(tensor)} of {dtype}; expected {shape} of {x.dtype}",
        )

    output, state = call(x)
    expect("an output", output, B, T, hidden_size)
    again, final, states = call(x, return_states=True)
    for (name, own), last, steps in zip(dims.items(), leaves(state), leaves(states), strict=True):
        expect(f"a state {name}", last, B, *(sizes.get(dim, dim) for dim in own))
        expect(f"a state {name} after every step", steps, B, T, *last.shape[1:])
        sizes |= dict(zip(own, last.shape[1:], strict=True))
        same = name != "h" or _close(steps, output)
        require(same, "names a state h that is not its output; give it another name")
    same = _close((output, state), (again, final))
    require(same, "gives different results with return_states=True, or is random in eval mode")
    same = _close(call(x[1:])[0], output[1:])
    require(same, "gives an output that depends on the other sequences of the batch")
    now = initial_state(core, x)
    for name, first, last in zip(dims, leaves(now), leaves(state), strict=True):
        expect(f"an initial state {name}", first, *last.shape)
    require(
        _close(call(x, now)[0], output),
        "starts from a non-zero state; give it a method initial_state(batch_size)",
    )
    for t in range(T):
        y, now = call(x[:, t : t + 1], now)
        require(
            _close(y, output[:, t : t + 1]),
            "gives another output if a sequence is cut and continued from its state; put "
            "everything that it remembers into the state",
        )
        same = _close(now, optree.tree_map(lambda steps, t=t: steps[:, t], states))
        require(same, "returns states that are not those after each step")
    for name, (own, value) in getattr(core, "weights", dict)().items():
        free = not (_is_reserved(name) or name in dims or name == "h")
        require(free, f"has a weight {name!r}, which a record uses itself; give it another name")
        expect(f"a weight {name}", value, *(sizes.get(dim, dim) for dim in own))
    core.train(training)


def describe(value: Any) -> str:
    """Describe a state, or a value given as one, in words."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else show(value)


def _close(a: State, b: State) -> bool:
    pairs = zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True)
    return all(x.shape == y.shape and torch.allclose(x, y, 1e-3, 1e-4) for x, y in pairs)


def _is_reserved(name: Any) -> bool:
    return (
        not isinstance(name, str)
        or name in RESERVED
        or not name.isidentifier()
        or bool(re.search(r"_(\d+|start)$", name))
    )


def _where(core: type) -> str:
    return f"{core.__module__}.{core.__qualname__}"
