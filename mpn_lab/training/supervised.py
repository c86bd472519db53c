"""Supervised training: cross-entropy between the readout and the correct actions.

As in Aitken & Mihalas (eLife 2023;12:e83035), for the networks and tasks of the DQN loop: the
readout gives the logits of the actions, and the loss counts the steps of a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mpn_lab.checks import show
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.tasks.batches import TaskBatch
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.data import ExpertRollouts, make_data
from mpn_lab.training.device import resolve_device, training_defaults
from mpn_lab.training.files import Row
from mpn_lab.training.horizon import resolve_defaults
from mpn_lab.training.learner import Learner, load_arrays, network_arrays
from mpn_lab.training.loss import compute_cross_entropy, unroll
from mpn_lab.training.run import Run
from mpn_lab.training.trainer import OnRow, Out, Trainer, check_callback, check_config


@training_defaults()
def train_supervised(
    config: SupervisedConfig,
    out: Out = None,
    *,
    network: QNetwork | None = None,
    device: str | torch.device = "cpu",
    threads: int = 1,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Train a network on the correct actions of fresh trials, saving the run in a new folder.

    Every update uses new trials: the task samples them itself (the integration tasks), they are cut
    from streams (`stream_steps`), or an expert that takes the correct action at every step collects
    them. The run is used like a run of `train`, with `Run.evaluate`, `record` and `resume`; the
    network's action is the argmax of its readout. The network is trained only on the consequences
    of correct actions: if observations depend on earlier actions, as in ReversalBandit, they reveal
    the correct response, and the network need not perform as well on the consequences of its own
    actions. The metrics have one row per `eval_freq` trials:

    - `trials`, `env_steps`, `updates`: numbers so far;
    - `learning_rate`: Adam's learning rate;
    - `loss`: mean over the updates since the last row, in nats per step, without L1;
    - `step_accuracy`: share of the trained steps since then at which the argmax was correct;
    - `train_return`: the expert's mean trial return since then; nan without an expert;
    - `accuracy`, `mean_return`, `ideal_accuracy`: as in `train`. If no trials are collected,
      `accuracy` is the share of scored steps with the correct argmax and `ideal_accuracy` is nan;
    - `validation_loss`: cross-entropy on the validation batch; nan if trials are collected;
    - `response_accuracy`: with `stream_steps`, the accuracy at the steps that require a response;
      `mean_return` is then nan;
    - the metrics of the core: for an MPN `eta` and `lam`, means over its synapses.

    Args:
        config: the configuration.
        out: the folder of the run, new or empty; None: runs/TASK-supervised-seedN; False: no
            folder, the run is only in memory.
        network: a network whose weights, trained and fixed ones, are copied as the initial weights.
            None: they are drawn from the seed.
        device, threads: as in `train`.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics; if it has a method `with_network`, that is
            called with the row and the network instead.

    Raises:
        ValueError: the task cannot be trained, has no ground truth, or lacks the periods to be
            trained; or the sizes of `network` differ from the configuration's.
        RunError: as in `train`.

    Example:
        >>> config = SupervisedConfig(loss_periods=("decision",))  # doctest: +SKIP
        >>> run = train_supervised(config, "runs/supervised")  # doctest: +SKIP
    """
    config = check_config(config, SupervisedConfig, "train_supervised", "train")
    check_callback(on_row)
    trainer = SupervisedTrainer(config, resolve_device(device), threads)
    if network is not None:
        trainer.begin_with(network)
    begin = "seed" if network is None else "network"
    default = f"runs/{config.task}-supervised-seed{config.seed}"
    return trainer.train(out, default, progress, on_row, begin)


class SupervisedTrainer(Trainer):
    """Trains one configuration by supervised learning.

    Args:
        config: the configuration.
        device: device of the network.
        threads: number of torch threads.
    """

    config: SupervisedConfig

    def __init__(
        self, config: SupervisedConfig, device: torch.device | str = "cpu", threads: int = 1
    ) -> None:
        super().__init__(torch.device(device), threads)
        self.config = config = resolve_defaults(config)
        self.data = make_data(config)
        rising = config.stop is not None and config.stop.stop_on_rising_loss
        if rising and isinstance(self.data, ExpertRollouts):
            raise ValueError(
                f"stop_on_rising_loss needs a validation loss, which {config.task} does not have, "
                "since an expert collects its trials; use accuracy or patience."
            )
        self.obs_size, self.n_actions = self.data.obs_size, self.data.n_actions
        self.learner = Learner(config, self.obs_size, self.n_actions, device)
        plastic = ("eta", "lam", "M0")
        self.penalised = [  # by L1
            p
            for name, p in self.learner.network.named_parameters()
            if p.requires_grad and name.split(".")[-1] not in plastic
        ]

    def begin_with(self, network: QNetwork) -> None:
        """Copy the weights of a network. Raises ValueError if they do not fit."""
        if not isinstance(network, QNetwork):
            raise ValueError(f"network is {show(network)}; expected a QNetwork to begin with.")
        try:
            load_arrays(self.learner.network, network_arrays(network))
        except ValueError as error:
            raise ValueError(
                "the network to begin with has other weights than the configuration's; expected "
                f"the same core and sizes ({error})."
            ) from error

    @property
    def finished(self) -> bool:
        """Whether all trials are used up, or one of the rules of `StopConfig` applies."""
        if self.trials >= self.config.trials:
            return True
        stop, n = self.config.stop, len(self.rows)
        if stop is None or n < stop.window or self.rows[-1]["updates"] < stop.min_updates:
            return False
        accuracy = [row["accuracy"] for row in self.rows]
        judged = not np.isnan(accuracy).all()  # else the return is the measure
        measure = accuracy if judged else [row["mean_return"] for row in self.rows]
        rolling = _rolling(measure, stop.window)
        best = int(rolling.argmax())  # the earliest of equal ones: a tie is no rise
        plateaued = stop.patience is not None and len(rolling) - 1 - best >= stop.patience
        if stop.stop_on_rising_loss and n >= 2 * stop.window:
            loss = _rolling([row["validation_loss"] for row in self.rows], stop.window)
            plateaued = plateaued or bool(loss[-1] > loss[-1 - stop.window])
        return (judged and bool(rolling[-1] >= stop.accuracy)) or plateaued

    def advance(self, bar: tqdm, run: Run) -> Row:
        """Learn up to the next multiple of `eval_freq` trials, then validate."""
        config = self.config
        end = min(config.trials, (self.trials // config.eval_freq + 1) * config.eval_freq)
        self.data.seed(self.trials)
        losses: list[float] = []
        returns: list[float] = []
        correct = trained = 0
        while self.trials < end:
            batch = self.data.next()
            loss, correct_now = self.update(batch)
            losses.append(loss)
            correct, trained = correct + correct_now, trained + int(batch.mask.sum())
            trials = len(batch.obs) * config.trials_per_episode
            self.trials += trials
            self.env_steps += int(np.sum(batch.conditions.get("length", batch.mask.size)))
            returns += batch.conditions.get("trial_return", np.zeros(0)).tolist()
            self.progressed(bar, trials)
        return {
            "trials": self.trials,
            "env_steps": self.env_steps,
            "updates": self.learner.updates,
            "learning_rate": self.learner.learning_rate,
            "loss": float(np.mean(losses)),
            "step_accuracy": correct / max(1, trained),
            "train_return": float(np.mean(returns)) if returns else float("nan"),
            **self.data.validate(self.learner.network),
            **self.learner.network.metrics(),
        }

    def update(self, batch: TaskBatch) -> tuple[float, int]:
        """Take one step of Adam. Returns the cross-entropy and the number of correct trained steps.

        Raises:
            NonFiniteLoss: the loss is nan or infinite.
        """
        config = self.config
        obs, truth, mask = (torch.from_numpy(a).to(self.device) for a in batch[:3])
        logits = unroll(self.learner.network, obs, None, config.backprop, config.chunk)  # (B, T, A)
        entropy = compute_cross_entropy(logits, truth, mask)
        loss = entropy
        if config.l1:
            loss = loss + config.l1 * torch.stack([p.abs().sum() for p in self.penalised]).sum()
        self.learner.step(loss, config.learning_rate)
        correct = (logits.detach().argmax(2) == truth) & mask
        return float(entropy.detach()), int(correct.sum())

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As in `Trainer`."""
        meta = {"trials": self.trials, "env_steps": self.env_steps}
        return self.learner.state(), meta | {"updates": self.learner.updates}

    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """As in `Trainer`."""
        self.check_progress(meta)
        in_update = self.config.batch_size * self.config.trials_per_episode
        if meta["updates"] * in_update != meta["trials"]:
            raise ValueError(
                f"updates is {meta['updates']}, which {meta['trials']} trials cannot have made"
            )
        self.learner.load_state(arrays, meta["updates"])
        self.trials, self.env_steps = meta["trials"], meta["env_steps"]

    def columns(self) -> list[str]:
        """As in `Trainer`."""
        names = ["trials", "env_steps", "updates", "learning_rate", "loss", "step_accuracy"]
        names += ["train_return", *self.data.measures]
        return names + list(self.learner.network.metrics())


def _rolling(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of every `window` consecutive values; those that are nan are left out of it."""
    known = ~np.isnan(values)
    windows = np.lib.stride_tricks.sliding_window_view
    sums = windows(np.where(known, values, 0), window).sum(1)
    count = windows(known, window).sum(1)
    return np.where(count > 0, sums / np.maximum(count, 1), -np.inf)
