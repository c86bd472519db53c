"""What the paper's figures share: its networks, trained now or saved, and the numbers they gave.

A trained network is kept as `figures/saved/NAME.safetensors` (weights, configuration, how it
ended). One that is missing is trained in `runs/paper/NAME`, where it can be interrupted and goes
on; NAME is `FIGURE/NETWORK...-seedN`, so that `make figures FIG=3 FRESH=1` makes figure 3's again.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from tqdm import tqdm

from mpn_lab import (
    QNetwork,
    Run,
    RunError,
    SupervisedConfig,
    load_run,
    plotting,
    resume,
    train_supervised,
)
from mpn_lab.tasks.integration import Integration
from mpn_lab.training.config import paper_config
from mpn_lab.training.files import read_tensors, write_tensors, write_whole
from mpn_lab.training.learner import load_arrays, make_network, network_arrays
from mpn_lab.training.supervised import SupervisedTrainer

HERE = Path(__file__).parent
SAVED, NUMBERS = HERE / "saved", HERE / "numbers"
RUNS = Path("runs/paper")

NETWORKS: dict[str, dict[str, Any]] = {
    "MPN": {},
    "MPNpre": {"mpn": {"update": "presynaptic"}},
    "MPNpost": {"mpn": {"update": "postsynaptic"}},
    "additive": {"mpn": {"modulation": "additive"}},
    "ReLU": {"mpn": {"activation": "relu"}},
    "bound 1": {"mpn": {"bound": 1.0}},
    "bound 0.1": {"mpn": {"bound": 0.1}},
    "RNN": {"core": "rnn"},
    "GRU": {"core": "gru"},
}
"""The paper's networks, as changes of `paper_config`."""

COLORS = {"MPN": "#0072B2", "MPNpre": "#56B4E9", "RNN": "#E69F00", "GRU": "#D55E00"}
SEEDS = range(10)


class Trained(NamedTuple):
    """A network of the paper and how its training ended."""

    network: QNetwork
    config: SupervisedConfig
    updates: int
    accuracy: float  # rolling, in validation

    @property
    def task(self) -> tuple[str, dict[str, Any]]:
        """Its task, as `record` takes it."""
        return self.config.task, self.config.task_kwargs


def config_of(
    kind: str, seed: int, task: str = "mpn_lab/Integration-v0", **changes: Any
) -> SupervisedConfig:
    """The paper's configuration of one of `NETWORKS`; a seed has input vectors of its own."""
    if kind not in NETWORKS:
        raise ValueError(f"There is no network {kind!r}; expected one of {', '.join(NETWORKS)}.")
    own = NETWORKS[kind]
    mpn = own.get("mpn", {}) | changes.pop("mpn", {})
    task_kwargs = {"vectors_seed": seed} | changes.pop("task_kwargs", {})
    settings = {k: v for k, v in own.items() if k != "mpn"} | changes
    return paper_config(task, seed=seed, mpn=mpn, task_kwargs=task_kwargs, **settings)


def trained(
    jobs: Mapping[str, SupervisedConfig], *, fresh: bool = False, processes: int = 2
) -> dict[str, Trained]:
    """The networks of `jobs`, by name: saved ones, and the missing ones trained now.

    Args:
        jobs: NAME -> what to train.
        fresh: train all of them anew.
        processes: how many at once.

    Raises:
        RunError: a saved network is damaged or another's; the sentence says how to make it again.
    """
    if fresh:
        for name in jobs:
            _file(name).unlink(missing_ok=True)
            shutil.rmtree(RUNS / name, ignore_errors=True)
    missing = [name for name in jobs if not _file(name).exists()]
    work = (delayed(_train)(name, jobs[name]) for name in missing)
    done = Parallel(n_jobs=processes, return_as="generator_unordered")(work)
    for _ in tqdm(done, total=len(missing), unit="network", disable=not missing):
        pass
    return {name: _load(name, config) for name, config in jobs.items()}


def run_of(path: Path, config: SupervisedConfig) -> Run:
    """Train a run, or go on with it. Raises RunError where it is of another configuration."""
    if not (path / "config.json").exists():
        return train_supervised(config, path, progress=False)
    if load_run(path).config != config:
        raise RunError(f"{path} was begun with another configuration; remove it and run again.")
    return resume(path, progress=False)


def _train(name: str, config: SupervisedConfig) -> None:
    torch.set_num_threads(1)
    path = RUNS / name
    run = run_of(path, config)
    last = run.metrics.iloc[-(config.stop.over if config.stop else 1) :]
    meta = {
        "config": config.model_dump(mode="json"),
        "obs_size": run.obs_size,
        "n_actions": run.n_actions,
        "updates": int(last["updates"].iloc[-1]),
        "accuracy": float(last["accuracy"].mean()),
    }
    _file(name).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(_file(name), network_arrays(run.network), meta)
    shutil.rmtree(path)


def learned(
    config: SupervisedConfig,
    start: QNetwork | None = None,
    task: Integration | None = None,
) -> tuple[QNetwork, int]:
    """A network trained to its end in memory, and its updates.

    Args:
        start: whose weights it starts with; None: its own.
        task: learn this one, not the configuration's.
    """
    loop = SupervisedTrainer(config)
    if start is not None:
        load_arrays(loop.learner.network, network_arrays(start))
    if task is not None:
        loop.source.task = task  # type: ignore[attr-defined]  # it draws its own batches
    with tqdm(disable=True) as bar:
        while not loop.finished:
            loop.rows.append(loop.until_next_row(bar, None))  # type: ignore[arg-type]
    return loop.learner.network.eval(), loop.learner.updates


def _load(name: str, config: SupervisedConfig) -> Trained:
    try:
        arrays, meta = read_tensors(_file(name))
        if SupervisedConfig.model_validate(meta["config"]) != config:
            raise ValueError("it was trained with another configuration")
        network = make_network(config, meta["obs_size"], meta["n_actions"])
        load_arrays(network, arrays)
        return Trained(network.eval(), config, int(meta["updates"]), float(meta["accuracy"]))
    except (RunError, RuntimeError, ValueError, KeyError, TypeError) as error:
        figure = name.split("/")[0].removeprefix("fig")
        reason = " ".join(str(error).split())[:120].rstrip(".;: ")
        raise RunError(
            f"{_file(name)} cannot be used ({type(error).__name__}: {reason}); remove it and make "
            f"it again with `make figures FIG={figure}`."
        ) from error


def _file(name: str) -> Path:
    return SAVED / f"{name}.safetensors"


def save_figure(figure: Figure, name: str) -> None:
    """As `figures/NAME.svg` and `.png`."""
    with plotting.style():
        figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})
        figure.savefig(HERE / f"{name}.png", dpi=160)


def save_numbers(figure: str, rows: Iterable[tuple]) -> None:
    """Write `figures/numbers/FIGURE.csv`: quantity, network, seed, value and, if given, weights."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    lines = [(*row[:3], f"{row[3]:.5g}", *row[4:]) for row in rows]
    columns = ("quantity", "network", "seed", "value", "weights")
    writer.writerow(columns[: max(map(len, lines), default=4)])
    writer.writerows(lines)
    NUMBERS.mkdir(exist_ok=True)
    write_whole(NUMBERS / f"{figure}.csv", text.getvalue().encode())


def names(
    figure: str, kinds: Sequence[str], seeds: Iterable[int] = SEEDS
) -> list[tuple[str, int, str]]:
    """(network, seed, NAME) of all that a figure trains."""
    return [(k, s, f"{figure}/{k.replace(' ', '-')}-seed{s}") for k in kinds for s in seeds]
