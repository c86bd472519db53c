"""TrainingMonitor: learning curves while `train` or `train_supervised` runs."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import traitlets
import xarray as xr
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from PIL import Image

from mpn_lab.checks import check_int, show
from mpn_lab.files import user_path
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.plotting.style import style
from mpn_lab.plotting.training import COLUMNS, draw_training
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.run import AnyConfig, Row, load_run
from mpn_lab.widgets.browser import BrowserExplorer, sentence
from mpn_lab.widgets.curves import Table, panels_of, score
from mpn_lab.widgets.payload import Arrays, pack
from mpn_lab.widgets.present import LAST_TRIAL, draw_present, page_of, record_present

SHARE = 0.03
"""Maximum share of the time that the monitor takes; rows that come too soon are sent with the next.
"""

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

        In other processes, which `read` sees by their run folders:

        >>> while trainings_run():  # doctest: +SKIP
        ...     monitor.read({"MPN": "runs/mpn", "GRU": "runs/gru"})
        ...     time.sleep(1)
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

    def read(self, folders: str | Path | Mapping[str, str | Path]) -> None:
        """Take the rows that trainings in other processes have written since the last call.

        A folder without a run, since its training has not begun, is passed over. The trial is that
        of the last checkpoint.

        Args:
            folders: the run folder of the only training, or those of several by their names.

        Raises:
            ValueError: there is no training of a name.
            RunError: a run is damaged.
        """
        only = next(iter(self.tables))
        named = folders if isinstance(folders, Mapping) else {only: folders}
        for name, folder in named.items():
            taker = self[name]
            path = user_path(folder)
            if not (path / "config.json").exists():
                continue
            run = load_run(path)
            saved = run.saved or {"rows": []}
            rows = saved["rows"][len(self.tables[name]["trials"]) :]
            for row in rows[:-1]:
                self._append(name, row)
            self._cost = 0.0  # no training waits while this is sent
            if rows and self.trial is None:
                taker(rows[-1])
            elif rows:
                taker.with_network(rows[-1], run.network_at(saved["trials"]))

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
        self._overview = pack(*self._content())
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
        panels = panels_of(list(self.tables.values()), {_loop(c) for c in self.configs.values()})
        shown = {"trials"} | {line["column"] for panel in panels for line in panel["lines"]}
        arrays: Arrays = {}
        for k, table in enumerate(self.tables.values()):
            for column in shown & set(table):
                arrays[f"{k} {column}"] = np.array(table[column], np.float32)
        tasks = dict.fromkeys(config.task for config in self.configs.values())
        runs = [
            {"name": name, "words": score(table, self.configs[name].trials)}
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
        return f"TrainingMonitor({task}: {score(self.rows)})"

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
