"""What every training loop does: advance, write a checkpoint, report, and resume."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from mpn_lab.training.device import torch_threads
from mpn_lab.training.files import RunError, read_tensors
from mpn_lab.training.learner import Learner, NonFiniteLoss
from mpn_lab.training.run import AnyConfig, Row, Run

OnRow = Callable[[Row], None]
Out = str | Path | Literal[False] | None


class Trainer(ABC):
    """A training that advances from one row of metrics, with its checkpoint, to the next.

    Args:
        config: with a number for everything that `resolve_defaults` fills in.
        device: where the network computes.
        threads: of torch.
    """

    config: AnyConfig
    learner: Learner
    obs_size: int
    n_actions: int

    def __init__(self, device: torch.device, threads: int) -> None:
        self.device, self.threads = device, threads
        self.trials = self.env_steps = 0
        self.rows: list[Row] = []

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.trials >= self.config.trials

    @abstractmethod
    def advance(self, bar: tqdm, run: Run) -> Row:
        """Train up to the next multiple of `eval_freq` trials, and evaluate."""

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays, and what fits into JSON: all that `load_state` needs, but for the rows."""

    @abstractmethod
    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Go back to what `state` returned. Raises KeyError, ValueError ... if it does not fit."""

    def create_run(self, out: Out, default: str) -> Run:
        """Begin a run in the folder `out` (None: `default`), or in memory (False)."""
        path = None if out is False else Path(default if out is None else out)
        sizes = self.obs_size, self.n_actions
        return Run.create(path, self.config, *sizes, device=str(self.device), threads=self.threads)

    def fit(self, run: Run, progress: bool, on_row: OnRow | None) -> Run:
        """Train to the end, from wherever this stands."""
        total = self.config.trials
        bar = tqdm(total=total, initial=self.trials, unit="trial", disable=not progress)
        with bar, torch_threads(self.threads):
            bar.set_description(self.config.task)
            while not self.finished:
                try:
                    row = self.advance(bar, run)
                except NonFiniteLoss as error:
                    last = f"trial {self.rows[-1]['trials']}" if self.rows else "none yet"
                    raise RunError(
                        f"Training stopped: {error}; the last good checkpoint remains ({last}). "
                        "Try a smaller learning_rate or max_grad_norm."
                    ) from error
                self.rows.append(row)
                run.save(self.learner.network, self.rows, *self.state())
                bar.set_postfix(_postfix(row))
                if on_row is not None:
                    on_row(row)
        return run

    def restore(self, path: Path) -> None:
        """Go back to the last checkpoint of a run folder, if there is one. Raises RunError."""
        file = path / "resume.safetensors"
        if not file.exists():
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
