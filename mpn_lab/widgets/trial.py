"""TrialExplorer: the inputs, states and outputs of a network in a trial, drawn in the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import hidden_order, pca
from mpn_lab.analysis.restore import as_record, explorable, step_values
from mpn_lab.analysis.schema import time_step, trial_length, trial_position
from mpn_lab.checks import check_choice, check_path
from mpn_lab.plotting.panel import has_modulations
from mpn_lab.plotting.style import save_figure, style
from mpn_lab.plotting.view import SHOWN, draw_trial
from mpn_lab.widgets.browser import BrowserExplorer, TraitError, check_selection, figure_path
from mpn_lab.widgets.page import write_explorer_page
from mpn_lab.widgets.payload import (
    COMPONENTS,
    Arrays,
    averaged,
    check_size,
    coloring,
    detail,
    overview,
)

ORDERS = {"index": "unsorted", "selectivity": "sorted by response", "cluster": "clustered"}
VIEWS = ("trial", "mean", "difference")
TRAITS = (
    *("trial", "time", "selection", "variable", "components", "color_by", "show", "order"),
    *("view", "where"),
)
ON_PAGE = 50  # trials of an exported page unless others are asked for


class TrialExplorer(BrowserExplorer):
    """Shows the inputs, states and outputs of a network in a trial, under one cursor.

    The browser draws the panels: observations, Q (or logits) with actions and rewards, and h over
    time; M_t, the effective weights or the change of M as a heat map; the selected unit or synapse
    over time; and the trials' trajectories in two principal components. A click sets the time,
    selects a synapse or goes to the trial of a trajectory; dragging or turning the wheel zooms, a
    double click shows all again. Keys: arrows for time and trial, space to play, Home and End.

    What the user does and what Python sets are the same traits:

    - `trial`, its number, and `time`, in ms;
    - `selection`: `unit`, `input` and `span` (from, to in ms), those that are chosen;
    - `variable`, `components` and `color_by` of the trajectories;
    - `show` (M, effective weights, change of M) and `order` (of hidden units) of the maps;
    - `view`: the `trial`, the `mean` of the trials that `where` leaves, or the `difference` of the
      trial from it;
    - `where`: the trials to choose from, condition -> value, such as {"outcome": "wrong"}.

    Args:
        record: from `record`, or loaded with `load_record`, of any core.

    Raises:
        ValueError: a Dataset that is not a record or has no trials; a trial too large for a
            browser.

    Example:
        >>> explorer = TrialExplorer(trials)  # doctest: +SKIP
        >>> explorer  # in a notebook: displays the explorer  # doctest: +SKIP
        >>> explorer.color_by = "context"  # doctest: +SKIP
        >>> explorer.save("trial.svg", trial=3, time=1400)  # doctest: +SKIP
        >>> explorer.to_html("trials.html", trials=range(20))  # doctest: +SKIP
    """

    module = "trial.js"

    trial = traitlets.Int().tag(sync=True)
    time = traitlets.Float().tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)
    variable = traitlets.Unicode().tag(sync=True)
    components = traitlets.List(traitlets.Int(), [1, 2], minlen=2, maxlen=2).tag(sync=True)
    color_by = traitlets.Unicode().tag(sync=True)
    show = traitlets.Unicode("M").tag(sync=True)
    order = traitlets.Enum(list(ORDERS), "selectivity").tag(sync=True)
    view = traitlets.Enum(VIEWS, "trial").tag(sync=True)
    where = traitlets.Dict().tag(sync=True)

    def __init__(self, record: xr.Dataset) -> None:
        record = explorable(as_record(record, *SHOWN, "h", "Q", "obs"))
        variable = "M" if has_modulations(record) else "h"
        step_values(record, variable)
        header, arrays = overview(record)
        check_size(arrays, f"an overview of {record.sizes['trial']} trials")
        check_size(detail(record, int(np.argmax(header["lengths"])))[1], "the longest trial")
        self._header = header
        self._pcas: dict[str, xr.Dataset] = {}
        self._orders: dict[str, np.ndarray] = {}
        super().__init__(
            record,
            f"TrialExplorer({record.sizes['trial']} trials of {record.attrs['task']}, "
            f"{record.attrs['core']})",
            (header, arrays),
            trial=header["numbers"][0],
            time=float(record["time"][0]),
            variable=variable,
            color_by=header["colors"][0] if header["colors"] else "",
        )

    def go_to(self, trial: int | None = None, time: float | int | None = None) -> TrialExplorer:
        """Show a frame; what is None stays as it is. Returns itself.

        Args:
            trial: the trial's number.
            time: in ms.

        Raises:
            ValueError: no such trial, or a time outside it.
        """
        trial, time = self._frame(trial, time)
        with self.hold_sync():
            self.trial = trial
            self.time = time
        return self

    def png(self) -> bytes:
        """Return the static picture of what is shown, as PNG.

        It shows the trial as a publication figure does, also where the view is of a mean.
        """
        figure = self._draw(self.trial, self.time)
        return figure._repr_png_()  # type: ignore[attr-defined]

    def save(
        self, path: str | Path, trial: int | None = None, time: float | int | None = None
    ) -> Path:
        """Save a frame as a figure; in SVG and PDF its text stays text.

        Args:
            path: the file; its ending names the format.
            trial: the trial's number; None: the one that is shown.
            time: in ms; None: the one that is shown.

        Raises:
            ValueError: no such trial, a time outside it, or a format that is not known.
            OSError: the file cannot be written.
        """
        path = figure_path(path)
        with style():
            return save_figure(self._draw(*self._frame(trial, time)), path)

    def to_html(self, path: str | Path, trials: Iterable[int] | None = None) -> Path:
        """Write the explorer of some trials as one page that needs no kernel and no network.

        Args:
            path: the file.
            trials: numbers of the trials; None: those that `where` leaves, at most 50, from the one
                that is shown on.

        Raises:
            ValueError: no such trial, or none.
            OSError: the file cannot be written.
        """
        path, record = check_path("path", path), self.record
        if trials is None:
            left = self._left()
            first = next((k for k, n in enumerate(left) if n == self.trial), 0)
            numbers = sorted((left[first:] + left[:first])[:ON_PAGE])
        else:
            numbers = [trials] if isinstance(trials, int) else list(trials)
        if not numbers:
            raise ValueError("trials is empty; expected numbers of trials.")
        positions = [trial_position(record, number) for number in numbers]
        some = record.isel(trial=positions)
        header, arrays = overview(some)
        parts = {"overview": (header | {"page": True}, arrays)}
        parts |= {f"trial {number}": detail(some, k) for k, number in enumerate(numbers)}
        parts |= {f"order {name}": self._of_order(name) for name in ORDERS}
        for name in self._header["variables"]:
            header, arrays = self._of_components(name)
            kept = {"trajectory": arrays["trajectory"][positions].astype(np.float16)}
            parts[f"components {name}"] = header, kept
        values = {name: getattr(self, name) for name in TRAITS} | {"view": "trial"}
        values["where"] = self.where if trials is None else {}
        if self.trial not in numbers:
            values |= {"trial": numbers[0], "time": float(some["time"][0])}
        return write_explorer_page(path, self.description, self.module, values, parts)

    def _release(self) -> None:
        super()._release()
        self._pcas, self._orders, self._header = {}, {}, {}

    def _answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        kind, record = asked["ask"], self.record
        if kind == "trial":
            return detail(record, trial_position(record, asked["trial"]))
        if kind == "components":
            return self._of_components(asked["variable"])
        if kind == "order":
            return self._of_order(asked["order"])
        positions = [trial_position(record, number) for number in asked["trials"]]
        minus = None if kind == "mean" else trial_position(record, asked["trial"])
        return averaged(record, positions, minus)

    def _of_components(self, variable: str) -> tuple[dict[str, Any], Arrays]:
        """Return the trajectories in the principal components of a variable."""
        found = self._pca(variable)
        shares = found["explained_variance_ratio"].values.tolist()
        header = {"shares": [share if share == share else None for share in shares]}  # nan: flat
        return header, {"trajectory": found["trajectory"].values.astype(np.float32)}

    def _of_order(self, by: str) -> tuple[dict[str, Any], Arrays]:
        return {}, {"order": self._ordered(by).astype(np.int32)}

    def _pca(self, variable: str) -> xr.Dataset:
        """Return the principal components of a variable, computed once."""
        if variable not in self._pcas:
            record = self.record
            features = int(np.prod(record[variable].shape[2:]))
            count = min(COMPONENTS, features, int(record["valid"].sum()))
            self._pcas[variable] = pca(record, variable, count)
        return self._pcas[variable]

    def _ordered(self, by: str) -> np.ndarray:
        """Return an order of the hidden units, computed once."""
        if by not in self._orders:
            other = [] if has_modulations(self.record) else ["M"]  # an M of other dimensions
            record = self.record.drop_vars(other, errors="ignore")
            self._orders[by] = hidden_order(record, by)
        return self._orders[by]

    def _draw(self, trial: int, time: float | int) -> Figure:
        """Draw the figure of a trial at a time, with what else is chosen."""
        found, name = self._pca(self.variable), self.color_by
        chosen = [number - 1 for number in self.components]
        found = found.isel(component=[k for k in chosen if k < found.sizes["component"]])
        colors = coloring(self.record, name, self._header["conditions"].get(name))
        order, view = self._ordered(self.order), self.view
        with style():
            figure, _ = draw_trial(
                self.record, found, trial, time, show=self.show, order=order, coloring=colors
            )
            if view != "trial":
                words = f"This picture shows the trial; the {view} shows where the explorer runs."
                figure.text(0.985, 0.93, words, fontsize=8.5, va="center", ha="right")
        return figure

    def _frame(self, trial: int | None, time: float | int | None) -> tuple[int, float]:
        """Return a trial and a time, those shown where None, checked; a time fits the trial."""
        record = self.record
        trial = self.trial if trial is None else trial
        i = trial_position(record, trial)
        if time is None:
            time = min(self.time, float(record["time"][trial_length(record, i) - 1]))
        return trial, float(record["time"][time_step(record, i, time)])

    def _left(self) -> list[int]:
        """Return the numbers of the trials that `where` leaves."""
        numbers = self._header["numbers"]
        return [n for i, n in enumerate(numbers) if self._passes(i, self.where)]

    def _passes(self, position: int, where: Mapping[str, Any]) -> bool:
        classes = self._header["conditions"]
        return all(
            classes[name]["code"][position] == classes[name]["labels"].index(str(label))
            for name, label in where.items()
        )

    @traitlets.validate("trial", "time", "selection", "variable", "components", "color_by", "show",
                        "where")  # fmt: skip
    def _check(self, proposal: Any) -> Any:
        """Refuse what the record does not have, with one sentence."""
        name, value = proposal.trait.name, proposal.value
        try:
            return getattr(self, f"_check_{name}")(value)
        except ValueError as error:
            raise TraitError(str(error)) from None

    def _check_trial(self, value: int) -> int:
        trial_position(self.record, value)
        return value

    def _check_time(self, value: float) -> float:
        record = self.record
        return float(record["time"][time_step(record, trial_position(record, self.trial), value)])

    def _check_selection(self, value: dict[str, Any]) -> dict[str, Any]:
        check_selection(value, self._header)
        return value

    def _check_variable(self, value: str) -> str:
        return check_choice("variable", value, self._header["variables"])

    def _check_components(self, value: list[int]) -> list[int]:
        for number in value:
            if not 1 <= number <= COMPONENTS:
                raise ValueError(f"components has {number}; expected 1 to {COMPONENTS}.")
        return value

    def _check_color_by(self, value: str) -> str:
        return value and check_choice("color_by", value, self._header["colors"])

    def _check_show(self, value: str) -> str:
        return check_choice("show", value, self._header["shows"] or ["M"])

    def _check_where(self, value: dict[str, Any]) -> dict[str, Any]:
        classes = {k: c["labels"] for k, c in self._header["conditions"].items() if "labels" in c}
        for name, label in value.items():
            check_choice("where", name, classes)
            check_choice(name, str(label), classes[name])
        if not any(self._passes(i, value) for i in range(len(self._header["numbers"]))):
            asked = " and ".join(f"{name} = {label}" for name, label in value.items())
            raise ValueError(f"no trial of this record has {asked}; choose others.")
        return value

    @traitlets.observe("trial")
    def _fit(self, _: Any) -> None:
        """Keep the time within the trial, and the trial among those that `where` leaves."""
        i = trial_position(self.record, self.trial)
        self.time = min(self.time, float(self.record["time"][trial_length(self.record, i) - 1]))
        if not self._passes(i, self.where):
            self.where = {}

    @traitlets.observe("where")
    def _choose(self, _: Any) -> None:
        """Go to the first trial left if the one that is shown is not."""
        if self.trial not in (left := self._left()):
            self.trial = left[0]
