"""What Q depends on: its gradients with respect to every earlier observation and state.

The value of an action at one step is differentiated with respect to the observations, or to the
states, at all steps: one forward and one backward pass through the network's own kernels. The
kernels of the MPN write out the total derivatives of M, which they compute anyway. Every other core
runs step by step for its states, so that the state before each step is a node of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree
import torch
import xarray as xr
from torch import Tensor

from mpn_lab.analysis.recording import warn_of_size
from mpn_lab.analysis.restore import as_record
from mpn_lab.analysis.schema import check_sizes, previous_missing, time_step
from mpn_lab.interventions.edits import Edit, from_json
from mpn_lab.interventions.open_loop import Starts, observations
from mpn_lab.interventions.timing import active_steps
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.recurrent import Stack
from mpn_lab.networks.registry import Dims, State
from mpn_lab.training.device import resolve_device, torch_threads
from mpn_lab.training.run import Run, network_of

Choice = str | tuple[str, str]
Moment = str | float | int | xr.DataArray
Moments = Moment | list | tuple | np.ndarray


def q_gradients(
    network: QNetwork | Run,
    trials: xr.Dataset,
    to: str | Sequence[str] = "obs",
    *,
    of: Choice = "taken",
    at: Moments | None = None,
    device: str | torch.device | None = None,
    threads: int = 1,
) -> xr.Dataset:
    """Differentiate Q at one step with respect to observations or states at all steps.

    The network receives the recorded observations, from the recorded start states. The gradient is
    total: what changes at step s acts through everything that follows from it. It is 0 after the
    step of Q, and nan after the trial's end.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`.
        to: one or several of `obs`, `x` (the embedded observation) and the names of the core's
            states in the record, such as `M`. Of a state it is the value *before* each step, which
            acts in it.
        of: whose Q: "taken" (the action taken at this step), "greedy" (the network's preferred
            one), an action's name, or two of them, whose difference Q_1 - Q_2 is differentiated.
        at: the step t of Q: None for each trial's last, in which it responds; the first of a
            period; a time in ms, or a DataArray [trial] of times; or a list of several of these.
        device: device to which the network is moved, "auto" for a GPU if there is one; None: the
            network stays on its device.
        threads: number of torch threads.

    Returns:
        `dQ_dobs` [trial, time, channel], `dQ_dM` [trial, time, hidden, input] ..., one variable for
        each name in `to`, in reward per unit of it; `value` [trial], the Q (or the difference)
        itself; the coordinate `q_time` [trial], the time of t in ms. If `at` is a list, all have
        the dimension `at` after `trial`, at the cost of one backward pass for each.

    Raises:
        ValueError: the Dataset is not a record, does not fit the network, or was made with edits;
            the core has no such state, the task no such action, or a trial no such period or time.

    Example:
        >>> import mpn_lab
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
        >>> found = q_gradients(network, trials, ["obs", "M"], at="test")
        >>> dict(found.dQ_dM.sizes)
        {'trial': 4, 'time': ..., 'hidden': 8, 'input': 10}
    """
    network, trials = checked(network, trials, device)
    names = [to] if isinstance(to, str) else list(dict.fromkeys(to))
    own = variables_of(network, trials, names)
    several = isinstance(at, list | tuple | np.ndarray)
    moments: list[Any] = list(at) if isinstance(at, list | tuple | np.ndarray) else [at]
    if not moments:
        raise ValueError("at is empty; expected a period, a time in ms, or several of them.")
    obs, length = observations(trials)
    steps = np.stack([steps_at(trials, moment, length) for moment in moments], 1)  # (B, K)
    choose, starts, (B, T) = action_weights(of, trials), Starts(network, trials), obs.shape[:2]
    shapes = {name: (B, len(moments), T, *shape) for name, (_, shape) in own.items()}
    dtype = to_numpy(network.readout.weight).dtype
    size = dtype.itemsize * sum(int(np.prod(shape)) for shape in shapes.values())
    warn_of_size(size, f"gradient of {B} trials", "take fewer trials or steps")
    arrays = {name: np.full(shape, np.nan, dtype) for name, shape in shapes.items()}
    value = np.empty(steps.shape, dtype)
    with torch_threads(threads), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for rows in starts.chunks():
            stepwise = bool(set(names) - {"obs", "x"})
            state = start_state(network, starts, rows)
            q, nodes = _run(network, as_weights(network, obs[rows]), state, stepwise)
            inputs = [node for name in names for node in nodes[name]]
            for k in range(len(moments)):
                at_t = q[torch.arange(len(rows)), steps[rows, k]]  # (R, A)
                y = (choose(at_t, rows, steps[rows, k]) * at_t).sum(1)
                gradients = list(
                    torch.autograd.grad(
                        y.sum(), inputs, retain_graph=k + 1 < len(moments), materialize_grads=True
                    )
                )
                value[rows, k] = to_numpy(y)
                for name in names:
                    parts = [gradients.pop(0) for _ in nodes[name]]
                    whole = torch.stack(parts, 1) if len(parts) > 1 else parts[0]
                    arrays[name][rows, k] = to_numpy(whole).reshape(len(rows), *shapes[name][2:])
    for array in arrays.values():
        array[np.arange(T) >= length[:, None, None].repeat(len(moments), 1)] = np.nan
    lead: Dims = ("trial", "at") if several else ("trial",)
    q_time = trials["time"].values[steps]
    found: dict[str, Any] = {
        f"dQ_d{name}": ((*lead, "time", *own[name][0]), a if several else a[:, 0])
        for name, a in arrays.items()
    }
    found["value"] = (lead, value if several else value[:, 0])
    result = results(trials, found, "gradient", names, of, {"at": describe(at)})
    if several:
        plain = all(isinstance(m, str) for m in moments) or not any(
            isinstance(m, str | xr.DataArray) for m in moments
        )
        labels = moments if plain else [describe(moment) for moment in moments]
        result = result.assign_coords(at=labels)
    return result.assign_coords(q_time=(lead, q_time if several else q_time[:, 0]))


def _run(
    network: QNetwork, obs: Tensor, state: State, stepwise: bool
) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """Return Q, and the nodes of the graph: name -> one tensor, or one for each step.

    Only if it runs `stepwise` does the graph hold the states.
    """
    obs = obs.detach().requires_grad_()
    x = network.embedding(obs)
    nodes = {"obs": [obs], "x": [x]}
    if not stepwise:
        return network.readout(network.core(x, state)[0]), nodes
    stacked, h, per_layer = isinstance(network.core, Stack), x, []
    for layer, own in zip(network.layers, state if stacked else (state,), strict=True):
        at_once = layer.state_node(h, own) if hasattr(layer, "state_node") else None  # type: ignore[operator]
        if at_once is not None:  # one node for all steps
            h, node = at_once
            per_layer.append([node])
            continue
        own = optree.tree_map(lambda leaf: leaf.detach().clone().requires_grad_(), own)
        outputs, states = [], []
        for x_t in h.split(1, dim=1):
            # a node of its own: within a core the output may be a function of the same tensor
            own = optree.tree_map(lambda leaf: leaf.view_as(leaf), own)
            states.append(own)
            h_t, own = layer(x_t, own)
            outputs.append(h_t)
        per_layer.append(states)
        h = torch.cat(outputs, 1)
    for each in zip(*per_layer, strict=True):
        for name, (_, leaf) in network.named_states(each if stacked else each[0]).items():
            nodes.setdefault(name, []).append(leaf)
    return network.readout(h), nodes


def start_state(network: QNetwork, starts: Starts, rows: np.ndarray) -> State:
    """Return the state before the first step of some trials, in the network's precision."""
    state = starts.of(rows)
    state = network.initial_state(len(rows)) if state is None else state
    return optree.tree_map(lambda leaf: leaf.detach().to(network.readout.weight.dtype), state)


def as_weights(network: QNetwork, values: Tensor) -> Tensor:
    """Return values on the device and in the precision of the network's weights."""
    return values.to(network.readout.weight)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a tensor's values."""
    return tensor.detach().cpu().numpy()


def checked(
    network: QNetwork | Run, trials: xr.Dataset, device: str | torch.device | None
) -> tuple[QNetwork, xr.Dataset]:
    """Return the network, on the device, and the record restored. Raises ValueError, see above."""
    network = network_of(network)
    trials = as_record(trials, "obs", "period", "taken_action")
    check_sizes(trials, network.obs_size, network.n_actions)
    for edit in from_json(trials.attrs.get("edits", "[]")):
        if edit.target != "obs":
            raise ValueError(
                f"the record was made with an edit ({edit}), which the gradient would leave out; "
                "pass the record that was edited."
            )
    gaps = previous_missing(trials).values
    for i in np.flatnonzero(gaps.any(1))[:1]:
        raise ValueError(
            f"trial {trials['trial'].values[i]} lacks the step before "
            f"{trials['time'].values[gaps[i].argmax()]:g} ms; pass whole trials, and select steps "
            "in the result."
        )
    return network if device is None else network.to(resolve_device(device)), trials


def variables_of(
    network: QNetwork, trials: xr.Dataset, names: Sequence[str]
) -> dict[str, tuple[Dims, tuple[int, ...]]]:
    """Return the dimensions and the shape of each variable, of one trial at one step."""
    known: dict[str, tuple[Dims, tuple[int, ...]]] = {"obs": (("channel",), (network.obs_size,))}
    known["x"] = (("input",), (network.input_sizes[0],))
    for name, (dims, leaf) in network.named_states(network.initial_state(1)).items():
        known[name] = (dims, tuple(leaf.shape[1:]))
    for name in names:
        if name not in known:
            raise ValueError(
                f"to is {name!r}, but a {trials.attrs.get('core')} network has "
                f"{', '.join(known)}; choose among them."
            )
    return {name: known[name] for name in names}


def steps_at(trials: xr.Dataset, moment: Moment | None, length: np.ndarray) -> np.ndarray:
    """Return the step of each trial at a moment, [trial]."""
    if moment is None:
        return length - 1
    if isinstance(moment, str):
        return active_steps(Edit("gradient of", "Q", at=moment), trials).argmax(1)
    if isinstance(moment, xr.DataArray) and moment.dims != ("trial",):
        raise ValueError(f"times have the dimensions {moment.dims}; expected one for each trial.")
    times = np.broadcast_to(np.asarray(moment, float), len(length))
    return np.array([time_step(trials, i, float(time)) for i, time in enumerate(times)])


def action_weights(
    of: Choice, trials: xr.Dataset
) -> Callable[[Tensor, np.ndarray, np.ndarray], Tensor]:
    """Return a function from Q [R, A] at steps [R] of trials [R] to the weight of each action."""
    actions = [str(name) for name in trials["action"].values]
    chosen = (of,) if isinstance(of, str) else tuple(of)
    for name in chosen:
        if name not in (*actions, "taken", "greedy") or len(chosen) > 2:
            raise ValueError(
                f"of is {of!r}; expected taken, greedy, an action ({', '.join(actions)}), or two "
                "of these."
            )
    taken = trials["taken_action"].transpose("trial", "time").values

    def weights(q: Tensor, rows: np.ndarray, steps: np.ndarray) -> Tensor:
        result = torch.zeros_like(q)
        for name, sign in zip(chosen, (1, -1), strict=False):
            if name == "taken":
                index = torch.as_tensor(taken[rows, steps], device=q.device)
            else:
                index = q.argmax(1) if name == "greedy" else torch.tensor(actions.index(name))
            index = index.to(q.device).expand(len(q))
            result[torch.arange(len(q)), index] += sign
        return result

    return weights


def describe(value: Any) -> str:
    """Describe a moment or a baseline for the attributes."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(describe, value))
    array = np.asarray(value)
    return describe(array.tolist()) if array.ndim else f"{value:g}"


def results(
    trials: xr.Dataset,
    found: dict[str, Any],
    method: str,
    to: list[str],
    of: Choice,
    told: dict[str, str],
) -> xr.Dataset:
    """Return results with the record's coordinates, its attributes, and what was asked."""
    dims = {dim for names, _ in found.values() for dim in np.atleast_1d(names).tolist()}
    coords = {name: c for name, c in trials.coords.items() if set(c.dims) <= dims}
    if "time" in dims:
        found["valid"] = trials["valid"]
    own = {"attribution": method, "to": ", ".join(to)}
    own["of"] = of if isinstance(of, str) else " - ".join(of)
    last = {"at": "last step"} if told["at"] == "none" else {}
    return xr.Dataset(found, coords, {**trials.attrs, **own, **told, **last})
