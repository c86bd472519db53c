"""Integration tasks: accumulate evidence over a sequence of inputs, and report it at the end.

The tasks are those of Aitken & Mihalas, eLife 2023;12:e83035, registered with gymnasium.
"""

from __future__ import annotations

from math import sqrt

import gymnasium as gym
import numpy as np

from mpn_lab.tasks.batches import BatchTask, TaskBatch, binary_vectors
from mpn_lab.tasks.evidence import evidence_vectors, sequences

INTEGRATION = "mpn_lab/Integration-v0"
CONTEXT_INTEGRATION = "mpn_lab/ContextIntegration-v0"
CONTINUOUS_INTEGRATION = "mpn_lab/ContinuousIntegration-v0"


class Integration(BatchTask):
    """Asks, at go, which of N classes appeared most often in a sequence of inputs.

    A trial consists of `stimulus` (steps - 1 inputs), `delay` (no input) and `go` (one step). Each
    class, null and go has its own random binary input vector, with entries 0 and sqrt(2 / d), so
    that its expected norm is 1. The evidence vector, which counts how often each class and null
    appear, is drawn uniformly from all those in which one class is the most frequent. Then the
    order of the inputs is drawn uniformly.

    With `anti`, every input of a trial, go and delay included, has a pro or an anti vector added; a
    trial is anti with probability 1/2. In an anti trial the *least* frequent class is correct, and
    its evidence vector is drawn uniformly from those in which one class is the most and one the
    least frequent (for two classes this is no further restriction).

    - Observation, [d]: `input_1` ...; actions: `class_1` ...; see `BatchTask`.
    - `latent`: `shown` [T], the class that is shown (0 to N - 1), N for null, N + 1 for go, -1 for
      no input; `evidence` [T, N], how often each class has appeared, this step included.
    - `trial`: `label` (the correct action), `evidence_1` ... (the final `evidence` of each class)
      and, with `anti`, `context` ("pro" or "anti").

    Args:
        n_classes: N.
        input_size: d.
        steps: number of steps of stimulus and go together.
        delay: number of steps between them; a trial has steps + delay in total.
        delay_input: expected norm of the input during the delay, another random binary vector
            scaled by this number; 0: the input is zero except for the noise.
        noise: expected norm of the Gaussian noise on the input of each step; its standard deviation
            is noise / sqrt(d) per entry.
        vectors_seed: seed of the vectors. They are drawn in the order null, go, classes, pro, anti,
            delay, so that a task with more classes shares the vectors of one with fewer.
        anti: whether there are anti trials.
        dt: duration of a step in ms.

    Raises:
        ValueError: fewer than two classes or more classes than stimulus steps; a negative delay,
            delay_input or noise; a dt that is not positive; or an input_size too small for the
            number of distinct vectors.
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
        delay_input: float = 0.0,
    ) -> None:
        if delay < 0:
            raise ValueError(f"delay is {delay} steps; expected 0 or more")
        if delay_input < 0:
            raise ValueError(f"delay_input is {delay_input}; expected 0 or more")
        if n_classes > steps - 1:
            raise ValueError(
                f"steps is {steps} and n_classes {n_classes}; expected at least one stimulus step "
                "per class and the go step"
            )
        self.anti, self.stimulus_steps = anti, steps - 1
        periods = {"stimulus": steps - 1, "delay": delay, "go": 1}
        super().__init__(periods, input_size, n_classes, noise, dt)
        evid = [f"evid_{i + 1}" for i in range(n_classes)]
        names = ["null", "go", *evid, *(("pro", "anti") if anti else ())]
        names += ["delay"] if delay_input else []
        rng = np.random.default_rng(vectors_seed)
        self.vectors = binary_vectors(rng, names, input_size, sqrt(2 / input_size))
        in_delay = delay_input * self.vectors.get("delay", np.zeros(input_size))
        rows = [self.vectors[name] for name in (*evid, "null", "go")]
        self.table = np.stack([*rows, in_delay])  # its last row is that of index -1

    def sample_batch(self, rng: np.random.Generator, batch_size: int) -> TaskBatch:
        """Draw `batch_size` independent trials; they depend on `rng` alone."""
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


class ContextIntegration(BatchTask):
    """Shows two integration tasks of two classes at once, and a context that selects one of them.

    The first half of the inputs shows subtask a, the second half subtask b, each with its own
    vectors for two classes and null. Their evidence vectors and orders are drawn independently, as
    in `Integration`, without ties. The context, one of two vectors over all inputs, selects the
    subtask whose more frequent class is correct. A trial has 40 steps:

    - retrospective: `stimulus` 19, `delay_1` 10, `context` 5, `delay_2` 5, `go` 1;
    - prospective: `delay_1` 10, `context` 5, `delay_2` 5, `stimulus` 19, `go` 1.

    All vectors have entries 0 and sqrt(2 / d), so that, as in `Integration`, the expected norm of
    the input of a step, both subtasks together, is 1.

    - Observation, [d]: `input_1` ...; actions: `class_1`, `class_2`; see `BatchTask`.
    - `latent`, for each subtask X (a and b): `shown_X` [T] (0 or 1: the class that is shown; 2:
      null, 3: go, 4: context a, 5: context b, -1: no input), `evidence_X` [T, 2], how often each
      of its classes has appeared, this step included.
    - `trial`: `label` (the correct action), `context` ("a" or "b", equally probable), `label_a` and
      `label_b` (the more frequent class of each subtask, as an action), `evidence_a_1` ...
      `evidence_b_2` (the final `evidence_X` of each class).

    Args:
        context: "retrospective", shown after the stimulus, or "prospective", shown before it.
        input_size: d, even.
        noise, dt: as in `Integration`.
        vectors_seed: seed of the vectors.

    Raises:
        ValueError: an unknown context; an input_size that is odd or too small for the number of
            distinct vectors; a negative noise; or a dt that is not positive.
    """

    def __init__(
        self,
        context: str = "retrospective",
        input_size: int = 50,
        noise: float = 0.1,
        vectors_seed: int = 0,
        dt: int = 100,
    ) -> None:
        if context not in ("retrospective", "prospective"):
            raise ValueError(f"context is {context!r}; expected retrospective or prospective")
        if input_size % 2 or input_size <= 0:
            raise ValueError(f"input_size is {input_size}; expected an even number above 0")
        periods = {"stimulus": 19, "delay_1": 10, "context": 5, "delay_2": 5, "go": 1}
        if context == "prospective":
            periods = {"delay_1": 10, "context": 5, "delay_2": 5, "stimulus": 19, "go": 1}
        super().__init__(periods, input_size, 2, noise, dt)
        rng, height = np.random.default_rng(vectors_seed), sqrt(2 / input_size)
        half, names = np.zeros(input_size // 2), ["evid_1", "evid_2", "null"]
        a = binary_vectors(rng, names, len(half), height)
        b = binary_vectors(rng, names, len(half), height)
        self.vectors = (
            {f"a_{name}": np.concatenate([a[name], half]) for name in names}
            | {f"b_{name}": np.concatenate([half, b[name]]) for name in names}
            | binary_vectors(rng, ["go", "context_a", "context_b"], input_size, height)
        )

    def sample_batch(self, rng: np.random.Generator, batch_size: int) -> TaskBatch:
        """Draw `batch_size` independent trials; they depend on `rng` alone."""
        which = rng.integers(2, size=batch_size)  # [B] the subtask that counts
        stimulus, context = (
            slice(self.start_ind[name], self.end_ind[name]) for name in ("stimulus", "context")
        )
        obs: np.ndarray = np.zeros((batch_size, self.length, self.input_size))
        vectors = self.vectors
        obs[:, -1] = vectors["go"]
        obs[:, context] = np.stack([vectors["context_a"], vectors["context_b"]])[which][:, None]
        labels: list[np.ndarray] = []
        latent: dict[str, np.ndarray] = {}
        conditions = {"context": np.array(["a", "b"])[which]}
        for name in "ab":
            steps = stimulus.stop - stimulus.start
            counts = evidence_vectors(rng, 2, steps, np.zeros(batch_size, bool))
            shown: np.ndarray = np.full((batch_size, self.length), -1, np.int64)  # [B, T]
            shown[:, stimulus] = sequences(rng, counts)
            shown[:, context], shown[:, -1] = 4 + which[:, None], 3
            table = np.stack([vectors[f"{name}_{kind}"] for kind in ("evid_1", "evid_2", "null")])
            obs[:, stimulus] += table[shown[:, stimulus]]
            latent |= {f"shown_{name}": shown, f"evidence_{name}": _accumulated(shown, 2)}
            labels.append(counts[:, :2].argmax(1))
            conditions |= {f"label_{name}": labels[-1]}
            conditions |= {f"evidence_{name}_{i + 1}": counts[:, i] for i in range(2)}
        return self._batch(rng, obs, np.where(which, labels[1], labels[0]), latent, conditions)


class ContinuousIntegration(BatchTask):
    """Asks, at go, for the sign of the sum of an input whose strength varies from step to step.

    Each trial draws a mean, uniform in [-0.1875, 0.1875]. At each of the steps - 1 steps of
    `stimulus` the strength is the mean plus Gaussian noise of variance steps / 750, where `steps`
    includes go; it scales a random binary vector. Another vector marks `go`, the last step. Vectors
    and input noise are as in `Integration`.

    Positive evidence favours class_1, negative class_2. By default the question is the sign of the
    summed strengths, which are all visible: the ideal observer reaches 0.99. With asked="mean" it
    is the sign of the trial's mean, of which the strengths are only noisy samples: with 20 steps no
    observer exceeds 0.92. A tie (a sum of exactly 0) has probability 0 and counts for class_1.

    - Observation, [d]: `input_1` ...; actions: `class_1`, `class_2`; see `BatchTask`.
    - `latent`: `shown` [T], the strength, 0 at go; `evidence` [T], its sum, this step included.
    - `trial`: `label` (the correct action), `mean_strength` (as drawn), `summed_strength` (the
      final `evidence`).

    Args:
        input_size, noise, dt: as in `Integration`.
        steps: number of steps of stimulus and go together.
        asked: "sum" or "mean": the quantity whose sign is correct.
        vectors_seed: seed of the vectors.

    Raises:
        ValueError: fewer than two steps, another `asked`, a negative noise, a dt that is not
            positive, or an input_size below 2.
    """

    max_mean = 0.1875

    def __init__(
        self,
        input_size: int = 50,
        steps: int = 20,
        noise: float = 0.1,
        asked: str = "sum",
        vectors_seed: int = 0,
        dt: int = 100,
    ) -> None:
        if steps < 2:
            raise ValueError(f"steps is {steps}; expected at least one stimulus step and go")
        if asked not in ("sum", "mean"):
            raise ValueError(f"asked is {asked!r}; expected sum or mean")
        self.asked = asked
        super().__init__({"stimulus": steps - 1, "go": 1}, input_size, 2, noise, dt)
        rng, height = np.random.default_rng(vectors_seed), sqrt(2 / input_size)
        self.vectors = binary_vectors(rng, ["evid", "go"], input_size, height)

    def sample_batch(self, rng: np.random.Generator, batch_size: int) -> TaskBatch:
        """Draw `batch_size` independent trials; they depend on `rng` alone."""
        T = self.length
        mean = rng.uniform(-self.max_mean, self.max_mean, batch_size)
        shown = mean[:, None] + sqrt(T / 750) * rng.standard_normal((batch_size, T))  # [B, T]
        shown[:, -1] = 0
        evidence = shown.cumsum(axis=1)
        obs = shown[:, :, None] * self.vectors["evid"]
        obs[:, -1] = self.vectors["go"]
        total = evidence[:, -1]
        label = (total if self.asked == "sum" else mean) < 0
        latent = {"shown": shown, "evidence": evidence}
        conditions = {"mean_strength": mean, "summed_strength": total}
        return self._batch(rng, obs, label, latent, conditions)


def _accumulated(shown: np.ndarray, n_classes: int) -> np.ndarray:
    """Count how often each class has appeared, each step included. [B, T] -> [B, T, N]"""
    return (shown[:, :, None] == np.arange(n_classes)).cumsum(axis=1)


gym.register(INTEGRATION, f"{__name__}:Integration")
gym.register(CONTEXT_INTEGRATION, f"{__name__}:ContextIntegration")
gym.register(CONTINUOUS_INTEGRATION, f"{__name__}:ContinuousIntegration")
