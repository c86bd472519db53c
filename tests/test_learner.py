"""One update of the optimizer."""

import pytest

from mpn_lab import TrainConfig
from mpn_lab.training.horizon import resolve_defaults
from mpn_lab.training.learner import DQNLearner, Learner


def test_a_learner_needs_the_numbers():
    with pytest.raises(ValueError, match="learning_rate is None; `resolve_defaults`"):
        Learner(TrainConfig(), 3, 3)
    with pytest.raises(ValueError, match="gamma or td_lambda is None; `resolve_defaults`"):
        DQNLearner(TrainConfig(learning_rate=0.1), 3, 3)


def test_the_target_network_begins_as_the_trained_one():
    learner = DQNLearner(resolve_defaults(TrainConfig(hidden_size=4)), 3, 3)
    for name, value in learner.target.state_dict().items():
        assert value.equal(learner.network.state_dict()[name])
    assert not any(p.requires_grad for p in learner.target.parameters())
