"""GRU, LSTM, RNN and stacks behind the interface of the MPN."""

import optree
import pytest
import torch

from mpn_lab import QNetwork
from mpn_lab.networks.recurrent import Stack
from mpn_lab.networks.registry import make_core

B, T, d, n = 3, 5, 4, 6


def made(name, num_layers, generator):
    sizes = [d, *[n] * (num_layers - 1)]
    layers = [make_core(name, size, n, generator=generator) for size in sizes]
    return layers[0] if num_layers == 1 else Stack(layers)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", ["mpn", "gru", "lstm", "rnn"])
def test_states_are_those_after_every_step(name, num_layers, generator):
    core = made(name, num_layers, generator)
    x = torch.randn(B, T, d, generator=generator)
    output, state, states = core(x, return_states=True)
    assert output.shape == (B, T, n)
    torch.testing.assert_close(core(x)[0], output)
    # The state after every step, each as if the sequence had ended there.
    for t in range(T):
        expected = core(x[:, : t + 1])[1]
        torch.testing.assert_close(optree.tree_map(lambda s, t=t: s[:, t], states), expected)
    torch.testing.assert_close(optree.tree_map(lambda s: s[:, -1], states), state)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", ["mpn", "gru", "lstm", "rnn"])
def test_state_carries_over_and_is_batch_first(name, num_layers, generator):
    core = made(name, num_layers, generator)
    x = torch.randn(B, T, d, generator=generator)
    whole, _ = core(x)
    _, state = core(x[:, :2])
    some = torch.tensor([2, 0])
    rest, _ = core(x[some, 2:], optree.tree_map(lambda s: s[some], state))
    torch.testing.assert_close(rest, whole[some, 2:])


@pytest.mark.parametrize(
    ("name", "torch_class"),
    [("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM), ("rnn", torch.nn.RNN)],
)
def test_a_core_is_torchs_own(name, torch_class, generator):
    core = made(name, 1, generator)
    own = torch_class(d, n, batch_first=True)
    own.load_state_dict(core.rnn.state_dict())
    x = torch.randn(B, T, d, generator=generator)
    torch.testing.assert_close(core(x)[0], own(x)[0])


def test_start_values_come_from_the_generator():
    before = torch.random.get_rng_state()
    one, two = (made("lstm", 2, torch.Generator().manual_seed(3)) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.random.get_rng_state(), before)  # nothing from the global one


@pytest.mark.parametrize(("name", "gates"), [("gru", 3), ("lstm", 4), ("rnn", 1)])
def test_each_gate_is_drawn_as_in_the_paper(name, gates):
    n = 200
    rnn = make_core(name, 50, n, generator=torch.Generator().manual_seed(3)).rnn
    for weight, inputs in ((rnn.weight_ih_l0, 50), (rnn.weight_hh_l0, n)):
        limit = (6 / (n + inputs)) ** 0.5
        parts = weight.detach().split(n)
        assert len(parts) == gates
        for part in parts:
            assert part.abs().max() <= limit
            assert part.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
        assert len({part[0, 0].item() for part in parts}) == gates
    assert 0.9 * (6 / n) ** 0.5 < rnn.bias_ih_l0.detach().abs().max() <= (6 / n) ** 0.5
    assert not rnn.bias_hh_l0.detach().any()


@pytest.mark.parametrize(
    ("core", "state", "words"),
    [
        ("gru", torch.zeros(2, 5), r"a tensor of shape \(2, 5\); expected h of \(2, 6\)"),
        ("gru", (torch.zeros(2, 6),) * 2, r"a tuple of 2; expected h of \(2, 6\)"),
        ("lstm", torch.zeros(2, 6), r"a tensor of shape \(2, 6\); expected \(h, c\)"),
        ("lstm", (torch.zeros(2, 6), torch.zeros(3, 6)), r"shape \(3, 6\); expected c of \(2, 6\)"),
    ],
)
def test_a_state_that_does_not_fit_gets_one_sentence(core, state, words):
    with pytest.raises(ValueError, match=words):
        QNetwork(4, 3, core=core, hidden_size=6)(torch.zeros(2, 1, 4), state)
