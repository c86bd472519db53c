"""TrialExplorer: the inputs, states and outputs of a network in a trial, frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import hidden_order, pca
from mpn_lab.analysis.restore import as_record, explorable
from mpn_lab.analysis.schema import condition_names
from mpn_lab.plotting.panel import AnimatedPanel, has_modulations
from mpn_lab.plotting.trial import modulation_choices
from mpn_lab.plotting.view import SHOWN, draw_trial, verdict
from mpn_lab.widgets.explorer import report_errors
from mpn_lab.widgets.frames import FrameExplorer, row, trial_options

_EVERY = "all trials"
_ANY = "any condition"
_FEW = 12  # a condition with more values than this is not offered as a filter


class TrialExplorer(FrameExplorer):
    """Shows the inputs, states and outputs of a network in a trial, with a slider for time.

    The panels share one cursor: observations, Q (or logits) and h over time; M_t, the effective
    weights or the change of M as a heat map; and the trajectory of M_t (of h for a core without M)
    among those of all trials. Menus select the trial, from all, the correct or the wrong ones, or
    those of one condition. Move through time by the slider, the arrow keys or play.

    Args:
        record: from `record`, or loaded with `load_record`, of any core.

    Raises:
        ValueError: a Dataset that is not a record or has no trials.

    Example:
        >>> explorer = TrialExplorer(trials)  # doctest: +SKIP
        >>> explorer  # in a notebook: displays the explorer  # doctest: +SKIP
        >>> explorer.save("trial.svg", trial=3, time=1400)  # doctest: +SKIP
        >>> explorer.to_html("trial.html", trial=3)  # doctest: +SKIP
    """

    _held = (*FrameExplorer._held, "components", "_orders")

    def __init__(self, record: xr.Dataset) -> None:
        record = explorable(as_record(record, *SHOWN, "h", "Q", "obs"))
        self._record = record  # _filters reads it
        variable = "M" if has_modulations(record) else "h"
        self.components = pca(record, variable, _two(record, variable))
        self._orders: dict[str, np.ndarray] = {}
        conditions = [_ANY, *(self._label(name, value) for name, value in self._filters())]
        self._verdicts = np.array([verdict(record, i) for i in range(record.sizes["trial"])])
        self.outcome = w.Dropdown(
            options=[_EVERY, "correct", "wrong"],
            layout={"width": "120px"},
            disabled=not np.isin(self._verdicts, ("correct", "wrong")).any(),
        )
        self.condition = w.Dropdown(options=conditions, layout={"width": "190px"})
        self.trial = w.Dropdown(
            options=trial_options(record, record["trial"].values),
            description="trial",
            layout={"width": "290px"},
            style={"description_width": "35px"},
        )
        shows = modulation_choices(record)
        self.show = w.Dropdown(
            options=shows or ["M"], layout={"width": "150px"}, disabled=len(shows) < 2
        )
        self.order = w.Dropdown(
            options=[
                ("sorted by response", "selectivity"),
                ("clustered", "cluster"),
                ("unsorted", "index"),
            ],
            layout={"width": "150px"},
        )
        self._filter = self.outcome.value, self.condition.value  # the ones that found trials
        for control in (self.outcome, self.condition):
            control.observe(self._on_filter, "value")
        n = record.sizes["trial"]
        super().__init__(
            record,
            f"TrialExplorer({n} trials of {record.attrs['task']}, {record.attrs['core']})",
            {"trial": self.trial, "show": self.show, "order": self.order},
        )
        self._refresh()

    def go_to(self, trial: int | None = None, time: float | int | None = None) -> TrialExplorer:
        """Show a frame; what is None stays as it is. Returns itself.

        Args:
            trial: the trial's number.
            time: in ms.

        Raises:
            ValueError: no such trial, or a time outside it.
        """
        trial = self.trial.value if trial is None else trial
        time = self._time(trial, time)
        if trial not in [number for _, number in self.trial.options]:
            with self._hold():
                self.outcome.value, self.condition.value = self._filter = _EVERY, _ANY
                self.trial.options = trial_options(self.record, self.record["trial"].values)
        self._show(time, trial=trial)
        return self

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
        return self._save(path, time, trial=trial)

    def to_html(self, path: str | Path, trial: int | None = None) -> Path:
        """Write one self-contained page on which the time slider works without a kernel.

        Args:
            path: the file.
            trial: the trial's number; None: the one that is shown.

        Raises:
            ValueError: no such trial.
            OSError: the file cannot be written.
        """
        return self._page(path, trial=trial)

    @report_errors
    def _on_filter(self, _: Any) -> None:
        if self._on_hold:
            return
        keep = np.ones(self.record.sizes["trial"], bool)
        if self.outcome.value != _EVERY:
            keep &= self._verdicts == self.outcome.value
        if self.condition.value != _ANY:
            name, value = self._filters()[self.condition.index - 1]
            keep &= self.record[name].values == value
        if not keep.any():
            wanted = [
                v for v in (self.outcome.value, self.condition.value) if v not in (_EVERY, _ANY)
            ]
            with self._hold():
                self.outcome.value, self.condition.value = self._filter
            raise ValueError(
                f"No trial of this record is {' and has '.join(wanted)}; the filter was taken back."
            )
        self._filter = self.outcome.value, self.condition.value
        numbers, before = self.record["trial"].values[keep], self.trial.value
        with self._hold():
            self.trial.options = trial_options(self.record, numbers)
            self.trial.value = before if before in numbers else int(numbers[0])
        self._refresh()

    def _rows(self) -> list[w.Widget]:
        return [
            row(self.play, self.time, self.show, self.order),
            row(self.trial, self.outcome, self.condition, self.svg, self.pdf),
        ]

    def _draw(
        self, chosen: dict[str, Any], time: float | int, figure: Figure | None
    ) -> tuple[Figure, AnimatedPanel]:
        order = self._ordered(chosen["order"])
        return draw_trial(
            self.record,
            self.components,
            chosen["trial"],
            time,
            show=chosen["show"],
            order=order,
            figure=figure,
        )

    def _ordered(self, by: str) -> np.ndarray:
        """Return an order of the hidden units, computed once."""
        if by not in self._orders:
            other = [] if has_modulations(self.record) else ["M"]  # an M of other dimensions
            record = self.record.drop_vars(other, errors="ignore")
            self._orders[by] = hidden_order(record, by)
        return self._orders[by]

    def _filters(self) -> list[tuple[str, Any]]:
        """List the conditions that have few values, each with each of its values."""
        skip = {"correct", "performance", "length", "trial_ground_truth"}
        pairs = []
        for name in condition_names(self.record):
            values = np.unique(self.record[name].values)
            values = values[values == values]  # without nan: the trials that lack the condition
            if name not in skip and 1 < len(values) <= _FEW:
                pairs += [(name, value) for value in values]
        return pairs

    def _label(self, name: str, value: Any) -> str:
        """Name a condition's value in words: an action by its name, a number rounded."""
        if name in ("correct_response", "response", "ideal_response"):
            value = self.record["action"].values[value] if value >= 0 else "none"
        elif isinstance(value, np.number):
            value = f"{value:.4g}"
        return f"{name.replace('_', ' ')} = {value}"


def _two(record: xr.Dataset, variable: str) -> int:
    """Count the components to compute: two, or one where the record has no more."""
    features = int(np.prod(record[variable].shape[2:]))
    return min(2, features, int(record["valid"].sum()))
