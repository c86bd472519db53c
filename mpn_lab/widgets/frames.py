"""FrameExplorer: the base of explorers that show a trial frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import xarray as xr
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from mpn_lab.analysis.schema import step_duration, time_step, trial_length, trial_position
from mpn_lab.checks import check_path, show
from mpn_lab.plotting.panel import AnimatedPanel
from mpn_lab.plotting.style import save_figure, style
from mpn_lab.plotting.view import outcome, trial_title
from mpn_lab.widgets.explorer import Explorer, Picture, report_errors
from mpn_lab.widgets.page import write_page


class FrameExplorer(Explorer):
    """Shows a trial frame by frame, with controls for time, playback, saving and export.

    A subclass builds the controls that decide which figure is drawn, and draws it in `_draw`. A
    change of time redraws only the animated artists, a change of the control `background` also the
    animated panel's background, and a change of any other control the whole figure.

    Args:
        record: from `record` or `staleness`.
        description: one line that describes the explorer.
        controls: controls by the names under which `_draw` receives their values; one is `trial`.
        background: name of the control whose position `AnimatedPanel.background` follows.
    """

    _held = (*Explorer._held, "_record")

    def __init__(
        self,
        record: xr.Dataset,
        description: str,
        controls: dict[str, Any],
        background: str | None = None,
    ) -> None:
        self._record = record
        self._controls, self._background = controls, background
        self._drawn: tuple[dict, dict] | None = None  # values drawn: without and with background
        self._on_hold = False
        dt, start = step_duration(record), float(record["time"][0])
        in_ms = dt >= 1 and dt.is_integer() and start.is_integer()
        self._unit, self._start = (int(dt), int(start)) if in_ms else (1, 0)  # of the time slider
        ends: dict[str, Any] = {"min": self._start, "max": self._start + 1, "value": self._start}
        self.play = w.Play(interval=100, step=self._unit, layout={"width": "115px"}, **ends)
        self.time = w.IntSlider(
            description="time (ms)" if in_ms else "step",
            step=self._unit,
            layout={"width": "430px"},
            **ends,
        )
        self.svg = w.Button(description="save SVG", layout={"width": "90px"})
        self.pdf = w.Button(description="save PDF", layout={"width": "90px"})
        self._links = [w.jslink((self.play, "value"), (self.time, "value"))]
        for control in (self.time, *controls.values()):
            control.observe(self._on_change, "value")
        self.svg.on_click(lambda _: self._on_save("svg"))
        self.pdf.on_click(lambda _: self._on_save("pdf"))
        super().__init__(description, self._rows())

    @property
    def record(self) -> xr.Dataset:
        """The trials that are shown."""
        record: xr.Dataset | None = self.__dict__.get("_record")
        if record is None:
            raise ValueError("this explorer is closed; make another one of the record.")
        return record

    def _rows(self) -> list[w.Widget]:
        """Arrange the controls above the picture."""
        raise NotImplementedError

    def _draw(
        self, chosen: dict[str, Any], time: float | int, figure: Figure | None
    ) -> tuple[Figure, AnimatedPanel]:
        """Draw the figure for the controls' values at a time (ms), into `figure` if given."""
        raise NotImplementedError

    def _file_name(self, chosen: dict[str, Any], time: float | int) -> str:
        """Name the file of a saved frame, without its ending."""
        return f"{self.record.attrs['task']}_trial{chosen['trial']}_{time:.0f}ms"

    def _chosen(self, **asked: Any) -> dict[str, Any]:
        """Return the controls' values, replaced by those asked for that are not None."""
        values = {name: control.value for name, control in self._controls.items()}
        return values | {name: value for name, value in asked.items() if value is not None}

    def _save(self, path: str | Path, time: float | int | None, **asked: Any) -> Path:
        """Save a frame; the values asked for replace those of the controls."""
        path = check_path("path", path)
        formats = FigureCanvasBase.get_supported_filetypes()
        if path.suffix[1:].lower() not in formats:
            raise ValueError(
                f"path is {show(str(path))}; expected a file ending in .{' or .'.join(formats)}."
            )
        chosen = self._chosen(**asked)
        time = self._time(chosen["trial"], time)
        with style():
            figure, _ = self._draw(chosen, time, None)
            return save_figure(figure, path)

    def _page(self, path: str | Path, **asked: Any) -> Path:
        """Write the page of a trial; the values asked for replace those of the controls."""
        path = check_path("path", path)
        chosen = self._chosen(**asked)
        i = trial_position(self.record, chosen["trial"])
        steps, times = range(trial_length(self.record, i)), self.record["time"].values
        with style():
            picture = Picture(*self._draw(chosen, float(times[0]), None))
            frames = []
            for step in steps:
                picture.draw(step)
                frames.append(picture.image())
        labels = [f"{times[s]:.0f} ms, {self.record['period'].values[i, s]}" for s in steps]
        return write_page(path, trial_title(self.record, i), frames, labels)

    def _show(self, time: float | int | None, **asked: Any) -> None:
        """Set the controls to values that they accept, and draw once."""
        chosen = self._chosen(**asked)
        step = time_step(
            self.record,
            trial_position(self.record, chosen["trial"]),
            self._time(chosen["trial"], time),
        )
        with self._hold():
            for name, value in chosen.items():
                self._controls[name].value = value
            self._fit_time()
            self.time.value = self._start + step * self._unit
        self._refresh()

    @report_errors
    def _on_change(self, _: Any) -> None:
        if not self._on_hold:
            self._refresh()

    @report_errors
    def _on_save(self, kind: str) -> None:
        chosen = self._chosen()
        name = self._file_name(chosen, self._time(chosen["trial"], None))
        path = self._save(f"{name}.{kind}", None)
        self.show_message(f"Saved to {path.resolve()}")

    def _refresh(self) -> None:
        """Show what the controls select, and redraw only what has changed."""
        with self._hold():
            self._fit_time()
        chosen = self._chosen()
        still = {name: value for name, value in chosen.items() if name != self._background}
        picture = self._picture
        if picture is None or self._drawn is None or still != self._drawn[0]:
            self._drawn, figure = None, None if picture is None else picture.figure
            with style():
                drawn = self._draw(chosen, float(self.record["time"][0]), figure)
            picture = self._show_picture(*drawn)
        elif self._background is not None and chosen != self._drawn[1]:
            picture.redraw_background(self._controls[self._background].index)
        self._drawn = still, chosen
        self.set_frame(picture.frame(self._step()))

    def _step(self) -> int:
        """Return the step that the time slider shows."""
        return (self.time.value - self._start) // self._unit

    def _time(self, trial: int, time: float | int | None) -> float | int:
        """Return a time (ms; None: the one shown), checked along with the trial's number."""
        i = trial_position(self.record, trial)
        if time is None:
            step = min(self._step(), trial_length(self.record, i) - 1)
            time = float(self.record["time"][step])
        time_step(self.record, i, time)
        return time

    def _fit_time(self) -> None:
        """Fit the range of the time slider to the chosen trial."""
        i = trial_position(self.record, self._controls["trial"].value)
        last = self._start + (trial_length(self.record, i) - 1) * self._unit
        if self.time.max != last:
            self.time.value = min(self.time.value, last)
            self.time.max = self.play.max = last

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Do not redraw while several controls are set."""
        self._on_hold, before = True, self._on_hold
        try:
            yield
        finally:
            self._on_hold = before


def row(*controls: w.Widget) -> w.HBox:
    """Place controls side by side; those that do not fit wrap to the next line, equally wide."""
    for control in controls:
        control.layout.flex = "0 0 auto"
    return w.HBox(controls, layout={"flex_flow": "row wrap"})


def trial_options(record: xr.Dataset, numbers: np.ndarray) -> list[tuple[str, int]]:
    """Label trials for a menu: number, response and outcome."""
    names = [str(name) for name in record["action"].values]
    options = []
    for i in np.flatnonzero(np.isin(record["trial"].values, numbers)):
        number, words = int(record["trial"][i]), outcome(record, int(i))
        response = names[int(record["response"][i])]
        options.append((f"{number}: {response}" + (f", {words}" if words else ""), number))
    return options
