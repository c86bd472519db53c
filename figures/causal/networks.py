"""The networks of the causal figures: ten seeds of each, trained by reward or by supervision."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from figures.networks import SEEDS, Config, Trained, config_of, load_or_train
from mpn_lab import SupervisedConfig, TrainConfig

CORES = ("MPN", "GRU")
MATCHING, CONTEXT = "matching", "context"
TASKS: dict[str, dict[str, Any]] = {
    MATCHING: {"task": "DelayMatchSample-v0", "trials": 2_500},
    CONTEXT: {
        "task": "ContextDecisionMaking-v0",
        "task_kwargs": {"use_expl_context": True},
        "trials": 25_000,
        "eval_freq": 1_000,
    },
}
"""Trained by reward, with the default configuration."""

INTEGRATION = "integration"
"""Figure 3's networks, trained by supervision on the paper's task."""

OLD = (250, 500, 1_000, 1_500)
"""Trials after which the weights of a matching MPN are kept too, to make stale states."""


class Variant(NamedTuple):
    """One way to train an MPN on `DelayedMatch`."""

    reward: bool  # by reward, or by supervision
    delay_input: bool  # whether anything is shown in the delay
    bias: bool  # of the hidden units


VARIANTS = [Variant(*map(bool, (r, i, b))) for r in (1, 0) for i in (1, 0) for b in (1, 0)]


def reward_config(task: str, core: str, seed: int) -> TrainConfig:
    """The default configuration of deep Q-learning on one of `TASKS`."""
    return TrainConfig(**TASKS[task], core=core.lower(), seed=seed)


def variant_config(variant: Variant, seed: int) -> Config:
    """A network of figure c: the default one without an embedding, in one of the eight ways."""
    options: dict[str, Any] = {
        "task": "figures/DelayedMatch-v0",
        "task_kwargs": {"delay_input": variant.delay_input, "vectors_seed": seed},
        "embedding": "none",
        "core_options": {"bias": variant.bias},
        "seed": seed,
    }
    if variant.reward:
        return TrainConfig(**options, trials=2_500)
    return SupervisedConfig(**options, trials=64 * 600, eval_freq=64 * 100, learning_rate=4e-3)


def variant_name(variant: Variant, seed: int) -> str:
    """Its name among the weights."""
    words = (
        "reward" if variant.reward else "supervised",
        "input" if variant.delay_input else "silence",
        "bias" if variant.bias else "nobias",
    )
    return f"causal/{'-'.join(words)}-seed{seed}"


@cache
def configs() -> dict[str, Config]:
    """NAME -> what is trained for these figures."""
    trained: dict[str, Config] = {}
    for task in TASKS:
        for core in CORES:
            for seed in SEEDS:
                trained[f"causal/{task}-{core}-seed{seed}"] = reward_config(task, core, seed)
    for variant in VARIANTS:
        trained |= {variant_name(variant, seed): variant_config(variant, seed) for seed in SEEDS}
    for core in CORES:
        trained |= {f"fig3/{core}-seed{seed}": config_of(core, seed) for seed in SEEDS}
    return trained


def old_weights() -> dict[str, tuple[int, ...]]:
    """NAME -> when the weights of a matching MPN are stored besides its last ones."""
    return {f"causal/{MATCHING}-MPN-seed{seed}": OLD for seed in SEEDS}


def network(task: str, core: str, seed: int) -> Trained:
    """One network of `TASKS` or of the integration task."""
    name = f"{'fig3/' if task == INTEGRATION else f'causal/{task}-'}{core}-seed{seed}"
    return load_or_train({name: configs()[name]}, old=old_weights())[name]


def variant(kind: Variant, seed: int) -> Trained:
    """One network of `VARIANTS`."""
    name = variant_name(kind, seed)
    return load_or_train({name: variant_config(kind, seed)})[name]


def old_network(seed: int, trials: int) -> Trained:
    """A matching MPN as it was after one of the `OLD` numbers of trials."""
    name = f"causal/{MATCHING}-MPN-seed{seed}"
    network(MATCHING, "MPN", seed)  # trains it if need be
    old = f"{name}-at{trials}"
    return load_or_train({old: configs()[name]})[old]


if __name__ == "__main__":
    load_or_train(configs(), old=old_weights())
