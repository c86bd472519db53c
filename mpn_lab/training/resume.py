"""Resumes interrupted runs of both training loops."""

from __future__ import annotations

from pathlib import Path

import torch

from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.device import resolve_device, training_defaults
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.run import Run, load_run
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

    The result equals exactly that of a run without the interruption.

    Args:
        run: a run, or its folder.
        device, threads: as in `train`; None: those with which the run was started.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics.

    Raises:
        RunError: there is no run, the run is only in memory, or its files are damaged or belong to
            another run.
        ValueError: the task or core is not registered (the message names the module that
            registered it), or the device is not available.
    """
    check_callback(on_row)
    run = load_run(run.folder if isinstance(run, Run) else run)
    run.check_task()
    run.check_core()
    run.prepare_to_resume()
    where = resolve_device(run.content.get("device", "cpu") if device is None else device)
    threads = run.content.get("threads", 1) if threads is None else threads
    trainer: Trainer
    if isinstance(run.config, SupervisedConfig):
        trainer = SupervisedTrainer(run.config, where, threads)
    else:
        trainer = DQNTrainer(run.config, where, threads)
    trainer.restore(run)
    return trainer.fit(run, progress, on_row)
