"""A training run: its configuration, metrics and checkpoints."""

from __future__ import annotations

import copy
import csv
import io
import json
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import mpn_lab
from mpn_lab.checks import show
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import core_class, core_module
from mpn_lab.tasks.trial_env import check_task, task_module
from mpn_lab.training.config import CONFIGS, ConfigError, SupervisedConfig, TrainConfig
from mpn_lab.training.evaluate import Evaluation, evaluate
from mpn_lab.training.files import PARTIAL, RunError, read_tensors, write_tensors, write_whole
from mpn_lab.training.learner import load_arrays, make_network, network_arrays

if TYPE_CHECKING:
    import pandas as pd

AnyConfig = TrainConfig | SupervisedConfig
Row = dict[str, int | float]


class Run:
    """The result of training: a folder, or the same data in memory.

    The folder contains

    - `config.json`: the kind of training, "dqn" or "supervised", its configuration, the network's
      sizes, the modules that define task and core, device, threads, versions;
    - `metrics.csv`: one row per `eval_freq` trials;
    - `checkpoints/trial_NNNNNN.safetensors`: the weights after so many trials, as `network.NAME`;
    - `resume.safetensors`: everything that `resume` needs: the weights (`network.`, `target.`), the
      moments of Adam (`adam.`), the replay buffer (`buffer.`), the generators and the rows;
    - `stored_trials/trial_NNNNNN.safetensors`: trials with their states (`store_trials`).

    The tensor files are described in `mpn_lab.training.files`.

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
            RunError: the folder is in use or cannot be created.
        """
        kind = next(kind for kind, of_kind in CONFIGS.items() if isinstance(config, of_kind))
        content: dict[str, Any] = {"kind": kind, "config": config.model_dump()}
        content |= {"obs_size": obs_size, "n_actions": n_actions}
        modules = {"task": task_module(config.task), "core": core_module(config.core)}
        content |= {
            "modules": modules,
            **settings,
            "versions": {**package_versions(), "python": platform.python_version()},
        }
        if path is None:
            return cls(None, content, config)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise RunError(
                    f"{path} is not empty; resume the run that is in it, or choose another folder."
                )
        except OSError as error:
            raise RunError(f"{path} cannot be made a run folder: {error.strerror}.") from error
        write_whole(path / "config.json", (json.dumps(content, indent=2) + "\n").encode())
        return cls(path, content, config)

    def prepare_to_resume(self) -> None:
        """Delete files that a killed process left half written; warn if versions have changed."""
        for leftover in self.folder.rglob(f".*{PARTIAL}"):
            leftover.unlink()
        began = self.content.get("versions", {})
        now = {**package_versions(), "python": platform.python_version()}
        changed = [f"{n} {began.get(n)} to {v}" for n, v in now.items() if began.get(n) != v]
        if changed:
            warnings.warn(
                f"{self.path} was started with other versions ({', '.join(changed)}): it goes on, "
                "but its result may differ from that of an unbroken run.",
                stacklevel=3,
            )

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
        names = (self.path / "checkpoints").glob("trial_*.safetensors")
        return sorted(int(name.stem.removeprefix("trial_")) for name in names)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per `eval_freq` trials; `train` and `train_supervised` describe the columns."""
        import pandas as pd  # half a second that a training can do without

        if self.path is None:
            return pd.DataFrame(self.rows)

        path = self.path / "metrics.csv"
        try:
            return pd.read_csv(path)
        except FileNotFoundError:
            return pd.DataFrame()
        except (ValueError, pd.errors.ParserError) as error:
            raise RunError(
                f"{path} is damaged ({error}); resume the run to write it anew."
            ) from error

    @property
    def network(self) -> QNetwork:
        """The network after the last checkpoint."""
        if self._network is None:
            if not self.checkpoints:
                raise RunError(
                    f"the run {self._name} has no checkpoint yet; resume it to make one."
                )
            self._network = self.network_at(self.checkpoints[-1])
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
        arrays, _ = read_tensors(path)
        self.check_core()
        network = make_network(self.config, self.obs_size, self.n_actions)
        try:
            load_arrays(network, arrays)
        except RuntimeError as error:
            raise RunError(
                f"{path} holds weights that do not match the network in "
                f"{self.path}/config.json; restore the file that belongs there."
            ) from error
        return network.eval()

    def checkpoint_path(self, trials: int) -> Path:
        """The file of the weights after `trials` trials."""
        return self.folder / "checkpoints" / f"trial_{trials:06d}.safetensors"

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
        self.checkpoint_path(trials).parent.mkdir(exist_ok=True)
        write_tensors(self.checkpoint_path(trials), network_arrays(network), {"trials": trials})
        if rows:
            write_whole(self.path / "metrics.csv", _csv(rows))
        write_tensors(self.path / "resume.safetensors", arrays, meta | {"rows": rows})

    def __repr__(self) -> str:
        done = self.checkpoints[-1] if self.checkpoints else 0
        return f"Run({self._name}, {self.config.task}, {done} of {self.config.trials} trials)"

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
    path = Path(path).expanduser()
    try:
        content = json.loads((path / "config.json").read_text())
        kind = content["kind"]
        if kind not in CONFIGS:
            raise RunError(
                f"{path}/config.json has the kind {kind!r}; expected {' or '.join(CONFIGS)}: "
                "open it with the version that made it."
            )
        return Run(path, content, CONFIGS[kind].model_validate(content["config"]))
    except FileNotFoundError as error:
        raise RunError(f"{path} is not a run folder: it has no config.json.") from error
    except ConfigError as error:
        raise RunError(
            f"{path}/config.json is not a training configuration of this version: {error}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        what = str(error).rstrip(".")
        raise RunError(
            f"{path}/config.json is damaged or was not written by mpn_lab: {what}."
        ) from error


def network_of(network: Any) -> QNetwork:
    """Return a network, or a run's last one. Raises ValueError for anything else."""
    found = network.network if isinstance(network, Run) else network
    if not isinstance(found, QNetwork):
        raise ValueError(f"network is {show(network)}; expected a QNetwork or a Run.")
    return found


def package_versions(*more: str) -> dict[str, str]:
    """Versions of mpn_lab and of the libraries whose change may change a result."""
    names = ("torch", "neurogym", "gymnasium", "numpy", *more)
    return {"mpn_lab": mpn_lab.__version__} | {name: version(name) for name in names}


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)  # floats as repr: read back to the same bits
    return text.getvalue().encode()
