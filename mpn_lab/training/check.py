"""Checks that a run is complete and consistent, and restores what can be restored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpn_lab.loading import NotAFile, read_regular_file
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import CoreError
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.device import resolve_device
from mpn_lab.training.files import (
    LOCK,
    RunError,
    csv_of,
    delete_leftovers,
    is_csv_of,
    is_locked,
    leftovers,
    lock_folder,
    numbered_file,
    read_tensors,
)
from mpn_lab.training.parse import check_saved
from mpn_lab.training.resume import make_trainer
from mpn_lab.training.run import Run, load_run
from mpn_lab.training.stored_trials import load_stored_trials, stored_trials_checkpoints
from mpn_lab.training.trainer import mend

_PICTURES = ("learning_curve.png", "trial.png")  # of `mpn-lab plot`


@dataclass
class RunReport:
    """What `check_run` found, each a list of sentences."""

    name: str
    """The run, its task and how far it is."""
    found: list[str] = field(default_factory=list)
    """What is there and as it should be."""
    problems: list[str] = field(default_factory=list)
    """What is missing, damaged or does not belong there, and what would repair it."""
    repaired: list[str] = field(default_factory=list)
    """What was written anew or deleted."""
    others: list[str] = field(default_factory=list)
    """Files that are not the run's; they are ignored and left alone."""

    @property
    def ok(self) -> bool:
        """Whether everything is there, whole and consistent."""
        return not self.problems

    def __str__(self) -> str:
        lines = [self.name, *(f"  ok        {line}" for line in self.found)]
        lines += [f"  repaired  {line}" for line in self.repaired]
        lines += [f"  WRONG     {line}" for line in self.problems]
        lines += [f"  ignored   {name}" for name in self.others]
        verdict = "Everything is there, whole and consistent."
        if n := len(self.problems):
            verdict = f"{n} thing{'s' if n > 1 else ''} wrong."
        return "\n".join([*lines, verdict])


def check_run(run: str | Path | Run, repair: bool = False) -> RunReport:
    """Check that all files of a run are there, whole, and belong together.

    Args:
        run: a run in a folder, or the folder.
        repair: write the last checkpoint and metrics.csv anew if they are missing or damaged, which
            `resume.safetensors` allows, and delete what a killed process left half written.

    Raises:
        RunError: there is no run, its config.json is damaged or altered, or, for a repair, another
            process writes in its folder.

    Example:
        >>> print(check_run("runs/match"))  # doctest: +SKIP
    """
    run = load_run(run.folder if isinstance(run, Run) else run)
    repaired: list[str] = []
    if repair:
        with lock_folder(run.folder):
            repaired = _repair(run)
    report = _Check(run).report
    report.repaired = repaired
    return report


def _repair(run: Run) -> list[str]:
    left = "was left half written by a killed process: deleted."
    done = [f"{_inside(run, path)} {left}" for path in delete_leftovers(run.folder)]
    try:
        arrays, meta = read_tensors(run.folder / "resume.safetensors", run.identity)
        check_saved(meta)
    except (RunError, ValueError):  # the check says so
        return done
    return done + [f"{_inside(run, path)} is written anew." for path in mend(run, arrays, meta)]


class _Check:
    """One check of a run; its result is `report`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.report = RunReport("")
        self.expected: list[int] | None = None  # trials of the checkpoints; None: unknown
        self.weights: dict[str, np.ndarray] = {}  # of the last checkpoint
        self.report.found.append(f"config.json, identity {run.identity[:12]}")
        for check in (self._resume, self._checkpoints, self._metrics, self._stored, self._others):
            check()
        done = max(self.expected or self._list(lambda: run.checkpoints), default=0)
        config = run.config
        self.report.name = (
            f"{run.path}: {config.task}, {config.core}, seed {config.seed}, "
            f"{done} of {config.trials} trials"
        )

    def _resume(self) -> None:
        """Check resume.safetensors, by resuming from it if the task and the core are known."""
        run, path = self.run, self.run.folder / "resume.safetensors"
        if not path.exists():
            done = max(run.checkpoints, default=0)
            if done >= run.config.trials:
                self._wrong(path, "is missing: the run is finished and can be used, but its "
                            "checkpoints and metrics.csv cannot be verified.")  # fmt: skip
            elif done > run.config.eval_freq:
                self._wrong(path, f"is missing: the training cannot go on from trial {done}; "
                            "restore the file, or train again into another folder.")  # fmt: skip
            else:
                self.report.found.append("no checkpoint to resume from yet: it begins with trial 0")
            return
        try:
            arrays, meta = read_tensors(path, run.identity)
            check_saved(meta)
        except RunError as error:
            self.report.problems.append(self._short(error))
            return
        except ValueError as error:
            self._wrong(path, f"does not hold the state of a training ({error}); restore the file.")
            return
        rows, trials = meta["rows"], int(meta["trials"])
        begin = [0] if run.content.get("initial_weights") == "network" else []
        self.expected = begin + [int(row["trials"]) for row in rows]
        self.weights = {n: a for n, a in arrays.items() if n.startswith("network.")}
        try:
            run.check_task()
            run.check_core()
        except (ValueError, CoreError) as error:
            self.report.found.append(
                f"resume.safetensors, trial {trials}; not tried, since {error}"
            )
            return
        try:
            trainer = make_trainer(run.config, resolve_device("cpu"), 1)
            trainer.load_state(arrays, meta)
            trainer.rows = rows
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[0]
            self._wrong(path, f"does not fit the configuration ({reason}); restore the file.")
            return
        how = "it is finished" if trainer.finished else "`resume` goes on from there"
        self.report.found.append(f"resume.safetensors, trial {trials}: {how}")

    def _checkpoints(self) -> None:
        """Check the weights after every row, and that the last are those of resume.safetensors."""
        run, there = self.run, self._list(lambda: self.run.checkpoints)
        last, good = max(self.expected or [0]), []
        for trials in sorted({*there, *(self.expected or [])}):
            path = run.checkpoint_path(trials)
            mends = "; restore the file, since nothing else holds these weights"
            if trials == last and self.weights:
                mends = f"; `mpn-lab check {run.path} --repair` writes it anew"
            elif self.expected is not None and trials > last:
                mends = f"; `mpn-lab resume {run.path}` writes it again"
            if trials not in there:
                self._wrong(path, f"is missing{mends}.")
                continue
            try:
                arrays, _ = read_tensors(path, run.identity)
                run.network_at(trials)
            except RunError as error:
                self.report.problems.append(f"{self._reason(error)}{mends}.")
                continue
            except (ValueError, CoreError):  # the core is not registered: only its file is checked
                pass
            if trials == last and self.weights and not _equal(arrays, self.weights):
                self._wrong(path, f"has other weights than resume.safetensors{mends}.")
            elif self.expected is not None and trials > last:
                self.report.found.append(f"{_inside(run, path)}, which `resume` writes again")
            else:
                good.append(trials)
        self._found("checkpoints", good)

    def _metrics(self) -> None:
        run, path = self.run, self.run.folder / "metrics.csv"
        if not path.exists() and not self.expected:
            return
        mends = f"`mpn-lab check {run.path} --repair` writes it anew"
        rows = [] if self.expected is None else (run.saved or {}).get("rows", [])  # written later
        try:
            data = read_regular_file(path)
        except NotAFile:
            self._wrong(path, f"is not a file; move it away, then {mends}.")
            return
        except (FileNotFoundError, ValueError):  # missing, or larger than the memory
            data = b""
        except OSError as error:
            self._wrong(path, f"cannot be read ({error.strerror}); make it readable.")
            return
        if self.expected is None:
            self.report.found.append("metrics.csv, which cannot be verified")
            return
        if not data and rows:
            self._wrong(path, f"is missing; {mends}.")
        elif not is_csv_of(data, rows):
            self._wrong(path, f"is damaged or of another run; {mends}.")
        elif rows and data != csv_of(rows):
            self.report.found.append("metrics.csv, with a row that `resume` writes again")
        else:
            self.report.found.append(f"metrics.csv, {len(rows)} rows")

    def _stored(self) -> None:
        """Check the trials that were stored at every checkpoint from which the training went on."""
        run = self.run
        there = self._list(lambda: stored_trials_checkpoints(run.folder))
        stores = not isinstance(run.config, SupervisedConfig) and run.config.store_trials
        expected = [t for t in (self.expected or [])[:-1] if t] if stores else []
        folder, good = run.folder / "stored_trials", []
        for trials in sorted({*there, *expected}):
            path = folder / numbered_file(trials)
            mends = "; restore the file, since nothing else holds these trials"
            if self.expected is not None and trials >= max(self.expected or [0]):
                mends = f"; `mpn-lab resume {run.path}` writes it again"
            if trials not in there:
                self._wrong(path, f"is missing{mends}.")
                continue
            try:
                read_tensors(path, run.identity)
                if (network := self._network(trials)) is not None:
                    load_stored_trials(run, trials, network)
            except RunError as error:
                self.report.problems.append(f"{self._reason(error)}{mends}.")
                continue
            good.append(trials)
        self._found("stored trials", good)

    def _others(self) -> None:
        """List the files that are not the run's, and those that a killed process left."""
        run = self.run
        own = {"config.json", "resume.safetensors", "metrics.csv", *_PICTURES, LOCK}
        own |= {f"checkpoints/{numbered_file(t)}" for t in self._list(lambda: run.checkpoints)}
        stored = self._list(lambda: stored_trials_checkpoints(run.folder))
        own |= {f"stored_trials/{numbered_file(t)}" for t in stored}
        if is_locked(run.folder):
            self.report.found.append("another process is writing the run now")
        else:
            for path in leftovers(run.folder):
                own.add(_inside(run, path))
                self._wrong(path, "was left half written by a killed process; `mpn-lab resume` or "
                            f"`mpn-lab check {run.path} --repair` deletes it.")  # fmt: skip
        places = ("", "checkpoints", "stored_trials")
        for place in places:
            folder = run.folder / place
            names = sorted(p for p in folder.iterdir()) if folder.is_dir() else []
            for path in names:
                name = _inside(run, path)
                if name not in own and name not in places:
                    self.report.others.append(name + "/" * path.is_dir())

    def _list(self, numbers: Callable[[], list[int]]) -> list[int]:
        try:
            return numbers()
        except RunError as error:
            if self._short(error) not in self.report.problems:
                self.report.problems.append(self._short(error))
            return []

    def _network(self, trials: int) -> QNetwork | None:
        """Return the network of a checkpoint; None if it cannot be used or its core is unknown."""
        try:
            return self.run.network_at(trials)
        except (RunError, ValueError, CoreError):
            return None

    def _found(self, what: str, at: list[int]) -> None:
        listed = ", ".join(map(str, at))
        if len(at) > 8:
            listed = f"{at[0]}, {at[1]}, ... {at[-1]} ({len(at)} files)"
        if at:
            self.report.found.append(f"{what} at trial {listed}")

    def _wrong(self, path: Path, what: str) -> None:
        self.report.problems.append(f"{_inside(self.run, path)} {what}")

    def _reason(self, error: Exception) -> str:
        """Return what an error says of a file, without its remedy."""
        return self._short(error).split("; ")[0].rstrip(".")

    def _short(self, error: Exception) -> str:
        """Return an error's sentence, with paths inside the run's folder."""
        return str(error).replace(f"{self.run.path}/", "")


def _inside(run: Run, path: Path) -> str:
    return str(path.relative_to(run.folder))


def _equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )
