"""The part that all training loops share: advance, write a checkpoint, report, resume."""

from __future__ import annotations

import hashlib
import math
import shlex
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from tqdm import tqdm

from mpn_lab.checks import show
from mpn_lab.files import user_path
from mpn_lab.loading import check_integer, read_regular_file, shorten
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.device import check_threads, torch_threads
from mpn_lab.training.fields import Config
from mpn_lab.training.files import (
    Row,
    RunError,
    csv_of,
    is_csv_of,
    lock_folder,
    read_tensors,
    tensor_bytes,
)
from mpn_lab.training.learner import Learner, NonFiniteLoss, network_arrays
from mpn_lab.training.parse import check_saved
from mpn_lab.training.run import AnyConfig, Run
from mpn_lab.training.signals import stop_if_asked

Kind = TypeVar("Kind", TrainConfig, SupervisedConfig)
OnRow = Callable[[Row], None]
Out = str | Path | Literal[False] | None


@runtime_checkable
class WithNetwork(Protocol):
    """An `on_row` that wants the network too: `with_network` is called in its place.

    The network is the one that is being trained: it must not be changed, and copied to be kept.
    """

    def __call__(self, row: Row) -> None: ...

    def with_network(self, row: Row, network: QNetwork) -> None: ...


def check_config(config: Any, expected: type[Kind], own: str, other: str) -> Kind:
    """Return a configuration of the kind that a training function takes, with valid fields.

    Raises ValueError for another kind, and for what `model_copy` leaves unchecked.
    """
    if isinstance(config, expected):
        given = vars(config).items()
        fields = {name: vars(v) if isinstance(v, Config) else v for name, v in given}
        return type(config).model_validate(fields)
    name = expected.__name__
    if isinstance(config, TrainConfig | SupervisedConfig):
        raise ValueError(
            f"config is a {type(config).__name__}; {own} takes a {name}: pass it to {other}, or "
            f"make a {name}."
        )
    what = "..." if not isinstance(config, str) else repr(config)
    raise ValueError(f"config is {show(config)}; expected a {name}, such as {name}(task={what}).")


def check_callback(on_row: Any) -> None:
    """Raise ValueError unless `on_row` is None or can be called with a row of the metrics."""
    if on_row is not None and not callable(on_row):
        raise ValueError(f"on_row is {show(on_row)}; expected a function of one row, or None.")


class Trainer(ABC):
    """Trains from one row of metrics, with its checkpoint, to the next.

    A training loop is a subclass: `DQNTrainer` or `SupervisedTrainer`. It defines `advance`,
    `state` and `load_state`; `load_state` must restore everything that affects later results.

    Args:
        device: device of the network.
        threads: number of torch threads.
    """

    config: AnyConfig  # as `resolve_defaults` returns it
    learner: Learner
    obs_size: int
    n_actions: int

    def __init__(self, device: torch.device, threads: int) -> None:
        self.device, self.threads = device, check_threads(threads)
        self.trials = self.env_steps = self.saved = 0  # saved: trials at the last checkpoint
        self.rows: list[Row] = []

    @property
    def finished(self) -> bool:
        """Whether the training is over."""
        return self.trials >= self.config.trials

    @abstractmethod
    def advance(self, bar: tqdm, run: Run) -> Row:
        """Train up to the next multiple of `eval_freq` trials, and evaluate."""

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that `load_state` needs, except the rows: arrays, and what fits into JSON."""

    @abstractmethod
    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Restore what `state` returned; ValueError, with nothing changed, if it does not fit."""

    @abstractmethod
    def columns(self) -> list[str]:
        """Return the names in a row of metrics, in order."""

    def check_progress(self, meta: dict[str, Any]) -> None:
        """Raise ValueError unless the counters in `meta` are those of a checkpoint of this run.

        So must be the rows, if `meta` has them, and the last row must agree with the counters.
        """
        total, each = self.config.trials, self.config.eval_freq
        trials = check_integer("trials", meta.get("trials"), 0, total)
        check_integer("env_steps", meta.get("env_steps"), trials, 2**53)
        check_integer("updates", meta.get("updates"), 0, 2**53)
        if trials % each and trials != total:
            raise ValueError(f"trials is {trials}; expected a multiple of {each} (eval_freq)")
        if "rows" not in meta:
            return
        check_saved(meta)
        rows, columns = meta["rows"], self.columns()
        if len(rows) != -(-trials // each):
            raise ValueError(f"the rows of metrics are not those of {trials} trials")
        for i, row in enumerate(rows, start=1):
            if list(row) != columns:
                raise ValueError(f"row {i} of the metrics has not the columns {', '.join(columns)}")
            if row["trials"] != min(i * each, total):
                raise ValueError(
                    f"row {i} of the metrics is that of {shorten(row['trials'])} trials"
                )
        last = rows[-1] if rows else {}
        for name in ("env_steps", "updates") if rows else ():
            if last[name] != meta[name]:
                raise ValueError(f"{name} is {meta[name]}, but {last[name]} in the last row")

    def train(
        self,
        out: Out,
        default: str,
        progress: bool,
        on_row: OnRow | None,
        initial_weights: str = "seed",
    ) -> Run:
        """Create a run and train it; the folder is locked for as long as that takes.

        The arguments are those of `create_run` and `fit`.
        """
        if out is not None and out is not False and not (isinstance(out, str | Path) and str(out)):
            raise ValueError(
                f"out is {show(out)}; expected a folder, None for {default}, or False for none."
            )
        if out is False:
            return self.fit(self.create_run(out, default, initial_weights), progress, on_row)
        folder = user_path(default if out is None else out)
        with lock_folder(folder):
            return self.fit(self.create_run(folder, "", initial_weights), progress, on_row)

    def create_run(self, out: Out, default: str, initial_weights: str = "seed") -> Run:
        """Create a run in the folder `out` (None: `default`), or in memory (False).

        `initial_weights` is the source of the initial weights: the "seed", or a given "network",
        whose weights must be saved immediately.
        """
        settings = {"initial_weights": initial_weights}
        if initial_weights == "network":  # part of the run's identity, as a seed is
            weights = tensor_bytes(network_arrays(self.learner.network), {})
            settings["initial_weights_sha256"] = hashlib.sha256(weights).hexdigest()
        run = Run.create(
            None if out is False else Path(default if out is None else out),
            self.config,
            self.obs_size,
            self.n_actions,
            device=str(self.device),
            threads=self.threads,
            **settings,
        )
        if initial_weights == "network":
            self._save(run)
        return run

    def fit(self, run: Run, progress: bool, on_row: OnRow | None) -> Run:
        """Train to the end, and save a checkpoint and a row of metrics after every `advance`.

        Raises:
            RunError: the loss is not finite, or a file cannot be written.
            KeyboardInterrupt: it was interrupted; the message says how the run can be resumed.
        """
        total = self.config.trials
        bar = tqdm(total=total, initial=self.trials, unit="trial", disable=not progress)
        try:
            with bar, torch_threads(self.threads):
                bar.set_description(self.config.task)
                while not self.finished:
                    row = self.advance(bar, run)
                    self.rows.append(row)
                    self._save(run)
                    bar.set_postfix(_postfix(row))
                    if isinstance(on_row, WithNetwork):
                        on_row.with_network(dict(row), self.learner.network)
                    elif on_row is not None:
                        on_row(dict(row))  # a copy: the row is already saved
                    stop_if_asked()
        except NonFiniteLoss as error:
            last = f"trial {self.rows[-1]['trials']}" if self.rows else "none yet"
            remains = f"; the last good checkpoint remains ({last})" if run.path else ""
            raise RunError(
                f"Training stopped: {error}{remains}. Try a smaller learning_rate or max_grad_norm."
            ) from error
        except KeyboardInterrupt as error:
            if not error.args:
                error.args = (self._stopped(run),)
            raise
        return run

    def progressed(self, bar: tqdm, trials: int) -> None:
        """Advance the bar after a round of trials, the moment at which a signal may stop it."""
        bar.update(trials)
        stop_if_asked()

    def restore(self, run: Run) -> None:
        """Load the last checkpoint of a run folder, if there is one, and mend what it can mend.

        Raises:
            RunError: resume.safetensors is lost, damaged, or does not fit; or a file cannot be
                written.
        """
        path = run.folder
        file = path / "resume.safetensors"
        if not file.exists():
            if max(run.checkpoints, default=0) > self.config.eval_freq:
                raise RunError(
                    f"{file} is missing, without which the training cannot go on from trial "
                    f"{run.checkpoints[-1]}: restore it, or train again into another folder; the "
                    "checkpoints can still be used."
                )
            if run.content.get("initial_weights") == "network":
                raise RunError(
                    f"{path} was to begin with the weights of a network and was interrupted before "
                    "they were saved; train again, into another folder."
                )
            return
        arrays, meta = read_tensors(file, run.identity)
        try:
            check_saved(meta)
            self.load_state(arrays, meta)
            self.rows = meta["rows"]
        except ValueError as error:
            raise RunError(
                f"{path}/resume.safetensors does not belong to the run that {path}/config.json "
                f"describes ({error}); restore the file that does."
            ) from error
        self.saved = self.trials
        for mended in mend(run, arrays, meta):
            warnings.warn(f"{mended} was missing or damaged and is written anew.", stacklevel=3)

    def _save(self, run: Run) -> None:
        run.save(self.learner.network, self.rows, *self.state())
        self.saved = self.trials

    def _stopped(self, run: Run) -> str:
        if run.path is None:
            return (
                f"Training stopped at trial {self.trials}; the run was only in memory, so that "
                "nothing is left to resume."
            )
        return (
            f"Training stopped at trial {self.trials}; `mpn-lab resume "
            f"{shlex.quote(str(run.path))}` continues from trial {self.saved}."
        )


def mend(run: Run, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> list[Path]:
    """Write the last checkpoint and metrics.csv anew if they are not as resume.safetensors says.

    Args:
        run: a run in a folder that is locked.
        arrays, meta: the content of resume.safetensors.

    Returns:
        The files that were missing or damaged.
    """
    mended = []
    weights = {name: array for name, array in arrays.items() if name.startswith("network.")}
    checkpoint, metrics = run.checkpoint_path(meta["trials"]), run.folder / "metrics.csv"
    if _content(checkpoint) != tensor_bytes(weights, {"trials": meta["trials"]}, run.identity):
        run.write_checkpoint(weights, meta["trials"])
        mended.append(checkpoint)
    rows, found = meta["rows"], _content(metrics)
    if rows and found != csv_of(rows):
        run.write_metrics(rows)
        if not is_csv_of(found, rows):
            mended.append(metrics)
    return mended


def _content(path: Path) -> bytes:
    """Return a file's content; b"" if it cannot be read."""
    try:
        return read_regular_file(path)
    except (OSError, ValueError):
        return b""


def _postfix(row: Row) -> dict[str, str]:
    """Return what the progress bar says of a row; nothing of what is unknown."""
    ideal = "" if math.isnan(row["ideal_accuracy"]) else f" of {row['ideal_accuracy']:.3f}"
    words = {
        "accuracy": f"{row['accuracy']:.3f}{ideal}",
        "mean_return": f"{row['mean_return']:.2f}",
        "loss": f"{row['loss']:.4f}",
        "epsilon": f"{row.get('epsilon', math.nan):.2f}",
    }
    known = [name for name in words if not math.isnan(row.get(name, math.nan))]
    return {name.removeprefix("mean_"): words[name] for name in known}
