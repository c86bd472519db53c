"""What TrialExplorer shows, as traits that Python and the browser set; each value is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from mpn_lab.analysis.schema import trial_position
from mpn_lab.checks import check_choice, check_number, show
from mpn_lab.widgets.browser import BrowserExplorer, TraitError, check_selection
from mpn_lab.widgets.payload import COMPONENTS, OF_ACTIONS
from mpn_lab.widgets.records import Records

ORDERS = {"index": "unsorted", "selectivity": "sorted by response", "cluster": "clustered"}
VIEWS = ("trial", "mean", "difference")
TRAITS = (
    *("trial", "time", "selection", "variable", "components", "color_by", "show", "order"),
    *("view", "where", "shown", "beside", "by", "align"),
)
MOST_SHOWN = 4  # records beside each other
MOST_BESIDE = 3  # trials beside the one that is shown


class TrialTraits(BrowserExplorer):
    """The traits of TrialExplorer. Times, trials and sizes are those of the first record shown."""

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
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    beside = traitlets.List(traitlets.Int()).tag(sync=True)
    by = traitlets.Unicode().tag(sync=True)
    align = traitlets.Unicode().tag(sync=True)

    _records: Records
    _seen = ("", 0.0)  # `align` and `time` when they last agreed
    _nearest = False  # whether a time beyond what is shown means the step that is next to it

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take traits from the browser, which draws the nearest step where there is none."""
        self._nearest = True
        try:
            super().set_state(sync_data)
        finally:
            self._nearest = False

    @property
    def _header(self) -> dict[str, Any]:
        """Return the header of the first record that was given, whose conditions choose trials."""
        return self._records.first.overview()[0]

    def _of_shown(self) -> dict[str, Any]:
        """Return the header of the given record whose trials and sizes are those shown."""
        name = self.shown[0] if self.shown else self._records.names[0]
        return self._records.given(name).overview()[0]

    def _origin(self, align: str) -> float:
        """Return the time of the step 0 of the axis: a trial's start, or its start of `align`."""
        return 0.0 if align else float(self.record["time"][0])

    def _time_at(self, step: int) -> float:
        """Return the time of a step of the axis."""
        return float(self._origin(self.align) + step * self._of_shown()["dt"])

    def _step_at(self, time: float | int, align: str) -> int:
        """Return the step of the axis at a time."""
        return int(np.floor((time - self._origin(align)) / self._of_shown()["dt"] + 1e-6))

    def _steps(self, trial: int, align: str) -> tuple[int, int]:
        """Return the first and the last step of a trial on the axis."""
        return _steps(self._of_shown(), trial_position(self.record, trial), align)

    def _extent(self, trial: int) -> tuple[int, int]:
        """Return the first and the last step of the axis on which something is shown.

        That is `trial` and those beside it; or, where there are means, the trials that are left.
        """
        numbers = {"trial": [trial, *self.beside], "mean": self._left()}
        chosen = numbers.get(self.view, [trial, *self._left()])
        some = [trial_position(self.record, number) for number in chosen]
        names = self.shown or self._records.names[:1]
        headers = [self._records.given(name).overview()[0] for name in names]
        spans = [_steps(header, i, self.align) for header in headers for i in some]
        firsts, lasts = zip(*spans, strict=True)
        return min(firsts), max(lasts)

    def _on_axis(self, trial: int, time: float | int) -> float:
        """Return the time of the step at a time. Raises ValueError where nothing is shown."""
        alone = self.view == "trial" and not self.beside
        what = f"trial {trial}" if alone else "what is shown"
        return self._time_at(self._within(time, *self._extent(trial), what))

    def _next_to(self, time: float, align: str, moved: int = 0) -> float:
        """Return the time of the step that is shown, or next to it, `moved` steps after a time."""
        check_number("time", time)
        low, high = self._extent(self.trial)
        return self._time_at(min(max(self._step_at(time, align) + moved, low), high))

    def _within(self, time: float | int, low: int, high: int, what: str) -> int:
        """Return the step of the axis at a time. Raises ValueError unless it is low to high."""
        check_number("time", time)
        step = self._step_at(time, self.align)
        if not low <= step <= high:
            raise ValueError(
                f"time {time:g} ms lies outside {what}, which lasts from {self._time_at(low):g} to "
                f"{self._time_at(high + 1):g} ms."
            )
        return step

    def _left(self) -> list[int]:
        """Return the numbers of the trials that `where` leaves."""
        return [n for i, n in enumerate(self._records.numbers) if self._passes(i, self.where)]

    def _passes(self, position: int, where: Mapping[str, Any]) -> bool:
        classes = self._header["conditions"]
        return all(
            classes[name]["code"][position] == classes[name]["labels"].index(str(label))
            for name, label in where.items()
        )

    @traitlets.validate("trial", "time", "selection", "variable", "components", "color_by", "show",
                        "where", "shown", "beside", "by", "align")  # fmt: skip
    def _check(self, proposal: Any) -> Any:
        """Refuse what the records do not have, with one sentence."""
        name, value = proposal.trait.name, proposal.value
        try:
            return getattr(self, f"_check_{name}")(value)
        except ValueError as error:
            raise TraitError(str(error)) from None

    def _check_trial(self, value: int) -> int:
        trial_position(self.record, value)
        return value

    def _check_time(self, value: float) -> float:
        return (
            self._next_to(value, self.align) if self._nearest else self._on_axis(self.trial, value)
        )

    def _check_selection(self, value: dict[str, Any]) -> dict[str, Any]:
        check_selection(value, self._of_shown())
        return value

    def _check_variable(self, value: str) -> str:
        return check_choice("variable", value, self._of_shown()["variables"])

    def _check_components(self, value: list[int]) -> list[int]:
        for number in value:
            if not 1 <= number <= COMPONENTS:
                raise ValueError(f"components has {number}; expected 1 to {COMPONENTS}.")
        return value

    def _check_color_by(self, value: str) -> str:
        return value and check_choice("color_by", value, self._header["colors"])

    def _check_show(self, value: str) -> str:
        return check_choice("show", value, self._of_shown()["shows"] or ["M"])

    def _check_where(self, value: dict[str, Any]) -> dict[str, Any]:
        classes = self._classes()
        for name in value:
            check_choice("where", name, classes)
        value = {name: _label(name, given, classes[name]) for name, given in value.items()}
        for name, label in value.items():
            check_choice(name, label, classes[name])
        if not any(self._passes(i, value) for i in range(len(self._records.numbers))):
            asked = " and ".join(f"{name} = {label}" for name, label in value.items())
            raise ValueError(f"no trial of this record has {asked}; choose others.")
        return value

    def _check_shown(self, value: list[str]) -> list[str]:
        if not 1 <= len(value) <= MOST_SHOWN or len(set(value)) < len(value):
            raise ValueError(
                f"shown is {show(value)}; expected 1 to {MOST_SHOWN} different names of records."
            )
        for name in value:
            check_choice("shown", name, self._records.known())
        return value

    def _check_beside(self, value: list[int]) -> list[int]:
        if len(value) > MOST_BESIDE or len(set(value)) < len(value):
            raise ValueError(
                f"beside is {show(value)}; expected the numbers of up to {MOST_BESIDE} different "
                "trials."
            )
        for number in value:
            trial_position(self.record, number)
        return value

    def _check_by(self, value: str) -> str:
        return value and check_choice("by", value, self._classes())

    def _check_align(self, value: str) -> str:
        return value and check_choice("align", value, self._of_shown()["periods"])

    def _classes(self) -> dict[str, list[str]]:
        """Return the conditions that have classes, with the names of these."""
        conditions = self._header["conditions"]
        return {name: c["labels"] for name, c in conditions.items() if "labels" in c}

    @traitlets.observe("shown")
    def _keep_what_it_has(self, _: Any) -> None:
        """Drop what the record that is now shown first does not have."""
        self._records.shown = self.shown
        header = self._of_shown()
        sizes = {"unit": header["hidden"], "input": header.get("inputs", 0)}
        kept = {k: v for k, v in self.selection.items() if k not in sizes or v < sizes[k]}
        if "unit" not in kept:
            kept.pop("input", None)
        with self.hold_sync():
            self.selection = kept
            if self.variable not in header["variables"]:
                self.variable = "h"
            if self.show not in (header["shows"] or ["M"]):
                self.show = "M"
            if self.align not in header["periods"]:
                self.align = ""

    @traitlets.observe("trial", "time", "align", "shown", "beside", "view")
    def _fit(self, _: Any) -> None:
        """Keep the time within what is shown, and the trial among those that `where` leaves.

        If the axis has changed and the time has not been set with it, the step that is shown stays.
        """
        align, time = self._seen
        axis = align if time == self.time else self.align
        moved = self._steps(self.trial, self.align)[0] - self._steps(self.trial, axis)[0]
        time = self._next_to(self.time, axis, moved)
        self._seen = self.align, time
        self.time = time
        if axis != self.align and "span" in self.selection:  # it stays where it is in the trial
            span = [at + moved * self._of_shown()["dt"] for at in self.selection["span"]]
            span = [at + self._origin(self.align) - self._origin(axis) for at in span]
            self.selection = self.selection | {"span": span}
        if not self._passes(trial_position(self.record, self.trial), self.where):
            self.where = {}

    @traitlets.observe("where")
    def _choose(self, _: Any) -> None:
        """Go to the first trial left if the one that is shown is not."""
        if self.trial not in (left := self._left()):
            self.trial = left[0]
        self._fit(None)  # a mean of others may be shorter


def _steps(header: Mapping[str, Any], position: int, align: str) -> tuple[int, int]:
    """Return the first and the last step on the axis of a trial, by the header of its record.

    A trial without the period begins at 0.
    """
    starts = header["starts"].get(align)
    first = -max(starts[position], 0) if starts else 0
    return first, first + header["lengths"][position] - 1


def _label(name: str, value: Any, labels: Sequence[str]) -> str:
    """Return the label of a class by its value; what is no class's is returned as text."""
    texts = [str(value)]
    if isinstance(value, bool | np.bool_):
        texts.append(str(int(value)))
    elif name in OF_ACTIONS and isinstance(value, int | np.integer) and 0 <= value < len(labels):
        texts.append(labels[int(value)])
    if isinstance(value, float | np.floating):
        texts += [f"{value:.{digits}g}" for digits in range(4, 16)]  # as labels are made
    return next((text for text in texts if text in labels), texts[0])
