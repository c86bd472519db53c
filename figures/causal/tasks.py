"""Delayed matching whose delay shows something or nothing, to find out what drives h there."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from neurogym.envs.native.delaymatchsample import DelayMatchSample

INPUTS = 10
"""Size of an observation, that of the embedding in mpn_lab's defaults."""


class DelayedMatch(DelayMatchSample):
    """DelayMatchSample with embedded observations, which may be exactly zero in the delay.

    obs = A (fixation, two stimuli, go), with a fixed random A [10, 4] and no bias. With
    `delay_input=False` nothing is shown in the delay: then x = 0 there, whatever the network is.

    Args:
        delay_input: whether the fixation cue stays on in the delay.
        vectors_seed: seed of A.
        **kwargs: of DelayMatchSample.
    """

    def __init__(self, delay_input: bool = True, vectors_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.delay_input = delay_input
        self.A = np.random.default_rng(vectors_seed).normal(size=(INPUTS, 4)) / np.sqrt(4)
        self.shown_space = self.observation_space  # of the three channels that the task fills in
        self.observation_space = spaces.Box(-np.inf, np.inf, shape=(INPUTS,), dtype=np.float32)

    def _new_trial(self, **kwargs: Any) -> dict[str, Any]:
        embedded = self.observation_space
        self.observation_space = self.shown_space
        trial = super()._new_trial(**kwargs)
        self.observation_space = embedded
        shown = self.ob  # (T, 3)
        go = np.zeros((len(shown), 1))
        go[self.start_ind["decision"] : self.end_ind["decision"]] = 1
        if not self.delay_input:
            shown[self.start_ind["delay"] : self.end_ind["delay"]] = 0
        self.ob = np.hstack([shown, go]) @ self.A.T
        return trial


gymnasium.register("figures/DelayedMatch-v0", entry_point=DelayedMatch)
