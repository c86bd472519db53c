"""What an accuracy is compared with, of what kind that is, and where it cannot be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mpn_lab.tasks.ideal import observer_kind
from mpn_lab.tasks.rollout import Trial
from mpn_lab.tasks.trial_env import TrialEnv

Ceiling = Literal["ideal observer", "best known", "oracle", "none"]
"""Where a ceiling on the accuracy comes from.

- "ideal observer": the best response that the observations allow. The network sees the same, so a
  ratio of 1 can be reached.
- "best known": a strategy that sees what the network sees, but need not be the best.
- "oracle": follows the task's ground truth, and may know what no observation shows.
- "none": nothing is known; the return is the measure.
"""

_FAULTS = {  # by the class of the task, in neurogym 2.3
    "neurogym.envs.native.postdecisionwager.PostDecisionWager": [
        "The reward and the performance expect the action one below the ground truth (fixation for "
        "choice 1), so that following the ground truth is never rewarded."
    ],
    "neurogym.envs.native.readysetgo.ReadySetGo": [
        "The ground truth responds one step late: it counts the interval from the end of the set "
        "cue, the reward from its start."
    ],
    "neurogym.envs.native.dualdelaymatchsample.DualDelayMatchSample": [
        "A trial counts as correct if either of its two tests is answered correctly."
    ],
    "neurogym.envs.native.tonedetection.ToneDetection": [
        "No response is rewarded or judged: the return is always 0, the accuracy unknown."
    ],
    "neurogym.envs.collections.yang19._DelayMatch1DResponse": [
        "A trial whose correct response is to fixate counts as wrong, whatever is done."
    ],
    **{
        f"neurogym.envs.native.reaching.{name}": [
            "The ground truth is an angle cut to a whole number, not an action, and the reward is "
            "measured from the cut angle."
        ]
        for name in ("Reaching1D", "Reaching1DWithSelfDistraction")
    },
}


def known_faults(env: TrialEnv) -> list[str]:
    """Return what is known to be wrong with the ground truth or performance of a task of neurogym.

    Where something is, following the ground truth is no ceiling.
    """
    kind = type(env.task)
    return list(_FAULTS.get(f"{kind.__module__}.{kind.__qualname__}", []))


def has_oracle(env: TrialEnv, trials: Sequence[Trial]) -> bool:
    """Whether following the ground truth of these trials gives a ceiling on the accuracy."""
    truths = all(trial.ground_truth is not None for trial in trials)
    responses = any(trial.correct_response is not None for trial in trials)
    return truths and responses and not known_faults(env)


def ceiling_kind(env: TrialEnv, trials: Sequence[Trial]) -> Ceiling:
    """Return the best kind of ceiling that there is for these trials."""
    return observer_kind(env) or ("oracle" if has_oracle(env, trials) else "none")
