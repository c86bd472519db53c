"""Configurations of the two training loops; the command line is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mpn_lab.networks.qnetwork import Embedding
from mpn_lab.replay.sequences import Start
from mpn_lab.tasks.rollout import ResetState
from mpn_lab.training.loss import Backprop

Count = Annotated[int, Field(ge=1)]
Unit = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class SequenceConfig(BaseModel):
    """Options of `replay="sequence"`; see `mpn_lab.replay.sequences`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Count = 8
    """Steps that are trained."""
    start: Start = "stored"
    """State before them: zero, stored at collection, or replayed from the trial's start."""
    burn_in: Annotated[int, Field(ge=0)] = 0
    """Steps before them that only bring the state up to date; fewer than the window."""
    across_trials: bool = False
    """Whether a window may hold parts of several trials (of one episode)."""

    @model_validator(mode="after")
    def _fits(self) -> SequenceConfig:
        if self.burn_in >= self.window:
            raise ValueError(
                f"burn_in is {self.burn_in} steps and window {self.window}; expected a burn_in "
                "shorter than the window"
            )
        if self.burn_in and self.start == "replayed":
            raise ValueError(
                f"burn_in is {self.burn_in}, but start='replayed' goes back to the trial's start "
                "already; set burn_in=0"
            )
        return self


class NetworkConfig(BaseModel):
    """A task, a network for it and a seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = "DelayMatchSample-v0"
    """The id of a task: neurogym's, mpn_lab's, or any that `gymnasium.register` knows."""
    task_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task, for example {"dt": 20} or {"use_expl_context": True}."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes everything: start values, trials, exploration, replay."""

    core: str = "mpn"
    """The recurrent core: mpn, gru, lstm, rnn, or a name given to `register_core`."""
    core_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the core, which checks them, for example {"update": "presynaptic"}."""
    hidden_size: Count = 64
    """Hidden units n."""
    num_layers: Count = 1
    """Cores one above the other."""
    embedding: Embedding = "random"
    """Fixed random projection with a bias, the same but trained (linear), or none."""
    embedding_size: Count = 10
    """Size d of an embedded observation."""
    readout_bias: bool = True
    """Whether the readout has a bias b_RO, which is trained."""


class TrainConfig(NetworkConfig):
    """Everything that decides what a training run computes."""

    trials: Count = 2500
    """Trials to collect."""
    replay: Literal["trial", "transition", "sequence"] = "trial"
    """Whole trials from their start; single steps, or windows, from stored states."""
    sequence: SequenceConfig = Field(default_factory=SequenceConfig)
    """Options of replay="sequence"."""
    reset_state: ResetState = "trial"
    """When the state is reset: before every trial, every episode, or never."""
    trials_per_episode: Count = 1
    """Consecutive trials of one environment that are stored, and replayed, as one."""
    backprop: Backprop = "full"
    """How the gradient goes back in time: full, truncated, or checkpointed (less memory)."""
    chunk: Count = 32
    """Steps between the cuts of backprop="truncated", or the states that "checkpointed" keeps."""

    gamma: Unit | None = None
    """Discount per time step; None: follows from the trials' length (0.99 if short)."""
    td_lambda: Unit | None = None
    """0: one-step TD targets; towards 1: the rewards that followed in the trial; None: follows
    from the trials' length (0.95 if short)."""
    batch_size: Count = 64
    """Trials (or transitions, windows, episodes: what `replay` draws) in an update."""
    train_freq: Count = 25
    """Trials collected, in lockstep, between updates."""
    gradient_steps: Count = 24
    """Updates after each such rollout."""
    learning_starts: Count = 100
    """Trials collected before the first update."""
    buffer_size: Count = 5000
    """Trials that the replay buffer holds."""
    learning_rate: Positive | None = None
    """Adam's at the start, annealed to a tenth along half a cosine; None: follows from the trials'
    length (0.004 if short)."""
    max_grad_norm: Positive = 10.0
    """The gradient's norm is clipped to this."""
    tau: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Soft update of the target network: the share of the trained network in each update."""
    exploration_initial_eps: Unit = 1.0
    """Probability of a random action at the start."""
    exploration_final_eps: Unit = 0.05
    """Probability of a random action at the end of the linear decay."""
    exploration_fraction: Unit = 0.4
    """Share of all trials over which the probability of a random action decays."""

    eval_freq: Count = 250
    """Trials between two rows of metrics; a checkpoint is written with each."""
    eval_trials: Count = 200
    """Greedy trials, always the same ones, behind the accuracy in the metrics."""
    store_trials: Annotated[int, Field(ge=0)] = 0
    """Trials stored with their states after every checkpoint, for `mpn_lab.staleness`."""

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
                "choose reset_state='episode', or sequences across trials"
            )
        if self.store_trials > min(self.train_freq, self.eval_freq):
            raise ValueError(
                f"store_trials is {self.store_trials}; expected at most the {self.train_freq} "
                "trials (train_freq) that are collected with a checkpoint's weights"
            )
        return self


class StopConfig(BaseModel):
    """When a supervised training stops early, by its accuracy or loss in validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: Unit = 0.98
    """Stop once the mean accuracy of the last rows of metrics is at least this."""
    min_updates: Annotated[int, Field(ge=0)] = 2000
    """Never stop before so many updates."""
    window: Count = 10
    """Rows of metrics in that mean."""
    patience: Count | None = None
    """Stop also once that mean has not risen for so many rows; None: never."""
    stop_on_rising_loss: bool = False
    """Stop also once the validation loss rises: its mean over the last rows is above that over as
    many rows before (the paper's rule for its figure 6)."""


class SupervisedConfig(NetworkConfig):
    """Everything that decides what `mpn_lab.train_supervised` computes.

    The learning rate and the clipped norm are those of Aitken & Mihalas (eLife 2023;12:e83035);
    `paper_config` has all of their settings.
    """

    trials: Count = 32_000
    """Trials to learn from; each is seen once."""
    loss_periods: tuple[str, ...] | None = None
    """Periods whose steps are trained, such as ("decision",); None: those that the task names
    itself (the go step of the integration tasks), or all steps."""
    stream_steps: Count | None = None
    """Train on sequences of so many steps that run on over several trials, cut anywhere, as
    neurogym's own data sets do; each counts as a trial here. None: whole trials."""
    batch_size: Count = 64
    """Sequences in an update."""
    reset_state: Literal["trial", "episode"] = "trial"
    """Whether a sequence is one trial, or several over which the state is carried."""
    trials_per_episode: Count = 1
    """Trials in a sequence."""
    backprop: Backprop = "full"
    """As of `TrainConfig`."""
    chunk: Count = 32
    """As of `TrainConfig`."""

    learning_rate: Positive = 1e-3
    """Adam's."""
    max_grad_norm: Positive = 10.0
    """The gradient's norm is clipped to this."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the sum of |w| over all trained weights and biases; eta, lam and M_0 are exempt."""
    stop: StopConfig | None = None
    """When to stop before the last trial; None: never."""

    eval_freq: Count = 3_200
    """Trials between two rows of metrics; a checkpoint is written with each."""
    eval_trials: Count = 200
    """Trials (sequences of a stream), always the same ones, behind the accuracy in the metrics."""

    @model_validator(mode="after")
    def _fits(self) -> SupervisedConfig:
        if self.trials_per_episode > 1 and self.reset_state == "trial":
            raise ValueError(
                f"trials_per_episode is {self.trials_per_episode}, but reset_state='trial' makes "
                "every trial its own; choose reset_state='episode'"
            )
        if self.stream_steps and (self.loss_periods is not None or self.reset_state != "trial"):
            raise ValueError(
                f"stream_steps is {self.stream_steps}: such sequences train all their steps and "
                "carry the state over; leave loss_periods and reset_state as they are"
            )
        in_update = self.batch_size * self.trials_per_episode
        for name in ("trials", "eval_freq"):
            if (value := getattr(self, name)) % in_update:
                raise ValueError(
                    f"{name} is {value}; expected a multiple of the {in_update} trials in an update"
                )
        return self


def paper_config(task: str, **changes: Any) -> SupervisedConfig:
    """The supervised settings of Aitken & Mihalas (eLife 2023;12:e83035, Methods).

    100 hidden units on the inputs themselves, no biases, eta drawn from U[-sqrt 3, sqrt 3], lam up
    to 0.95, Adam at 1e-3, L1 of 1e-4, batches of 64, validation every 25 of them; until the
    rolling accuracy is 98 % after at least 2,000 batches, or no longer rises, or 20,000 are over.
    The noise of the inputs is the task's (`noise=0.1` of the integration tasks).

    Args:
        task: one of the integration tasks, or any other.
        changes: fields of `SupervisedConfig` that are to differ; `core_options` are merged.
    """
    core = changes.get("core", "mpn")
    of_mpn = {"bias": False, "eta_init": "uniform", "lam_max": 0.95} if core == "mpn" else {}
    core_options = of_mpn | changes.pop("core_options", {})
    settings: dict[str, Any] = {
        "task": task,
        "trials": 64 * 20_000,
        "hidden_size": 100,
        "embedding": "none",
        "readout_bias": False,
        "l1": 1e-4,
        "eval_freq": 64 * 25,
        "stop": StopConfig(patience=200),
    }
    return SupervisedConfig(**(settings | changes), core_options=core_options)


CONFIGS: dict[str, type[TrainConfig] | type[SupervisedConfig]] = {
    "dqn": TrainConfig,
    "supervised": SupervisedConfig,
}
