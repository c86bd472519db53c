"""TrainingMonitor: learning curves while `train` or `train_supervised` runs."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import traitlets
import xarray as xr
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from PIL import Image

from mpn_lab.checks import check_int, show
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.plotting.style import style
from mpn_lab.plotting.training import COLUMNS, core_columns, draw_training, has_column
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.run import AnyConfig, Row
from mpn_lab.widgets.browser import BrowserExplorer, sentence
from mpn_lab.widgets.payload import Arrays, pack
from mpn_lab.widgets.present import LAST_TRIAL, draw_present, page_of, record_present

SHARE = 0.03
"""Maximum share of the time that the monitor takes; rows that come too soon are sent with the next.
"""

Table = dict[str, list[float]]
_OF_LOOP = {
    "dqn": ("TD loss", "mean Huber loss", "exploring", "which explore"),
    "supervised": ("cross-entropy", "nats per step", "expert", "of the expert"),
    "both": ("loss", "mean over steps", "trained on", "which explore, or of the expert"),
}
_EXPECTED = "the TrainConfig or SupervisedConfig of the training to watch"


class TrainingMonitor(BrowserExplorer):
    """Shows trainings while they run: accuracy, with the ideal observer's, return, and loss.

    Further panels show the numbers that the core reports (eta and lam of an MPN) and, if the loop
    explores, epsilon. Where the accuracy is unknown, the return takes its place. A click or the
    arrow keys choose the row whose values the legends show; a drag zooms.

    With `trial`, every row that is sent comes with one trial of the network as it is then, always
    the same one, which the browser draws as `TrialExplorer` does: observations, Q, actions and
    rewards, h, M. `records` holds it for each training. The training's numbers are the same with
    and without it.

    Args:
        config: configuration of the training; or of several, by the names that the legend shows.
        trial: number of the trial to show, from 0 to 99, among those of `mpn_lab.record` with seed
            0; None: none.

    Raises:
        ValueError: not a configuration, no names, or no such trial.

    Example:
        >>> monitor = TrainingMonitor(config, trial=0)  # doctest: +SKIP
        >>> display(monitor)  # doctest: +SKIP
        >>> run = train(config, "runs/first", on_row=monitor)  # doctest: +SKIP

        Several, one after the other:

        >>> monitor = TrainingMonitor({"MPN": mpn, "GRU": gru})  # doctest: +SKIP
        >>> train(mpn, "runs/mpn", on_row=monitor["MPN"])  # doctest: +SKIP
        >>> train(gru, "runs/gru", on_row=monitor["GRU"])  # doctest: +SKIP
    """

    module = "monitor.js"

    # Of trials; the last is that of the newest row.
    _pages: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)

    def __init__(
        self, config: AnyConfig | Mapping[str, AnyConfig], trial: int | None = None
    ) -> None:
        configs = dict(config) if isinstance(config, Mapping) else {"": config}
        if not configs:
            raise ValueError(f"config is {show(config)}; expected {_EXPECTED}.")
        for one in configs.values():
            if not isinstance(one, TrainConfig | SupervisedConfig):
                raise ValueError(f"config is {show(one)}; expected {_EXPECTED}.")
        self.configs = {str(name): one for name, one in configs.items()}
        self.tables: dict[str, Table] = {
            name: {column: [] for column in COLUMNS[_loop(one)]}
            for name, one in self.configs.items()
        }
        self.trial = None if trial is None else check_int("trial", trial, 0, LAST_TRIAL)
        self.records: dict[str, xr.Dataset] = {}
        self.error = ""
        self._without_network = False
        self._shown: list[DisplayHandle] = []
        self._cost, self._sent_at = 0.0, -math.inf
        super().__init__(None, self._describe(), self._content())

    @property
    def rows(self) -> Table:
        """The columns of the only training, or of the first."""
        return next(iter(self.tables.values()))

    def __call__(self, row: Row) -> None:
        """Take a new row of the metrics, as `train` and `train_supervised` pass it to `on_row`."""
        self._take(next(iter(self.tables)), row, None)

    def with_network(self, row: Row, network: QNetwork) -> None:
        """Take a new row with the network as it is now; the training calls this where it can."""
        self._take(next(iter(self.tables)), row, network)

    def __getitem__(self, name: str) -> _OfOne:
        """Return what takes the rows of one of several trainings, for its `on_row`."""
        if name not in self.tables:
            raise ValueError(
                f"there is no training {show(name)}; there are {', '.join(self.tables)}."
            )
        return _OfOne(self, name)

    def png(self) -> bytes:
        """Return the static picture of all rows so far, as PNG: a strip for each training.

        Below each strip is the trial as it was at the last row that was sent.
        """
        strips = []
        for name, table in self.tables.items():
            with style():
                figure, _ = draw_training(table, self.configs[name].trials)
                if name:
                    figure.text(0.005, 0.995, name, fontsize=9, va="top")
                strips.append(_image(figure))
                if name in self.records:
                    strips.append(_image(draw_present(self.records[name])))
        height = sum(strip.height for strip in strips)
        picture, top = Image.new("RGB", (strips[0].width, height), "white"), 0
        for strip in strips:
            picture.paste(strip, (0, top))
            top += strip.height
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _take(self, name: str, row: Row, network: QNetwork | None) -> None:
        """Append a row; what goes wrong is shown, since it must not end the training."""
        start, shown, self.error = perf_counter(), self.error, ""
        try:
            self._append(name, row)
            last = row["trials"] >= self.configs[name].trials
            if last or shown or start - self._sent_at > self._cost / SHARE:
                if self.trial is not None:
                    self._look(name, row, network)
                self._refresh(start)
            if last and self._shown:  # so that the saved notebook shows whole curves
                for output, (data, metadata) in zip(self._shown, self._outputs(), strict=True):
                    output.update(data, metadata=metadata, raw=True)
        except Exception as error:
            self.error = sentence(error)
            self._refresh(start)

    def _append(self, name: str, row: Row) -> None:
        table = self.tables[name]
        missing = [column for column in table if column not in row]
        if missing:
            raise ValueError(f"a row of the metrics lacks {missing[0]}; expected those of train.")
        if not table["trials"]:  # only now are all columns known
            table = {column: [] for column in row}
        values = {column: float(row[column]) for column in table}
        for column, value in values.items():
            table[column].append(value)
        self.tables[name] = table
        self.description = self._describe()

    def _look(self, name: str, row: Row, network: QNetwork | None) -> None:
        """Record the trial of a network as it is at a row."""
        self._without_network = network is None
        if network is None or self.trial is None:
            return
        config, trained = self.configs[name], int(row["trials"])
        self.records[name] = one = record_present(network, config, self.trial, trained)
        words = f"after {trained:,} of {config.trials:,} trials; the same trial at every row"
        page = {"name": name, "words": words, **page_of(one)}
        self._pages = [other for other in self._pages if other["name"] != name] + [page]

    def _refresh(self, start: float) -> None:
        """Send all tables, and note what the row that came at `start` has cost."""
        header, arrays = self._content()
        layout, buffers = pack(arrays)
        self._overview = {"header": header, "arrays": layout, "buffers": buffers}
        self._sent_at = perf_counter()
        self._cost = self._sent_at - start

    def _waits(self) -> str:
        """Say why no trial is shown yet, if one is wanted."""
        if self.trial is None:
            return ""
        if self._without_network:
            return "not shown: no network came with the rows; pass the monitor itself as on_row"
        return "shown after the first row"

    def _release(self) -> None:
        super()._release()
        self._trait_values.pop("_pages", None)
        self.records = {}

    def _content(self) -> tuple[dict[str, Any], Arrays]:
        """Return all columns of all trainings, and the panels that they fill."""
        panels = _panels(list(self.tables.values()), {_loop(c) for c in self.configs.values()})
        shown = {"trials"} | {line["column"] for panel in panels for line in panel["lines"]}
        arrays: Arrays = {}
        for k, table in enumerate(self.tables.values()):
            for column in shown & set(table):
                arrays[f"{k} {column}"] = np.array(table[column], np.float32)
        tasks = dict.fromkeys(config.task for config in self.configs.values())
        runs = [
            {"name": name, "words": _score(table, self.configs[name].trials)}
            for name, table in self.tables.items()
        ]
        header = {
            "title": ", ".join(tasks),
            "words": runs[0]["words"] if len(runs) == 1 else "",
            "runs": runs,
            "last": max(config.trials for config in self.configs.values()),
            "panels": panels,
            "error": self.error,
            "trial": self.trial,
            "waits": self._waits(),
        }
        return header, arrays

    def _describe(self) -> str:
        task = ", ".join(dict.fromkeys(config.task for config in self.configs.values()))
        if len(self.tables) > 1:
            going = sum(bool(table["trials"]) for table in self.tables.values())
            return f"TrainingMonitor({task}: {going} of {len(self.tables)} trainings)"
        return f"TrainingMonitor({task}: {_score(self.rows)})"

    def _ipython_display_(self) -> None:
        self._shown = [
            display(data, metadata=metadata, raw=True, display_id=True)
            for data, metadata in self._outputs()
        ]


@dataclass(frozen=True)
class _OfOne:
    """Takes the rows of one of several trainings."""

    monitor: TrainingMonitor
    name: str

    def __call__(self, row: Row) -> None:
        self.monitor._take(self.name, row, None)

    def with_network(self, row: Row, network: QNetwork) -> None:
        self.monitor._take(self.name, row, network)


def _image(figure: Figure) -> Image.Image:
    return Image.open(io.BytesIO(figure._repr_png_()))  # type: ignore[attr-defined]


def _loop(config: AnyConfig) -> str:
    return "supervised" if isinstance(config, SupervisedConfig) else "dqn"


def _score(table: Table, trials: int | None = None) -> str:
    """Say how far a training is: its accuracy of the ideal one, or its return, after trials."""
    if not table["trials"]:
        return "no row yet"
    row = {name: values[-1] for name, values in table.items()}
    score = f"accuracy {row['accuracy']:.3f}"
    if math.isnan(row["accuracy"]):  # then the return is the measure
        score = f"return {row['mean_return']:.3g}"
    elif not math.isnan(row["ideal_accuracy"]):
        score += f" of {row['ideal_accuracy']:.3f}"
    if trials is None:
        return f"{score} after {row['trials']:.0f} trials"
    return f"{score} after {row['trials']:,.0f} of {trials:,} trials"


def _panels(tables: list[Table], loops: set[str]) -> list[dict[str, Any]]:
    """Choose the panels for which a table has data, with what each line is; the loss is always one.

    Each is a title, the unit of its axis, a hint, its lines (column and name), and how its axis is
    scaled.
    """
    loss, unit_of_loss, trained_on, of = _OF_LOOP[loops.pop() if len(loops) == 1 else "both"]
    reported = list(dict.fromkeys(name for table in tables for name in core_columns(table)))
    of_mpn = {"eta": "η", "lam": "λ"}
    panels = [
        (
            "accuracy",
            "share of trials",
            "The share of evaluated trials whose response is correct; the ideal observer has the "
            "same observations",
            [("accuracy", "network"), ("ideal_accuracy", "ideal observer")],
            "share",
        ),
        (
            "trial return",
            "reward per trial",
            "The mean sum of rewards of a trial: of evaluated trials, whose actions are greedy, "
            f"and of the trials trained on, {of}",
            [("mean_return", "greedy"), ("train_return", trained_on)],
            "linear",
        ),
        (
            loss,
            unit_of_loss,
            "The loss, a mean over the updates since the last row",
            [("loss", "loss")],
            "log",
        ),
        (
            "plasticity" if set(reported) <= set(of_mpn) else "core metrics",
            "mean over synapses" if set(reported) <= set(of_mpn) else "value",
            "What the core reports of itself; for an MPN the means of η and λ over its synapses",
            [(name, of_mpn.get(name, name)) for name in reported],
            "linear",
        ),
        (
            "exploration ε",
            "probability",
            "The probability of a random action",
            [("epsilon", "ε")],
            "share",
        ),
    ]
    return [
        {
            "title": title,
            "unit": unit,
            "hint": hint,
            "lines": [
                {"column": column, "name": name, "ideal": column == "ideal_accuracy"}
                for column, name in lines
                if _filled(tables, column)
            ],
            "scale": scale,
        }
        for title, unit, hint, lines, scale in panels
        if lines and (scale == "log" or _filled(tables, lines[0][0]))
    ]


def _filled(tables: list[Table], column: str) -> bool:
    return any(has_column(table, column) for table in tables)
