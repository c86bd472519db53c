"""StalenessExplorer: how far stored states are from replayed ones as the parameters change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.population import leaf_order
from mpn_lab.analysis.restore import as_staleness, explorable
from mpn_lab.analysis.schema import (
    age_position,
    strategy_position,
    trial_length,
    trial_position,
)
from mpn_lab.plotting.panel import AnimatedPanel, has_modulations
from mpn_lab.plotting.view import MEASURES, SHOWN, draw_staleness
from mpn_lab.widgets.frames import FrameExplorer, row, trial_options


class StalenessExplorer(FrameExplorer):
    """Shows how far stored states are from replayed ones, and how that changes Q.

    The panels show the stored M, the replayed M and their difference at one time; Q from both; and
    their distances over the trial, for every strategy of replay and by age. Sliders set the time,
    the age (updates since collection) and the trial, a menu the strategy. The explorer opens with
    the oldest age and the first trial, at the time at which dQ is largest. For a core without M the
    distances are those of its whole state.

    Args:
        data: from `mpn_lab.staleness`.

    Raises:
        ValueError: a Dataset that is not from `staleness`, or has no trial, age or strategy.

    Example:
        >>> explorer = StalenessExplorer(staleness(run))  # doctest: +SKIP
        >>> explorer  # in a notebook: displays the explorer  # doctest: +SKIP
        >>> explorer.save("stale.svg", trial=3, age=640, strategy="zero")  # doctest: +SKIP
        >>> explorer.to_html("stale.html", trial=3)  # doctest: +SKIP
    """

    def __init__(self, data: xr.Dataset) -> None:
        data = explorable(as_staleness(data, *SHOWN, "dQ", "Q_stored", "Q_replayed"))
        names, ages = [str(name) for name in data["strategy"].values], data["age"].values
        self.trial = _slider("trial", trial_options(data, data["trial"].values), 0, "400px")
        self.age = _slider(
            "age", [(f"{age:,} updates", int(age)) for age in ages], len(ages) - 1, "330px"
        )
        self.strategy = w.Dropdown(
            options=names, index=strategy_position(data, None), layout={"width": "150px"}
        )
        kinds = [kind for kind, (_, of_Q) in MEASURES.items() if of_Q in data]
        self.measure = w.Dropdown(options=kinds, layout={"width": "175px"})
        self.order = w.Dropdown(
            options=["clustered", "unsorted"],
            layout={"width": "110px"},
            disabled=not has_modulations(data, "M_stored"),
        )
        self._order = _clustered(data)
        super().__init__(
            data,
            f"StalenessExplorer({data.sizes['trial']} trials of {data.attrs['task']}, "
            f"{data.attrs['core']}, {ages[0]} to {ages[-1]} updates old)",
            {
                "trial": self.trial,
                "age": self.age,
                "strategy": self.strategy,
                "measure": self.measure,
                "order": self.order,
            },
            background="age",
        )
        self._show(self._time_of_largest_distance(), trial=self.trial.value)

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
        """Save a frame as a figure; in SVG and PDF its text stays text.

        Args:
            path: the file; its ending names the format.
            trial, time, age, strategy: see `go_to`; None: what is shown.

        Raises:
            ValueError: no such trial, age or strategy, a time outside the trial, or a format
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
            path: the file.
            trial, age, strategy: see `go_to`; None: what is shown.

        Raises:
            ValueError: no such trial, age or strategy.
            OSError: the file cannot be written.
        """
        return self._page(path, **self._asked(trial, age, strategy))

    def _asked(self, trial: int | None, age: int | None, strategy: str | None) -> dict[str, Any]:
        """Return what is asked for, checked, by the controls' names."""
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

    def _time_of_largest_distance(self) -> float:
        """Return the time (ms) at which dQ is largest."""
        chosen = self._chosen()
        i = trial_position(self.record, chosen["trial"])
        distance = self.record["dQ"].values[
            self.strategy.index, self.age.index, i, : trial_length(self.record, i)
        ]
        return float(self.record["time"][int(np.nan_to_num(distance).argmax())])


def _slider(name: str, options: list[tuple[str, int]], index: int, width: str) -> Any:
    """Make a slider over values; over a single one a menu, since a slider needs two."""
    kind = w.SelectionSlider if len(options) > 1 else w.Dropdown
    return kind(
        options=options,
        index=index,
        description=name,
        layout={"width": width},
        style={"description_width": "35px"},
    )


def _clustered(data: xr.Dataset) -> np.ndarray | None:
    """Order hidden units so that similar modulations are adjacent; None without M."""
    if not has_modulations(data, "M_stored"):
        return None
    stored = data["M_stored"].values[data["valid"].values]  # (steps, n, d)
    return leaf_order(np.moveaxis(stored, 1, 2).reshape(-1, stored.shape[1]))
