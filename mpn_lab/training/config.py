"""Configurations of the two training loops; the command line is made from them."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal, TypeVar

import gymnasium as gym
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mpn_lab.networks.qnetwork import Embedding
from mpn_lab.replay.sequences import Start
from mpn_lab.tasks.rollout import ResetState
from mpn_lab.training.loss import Backprop

Count = Annotated[int, Field(ge=1)]
Unit = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Model = TypeVar("Model", bound=type[BaseModel])

_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _list_fields(model: Model) -> Model:
    """Add the fields, with what each is for, to a model's docstring, so that help() shows them."""
    lines = [inspect.cleandoc(model.__doc__ or ""), "", "Args:"]
    cls: type[BaseModel] = model
    for name, field in cls.model_fields.items():
        field.description = " ".join((field.description or "").split())
        lines.append(f"    {name}: {field.description}")
    model.__doc__ = "\n".join(lines)
    return model


@_list_fields
class SequenceConfig(BaseModel):
    """Options of `replay="sequence"`; see `mpn_lab.replay.sequences`."""

    model_config = _STRICT

    window: Count = 8
    """Consecutive steps that are trained together."""
    start: Start = "stored"
    """State at its first step: zero, stored at collection, or replayed from the trial's start."""
    burn_in: Annotated[int, Field(ge=0)] = 0
    """Steps before the window that only bring the state up to date; fewer than the window."""
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

    model_config = _STRICT

    task: str = "DelayMatchSample-v0"
    """The id of a task: neurogym's, mpn_lab's, or any that `gymnasium.register` knows."""
    task_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task, for example {"dt": 20} or {"use_expl_context": True}."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes everything random: initial weights, trials, exploration, replay."""

    core: str = "mpn"
    """The recurrent core: mpn, gru, lstm, rnn, or a name given to `register_core`."""
    core_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the core, which checks them, for example {"update": "presynaptic"}: numbers,
    strings, True, False or None."""
    hidden_size: Count = 64
    """Hidden units n."""
    num_layers: Count = 1
    """Layers of the core, each the input of the next."""
    embedding: Embedding = "random"
    """Of the observations: a fixed random projection with a bias, the same but trained (linear),
    or none."""
    embedding_size: Count = 10
    """Size d of an embedded observation."""
    readout_bias: bool = True
    """Whether the readout has a bias b_RO, which is trained."""

    @field_validator("task", mode="before")
    @classmethod
    def _is_an_id(cls, task: Any) -> str:
        if not isinstance(task, str):  # a TypeError is no part of pydantic's report: one sentence
            what = f"a {type(task).__name__} object" if isinstance(task, gym.Env) else repr(task)
            raise TypeError(
                f"task is {getattr(task, '__qualname__', what)}; a configuration names its task by "
                "id: register it with gymnasium and give the id."
            )
        return task

    @field_validator("core_options")
    @classmethod
    def _survives_json(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if value is not None and type(value) not in (bool, int, float, str):
                raise ValueError(
                    f"{name} is {value!r} ({type(value).__name__}), which a run's config.json does "
                    "not hold as it is; expected a number, a string, True, False or None"
                )
        return options

    @field_validator("task_kwargs")
    @classmethod
    def _fits_json(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {name: _as_json(name, value) for name, value in kwargs.items()}


def _as_json(name: str, value: Any) -> Any:
    """The value as config.json gives it back: tuples are lists. Raises ValueError for the rest."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(name, part) for part in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(name, part) for key, part in value.items()}
    raise ValueError(
        f"{name} holds {value!r} ({type(value).__name__}), which a run's config.json cannot hold; "
        "expected numbers, strings, True, False, None, and lists or dicts of them with strings as "
        "keys"
    )


@_list_fields
class TrainConfig(NetworkConfig):
    """Everything that decides what a training by deep Q-learning computes."""

    trials: Count = 2500
    """Trials to collect."""
    replay: Literal["trial", "transition", "sequence"] = "trial"
    """What is replayed: whole trials from their start, or single steps or windows from stored
    states."""
    sequence: SequenceConfig = Field(default_factory=SequenceConfig)
    """Options of replay="sequence"."""
    reset_state: ResetState = "trial"
    """When the network's state is reset: before every trial, before every episode, or never."""
    trials_per_episode: Count = 1
    """Consecutive trials of one environment that are stored, and replayed, as one."""
    backprop: Backprop = "full"
    """How the gradient goes back in time: full, truncated, or checkpointed (less memory)."""
    chunk: Count = 32
    """Steps between the cuts of backprop="truncated", or between the states that "checkpointed"
    stores."""

    gamma: Unit | None = None
    """Discount per time step; None: follows from the trials' length (0.99 if short)."""
    td_lambda: Unit | None = None
    """0: one-step TD targets; towards 1: the rewards that followed in the trial; None: follows
    from the trials' length (0.95 if short)."""
    batch_size: Count = 64
    """Trials (or transitions, windows, episodes: whatever `replay` samples) in an update."""
    train_freq: Count = 25
    """Trials collected, in lockstep, between one round of updates and the next."""
    gradient_steps: Count = 24
    """Updates in a round."""
    learning_starts: Count = 100
    """Trials collected before the first update."""
    buffer_size: Count = 5000
    """Trials that the replay buffer holds."""
    learning_rate: Positive | None = None
    """Of Adam at the start, annealed to a tenth along half a cosine; None: follows from the trials'
    length (0.004 if short)."""
    max_grad_norm: Positive = 10.0
    """Norm to which the gradient is clipped."""
    tau: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Share of the trained network in each soft update of the target network."""
    exploration_initial_eps: Unit = 1.0
    """Probability of a random action at the start."""
    exploration_final_eps: Unit = 0.05
    """Probability of a random action at the end of the linear decay."""
    exploration_fraction: Unit = 0.4
    """Share of all trials over which the probability of a random action decays."""

    eval_freq: Count = 250
    """Trials between two rows of metrics; a checkpoint is written with each."""
    eval_trials: Count = 200
    """Greedy trials, the same for every row, from which the accuracy in the metrics comes."""
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


@_list_fields
class StopConfig(BaseModel):
    """When a supervised training stops early, by its accuracy or loss in validation."""

    model_config = _STRICT

    accuracy: Unit = 0.98
    """Stop once the mean accuracy of the last rows of metrics is at least this."""
    min_updates: Annotated[int, Field(ge=0)] = 2000
    """Never stop before so many updates."""
    window: Count = 10
    """Rows of metrics in that mean."""
    patience: Count | None = None
    """Stop also once that mean has not risen for so many rows; None: never."""
    stop_on_rising_loss: bool = False
    """Stop also once the validation loss rises: once its mean over the last `window` rows is above
    that over the `window` rows before (the paper's rule for its figure 6)."""


@_list_fields
class SupervisedConfig(NetworkConfig):
    """Everything that decides what a supervised training computes.

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
    """Of Adam, constant."""
    max_grad_norm: Positive = 10.0
    """Norm to which the gradient is clipped."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the sum of |w| over all trained weights and biases; eta, lam and M_0 are exempt."""
    stop: StopConfig | None = None
    """When to stop before the last trial; None: never."""

    eval_freq: Count = 3_200
    """Trials between two rows of metrics; a checkpoint is written with each."""
    eval_trials: Count = 200
    """Trials (sequences, of a stream), the same for every row, from which the accuracy in the
    metrics comes."""

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

    The network has 100 hidden units, takes the inputs without an embedding and has no biases; eta
    is drawn from U[-sqrt 3, sqrt 3] and lam is at most 0.95. Adam learns at 1e-3 with an L1 penalty
    of 1e-4 on batches of 64, with a validation every 25 batches. The training ends once the rolling
    accuracy is 98 % after at least 2,000 batches or no longer rises, or after 20,000 batches. The
    noise of the inputs is the task's own (`noise=0.1` of the integration tasks).

    Args:
        task: one of the integration tasks, or any other.
        changes: fields of `SupervisedConfig` to replace; `core_options` are merged into these.
    """
    core = changes.get("core", "mpn")
    papers = {"bias": False, "eta_init": "uniform", "lam_max": 0.95} if core == "mpn" else {}
    core_options = papers | changes.pop("core_options", {})
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
