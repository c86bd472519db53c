"""GRU, LSTM, RNN and stacks behind the interface of the MPN."""

import pytest
import torch

from mpn_lab.networks.recurrent import make_core, map_state

B, T, d, n = 3, 5, 4, 6


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", ["mpn", "gru", "lstm", "rnn"])
def test_every_core_hands_out_its_states(name, num_layers, generator):
    core = make_core(name, d, n, num_layers, generator)
    x = torch.randn(B, T, d, generator=generator)
    output, state, states = core(x, return_states=True)
    assert output.shape == (B, T, n)
    torch.testing.assert_close(core(x)[0], output)
    # The state after every step, each as if the sequence had ended there.
    for t in range(T):
        expected = core(x[:, : t + 1])[1]
        torch.testing.assert_close(map_state(lambda s, t=t: s[:, t], states), expected)
    torch.testing.assert_close(map_state(lambda s: s[:, -1], states), state)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", ["mpn", "gru", "lstm", "rnn"])
def test_state_carries_over_and_is_batch_first(name, num_layers, generator):
    core = make_core(name, d, n, num_layers, generator)
    x = torch.randn(B, T, d, generator=generator)
    whole, _ = core(x)
    _, state = core(x[:, :2])
    keep = torch.tensor([2, 0])
    rest, _ = core(x[keep, 2:], map_state(lambda s: s[keep], state))
    torch.testing.assert_close(rest, whole[keep, 2:])


def test_gru_is_torchs_own(generator):
    core = make_core("gru", d, n, 1, generator)
    own = torch.nn.GRU(d, n, batch_first=True)
    own.load_state_dict(core.rnn.state_dict())
    x = torch.randn(B, T, d, generator=generator)
    torch.testing.assert_close(core(x)[0], own(x)[0])


def test_start_values_come_from_the_generator():
    one, two = (make_core("lstm", d, n, 2, torch.Generator().manual_seed(3)) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "gates"), [("gru", 3), ("lstm", 4), ("rnn", 1)])
def test_each_gate_is_drawn_as_in_the_paper(name, gates):
    n = 200
    rnn = make_core(name, 50, n, 1, torch.Generator().manual_seed(3)).rnn
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


def test_bad_number_of_layers():
    with pytest.raises(ValueError, match="num_layers is 0"):
        make_core("mpn", d, n, 0)
