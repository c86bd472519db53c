"""Tasks that draw whole batches of trials at once; as environments they draw batches of one."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class TaskBatch(NamedTuple):
    """B trials of T steps each, with d input channels.

    The first dimension of every array is the trial. `latent` holds the task's hidden variables at
    every step, [B, T] or, with one entry per action, [B, T, k]; `conditions` those of a trial.
    """

    obs: np.ndarray  # [B, T, d] float32
    ground_truth: np.ndarray  # [B, T] int64, the correct action: the label at every step
    mask: np.ndarray  # [B, T] bool, the steps that are trained and scored
    latent: dict[str, np.ndarray]  # name -> [B, T] or [B, T, k]
    conditions: dict[str, np.ndarray]  # name -> [B]


class BatchTask(gym.Env):
    """Asks for one of N classes at `go`, the last step of a trial.

    A subclass defines its trials in `sample_batch`; this class turns them into an environment. It
    marks trials as neurogym does: `info["new_trial"]` is true at a trial's last step, which returns
    the next trial's first observation.

    - Observation: `input_1` to `input_d`. Actions: `class_1` to `class_N`, no fixation.
    - Reward: 1 for the correct class at `go`, else 0; all actions before it are ignored.
    - `gt` [T]: the correct class at every step, as an action. `trial`: the trial's conditions.
      `latent`: the task's hidden variables at every step.

    Args:
        periods: name -> number of steps, in temporal order; periods of no step are left out.
        input_size: d.
        n_classes: N.
        noise: expected norm of the Gaussian noise on the input of a step.
        dt: duration of a step in ms.

    Raises:
        ValueError: fewer than two classes, no input, a negative noise, or a dt of 0 or less.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # gymnasium's own name
    action_0_is_response = True

    def __init__(
        self, periods: dict[str, int], input_size: int, n_classes: int, noise: float, dt: int
    ) -> None:
        if n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}; expected 2 or more")
        if input_size < 1:
            raise ValueError(f"input_size is {input_size}; expected 1 or more")
        if noise < 0:
            raise ValueError(f"noise is {noise}; expected 0 or more")
        if dt <= 0:
            raise ValueError(f"dt is {dt} ms; expected more than 0")
        self.input_size, self.n_classes, self.noise, self.dt = input_size, n_classes, noise, dt
        for name, steps in periods.items():
            if int(steps) != steps:
                raise ValueError(f"{name} has {steps} steps; expected a whole number")
        lengths = {name: int(steps) for name, steps in periods.items() if steps}
        ends = np.cumsum(list(lengths.values())).tolist()
        self.end_ind = dict(zip(lengths, ends, strict=True))  # of each period, as neurogym's
        self.start_ind = {name: end - lengths[name] for name, end in self.end_ind.items()}
        self.length = ends[-1]
        self.observation_space = spaces.Box(-np.inf, np.inf, (input_size,), np.float32)
        channels = {f"input_{i + 1}": i for i in range(input_size)}
        self.observation_space.name = channels  # type: ignore[attr-defined]  # neurogym's way
        self.action_space = spaces.Discrete(n_classes)
        classes = {f"class_{i + 1}": i for i in range(n_classes)}
        self.action_space.name = classes  # type: ignore[attr-defined]

    def sample_batch(self, rng: np.random.Generator, batch_size: int) -> TaskBatch:
        """Draw `batch_size` independent trials; they depend on `rng` alone."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        """Start a trial; a seed determines it and all later ones. Returns its first observation."""
        super().reset(seed=seed)
        self._start()
        return self._obs[0], {}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take one step; see the class."""
        truth = int(self.gt[self._t])
        correct = bool(self._asked[self._t]) and int(action) == truth
        self._t += 1
        info: dict[str, Any] = {"new_trial": self._t == self.length, "gt": truth}
        if info["new_trial"]:
            info["performance"] = float(correct)
            self._start()
        return self._obs[self._t], float(correct), False, False, info

    def _start(self) -> None:
        """Draw a trial."""
        one = self.sample_batch(self.np_random, 1)
        self._obs, self.gt, self._asked, self._t = one.obs[0], one.ground_truth[0], one.mask[0], 0
        self.latent = {name: values[0] for name, values in one.latent.items()}
        self.trial = {name: values[0].item() for name, values in one.conditions.items()}

    def _batch(
        self,
        rng: np.random.Generator,
        obs: np.ndarray,
        label: np.ndarray,
        latent: dict[str, np.ndarray],
        conditions: dict[str, np.ndarray],
    ) -> TaskBatch:
        """Make trials of noiseless `obs` [B, T, d] and labels [B]: add noise, score at `go`."""
        obs = obs.astype(np.float32)
        if self.noise:
            sd = np.float32(self.noise / np.sqrt(self.input_size))  # of each input
            obs += sd * rng.standard_normal(obs.shape, np.float32)
        truth = np.repeat(label.astype(np.int64)[:, None], self.length, axis=1)  # [B, T]
        mask: np.ndarray = np.zeros(truth.shape, bool)
        mask[:, self.start_ind["go"] :] = True
        return TaskBatch(obs, truth, mask, latent, {"label": truth[:, 0], **conditions})


def binary_vectors(
    rng: np.random.Generator, names: list[str], size: int, height: float
) -> dict[str, np.ndarray]:
    """Draw distinct random vectors of 0 and `height`, equally probable; none is all zero.

    Raises:
        ValueError: there are fewer such vectors of this size.
    """
    if len(names) > 2**size - 1:
        raise ValueError(
            f"there are only {2**size - 1} binary vectors of size {size} that are not zero, but "
            f"{len(names)} are needed ({', '.join(names[:4])} ...); give a larger input_size"
        )
    found: list[np.ndarray] = []
    while len(found) < len(names):
        vector = rng.random(size) < 0.5
        if vector.any() and not any(np.array_equal(vector, other) for other in found):
            found.append(vector)
    return {name: height * vector for name, vector in zip(names, found, strict=True)}
