"""The paper's networks: loaded from `figures/weights`, or trained where a file is missing.

A trained network is stored as `figures/weights/NAME.safetensors` (weights, configuration, how its
training ended). A missing one is trained in `runs/paper/NAME`, where it can be interrupted and
resumed. NAME is `FIGURE/NETWORK...-seedN`: `make figures FIG=3 FRESH=1` trains figure 3's networks
anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

import figures.causal.tasks  # noqa: F401  # registers them in every process that trains
from mpn_lab import (
    QNetwork,
    Run,
    RunError,
    SupervisedConfig,
    TrainConfig,
    load_run,
    resume,
    train,
    train_supervised,
)
from mpn_lab.training.config import paper_config
from mpn_lab.training.files import read_tensors, write_tensors
from mpn_lab.training.horizon import resolve_defaults
from mpn_lab.training.learner import load_arrays, make_network, network_arrays

WEIGHTS = Path(__file__).parent / "weights"
RUNS = Path("runs/paper")

NETWORKS: dict[str, dict[str, Any]] = {
    "MPN": {},
    "MPNpre": {"core_options": {"update": "presynaptic"}},
    "MPNpost": {"core_options": {"update": "postsynaptic"}},
    "additive": {"core_options": {"modulation": "additive"}},
    "ReLU": {"core_options": {"activation": "relu"}},
    "bound 1": {"core_options": {"bound": 1.0}},
    "bound 0.1": {"core_options": {"bound": 0.1}},
    "RNN": {"core": "rnn"},
    "GRU": {"core": "gru"},
}
"""The paper's networks, as changes of `paper_config`."""

SEEDS = range(10)

Config = SupervisedConfig | TrainConfig


class Trained(NamedTuple):
    """A network of the paper and how its training ended."""

    network: QNetwork
    config: Config
    updates: int
    accuracy: float  # in validation, mean of the last rows of metrics

    @property
    def task(self) -> tuple[str, dict[str, Any]]:
        """Its task, as `record` takes it."""
        return self.config.task, self.config.task_kwargs

    @property
    def eta(self) -> float:
        """The learned eta of an MPN."""
        return float(self.network.mpn_layers()[0].eta.detach())


def config_of(
    kind: str, seed: int, task: str = "mpn_lab/Integration-v0", **changes: Any
) -> SupervisedConfig:
    """The paper's configuration of one of `NETWORKS`; each seed has input vectors of its own."""
    if kind not in NETWORKS:
        raise ValueError(f"There is no network {kind!r}; expected one of {', '.join(NETWORKS)}.")
    own = NETWORKS[kind]
    merged = {
        "core_options": own.get("core_options", {}) | changes.get("core_options", {}),
        "task_kwargs": {"vectors_seed": seed} | changes.get("task_kwargs", {}),
    }
    return paper_config(task, seed=seed, **(own | changes | merged))


def network_names(
    figure: str, kinds: Sequence[str], seeds: Iterable[int] = SEEDS
) -> list[tuple[str, int, str]]:
    """(network, seed, NAME) of all that a figure trains."""
    return [(k, s, f"{figure}/{k.replace(' ', '-')}-seed{s}") for k in kinds for s in seeds]


def load_or_train(
    configs: Mapping[str, Config],
    *,
    old: Mapping[str, Sequence[int]] | None = None,
    fresh: bool = False,
    processes: int = 2,
) -> dict[str, Trained]:
    """The networks of `configs`, by name: stored ones are loaded, missing ones trained now.

    Args:
        configs: NAME -> what to train.
        old: NAME -> numbers of trials after which the weights are stored too, as NAME-atTRIALS.
        fresh: train all of them anew.
        processes: how many at once.

    Raises:
        RunError: a stored network is damaged or another one; the sentence says what to do.
    """
    if fresh:
        for name in configs:
            _file(name).unlink(missing_ok=True)
            shutil.rmtree(RUNS / name, ignore_errors=True)
    missing = [name for name in configs if not _file(name).exists()]
    jobs = (delayed(_train)(name, configs[name], (old or {}).get(name, ())) for name in missing)
    done = Parallel(n_jobs=processes, return_as="generator_unordered")(jobs)
    for _ in tqdm(done, total=len(missing), unit="network", disable=not missing):
        pass
    return {name: _load(name, config) for name, config in configs.items()}


def train_or_resume(path: Path, config: Config) -> Run:
    """Train a run, or go on with it. Raises RunError where it has another configuration."""
    if not (path / "config.json").exists():
        if isinstance(config, TrainConfig):
            return train(config, path, progress=False)
        return train_supervised(config, path, progress=False)
    if load_run(path).config != resolve_defaults(config):
        raise RunError(f"{path} was begun with another configuration; remove it and run again.")
    return resume(path, progress=False)


def train_in_memory(
    config: SupervisedConfig, network: QNetwork | None = None
) -> tuple[QNetwork, int]:
    """Train a network to the end without a folder. Returns it and its number of updates.

    Args:
        config: what to train.
        network: whose weights it begins with; None: start values drawn from the seed.
    """
    run = train_supervised(config, out=False, network=network, progress=False)
    return run.network, int(run.rows[-1]["updates"])


def _train(name: str, config: Config, old: Sequence[int] = ()) -> None:
    torch.set_num_threads(1)
    path = RUNS / name
    run = train_or_resume(path, config)
    for trials in old:
        _write(f"{name}-at{trials}", config, run, trials)
    _write(name, config, run, run.checkpoints[-1])
    shutil.rmtree(path)


def _write(name: str, config: Config, run: Run, trials: int) -> None:
    """Store the weights after so many trials, and the accuracy of the last rows up to there."""
    stop = getattr(config, "stop", None)
    rows = run.metrics[run.metrics["trials"] <= trials].iloc[-(stop.window if stop else 1) :]
    meta = {
        "config": config.model_dump(mode="json"),
        "obs_size": run.obs_size,
        "n_actions": run.n_actions,
        "updates": int(rows["updates"].iloc[-1]),
        "accuracy": float(rows["accuracy"].mean()),
    }
    _file(name).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(_file(name), network_arrays(run.network_at(trials)), meta)


def _load(name: str, config: Config) -> Trained:
    try:
        arrays, meta = read_tensors(_file(name))
        if type(config).model_validate(meta["config"]) != config:
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
    return WEIGHTS / f"{name}.safetensors"
