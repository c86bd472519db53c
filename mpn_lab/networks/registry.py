"""Cores by name: `register_core`, and the protocol that a core of one's own follows.

A core is an `nn.Module` that is made as `Core(input_size, hidden_size, generator=..., **options)`
and called as

    output, state = core(input, state=None)                             # (B, T, d) -> (B, T, n)
    output, state, states = core(input, state=None, return_states=True)

`state` is a tensor, or a flat tuple of tensors, batch first; None is the start of a sequence.
`states` has the state after every step, with time behind the batch. The class attribute
`state_dims` names the tensors in their order, and the dimensions of each behind the batch:

    state_dims = {"u": ("hidden",), "M": ("hidden", "input")}

`record` stores each under its name. A core may also define

- `initial_state(batch_size)`: the state at a sequence's start; without it that state is all zero;
- `project_()`: puts parameters back into their range, called after every optimizer step;
- `metrics()`: name -> number, added to each row of a training's metrics;
- `weights()`: name -> (dimensions, tensor), stored by `record`, as `"W": (("hidden", "input"), W)`;
- `equations()`: name -> text, stored in the attributes of a record;
- `horizon_options(steps)`, a classmethod: options that follow from the mean length of the task's
  trials in steps, where the configuration does not name them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import optree
import torch
from torch import Tensor, nn

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
"""Names of a record's own, which no state of a core may have."""

_BUILT_IN = ("mpn_lab.networks.mpn", "mpn_lab.networks.recurrent")  # register themselves
_CORES: dict[str, type[Any]] = {}


class CoreError(ValueError):
    """A core that is not registered, or does not follow the protocol."""


def register_core(name: str, core: type[Any]) -> None:
    """Make a core known by a name, as `TrainConfig(core=name)` and `QNetwork(core=name)` take it.

    Args:
        name: not taken by another class; the same class may be registered again.
        core: the class; see this module for the protocol.

    Raises:
        CoreError: a name that is taken, a class that is no `nn.Module` or names no states, or a
            state with a name that a record needs for something else.

    Example:
        >>> register_core("oja", OjaCore)  # doctest: +SKIP
        >>> train(TrainConfig(core="oja", core_options={"rate": 0.1}))  # doctest: +SKIP
    """
    if getattr(core, "__module__", "") not in _BUILT_IN:
        core_names()  # those of mpn_lab come first
    if not isinstance(core, type) or not issubclass(core, nn.Module):
        raise CoreError(f"the core {name!r} is {core!r}; expected a class that is an nn.Module.")
    if name in _CORES and _where(_CORES[name]) != _where(core):
        raise CoreError(
            f"the core {name!r} is registered already ({_where(_CORES[name])}); choose another "
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
                f"{_where(core)} has a state {state!r} with the dimensions {own}; expected names "
                "that a record does not use itself, each for one thing."
            )
    _CORES[name] = core


def core_names() -> list[str]:
    """The names of all registered cores."""
    for module in _BUILT_IN:
        importlib.import_module(module)
    return list(_CORES)


def core_class(name: str, module: str | None = None) -> type[Any]:
    """The class that is registered by a name.

    Args:
        name: of the core.
        module: where it came from, if that is known; the message names it.

    Raises:
        CoreError: there is none.
    """
    known = core_names()
    if name not in _CORES:
        if module == "__main__":  # of a script or a notebook
            module = None
        hint = f"import {module}, which registered it," if module else "call mpn_lab.register_core"
        raise CoreError(
            f"the core {name!r} is not registered; expected one of {', '.join(known)}: {hint} "
            f"first, on the command line with --import {module or 'MODULE'}."
        )
    return _CORES[name]


def core_module(name: str) -> str:
    """The module that defines a registered core."""
    return str(core_class(name).__module__)


def make_core(
    name: str,
    input_size: int,
    hidden_size: int,
    *,
    generator: torch.Generator | None = None,
    **options: Any,
) -> nn.Module:
    """Make one layer of a registered core, and check it on a small batch.

    Raises:
        CoreError: it is not registered, does not take the options, or breaks the protocol.
        ValueError: what the core itself objects to.
    """
    made = core_class(name)
    signature = inspect.signature(made)
    try:
        signature.bind(input_size, hidden_size, generator=generator, **options)
    except TypeError as error:
        own = [p for p in list(signature.parameters)[2:] if p != "generator"]
        raise CoreError(
            f"the core {name!r} does not take core_options {options} ({error}); it takes "
            f"{', '.join(own) or 'none'}."
        ) from error
    core: nn.Module = made(input_size, hidden_size, generator=generator, **options)
    check_core(core, input_size, hidden_size)
    return core


def state_dims(core: nn.Module) -> dict[str, Dims]:
    """The names of a core's states and their dimensions behind the batch."""
    return core.state_dims  # type: ignore[return-value]


def initial_state(core: nn.Module, input: Tensor) -> State:
    """The state at the start of the sequences `input` [B, T, d], in its precision and place."""
    if method := getattr(core, "initial_state", None):
        return optree.tree_map(lambda s: s.to(input), method(len(input)))
    return optree.tree_map(torch.zeros_like, core(input[:, :1])[1])


@torch.no_grad()
def check_core(core: nn.Module, input_size: int, hidden_size: int) -> None:
    """Try a core on a small batch. Raises CoreError where it does not follow the protocol."""
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
        require(_close(state, before), "changes the state that it is given; make new tensors")
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
    require(same, "gives other numbers with return_states=True, or at random in eval mode")
    same = _close(call(x[1:])[0], output[1:])
    require(same, "gives an output that depends on the other sequences of the batch")
    now = initial_state(core, x)
    for name, first, last in zip(dims, leaves(now), leaves(state), strict=True):
        expect(f"an initial state {name}", first, *last.shape)
    require(
        _close(call(x, now)[0], output),
        "starts from another state than zero; give it a method initial_state(batch_size)",
    )
    for t in range(T):
        y, now = call(x[:, t : t + 1], now)
        require(
            _close(y, output[:, t : t + 1]),
            "gives another output where a sequence is cut and goes on from its state; put all that "
            "it remembers into the state",
        )
        same = _close(now, optree.tree_map(lambda steps, t=t: steps[:, t], states))
        require(same, "returns states that are not those after each step")
    for name, (own, value) in getattr(core, "weights", dict)().items():
        free = not (_is_reserved(name) or name in dims or name == "h")
        require(free, f"has a weight {name!r}, which a record uses itself; give it another name")
        expect(f"a weight {name}", value, *(sizes.get(dim, dim) for dim in own))
    core.train(training)


def describe(value: Any) -> str:
    """A state, or what was given as one, in words."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def _close(a: State, b: State) -> bool:
    pairs = zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True)
    return all(x.shape == y.shape and torch.allclose(x, y, 1e-3, 1e-4) for x, y in pairs)


def _is_reserved(name: str) -> bool:
    return name in RESERVED or not name.isidentifier() or bool(re.search(r"_(\d+|start)$", name))


def _where(core: type) -> str:
    return f"{core.__module__}.{core.__qualname__}"
