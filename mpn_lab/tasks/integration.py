"""Integration tasks: count what was shown, answer at the end.

The tasks of Aitken & Mihalas, eLife 2023;12:e83035, registered with gymnasium by the ids below.
"""

from __future__ import annotations

from math import sqrt

import gymnasium as gym
import numpy as np

from mpn_lab.tasks.batches import BatchTask, TaskBatch, binary_vectors
from mpn_lab.tasks.evidence import evidence_vectors, sequences

INTEGRATION = "mpn_lab/Integration-v0"


class Integration(BatchTask):
    """See a sequence of inputs, each of one of N classes or null; at go, tell the commonest class.

    A trial is `stimulus` (steps - 1 inputs), `delay` (nothing is shown) and `go` (one step). Each
    class, null and go are shown by a random binary vector of their own, with entries 0 and
    sqrt(2 / d), so that its expected norm is 1. How often each class and null are shown (the
    evidence vector) is drawn uniformly among all possible ones in which one class is shown more
    often than every other, then the order of the inputs uniformly.

    With `anti`, a vector for pro or anti is added to the input of every step, go and delay
    included; a trial is anti with probability 1/2. Then the *least* shown class is right, and the
    evidence vector of an anti trial is drawn uniformly among those in which one class is shown
    more often and one less often than every other (for two classes that is the same).

    - Observation, [d]: `input_1` ...; actions: `class_1` ...; see `BatchTask`.
    - `latent`: `shown` [T], the class shown as action (0 to N - 1), N for null, N + 1 for go, -1
      for nothing; `evidence` [T, N], how often each class was shown up to and with this step.
    - `trial`: `label` (the right action), `evidence_1` ... (the last `evidence` of each class) and,
      with `anti`, `context` ("pro" or "anti").

    Args:
        n_classes: N.
        input_size: d.
        steps: of stimulus and go together.
        delay: steps between the two; a trial has steps + delay in all.
        noise: expected norm of the Gaussian noise on every step's input, whose standard deviation
            is noise / sqrt(d) per entry.
        vectors_seed: fixes the vectors. They are drawn in the order null, go, classes, pro, anti:
            a task with more classes has those of one with fewer.
        anti: whether there are anti trials.
        dt: ms a step.

    Raises:
        ValueError: fewer than two classes or more than stimulus steps, a negative delay or noise, a
            dt that is not positive, or too few inputs for as many distinct vectors.
    """

    def __init__(
        self,
        n_classes: int = 2,
        input_size: int = 50,
        steps: int = 20,
        delay: int = 0,
        noise: float = 0.1,
        vectors_seed: int = 0,
        anti: bool = False,
        dt: int = 100,
    ) -> None:
        if delay < 0:
            raise ValueError(f"delay is {delay} steps; expected 0 or more")
        if max(2, n_classes) > steps - 1:
            raise ValueError(
                f"steps is {steps} and n_classes {n_classes}; expected at least one stimulus step "
                "per class and the go step"
            )
        self.anti, self.stimulus_steps = anti, steps - 1
        periods = {"stimulus": steps - 1, "delay": delay, "go": 1}
        super().__init__(periods, input_size, n_classes, noise, dt)
        evid = [f"evid_{i + 1}" for i in range(n_classes)]
        names = ["null", "go", *evid, *(("pro", "anti") if anti else ())]
        rng = np.random.default_rng(vectors_seed)
        self.vectors = binary_vectors(rng, names, input_size, sqrt(2 / input_size))
        nothing = np.zeros(input_size)  # the last row: that of index -1
        self.table = np.stack([self.vectors[name] for name in (*evid, "null", "go")] + [nothing])

    def sample_batch(self, rng: np.random.Generator, batch_size: int) -> TaskBatch:
        """Draw `batch_size` independent trials; `rng` alone decides which."""
        N = self.n_classes
        anti = (rng.random(batch_size) < 0.5) & self.anti  # [B]
        counts = evidence_vectors(rng, N, self.stimulus_steps, anti)
        shown: np.ndarray = np.full((batch_size, self.length), -1, np.int64)  # [B, T]
        shown[:, : self.stimulus_steps] = sequences(rng, counts)
        shown[:, -1] = N + 1
        obs = self.table[shown]  # [B, T, d]
        final = counts[:, :N]
        label = np.where(anti, final.argmin(1), final.argmax(1))
        conditions = {f"evidence_{i + 1}": final[:, i] for i in range(N)}
        if self.anti:
            obs = obs + np.where(anti[:, None], self.vectors["anti"], self.vectors["pro"])[:, None]
            conditions["context"] = np.where(anti, "anti", "pro")
        latent = {"shown": shown, "evidence": _accumulated(shown, N)}
        return self._batch(rng, obs, label, latent, conditions)


def _accumulated(shown: np.ndarray, n_classes: int) -> np.ndarray:
    """How often each class was shown up to and with each step. [B, T] -> [B, T, N]"""
    return (shown[:, :, None] == np.arange(n_classes)).cumsum(axis=1)


gym.register(INTEGRATION, f"{__name__}:Integration")
