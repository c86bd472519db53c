"""Configurations of the two training loops; the command line is generated from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mpn_lab.checks import check_number
from mpn_lab.replay.sequences import Start
from mpn_lab.tasks.rollout import ResetState
from mpn_lab.training.fields import (
    Config,
    Count,
    Flag,
    NotNegative,
    Positive,
    PositiveOrNone,
    Sampled,
    SideBySide,
    Unit,
    UnitOrNone,
    checked,
    list_fields,
)
from mpn_lab.training.loss import Backprop
from mpn_lab.training.network_config import NetworkConfig, check_unused
from mpn_lab.training.supervised_config import StopConfig, SupervisedConfig, paper_config

__all__ = [
    "CONFIGS",
    "NetworkConfig",
    "SequenceConfig",
    "StopConfig",
    "SupervisedConfig",
    "TrainConfig",
    "paper_config",
]


@list_fields
class SequenceConfig(Config):
    """Options of `replay="sequence"`; see `mpn_lab.replay.sequences`."""

    window: Count = 8
    """Number of consecutive steps that are trained together."""
    start: Start = "stored"
    """State before the window's first step: zero, stored at collection, or replayed from the
    trial's start."""
    burn_in: NotNegative = 0
    """Number of steps before the window that only bring the state up to date; must be smaller than
    the window."""
    across_trials: Flag = False
    """Whether a window may contain parts of several trials (of one episode)."""

    @model_validator(mode="after")
    def _fits(self) -> SequenceConfig:
        if self.burn_in >= self.window:
            raise ValueError(
                f"burn_in is {self.burn_in} steps and window {self.window}; expected a burn_in "
                "shorter than the window"
            )
        if self.burn_in and self.start == "replayed":
            raise ValueError(
                f"burn_in is {self.burn_in}, but start='replayed' already starts from the trial's "
                "start; set burn_in=0"
            )
        return self


@list_fields
class TrainConfig(NetworkConfig):
    """Configuration of deep Q-learning: every setting that determines the result."""

    trials: Count = 2500
    """Number of trials to collect."""
    replay: Literal["trial", "transition", "sequence"] = "trial"
    """What is replayed: whole trials from their start (trial), single steps from stored states
    (transition), or windows as `sequence` specifies (sequence)."""
    sequence: SequenceConfig = Field(default_factory=SequenceConfig)
    """Options of replay="sequence"."""
    reset_state: ResetState = "trial"
    """When the network's state is reset: before every trial, before every episode, or never."""
    trials_per_episode: Count = 1
    """Number of consecutive trials of one environment that are stored and replayed as one episode.
    """
    backprop: Backprop = "full"
    """How the gradient is propagated back in time: full, truncated, or checkpointed (less memory).
    """
    chunk: Count = 32
    """Number of steps between the cuts of backprop="truncated", or between the states stored by
    backprop="checkpointed"."""

    gamma: UnitOrNone = None
    """Discount factor per time step; None: derived from the trial length (0.99 for short trials).
    """
    td_lambda: UnitOrNone = None
    """Lambda of the lambda-returns: 0 gives one-step TD targets, 1 the discounted sum of the
    rewards to the end of the trial; None: derived from the trial length (0.95 for short trials)."""
    batch_size: SideBySide = 64
    """Number of trials (or of transitions, windows or episodes, whichever `replay` samples) per
    update."""
    train_freq: SideBySide = 25
    """Number of trials collected in lockstep between two rounds of updates."""
    gradient_steps: Count = 24
    """Number of updates per round."""
    learning_starts: Count = 100
    """Number of trials to collect before the first update."""
    buffer_size: Count = 5000
    """Capacity of the replay buffer in trials."""
    learning_rate: PositiveOrNone = None
    """Initial learning rate of Adam, annealed along a half cosine to a tenth; None: derived from
    the trial length (0.004 for short trials)."""
    max_grad_norm: Positive = 10.0
    """Norm to which the gradient is clipped."""
    tau: Annotated[float, checked(check_number, 0, 1, above=True)] = 0.01
    """Weight of the online network in each soft update of the target network."""
    exploration_initial_eps: Unit = 1.0
    """Initial probability of a random action."""
    exploration_final_eps: Unit = 0.05
    """Probability of a random action at the end of the linear decay."""
    exploration_fraction: Unit = 0.4
    """Fraction of all trials over which the probability of a random action decays."""

    eval_freq: Count = 250
    """Number of trials between two rows of metrics; each row comes with a checkpoint."""
    eval_trials: Sampled = 200
    """Number of greedy trials, the same ones for every row, on which the accuracy in the metrics is
    measured."""
    store_trials: NotNegative = 0
    """Number of trials stored with their states after each checkpoint, for `mpn_lab.staleness`."""

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        k = self.trials_per_episode
        for name in ("trials", "train_freq", "eval_freq"):
            if (value := getattr(self, name)) % k:
                raise ValueError(
                    f"{name} is {value}; expected a multiple of {k} trials_per_episode"
                )
        across = self.replay == "sequence" and self.sequence.across_trials
        if k > 1 and self.reset_state == "trial" and not across:
            raise ValueError(
                f"trials_per_episode is {k}, but reset_state='trial' makes every trial an episode; "
                "choose reset_state='episode', or replay='sequence' with across_trials=True"
            )
        if self.learning_starts > self.trials:
            raise ValueError(
                f"learning_starts is {self.learning_starts}, more than the {self.trials} trials: "
                "no update would take place; choose a smaller learning_starts or more trials"
            )
        whole = self.replay == "trial" and self.reset_state == "trial"
        most = min(self.trials, self.buffer_size)
        if whole and self.batch_size > most:
            raise ValueError(
                f"batch_size is {self.batch_size}, but the buffer never holds more than {most} "
                "trials (buffer_size or trials), so that no update would take place; choose a "
                "smaller batch_size"
            )
        default = SequenceConfig().model_dump()
        if self.replay != "sequence" and self.sequence.model_dump() != default:
            raise ValueError(
                f"sequence is set, but replay={self.replay!r} does not use it; choose "
                "replay='sequence', or leave sequence out"
            )
        check_unused(self, self.backprop)
        if self.store_trials > min(self.train_freq, self.eval_freq):
            raise ValueError(
                f"store_trials is {self.store_trials}; expected at most the {self.train_freq} "
                "trials (train_freq) that are collected with a checkpoint's weights"
            )
        return self


CONFIGS: dict[str, type[TrainConfig] | type[SupervisedConfig]] = {
    "dqn": TrainConfig,
    "supervised": SupervisedConfig,
}
