"""Configurations refuse what cannot be trained, survive config.json and explain their fields."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch

from mpn_lab import SupervisedConfig, TrainConfig, paper_config
from mpn_lab.tasks.integration import INTEGRATION
from mpn_lab.training.config import SequenceConfig, StopConfig
from mpn_lab.training.supervised import SupervisedTrainer

CONFIGS = (TrainConfig, SupervisedConfig, SequenceConfig, StopConfig)


@pytest.mark.parametrize(
    "bad",
    [
        {"gamma": 1.5},
        {"td_lambda": -0.1},
        {"trials": 0},
        {"learning_rate": 0},
        {"tau": 0},
        {"seed": -1},
        {"typo": 1},
    ],
)
def test_bad_values_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TrainConfig(**bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sequence": {"window": 4, "burn_in": 4}}, "burn_in is 4 steps and window 4"),
        (
            {"sequence": {"burn_in": 2, "start": "replayed"}},
            "already starts from the trial's start",
        ),
        ({"trials_per_episode": 5}, "reset_state='trial' makes every trial an episode"),
        ({"trials_per_episode": 7, "reset_state": "never"}, "trials is 2500; expected a multiple"),
        ({"store_trials": 26}, "store_trials is 26; expected at most the 25"),
    ],
)
def test_strategies_that_do_not_fit_together(bad, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**bad)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"trials": 100}, "trials is 100; expected a multiple of the 64 trials in an update"),
        ({"trials_per_episode": 2}, "choose reset_state='episode'"),
        ({"reset_state": "never"}, "reset_state"),
        ({"l1": -1}, "l1"),
        ({"exploration_initial_eps": 1}, "exploration_initial_eps"),
        ({"stream_steps": 10, "loss_periods": ("go",)}, "trains all steps and carries the state"),
    ],
)
def test_supervised_settings_that_do_not_fit_together(bad, words):
    with pytest.raises(ValueError, match=words):
        SupervisedConfig(**bad)


def test_core_options_come_back_from_json_with_their_types():
    options = {"flag": True, "count": 1, "share": 1.0, "tiny": 1e-300, "mode": "a", "none": None}
    config = TrainConfig(core_options=options)
    again = TrainConfig.model_validate(json.loads(json.dumps(config.model_dump())))
    assert again == config
    assert [type(v) for v in again.core_options.values()] == [type(v) for v in options.values()]


@pytest.mark.parametrize(
    "value", [(1, 2), [1], {"a": 1}, np.float32(1), np.float64(1), torch.ones(1), torch.tanh]
)
def test_core_options_that_json_would_change_are_refused(value):
    with pytest.raises(ValueError, match=r"rate is .*expected a number, a string, True, False or"):
        TrainConfig(core_options={"rate": value})


def test_task_arguments_come_back_from_json():
    config = TrainConfig(task_kwargs={"timing": {"delay": ("uniform", (100, 200))}, "dt": 20})
    assert config.task_kwargs["timing"] == {"delay": ["uniform", [100, 200]]}
    assert TrainConfig.model_validate(json.loads(json.dumps(config.model_dump()))) == config


@pytest.mark.parametrize("value", [np.ones(2), {1: 2}, [np.float32(1)], len])
def test_task_arguments_that_json_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match=r"rates holds .* which a run's config.json cannot store"):
        TrainConfig(task_kwargs={"rates": value})


class Task(gym.Env):
    pass


@pytest.mark.parametrize("config", [TrainConfig, SupervisedConfig])
@pytest.mark.parametrize(
    ("task", "what"),
    [(Task(), "a Task object"), (Task, "Task"), (lambda: Task(), "<lambda>"), (3, "3")],
)
def test_a_task_that_is_not_an_id_is_refused_in_one_sentence(config, task, what):
    with pytest.raises(ValueError, match="a configuration names") as caught:
        config(task=task)
    words = "a configuration names its task by id: register it with gymnasium and give the id."
    assert str(caught.value) == f"task is {what}; {words}"


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_has_a_description_that_help_shows(config):
    for name, field in config.model_fields.items():
        assert len(field.description) > 5
        assert f"    {name}: {field.description}\n" in config.__doc__ + "\n"
    assert "\n\nArgs:\n" in config.__doc__


def test_paper_config_is_the_papers():
    network = SupervisedTrainer(paper_config(INTEGRATION)).learner.network
    assert network.readout.bias is None
    assert network.core.b is None
    assert (network.core.input_size, network.core.hidden_size) == (50, 100)
    assert abs(float(network.core.eta.detach())) < 3**0.5
    merged = paper_config(INTEGRATION, core_options={"update": "presynaptic"}).core_options
    assert merged == {
        "update": "presynaptic",
        "lam_max": 0.95,
        "bias": False,
        "eta_init": "uniform",
    }
    assert paper_config(INTEGRATION, core="gru").core_options == {}
