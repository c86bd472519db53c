"""Collects trials and samples replay batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mpn_lab.loading import ArraySpec, check_arrays
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.replay.sequences import SequenceReplayBuffer
from mpn_lab.replay.trials import TrialBatch, TrialReplayBuffer
from mpn_lab.tasks.rollout import Trial, collect_episodes, collect_trials
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import TrainConfig

_FLOAT = np.dtype(np.float32)


class Experience:
    """Collects trials, stores them and samples the batches of the updates.

    Args:
        config: supplies `replay`, `sequence`, `reset_state`, `trials_per_episode`, `buffer_size`.
        network: the network whose states are stored.
        n_actions: number of actions of the task.
        seed: seed of the generator that samples the batches.
    """

    def __init__(
        self, config: TrainConfig, network: QNetwork, n_actions: int, seed: Sequence[int]
    ) -> None:
        self.config = config
        self.carried: list[Any] | None = None  # the state of each environment, if never reset
        self.codec, self.obs_size = StateCodec(network), network.obs_size
        self.buffer: TrialReplayBuffer
        if config.replay == "trial" and config.reset_state == "trial":
            self.buffer = TrialReplayBuffer(config.buffer_size, n_actions=n_actions, seed=seed)
            return
        windows: dict[str, Any] = {"window": None}
        if config.replay == "transition":
            windows = {"window": 1}
        elif config.replay == "sequence":
            windows = config.sequence.model_dump()
        self.buffer = SequenceReplayBuffer(
            max(1, config.buffer_size // config.trials_per_episode),
            self.codec,
            **windows,
            reset_trials=config.reset_state == "trial",
            trials_per_segment=config.trials_per_episode,
            carried=config.reset_state == "never",
            n_actions=n_actions,
            seed=seed,
        )

    @property
    def ready(self) -> bool:
        """Whether a batch can be sampled."""
        whole = type(self.buffer) is TrialReplayBuffer
        return len(self.buffer) >= (self.config.batch_size if whole else 1)

    @property
    def bytes_per_trial(self) -> float:
        """Mean size of a stored trial in bytes, including its states."""
        trials = len(self.buffer) * self.config.trials_per_episode
        return self.buffer.nbytes / self.buffer.buffer_size * len(self.buffer) / max(1, trials)

    def collect(
        self,
        envs: Sequence[TrialEnv],
        network: QNetwork,
        epsilon: float,
        rng: np.random.Generator,
    ) -> list[Trial]:
        """Collect and store an episode of `trials_per_episode` trials from each environment."""
        config = self.config
        k = config.trials_per_episode
        if config.reset_state == "trial":
            trials = [collect_trials(envs, network, epsilon, rng) for _ in range(k)]
            episodes = [list(episode) for episode in zip(*trials, strict=True)]
        else:
            n = len(envs)
            states = None if self.carried is None else self.carried[:n]
            episodes, after = collect_episodes(envs, network, epsilon, rng, k, states)
            if config.reset_state == "never":
                self.carried = after + (self.carried or [])[n:]
        self._store(episodes, network)
        return [trial for episode in episodes for trial in episode]

    def sample(self, device: torch.device | str = "cpu") -> TrialBatch:
        """Sample a batch for one update. Raises ValueError if no trial is as long as the window."""
        return self.buffer.sample(self.config.batch_size, device)

    def _store(self, episodes: list[list[Trial]], network: QNetwork) -> None:
        if not isinstance(self.buffer, SequenceReplayBuffer):
            for (trial,) in episodes:
                self.buffer.push_trial(trial.obs, trial.action, trial.reward, trial.terminated)
            return
        codes: list[Any] = [None] * len(episodes)
        if self.buffer.stores_states:
            codes = self._encode(episodes, network)
        for episode, code in zip(episodes, codes, strict=True):
            initial = None
            state = episode[0].initial_state
            if self.config.reset_state == "never" and state is not None:
                initial = self.codec.flatten(state)[0].cpu().numpy()
            self.buffer.push_segment(
                np.concatenate([trial.obs for trial in episode]),
                np.concatenate([trial.action for trial in episode]),
                np.concatenate([trial.reward for trial in episode]),
                np.concatenate([trial.terminated for trial in episode]),
                ends=np.cumsum([len(trial) for trial in episode]).tolist(),
                codes=code,
                initial_state=initial,
            )

    def _encode(self, episodes: list[list[Trial]], network: QNetwork) -> list[np.ndarray]:
        """Encode the states at the steps of each episode.

        The states are recomputed from the collected observations, with the same parameters.
        """
        parts = [
            encode_trials(self.codec, network, [episode[i] for episode in episodes])
            for i in range(len(episodes[0]))
        ]
        return [np.concatenate(steps) for steps in zip(*parts, strict=True)]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that `load_state` needs to continue exactly from here."""
        arrays, meta = self.buffer.state()
        if self.carried is not None:
            flat = [self.codec.flatten(state).cpu() for state in self.carried]
            arrays = arrays | {"carried": torch.cat(flat).numpy()}
        return arrays, meta

    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Restore what `state` returned; ValueError, with nothing changed, if it does not fit."""
        self.check_state(arrays, meta)
        stored = {name: array for name, array in arrays.items() if name != "carried"}
        self.buffer.load_state(stored, meta)
        if "carried" in arrays:
            rows = torch.from_numpy(arrays["carried"].copy()).split(1)
            self.carried = [self.codec.unflatten(row) for row in rows]

    def check_state(self, arrays: dict[str, np.ndarray], meta: Any) -> None:
        """Raise ValueError unless `load_state` can load this."""
        stored = {name: array for name, array in arrays.items() if name != "carried"}
        self.buffer.check_state(stored, meta)
        if "obs" in stored and stored["obs"].shape[2] != self.obs_size:
            raise ValueError(
                f"obs has {stored['obs'].shape[2]} channels; expected {self.obs_size}, as the task"
            )
        config, carried = self.config, arrays.get("carried")
        if (carried is not None) != (config.reset_state == "never" and meta["pushed"] > 0):
            raise ValueError(
                f"carried states do not belong to reset_state={config.reset_state!r}"
                if carried is not None
                else "the array carried is missing"
            )
        if carried is not None:
            # as many environments as the first round used, which no later round exceeds
            n = min(config.train_freq, config.eval_freq, config.trials) // config.trials_per_episode
            check_arrays({"carried": carried}, {"carried": ArraySpec((n, self.codec.size), _FLOAT)})


def encode_trials(
    codec: StateCodec, network: QNetwork, trials: Sequence[Trial]
) -> list[np.ndarray]:
    """Encode the states at the steps of each trial. Returns one array [T, width] per trial."""
    length = [len(trial) for trial in trials]
    obs: np.ndarray = np.zeros((len(trials), max(length), network.obs_size), np.float32)
    for row, trial in zip(obs, trials, strict=True):
        row[: len(trial)] = trial.obs
    state, states = None, [trial.initial_state for trial in trials]
    if any(s is not None for s in states):  # None among others: the first trial of an episode
        start = codec.unflatten(codec.initial(network))
        state = network.join_states([start if s is None else s for s in states])
    codes = codec.encode(network, torch.from_numpy(obs), state).numpy()
    return [row[:T].copy() for row, T in zip(codes, length, strict=True)]
