"""TrialExplorer: one trial seen from all sides, one moment at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import hidden_order, pca
from mpn_lab.analysis.schema import check_record, condition_names
from mpn_lab.plotting.panel import AnimatedPanel
from mpn_lab.plotting.trial import TITLES
from mpn_lab.plotting.view import draw_trial
from mpn_lab.widgets.explorer import report_errors
from mpn_lab.widgets.frames import FrameExplorer, row, trial_options

_EVERY = "all trials"
_ANY = "any condition"
_FEW = 12  # a condition with more values than this is not offered as a filter


class TrialExplorer(FrameExplorer):
    """Move a slider and see what the network sees, holds, and thinks each action is worth.

    Inputs, Q and h over time, M_t (or the effective weights, or the change of M) as a heat map,
    and the path of M_t (of h where there is no M) among all trials, under one cursor. Choose a
    trial by its number, among all or only among correct or wrong ones or those of one condition;
    move the slider, also by the arrow keys, or press play.

    Args:
        record: from `record`, or loaded with `load_record`.

    Raises:
        ValueError: a Dataset that is no record, or has no trial.

    Example:
        >>> explorer = TrialExplorer(trials)  # doctest: +SKIP
        >>> explorer  # in a notebook: the explorer itself  # doctest: +SKIP
        >>> explorer.save("moment.svg", trial=3, time=1400)  # doctest: +SKIP
        >>> explorer.to_html("trial.html", trial=3)  # doctest: +SKIP
    """

    def __init__(self, record: xr.Dataset) -> None:
        check_record(record, "h", "Q", "obs")
        if not record.sizes["trial"]:
            raise ValueError("the record has no trial left; choose fewer filters.")
        self.record = record
        self.components = pca(record, "M" if "M" in record else "h", _two(record))
        self._orders: dict[str, np.ndarray] = {}
        conditions = [_ANY, *(self._label(name, value) for name, value in self._filters())]
        self.outcome = w.Dropdown(options=[_EVERY, "correct", "wrong"], layout={"width": "120px"})
        self.condition = w.Dropdown(options=conditions, layout={"width": "190px"})
        self.trial = w.Dropdown(
            options=trial_options(record, record["trial"].values),
            description="trial",
            layout={"width": "290px"},
            style={"description_width": "35px"},
        )
        self.show = w.Dropdown(
            options=list(TITLES), layout={"width": "150px"}, disabled="M" not in record
        )
        self.order = w.Dropdown(
            options=[
                ("sorted by answer", "selectivity"),
                ("clustered", "cluster"),
                ("as it is", "index"),
            ],
            layout={"width": "150px"},
        )
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
        """Show a moment: the trial's number, the time in ms; None: as it is. Returns itself.

        Raises:
            ValueError: no such trial, or a moment outside it.
        """
        trial = self.trial.value if trial is None else trial
        time = self._time(trial, time)
        if trial not in [number for _, number in self.trial.options]:
            with self._hold():
                self.outcome.value, self.condition.value = _EVERY, _ANY
                self.trial.options = trial_options(self.record, self.record["trial"].values)
        self._show(time, trial=trial)
        return self

    def save(
        self, path: str | Path, trial: int | None = None, time: float | int | None = None
    ) -> Path:
        """Save a moment as a figure; in SVG and PDF its text stays text.

        Args:
            path: its ending names the format.
            trial: the trial's number; None: the one that is shown.
            time: in ms; None: the moment that is shown.

        Raises:
            ValueError: no such trial, a moment outside it, or a format that is not known.
            OSError: the file cannot be written.
        """
        return self._save(path, time, trial=trial)

    def to_html(self, path: str | Path, trial: int | None = None) -> Path:
        """Write one self-contained page on which the time slider works without a kernel.

        Args:
            path: of the page.
            trial: the trial's number; None: the one that is shown.

        Raises:
            ValueError: no such trial.
            OSError: the file cannot be written.
        """
        return self._page(path, trial=trial)

    @report_errors
    def _on_filter(self, _: Any) -> None:
        if self._held:
            return
        keep = np.ones(self.record.sizes["trial"], bool)
        if self.outcome.value != _EVERY:
            keep &= self.record["correct"].values == (self.outcome.value == "correct")
        if self.condition.value != _ANY:
            name, value = self._filters()[self.condition.index - 1]
            keep &= self.record[name].values == value
        if not keep.any():
            wanted = [
                v for v in (self.outcome.value, self.condition.value) if v not in (_EVERY, _ANY)
            ]
            raise ValueError(
                f"No trial of this record is {' and has '.join(wanted)}; the trial stays as it was."
            )
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
        if by not in self._orders:
            self._orders[by] = hidden_order(self.record, by)
        return self._orders[by]

    def _filters(self) -> list[tuple[str, Any]]:
        """Conditions with few values, each with each of its values."""
        skip = {"correct", "performance", "length", "trial_ground_truth"}
        pairs = []
        for name in condition_names(self.record):
            values = np.unique(self.record[name].values)
            if name not in skip and 1 < len(values) <= _FEW:
                pairs += [(name, value) for value in values]
        return pairs

    def _label(self, name: str, value: Any) -> str:
        """A condition's value in words: an action by its name, a number rounded."""
        if name in ("correct_response", "response", "ideal_response") and value >= 0:
            value = self.record["action"].values[value]
        elif isinstance(value, np.number):
            value = f"{value:.4g}"
        return f"{name.replace('_', ' ')} = {value}"


def _two(record: xr.Dataset) -> int:
    """Two components, or one where the record has no more."""
    features = record["M"] if "M" in record else record["h"]
    return min(2, int(np.prod(features.shape[2:])), int(record["valid"].sum()))
