"""The configurations: of the DQN loop (the command line is made from it), and of supervision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mpn_lab.networks.recurrent import CoreName
from mpn_lab.networks.recurrence import Activation, Modulation, Update
from mpn_lab.networks.mpn import PlasticityShape
from mpn_lab.networks.qnetwork import Embedding
from mpn_lab.replay.sequences import Start
from mpn_lab.training.evaluate import ResetState
from mpn_lab.training.loss import Backprop

Count = Annotated[int, Field(ge=1)]
Unit = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class MPNConfig(BaseModel):
    """Options of the MPN layer; see `mpn_lab.MPN`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    update: Update = "associative"
    """What M gains in a step: associative, presynaptic or postsynaptic."""
    modulation: Modulation = "multiplicative"
    """W * (1 + M) or W + M."""
    activation: Activation = "tanh"
    """phi."""
    bias: bool = True
    """Whether the hidden bias is trained."""
    bound: Positive | None = None
    """Clip |M_ij| to this; None: not clipped."""
    eta_init: float | Literal["uniform"] = 1.0
    """Start value of eta; "uniform": drawn from U[-sqrt 3, sqrt 3] as in the paper."""
    eta_shape: PlasticityShape = "scalar"
    """One eta for all, per input, per hidden unit or per synapse."""
    lam_init: float | None = None
    """Start value of lam; None: lam_max."""
    lam_shape: PlasticityShape = "scalar"
    """One lam for all, per input, per hidden unit or per synapse."""
    lam_max: Annotated[float, Field(ge=0)] | None = None
    """lam is clamped to [0, lam_max]; None: follows from the trials' length (0.99 if short)."""
    train_M0: bool = False
    """Whether the M that every trial starts from is trained."""


class SequenceConfig(BaseModel):
    """Options of `replay="sequence"`; see `mpn_lab.replay.sequences`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Count = 8
    """Steps that are trained."""
    start: Start = "stored"
    """State before them: zero, stored when lived, or replayed from the trial's start."""
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
    """A task, a network for it and a seed: what every training has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = "DelayMatchSample-v0"
    """A neurogym id, or one of `mpn_lab.tasks.trial_env.OWN_TASKS`."""
    task_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task, for example {"dt": 20} or {"use_expl_context": True}."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes everything: start values, trials, exploration, replay."""

    core: CoreName = "mpn"
    """The recurrent core."""
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
    mpn: MPNConfig = Field(default_factory=MPNConfig)
    """Options of the MPN layer."""


class TrainConfig(NetworkConfig):
    """Everything that decides what a training run computes."""

    trials: Count = 2500
    """Trials to live."""
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
    trials_per_round: Count = 25
    """Trials lived in lockstep between updates."""
    updates_per_round: Count = 24
    """Updates after each round."""
    warmup_trials: Count = 100
    """Trials lived before the first update."""
    capacity: Count = 5000
    """Trials that the replay buffer holds."""
    learning_rate: Positive | None = None
    """Adam's, at the start; it falls to a tenth along half a cosine; None: follows from the
    trials' length (0.004 if short)."""
    grad_clip: Positive = 10.0
    """The gradient's norm is clipped to this."""
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    """How far the target network moves towards the trained one in an update."""
    epsilon_start: Unit = 1.0
    """Probability of a random action at the start ..."""
    epsilon_end: Unit = 0.05
    """... and after epsilon_decay, falling linearly."""
    epsilon_decay: Unit = 0.4
    """Share of all trials over which epsilon falls."""

    eval_every: Count = 250
    """Trials between two rows of metrics; a checkpoint is written with each."""
    eval_trials: Count = 200
    """Greedy trials, always the same ones, behind the accuracy in the metrics."""
    keep_lived: Annotated[int, Field(ge=0)] = 0
    """Trials kept with their states after every checkpoint, for `mpn_lab.analysis.staleness`."""

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        k = self.trials_per_episode
        for name in ("trials", "trials_per_round", "eval_every"):
            if (value := getattr(self, name)) % k:
                raise ValueError(
                    f"{name} is {value}; expected a multiple of {k} trials_per_episode"
                )
        across = self.replay == "sequence" and self.sequence.across_trials
        if k > 1 and self.reset_state == "trial" and not across:
            raise ValueError(
                f"trials_per_episode is {k}, but reset_state='trial' makes every trial its own; "
                "choose reset_state='episode', or sequences across trials"
            )
        if self.mpn.train_M0 and (self.replay != "trial" or self.reset_state == "never"):
            raise ValueError(
                "mpn.train_M0 needs rows that begin with M_0; choose replay='trial' and a "
                "reset_state other than 'never'"
            )
        if self.keep_lived > min(self.trials_per_round, self.eval_every):
            raise ValueError(
                f"keep_lived is {self.keep_lived}; expected at most the {self.trials_per_round} "
                "trials_per_round that are lived with a checkpoint's weights"
            )
        return self


class StopConfig(BaseModel):
    """When a supervised training stops before its last trial, by how it does in validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: Unit = 0.98
    """Stop where the mean accuracy of the last rows of metrics is at least this ..."""
    min_updates: Annotated[int, Field(ge=0)] = 2000
    """... and so many updates are done."""
    over: Count = 10
    """Rows in that mean."""
    patience: Count | None = None
    """Stop also, after min_updates, where that mean has not risen for so many rows; None: never."""
    falling: bool = False
    """Stop also, after min_updates, where the loss in validation no longer falls: its mean over the
    last rows is above that over as many rows before (the paper's rule for its figure 6)."""


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
    grad_clip: Positive = 10.0
    """The gradient's norm is clipped to this."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the sum of |w| over all trained weights and biases; eta, lam and M_0 are spared."""
    trained: Literal["all", "readout"] = "all"
    """Train all that can be trained, or the readout alone."""
    start_from: str | None = None
    """A checkpoint whose weights the training begins with; None: with new ones."""
    stop: StopConfig | None = None
    """When to stop before the last trial; None: never."""

    eval_every: Count = 3_200
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
        for name in ("trials", "eval_every"):
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
        changes: fields of `SupervisedConfig` that are to differ; `mpn`, a dict, is merged.
    """
    mpn = {"bias": False, "eta_init": "uniform", "lam_max": 0.95, **changes.pop("mpn", {})}
    settings: dict[str, Any] = {
        "task": task,
        "trials": 64 * 20_000,
        "hidden_size": 100,
        "embedding": "none",
        "readout_bias": False,
        "l1": 1e-4,
        "eval_every": 64 * 25,
        "stop": StopConfig(patience=200),
    }
    return SupervisedConfig(**(settings | changes), mpn=MPNConfig(**mpn))


CONFIGS: dict[str, type[TrainConfig] | type[SupervisedConfig]] = {
    "dqn": TrainConfig,
    "supervised": SupervisedConfig,
}
