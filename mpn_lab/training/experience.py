"""What has been lived, and how it is lived again: the replay that a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.replay.sequences import SequenceReplayBuffer
from mpn_lab.replay.trials import TrialBatch, TrialReplayBuffer
from mpn_lab.tasks.rollout import Trial, collect_episodes, collect_trials
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import TrainConfig


class Experience:
    """Lives trials, stores them and draws the batches of the updates.

    Args:
        config: `replay`, `sequence`, `reset_state`, `trials_per_episode` and `capacity` count here.
        network: whose states are kept.
        n_actions: of the task.
        seed: of the generator that draws the batches.
    """

    def __init__(
        self, config: TrainConfig, network: QNetwork, n_actions: int, seed: Sequence[int]
    ) -> None:
        self.config = config
        self.carried: list[Any] | None = None  # each environment's state, if it is never reset
        self.codec = StateCodec(network)
        self.buffer: TrialReplayBuffer
        if config.replay == "trial" and config.reset_state == "trial":
            self.buffer = TrialReplayBuffer(config.capacity, n_actions=n_actions, seed=seed)
            return
        windows: dict[str, Any] = {"window": None}
        if config.replay == "transition":
            windows = {"window": 1}
        elif config.replay == "sequence":
            windows = config.sequence.model_dump()
        self.buffer = SequenceReplayBuffer(
            max(1, config.capacity // config.trials_per_episode),
            self.codec,
            **windows,
            reset_trials=config.reset_state == "trial",
            trials_per_stretch=config.trials_per_episode,
            carried=config.reset_state == "never",
            n_actions=n_actions,
            seed=seed,
        )

    @property
    def is_enough(self) -> bool:
        """Whether a batch can be drawn."""
        whole = type(self.buffer) is TrialReplayBuffer
        return len(self.buffer) >= (self.config.batch_size if whole else 1)

    @property
    def bytes_per_trial(self) -> float:
        """Bytes that a stored trial takes, its states included."""
        trials = len(self.buffer) * self.config.trials_per_episode
        return self.buffer.nbytes / self.buffer.capacity * len(self.buffer) / max(1, trials)

    def live(
        self,
        envs: Sequence[TrialEnv],
        network: QNetwork,
        epsilon: float,
        rng: np.random.Generator,
    ) -> list[Trial]:
        """Live and store an episode of `trials_per_episode` trials in each environment."""
        config = self.config
        k = config.trials_per_episode
        if config.reset_state == "trial":
            lived = [collect_trials(envs, network, epsilon, rng) for _ in range(k)]
            episodes = [list(episode) for episode in zip(*lived, strict=True)]
        else:
            n = len(envs)
            states = None if self.carried is None else self.carried[:n]
            episodes, after = collect_episodes(envs, network, epsilon, rng, k, states)
            if config.reset_state == "never":
                self.carried = after + (self.carried or [])[n:]
        self._store(episodes, network)
        return [trial for episode in episodes for trial in episode]

    def sample(self) -> TrialBatch:
        """The batch of an update. Raises ValueError: a window longer than any trial."""
        return self.buffer.sample(self.config.batch_size)

    def _store(self, episodes: list[list[Trial]], network: QNetwork) -> None:
        if not isinstance(self.buffer, SequenceReplayBuffer):
            for (trial,) in episodes:
                self.buffer.push_trial(trial.obs, trial.action, trial.reward, trial.terminated)
            return
        kept: list[Any] = [None] * len(episodes)
        if self.buffer.keeps_states:
            kept = self._states(episodes, network)
        for episode, states in zip(episodes, kept, strict=True):
            first = None
            if self.config.reset_state == "never" and (state := episode[0].state) is not None:
                first = self.codec.flatten(state)[0].numpy()
            self.buffer.push_stretch(
                np.concatenate([trial.obs for trial in episode]),
                np.concatenate([trial.action for trial in episode]),
                np.concatenate([trial.reward for trial in episode]),
                np.concatenate([trial.terminated for trial in episode]),
                ends=np.cumsum([len(trial) for trial in episode]).tolist(),
                kept=states,
                first=first,
            )

    def _states(self, episodes: list[list[Trial]], network: QNetwork) -> list[np.ndarray]:
        """What is kept of the states of each episode's steps.

        Computed once more on the lived observations, with the parameters they were lived with.
        """
        parts = [
            encode_trials(self.codec, network, [episode[i] for episode in episodes])
            for i in range(len(episodes[0]))
        ]
        return [np.concatenate(steps) for steps in zip(*parts, strict=True)]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that `restore` needs to go on exactly from here."""
        arrays, meta = self.buffer.state()
        if self.carried is not None:
            flat = [self.codec.flatten(state) for state in self.carried]
            arrays = arrays | {"carried": torch.cat(flat).numpy()}
        return arrays, meta

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Go back to what `state` returned. Raises KeyError or ValueError where it does not fit."""
        self.buffer.restore(arrays, meta)
        if "carried" in arrays:
            shape = arrays["carried"].shape
            if shape[1:] != (self.codec.size,):
                raise ValueError(
                    f"carried has shape {shape}; expected rows of the {self.codec.size} numbers of "
                    "this network's state"
                )
            rows = torch.from_numpy(arrays["carried"].copy()).split(1)
            self.carried = [self.codec.unflatten(row) for row in rows]


def encode_trials(
    codec: StateCodec, network: QNetwork, trials: Sequence[Trial]
) -> list[np.ndarray]:
    """What `codec` keeps of every trial's steps, each [T, width]."""
    length = [len(trial) for trial in trials]
    obs: np.ndarray = np.zeros((len(trials), max(length), network.obs_size), np.float32)
    for row, trial in zip(obs, trials, strict=True):
        row[: len(trial)] = trial.obs
    state, states = None, [trial.state for trial in trials]
    if any(s is not None for s in states):  # None among others: the first trial of an episode
        first = codec.unflatten(codec.initial(network))
        state = network.join_states([first if s is None else s for s in states])
    kept = codec.encode(network, torch.from_numpy(obs), state).numpy()
    return [row[:T].copy() for row, T in zip(kept, length, strict=True)]
