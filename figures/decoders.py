"""What figures 5 and 6 share: fresh trials of a network, and how well labels are read off it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from mpn_lab import QNetwork
from mpn_lab.tasks.batches import TaskBatch
from mpn_lab.tasks.integration import Integration

TRIALS, FOLDS = 1_000, 10
FRESH = 0x66726573  # keeps the seeds of these trials apart from those of training


class Answers(NamedTuple):
    """Trials of an integration task and what a network made of them."""

    label: np.ndarray  # [B] the right action
    response: np.ndarray  # [B] the network's
    h: np.ndarray  # [B, T, n]

    @property
    def accuracy(self) -> float:
        return float((self.response == self.label).mean())


def draw(
    task: Integration | dict[str, Any], trials: int = TRIALS, seed: int | None = None
) -> TaskBatch:
    """Fresh trials of a task, or of its arguments; always the same ones, unless there is a seed."""
    task = Integration(**task) if isinstance(task, dict) else task
    return task.sample_batch(
        np.random.default_rng(FRESH if seed is None else (FRESH, seed)), trials
    )


@torch.no_grad()
def answers(
    network: QNetwork,
    task: Integration | dict[str, Any],
    trials: int = TRIALS,
    seed: int | None = None,
) -> Answers:
    """What a network makes of the trials of `draw`."""
    drawn = draw(task, trials, seed)
    h, _ = network.core(torch.from_numpy(drawn.obs))
    response = network.readout(h[:, -1]).argmax(1).numpy()
    return Answers(drawn.ground_truth[:, -1], response, h.numpy())


def decoded(features: np.ndarray, label: np.ndarray) -> float:
    """Share of held-out labels that a linear classifier reads off the features [B, k].

    A support vector classifier (one class against the others, balanced), 10-fold cross-validated,
    as in the paper.
    """
    classifier = LinearSVC(max_iter=100_000, class_weight="balanced", random_state=0)
    return float(cross_val_score(classifier, features, label, cv=FOLDS).mean())
