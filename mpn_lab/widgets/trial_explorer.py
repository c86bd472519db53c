"""TrialExplorer: one trial seen from all sides, one moment at a time."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import xarray as xr

from mpn_lab.analysis.checks import check_record, condition_names, time_step, trial_position
from mpn_lab.analysis.population import hidden_order, pca
from mpn_lab.plotting.style import style
from mpn_lab.plotting.trial import TITLES
from mpn_lab.plotting.view import draw_trial, trial_title
from mpn_lab.widgets.base import Explorer, Picture, quiet, save_figure
from mpn_lab.widgets.page import write_page

_EVERY = "all trials"
_ANY = "any condition"
_FEW = 12  # a condition with more values than this is not offered as a filter


class TrialExplorer(Explorer):
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
        self._drawn: tuple[Any, ...] = ()  # what the figure's ground shows
        self._picture: Picture | None = None
        self._held = False
        dt = float(record.attrs["dt"])
        self._unit = int(dt) if dt >= 1 and dt.is_integer() else 1  # ms, or one step, per key press
        conditions = [_ANY, *(self._label(name, value) for name, value in self._filters())]
        self.outcome = w.Dropdown(options=[_EVERY, "correct", "wrong"], layout={"width": "120px"})
        self.condition = w.Dropdown(options=conditions, layout={"width": "190px"})
        self.trial = w.Dropdown(
            options=self._options(record["trial"].values),
            description="trial",
            layout={"width": "290px"},
            style={"description_width": "35px"},
        )
        self.play = w.Play(interval=100, step=self._unit, max=1, layout={"width": "115px"})
        self.time = w.IntSlider(
            description="time (ms)" if self._unit == dt else "step",
            step=self._unit,
            max=1,
            layout={"width": "430px"},
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
        self.svg = w.Button(description="save SVG", layout={"width": "90px"})
        self.pdf = w.Button(description="save PDF", layout={"width": "90px"})
        w.jslink((self.play, "value"), (self.time, "value"))
        for control in (self.trial, self.time, self.show, self.order):
            control.observe(self._on_change, "value")
        for control in (self.outcome, self.condition):
            control.observe(self._on_filter, "value")
        self.svg.on_click(lambda _: self._on_save("svg"))
        self.pdf.on_click(lambda _: self._on_save("pdf"))
        n = record.sizes["trial"]
        super().__init__(
            f"TrialExplorer({n} trials of {record.attrs['task']}, {record.attrs['core']})",
            [
                w.HBox([self.play, self.time, self.show, self.order]),
                w.HBox([self.trial, self.outcome, self.condition, self.svg, self.pdf]),
            ],
        )
        self._refresh()

    def go_to(self, trial: int | None = None, time: float | int | None = None) -> TrialExplorer:
        """Show a moment: the trial's number, the time in ms; None: as it is. Returns itself.

        Raises:
            ValueError: no such trial, or a moment outside it.
        """
        trial, time = self._moment(trial, time)
        step = time_step(self.record, trial_position(self.record, trial), time)
        if trial not in [number for _, number in self.trial.options]:
            with self._hold():
                self.outcome.value, self.condition.value = _EVERY, _ANY
                self.trial.options = self._options(self.record["trial"].values)
        with self._hold():
            self.trial.value = trial
            self._fit_time()
            self.time.value = step * self._unit
        self._refresh()
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
        trial, time = self._moment(trial, time)
        with style():
            figure, _ = self._draw(trial, time)
            save_figure(figure, path)
        return Path(path)

    def to_html(self, path: str | Path, trial: int | None = None) -> Path:
        """Write one self-contained page on which the time slider works without a kernel.

        Args:
            path: of the page.
            trial: the trial's number; None: the one that is shown.

        Raises:
            ValueError: no such trial.
            OSError: the file cannot be written.
        """
        trial, _ = self._moment(trial, 0.0)
        i = trial_position(self.record, trial)
        steps, times = range(int(self.record["length"][i])), self.record["time"].values
        with style():
            picture = Picture(*self._draw(trial, float(times[0])))
            frames = []
            for step in steps:
                picture.draw(step)
                frames.append(picture.image())
        labels = [f"{times[s]:.0f} ms, {self.record['period'].values[i, s]}" for s in steps]
        return write_page(Path(path), trial_title(self.record, i), frames, labels)

    @quiet
    def _on_change(self, _: Any) -> None:
        if not self._held:
            self._refresh()

    @quiet
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
            self.trial.options = self._options(numbers)
            self.trial.value = before if before in numbers else int(numbers[0])
        self._refresh()

    @quiet
    def _on_save(self, kind: str) -> None:
        trial, time = self._moment(None, None)
        path = self.save(f"{self.record.attrs['task']}_trial{trial}_{time:.0f}ms.{kind}")
        self.tell(f"Saved to {path.resolve()}")

    def _refresh(self) -> None:
        """Show what the controls say. Only the moving artists are drawn where the trial stays."""
        with self._hold():
            self._fit_time()
        ground = (self.trial.value, self.show.value, self.order.value)
        if self._picture is None or ground != self._drawn:
            figure = self._picture.figure if self._picture is not None else None
            with style():
                drawn = self._draw(self.trial.value, float(self.record["time"][0]), figure)
            if self._picture is None:
                self._picture = Picture(*drawn)
            else:
                self._picture.show(*drawn)
            self._drawn = ground
        self.set_frame(self._picture.frame(self.time.value // self._unit))

    def _draw(self, trial: int, time: float | int, figure: Any = None):
        return draw_trial(
            self.record,
            self.components,
            trial,
            time,
            show=self.show.value,
            order=self._ordered(self.order.value),
            figure=figure,
        )

    def _moment(self, trial: int | None, time: float | int | None) -> tuple[int, float | int]:
        """The trial's number and the time in ms, as shown where they are None; checked."""
        if trial is None:
            trial = self.trial.value
        i = trial_position(self.record, trial)
        if time is None:
            step = min(self.time.value // self._unit, int(self.record["length"][i]) - 1)
            time = float(self.record["time"][step])
        time_step(self.record, i, time)
        return trial, time

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
        if name in ("answer", "response", "ideal_answer") and value >= 0:
            value = self.record["action"].values[value]
        elif isinstance(value, np.number):
            value = f"{value:.4g}"
        return f"{name.replace('_', ' ')} = {value}"

    def _options(self, numbers: np.ndarray) -> list[tuple[str, int]]:
        names = [str(name) for name in self.record["action"].values]
        chosen = self.record.sel(trial=numbers)
        rows = zip(numbers, chosen["response"].values, chosen["correct"].values, strict=True)
        return [(f"{n}: {names[r]}, {'correct' if c else 'wrong'}", int(n)) for n, r, c in rows]

    def _fit_time(self) -> None:
        """Let time run over the trial that is chosen."""
        i = trial_position(self.record, self.trial.value)
        last = (int(self.record["length"][i]) - 1) * self._unit
        if self.time.max != last:
            self.time.value = min(self.time.value, last)
            self.time.max = self.play.max = last

    @contextmanager
    def _hold(self):
        """Set several controls, and draw once afterwards."""
        self._held, before = True, self._held
        try:
            yield
        finally:
            self._held = before


def _two(record: xr.Dataset) -> int:
    """Two components, or one where the record has no more."""
    features = record["M"] if "M" in record else record["h"]
    return min(2, int(np.prod(features.shape[2:])), int(record["valid"].sum()))
