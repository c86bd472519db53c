"""A policy that takes the correct action at every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mpn_lab.tasks.trial_env import TrialEnv, are_actions

_State = tuple[tuple[int, ...], int]  # the environments whose trial is still running, and the step


class ExpertPolicy:
    """Takes the correct action at every step, read from the trial's ground truth.

    It collects trials like any other policy (`collect_trials`).

    Args:
        envs: the environments from which trials are collected, in order.
        fixate: take action 0 at every step instead.

    Raises:
        ValueError: at a trial's first step, if its ground truth is not an action at every step.
    """

    def __init__(self, envs: Sequence[TrialEnv], *, fixate: bool = False) -> None:
        self.envs, self.fixate = envs, fixate

    def step(self, obs: Tensor, state: _State | None) -> tuple[Tensor, _State]:
        """Value the correct actions as 1, all others as 0: obs [B, d] -> Q [B, A].

        `state` contains the running trials and their step; None: the first step of all trials.
        """
        where, t = (tuple(range(len(obs))), 0) if state is None else state
        q = torch.zeros(len(where), len(self.envs[0].actions))
        for row, i in enumerate(where):
            q[row, self._correct_action(self.envs[i], t)] = 1
        return q, (where, t + 1)

    def select_state(self, state: _State, index: Tensor) -> _State:
        """As of `Policy`."""
        where, t = state
        return tuple(where[k] for k in index.tolist()), t

    def join_states(self, states: list[_State]) -> _State:
        """As of `Policy`; an expert carries nothing from trial to trial."""
        raise NotImplementedError("an expert policy carries no state from trial to trial")

    def _correct_action(self, env: TrialEnv, t: int) -> int:
        if self.fixate:
            return 0
        truth = env.planned_ground_truth
        if t == 0 and not are_actions(truth, len(env.actions)):
            raise ValueError(
                f"{env.task_id} does not define the correct action at every step (it has no ground "
                "truth that is an action); train it on rewards, with mpn_lab.train."
            )
        return int(truth[t]) if truth is not None and t < len(truth) else 0
