"""The supplement of figure 7: how the evidence lies to the readout, and a GRU on true-anti."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

import figures.fig7.measure as fig7
import figures.figS.measure as figS
from figures.cache import Key, Measurements, Values, compute_missing
from figures.integration import accuracy_of, project_to_go
from figures.networks import SEEDS, Trained, config_of, train_in_memory
from mpn_lab import SupervisedConfig, TrialEnv

ALIGNED, ALIGNED_OTHER = "alignment, subtask that counts, step {}", "alignment, other, step {}"
TRIALS = 4_000  # so many that the other subtask averages out
FIRST = {"retrospective": 5, "prospective": 25}  # step, counted from 1: evidence has some spread


def configs() -> dict[str, dict[str, SupervisedConfig]]:
    """Task -> networks of figures 7 and S."""
    return {name: fig7.configs(name) for name in fig7.TASKS} | {
        name: figS.configs(name) for name in ("prospective context", "true-anti")
    }


def compute_values(networks: dict[str, list[Trained]], fresh: bool, processes: int) -> pd.DataFrame:
    """All values, measured now where they are missing. Args: `networks`: task -> by seed."""
    return compute_missing("fig7S", measurements(networks), fresh=fresh, processes=processes)


def measurements(networks: dict[str, list[Trained]]) -> Measurements:
    """What measures each value."""
    result: Measurements = {}
    for seed in SEEDS:
        for context in FIRST:
            one = networks[f"{context} context"][seed]
            result[Key(ALIGNED.format(39), context, seed)] = partial(alignments, one, context)
        one = networks["prospective context"][seed]
        result[Key(fig7.COUNTS.format(39), "prospective", seed)] = partial(fig7.differences, one)
        result[Key("accuracy, true-anti", "GRU", seed)] = partial(true_anti_by_a_gru, seed)
    return result


@torch.no_grad()
def alignments(one: Trained, context: str) -> Values:
    """(g, h) By step, for the subtask that counts and the other one."""
    task, task_kwargs = one.task
    batch = TrialEnv(task, **task_kwargs).task.sample_batch(np.random.default_rng(1), TRIALS)
    obs, of_a = torch.from_numpy(batch.obs), batch.conditions["context"] == "a"
    readout = one.network.readout.weight.numpy()
    readout = readout / np.linalg.norm(readout, axis=1, keepdims=True)  # (class, n)
    result, M = {}, None
    for step in range(1, obs.shape[1]):  # go, the last one, does not count: M_T is never read
        _, M = one.network.core(obs[:, step - 1 : step], M)
        if step < FIRST[context]:
            continue
        for quantity, same in ((ALIGNED, True), (ALIGNED_OTHER, False)):
            lines = []
            for subtask in fig7.SUBTASKS:
                here = of_a if (subtask == "a") == same else ~of_a
                counts = batch.latent[f"evidence_{subtask}"][here, step - 1]
                lines.append(evidence_line(one, M.numpy()[here], counts))
            cosines = np.stack(lines) @ readout.T  # (subtask, class)
            result[quantity.format(step)] = float(np.abs(cosines).mean())
    return result


def evidence_line(one: Trained, M: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The first principal component of h_GO, M averaged over trials of equal evidence. [n]

    Args:
        one: the network.
        M: [k, n, d].
        counts: how often each class of the subtask was shown, [k, 2].
    """
    evidence = counts[:, 0] - counts[:, 1]
    means = np.stack([M[evidence == e].mean(0) for e in np.unique(evidence)])
    return PCA(1).fit(project_to_go(one, means)).components_[0]


def true_anti_by_a_gru(seed: int) -> Values:
    """(c) Accuracy of a GRU that is trained for it alone."""
    network, updates = train_in_memory(config := config_of("GRU", seed, task_kwargs={"anti": True}))
    return {"accuracy, true-anti": accuracy_of(Trained(network, config, updates, np.nan))}
