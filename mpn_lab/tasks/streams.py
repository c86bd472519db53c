"""Streams of trials, cut into sequences of equal length, with the correct action at every step.

So neurogym's own `Dataset` feeds a supervised training, and so Aitken & Mihalas (eLife
2023;12:e83035) train their figure 7j.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from neurogym.core import TrialEnv as NeurogymTask

from mpn_lab.tasks.batches import TaskBatch
from mpn_lab.tasks.expert import are_actions
from mpn_lab.tasks.rollout import make_envs
from mpn_lab.tasks.trial_env import Task, TrialEnv

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

The list and the defaults are likely, not certain. In three of them no network can tell all correct
actions from the observations:

- DelayMatchCategory shows cos(theta) alone, while the category is the sign of sin(theta): match or
  not is a guess (with `dim_ring=3` or more it is not).
- HierarchicalReasoning never shows which rule is in force (an agent would find out by its rewards):
  the rule that is to be named, and with it the choice, is a guess between two.
- PulseDecisionMaking's trials have 250 steps (dt is 10 ms there): no sequence of 100 steps that
  reaches the decision holds more than the last two of the six pulses.
"""


class TrialStream:
    """Cuts the endless trials of `batch_size` environments into sequences of `steps` steps.

    A sequence begins where its environment's last one ended, in the middle of a trial or not, and
    runs over as many trials as fit. The environments are independent; each begins at a random step
    of its first trial. (Those of neurogym's `Dataset` begin with the trial, and where all trials
    are equally long they stay in phase: the first sequences then show its first steps alone.)

    The trials are the task's planned ones, to their latest possible end, whatever the network
    does: as in neurogym's `Dataset`, a response that would end a trial early does not. Where no
    observations are planned (every task but neurogym's), the trial is stepped with the correct
    actions.

    Args:
        task: an id such as "DelayMatchSample-v0", or a class or function that makes an environment.
        batch_size: B, the number of environments.
        steps: T, the length of a sequence in steps.
        seed: see `reseed`.
        task_kwargs: passed on to the task, for example `dt=20`.

    Attributes:
        channels: the names of the d channels.
        actions: the names of the actions; action 0 is fixation.
        dt: time step in ms.

    Raises:
        ValueError: what `TrialEnv` raises; a task whose ground truth is not an action at every
            step, or whose action 0 is a response like the others; a batch size or a number of steps
            below 1.
    """

    def __init__(
        self,
        task: Task,
        batch_size: int,
        steps: int = 100,
        seed: int | np.integer | Sequence[int] = 0,
        **task_kwargs: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1 environment.")
        if steps < 1:
            raise ValueError(f"steps is {steps}; expected sequences of at least 1 step.")
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
        self._planned = (
            one.env is one.task  # no wrapper that changes what is planned
            and isinstance(one.task, NeurogymTask)
            and isinstance(one.task.observation_space, spaces.Box)
            and one.task._ob_built
        )
        self.reseed(seed)

    def reseed(self, seed: int | np.integer | Sequence[int]) -> None:
        """Begin anew: `seed` alone fixes every batch from here on.

        Environment i is seeded from `[*seed, i]`, so that streams such as `(run, purpose, n)` need
        no state to be saved.
        """
        stream = [seed] if isinstance(seed, int | np.integer) else list(seed)
        self._trials = []  # each environment's current trial: obs [T', d] and truth [T']
        self._at = []  # the step of it that comes next
        for i, env in enumerate(self._envs):
            own, phase = np.random.SeedSequence([*stream, i]).generate_state(2).tolist()
            self._trials.append(self._trial(env, own))
            self._at.append(phase % len(self._trials[i][1]))

    def sample_batch(self) -> TaskBatch:
        """The next `steps` steps of every environment.

        All steps are in the mask: what is trained and scored is every step. `latent` holds

        - `responds` [B, T] bool: the steps at which the correct action is not action 0 (fixation).
          It is the decision period, but for trials in which fixation is correct to the end
          (GoNogo's no-go trials), and for tasks whose response is due at one step of a period
          (ReadySetGo). A response where none is due shows only in the accuracy over all steps:
          report both.
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
        """The next trial of an environment, or the first after seeding: obs [T', d], truth [T']."""
        if self._planned:
            task = env.task
            if seed is None:
                task.new_trial()
            else:
                env.reset(seed=seed)
            truth = self._checked(task.gt if task._has_gt else None)
            return task.ob.reshape(len(truth), -1), truth
        obs, _ = env.reset(seed=seed)
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
