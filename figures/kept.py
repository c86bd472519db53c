"""Numbers of a figure that are measured once and kept: `figures/numbers/FIGURE.csv`.

For networks that are needed for a number only: they are trained, measured and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd
import torch
from joblib import Parallel, delayed
from paper import NUMBERS, save_numbers
from tqdm import tqdm

Measured = Mapping[str, float]  # quantity -> value


class Number(NamedTuple):
    """What a measurement is known by; it may give other quantities of the same network, too."""

    quantity: str
    network: str
    seed: int


def numbers(figure: str) -> pd.DataFrame:
    """What is kept: columns quantity, network, seed, value."""
    path = NUMBERS / f"{figure}.csv"
    if path.exists():
        return pd.read_csv(path)
    return pd.DataFrame(columns=["quantity", "network", "seed", "value"])


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
        jobs: the number -> what measures it. Numbers of other jobs are left as they are.
        fresh: measure all of these anew.
        processes: how many at once.
    """
    kept = _rows(figure)
    missing = [job for job in jobs if fresh or job not in kept]
    work = (delayed(_measure)(job, jobs[job]) for job in missing)
    done = Parallel(n_jobs=processes, return_as="generator_unordered")(work)
    for job, found in tqdm(done, total=len(missing), unit="job", disable=not missing):
        rows = _rows(figure)  # read again: another process may have added to them
        rows |= {Number(name, job.network, job.seed): value for name, value in found.items()}
        save_numbers(figure, ((*key, rows[key]) for key in sorted(rows)))
    return numbers(figure)


def _rows(figure: str) -> dict[Number, float]:
    return {Number(*row[:3]): row[3] for row in numbers(figure).itertuples(index=False)}


def _measure(job: Number, function: Callable[[], Measured]) -> tuple[Number, Measured]:
    torch.set_num_threads(1)
    return job, function()
