"""Supervised training: the readout as logits of the right action, at the steps that count.

The way of Aitken & Mihalas, eLife 2023;12:e83035, on the networks and tasks of the DQN loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.files import RunError, read_tensors
from mpn_lab.training.learner import Descent, load_arrays
from mpn_lab.training.loss import masked_cross_entropy, unroll
from mpn_lab.training.horizon import with_reach
from mpn_lab.training.trainer import OnRow, Row, Training, plasticity
from mpn_lab.training.run import Run
from mpn_lab.training.data import SequenceBatch, Taught, make_source


def train_supervised(
    config: SupervisedConfig,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Train a network on the right actions of fresh trials, into a new run folder.

    Every update sees new trials: drawn by the task itself (the integration tasks), cut from
    streams (`stream_steps`), or else lived by a teacher that takes the right action at every step.
    The run is like that of `train`: `Run.evaluate`, `record`, `resume` take it; the network's
    action is the argmax of its readout. Only the right actions are ever seen: where observations
    depend on earlier actions, as in ReversalBandit, they give the answer away, and what was learned
    from them need not hold for the network's own. The metrics have one row per `eval_every` trials:

    - `trials`, `env_steps`, `updates`: so far; `learning_rate`; `epsilon`: 0;
    - `loss`: mean of the updates since the last row, in nats a step, without L1;
    - `step_accuracy`: share of the trained steps since then at which the argmax was right;
    - `train_return`: the teacher's mean sum of rewards since then; nan where the task draws its
      batches itself;
    - `accuracy`, `mean_return`, `ideal_accuracy`, `eta`, `lam`: as of `train`. Where nobody lives
      the trials, accuracy is the share of scored steps with the right argmax and `ideal_accuracy`
      nan, and `validation_loss` is the cross-entropy; with `stream_steps` `mean_return` is nan too,
      and `response_accuracy` is the accuracy at the steps that ask for a response.

    Args:
        config: what to train.
        out: the folder of the run, new or empty; None: runs/TASK-supervised-seedN.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics.

    Raises:
        ValueError: a task that cannot be trained, that tells no right actions, or that does not
            have the periods to be trained.
        RunError: as of `train`, or a `start_from` that does not fit.

    Example:
        >>> config = SupervisedConfig(loss_periods=("decision",))  # doctest: +SKIP
        >>> run = train_supervised(config, "runs/supervised")  # doctest: +SKIP
    """
    loop = Supervision(config)
    loop.start()
    name = f"{config.task}-supervised-seed{config.seed}"
    out = Path("runs") / name if out is None else Path(out)
    run = Run.create(out, loop.config, loop.source.obs_size, loop.source.n_actions)
    return loop.go(run, progress, on_row)


class Supervision(Training):
    """The state of a supervised training and the steps that advance it."""

    config: SupervisedConfig

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config = with_reach(config)
        self.source = make_source(config)
        if config.stop is not None and config.stop.falling and isinstance(self.source, Taught):
            raise ValueError(
                f"stop.falling asks for a validation loss, which {config.task} has none of: a "
                "teacher lives its trials; use accuracy or patience."
            )
        sizes = self.source.obs_size, self.source.n_actions
        self.learner = Descent(config, *sizes, trained=config.trained)
        plastic = ("eta", "lam", "M0")
        self.shrunk = [  # by L1
            p
            for name, p in self.learner.network.named_parameters()
            if p.requires_grad and name.split(".")[-1] not in plastic
        ]
        self.trials = self.env_steps = 0
        self.rows: list[Row] = []

    def start(self) -> None:
        """Take the weights of `start_from`. Raises RunError: they are another network's."""
        path = self.config.start_from
        if path is None:
            return
        if Path(path).is_dir():
            raise RunError(f"{path}, which start_from names, is a folder; name a checkpoint in it.")
        try:
            load_arrays(self.learner.network, read_tensors(Path(path))[0])
        except RuntimeError as error:
            raise RunError(
                f"{path}, which start_from names, holds the weights of another network; expected "
                "one with the same core and sizes."
            ) from error

    def restore(self, path: Path) -> None:
        """As of `Training`; a run without a checkpoint begins anew."""
        if not (path / "resume.safetensors").exists():
            self.start()
        super().restore(path)

    @property
    def finished(self) -> bool:
        """All trials are over, or one of the rules of `StopConfig` says so."""
        if self.trials >= self.config.trials:
            return True
        stop, n = self.config.stop, len(self.rows)
        if stop is None or n < stop.over or self.rows[-1]["updates"] < stop.min_updates:
            return False
        rolling = _rolling([row["accuracy"] for row in self.rows], stop.over)
        best = int(rolling.argmax())  # the first of them: as good as it is no rise
        tired = stop.patience is not None and len(rolling) - 1 - best >= stop.patience
        if stop.falling and n >= 2 * stop.over:
            loss = _rolling([row["validation_loss"] for row in self.rows], stop.over)
            tired = tired or bool(loss[-1] > loss[-1 - stop.over])
        return bool(rolling[-1] >= stop.accuracy) or tired

    def until_next_row(self, bar: tqdm, run: Run) -> Row:
        """Learn up to the next multiple of `eval_every` trials."""
        config = self.config
        end = min(config.trials, (self.trials // config.eval_every + 1) * config.eval_every)
        self.source.seed(self.trials)
        losses: list[float] = []
        returns: list[float] = []
        right = trained = 0
        while self.trials < end:
            lesson = self.source.next()
            loss, correct = self.update(lesson.batch)
            losses.append(loss)
            right, trained = right + correct, trained + int(lesson.batch.mask.sum())
            self.trials += lesson.trials
            self.env_steps += lesson.env_steps
            returns += lesson.returns
            bar.update(lesson.trials)
        return self.row(losses, returns, right / max(1, trained))

    def update(self, batch: SequenceBatch) -> tuple[float, int]:
        """One step of Adam. Returns the cross-entropy and at how many trained steps it was right.

        Raises:
            NonFiniteLoss: the loss is nan or infinite.
        """
        config = self.config
        logits = unroll(self.learner.network, batch.obs, None, config.backprop, config.chunk)
        entropy = masked_cross_entropy(logits, batch.truth, batch.mask)
        loss = entropy
        if config.l1:
            loss = loss + config.l1 * torch.stack([p.abs().sum() for p in self.shrunk]).sum()
        self.learner.descend(loss, config.learning_rate)
        right = (logits.detach().argmax(2) == batch.truth) & batch.mask
        return float(entropy.detach()), int(right.sum())

    def row(self, losses: list[float], returns: list[float], step_accuracy: float) -> Row:
        network = self.learner.network
        return {
            "trials": self.trials,
            "env_steps": self.env_steps,
            "updates": self.learner.updates,
            "epsilon": 0.0,
            "learning_rate": self.config.learning_rate,
            "loss": float(np.mean(losses)),
            "step_accuracy": step_accuracy,
            "train_return": float(np.mean(returns)) if returns else float("nan"),
            **self.source.validate(network),
            **plasticity(network),
        }

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        meta = {"trials": self.trials, "env_steps": self.env_steps}
        return self.learner.state(), meta | {"updates": self.learner.updates}

    def take(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        self.learner.restore(arrays, meta["updates"])
        self.trials, self.env_steps = meta["trials"], meta["env_steps"]


def _rolling(values: Sequence[float], over: int) -> np.ndarray:
    """Mean of every `over` values that follow one another."""
    return np.lib.stride_tricks.sliding_window_view(np.array(values), over).mean(1)
