"""A training run: its configuration, metrics and checkpoints."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mpn_lab.checks import show
from mpn_lab.files import make_folder, user_path, write_whole
from mpn_lab.loading import NotAFile, read_regular_file, shorten
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import core_class, core_module
from mpn_lab.tasks.registration import check_task, task_module
from mpn_lab.training.config import CONFIGS, SupervisedConfig, TrainConfig
from mpn_lab.training.evaluate import Evaluation, evaluate
from mpn_lab.training.files import (
    Row,
    RunError,
    csv_of,
    delete_leftovers,
    is_csv_of,
    numbered_file,
    numbered_files,
    read_meta,
    read_tensors,
    write_tensors,
)
from mpn_lab.training.learner import load_arrays, make_network, network_arrays
from mpn_lab.training.parse import LARGEST_CONFIG, check_saved, parse_run_file
from mpn_lab.training.provenance import describe_machine, identity_of, package_versions

if TYPE_CHECKING:
    import pandas as pd

AnyConfig = TrainConfig | SupervisedConfig


class Run:
    """The result of training: a folder, or the same data in memory.

    The folder contains

    - `config.json`: the kind of training, "dqn" or "supervised", its configuration, the network's
      sizes, the modules that define task and core; what the numbers depend on to the last bit:
      device, threads, versions, machine; and the identity of the run, a checksum of all this;
    - `metrics.csv`: one row per `eval_freq` trials;
    - `checkpoints/trial_NNNNNN.safetensors`: the weights after so many trials, as `network.NAME`;
    - `resume.safetensors`: everything that `resume` needs: the weights (`network.`, `target.`), the
      moments of Adam (`adam.`), the replay buffer (`buffer.`), the generators and the rows;
    - `stored_trials/trial_NNNNNN.safetensors`: trials with their states (`store_trials`).

    The tensor files contain the identity; they are described in `mpn_lab.training.files`.

    The folder contains no code, and opening it imports nothing. A run trained with `out=False` has
    no folder (`path` is None) and only its last network.

    Args:
        path: the folder, or None.
        content: the content of config.json.
        config: the configuration in it.
    """

    def __init__(self, path: Path | None, content: dict[str, Any], config: AnyConfig) -> None:
        self.path, self.content, self.config = path, content, config
        self.obs_size, self.n_actions = int(content["obs_size"]), int(content["n_actions"])
        self.rows: list[Row] = []  # of a run in memory
        self._network: QNetwork | None = None

    @classmethod
    def create(
        cls,
        path: Path | None,
        config: AnyConfig,
        obs_size: int,
        n_actions: int,
        **settings: Any,
    ) -> Run:
        """Create a run in a new or empty folder, or in memory.

        Args:
            path: the folder; None: in memory.
            config: the configuration, as `resolve_defaults` returns it.
            obs_size: number of channels of an observation.
            n_actions: number of actions of the task.
            settings: further entries of config.json.

        Raises:
            ValueError: config.json would not give back the configuration, for example nan.
            RunError: the folder is in use or cannot be created.
        """
        kind = next(kind for kind, of_kind in CONFIGS.items() if isinstance(config, of_kind))
        content: dict[str, Any] = {"kind": kind, "config": config.model_dump()}
        content |= {"obs_size": obs_size, "n_actions": n_actions}
        modules = {"task": task_module(config.task), "core": core_module(config.core)}
        content |= {
            "modules": modules,
            **settings,
            "versions": package_versions(),
            "machine": describe_machine(str(settings.get("device", "cpu"))),
        }
        content["identity"] = identity_of(content)
        if path is None:
            return cls(None, content, config)
        make_folder(path, RunError)
        try:
            if any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise RunError(
                    f"{path} is not empty; resume the run that is in it, or choose another folder."
                )
        except OSError as error:
            raise RunError(
                f"{path} cannot be read ({error.strerror}); make it readable."
            ) from error
        delete_leftovers(path)
        data = (json.dumps(content, indent=2) + "\n").encode()
        try:
            parse_run_file(data)
        except ValueError as error:
            raise ValueError(
                f"config.json could not be read again as it would be written: {error}; choose "
                "another value."
            ) from error
        write_whole(path / "config.json", data, RunError, "train again")
        return cls(path, content, config)

    @property
    def identity(self) -> str:
        """The checksum that names this run in each of its files."""
        return str(self.content["identity"])

    @property
    def folder(self) -> Path:
        """The path of the folder. Raises RunError for a run in memory."""
        if self.path is None:
            raise RunError(
                "this run is only in memory, but a run folder is needed; train again with out=None "
                "or out=FOLDER."
            )
        return self.path

    @property
    def checkpoints(self) -> list[int]:
        """Numbers of trials after which weights were saved, ascending."""
        if self.path is None:
            return [int(self.rows[-1]["trials"])] if self.rows else []
        return numbered_files(self.path / "checkpoints")

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per `eval_freq` trials; `train` and `train_supervised` describe the columns."""
        import pandas as pd  # half a second that a training can do without

        if self.path is None:
            return pd.DataFrame(self.rows)

        path, saved = self.path / "metrics.csv", self.saved  # which a training writes later
        try:
            data = read_regular_file(path)
        except NotAFile as error:
            raise RunError(
                f"{path} is not a file; move it away, then `mpn-lab check {self.path} --repair` "
                "writes it anew."
            ) from error
        except (FileNotFoundError, ValueError):  # missing, or larger than the memory
            data = b""
        except OSError as error:
            raise RunError(
                f"{path} cannot be read ({error.strerror}); make it readable."
            ) from error
        if saved is not None and not is_csv_of(data, saved["rows"]):
            raise RunError(
                f"{path} is missing, damaged or of another run; `mpn-lab check {self.path} "
                "--repair` writes it anew."
            )
        try:
            return pd.read_csv(io.BytesIO(data)) if data else pd.DataFrame()
        except (ValueError, pd.errors.ParserError) as error:
            raise RunError(f"{path} is damaged ({error}); restore it.") from error

    @property
    def saved(self) -> dict[str, Any] | None:
        """What `resume.safetensors` says of the last checkpoint, `trials` and `rows` among it.

        None: there is no such file. Raises RunError if it cannot be read.
        """
        path = self.folder / "resume.safetensors"
        if not path.exists():
            return None
        meta = read_meta(path, self.identity)
        try:
            check_saved(meta)
        except ValueError as error:
            raise RunError(
                f"{path} does not hold the state of a training ({error}); restore the file that "
                "belongs there."
            ) from error
        return meta

    @property
    def network(self) -> QNetwork:
        """The network after the last checkpoint."""
        if self._network is None:
            last = max(self.checkpoints, default=0)
            if not self.checkpoints:
                raise RunError(
                    f"the run {self._name} has no checkpoint yet; resume it to make one."
                )
            if self.path and (newest := self._saved_trials()) > last:
                raise RunError(
                    f"{self.checkpoint_path(newest)}, the last checkpoint, is missing; "
                    f"`mpn-lab check {self.path} --repair` writes it anew."
                )
            self._network = self.network_at(last)
        return self._network

    def network_at(self, trials: int) -> QNetwork:
        """The network as it was after `trials` trials (one of `checkpoints`). Raises RunError."""
        if trials not in self.checkpoints:
            raise RunError(
                f"the run {self._name} has no checkpoint at {trials} trials; expected one of "
                f"{', '.join(map(str, self.checkpoints)) or 'none yet'}."
            )
        if self.path is None:
            return self.network
        path = self.checkpoint_path(trials)
        arrays, meta = read_tensors(path, self.identity)
        if meta.get("trials") != trials:
            raise RunError(
                f"{path} holds the weights after {shorten(meta.get('trials'))} trials; restore the "
                "file that belongs there."
            )
        self.check_core()
        network = make_network(self.config, self.obs_size, self.n_actions)
        try:
            load_arrays(network, arrays)
        except ValueError as error:
            raise RunError(
                f"{path} holds weights that do not match the network in "
                f"{self.path}/config.json ({error}); restore the file that belongs there."
            ) from error
        return network.eval()

    def checkpoint_path(self, trials: int) -> Path:
        """The file of the weights after `trials` trials."""
        return self.folder / "checkpoints" / numbered_file(trials)

    def evaluate(
        self,
        trials: int = 1000,
        seed: int = 0,
        *,
        device: str | torch.device | None = None,
        threads: int = 1,
    ) -> Evaluation:
        """Evaluate the last network beside the ideal observer, on the same trials.

        See `mpn_lab.evaluate`; the state is reset as in training.
        """
        config = self.config
        self.check_task()
        return evaluate(
            self.network,
            config.task,
            config.task_kwargs,
            trials=trials,
            seed=seed,
            reset_state=config.reset_state,
            trials_per_episode=config.trials_per_episode,
            device=device,
            threads=threads,
        )

    def check_task(self) -> None:
        """Raise ValueError, naming the module that defined the task, if it is not registered."""
        check_task(self.config.task, self.content.get("modules", {}).get("task"))

    def check_core(self) -> None:
        """Raise ValueError, naming the module that defined the core, if it is not registered."""
        core_class(self.config.core, self.content.get("modules", {}).get("core"))

    def save(
        self,
        network: QNetwork,
        rows: list[Row],
        arrays: dict[str, np.ndarray],
        meta: dict[str, Any],
    ) -> None:
        """Write a checkpoint, or hold it in memory.

        `resume.safetensors` is written last: until it exists, the run is at the last checkpoint
        before this one, and `resume` rewrites the other files of this one.

        Args:
            network: whose weights are saved.
            rows: all metrics so far.
            arrays: with `meta`, the state of the trainer.
            meta: what fits into JSON; `trials` among it.
        """
        trials = meta["trials"]
        if self.path is None:
            self.rows, self._network = list(rows), copy.deepcopy(network).cpu().eval()
            return
        self._network = None
        self.write_checkpoint(network_arrays(network), trials)
        self.write_metrics(rows)
        meta = meta | {"rows": rows}
        write_tensors(self.path / "resume.safetensors", arrays, meta, self.identity)

    def write_checkpoint(self, weights: dict[str, np.ndarray], trials: int) -> None:
        """Write the weights after so many trials, as `network.NAME`."""
        path = self.checkpoint_path(trials)
        make_folder(path.parent, RunError)
        write_tensors(path, weights, {"trials": trials}, self.identity)

    def write_metrics(self, rows: list[Row]) -> None:
        """Write metrics.csv, if there are rows."""
        if rows:
            path = self.folder / "metrics.csv"
            write_whole(path, csv_of(rows), RunError, then="resume the run")

    def __repr__(self) -> str:
        done = self.checkpoints[-1] if self.checkpoints else 0
        return f"Run({self._name}, {self.config.task}, {done} of {self.config.trials} trials)"

    def _saved_trials(self) -> int:
        try:
            return int((self.saved or {}).get("trials", 0))
        except RunError:  # the checkpoints can be used without it; `check_run` reports it
            return 0

    @property
    def _name(self) -> str:
        return "in memory" if self.path is None else str(self.path)


def load_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        RunError: there is no run, or its configuration is damaged or was not written by mpn_lab.
    """
    if not isinstance(path, str | Path):
        raise RunError(f"the run is {show(path)}; expected the path of its folder.")
    path = user_path(path)
    file = path / "config.json"
    try:
        content, config = parse_run_file(read_regular_file(file, LARGEST_CONFIG))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path} is not a run folder: it has no config.json.") from error
    except OSError as error:
        raise RunError(f"{file} cannot be read ({error.strerror}); make it readable.") from error
    except ValueError as error:
        raise RunError(
            f"{file} is damaged or was not written by mpn_lab: {str(error).rstrip('.')}."
        ) from error
    if "identity" not in content:
        raise RunError(f"{file} has no identity: it is of an earlier version; train the run again.")
    if content["identity"] != identity_of(content):
        raise RunError(
            f"{file} was altered: its content has the identity {identity_of(content)[:12]}, not "
            f"{str(content['identity'])[:12]} as it says; restore it as the training wrote it."
        )
    return Run(path, content, config)


def network_of(network: Any) -> QNetwork:
    """Return a network, or a run's last one. Raises ValueError for anything else."""
    found = network.network if isinstance(network, Run) else network
    if not isinstance(found, QNetwork):
        raise ValueError(f"network is {show(network)}; expected a QNetwork or a Run.")
    return found
