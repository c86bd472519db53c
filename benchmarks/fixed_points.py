"""All fixed points of a trained MPN's M: bracketing against searches from many starts.

For the mean input of each period of DelayMatchSample-v0, on the same weights, in one process and
thread, CPU time:

- `analysis.fixed_points`, which brackets each unit's roots;
- Newton's method on each unit's scalar equation from a grid of 10,000 starts over the whole range
  in which a root can lie, and the distinct roots that it ends at;
- iterating the map forward from 1,000 of these starts, which ends at the stable ones;
- the usual search (Sussillo & Barak 2013; for M in AllenInstitute/MultiTaskMPN): Adam on
  |F(M) - M|^2 (learning rate 1e-3, at most 2,000 steps, until the mean square is 1e-8) and then
  L-BFGS (at most 500 iterations), from 1,000 starts of the whole M: 500 recorded ones of the period
  and 500 drawn uniformly from the range of the fixed points. Every row of a start counts as one
  candidate for its unit, since rows do not meet. In one period, the delay.

Trains a network of its own (some 30 s), or takes run folders as arguments. Prints a table and, of
its own network, writes results/fixed_points.csv.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from mpn_lab import MPN, Run, TrainConfig, load_run, record, train
from mpn_lab.analysis import fixed_points
from mpn_lab.networks.recurrence import hebbian_update

STARTS, SEARCHES = 10_000, 1_000
CLOSE = 1e-6  # two preactivations closer than this are the same fixed point
OUT = Path(__file__).parent / "results" / "fixed_points.csv"


def cpu_seconds(function: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return min(times), result


def scalar_maps(core: MPN, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """c and kappa [n] and lam of z' = (1 - lam) c + lam z + kappa tanh z, from the definition."""
    expected = ("associative", "multiplicative", "tanh", None)
    if (core.update, core.modulation, core.activation, core.bound) != expected:
        raise SystemExit("the comparison is written for the default MPN; pass runs of it.")
    W, b = core.W.detach().double().numpy(), core.b.detach().double().numpy()
    return W @ x + b, core.eta.item() * (W * x * x).sum(1), core.lam.item()


def grid_of(c: np.ndarray, kappa: np.ndarray, lam: float) -> np.ndarray:
    reach = (np.abs(kappa) / (1 - lam) + 1)[:, None]  # |z - c| <= |k| at a root
    return c[:, None] + reach * np.linspace(-1, 1, STARTS)


def newton(c: np.ndarray, kappa: np.ndarray, lam: float) -> list[np.ndarray]:
    """The distinct roots of each unit that Newton's method reaches from the grid."""
    k, z = (kappa / (1 - lam))[:, None], grid_of(c, kappa, lam)
    for _ in range(60):
        h = np.tanh(z)
        slope = 1 - k * (1 - h**2)
        move = (z - c[:, None] - k * h) / np.where(slope == 0, 1e-12, slope)
        z = z - move
        if (np.abs(move) < 1e-12 * (1 + np.abs(z))).all():
            break
    done = np.abs(z - c[:, None] - k * np.tanh(z)) < 1e-10 * (1 + np.abs(z))
    return [distinct(row[ok]) for row, ok in zip(z, done, strict=True)]


def iterate(c: np.ndarray, kappa: np.ndarray, lam: float) -> list[np.ndarray]:
    """The distinct stable points of each unit that the map itself reaches from the grid."""
    z = grid_of(c, kappa, lam)[:, :: STARTS // 1_000]
    for _ in range(10_000):  # a point near to losing its stability takes thousands
        before = z
        z = (1 - lam) * c[:, None] + lam * z + kappa[:, None] * np.tanh(z)
        if (np.abs(z - before) < 1e-12).all():
            break
    still = np.abs(z - before) < 1e-9
    return [distinct(row[ok]) for row, ok in zip(z, still, strict=True)]


def distinct(values: np.ndarray) -> np.ndarray:
    values = np.sort(values)
    return values[np.diff(values, prepend=-np.inf) > CLOSE]


def search(core: MPN, x: np.ndarray, M: torch.Tensor) -> torch.Tensor:
    """Adam and then L-BFGS on the speed of M [k, n, d], in float32, as usual."""
    held = torch.from_numpy(x).float()
    W, b, eta, lam = (p.detach() for p in (core.W, core.b, core.eta, core.lam))
    M = M.clone().requires_grad_()

    def loss() -> torch.Tensor:
        h = torch.tanh((W * (1 + M)) @ held + b)  # (k, n)
        after = hebbian_update(M, held.expand(len(M), -1), h, eta, lam)
        return torch.nn.functional.mse_loss(after, M)

    adam = torch.optim.Adam([M], 1e-3)
    for _ in range(2_000):
        adam.zero_grad()
        value = loss()
        if value.item() <= 1e-8:
            break
        value.backward()
        adam.step()
    lbfgs = torch.optim.LBFGS(
        [M], max_iter=500, tolerance_grad=1e-16, tolerance_change=1e-18, history_size=50,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        lbfgs.zero_grad()
        value = loss()
        value.backward()
        return value

    lbfgs.step(closure)
    return M.detach()


def compare(a: list[np.ndarray], b: list[np.ndarray], close: float = CLOSE) -> int:
    """How many of the points a lie at none of b."""
    return sum(
        int((np.abs(own[:, None] - other[None]) > close).all(1).sum())
        for own, other in zip(a, b, strict=True)
    )


def starts(trials: xr.Dataset, period: str, points: xr.Dataset) -> torch.Tensor:
    rng = np.random.default_rng(0)
    recorded = trials["M"].values[(trials["valid"] & (trials["period"] == period)).values]
    recorded = recorded[rng.integers(len(recorded), size=SEARCHES // 2)]
    most = np.nanmax(np.abs(points["M"].values))
    drawn = rng.uniform(-most, most, (SEARCHES - len(recorded), *recorded.shape[1:]))
    return torch.from_numpy(np.concatenate([recorded, drawn]).astype(np.float32))


def one(run: Run, period: str, trials: xr.Dataset) -> dict[str, Any]:
    core = run.network.core
    assert isinstance(core, MPN)
    x = trials["embedded"].where(trials["period"] == period).mean(("trial", "time")).values
    x = x.astype(np.float64)
    maps = scalar_maps(core, x)
    ours, points = cpu_seconds(lambda: fixed_points(core, x), 20)
    exact = [row[np.isfinite(row)] for row in points["preactivation"].values]
    z = points["preactivation"].where(points["stable"]).values
    stable = [row[np.isfinite(row)] for row in z]
    grid_time, grid = cpu_seconds(lambda: newton(*maps))
    forward_time, forward = cpu_seconds(lambda: iterate(*maps))
    row = {
        "task": run.config.task,
        "seed": run.config.seed,
        "period": period,
        "points": sum(map(len, exact)),
        "stable": sum(map(len, stable)),
        "ms": 1e3 * ours,
        "grid_points": sum(map(len, grid)),
        "only_in_grid": compare(grid, exact),
        "not_in_grid": compare(exact, grid),
        "grid_times_slower": grid_time / ours,
        "iterated_points": sum(map(len, forward)),
        "iterated_not_stable": compare(forward, stable),
        "stable_not_iterated": compare(stable, forward),
        "iteration_times_slower": forward_time / ours,
    }
    if period != "delay":
        return row
    M0 = starts(trials, period, points)
    search_time, M = cpu_seconds(lambda: search(core, x, M0))
    weight = core.W.detach().double().numpy() * x
    ends = list((maps[0] + (M.double().numpy() * weight).sum(2)).T)  # preactivations by unit
    near = [
        np.abs(found[:, None] - true) < 1e-3 * (1 + np.abs(true))
        for found, true in zip(ends, exact, strict=True)
    ]
    hit = [n.any(0) for n in near]
    return row | {
        "search_misses": sum(int((~h).sum()) for h in hit),
        "search_ends_nowhere": float(np.mean([~n.any(1) for n in near])),
        "search_times_slower": search_time / ours,
    }


def main() -> None:
    torch.set_num_threads(1)
    runs = [load_run(path) for path in sys.argv[1:]]
    if not runs:
        runs = [train(TrainConfig(task="DelayMatchSample-v0"), out=False, progress=False)]
    rows = []
    for run in runs:
        trials = record(run, trials=50)
        periods = dict.fromkeys(str(p) for p in trials["period"].values.ravel() if p)
        rows += [one(run, period, trials) for period in periods]
        print(pd.DataFrame(rows).tail(len(periods)).round(2).to_string(), flush=True)
    table = pd.DataFrame(rows)
    if not sys.argv[1:]:
        OUT.parent.mkdir(exist_ok=True)
        table.round(4).to_csv(OUT, index=False)
    print(
        f"\n{table['points'].sum()} fixed points of {len(table)} inputs: the grid finds "
        f"{table['only_in_grid'].sum()} others and misses {table['not_in_grid'].sum()}; forward "
        f"iteration finds {table['iterated_not_stable'].sum()} that are not stable and misses "
        f"{table['stable_not_iterated'].sum()}. Median ratios of CPU time: grid "
        f"{table['grid_times_slower'].median():.0f}, iteration "
        f"{table['iteration_times_slower'].median():.0f}, search "
        f"{table['search_times_slower'].median():.0f}."
    )


if __name__ == "__main__":
    main()
