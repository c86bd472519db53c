"""Stored and replayed states of an untrained network whose weights drift: a small stand-in for
what `mpn_lab.analysis.staleness` finds in a run."""

import copy

import numpy as np
import torch
import xarray as xr

import mpn_lab

STRATEGIES = ("zero", "stored", "zero, burn-in 4", "stored, burn-in 4", "start")
SHARED = ("obs", "taken_action", "reward", "ground_truth", "valid")


@torch.no_grad()
def make_staleness(
    trials=6,
    ages=(0, 4, 16, 64, 256),
    window=10,
    burn_in=4,
    hidden=12,
    core="mpn",
    task="DelayMatchSample-v0",
    step=0.004,
):
    """The Dataset of the contract, computed as it is defined."""
    generator = torch.Generator().manual_seed(0)
    channels = len(mpn_lab.TrialEnv(task).channels)
    collector = mpn_lab.QNetwork(channels, 3, hidden_size=hidden, core=core, generator=generator)
    record = mpn_lab.record(collector, task, trials=trials, epsilon=0.05)
    obs = torch.from_numpy(np.nan_to_num(record["obs"].values))
    valid, T = record["valid"].values, record.sizes["time"]
    with_M = core == "mpn"
    networks = [drifted(collector, step * age**0.5) for age in ages]
    stored = states_before(collector, obs)
    Q_stored, Q_replayed, M_replayed = [], [[] for _ in STRATEGIES], [[] for _ in STRATEGIES]
    for network in networks:
        per_step = [network(obs[:, t : t + 1], stored[t])[0] for t in range(T)]
        Q_stored.append(torch.cat(per_step, 1).numpy())
        for k, name in enumerate(STRATEGIES):
            q, M = replay(network, obs, stored, name, window, burn_in)
            Q_replayed[k].append(q)
            M_replayed[k].append(M)
    Q_stored = masked(np.stack(Q_stored), valid)
    Q_replayed = masked(np.stack([np.stack(q) for q in Q_replayed]), valid)
    every = ("strategy", "age", "trial", "time")
    size = np.nanmax(np.abs(Q_replayed), axis=(3, 4), keepdims=True)[..., 0]
    variables = {name: record[name] for name in SHARED}
    variables |= {
        "Q_stored": ((*every[1:], "action"), Q_stored),
        "Q_replayed": ((*every, "action"), Q_replayed),
        "Q_collected": record["Q"],
        **distances("dQ", every, np.linalg.norm(Q_replayed - Q_stored, axis=-1), size),
    }
    from_start = np.linalg.norm(Q_replayed - Q_replayed[-1:], axis=-1)
    variables["dQ_from_start"] = (every, from_start / size)
    flipped = Q_replayed.argmax(-1) != Q_stored.argmax(-1)
    variables["flipped"] = (every, flipped & valid)
    if with_M:
        M_stored = masked(torch.stack(stored, 1).numpy(), valid)
        M_replayed = masked(np.stack([np.stack(M) for M in M_replayed]), valid)
        raw = np.linalg.norm(M_replayed - M_stored, axis=(-2, -1))
        matrix = ("hidden", "input")
        variables |= {
            "M_stored": (("trial", "time", *matrix), M_stored),
            "M_replayed": ((*every, *matrix), M_replayed),
            **distances("dM", every, raw, np.linalg.norm(M_replayed, axis=(-2, -1))),
        }
    coords = dict(record.coords) | {
        "strategy": list(STRATEGIES),
        "age": list(ages),
        "step_in_window": ("time", np.arange(T) % window),
    }
    marks = {"window": window, "burn_in": burn_in, "collected_at": 64, "mpn_lab_staleness": 1}
    attrs = {k: v for k, v in record.attrs.items() if k != "mpn_lab_record"}
    return xr.Dataset(variables, coords, attrs | marks)


def drifted(network, distance):
    """A copy whose trained weights lie so far away, always in the same direction."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(1)
    for parameter in other.parameters():
        if parameter.requires_grad and parameter.dim():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += distance * noise * 0.5
    return other


def states_before(network, obs):
    """The state that acts at each step, [time] of [trial, ...]."""
    state = start(network, len(obs))
    states = []
    for t in range(obs.shape[1]):
        states.append(state)
        _, state = network(obs[:, t : t + 1], state)
    return states


def start(network, trials):
    layers = network.mpn_layers()
    return layers[0].initial_state(trials).clone() if layers else None


def replay(network, obs, stored, strategy, window, burn_in):
    """Q and M_{t-1} at each step as a strategy replays them, window by window."""
    T, burn_in = obs.shape[1], burn_in if "burn-in" in strategy else 0
    qs, Ms = [], []
    for first in range(0, T, T if strategy == "start" else window):
        last = T if strategy == "start" else min(first + window, T)
        begin = max(first - burn_in, 0)
        state = stored[begin] if strategy.startswith("stored") else start(network, len(obs))
        for t in range(begin, last):
            before = state
            q, state = network(obs[:, t : t + 1], state)
            if t >= first:
                qs.append(q)
                Ms.append(before)
    M = torch.stack(Ms, 1).numpy() if network.mpn_layers() else None
    return torch.cat(qs, 1).numpy(), M


def masked(values, valid):
    """nan after each trial's end; the axes trial and time are where valid fits."""
    ahead = next(k for k in range(values.ndim) if values.shape[k : k + 2] == valid.shape)
    mask = valid.reshape((1,) * ahead + valid.shape + (1,) * (values.ndim - ahead - 2))
    return np.where(mask, values, np.nan).astype(np.float32)


def distances(name, dims, raw, size):
    """Relative (0 where nothing differs, nan where that is not defined) and raw."""
    relative = np.divide(raw, size, out=np.full(raw.shape, np.nan), where=size > 0)
    relative = np.where((size == 0) & (raw == 0), 0.0, relative)
    return {
        name: (dims, relative.astype(np.float32)),
        f"{name}_raw": (dims, raw.astype(np.float32)),
    }
