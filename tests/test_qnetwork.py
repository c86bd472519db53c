"""Embedding, core and readout together."""

import jaxtyping
import pytest
import torch

from mpn_lab import QNetwork

B, T, obs_size, A = 3, 7, 5, 4


@pytest.mark.parametrize("embedding", ["random", "linear", "none"])
@pytest.mark.parametrize("core", ["mpn", "gru", "lstm", "rnn"])
def test_one_step_at_a_time_equals_the_whole_trial(core, embedding, generator):
    network = QNetwork(obs_size, A, core=core, embedding=embedding, generator=generator)
    obs = torch.randn(B, T, obs_size, generator=generator)
    whole, _ = network(obs)
    assert whole.shape == (B, T, A)
    state = None
    for t in range(T):
        q, state = network.step(obs[:, t], state)
        torch.testing.assert_close(q, whole[:, t])


def test_activity_is_what_q_was_computed_from(generator):
    network = QNetwork(obs_size, A, hidden_size=8, embedding_size=6, generator=generator)
    obs = torch.randn(B, T, obs_size, generator=generator)
    q, _, activity = network(obs, return_states=True)
    assert activity.embedded.shape == (B, T, 6)
    assert activity.states.shape == (B, T, 8, 6)
    torch.testing.assert_close(network.readout(activity.h), q)


def test_random_projection_is_fixed_and_not_zero_at_zero_input(generator):
    network = QNetwork(obs_size, A, generator=generator)
    assert not any(p.requires_grad for p in network.embedding.parameters())
    assert network.embedding(torch.zeros(1, obs_size)).abs().sum() > 0
    trained = QNetwork(obs_size, A, embedding="linear", generator=generator)
    assert all(p.requires_grad for p in trained.embedding.parameters())


def test_same_generator_same_network():
    one, two = (QNetwork(obs_size, A, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wrong_channels(generator):
    network = QNetwork(obs_size, A, generator=generator)
    with pytest.raises(ValueError, match="an observation has 6 channels; expected 5"):
        network(torch.zeros(1, 1, 6))


@pytest.mark.parametrize(
    "name", ["obs_size", "n_actions", "embedding_size", "hidden_size", "num_layers"]
)
def test_bad_sizes(name):
    with pytest.raises(ValueError, match=f"{name} is 0; expected 1 "):
        QNetwork(**{"obs_size": 3, "n_actions": 2, "embedding_size": 4} | {name: 0})


def test_bad_choices(monkeypatch):
    # The tests check the annotations too, which would be first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(
        ValueError, match="embedding is 'wide'; expected one of random, linear, none"
    ):
        QNetwork(3, 2, embedding="wide")


def test_layers_share_their_states_names(generator):
    network = QNetwork(obs_size, A, core="lstm", num_layers=3, hidden_size=8, generator=generator)
    named = network.named_states(network.initial_state(2))
    assert list(named) == ["h_1", "c", "h_2", "c_2", "h", "c_3"]
    assert all(dims == ("hidden",) and not value.any() for dims, value in named.values())
    joined = network.join_states([network.initial_state(2), network.initial_state(1)])
    assert len(network.named_states(joined)["c_2"][1]) == 3
