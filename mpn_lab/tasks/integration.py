"""Integration tasks: count what was shown, and respond at the end.

The tasks of Aitken & Mihalas, eLife 2023;12:e83035, registered with gymnasium by the ids below.
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
    """Asks at go which of N classes was shown most often in a sequence of inputs.

    A trial is `stimulus` (steps - 1 inputs), `delay` (nothing is shown) and `go` (one step). Each
    class, null and go are shown by a random binary vector of their own, with entries 0 and
    sqrt(2 / d), so that its expected norm is 1. How often each class and null are shown (the
    evidence vector) is drawn uniformly among all possible ones in which one class is shown more
    often than every other, then the order of the inputs uniformly.

    With `anti`, a vector for pro or anti is added to the input of every step, go and delay
    included; a trial is anti with probability 1/2. Then the *least* shown class is correct, and the
    evidence vector of an anti trial is drawn uniformly among those in which one class is shown
    more often and one less often than every other (for two classes that is the same).

    - Observation, [d]: `input_1` ...; actions: `class_1` ...; see `BatchTask`.
    - `latent`: `shown` [T], the class shown as action (0 to N - 1), N for null, N + 1 for go, -1
      for nothing; `evidence` [T, N], how often each class was shown up to and with this step.
    - `trial`: `label` (the correct action), `evidence_1` ... (the last `evidence` of each class)
      and, with `anti`, `context` ("pro" or "anti").

    Args:
        n_classes: N.
        input_size: d.
        steps: of stimulus and go together.
        delay: steps between the two; a trial has steps + delay in all.
        delay_input: expected norm of the input in the delay, a random binary vector of its own
            times this number; 0: the input there is zero, but for the noise.
        noise: expected norm of the Gaussian noise on every step's input, whose standard deviation
            is noise / sqrt(d) per entry.
        vectors_seed: fixes the vectors. They are drawn in the order null, go, classes, pro, anti,
            delay: a task with more classes has those of one with fewer.
        anti: whether there are anti trials.
        dt: ms a step.

    Raises:
        ValueError: fewer than two classes or more than stimulus steps, a negative delay,
            delay_input or noise, a dt that is not positive, or too few inputs for as many distinct
            vectors.
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


class ContextIntegration(BatchTask):
    """Shows two integration tasks of two classes at once, and a context: which of them counts.

    The first half of the inputs shows subtask a, the second subtask b, each with vectors of its own
    for its two classes and null. Their evidence vectors and orders are independent and drawn as in
    `Integration`, without a tie in either. The context, one of two vectors over all inputs, tells
    whose commonest class is correct. A trial has 40 steps:

    - retrospective: `stimulus` 19, `delay_1` 10, `context` 5, `delay_2` 5, `go` 1;
    - prospective: `delay_1` 10, `context` 5, `delay_2` 5, `stimulus` 19, `go` 1.

    All vectors have entries 0 and sqrt(2 / d): as in `Integration` the expected norm of a step's
    input is 1, both subtasks together.

    - Observation, [d]: `input_1` ...; actions: `class_1`, `class_2`; see `BatchTask`.
    - `latent`, for each subtask X of a and b: `shown_X` [T] (0 and 1: the class shown; 2: null, 3:
      go, 4: context a, 5: context b, -1: nothing), `evidence_X` [T, 2], how often each of its
      classes was shown up to and with this step.
    - `trial`: `label` (the correct action), `context` ("a" or "b", equally probable), `label_a` and
      `label_b` (each subtask's commonest class as action), `evidence_a_1` ... `evidence_b_2` (the
      last `evidence_X` of each class).

    Args:
        context: when it is shown: "retrospective", after the stimulus, or "prospective", before.
        input_size: d, even.
        noise, dt: as of `Integration`.
        vectors_seed: fixes the vectors.

    Raises:
        ValueError: an unknown context, an odd input_size or one too small for as many distinct
            vectors, a negative noise, or a dt that is not positive.
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
        """Draw `batch_size` independent trials; `rng` alone decides which."""
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
    """Asks at go for the sign of the summed strength of one input that varies from step to step.

    A trial draws a mean, uniform in [-0.1875, 0.1875]. At each of the steps - 1 steps of `stimulus`
    the strength is that mean plus Gaussian noise of variance steps / 750, where `steps` are all the
    trial's, go included; it multiplies one random binary vector. Another one shows `go`, the last
    step. Vectors and input noise are as in `Integration`.

    Positive evidence is for class_1, negative for class_2. What is asked is by default the sign of
    the strengths' sum, all of which was shown: the ideal observer has 0.99. With asked="mean" it is
    the sign of the trial's mean, from which the strengths shown often stray: 20 steps allow no
    more than 0.92. A tie, a sum of exactly 0, has probability 0 and would count for class_1.

    - Observation, [d]: `input_1` ...; actions: `class_1`, `class_2`; see `BatchTask`.
    - `latent`: `shown` [T], the strength, 0 at go; `evidence` [T], its sum up to and with this
      step.
    - `trial`: `label` (the correct action), `mean_strength` (as drawn), `summed_strength` (the last
      `evidence`).

    Args:
        input_size, noise, dt: as of `Integration`.
        steps: of stimulus and go together.
        asked: "sum" or "mean", whose sign is asked for.
        vectors_seed: fixes the vectors.

    Raises:
        ValueError: fewer than two steps, something else asked, a negative noise, a dt that is not
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
        """Draw `batch_size` independent trials; `rng` alone decides which."""
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
    """How often each class was shown up to and with each step. [B, T] -> [B, T, N]"""
    return (shown[:, :, None] == np.arange(n_classes)).cumsum(axis=1)


gym.register(INTEGRATION, f"{__name__}:Integration")
gym.register(CONTEXT_INTEGRATION, f"{__name__}:ContextIntegration")
gym.register(CONTINUOUS_INTEGRATION, f"{__name__}:ContinuousIntegration")
