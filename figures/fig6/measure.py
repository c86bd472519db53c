"""What figure 6 and its supplement measure: the values of one network with one seed.

Most networks here are trained for a value only, by `train_in_memory`, and not saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

import figures.fig3.measure as fig3
from figures.cache import Key, Measurements, Values, compute_missing
from figures.decoding import Responses, decode_label, draw_trials, respond
from figures.fig6.second_task import SECOND_INTEGRATION, SecondIntegration
from figures.networks import SEEDS, Trained, config_of, train_in_memory
from mpn_lab import QNetwork, SupervisedConfig
from mpn_lab.analysis.population import dimensions_filled
from mpn_lab.tasks.integration import Integration
from mpn_lab.training.config import StopConfig
from mpn_lab.training.learner import make_network

KINDS = ("MPN", "MPNpre", "RNN", "GRU")
CLASSES, LENGTHS = (2, 3, 5, 8), (10, 20, 50, 100, 200)
SMALL = {"MPN": ("MPN", 10), "MPN, d=40": ("MPN", 40), "GRU": ("GRU", 10), "RNN": ("RNN", 10)}
SIZES = ((25, 50), (50, 100))  # d, n of (d)
RATIOS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
READOUT_TRIALS = 32_000
MOST = 100_000  # trials that either task of (e) may take


def configs() -> dict[str, SupervisedConfig]:
    """The stored networks, figure 3's."""
    return fig3.configs(KINDS)


def compute_values(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """All values, measured now where they are missing."""
    return compute_missing("fig6", measurements(networks), fresh=fresh, processes=processes)


def measurements(networks: dict[str, Trained]) -> Measurements:
    """What measures each value, the quicker first."""
    result: Measurements = {}
    for seed in SEEDS:
        for kind in ("MPN", "GRU"):
            function = partial(novel_class, networks[f"fig3/{kind}-seed{seed}"])
            result[Key("novel class decoded", kind, seed)] = function
        for kind in ("MPN", "GRU"):
            result[Key("first task, lost", kind, seed)] = partial(forgetting, kind, seed)
    by_kind = {k: [networks[f"fig3/{k}-seed{seed}"] for seed in SEEDS] for k in KINDS}
    return result | noise_and_readout(by_kind) | capacities(SMALL)


def noise_and_readout(networks: Mapping[str, Sequence[Trained]]) -> Measurements:
    """What measures (c) and (d). Args: `networks`: kind -> by seed; (c) is of these."""
    result: Measurements = {}
    for kind, by_seed in networks.items():
        for seed, one in enumerate(by_seed):
            result[Key("accuracy, signal/noise 1", kind, seed)] = partial(noise_resistance, one)
            for d, n in SIZES:
                name = f"readout alone, d={d} n={n}"
                result[Key(name, kind, seed)] = partial(readout_alone, kind, seed, d, n, name)
    return result


def capacities(small: Mapping[str, tuple[str, int]]) -> Measurements:
    """What measures (a, b). Args: `small`: name -> network and d."""
    result: Measurements = {}
    for seed in SEEDS:
        for name, (kind, d) in small.items():
            tasks = {f"accuracy, N={N}": {"n_classes": N} for N in CLASSES}
            if d == 10:
                tasks |= {f"accuracy, T={T}": {"steps": T} for T in LENGTHS if T != 20}
            for quantity, task in tasks.items():
                same = ("accuracy, T=20",) if quantity == "accuracy, N=2" else ()
                result[Key(quantity, name, seed)] = partial(
                    capacity, kind, seed, (quantity, *same), input_size=d, **task
                )
    return result


def capacity(kind: str, seed: int, quantities: Iterable[str], **task_kwargs: Any) -> Values:
    """(a, b) Accuracy of a very small network, n = 3, once its loss in validation rises.

    As in the paper: a validation each 10 batches; the end is where the mean loss of the last 10 is
    above that of the 10 before them.
    """
    stop = StopConfig(accuracy=1.0, min_updates=0, stop_on_rising_loss=True)
    how = {"stop": stop, "eval_freq": 64 * 10, "trials": 64 * 10_000}
    config = config_of(kind, seed, hidden_size=3, task_kwargs=task_kwargs, **how)
    network, _ = train_in_memory(config)
    accuracy = respond(network, config.task_kwargs).accuracy
    return dict.fromkeys(quantities, accuracy)


def noise_resistance(one: Trained) -> Values:
    """(c) Accuracy at other ratios of |input| to |noise| (expected norms) than in training, 10."""
    return {
        f"accuracy, signal/noise {ratio:g}": respond(
            one.network, {**one.task[1], "noise": 1 / ratio}
        ).accuracy
        for ratio in RATIOS
    }


def readout_alone(kind: str, seed: int, d: int, n: int, quantity: str) -> Values:
    """(d) Accuracy where only the readout is fitted; eta = 1, lam = 0.95.

    The readout's cost, cross-entropy and L1, is convex: it is minimised on the h at go of 32,000
    trials. (After 4,000 batches of Adam at 1e-3 it was still falling.)
    """
    core_options = {} if kind in ("RNN", "GRU") else {"eta_init": 1.0}
    config = config_of(
        kind, seed, hidden_size=n, task_kwargs={"input_size": d}, core_options=core_options
    )
    task = Integration(**config.task_kwargs)
    network, rng = make_network(config, d, 2), np.random.default_rng((seed, READOUT_TRIALS))
    activity, labels = [], []
    with torch.no_grad():
        for _ in range(READOUT_TRIALS // 500):
            batch = task.sample_batch(rng, 500)
            activity.append(network.core(torch.from_numpy(batch.obs))[0][:, -1])
            labels.append(torch.from_numpy(batch.ground_truth[:, -1]))
    _fit(network.readout, torch.cat(activity), torch.cat(labels), config.l1)
    return {quantity: respond(network, config.task_kwargs).accuracy}


def _fit(readout: torch.nn.Linear, h: torch.Tensor, label: torch.Tensor, l1: float) -> None:
    """Minimise cross-entropy + L1 by L-BFGS."""
    optimizer = torch.optim.LBFGS(
        readout.parameters(), max_iter=300, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(readout(h), label)
        value = value + l1 * readout.weight.abs().sum()
        value.backward()
        return value

    optimizer.step(loss)


def forgetting(kind: str, seed: int) -> Values:
    """(e) Accuracy on a task before and after the network learned another.

    All is as in the paper: two classes and a delay; null and go keep their vectors, the classes get
    new ones, labels and readout stay. Both tasks are learned one trial an update, with an L1 of
    1e-6, to a rolling accuracy of 97 % over 10 validations (here one each 100 trials). Of a network
    that never reaches it only the updates are stored; the paper leaves such networks out.

    The turn is the angle between the first principal components of h over all steps: before, of the
    first task, and after, of the second; for a GRU, that of its line attractor. The dimensions are
    the participation ratio of the state, h or M, over all steps.
    """
    how: dict[str, Any] = {"batch_size": 1, "l1": 1e-6, "eval_freq": 100, "trials": MOST}
    how |= {"stop": StopConfig(accuracy=0.97, min_updates=0), "task_kwargs": {"delay": 20}}
    config = config_of(kind, seed, **how)
    kwargs = config.task_kwargs
    first, updates = train_in_memory(config)
    if updates == MOST:
        return {"first task, updates": updates}
    config = config_of(kind, seed, SECOND_INTEGRATION, **how)
    second, more_updates = train_in_memory(config, first)
    if more_updates == MOST:
        return {"first task, updates": updates, "second task, updates": more_updates}
    task = SecondIntegration(**kwargs)
    before, after, new = respond(first, kwargs), respond(second, kwargs), respond(second, task)
    cosine = abs(float(first_component(before.h) @ first_component(new.h)))
    filled = dimensions(first, kwargs), dimensions(second, task)
    return {
        "first task, before": before.accuracy,
        "first task, after": after.accuracy,
        "first task, lost": before.accuracy - after.accuracy,
        "first task, updates": updates,
        "second task": new.accuracy,
        "second task, updates": more_updates,
        "turn of h, degrees": float(np.degrees(np.arccos(min(1.0, cosine)))),
        "dimensions of the state, before": filled[0],
        "dimensions of the state, after": filled[1],
        "dimensions of the state, gained": filled[1] - filled[0],
    }


def first_component(h: np.ndarray) -> np.ndarray:
    """The first principal component [n] of h [B, T, n] over all steps."""
    return PCA(1, random_state=0).fit(h.reshape(-1, h.shape[2])).components_[0]


@torch.no_grad()
def dimensions(network: QNetwork, task: Integration | dict[str, Any], trials: int = 100) -> float:
    """The participation ratio of a network's state over all steps of fresh trials."""
    obs = torch.from_numpy(draw_trials(task, trials).obs)
    states = network(obs, return_states=True)[2].states.flatten(0, 1).flatten(1)
    return dimensions_filled(states.double().numpy())


def novel_class(one: Trained) -> Values:
    """(h) How well the label of a three-class task is read off the last state, untrained for it.

    The network knows two classes; the third has a vector that it never saw. Of a GRU the last
    state is h at go, of an MPN M before go (M_T is never read), in its first 100 principal
    components, as many as h has units. Classifier as in figure 5b; every network has trials of its
    own, so that the error of their number is in that of the mean. `from h`: off h at go.
    """
    states, responses = last_states(one)
    return {
        "novel class decoded": decode_label(states, responses.label),
        "novel class decoded, from h": decode_label(responses.h[:, -1], responses.label),
        "accuracy": respond(one.network, one.task[1]).accuracy,
    }


def last_states(one: Trained, components: int = 100) -> tuple[np.ndarray, Responses]:
    """The last states of three-class trials [B, components], and the responses in them."""
    kwargs, seed = {**one.task[1], "n_classes": 3}, one.config.seed
    responses = respond(one.network, kwargs, seed=seed)
    if not one.network.mpn_layers():
        return responses.h[:, -1], responses
    with torch.no_grad():
        obs = torch.from_numpy(draw_trials(kwargs, seed=seed).obs)  # (B, T, d)
        _, M = one.network.core(obs[:, :-1])
    return PCA(components, random_state=0).fit_transform(M.flatten(1).numpy()), responses
