"""What a network would have done, had something in it been different: `counterfactual`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
import xarray as xr

from mpn_lab.analysis.restore import as_whole_trials
from mpn_lab.analysis.schema import check_sizes
from mpn_lab.interventions.closed_loop import closed_loop
from mpn_lab.interventions.edits import Edit, to_json
from mpn_lab.interventions.open_loop import open_loop
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.training.device import resolve_device, torch_threads
from mpn_lab.training.run import Run, network_of

Mode = Literal["open", "closed"]


def counterfactual(
    network: QNetwork | Run,
    trials: xr.Dataset,
    edits: Edit | Sequence[Edit],
    *,
    mode: Mode = "open",
    device: str | torch.device | None = None,
    threads: int = 1,
) -> xr.Dataset:
    """Run a network on recorded trials again, with edits, and return a record of what it does.

    In an *open* loop the network receives the recorded observations, whatever it now prefers: what
    would it have valued, and answered? `taken_action` is then the greedy action, `response` the one
    at the trial's last step, and `reward` is unknown (nan) from the first action on that was not
    the recorded one. `correct` and `performance` compare a response that has changed with the
    correct one; they are unknown (nan) if the task has none. In a *closed* loop the network acts on
    the task itself: the trials are collected again from their seed, identical up to the edit. The
    time axis stays that of the record; it is longer only where an edited trial lasts longer than
    every trial that was given, as when it withholds the response that ends a trial.

    Without an edit, and in each trial in which an edit changes no value, the result equals the
    record bit for bit.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`, with the same network or another.
        edits: one or several of `mpn_lab.edits`, applied in this order.
        mode: "open" or "closed".
        device: device to which the network is moved, "auto" for a GPU if there is one; None: the
            network stays on its device.
        threads: number of torch threads.

    Returns:
        The same variables and coordinates as the record, so that `changed.Q - trials.Q` is the
        effect on the values, but for a parameter that was edited, which is left out; the attributes
        `edits` (JSON) and `counterfactual` (the mode) are new.

    Raises:
        ValueError: the Dataset is not a record or does not fit the network; an edit names something
            that the network does not have, a time outside the trials, or a donor or direction that
            does not fit; a closed loop is asked for on a task that cannot be repeated.

    Example:
        >>> import mpn_lab
        >>> from mpn_lab import edits
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
        >>> changed = mpn_lab.counterfactual(network, trials, edits.zero("M", at="test"))
        >>> float(abs(changed.M.sel(time=0) - trials.M.sel(time=0)).max())  # long before the test
        0.0
    """
    network = network_of(network)
    given: list[Any] = list(edits) if isinstance(edits, list | tuple) else [edits]
    for edit in given:
        if not isinstance(edit, Edit):
            raise ValueError(f"edits holds {edit!r}; expected values such as edits.zero('M').")
    if mode not in get_args(Mode):
        raise ValueError(f"mode is {mode!r}; expected open or closed.")
    trials = as_whole_trials(trials, "obs")
    check_sizes(trials, network.obs_size, network.n_actions)
    if device is not None:
        network.to(resolve_device(device))
    with torch_threads(threads):
        run = open_loop if mode == "open" else closed_loop
        result = run(network, trials, given)
    edited = [e.target for e in given if e.target in result and "time" not in result[e.target].dims]
    result = result.drop_vars(edited)  # a parameter that changes during the trials has no one value
    result.attrs |= {"edits": to_json(given), "counterfactual": mode}
    return result
