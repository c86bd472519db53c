"""StalenessExplorer: what a stored state still says once the weights have moved on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import leaf_order
from mpn_lab.analysis.schema import (
    age_position,
    check_staleness,
    strategy_position,
    trial_length,
    trial_position,
)
from mpn_lab.plotting.panel import AnimatedPanel
from mpn_lab.plotting.view import MEASURES, draw_staleness
from mpn_lab.widgets.frames import FrameExplorer, row, trial_options


class StalenessExplorer(FrameExplorer):
    """Move a slider and see how far a stored M_t has drifted from the replayed one, and what that
    does to Q.

    The stored M, the replayed M and their difference at a moment; Q from both; their distances
    over the trial for every strategy of replay, and by age. Sliders for time, age (the updates
    since the trial was lived) and trial; a choice of strategy. It opens with the oldest age, at
    the moment of the first trial at which Q is furthest off.

    Args:
        lens: from `mpn_lab.analysis.staleness`.

    Raises:
        ValueError: a Dataset that is not from `staleness`, or has no trial or no age.

    Example:
        >>> explorer = StalenessExplorer(lens)  # doctest: +SKIP
        >>> explorer  # in a notebook: the explorer itself  # doctest: +SKIP
        >>> explorer.save("stale.svg", trial=3, age=640, strategy="zero")  # doctest: +SKIP
        >>> explorer.to_html("stale.html", trial=3)  # doctest: +SKIP
    """

    def __init__(self, lens: xr.Dataset) -> None:
        check_staleness(lens, "dQ", "Q_stored", "Q_replayed")
        for dim in ("trial", "age", "strategy"):
            if not lens.sizes[dim]:
                raise ValueError(f"these stored and replayed states have no {dim} left.")
        names, ages = [str(name) for name in lens["strategy"].values], lens["age"].values
        self.trial = _slider("trial", trial_options(lens, lens["trial"].values), 0, "400px")
        self.age = _slider(
            "age", [(f"{age:,} updates", int(age)) for age in ages], len(ages) - 1, "330px"
        )
        self.strategy = w.Dropdown(
            options=names, index=strategy_position(lens, None), layout={"width": "150px"}
        )
        kinds = [kind for kind, (_, of_Q) in MEASURES.items() if of_Q in lens]
        self.measure = w.Dropdown(options=kinds, layout={"width": "175px"})
        self.order = w.Dropdown(
            options=["clustered", "as it is"],
            layout={"width": "110px"},
            disabled="M_stored" not in lens,
        )
        self._order = _clustered(lens)
        super().__init__(
            lens,
            f"StalenessExplorer({lens.sizes['trial']} trials of {lens.attrs['task']}, "
            f"{lens.attrs['core']}, {ages[0]} to {ages[-1]} updates old)",
            {
                "trial": self.trial,
                "age": self.age,
                "strategy": self.strategy,
                "measure": self.measure,
                "order": self.order,
            },
            under="age",
        )
        self._show(self._worst(), trial=self.trial.value)

    def go_to(
        self,
        trial: int | None = None,
        time: float | int | None = None,
        age: int | None = None,
        strategy: str | None = None,
    ) -> StalenessExplorer:
        """Show a moment; what is None stays as it is. Returns itself.

        Args:
            trial: the trial's number.
            time: in ms.
            age: in updates since the trial was lived.
            strategy: how the state is replayed.

        Raises:
            ValueError: no such trial, age or strategy, or a moment outside the trial.
        """
        self._show(time, **self._asked(trial, age, strategy))
        return self

    def save(
        self,
        path: str | Path,
        trial: int | None = None,
        time: float | int | None = None,
        age: int | None = None,
        strategy: str | None = None,
    ) -> Path:
        """Save a moment as a figure; in SVG and PDF its text stays text.

        Args:
            path: its ending names the format.
            trial, time, age, strategy: see `go_to`; None: what is shown.

        Raises:
            ValueError: no such trial, age or strategy, a moment outside the trial, or a format
                that is not known.
            OSError: the file cannot be written.
        """
        return self._save(path, time, **self._asked(trial, age, strategy))

    def to_html(
        self,
        path: str | Path,
        trial: int | None = None,
        age: int | None = None,
        strategy: str | None = None,
    ) -> Path:
        """Write one self-contained page on which the time slider works without a kernel.

        Args:
            path: of the page.
            trial, age, strategy: see `go_to`; None: what is shown.

        Raises:
            ValueError: no such trial, age or strategy.
            OSError: the file cannot be written.
        """
        return self._page(path, **self._asked(trial, age, strategy))

    def _asked(self, trial: int | None, age: int | None, strategy: str | None) -> dict[str, Any]:
        """What is asked for, by the controls' names; checked."""
        if age is not None:
            age_position(self.record, age)
        if strategy is not None:
            strategy_position(self.record, strategy)
        return {"trial": trial, "age": age, "strategy": strategy}

    def _rows(self) -> list[w.Widget]:
        return [
            row(self.play, self.time, self.strategy, self.measure, self.order),
            row(self.age, self.trial, self.svg, self.pdf),
        ]

    def _draw(
        self, chosen: dict[str, Any], time: float | int, figure: Figure | None
    ) -> tuple[Figure, AnimatedPanel]:
        return draw_staleness(
            self.record,
            chosen["trial"],
            time,
            age=chosen["age"],
            strategy=chosen["strategy"],
            measure=chosen["measure"],
            order=self._order if chosen["order"] == "clustered" else None,
            figure=figure,
        )

    def _file_name(self, chosen: dict[str, Any], time: float | int) -> str:
        words = chosen["strategy"].replace(",", "").replace(" ", "-")
        return f"{super()._file_name(chosen, time)}_age{chosen['age']}_{words}"

    def _worst(self) -> float:
        """The moment at which dQ is largest, in ms."""
        chosen = self._chosen()
        i = trial_position(self.record, chosen["trial"])
        distance = self.record["dQ"].values[
            self.strategy.index, self.age.index, i, : trial_length(self.record, i)
        ]
        return float(self.record["time"][int(np.nan_to_num(distance).argmax())])


def _slider(name: str, options: list[tuple[str, int]], index: int, width: str) -> Any:
    """A slider over values; where there is but one, a menu: a slider cannot be drawn."""
    kind = w.SelectionSlider if len(options) > 1 else w.Dropdown
    return kind(
        options=options,
        index=index,
        description=name,
        layout={"width": width},
        style={"description_width": "35px"},
    )


def _clustered(lens: xr.Dataset) -> np.ndarray | None:
    """Hidden units with like modulations side by side; None where there is no M."""
    if "M_stored" not in lens:
        return None
    stored = lens["M_stored"].values[lens["valid"].values]  # (steps, n, d)
    return leaf_order(np.moveaxis(stored, 1, 2).reshape(-1, stored.shape[1]))
