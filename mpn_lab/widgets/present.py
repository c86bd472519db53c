"""One trial of a network that is being trained: recorded, drawn, and sent to the browser."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import pca
from mpn_lab.analysis.recording import record
from mpn_lab.analysis.schema import trial_length
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.plotting.panel import has_modulations
from mpn_lab.plotting.view import draw_trial
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.run import AnyConfig
from mpn_lab.widgets.page import packed
from mpn_lab.widgets.payload import check_size, scales
from mpn_lab.widgets.records import ONLY
from mpn_lab.widgets.shown import Shown

LAST_TRIAL = 99
"""Largest number of a trial: the trials before it are collected with it."""


def record_present(network: QNetwork, config: AnyConfig, trial: int, trained: int) -> xr.Dataset:
    """Record a trial of a network as it is now, on a copy of it: the training goes on unchanged.

    Args:
        network: the network that is being trained.
        config: of its training.
        trial: the trial's number; its conditions depend only on the task and this number, and it
            is that of `mpn_lab.record(run, trials=trial + 1)` once the training is over.
        trained: number of trials that the network was trained on.
    """
    trials = record(
        copy.deepcopy(network).cpu().eval(),
        config.task,
        config.task_kwargs,
        trials=trial + 1,
        reset_state=config.reset_state,
        trials_per_episode=config.trials_per_episode,
    )
    loop = "supervised" if isinstance(config, SupervisedConfig) else "dqn"
    return trials.isel(trial=[trial]).assign_attrs(training=loop, trained_trials=trained)


def page_of(one: xr.Dataset) -> dict[str, Any]:
    """Return a record of one trial as `PageModel` of page.js takes it: `values` and `parts`.

    What compares trials is left out: conditions, principal components and orders of the units.
    """
    number, last = int(one["trial"][0]), trial_length(one, 0) - 1
    shown = Shown(ONLY, one, scales(one))
    header, arrays = shown.overview()
    header |= {"page": True, "records": [ONLY], "checkpoints": [], "edits": None}
    header |= {"conditions": {}, "colors": [], "variables": []}
    parts = {
        "overview": (header, arrays),
        f"trial {ONLY} {number}": shown.trial(number),
    }
    check_size(parts[f"trial {ONLY} {number}"][1], "the trial")
    values = {
        "trial": number,
        "time": float(one["time"][last]),
        "selection": _strongest(one, last),
        "variable": "h",
        "components": [1, 2],
        "color_by": "",
        "show": "M",
        "order": "index",  # so that a unit stays in its place from row to row
        "view": "trial",
        "where": {},
        "shown": [ONLY],
        "beside": [],
        "by": "",
        "align": "",
    }
    return {"values": values, "parts": {key: packed(part) for key, part in parts.items()}}


def _strongest(one: xr.Dataset, step: int) -> dict[str, int]:
    """Select the synapse whose M is largest at a step, or the unit whose h is."""
    values = one["M" if has_modulations(one) else "h"].values[0, step]
    place = np.unravel_index(np.abs(values).argmax(), values.shape)
    return {name: int(k) for name, k in zip(("unit", "input"), place, strict=False)}


def draw_present(one: xr.Dataset) -> Figure:
    """Draw a record of one trial as it is at the trial's end."""
    last = float(one["time"][trial_length(one, 0) - 1])
    components = pca(one, "M" if has_modulations(one) else "h", 2)
    figure, _ = draw_trial(one, components, int(one["trial"][0]), last)
    words = f"after {one.attrs['trained_trials']:,} trials of training"
    figure.text(0.985, 0.93, words, fontsize=8.5, va="center", ha="right")
    return figure
