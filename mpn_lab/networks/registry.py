"""Cores by name: `register_core`, and the protocol that a core of one's own follows.

A core is an `nn.Module` that is made as `Core(input_size, hidden_size, generator=..., **options)`
and called as

    output, state = core(input, state=None)                             # (B, T, d) -> (B, T, n)
    output, state, states = core(input, state=None, return_states=True)

`state` is a tensor, or a tuple of tensors, batch first; None is the start of a sequence. `states`
has the state after every step, with time behind the batch. The class attribute `state_dims` names
the tensors in their order and the dimensions of each behind the batch, for example

    state_dims = {"u": ("hidden",), "M": ("hidden", "input")}

and `record` stores each under its name. A core may also define

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
from collections.abc import Callable
from typing import Any

import optree
import torch
from torch import Tensor, nn

State = Any  # a tensor, or a (nested) tuple of tensors, batch first

RESERVED = {"trial", "time", "channel", "action", "input", "hidden", "period", "obs", "reward"} | {
    *("ground_truth", "Q", "valid", "embedded", "taken_action", "greedy_action", "readout")
}
"""Names of a record's own, which no state of a core may have."""

_BUILT_IN = ("mpn_lab.networks.mpn", "mpn_lab.networks.recurrent")  # register themselves
_CORES: dict[str, Callable[..., nn.Module]] = {}


class CoreError(ValueError):
    """A core that is not registered, or does not follow the protocol."""


def register_core(name: str, core: Callable[..., nn.Module]) -> None:
    """Make a core known by a name, as `TrainConfig(core=name)` and `QNetwork(core=name)` take it.

    Args:
        name: not taken by another class; the same class may be registered again.
        core: the class; see this module for the protocol.

    Raises:
        CoreError: a name that is taken, or a class without `state_dims`.

    Example:
        >>> register_core("oja", OjaCore)  # doctest: +SKIP
        >>> train(TrainConfig(core="oja", core_options={"rate": 0.1}))  # doctest: +SKIP
    """
    before = _CORES.get(name)
    if before is not None and _where(before) != _where(core):
        raise CoreError(
            f"the core {name!r} is registered already ({_where(before)}); choose another name."
        )
    if not _names_states(getattr(core, "state_dims", None)):
        raise CoreError(
            f"{_where(core)} names no states; give the class state_dims, such as "
            '{"M": ("hidden", "input")}.'
        )
    if clash := RESERVED & set(core.state_dims):  # type: ignore[attr-defined]
        raise CoreError(
            f"{_where(core)} has a state {sorted(clash)[0]!r}, which is another variable of a "
            "record; give it another name."
        )
    _CORES[name] = core


def core_names() -> list[str]:
    """The names of all registered cores."""
    for module in _BUILT_IN:
        importlib.import_module(module)
    return list(_CORES)


def core_class(name: str, module: str | None = None) -> Callable[..., nn.Module]:
    """The class that is registered by a name.

    Args:
        name: of the core.
        module: where it came from, if that is known; the message names it.

    Raises:
        CoreError: there is none.
    """
    known = core_names()
    if name not in _CORES:
        hint = (
            f"import {module}, which registered it,"
            if module
            else "register it (mpn_lab.register_core)"
        )
        raise CoreError(
            f"core is {name!r}; expected one of {', '.join(known)}: {hint} first, on the command "
            f"line with --import {module or 'MODULE'}."
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
    """Make one layer of a registered core, and try it on two steps of zeros.

    Raises:
        CoreError: it is not registered, does not take the options, or breaks the protocol.
        ValueError: what the core itself objects to.
    """
    made = core_class(name)
    try:
        core = made(input_size, hidden_size, generator=generator, **options)
    except TypeError as error:
        raise CoreError(
            f"the core {name!r} cannot be made with core_options {options}: {error}."
        ) from error
    check_core(core, input_size, hidden_size)
    return core


def initial_state(core: nn.Module, batch_size: int, input_size: int) -> State:
    """The state of `batch_size` sequences at their start."""
    if hasattr(core, "initial_state"):
        return core.initial_state(batch_size)
    x = _weight(core).new_zeros(batch_size, 1, input_size)
    return optree.tree_map(torch.zeros_like, core(x)[1])


def named_states(core: nn.Module, state: State) -> dict[str, Tensor]:
    """The tensors of a state (or of states) by the names of `state_dims`."""
    return dict(zip(core.state_dims, optree.tree_leaves(state), strict=True))


@torch.no_grad()
def check_core(core: nn.Module, input_size: int, hidden_size: int) -> None:
    """Try a core on a small batch. Raises CoreError where it does not follow the protocol."""
    B, T, name = 2, 3, type(core).__name__
    x = torch.rand(B, T, input_size, generator=torch.Generator().manual_seed(0)).to(_weight(core))

    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return core(*arguments, **options)
        except Exception as error:
            raise CoreError(
                f"the core {name} fails on an input of shape {tuple(x.shape)}: {error}."
            ) from error

    def expect(what: str, tensor: Any, shape: tuple[int, ...]) -> None:
        found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        if found != shape:
            raise CoreError(f"{what} of the core {name} has shape {found}; expected {shape}.")

    output, state = _unpacked(call(x), 2, name)
    expect("the output", output, (B, T, hidden_size))
    leaves = optree.tree_leaves(state)
    if len(leaves) != len(core.state_dims):
        raise CoreError(
            f"the state of the core {name} has {len(leaves)} tensors; expected the "
            f"{len(core.state_dims)} that state_dims names ({', '.join(core.state_dims)})."
        )
    sizes = {"hidden": hidden_size, "input": input_size}
    for (label, dims), leaf in zip(core.state_dims.items(), leaves, strict=True):
        own = dict(zip(dims, getattr(leaf, "shape", ())[1:], strict=False)) | sizes
        expect(f"the state {label}", leaf, (B, *(own.get(dim, 1) for dim in dims)))
        if label == "h" and not torch.allclose(leaf, output[:, -1], 1e-3, 1e-4):
            raise CoreError(
                f"the core {name} names a state h that is not its output; give it another name: a "
                "record holds the output as h."
            )
    first = initial_state(core, B, input_size)
    again, _, states = _unpacked(call(x, first, return_states=True), 3, name)
    for label, leaf, steps in zip(
        core.state_dims, leaves, optree.tree_leaves(states), strict=False
    ):
        expect(f"{label} after every step", steps, (B, T, *leaf.shape[1:]))
        if not torch.allclose(steps[:, -1], leaf, 1e-3, 1e-4):
            raise CoreError(
                f"the last of the states {label} of the core {name} is not its final state."
            )
    if not torch.allclose(again, output, 1e-3, 1e-4):
        raise CoreError(
            f"the core {name} starts from another state than zero; give it a method "
            "initial_state(batch_size) that returns that state."
        )
    parts = call(x[:, :1]), call(x[:, 1:], call(x[:, :1])[1])
    if not torch.allclose(torch.cat([part[0] for part in parts], 1), output, 1e-3, 1e-4):
        raise CoreError(
            f"the core {name} gives another output where a sequence is cut and goes on from its "
            "state; put all that it remembers into the state."
        )


def _unpacked(result: Any, n: int, name: str) -> Any:
    if not isinstance(result, tuple) or len(result) != n:
        raise CoreError(
            f"the core {name} returns {type(result).__name__} of length "
            f"{len(result) if isinstance(result, tuple) else 1}; expected a tuple of {n}: output, "
            f"state{', states' if n == 3 else ''}."
        )
    return result


def _names_states(state_dims: Any) -> bool:
    return (
        isinstance(state_dims, dict)
        and bool(state_dims)
        and all(isinstance(k, str) and isinstance(v, tuple) for k, v in state_dims.items())
    )


def _weight(core: nn.Module) -> Tensor:
    """Some parameter, which tells device and dtype."""
    return next(core.parameters(), torch.zeros(()))


def _where(core: Any) -> str:
    return f"{core.__module__}.{getattr(core, '__qualname__', core)}"
