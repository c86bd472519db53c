"""The second task of figure 6: the same integration task with other vectors for the classes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from mpn_lab.tasks.integration import Integration

SECOND_INTEGRATION = "figures/SecondIntegration-v0"


class SecondIntegration(Integration):
    """`Integration` whose classes are shown by the vectors of the next N classes.

    All else is as in `Integration` with the same arguments, null and go included: they keep their
    vectors, and labels and actions stay.
    """

    def __init__(self, **task_kwargs: Any) -> None:
        super().__init__(**task_kwargs)
        N = self.n_classes
        more = Integration(**{**task_kwargs, "n_classes": 2 * N})
        for k in range(N):
            self.vectors[f"evid_{k + 1}"] = self.table[k] = more.table[N + k]


gym.register(SECOND_INTEGRATION, f"{__name__}:SecondIntegration")
