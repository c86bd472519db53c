"""Resumes interrupted runs of both training loops."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.device import resolve_device, training_defaults
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.files import delete_leftovers, lock_folder
from mpn_lab.training.provenance import changes
from mpn_lab.training.run import AnyConfig, Run, load_run
from mpn_lab.training.supervised import SupervisedTrainer
from mpn_lab.training.trainer import OnRow, Trainer, check_callback


@training_defaults()
def resume(
    run: str | Path | Run,
    *,
    device: str | torch.device | None = None,
    threads: int | None = None,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Resume a run of `train` or `train_supervised` from its last checkpoint.

    The result equals exactly that of a run without the interruption. Before it goes on, what a
    killed process left half written is deleted, and the last checkpoint and metrics.csv are written
    anew if they are missing or damaged.

    Args:
        run: a run, or its folder.
        device, threads: as in `train`; None: those with which the run was started.
        progress: show a progress bar on standard error.
        on_row: as in `train`.

    Raises:
        RunError: there is no run, the run is only in memory, another process writes in its folder,
            or its files are damaged or belong to another run.
        ValueError: the task or core is not registered (the message names the module that
            registered it), or the device is not available.

    Warns:
        UserWarning: the versions, the machine, the device or the number of threads are not those
            that the run was started with; or a file had to be written anew.
    """
    check_callback(on_row)
    run = load_run(run.folder if isinstance(run, Run) else run)
    run.check_task()
    run.check_core()
    where = resolve_device(run.content.get("device", "cpu") if device is None else device)
    threads = run.content.get("threads", 1) if threads is None else threads
    trainer = make_trainer(run.config, where, threads)
    if changed := changes(run.content, str(where), threads):
        warnings.warn(
            f"{run.path} was started otherwise ({', '.join(changed)}): it goes on, but its result "
            "may differ from that of an unbroken run.",
            stacklevel=2,
        )
    with lock_folder(run.folder):
        delete_leftovers(run.folder)
        trainer.restore(run)
        return trainer.fit(run, progress, on_row)


def make_trainer(config: AnyConfig, device: torch.device, threads: int) -> Trainer:
    """Return the trainer of a configuration. Raises ValueError if its task cannot be trained."""
    if isinstance(config, SupervisedConfig):
        return SupervisedTrainer(config, device, threads)
    return DQNTrainer(config, device, threads)
