"""Numbers of a figure that are measured once and kept: `figures/numbers/FIGURE.csv`.

Either in networks that are trained for a number only and thrown away, or in saved ones: then the
row says in which weights, and is measured again where the saved network is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from paper import NUMBERS, Trained, save_numbers
from tqdm import tqdm

from mpn_lab.training.learner import network_arrays

Measured = Mapping[str, float]  # quantity -> value


class Number(NamedTuple):
    """What a measurement is known by; it may give other quantities of the same network, too."""

    quantity: str
    network: str
    seed: int


def numbers(figure: str) -> pd.DataFrame:
    """What is kept: columns quantity, network, seed, value, weights ("": of no saved network)."""
    path = NUMBERS / f"{figure}.csv"
    columns = ["quantity", "network", "seed", "value", "weights"]
    if path.exists():
        kept = pd.read_csv(path, dtype={"weights": str}).reindex(columns=columns)
        return kept.fillna({"weights": ""})
    return pd.DataFrame(columns=columns)


def measured(
    figure: str,
    jobs: Mapping[Number, Callable[[], Measured]],
    *,
    fresh: bool = False,
    processes: int = 2,
) -> pd.DataFrame:
    """The numbers of a figure; those of `jobs` that are not kept are measured now, one by one kept.

    Args:
        figure: as in `save_numbers`.
        jobs: the number -> what measures it, a `partial` where it is done in saved networks.
            Numbers of other jobs are left as they are.
        fresh: forget what is kept first, and measure all anew.
        processes: how many at once.
    """
    weights = {job: weights_of(function) for job, function in jobs.items()}
    kept = {} if fresh else _rows(figure)
    outdated = {
        (job.network, job.seed, kept[job][1])
        for job in jobs
        if job in kept and kept[job][1] != weights[job]
    }
    kept = {n: row for n, row in kept.items() if (n.network, n.seed, row[1]) not in outdated}
    if fresh or outdated:
        _save(figure, kept)
    missing = [job for job in jobs if job not in kept]
    work = (delayed(_measure)(job, jobs[job]) for job in missing)
    done = Parallel(n_jobs=processes, return_as="generator_unordered")(work)
    for job, found in tqdm(done, total=len(missing), unit="job", disable=not missing):
        rows = _rows(figure)  # read again: another process may have added to them
        for name, value in found.items():
            rows[Number(name, job.network, job.seed)] = value, weights[job]
        _save(figure, rows)
    return numbers(figure)


def weights_of(function: Callable[[], Measured]) -> str:
    """A checksum of the saved networks that a `partial` is measured in; "" if there are none."""
    if not isinstance(function, partial):
        return ""
    arguments = (*function.args, *function.keywords.values())
    arrays = [network_arrays(one.network) for one in arguments if isinstance(one, Trained)]
    sums = b"".join(a[name].tobytes() for a in arrays for name in sorted(a))
    return f"{crc32(sums):08x}" if arrays else ""


class Found:
    """The numbers, by quantity and network."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.values = {
            key: rows["value"].to_numpy() for key, rows in table.groupby(["quantity", "network"])
        }

    def __call__(self, quantity: str, network: str) -> np.ndarray:
        """One value per seed; empty where there is none."""
        return self.values.get((quantity, network), np.zeros(0))

    def over(self, quantity: str, at: Sequence[float], network: str) -> list[np.ndarray]:
        """The same for `quantity` with each of the numbers put in."""
        return [self(quantity.format(x), network) for x in at]


def _rows(figure: str) -> dict[Number, tuple[float, str]]:
    return {Number(*row[:3]): (row[3], row[4]) for row in numbers(figure).itertuples(index=False)}


def _save(figure: str, rows: Mapping[Number, tuple[float, str]]) -> None:
    save_numbers(figure, ((*key, *rows[key]) for key in sorted(rows)))


def _measure(job: Number, function: Callable[[], Measured]) -> tuple[Number, Measured]:
    torch.set_num_threads(1)
    return job, function()
