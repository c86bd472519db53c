"""Defaults follow from the length of the trials; what is given stays."""

import pytest

from mpn_lab import SupervisedConfig, TrainConfig
from mpn_lab.training.horizon import resolve_defaults


@pytest.mark.parametrize(
    ("task", "kwargs", "share"),  # of 40 steps in a trial
    [
        ("DelayMatchSample-v0", {}, 1),  # 32 steps
        ("PerceptualDecisionMaking-v0", {}, 1),
        ("ContextDecisionMaking-v0", {}, 1),
        ("ContextDecisionMaking-v0", {"use_expl_context": True}, 1),
        ("Bandit-v0", {}, 1),  # one step, nothing planned
        ("DelayMatchSample-v0", {"dt": 20}, 40 / 160),
        ("PulseDecisionMaking-v0", {}, 40 / 250),
    ],
)
def test_the_horizon_follows_from_the_length_of_the_trials(task, kwargs, share):
    config = resolve_defaults(TrainConfig(task=task, task_kwargs=kwargs, seed=3))
    lam_max = config.core_options["lam_max"]
    assert config.gamma == lam_max == 1 - 0.01 * share
    assert config.td_lambda == 1 - 0.05 * share
    assert config.learning_rate == 0.004 * share**0.5
    if share == 1:  # to the last bit
        numbers = (config.gamma, config.td_lambda, config.learning_rate, lam_max)
        assert numbers == (0.99, 0.95, 4e-3, 0.99)
    assert resolve_defaults(config) is config
    assert resolve_defaults(TrainConfig(task=task, task_kwargs=kwargs)).gamma == config.gamma


def test_given_numbers_are_kept():
    long = {"task_kwargs": {"dt": 20}}
    given = TrainConfig(**long, td_lambda=0.0, core_options={"eta_init": 0.5})
    assert resolve_defaults(given) == given.model_copy(
        update={
            "gamma": 0.9975,
            "learning_rate": 0.002,
            "core_options": {"eta_init": 0.5, "lam_max": 0.9975},
        }
    )
    given = TrainConfig(**long, gamma=0.5, learning_rate=0.1, core_options={"lam_max": 0.8})
    assert resolve_defaults(given) == given.model_copy(update={"td_lambda": 0.9875})


def test_other_cores_and_supervised_training_get_what_they_have():
    config = TrainConfig(core="gru", task_kwargs={"dt": 20})
    assert resolve_defaults(config).core_options == {}
    config = SupervisedConfig(task_kwargs={"dt": 20})
    assert resolve_defaults(config) == config.model_copy(
        update={"core_options": {"lam_max": 0.9975}}
    )
