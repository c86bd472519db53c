"""Deep Q-learning on replayed trials: collects trials, stores them and learns from replaying them.

The loop itself is `DQNTrainer.advance`; `Trainer.fit` calls it once for every row of metrics.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optree
import torch
from tqdm import tqdm

from mpn_lab.loading import check_generator
from mpn_lab.tasks.rollout import make_envs, n_envs_for, rollout, seed_envs
from mpn_lab.training.config import TrainConfig
from mpn_lab.training.device import resolve_device, training_defaults
from mpn_lab.training.evaluate import summarise
from mpn_lab.training.experience import Experience
from mpn_lab.training.files import Row
from mpn_lab.training.horizon import resolve_defaults
from mpn_lab.training.learner import DQNLearner
from mpn_lab.training.run import Run
from mpn_lab.training.stored_trials import save_stored_trials
from mpn_lab.training.trainer import OnRow, Out, Trainer, check_callback, check_config

_TRAIN, _VALIDATE, _EXPLORE, _REPLAY = range(4)  # independent streams of one seed


@training_defaults()
def train(
    config: TrainConfig,
    out: Out = None,
    *,
    device: str | torch.device = "cpu",
    threads: int = 1,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Train a network by deep Q-learning, saving the run in a new folder or in memory.

    The metrics have one row per `eval_freq` trials:

    - `trials`, `env_steps`, `updates`: numbers so far;
    - `epsilon`, `learning_rate`: current values;
    - `loss`: mean over the updates since the last row; nan if there were none;
    - `train_return`: mean return of the trials collected with exploration since the last row;
    - `accuracy`, `mean_return`: on `eval_trials` greedy trials, the same ones for every row;
    - `ideal_accuracy`: the ideal observer's accuracy on those trials; nan if the task has none;
    - the metrics of the core: for an MPN `eta` and `lam`, means over its synapses.

    Args:
        config: the configuration.
        out: the folder of the run, new or empty; None: runs/TASK-seedN; False: no folder, the run
            is only in memory.
        device: device of the network: "cpu", "auto" (a GPU if there is one), or another device name
            of torch.
        threads: number of torch threads; more than one rarely helps networks of this size.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics; if it has a method `with_network`, that is
            called with the row and the network instead.

    Raises:
        ValueError: the task cannot be trained, the core is not registered, or the device is not
            available.
        RunError: the folder is in use or cannot be written, or the loss is not finite (the last
            good checkpoint remains).
        KeyboardInterrupt: the training was interrupted; the message says how to resume it.

    Example:
        >>> run = train(TrainConfig(task="DelayMatchSample-v0"), "runs/match")  # doctest: +SKIP
        >>> run.evaluate().ratio  # doctest: +SKIP
    """
    config = check_config(config, TrainConfig, "train", "train_supervised")
    check_callback(on_row)
    trainer = DQNTrainer(config, resolve_device(device), threads)
    if out is False and config.store_trials:
        raise ValueError(
            f"store_trials is {config.store_trials}, but out=False leaves no folder to store them "
            "in; pass a folder as out, or set store_trials=0."
        )
    return trainer.train(out, f"runs/{config.task}-seed{config.seed}", progress, on_row)


class DQNTrainer(Trainer):
    """Trains one configuration by deep Q-learning.

    Args:
        config: the configuration.
        device: device of the network.
        threads: number of torch threads.
    """

    config: TrainConfig
    learner: DQNLearner

    def __init__(
        self, config: TrainConfig, device: torch.device | str = "cpu", threads: int = 1
    ) -> None:
        super().__init__(torch.device(device), threads)
        self.config = config = resolve_defaults(config)
        seed, kwargs = config.seed, config.task_kwargs
        n = min(config.train_freq, config.eval_freq) // config.trials_per_episode
        self.envs = make_envs(config.task, kwargs, n, (seed, _TRAIN))
        self.carry = config.reset_state, config.trials_per_episode
        n = n_envs_for(config.eval_trials, 100, *self.carry)
        self.validation = make_envs(config.task, kwargs, n, (seed, _VALIDATE))
        self.obs_size, self.n_actions = len(self.envs[0].channels), len(self.envs[0].actions)
        self.learner = DQNLearner(config, self.obs_size, self.n_actions, device)
        self._check_initial_state()
        self.experience = Experience(
            config, self.learner.network, self.n_actions, seed=(seed, _REPLAY)
        )
        self.rng = np.random.default_rng((seed, _EXPLORE))

    def advance(self, bar: tqdm, run: Run) -> Row:
        """Collect and learn up to the next multiple of `eval_freq` trials, then evaluate."""
        config, learner = self.config, self.learner
        end = min(config.trials, (self.trials // config.eval_freq + 1) * config.eval_freq)
        # Reseeded after every checkpoint, so that a checkpoint need not store any task state.
        seed_envs(self.envs, (config.seed, _TRAIN, self.trials))
        losses: list[float] = []
        returns: list[float] = []
        while self.trials < end:
            envs = self.envs[: (end - self.trials) // config.trials_per_episode]
            trials = self.experience.collect(envs, learner.network, self.epsilon(), self.rng)
            if config.store_trials and self.rows and self.trials == self.rows[-1]["trials"]:
                stored = trials[: config.store_trials]
                save_stored_trials(run, self.trials, stored, learner.network)
            self.trials += len(trials)
            self.env_steps += sum(len(trial) for trial in trials)
            returns += [float(trial.reward.sum()) for trial in trials]
            if self.trials >= config.learning_starts and self.experience.ready:
                for _ in range(config.gradient_steps):
                    batch = self.experience.sample(self.device)
                    losses.append(learner.update(batch, self.learning_rate()))
            self.progressed(bar, len(trials))
        return self.evaluate(losses, returns)

    def evaluate(self, losses: list[float], returns: list[float]) -> Row:
        """Return a row of metrics, with the accuracy on the validation trials."""
        config, network = self.config, self.learner.network
        seed_envs(self.validation, (config.seed, _VALIDATE))
        greedy = rollout(self.validation, network, config.eval_trials, *self.carry)
        result = summarise(self.validation[0], greedy)
        return {
            "trials": self.trials,
            "env_steps": self.env_steps,
            "updates": self.learner.updates,
            "epsilon": self.epsilon(),
            "learning_rate": self.learning_rate(),
            "loss": float(np.mean(losses)) if losses else math.nan,
            "train_return": float(np.mean(returns)),
            "accuracy": result.accuracy,
            "ideal_accuracy": math.nan if result.ideal_accuracy is None else result.ideal_accuracy,
            "mean_return": result.mean_return,
            **network.metrics(),
        }

    def epsilon(self) -> float:
        """Return the current probability of a random action, which decays linearly."""
        c = self.config
        done = min(1.0, self.trials / max(1.0, c.exploration_fraction * c.trials))
        change = c.exploration_final_eps - c.exploration_initial_eps
        return c.exploration_initial_eps + done * change

    def learning_rate(self) -> float:
        """Return Adam's current learning rate, annealed along a half cosine to a tenth."""
        done = self.trials / self.config.trials
        return self.learner.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As in `Trainer`."""
        arrays, buffer = self.experience.state()
        arrays = {f"buffer.{name}": array for name, array in arrays.items()}
        meta = {"trials": self.trials, "env_steps": self.env_steps, "buffer": buffer}
        meta |= {"updates": self.learner.updates, "rng": self.rng.bit_generator.state}
        return arrays | self.learner.state(), meta

    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """As in `Trainer`."""
        self.check_progress(meta)
        config, trials, updates = self.config, meta["trials"], meta["updates"]
        rounds, rest = divmod(updates, config.gradient_steps)
        if rest or rounds > trials // config.trials_per_episode:
            raise ValueError(f"updates is {updates}, which {trials} trials cannot have made")
        of_buffer = {name: array for name, array in arrays.items() if name.startswith("buffer.")}
        of_learner = {name: array for name, array in arrays.items() if name not in of_buffer}
        stored = {name.removeprefix("buffer."): array for name, array in of_buffer.items()}
        self.learner.check_state(of_learner, updates)
        buffer: Any = meta.get("buffer")
        self.experience.check_state(stored, buffer)
        if buffer["pushed"] * config.trials_per_episode != trials:
            raise ValueError(f"the buffer was filled {buffer['pushed']} times in {trials} trials")
        rng = check_generator(meta.get("rng"))

        self.learner.load_state(of_learner, updates)
        self.experience.load_state(stored, buffer)
        self.rng.bit_generator.state = rng
        self.trials, self.env_steps = trials, meta["env_steps"]

    def columns(self) -> list[str]:
        """As in `Trainer`."""
        names = ["trials", "env_steps", "updates", "epsilon", "learning_rate", "loss"]
        names += ["train_return", "accuracy", "ideal_accuracy", "mean_return"]
        return names + list(self.learner.network.metrics())

    def _check_initial_state(self) -> None:
        """Raise ValueError if replay would start from a zero state but the core does not."""
        config = self.config
        if config.replay == "trial" and config.reset_state != "never":
            return
        leaves = optree.tree_leaves(self.learner.network.initial_state(1))
        if any(leaf.requires_grad or bool(leaf.any()) for leaf in leaves):
            raise ValueError(
                f"the core {config.core!r} starts from a trained or non-zero state, which replay="
                f"{config.replay!r} with reset_state={config.reset_state!r} does not train; "
                "choose replay='trial' and a reset_state other than 'never'."
            )
