"""Streams of trials, cut into sequences of equal length, with the correct action at every step.

neurogym's `Dataset` supplies data for supervised training in this form, and Aitken & Mihalas (eLife
2023;12:e83035) train on it for their figure 7j.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpn_lab.checks import MOST_SIDE_BY_SIDE, check_int
from mpn_lab.tasks.batches import TaskBatch
from mpn_lab.tasks.expert import are_actions
from mpn_lab.tasks.making import Task
from mpn_lab.tasks.rollout import make_envs
from mpn_lab.tasks.trial_env import TrialEnv

PAPER_TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "ContextDecisionMaking": ("ContextDecisionMaking-v0", {"use_expl_context": True}),
    "SingleContextDecisionMaking": ("ContextDecisionMaking-v0", {"use_expl_context": False}),
    **{
        name: (f"{name}-v0", {})
        for name in (
            "DelayComparison",
            "DelayMatchCategory",
            "DelayMatchSample",
            "DelayMatchSampleDistractor1D",
            "DelayPairedAssociation",
            "DualDelayMatchSample",
            "GoNogo",
            "HierarchicalReasoning",
            "IntervalDiscrimination",
            "MotorTiming",
            "MultiSensoryIntegration",
            "OneTwoThreeGo",
            "PerceptualDecisionMaking",
            "PerceptualDecisionMakingDelayResponse",
            "ProbabilisticReasoning",
            "PulseDecisionMaking",
            "ReadySetGo",
        )
    },
}
"""The 19 tasks of the paper's figure 7j: its name -> the current neurogym id and arguments.

The list and the arguments are likely, not certain. In three of the tasks the observations do not
determine all correct actions:

- DelayMatchCategory shows only cos(theta), while the category is the sign of sin(theta), so that
  the response can only be guessed (unless `dim_ring` is 3 or more).
- HierarchicalReasoning never shows which of two rules applies (an agent would learn it from its
  rewards), so that the rule to report, and with it the choice, can only be guessed.
- PulseDecisionMaking's trials have 250 steps (its dt is 10 ms): a sequence of 100 steps that
  reaches the decision contains at most the last two of the six pulses.
"""


class TrialStream:
    """Cuts the continuing trials of `batch_size` environments into sequences of `steps` steps.

    A sequence begins where the previous one of its environment ended, possibly within a trial, and
    covers as many trials as fit. The environments are independent; each starts at a random step of
    its first trial. (Those of neurogym's `Dataset` start at the beginning of a trial: if all trials
    are equally long, they stay in phase, and the first sequences show only the first steps.)

    The trials run as planned by the task, to their latest possible end, whatever the network does:
    as in neurogym's `Dataset`, a response that would end a trial early does not end it. If a task
    does not plan its observations (any task that is not neurogym's), the correct actions are taken.

    Args:
        task: an id such as "DelayMatchSample-v0", or a class or function that makes an environment.
        batch_size: B, the number of environments.
        steps: T, the length of a sequence in steps.
        seed: see `reseed`.
        task_kwargs: arguments of the task, for example `dt=20`.

    Attributes:
        channels: the names of the d channels.
        actions: the names of the actions; action 0 is fixation.
        dt: time step in ms.

    Raises:
        ValueError: as in `TrialEnv`; the task's ground truth is not an action at every step, or its
            action 0 is a response; or a batch size or a number of steps below 1.
    """

    def __init__(
        self,
        task: Task,
        batch_size: int,
        steps: int = 100,
        seed: int | np.integer | Sequence[int] = 0,
        **task_kwargs: Any,
    ) -> None:
        check_int("batch_size", batch_size, 1, MOST_SIDE_BY_SIDE)
        check_int("steps", steps, 1)
        self.batch_size, self.steps = batch_size, steps
        self._envs = make_envs(task, task_kwargs, batch_size, [0])
        one = self._envs[0]
        self.task_id, self.dt = one.task_id, one.dt
        if getattr(one.task, "action_0_is_response", False):
            raise ValueError(
                f"{one.task_id} asks for a response at one step and has no fixation; streams train "
                "every step: train its whole trials instead."
            )
        self.channels, self.actions = one.channels, one.actions
        self._planned = one.planned_obs is not None
        self.reseed(seed)

    def reseed(self, seed: int | np.integer | Sequence[int]) -> None:
        """Restart the stream; all later batches depend on `seed` alone.

        Environment i is seeded with `[*seed, i]`. A stream that is reseeded from numbers such as
        `(run, purpose, n)` can be resumed without a saved state.
        """
        stream = [seed] if isinstance(seed, int | np.integer) else list(seed)
        for number in stream:
            check_int("seed", number, 0, None)
        self._trials = []  # each environment's current trial: obs [T', d] and truth [T']
        self._at = []  # the next step of that trial
        for i, env in enumerate(self._envs):
            own, phase = np.random.SeedSequence([*stream, i]).generate_state(2).tolist()
            self._trials.append(self._trial(env, own))
            self._at.append(phase % len(self._trials[i][1]))

    def sample_batch(self) -> TaskBatch:
        """Return the next `steps` steps of every environment.

        The mask is true at every step: all steps are trained and scored. `latent` holds

        - `responds` [B, T] bool: the steps at which the correct action is not action 0 (fixation).
          This is the decision period, except in trials in which fixation is correct to the end
          (GoNogo's no-go trials) and in tasks whose response is due at a single step (ReadySetGo).
          Responses at other steps lower only the accuracy over all steps: report both accuracies.
        - `trial_step` [B, T] int64: the step within its trial; 0 where a trial begins.
        """
        B, T = self.batch_size, self.steps
        obs = np.empty((B, T, len(self.channels)), np.float32)
        truth = np.empty((B, T), np.int64)
        trial_step = np.empty((B, T), np.int64)
        for i, env in enumerate(self._envs):
            (trial_obs, trial_truth), at = self._trials[i], self._at[i]
            t = 0
            while t < T:
                if at == len(trial_truth):
                    (trial_obs, trial_truth), at = self._trial(env), 0
                n = min(T - t, len(trial_truth) - at)
                obs[i, t : t + n] = trial_obs[at : at + n]
                truth[i, t : t + n] = trial_truth[at : at + n]
                trial_step[i, t : t + n] = range(at, at + n)
                t, at = t + n, at + n
            self._trials[i], self._at[i] = (trial_obs, trial_truth), at
        latent = {"responds": truth != 0, "trial_step": trial_step}
        return TaskBatch(obs, truth, np.ones((B, T), bool), latent, {})

    def _trial(self, env: TrialEnv, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the next trial, or the first after seeding: obs [T', d], ground truth [T']."""
        obs, _ = env.reset(seed=seed)
        if self._planned:
            truth = self._checked(env.planned_ground_truth)
            assert env.planned_obs is not None
            return env.planned_obs.reshape(len(truth), -1), truth
        planned, seen, ended = self._checked(env.planned_ground_truth), [obs], False
        while True:
            t = len(seen) - 1
            action = int(planned[t]) if t < len(planned) else 0
            obs, _, ended, cut, _ = env.step(action)
            if ended or cut:
                break
            seen.append(obs)
        truth = np.zeros(len(seen), np.int64)
        known = min(len(seen), len(planned))
        truth[:known] = planned[:known]
        return np.stack(seen), truth

    def _checked(self, truth: np.ndarray | None) -> np.ndarray:
        if truth is None or not are_actions(truth, len(self.actions)):
            raise ValueError(
                f"{self.task_id} does not define the correct action at every step (it has no "
                "ground truth that is an action), which supervised sequences need."
            )
        return truth
