"""Going on with an interrupted run of either training loop."""

from __future__ import annotations

from pathlib import Path

import torch

from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.device import resolve_device
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.run import Run, load_run
from mpn_lab.training.supervised import SupervisedTrainer
from mpn_lab.training.trainer import OnRow, Trainer


def resume(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    threads: int | None = None,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Go on with a run from its last checkpoint, to exactly where it would have ended unbroken.

    Takes runs of `train` and of `train_supervised`.

    Args:
        path: the run folder.
        device, threads: as of `train`; None: those that the run began with.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics.

    Raises:
        RunError: there is no run, or its files are damaged or belong to another one.
        ValueError: its task or core is not registered (the sentence names the module that
            registered it), or the device is not there.
    """
    run = load_run(path)
    run.check_task()
    run.check_core()
    run.prepare_to_resume()
    where = resolve_device(run.content["device"] if device is None else device)
    threads = run.content["threads"] if threads is None else threads
    trainer: Trainer
    if isinstance(run.config, SupervisedConfig):
        trainer = SupervisedTrainer(run.config, where, threads)
    else:
        trainer = DQNTrainer(run.config, where, threads)
    trainer.restore(run.folder)
    return trainer.fit(run, progress, on_row)
