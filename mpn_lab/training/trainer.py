"""What every training does row by row: advance, keep a checkpoint, report, and go on from one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.training.files import RunError, read_tensors
from mpn_lab.training.learner import Descent, NonFiniteLoss
from mpn_lab.training.run import AnyConfig, Run, load_run

Row = dict[str, int | float]
OnRow = Callable[[Row], None]


class Training(ABC):
    """A training that advances from one row of metrics, with its checkpoint, to the next."""

    config: AnyConfig
    learner: Descent
    trials: int
    rows: list[Row]

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.trials >= self.config.trials

    @abstractmethod
    def until_next_row(self, bar: tqdm, run: Run) -> Row:
        """Learn up to the next multiple of `eval_every` trials."""

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays, and what fits into JSON: all that `take` needs, but for the rows."""

    @abstractmethod
    def take(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Go back to what `state` returned. Raises KeyError, ValueError ... if it does not fit."""

    def go(self, run: Run, progress: bool, on_row: OnRow | None) -> Run:
        """Train to the end, from wherever this stands."""
        config = self.config
        with tqdm(
            total=config.trials, initial=self.trials, unit="trial", disable=not progress
        ) as bar:
            bar.set_description(config.task)
            while not self.finished:
                try:
                    row = self.until_next_row(bar, run)
                except NonFiniteLoss as error:
                    kept = f"trial {self.rows[-1]['trials']}" if self.rows else "none yet"
                    raise RunError(
                        f"Training stopped: {error}; the last good checkpoint is kept ({kept}). "
                        "Try a smaller learning_rate or grad_clip."
                    ) from error
                self.rows.append(row)
                run.save(self.learner.network, self.rows, *self.state())
                bar.set_postfix(_postfix(row))
                if on_row is not None:
                    on_row(row)
        return load_run(run.path)

    def restore(self, path: Path) -> None:
        """Go back to the last checkpoint of a run folder, if there is one. Raises RunError."""
        file = path / "resume.safetensors"
        if not file.exists():
            return
        arrays, meta = read_tensors(file)
        try:
            self.take(arrays, meta)
            self.rows = meta["rows"]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise RunError(
                f"{path}/resume.safetensors does not belong to the run that {path}/config.json "
                f"describes ({str(error).splitlines()[0]}); restore the file that does."
            ) from error


def plasticity(network: QNetwork) -> Row:
    """Means of the MPN's eta and lam over synapses and layers; nan for other cores."""
    layers = network.mpn_layers()
    return {
        "eta": float(np.mean([m.eta.mean().item() for m in layers])) if layers else math.nan,
        "lam": float(np.mean([m.lam.mean().item() for m in layers])) if layers else math.nan,
    }


def _postfix(row: Row) -> dict[str, str]:
    ideal = "" if math.isnan(row["ideal_accuracy"]) else f" of {row['ideal_accuracy']:.3f}"
    return {
        "accuracy": f"{row['accuracy']:.3f}{ideal}",
        "return": f"{row['mean_return']:.2f}",
        "loss": f"{row['loss']:.4f}",
        "epsilon": f"{row['epsilon']:.2f}",
    }
