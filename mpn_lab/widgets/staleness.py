"""StalenessExplorer: how far stored states are from replayed ones as the parameters change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import traitlets
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import leaf_order
from mpn_lab.analysis.restore import as_staleness, explorable
from mpn_lab.analysis.schema import (
    age_position,
    step_duration,
    strategy_position,
    time_step,
    trial_length,
    trial_position,
)
from mpn_lab.checks import check_choice, check_path
from mpn_lab.plotting.panel import has_modulations, period_spans
from mpn_lab.plotting.staleness import OF_STATE, after_step, distance_words, greedy_actions
from mpn_lab.plotting.style import largest, save_figure, style
from mpn_lab.plotting.view import (
    MEASURES,
    SHOWN,
    draw_staleness,
    no_modulations,
    trial_conditions,
    trial_title,
)
from mpn_lab.widgets.browser import BrowserExplorer, TraitError, check_selection, figure_path
from mpn_lab.widgets.page import chosen_trials, write_explorer_page
from mpn_lab.widgets.payload import Arrays, check_size, half, trial_label

TRAITS = ("trial", "time", "age", "strategy", "measure", "order", "selection")
_NEEDED = ("dQ", "Q_stored", "Q_replayed", "flipped", "ground_truth")
_FROM = {"zero": "from zero", "stored": "from the stored state", "start": "from the trial's start"}


class StalenessExplorer(BrowserExplorer):
    """Shows how far replayed states are from stored ones, and how that changes Q.

    "Stored" is the state, or the M, that was stored when the trial was collected. "Replayed" is the
    state that the parameters of the age produce when each window is replayed from the state that
    `strategy` names. Both Q are computed with the parameters of the age. The browser draws Q from
    both states, the distances of M (for a core without M, of its whole state) and of Q over the
    trial for every strategy, the distance of Q by age, and the stored M, the replayed M and their
    difference. M at a time is M_t, after that step, as in TrialExplorer; it acts at the next step.

    A click sets the time, in the map by age the age too, and selects a synapse; dragging or turning
    the wheel zooms, a double click shows all again. Keys: arrows for time and trial, Page Up and
    Page Down for the age, space to play, Home and End.

    What the user does and what Python sets are the same traits:

    - `trial`, its number, `time`, in ms, `age`, in updates since collection, and `strategy`;
    - `measure` of the distances: relative, absolute, or relative, from the start;
    - `order` of the hidden units: cluster or index;
    - `selection`: `unit`, `input` and `span` (from, to in ms), those that are chosen.

    The explorer opens with the oldest age and the first trial, at the time at which dQ is largest,
    of the steps that are followed by another.

    Args:
        data: from `mpn_lab.staleness`.

    Raises:
        ValueError: a Dataset that is not from `staleness`, has no trial, age or strategy, or is too
            large for a browser.

    Example:
        >>> explorer = StalenessExplorer(staleness(run))  # doctest: +SKIP
        >>> explorer  # in a notebook: displays the explorer  # doctest: +SKIP
        >>> explorer.age = 640  # doctest: +SKIP
        >>> explorer.save("stale.svg", trial=3, age=640, strategy="zero")  # doctest: +SKIP
        >>> explorer.to_html("stale.html", trials=[3, 4])  # doctest: +SKIP
    """

    module = "staleness.js"

    trial = traitlets.Int().tag(sync=True)
    time = traitlets.Float().tag(sync=True)
    age = traitlets.Int().tag(sync=True)
    strategy = traitlets.Unicode().tag(sync=True)
    measure = traitlets.Unicode("relative").tag(sync=True)
    order = traitlets.Unicode("cluster").tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)

    def __init__(self, data: xr.Dataset) -> None:
        data = explorable(as_staleness(data, *SHOWN, *_NEEDED))
        s, ages = strategy_position(data, None), data["age"].values
        header, arrays = _overview(data)
        longest = int(np.argmax(header["lengths"]))
        check_size(_detail(data, longest)[1], "the longest trial")
        if "inputs" in header:
            check_size(_replayed(data, longest, s)[1], "the replayed M of the longest trial")
        distance = np.nan_to_num(data["dQ"].values[s, -1, 0, : header["lengths"][0]])
        self._header, self._order = header, arrays.get("order")
        super().__init__(
            data,
            f"StalenessExplorer({data.sizes['trial']} trials of {data.attrs['task']}, "
            f"{data.attrs['core']}, {ages[0]} to {ages[-1]} updates old)",
            (header, arrays),
            trial=header["numbers"][0],
            time=float(data["time"][distance[: max(1, len(distance) - 1)].argmax()]),
            age=int(ages[-1]),
            strategy=str(data["strategy"].values[s]),
        )

    def go_to(
        self,
        trial: int | None = None,
        time: float | int | None = None,
        age: int | None = None,
        strategy: str | None = None,
    ) -> StalenessExplorer:
        """Show a frame; what is None stays as it is. Returns itself.

        Args:
            trial: the trial's number.
            time: in ms.
            age: in updates since collection.
            strategy: how the state is replayed.

        Raises:
            ValueError: no such trial, age or strategy, or a time outside the trial.
        """
        frame = self._frame(trial, time, age, strategy)
        with self.hold_sync():
            for name, value in frame.items():
                setattr(self, name, value)
        return self

    def png(self) -> bytes:
        """Return the static picture of what is shown, as PNG."""
        figure = self._draw(self._frame(None, None, None, None))
        return figure._repr_png_()  # type: ignore[attr-defined]

    def save(
        self,
        path: str | Path,
        trial: int | None = None,
        time: float | int | None = None,
        age: int | None = None,
        strategy: str | None = None,
    ) -> Path:
        """Save a frame as a figure; in SVG and PDF its text stays text.

        Args:
            path: the file; its ending names the format.
            trial, time, age, strategy: see `go_to`; None: what is shown.

        Raises:
            ValueError: no such trial, age or strategy, a time outside the trial, or a format
                that is not known.
            OSError: the file cannot be written.
        """
        path = figure_path(path)
        with style():
            return save_figure(self._draw(self._frame(trial, time, age, strategy)), path)

    def to_html(self, path: str | Path, trials: Iterable[int] | None = None) -> Path:
        """Write the explorer of some trials as one page that needs no kernel and no network.

        The page has every age and every strategy of them.

        Args:
            path: the file.
            trials: numbers of the trials; None: the one that is shown.

        Raises:
            ValueError: no such trial, or none.
            OSError: the file cannot be written.
        """
        path, data = check_path("path", path), self.record
        numbers, positions = chosen_trials(self.trial if trials is None else trials, data)
        some = data.isel(trial=positions)
        header, arrays = _overview(some)
        header["scales"] = self._header["scales"]  # as in the notebook
        parts = {"overview": (header, arrays | self._ordered())}
        for i, number in enumerate(numbers):
            parts[f"trial {number}"] = _detail(some, i)
            for s, one in enumerate(header["strategies"] if "inputs" in header else []):
                parts[f"M {number} {one['name']}"] = _replayed(some, i, s)
        values = {name: getattr(self, name) for name in TRAITS}
        if self.trial not in numbers:
            values |= {"trial": numbers[0], "time": float(some["time"][0])}
        return write_explorer_page(path, self.description, self.module, values, parts)

    def _release(self) -> None:
        super()._release()
        self._header, self._order = {}, None

    def _ordered(self) -> Arrays:
        """Return the order of the hidden units over all trials, if there is M."""
        return {} if self._order is None else {"order": self._order}

    def _answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        i = trial_position(self.record, asked["trial"])
        if asked["ask"] == "trial":
            return _detail(self.record, i)
        return _replayed(self.record, i, strategy_position(self.record, asked["strategy"]))

    def _frame(
        self,
        trial: int | None,
        time: float | int | None,
        age: int | None,
        strategy: str | None,
    ) -> dict[str, Any]:
        """Return what to show, what is shown now where None, checked; a time fits the trial."""
        data = self.record
        trial = self.trial if trial is None else trial
        i = trial_position(data, trial)
        if time is None:
            time = min(self.time, float(data["time"][trial_length(data, i) - 1]))
        time = float(data["time"][time_step(data, i, time)])
        j = age_position(data, self.age if age is None else age)
        s = strategy_position(data, self.strategy if strategy is None else strategy)
        name = str(data["strategy"].values[s])
        return {"trial": trial, "time": time, "age": int(data["age"][j]), "strategy": name}

    def _draw(self, frame: Mapping[str, Any]) -> Figure:
        order = self._order if self.order == "cluster" else None
        with style():
            figure, _ = draw_staleness(self.record, **frame, measure=self.measure, order=order)
        return figure

    @traitlets.validate("trial", "time", "age", "strategy", "measure", "order", "selection")
    def _check(self, proposal: Any) -> Any:
        """Refuse what the data do not have, with one sentence."""
        name, value, data = proposal.trait.name, proposal.value, self.record
        try:
            if name == "trial":
                trial_position(data, value)
            elif name == "time":
                step = time_step(data, trial_position(data, self.trial), value)
                return float(data["time"][step])
            elif name == "age":
                age_position(data, value)
            elif name == "strategy":
                strategy_position(data, value)
            elif name == "measure":
                check_choice("measure", value, self._header["measures"])
            elif name == "order":
                check_choice("order", value, ("cluster", "index"))
            else:
                check_selection(value, self._header)
        except ValueError as error:
            raise TraitError(str(error)) from None
        return value

    @traitlets.observe("trial")
    def _fit_time(self, _: Any) -> None:
        """Keep the time within the trial."""
        data = self.record
        last = float(data["time"][trial_length(data, trial_position(data, self.trial)) - 1])
        if self.time > last:
            self.time = last


def _overview(data: xr.Dataset) -> tuple[dict[str, Any], Arrays]:
    """Return what the front end needs of all trials, without their states."""
    trials = range(data.sizes["trial"])
    names = [name for pair in MEASURES.values() for name in pair if name in data]
    starts = data["step_in_window"].values if "step_in_window" in data else np.zeros(0)
    header: dict[str, Any] = {
        "task": str(data.attrs["task"]),
        "dt": step_duration(data),
        "numbers": data["trial"].values.tolist(),
        "lengths": [trial_length(data, i) for i in trials],
        "labels": [trial_label(data, i) for i in trials],
        "titles": [trial_title(data, i) for i in trials],
        "actions": [str(name) for name in data["action"].values],
        "periods": [str(name) for name in pd.unique(data["period"].values.reshape(-1)) if name],
        "ages": data["age"].values.tolist(),
        "strategies": [_spoken(str(name)) for name in data["strategy"].values],
        "window": int(data.attrs["window"]),
        "starts": [int(t) for t in np.flatnonzero(starts == 0) if t],
        "measures": {
            kind: {of: name for of, name in zip("MQ", pair, strict=True) if name in data}
            for kind, pair in MEASURES.items()
            if pair[1] in data
        },
        "names": {"M": "M" if has_modulations(data, "M_stored") else "the state", "Q": "Q"},
        "distances": {name: distance_words(data, name) for name in names},
        "scales": {name: largest(data[name].values) for name in names},
        "hidden": int(data.sizes.get("hidden", 0)),
        "without": no_modulations(data),
    }
    arrays: Arrays = {"time": data["time"].values.astype(np.float32)}
    if has_modulations(data, "M_stored"):
        header["hidden"], header["inputs"] = data["M_stored"].shape[2:]
        header["scales"]["M"] = max(
            largest(data[name].isel(trial=i).values)
            for name in ("M_stored", "M_replayed")
            for i in trials
        )
        stored = data["M_stored"].values[data["valid"].values]  # (steps, n, d)
        features = np.moveaxis(stored, 1, 2).reshape(-1, stored.shape[1])
        arrays["order"] = leaf_order(features).astype(np.int32)
    return header, arrays


def _spoken(name: str) -> dict[str, Any]:
    """Say from which state a strategy replays, and whether some steps earlier."""
    kind, _, early = name.partition(", burn-in ")
    label = _FROM.get(kind, kind) + (f", {early} steps earlier" if early else "")
    return {"name": name, "kind": kind, "label": label, "early": bool(early)}


def _detail(data: xr.Dataset, position: int) -> tuple[dict[str, Any], Arrays]:
    """Return a trial: both Q, the distances, the greedy actions, and the stored M_t."""
    T = trial_length(data, position)
    one = data.isel(trial=position, time=slice(0, T))
    base = ("strategy", "age", "time")
    stored = one["Q_stored"].values.astype(np.float32)  # (A, T, action)
    replayed = one["Q_replayed"].values.astype(np.float32)  # (S, A, T, action)
    arrays: Arrays = {
        "Q_stored": stored,
        "Q_replayed": replayed,
        "greedy_stored": greedy_actions(stored).astype(np.int16),
        "greedy_replayed": greedy_actions(replayed).astype(np.int16),
        "flipped": one["flipped"].transpose(*base).values.astype(np.int16),
        "truth": one["ground_truth"].values.astype(np.int16),
    }
    for name in {name for pair in MEASURES.values() for name in pair} & set(data.data_vars):
        values = one[str(name)].transpose(*base).values.astype(np.float32)
        arrays[str(name)] = after_step(values, 2) if name in OF_STATE else values
    if has_modulations(data, "M_stored"):
        arrays["M_stored"] = half(after_step(one["M_stored"].values, 0))
    header = {
        "periods": period_spans(one["period"].values),
        "conditions": trial_conditions(data, position),
    }
    return header, arrays


def _replayed(data: xr.Dataset, position: int, strategy: int) -> tuple[dict[str, Any], Arrays]:
    """Return the replayed M_t of a trial, [age, time, hidden, input]."""
    T = trial_length(data, position)
    values = data["M_replayed"].values[strategy, :, position, :T]
    return {}, {"M": half(after_step(values, 1))}
