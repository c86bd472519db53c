"""Configuration of supervised training, its rules for stopping, and the paper's settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from mpn_lab.checks import check_number
from mpn_lab.training.fields import (
    Config,
    Count,
    CountOrNone,
    Flag,
    NotNegative,
    Positive,
    Sampled,
    SideBySide,
    Unit,
    checked,
    list_fields,
)
from mpn_lab.training.loss import Backprop
from mpn_lab.training.network_config import NetworkConfig, check_unused


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
        check_unused(self, self.backprop)
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
