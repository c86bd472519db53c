"""The one configuration object of the DQN loop; the command line is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mpn_lab.networks.cores import CoreName
from mpn_lab.networks.loop import Activation, Modulation, Update
from mpn_lab.networks.mpn import PlasticityShape
from mpn_lab.networks.qnetwork import Embedding

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


class TrainConfig(BaseModel):
    """Everything that decides what a training run computes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = "DelayMatchSample-v0"
    """A neurogym id."""
    task_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task, for example {"dt": 20} or {"use_expl_context": True}."""
    trials: Count = 2500
    """Trials to live."""
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
    mpn: MPNConfig = Field(default_factory=MPNConfig)
    """Options of the MPN layer."""

    gamma: Unit | None = None
    """Discount per time step; None: follows from the trials' length (0.99 if short)."""
    td_lambda: Unit | None = None
    """0: one-step TD targets; towards 1: the rewards that followed in the trial; None: follows
    from the trials' length (0.95 if short)."""
    batch_size: Count = 64
    """Trials in an update."""
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
