"""TrainingMonitor: learning curves while `train` or `train_supervised` runs."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from IPython.display import DisplayHandle, display
from PIL import Image

from mpn_lab.checks import show
from mpn_lab.plotting.style import style
from mpn_lab.plotting.training import COLUMNS, core_columns, draw_training, has_column
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.run import AnyConfig, Row
from mpn_lab.widgets.browser import BrowserExplorer, sentence
from mpn_lab.widgets.payload import Arrays, pack

SHARE = 0.03
"""Maximum share of the time spent on sending; rows that come too soon are sent with the next."""

Table = dict[str, list[float]]
_OF_LOOP = {
    "dqn": ("TD loss", "exploring", "which explore"),
    "supervised": ("cross-entropy (nats per step)", "expert", "of the expert"),
    "both": ("loss", "trained on", "which explore, or of the expert"),
}
_EXPECTED = "the TrainConfig or SupervisedConfig of the training to watch"


class TrainingMonitor(BrowserExplorer):
    """Shows trainings while they run: accuracy, with the ideal observer's, return, and loss.

    Further panels show the numbers that the core reports (eta and lam of an MPN) and, if the loop
    explores, epsilon. Where the accuracy is unknown, the return takes its place. A click or the
    arrow keys choose the row whose values the legends show; a drag zooms.

    Args:
        config: configuration of the training; or of several, by the names that the legend shows.

    Raises:
        ValueError: not a configuration, or no names.

    Example:
        >>> monitor = TrainingMonitor(config)  # doctest: +SKIP
        >>> display(monitor)  # doctest: +SKIP
        >>> run = train(config, "runs/first", on_row=monitor)  # doctest: +SKIP

        Several, one after the other:

        >>> monitor = TrainingMonitor({"MPN": mpn, "GRU": gru})  # doctest: +SKIP
        >>> train(mpn, "runs/mpn", on_row=monitor["MPN"])  # doctest: +SKIP
        >>> train(gru, "runs/gru", on_row=monitor["GRU"])  # doctest: +SKIP
    """

    module = "monitor.js"

    def __init__(self, config: AnyConfig | Mapping[str, AnyConfig]) -> None:
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
        self.error = ""
        self._shown: DisplayHandle | None = None
        self._cost, self._sent_at = 0.0, -math.inf
        super().__init__(None, self._describe(), self._content())

    @property
    def rows(self) -> Table:
        """The columns of the only training, or of the first."""
        return next(iter(self.tables.values()))

    def __call__(self, row: Row) -> None:
        """Take a new row of the metrics, as `train` and `train_supervised` pass it to `on_row`."""
        self._take(next(iter(self.tables)), row)

    def __getitem__(self, name: str) -> Callable[[Row], None]:
        """Return what takes the rows of one of several trainings, for its `on_row`."""
        if name not in self.tables:
            raise ValueError(
                f"there is no training {show(name)}; there are {', '.join(self.tables)}."
            )
        return lambda row: self._take(name, row)

    def png(self) -> bytes:
        """Return the static picture of all rows so far, as PNG: one strip for each training."""
        strips = []
        for name, table in self.tables.items():
            with style():
                figure, _ = draw_training(table, self.configs[name].trials)
                if name:
                    figure.text(0.005, 0.995, name, fontsize=9, va="top")
                strips.append(Image.open(io.BytesIO(figure._repr_png_())))  # type: ignore[attr-defined]
        height = sum(strip.height for strip in strips)
        picture, top = Image.new("RGB", (strips[0].width, height), "white"), 0
        for strip in strips:
            picture.paste(strip, (0, top))
            top += strip.height
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _take(self, name: str, row: Row) -> None:
        """Append a row; what goes wrong is shown, since it must not end the training."""
        shown, self.error = self.error, ""
        try:
            self._append(name, row)
            if shown:
                self._refresh()
        except Exception as error:
            self.error = sentence(error)
            self._refresh()

    def _append(self, name: str, row: Row) -> None:
        table, trials = self.tables[name], self.configs[name].trials
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
        last = row["trials"] >= trials
        since = perf_counter() - self._sent_at
        if last or since > self._cost / SHARE:
            self._refresh()
        if last and self._shown is not None:  # so that the saved notebook shows the whole curve
            self._shown.update(self._repr_mimebundle_()[0], raw=True)

    def _refresh(self) -> None:
        start = perf_counter()
        header, arrays = self._content()
        layout, buffers = pack(arrays)
        self._overview = {"header": header, "arrays": layout, "buffers": buffers}
        self._sent_at = perf_counter()
        self._cost = self._sent_at - start

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
        }
        return header, arrays

    def _describe(self) -> str:
        task = ", ".join(dict.fromkeys(config.task for config in self.configs.values()))
        if len(self.tables) > 1:
            going = sum(bool(table["trials"]) for table in self.tables.values())
            return f"TrainingMonitor({task}: {going} of {len(self.tables)} trainings)"
        return f"TrainingMonitor({task}: {_score(self.rows)})"

    def _ipython_display_(self) -> None:
        self._shown = display(self._repr_mimebundle_()[0], raw=True, display_id=True)


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

    Each is a title, a hint, its lines (column and name), and how its axis is scaled.
    """
    loss, trained_on, of = _OF_LOOP[loops.pop() if len(loops) == 1 else "both"]
    reported = list(dict.fromkeys(name for table in tables for name in core_columns(table)))
    of_mpn = {"eta": "η", "lam": "λ"}
    panels = [
        (
            "accuracy",
            "The share of evaluated trials whose response is correct; the ideal observer has the "
            "same observations",
            [("accuracy", "network"), ("ideal_accuracy", "ideal observer")],
            "share",
        ),
        (
            "trial return",
            "The mean sum of rewards of a trial: of evaluated trials, whose actions are greedy, "
            f"and of the trials trained on, {of}",
            [("mean_return", "greedy"), ("train_return", trained_on)],
            "linear",
        ),
        (loss, "The loss, a mean over the updates since the last row", [("loss", "loss")], "log"),
        (
            "plasticity" if set(reported) <= set(of_mpn) else "core metrics",
            "What the core reports of itself; for an MPN the means of η and λ over its synapses",
            [(name, of_mpn.get(name, name)) for name in reported],
            "linear",
        ),
        (
            "exploration ε",
            "The probability of a random action",
            [("epsilon", "ε")],
            "share",
        ),
    ]
    return [
        {
            "title": title,
            "hint": hint,
            "lines": [
                {"column": column, "name": name, "ideal": column == "ideal_accuracy"}
                for column, name in lines
                if _filled(tables, column)
            ],
            "scale": scale,
        }
        for title, hint, lines, scale in panels
        if lines and (scale == "log" or _filled(tables, lines[0][0]))
    ]


def _filled(tables: list[Table], column: str) -> bool:
    return any(has_column(table, column) for table in tables)
