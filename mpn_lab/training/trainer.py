"""The part that all training loops share: advance, write a checkpoint, report, resume."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from mpn_lab.checks import show
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.device import check_threads, torch_threads
from mpn_lab.training.files import RunError, read_tensors
from mpn_lab.training.learner import Learner, NonFiniteLoss
from mpn_lab.training.run import AnyConfig, Row, Run

OnRow = Callable[[Row], None]
Out = str | Path | Literal[False] | None


def check_config(config: Any, expected: type[AnyConfig], own: str, other: str) -> None:
    """Raise ValueError unless a configuration is of the kind that a training function takes."""
    if isinstance(config, expected):
        return
    name = expected.__name__
    if isinstance(config, TrainConfig | SupervisedConfig):
        raise ValueError(
            f"config is a {type(config).__name__}; {own} takes a {name}: pass it to {other}, or "
            f"make a {name}."
        )
    what = "..." if not isinstance(config, str) else repr(config)
    raise ValueError(f"config is {show(config)}; expected a {name}, such as {name}(task={what}).")


def check_callback(on_row: Any) -> None:
    """Raise ValueError unless `on_row` is None or can be called with a row of the metrics."""
    if on_row is not None and not callable(on_row):
        raise ValueError(f"on_row is {show(on_row)}; expected a function of one row, or None.")


class Trainer(ABC):
    """Trains from one row of metrics, with its checkpoint, to the next.

    A training loop is a subclass: `DQNTrainer` or `SupervisedTrainer`. It defines `advance`,
    `state` and `load_state`; `load_state` must restore everything that affects later results.

    Args:
        device: device of the network.
        threads: number of torch threads.
    """

    config: AnyConfig  # as `resolve_defaults` returns it
    learner: Learner
    obs_size: int
    n_actions: int

    def __init__(self, device: torch.device, threads: int) -> None:
        self.device, self.threads = device, check_threads(threads)
        self.trials = self.env_steps = 0
        self.rows: list[Row] = []

    @property
    def finished(self) -> bool:
        """Whether the training is over."""
        return self.trials >= self.config.trials

    @abstractmethod
    def advance(self, bar: tqdm, run: Run) -> Row:
        """Train up to the next multiple of `eval_freq` trials, and evaluate."""

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that `load_state` needs, except the rows: arrays, and what fits into JSON."""

    @abstractmethod
    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Restore what `state` returned. Raises KeyError, ValueError ... if it does not fit."""

    def create_run(self, out: Out, default: str, initial_weights: str = "seed") -> Run:
        """Create a run in the folder `out` (None: `default`), or in memory (False).

        `initial_weights` is the source of the initial weights: the "seed", or a given "network",
        whose weights must be saved immediately.
        """
        if out is not None and out is not False and not isinstance(out, str | Path):
            raise ValueError(
                f"out is {show(out)}; expected a folder, None for {default}, or False for none."
            )
        run = Run.create(
            None if out is False else Path(default if out is None else out).expanduser(),
            self.config,
            self.obs_size,
            self.n_actions,
            device=str(self.device),
            threads=self.threads,
            initial_weights=initial_weights,
        )
        if initial_weights == "network":
            run.save(self.learner.network, [], *self.state())
        return run

    def fit(self, run: Run, progress: bool, on_row: OnRow | None) -> Run:
        """Train to the end, and save a checkpoint and a row of metrics after every `advance`."""
        total = self.config.trials
        bar = tqdm(total=total, initial=self.trials, unit="trial", disable=not progress)
        with bar, torch_threads(self.threads):
            bar.set_description(self.config.task)
            while not self.finished:
                try:
                    row = self.advance(bar, run)
                except NonFiniteLoss as error:
                    last = f"trial {self.rows[-1]['trials']}" if self.rows else "none yet"
                    remains = f"; the last good checkpoint remains ({last})" if run.path else ""
                    raise RunError(
                        f"Training stopped: {error}{remains}. Try a smaller learning_rate or "
                        "max_grad_norm."
                    ) from error
                self.rows.append(row)
                run.save(self.learner.network, self.rows, *self.state())
                bar.set_postfix(_postfix(row))
                if on_row is not None:
                    on_row(row)
        return run

    def restore(self, run: Run) -> None:
        """Load the last checkpoint of a run folder, if there is one. Raises RunError."""
        path = run.folder
        file = path / "resume.safetensors"
        if not file.exists():
            if run.content.get("initial_weights") == "network":
                raise RunError(
                    f"{path} was to begin with the weights of a network and was interrupted before "
                    "they were saved; train again, into another folder."
                )
            return
        arrays, meta = read_tensors(file)
        try:
            self.load_state(arrays, meta)
            self.rows = meta["rows"]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise RunError(
                f"{path}/resume.safetensors does not belong to the run that {path}/config.json "
                f"describes ({str(error).splitlines()[0]}); restore the file that does."
            ) from error


def _postfix(row: Row) -> dict[str, str]:
    ideal = "" if math.isnan(row["ideal_accuracy"]) else f" of {row['ideal_accuracy']:.3f}"
    epsilon = {"epsilon": f"{row['epsilon']:.2f}"} if "epsilon" in row else {}
    return {
        "accuracy": f"{row['accuracy']:.3f}{ideal}",
        "return": f"{row['mean_return']:.2f}",
        "loss": f"{row['loss']:.4f}",
        **epsilon,
    }
