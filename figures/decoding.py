"""Fresh trials of an integration task, a network's responses, and a decoder of the label."""

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
FRESH = 0x66726573  # separates the seeds of these trials from those of training


class Responses(NamedTuple):
    """A network's responses in trials of an integration task."""

    label: np.ndarray  # [B] the correct action
    response: np.ndarray  # [B] the network's
    h: np.ndarray  # [B, T, n]

    @property
    def accuracy(self) -> float:
        return float((self.response == self.label).mean())


def draw_trials(
    task: Integration | dict[str, Any], trials: int = TRIALS, seed: int | None = None
) -> TaskBatch:
    """Fresh trials of a task, or of `Integration` with these arguments; without a seed always the
    same ones."""
    task = Integration(**task) if isinstance(task, dict) else task
    rng = np.random.default_rng(FRESH if seed is None else (FRESH, seed))
    return task.sample_batch(rng, trials)


@torch.no_grad()
def respond(
    network: QNetwork,
    task: Integration | dict[str, Any],
    trials: int = TRIALS,
    seed: int | None = None,
) -> Responses:
    """The network's responses in the trials of `draw_trials`."""
    batch = draw_trials(task, trials, seed)
    h, _ = network.core(torch.from_numpy(batch.obs))
    response = network.readout(h[:, -1]).argmax(1).numpy()
    return Responses(batch.ground_truth[:, -1], response, h.numpy())


def decode_label(features: np.ndarray, label: np.ndarray) -> float:
    """Share of held-out labels that a linear classifier reads off the features [B, k].

    A support vector classifier (one class against the others, balanced), 10-fold cross-validated,
    as in the paper.
    """
    classifier = LinearSVC(max_iter=100_000, class_weight="balanced", random_state=0)
    return float(cross_val_score(classifier, features, label, cv=FOLDS).mean())
