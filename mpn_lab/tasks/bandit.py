"""A two-armed bandit whose better arm changes and can be known only from earlier trials.

The task is registered with gymnasium as "mpn_lab/ReversalBandit-v0".
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

REVERSAL_BANDIT = "mpn_lab/ReversalBandit-v0"


class ReversalBandit(gym.Env):
    """Offers two arms, shows whether the chosen one paid, and occasionally swaps the better one.

    One arm pays with probability p, the other with 1 - p, and before every trial they swap with
    probability `reversal`. A trial consists of `fixation`, `choice` (one step) and `feedback`,
    whose observation shows the chosen arm and whether it paid. The choice precedes the feedback, so
    nothing in a trial reveals its better arm: the accuracy of a network whose state is reset before
    every trial stays at 0.5.

    The task marks its trials as neurogym does (`info["new_trial"]` at a trial's last step, with the
    next trial's first observation). All random numbers of a trial are drawn before it begins, so
    that a seed gives the same arms and payments whatever is chosen.

    - Observation, [5]: `fixation` (1 except at the choice), `go` (1 at the choice), `arm_1`,
      `arm_2` (1 during the feedback for the chosen one), `paid` (1 or -1 during the feedback).
    - Actions: `fixation`, `arm_1`, `arm_2`. Reward: 1 or 0 for a choice, `abort` for an arm outside
      the choice.
    - `trial`: `better_arm` (1 or 2), `block_trial` (trials since it became the better one, some of
      them before the first) and `belief`, the probability that arm 1 is the better one, given all
      previous choices and
      payments.

    Args:
        p: probability that the better arm pays; more than 0.5.
        reversal: probability that the better arm changes before a trial; at most 0.5.
        fixation, feedback: durations in ms.
        dt: time step in ms.
        abort: reward for choosing an arm outside the choice period.

    Raises:
        ValueError: a probability is outside its range, or a period is shorter than one step.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # gymnasium's own name

    def __init__(
        self,
        p: float = 0.9,
        reversal: float = 0.05,
        fixation: int = 200,
        feedback: int = 200,
        dt: int = 100,
        abort: float = -0.1,
    ) -> None:
        if not 0.5 < p <= 1:
            raise ValueError(f"p is {p}; expected more than 0.5 and at most 1")
        if not 0 <= reversal <= 0.5:
            raise ValueError(f"reversal is {reversal}; expected 0 to 0.5")
        if not 0 < dt <= min(fixation, feedback):
            raise ValueError(
                f"dt is {dt} ms, fixation {fixation} ms and feedback {feedback} ms; expected "
                "periods of at least one dt"
            )
        self.p, self.reversal, self.dt, self.abort = p, reversal, dt, abort
        lengths = {"fixation": fixation // dt, "choice": 1, "feedback": feedback // dt}
        ends = np.cumsum(list(lengths.values())).tolist()
        self.end_ind = dict(zip(lengths, ends, strict=True))  # of each period, as neurogym's
        self.start_ind = {name: end - lengths[name] for name, end in self.end_ind.items()}
        self.length = ends[-1]
        self.observation_space = spaces.Box(-1, 1, (5,), np.float32)
        names = {"fixation": 0, "go": 1, "arm_1": 2, "arm_2": 3, "paid": 4}
        self.observation_space.name = names  # type: ignore[attr-defined]  # neurogym's way
        self.action_space = spaces.Discrete(3)
        self.action_space.name = {"fixation": 0, "arm_1": 1, "arm_2": 2}  # type: ignore[attr-defined]
        self.gt = np.zeros(self.length, np.int64)  # the correct action at every step
        self._better = 0  # none before the first reset

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        """Start a trial; a seed fixes it and all that follow. Returns its first observation."""
        super().reset(seed=seed)
        if seed is not None or not self._better:
            # The first trial may be any of a block, not only its first. The block's age is drawn
            # apart from the trials, which do not depend on it.
            age = np.random.default_rng() if seed is None else np.random.default_rng([seed, 1])
            self._better = 1 + int(self.np_random.random() < 0.5)
            self._block_trial = int(age.geometric(self.reversal) if self.reversal else 1) - 2
            self._belief = 0.5
            self._start(may_reverse=False)
        else:
            self._start()
        return self._observation(), {}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take one step; see the class."""
        truth = int(self.gt[self._t])
        chooses = self._t == self.start_ind["choice"]
        reward = 0.0 if chooses or action == 0 else self.abort
        if chooses and action != 0:
            self._chosen = int(action)
            # Exactly one of the arms pays, so that each outcome also determines the other.
            self._paid = (self._chosen == self._better) == self._better_pays
            reward = float(self._paid)
        self._t += 1
        info: dict[str, Any] = {"new_trial": self._t == self.length, "gt": truth}
        if info["new_trial"]:
            info["performance"] = float(self._chosen == self._better)
            self._believe()
            self._start()
        return self._observation(), reward, False, False, info

    def _start(self, may_reverse: bool = True) -> None:
        """Draw a trial."""
        reverses, pays = self.np_random.random(2) < (self.reversal, self.p)
        if may_reverse and reverses:
            self._better, self._block_trial = 3 - self._better, -1
        self._better_pays = bool(pays)
        self._block_trial += 1
        self._t, self._chosen, self._paid = 0, 0, False
        self.gt = np.zeros_like(self.gt)
        self.gt[self.start_ind["choice"]] = self._better
        self.trial = {
            "better_arm": self._better,
            "block_trial": self._block_trial,
            "belief": self._belief,
        }

    def _believe(self) -> None:
        """Update the belief by Bayes' rule, then by the chance of a reversal."""
        b = self._belief  # P(arm 1 is the better one)
        if self._chosen:
            speaks_for_1 = (self._chosen == 1) == self._paid
            like_1 = self.p if speaks_for_1 else 1 - self.p
            b = b * like_1 / (b * like_1 + (1 - b) * (1 - like_1))
        self._belief = b * (1 - self.reversal) + (1 - b) * self.reversal

    def _observation(self) -> np.ndarray:
        obs = np.zeros(5, np.float32)
        obs[1 if self._t == self.start_ind["choice"] else 0] = 1
        if self._t >= self.start_ind["feedback"] and self._chosen:
            obs[1 + self._chosen], obs[4] = 1, 1 if self._paid else -1
        return obs


gym.register(REVERSAL_BANDIT, f"{__name__}:ReversalBandit")
