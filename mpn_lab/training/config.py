"""Configurations of the two training loops; the command line is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mpn_lab.checks import LARGEST_SEED, check_int, check_number, show
from mpn_lab.networks.qnetwork import Embedding
from mpn_lab.replay.sequences import Start
from mpn_lab.tasks.making import check_task_kwargs
from mpn_lab.tasks.rollout import ResetState
from mpn_lab.training.fields import (
    Config,
    Count,
    CountOrNone,
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

_OF_THE_CONFIG = {
    *("obs_size", "n_actions", "core", "input_size", "hidden_size", "num_layers", "embedding"),
    *("embedding_size", "readout_bias", "generator"),
}


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


class NetworkConfig(Config):
    """The task, the network and the seed."""

    task: str = "DelayMatchSample-v0"
    """Id of the task: one of neurogym's or mpn_lab's, or any registered with `gymnasium.register`.
    """
    task_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task, for example {"dt": 20} or {"use_expl_context": True}."""
    seed: Annotated[int, checked(check_int, 0, LARGEST_SEED)] = 0
    """Seed of all random numbers: initial weights, trials, exploration, replay."""

    core: str = "mpn"
    """The recurrent core: mpn, gru, lstm, rnn, or a name given to `register_core`."""
    core_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the core, for example {"update": "presynaptic"}; the values are numbers, strings,
    True, False or None, and the core checks them."""
    hidden_size: Count = 64
    """Number n of hidden units."""
    num_layers: Annotated[int, checked(check_int, 1, 100)] = 1
    """Number of layers of the core; the output of each is the input of the next."""
    embedding: Embedding = "random"
    """Embedding of the observations: a fixed random projection with a bias (random), a trained one
    (linear), or none."""
    embedding_size: Count = 10
    """Size d of an embedded observation."""
    readout_bias: Flag = True
    """Whether the readout has a trained bias b_RO."""

    @field_validator("task", mode="before")
    @classmethod
    def _is_an_id(cls, task: Any) -> str:
        if not isinstance(task, str) or not task:
            raise ValueError(
                f"task is {show(task)}; a configuration names its task by id: register it with "
                "gymnasium and give the id."
            )
        return task

    @field_validator("core_options")
    @classmethod
    def _survives_json(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if name in _OF_THE_CONFIG:
                raise ValueError(
                    f"core_options holds {name}, which is not an option of the core; leave it out, "
                    "or set the field of the configuration with this name"
                )
            if value is not None and type(value) not in (bool, int, float, str):
                raise ValueError(
                    f"{name} is {value!r} ({type(value).__name__}), which config.json cannot store "
                    "unchanged; expected a number, a string, True, False or None"
                )
        return options

    @field_validator("task_kwargs")
    @classmethod
    def _fits_json(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        check_task_kwargs(kwargs)
        return {name: _as_json(name, value) for name, value in kwargs.items()}


def _as_json(name: str, value: Any) -> Any:
    """Return the value as config.json restores it, with tuples as lists.

    Raises ValueError for a value that JSON cannot represent.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(name, part) for part in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(name, part) for key, part in value.items()}
    raise ValueError(
        f"{name} holds {value!r} ({type(value).__name__}), which a run's config.json cannot store; "
        "expected numbers, strings, True, False, None, or lists or dicts (with string keys) of them"
    )


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
        _check_unused(self)
        if self.store_trials > min(self.train_freq, self.eval_freq):
            raise ValueError(
                f"store_trials is {self.store_trials}; expected at most the {self.train_freq} "
                "trials (train_freq) that are collected with a checkpoint's weights"
            )
        return self


def _check_unused(config: TrainConfig | SupervisedConfig) -> None:
    """Raise ValueError if a field differs from its default though another one makes it unused."""
    for name, unused, why in (
        ("chunk", config.backprop == "full", "backprop='full' does not cut the trial"),
        ("embedding_size", config.embedding == "none", "embedding='none' has no size of its own"),
    ):
        value = getattr(config, name)
        if unused and value != type(config).model_fields[name].default:
            raise ValueError(f"{name} is {value}, but {why}; leave {name} out")


@list_fields
class StopConfig(Config):
    """Rules that stop supervised training early, by its validation accuracy or loss.

    Where the accuracy is unknown (nan in all rows), `patience` goes by the mean return.
    """

    accuracy: Unit = 0.98
    """Stop once the mean accuracy over the last `window` rows of metrics reaches this value."""
    min_updates: NotNegative = 2000
    """Minimum number of updates before training may stop."""
    window: Count = 10
    """Number of rows of metrics over which the accuracy (or loss) is averaged."""
    patience: CountOrNone = None
    """Also stop once the mean accuracy has not risen for this number of rows; None: never."""
    stop_on_rising_loss: Flag = False
    """Also stop once the validation loss rises, that is, once its mean over the last `window` rows
    exceeds its mean over the `window` rows before them (the paper's rule for its figure 6)."""


@list_fields
class SupervisedConfig(NetworkConfig):
    """Configuration of supervised training: every setting that determines the result.

    The learning rate and max_grad_norm are those of Aitken & Mihalas (eLife 2023;12:e83035);
    `paper_config` returns all of their settings.
    """

    trials: Count = 32_000
    """Number of trials to train on; each is used once."""
    loss_periods: tuple[str, ...] | None = None
    """Periods whose steps enter the loss, such as ("decision",); None: the steps that the task
    itself marks (the go step of the integration tasks), or all steps."""
    stream_steps: CountOrNone = None
    """Train on sequences of this number of steps that continue over several trials and are cut at
    arbitrary steps, as neurogym's own data sets are; each sequence counts as one trial. None: whole
    trials."""
    batch_size: SideBySide = 64
    """Number of sequences per update."""
    reset_state: Literal["trial", "episode"] = "trial"
    """Whether a sequence is a single trial, or an episode of several trials over which the state is
    carried."""
    trials_per_episode: Count = 1
    """Number of trials in a sequence."""
    backprop: Backprop = "full"
    """How the gradient is propagated back in time: full, truncated, or checkpointed (less memory).
    """
    chunk: Count = 32
    """Number of steps between the cuts of backprop="truncated", or between the states stored by
    backprop="checkpointed"."""

    learning_rate: Positive = 1e-3
    """Constant learning rate of Adam."""
    max_grad_norm: Positive = 10.0
    """Norm to which the gradient is clipped."""
    l1: Annotated[float, checked(check_number, 0)] = 0.0
    """Weight of the L1 penalty: the sum of |w| over all trained weights and biases except eta, lam
    and M_0."""
    stop: StopConfig | None = None
    """Rules for stopping before the last trial; None: no early stopping."""

    eval_freq: Count = 3_200
    """Number of trials between two rows of metrics; each row comes with a checkpoint."""
    eval_trials: Sampled = 200
    """Number of trials (of sequences, with stream_steps), the same ones for every row, on which the
    accuracy in the metrics is measured."""

    @model_validator(mode="after")
    def _fits(self) -> SupervisedConfig:
        if self.trials_per_episode > 1 and self.reset_state == "trial":
            raise ValueError(
                f"trials_per_episode is {self.trials_per_episode}, but reset_state='trial' makes "
                "every trial an episode; choose reset_state='episode'"
            )
        if self.stream_steps and (self.loss_periods is not None or self.reset_state != "trial"):
            raise ValueError(
                f"stream_steps is {self.stream_steps}, which trains all steps and carries the "
                "state from trial to trial; leave loss_periods and reset_state at their defaults"
            )
        _check_unused(self)
        in_update = self.batch_size * self.trials_per_episode
        for name in ("trials", "eval_freq"):
            if (value := getattr(self, name)) % in_update:
                raise ValueError(
                    f"{name} is {value}; expected a multiple of the {in_update} trials in an update"
                )
        if isinstance(self.stop, StopConfig):
            updates, rows = self.trials // in_update, -(-self.trials // self.eval_freq)
            window, patience = self.stop.window, self.stop.patience or 0
            rising = window if self.stop.stop_on_rising_loss else 0
            for name, needed, most, of in (
                ("min_updates", self.stop.min_updates, updates, "updates"),
                ("window", window, rows, "rows of metrics"),
                ("patience", window + patience, rows, "rows of metrics"),
                ("stop_on_rising_loss", window + rising, rows, "rows of metrics"),
            ):
                if needed > most:
                    raise ValueError(
                        f"stop.{name} needs {needed} {of}, but the training has only {most}, so "
                        "that this rule would never apply; train on more trials, evaluate more "
                        "often, or relax the rule"
                    )
        return self


def paper_config(task: str, **changes: Any) -> SupervisedConfig:
    """Return the supervised settings of Aitken & Mihalas (eLife 2023;12:e83035, Methods).

    The network has 100 hidden units, no embedding of the inputs and no biases; eta is drawn from
    U[-sqrt 3, sqrt 3] and lam is at most 0.95. Adam has the learning rate 1e-3, an L1 penalty of
    1e-4 and batches of 64; validation takes place every 25 batches. After at least 2,000 batches,
    training ends once the rolling accuracy reaches 98 % or no longer rises; it ends after 20,000
    batches in any case. The task determines the noise of the inputs (`noise=0.1` in the integration
    tasks).

    Args:
        task: one of the integration tasks, or any other.
        changes: fields of `SupervisedConfig` to replace; `core_options` are merged into these. With
            fewer trials, the rules for stopping that can no longer apply are left out.
    """
    own = changes.pop("core_options", {})
    papers = {"bias": False, "eta_init": "uniform", "lam_max": 0.95}
    core_options = own
    if isinstance(own, dict) and changes.get("core", "mpn") == "mpn":
        core_options = papers | own
    settings: dict[str, Any] = {
        "task": task,
        "trials": 64 * 20_000,
        "hidden_size": 100,
        "embedding": "none",
        "readout_bias": False,
        "l1": 1e-4,
        "eval_freq": 64 * 25,
    } | changes
    if "stop" not in changes:
        settings["stop"] = _papers_stop(settings)
    return SupervisedConfig(**settings, core_options=core_options)


def _papers_stop(settings: dict[str, Any]) -> StopConfig | None:
    """Return the paper's rules for stopping, without those that a short training never reaches."""
    batch = settings.get("batch_size", 64)
    counts = settings["trials"], settings["eval_freq"], batch
    if not all(type(count) is int and count > 0 for count in counts):
        return None  # SupervisedConfig will say what is wrong
    updates, rows = settings["trials"] // batch, -(-settings["trials"] // settings["eval_freq"])
    stop = StopConfig(patience=200 if rows >= 210 else None)
    return stop if updates >= stop.min_updates and rows >= stop.window else None


CONFIGS: dict[str, type[TrainConfig] | type[SupervisedConfig]] = {
    "dqn": TrainConfig,
    "supervised": SupervisedConfig,
}
