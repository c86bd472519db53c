"""TrainingMonitor: the learning curve while `train` or `train_supervised` runs."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

import numpy as np
from IPython.display import DisplayHandle, display

from mpn_lab.checks import show
from mpn_lab.plotting.panel import AnimatedPanel
from mpn_lab.plotting.style import style
from mpn_lab.plotting.training import COLUMNS, Lines, draw_training
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.run import AnyConfig, Row
from mpn_lab.widgets.explorer import Explorer, report_errors

SHARE = 0.03
"""Maximum share of the time spent on drawing; rows that come too soon are drawn with the next."""


class TrainingMonitor(Explorer):
    """Shows a training while it runs: accuracy, with the ideal observer's, return, and loss.

    Further panels show the numbers that the core reports (eta and lam of an MPN) and, if the loop
    explores, epsilon.

    Args:
        config: configuration of the training.

    Example:
        >>> monitor = TrainingMonitor(config)  # doctest: +SKIP
        >>> display(monitor)  # doctest: +SKIP
        >>> run = train(config, "runs/first", on_row=monitor)  # doctest: +SKIP
    """

    _held = (*Explorer._held, "_lines")

    def __init__(self, config: AnyConfig) -> None:
        if not isinstance(config, TrainConfig | SupervisedConfig):
            raise ValueError(
                f"config is {show(config)}; expected the TrainConfig or SupervisedConfig of the "
                "training to watch."
            )
        self.config = config
        loop = "supervised" if isinstance(config, SupervisedConfig) else "dqn"
        self.rows: dict[str, list[float]] = {name: [] for name in COLUMNS[loop]}
        self._shown: DisplayHandle | None = None
        self._cost, self._drawn_at, self._waiting = 0.0, -math.inf, False
        super().__init__(f"TrainingMonitor({config.task}: no row yet)", [])
        self._draw_background()
        self.set_frame(self._frame())

    @report_errors
    def __call__(self, row: Row) -> None:
        """Take a new row of the metrics, as `train` and `train_supervised` pass it to `on_row`."""
        score = f"accuracy {row['accuracy']:.3f}"
        if math.isnan(row["accuracy"]):  # then the return is the measure
            score = f"return {row['mean_return']:.3g}"
        elif not math.isnan(row["ideal_accuracy"]):
            score += f" of {row['ideal_accuracy']:.3f}"
        self.description = (
            f"TrainingMonitor({self.config.task}: {score} after {row['trials']:.0f} trials)"
        )
        first = not self.rows["trials"]
        if first:  # only now are all columns known
            self.rows = {name: [] for name in row}
        values = {name: float(row[name]) for name in self.rows}
        for name, value in values.items():
            self.rows[name].append(value)
        if first:
            self._draw_background()
        last = row["trials"] >= self.config.trials
        self._waiting = not last and perf_counter() - self._drawn_at < self._cost / SHARE
        if not self._waiting:
            self._update()
        if last and self._shown is not None:  # so that the saved notebook shows the whole curve
            self._shown.update(self._repr_mimebundle_(), raw=True)

    def _ipython_display_(self) -> None:
        self._shown = display(self._repr_mimebundle_(), raw=True, display_id=True)

    def _update(self) -> None:
        start = perf_counter()
        if self._picture is None or not self._fits():
            self._draw_background()
        self.set_frame(self._frame())
        self._drawn_at = perf_counter()
        self._cost, self._waiting = self._drawn_at - start, False

    def _draw_background(self) -> None:
        """Draw what stays the same while the rows lie within the limits of the axes."""
        figure = self._picture.figure if self._picture is not None else None
        with style():
            figure, self._lines = draw_training(self.rows, self.config.trials, figure)
        panel = AnimatedPanel([line for line, _ in self._lines], lambda _: self._move(self._lines))
        self._show_picture(figure, panel)

    def _move(self, lines: Lines) -> None:
        for line, name in lines:
            line.set_data(self.rows["trials"], self.rows[name])

    def _frame(self) -> bytes:
        assert self._picture is not None
        return self._picture.frame(0)

    def _let_go(self) -> None:
        super()._let_go()
        self._lines = []

    def _fits(self) -> bool:
        """Whether every value lies within its axes' limits."""
        for line, name in self._lines:
            low, high = line.axes.get_ylim()  # type: ignore[union-attr]
            values = np.asarray(self.rows[name])
            values = values[np.isfinite(values)]
            if ((values < low) | (values > high)).any():
                return False
        return True

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        if self._waiting:
            self._update()
        return super()._repr_mimebundle_(**kwargs)
