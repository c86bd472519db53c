"""TrialExplorer: the inputs, states and outputs of networks in trials, drawn in the browser."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.schema import trial_position
from mpn_lab.checks import check_path
from mpn_lab.interventions.edits import Edit
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.plotting.panel import has_modulations
from mpn_lab.plotting.style import save_figure, style
from mpn_lab.plotting.view import draw_trial
from mpn_lab.training.run import Run
from mpn_lab.widgets.browser import figure_path
from mpn_lab.widgets.page import Part, chosen_trials, write_explorer_page
from mpn_lab.widgets.payload import check_size, coloring, half, some_of
from mpn_lab.widgets.records import Records, is_what_if, read_edits
from mpn_lab.widgets.shown import Message, Shown
from mpn_lab.widgets.trial_traits import MOST_SHOWN, ORDERS, TRAITS, TrialTraits

ON_PAGE = 50  # trials of an exported page unless others are asked for


class TrialExplorer(TrialTraits):
    """Shows the inputs, states and outputs of a network in a trial, under one cursor.

    The browser draws the panels: observations, Q (or logits) with actions and rewards, and h over
    time; M_t, the effective weights or the change of M as a heat map; the selected unit or synapse
    over time; and the trials' trajectories in two principal components. A click sets the time,
    selects a synapse or goes to the trial of a trajectory; dragging or turning the wheel zooms, a
    double click shows all again. Keys: arrows for time and trial, space to play, Home and End.

    Several records of the same trials are shown beside each other: of two networks, of checkpoints
    of a run, or of a network with and without an edit (`edits`).

    What the user does and what Python sets are the same traits:

    - `trial`, its number, and `time`, in ms;
    - `shown`, names of up to four records; the first is the one whose trials and times count;
    - `beside`, the numbers of up to three trials shown beside `trial`;
    - `selection`: `unit`, `input` and `span` (from, to in ms), those that are chosen;
    - `variable`, `components` and `color_by` of the trajectories;
    - `show` (M, effective weights, change of M) and `order` (of hidden units) of the maps;
    - `view`: the `trial`, the `mean` of the trials that `where` leaves, or the `difference` of the
      trial from it;
    - `where`: the trials to choose from, condition -> value, such as {"outcome": "wrong"}; the
      conditions are those of the first record that was given;
    - `by`: the condition of whose classes each has its own mean; "": one mean;
    - `align`: the period from whose start times count in each trial, negative before it; "": the
      trial's start, also in trials without the period, which are left out of means.

    Args:
        record: from `record`, or loaded with `load_record`, of any core; or up to eight of the same
            task and trials, by name.
        network: the network or the run that made the (first) record. With it the record can be
            edited; with a run, its checkpoints can be shown, under the names "checkpoint N", on
            the recorded observations.

    Raises:
        ValueError: a Dataset that is not a record or has no trials; a trial too large for a
            browser; records of different tasks or trials; a network of other sizes.

    Example:
        >>> explorer = TrialExplorer(trials, network=run)  # doctest: +SKIP
        >>> explorer  # in a notebook: displays the explorer  # doctest: +SKIP
        >>> explorer.color_by = "context"  # doctest: +SKIP
        >>> explorer.shown = ["recorded", "checkpoint 500"]  # doctest: +SKIP
        >>> explorer.edits = [mpn_lab.edits.zero("M", at="test")]  # doctest: +SKIP
        >>> explorer.save("trial.svg", trial=3, time=1400)  # doctest: +SKIP
        >>> explorer.to_html("trials.html", trials=range(20))  # doctest: +SKIP
    """

    module = "trial.js"

    def __init__(
        self,
        record: xr.Dataset | Mapping[str, xr.Dataset],
        *,
        network: QNetwork | Run | None = None,
    ) -> None:
        records = Records(record, network)
        header, arrays = records.first.overview()
        check_size(arrays, f"an overview of {len(records.numbers)} trials")
        header = header | {
            "records": records.names,
            "checkpoints": records.checkpoints,
            "edits": records.editable(),
        }
        self._records = records
        several = f": {', '.join(records.names)}"
        what = several if len(records.names) > 1 else f", {header['core']}"
        super().__init__(
            records.first.record,
            f"TrialExplorer({len(records.numbers)} trials of {header['task']}{what})",
            (header, arrays),
            trial=header["numbers"][0],
            time=float(arrays["time"][0]),
            variable="M" if has_modulations(records.first.record) else "h",
            color_by=header["colors"][0] if header["colors"] else "",
            shown=records.names[:MOST_SHOWN],
        )

    @property
    def edits(self) -> list[Edit]:
        """What is changed in the network in the what-if that is shown; []: none is shown.

        Setting edits shows what the network does with them (in an open loop, on the recorded
        observations) beside the first record, under the name "what if 1", "what if 2" ...

        Raises:
            ValueError: there is no network, or the edits do not fit it.
        """
        records, name = self._all(), self._what_if()
        return records.edits_of(name) if name else []

    @edits.setter
    def edits(self, value: Edit | Sequence[Edit]) -> None:
        records = self._all()
        changes: list[Edit] = [value] if isinstance(value, Edit) else list(value)
        if changes:
            self.shown = [records.names[0], records.what_if(changes).name]
        else:
            kept = [name for name in self.shown if not is_what_if(name)]
            self.shown = kept or records.names[:1]

    @property
    def counterfactual(self) -> xr.Dataset | None:
        """The record of what the network does with `edits`; None without any."""
        records, name = self._all(), self._what_if()
        return records[name].record if name else None

    def _what_if(self) -> str:
        """Return the name of the what-if that is shown, the last one of several; "": of none."""
        return next(filter(is_what_if, reversed(self.shown)), "")

    def go_to(self, trial: int | None = None, time: float | int | None = None) -> TrialExplorer:
        """Show a frame; what is None stays as it is. Returns itself.

        Args:
            trial: the trial's number.
            time: in ms, as `align` counts it.

        Raises:
            ValueError: no such trial, or a time outside what is then shown.
        """
        trial = self.trial if trial is None else trial
        trial_position(self.record, trial)
        time = None if time is None else self._on_axis(trial, time)
        with self.hold_sync():
            self.trial = trial
            if time is not None:
                self.time = time
        return self

    def png(self) -> bytes:
        """Return the static picture of what is shown, as PNG.

        It shows one trial of the first record as a publication figure does, also where the view is
        of a mean or of several trials or records.
        """
        figure = self._draw(*self._frame(None, None))
        return figure._repr_png_()  # type: ignore[attr-defined]

    def save(
        self, path: str | Path, trial: int | None = None, time: float | int | None = None
    ) -> Path:
        """Save a frame as a figure; in SVG and PDF its text stays text.

        Args:
            path: the file; its ending names the format.
            trial: the trial's number; None: the one that is shown.
            time: in ms, as `align` counts it; None: the one that is shown, or the trial's next.

        Raises:
            ValueError: no such trial, a time outside it, or a format that is not known.
            OSError: the file cannot be written.
        """
        path = figure_path(path)
        with style():
            return save_figure(self._draw(*self._frame(trial, time)), path)

    def to_html(self, path: str | Path, trials: Iterable[int] | None = None) -> Path:
        """Write the explorer of some trials as one page that needs no kernel and no network.

        The page has the records that are shown. It cannot edit the network.

        Args:
            path: the file.
            trials: numbers of the trials; None: those that `where` leaves, at most 50, from the one
                that is shown on.

        Raises:
            ValueError: no such trial, or none.
            OSError: the file cannot be written.
        """
        path, records = check_path("path", path), self._all()
        left = self._left()
        first = next((k for k, n in enumerate(left) if n == self.trial), 0)
        following = sorted((left[first:] + left[:first])[:ON_PAGE])
        numbers, positions = chosen_trials(following if trials is None else trials, self.record)
        parts: dict[str, Any] = {}
        for name in self.shown:
            parts |= _on_page(records[name], numbers, positions, self.shown)
        header, arrays = parts[f"overview {self.shown[0]}"]
        of_first = some_of(self._header, positions)  # whose conditions choose trials
        header = header | {key: of_first[key] for key in ("conditions", "colors")}
        only = {"records": self.shown, "checkpoints": [], "edits": None}
        parts["overview"] = header | only, arrays
        values = {name: getattr(self, name) for name in TRAITS}
        values["where"] = self.where if trials is None else {}
        values["beside"] = [number for number in self.beside if number in numbers]
        if self.trial not in numbers:
            time = self._time_at(self._steps(numbers[0], self.align)[0])
            values |= {"trial": numbers[0], "time": time}
        return write_explorer_page(path, self.description, self.module, values, parts)

    def _release(self) -> None:
        super()._release()
        self.__dict__.pop("_records", None)

    def _all(self) -> Records:
        """Return the records. Raises ValueError if the explorer is closed."""
        _ = self.record
        return self._records

    def _answer(self, asked: dict[str, Any]) -> Message:
        records, kind = self._all(), asked["ask"]
        if kind == "what if":
            self.edits = read_edits(asked["edits"], len(records.numbers))
            one = records[self._what_if() or records.names[0]]
            return {"record": one.name, "words": one.words}, {}
        one = records[asked["record"]]
        if kind == "overview":
            return one.overview()
        if kind == "trial":
            return one.changed_trial(asked["trial"])
        if kind == "components":
            return one.components(asked["variable"])
        if kind == "order":
            return {}, {"order": one.order(asked["order"]).astype(np.int32)}
        return one.mean(asked["trials"], asked["align"])

    def _draw(self, trial: int, step: int) -> Figure:
        """Draw the figure of a trial at a step, with what else is chosen."""
        one = self._all()[self.shown[0]]
        found, name = one.pca(self.variable), self.color_by
        chosen = [number - 1 for number in self.components]
        found = found.isel(component=[k for k in chosen if k < found.sizes["component"]])
        colors = coloring(one.record, name, self._header["conditions"].get(name))
        order, time = one.order(self.order), float(one.record["time"][step])
        several = len(self.shown) > 1 or self.beside
        other = self.view if self.view != "trial" else "comparison" if several else ""
        named = one.name if one.words or len(self._records.names) > 1 else ""
        lines = [textwrap.shorten(f"{named}: {one.words}".strip(": "), 80, placeholder=" ...")]
        if other:
            lines.append(
                f"This picture shows the trial; the {other} shows where the explorer runs."
            )
        with style():
            figure, _ = draw_trial(
                one.record, found, trial, time, show=self.show, order=order, coloring=colors
            )
            for y, line in zip((0.93, 0.906), filter(None, lines), strict=False):
                figure.text(0.985, y, line, fontsize=8.5, va="center", ha="right")
        return figure

    def _frame(self, trial: int | None, time: float | int | None) -> tuple[int, int]:
        """Return a trial and its step at a time, checked; None: what is shown, or the next step."""
        _ = self.record
        trial = self.trial if trial is None else trial
        low, high = self._steps(trial, self.align)
        if time is None:
            return trial, min(max(self._step_at(self.time, self.align), low), high) - low
        return trial, self._within(time, low, high, f"trial {trial}") - low


def _on_page(
    one: Shown, numbers: Sequence[int], positions: Sequence[int], shown: Sequence[str]
) -> dict[str, Part]:
    """Return what a page of the records `shown` holds of one, by the keys the browser asks for.

    In the place of what cannot be computed, since the values diverged, stands the sentence why.
    """

    def order(by: str) -> Message:
        return {}, {"order": one.order(by).astype(np.int32)}

    def components(variable: str) -> Message:
        told, found = one.components(variable)
        return told, {"trajectory": half(found["trajectory"][positions])}

    header, arrays = one.overview()
    parts: dict[str, Part] = {}
    parts[f"overview {one.name}"] = some_of(header, positions) | {"page": True}, arrays
    trial = one.changed_trial if one.axes in shown else one.trial
    parts |= {f"trial {one.name} {number}": trial(number) for number in numbers}
    computed = [
        *(("order", by, order) for by in ORDERS if by != "index"),
        *(("components", variable, components) for variable in header["variables"]),
    ]
    for kind, name, compute in computed:
        try:
            parts[f"{kind} {one.name} {name}"] = compute(name)
        except ValueError as error:
            parts[f"{kind} {one.name} {name}"] = str(error)
    return parts
