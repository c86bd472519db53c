"""The measured values of a figure, `figures/FIGURE/values.csv`, and which are still missing.

A value is measured either in networks that are trained for it alone and thrown away, or in stored
ones: then its row has a checksum of their weights, and it is measured again when these change.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from figures.networks import Trained
from mpn_lab import RunError
from mpn_lab.files import write_whole
from mpn_lab.training.learner import network_arrays

FIGURES = Path(__file__).parent
COLUMNS = ("quantity", "network", "seed", "value", "weights")
Values = Mapping[str, float]  # quantity -> value


class Key(NamedTuple):
    """Identifies a measurement, which may give further quantities of the same network."""

    quantity: str
    network: str
    seed: int


Measurements = dict[Key, Callable[[], Values]]
"""What measures each value: a `partial` where that is done in stored networks."""


def load_values(figure: str) -> pd.DataFrame:
    """The stored values; columns as `COLUMNS`, weights "" where no stored network was used."""
    path = FIGURES / figure / "values.csv"
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path, dtype={"weights": str})
    return table.assign(weights=table["weights"].fillna("") if "weights" in table else "")


def write_values(figure: str, rows: Iterable[tuple]) -> pd.DataFrame:
    """Write `figures/FIGURE/values.csv`: quantity, network, seed, value and, if given, weights.

    Returns the rows as a table, with all digits.
    """
    rows, text = list(rows), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    lines = [(*row[:3], f"{row[3]:.5g}", *row[4:]) for row in rows]
    columns = COLUMNS[: max(map(len, lines), default=4)]
    writer.writerow(columns)
    writer.writerows(lines)
    path = FIGURES / figure / "values.csv"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, text.getvalue().encode(), RunError)
    return pd.DataFrame(rows, columns=columns)


def compute_missing(
    figure: str,
    measurements: Mapping[Key, Callable[[], Values]],
    *,
    fresh: bool = False,
    processes: int = 2,
) -> pd.DataFrame:
    """The values of a figure; missing and outdated ones are measured now, each stored at once.

    Args:
        figure: as in `write_values`.
        measurements: what measures each value. Stored values of others are left as they are.
        fresh: forget the stored values first, and measure all anew.
        processes: how many at once.
    """
    weights = {key: weights_checksum(function) for key, function in measurements.items()}
    stored = {} if fresh else _rows(figure)
    outdated = {
        (key.network, key.seed, stored[key][1])
        for key in measurements
        if key in stored and stored[key][1] != weights[key]
    }
    stored = {k: row for k, row in stored.items() if (k.network, k.seed, row[1]) not in outdated}
    if fresh or outdated:
        _save(figure, stored)
    missing = [key for key in measurements if key not in stored]
    jobs = (delayed(_measure)(key, measurements[key]) for key in missing)
    done = Parallel(n_jobs=processes, return_as="generator_unordered")(jobs)
    for key, values in tqdm(done, total=len(missing), unit="job", disable=not missing):
        rows = _rows(figure)  # read again: another process may have added to them
        for quantity, value in values.items():
            rows[Key(quantity, key.network, key.seed)] = value, weights[key]
        _save(figure, rows)
    return load_values(figure)


def weights_checksum(function: Callable[[], Values]) -> str:
    """A checksum of the networks among the arguments of a `partial`; "" if there are none."""
    if not isinstance(function, partial):
        return ""
    arguments = (*function.args, *function.keywords.values())
    arrays = [network_arrays(one.network) for one in arguments if isinstance(one, Trained)]
    content = b"".join(a[name].tobytes() for a in arrays for name in sorted(a))
    return f"{crc32(content):08x}" if arrays else ""


class Results:
    """The values of a table, by quantity and network."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.values = {
            key: rows["value"].to_numpy() for key, rows in table.groupby(["quantity", "network"])
        }

    def __call__(self, quantity: str, network: str) -> np.ndarray:
        """One value per seed; empty where there is none."""
        return self.values.get((quantity, network), np.zeros(0))

    def over(self, quantity: str, at: Sequence[float], network: str) -> list[np.ndarray]:
        """The values of `quantity` with each of the numbers `at` filled in."""
        return [self(quantity.format(x), network) for x in at]


def _rows(figure: str) -> dict[Key, tuple[float, str]]:
    return {Key(*row[:3]): (row[3], row[4]) for row in load_values(figure).itertuples(index=False)}


def _save(figure: str, rows: Mapping[Key, tuple[float, str]]) -> None:
    write_values(figure, ((*key, *rows[key]) for key in sorted(rows)))


def _measure(key: Key, function: Callable[[], Values]) -> tuple[Key, Values]:
    torch.set_num_threads(1)
    return key, function()
