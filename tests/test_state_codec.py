"""The state codec: what is decoded is the state, whatever the core, the length and the start."""

import optree
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mpn_lab import QNetwork, register_core
from mpn_lab.networks import registry
from mpn_lab.networks.state_codec import StateCodec


class TwoTraces(nn.Module):
    """A core of one's own: a fast and a slow trace of its input."""

    state_dims = {"fast": ("hidden",), "slow": ("hidden", "delay")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        self.W = nn.Parameter(torch.randn(hidden_size, input_size, generator=generator))

    def forward(self, input, state=None, return_states=False):
        zero = input.new_zeros(len(input), len(self.W))
        fast, slow = (zero, zero[:, :, None].expand(-1, -1, 2)) if state is None else state
        steps = []
        for x in (input @ self.W.T).unbind(1):
            slow = torch.stack([0.9 * slow[:, :, 0] + fast, slow[:, :, 0]], 2)
            fast = torch.tanh(0.5 * fast + x)
            steps.append((fast, slow))
        states = tuple(torch.stack(s, 1) for s in zip(*steps, strict=True))
        output = states[0] + states[1][..., 0]
        return (output, (fast, slow), states) if return_states else (output, (fast, slow))


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """The registry with the own core, and as it was afterwards."""
    monkeypatch.setattr(
        registry, "_CORES", {n: registry.core_class(n) for n in registry.core_names()}
    )
    register_core("two traces", TwoTraces)


# A network, how its states are stored, and to what share of the largest number they come back.
NETWORKS = [
    ({"update": "associative"}, "factors", 1e-5),
    ({"update": "presynaptic"}, "factors", 1e-5),
    ({"update": "postsynaptic", "modulation": "additive"}, "factors", 1e-5),
    ({"bound": 0.5}, "half", 1e-3),
    ({"eta_shape": "synapse", "lam_shape": "input"}, "half", 1e-3),
    ({"num_layers": 2}, "half", 1e-3),
    ({"hidden_size": 3, "embedding_size": 2}, "half", 1e-3),  # n d is smaller than n + d + 2
    ({"core": "gru"}, "full", 0),
    ({"core": "lstm"}, "full", 0),
    ({"core": "rnn", "num_layers": 2}, "full", 0),
    ({"core": "two traces"}, "full", 0),
]


def make(options):
    sizes = {"hidden_size": 12, "embedding_size": 9}
    generator = torch.Generator().manual_seed(1)
    network = QNetwork(3, 2, **{**sizes, **options}, generator=generator)
    with torch.no_grad():
        for layer in network.mpn_layers():  # a decay that leaves a trace of every step
            layer.lam.uniform_(0.7, 0.99, generator=generator)
    return network


@pytest.mark.parametrize(("options", "kind", "tolerance"), NETWORKS, ids=str)
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    carried=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_decode_of_encode_is_the_state(options, kind, tolerance, lengths, carried, seed):
    network, generator = make(options), torch.Generator().manual_seed(seed)
    codec = StateCodec(network)
    assert codec.kind == kind
    R, S = len(lengths), 9
    obs = torch.randn(R, S, 3, generator=generator)
    state = start = None
    if carried:  # from wherever other trials ended
        with torch.no_grad():
            _, state = network(torch.randn(R, 4, 3, generator=generator))
        start = codec.flatten(state)
        assert all(map(torch.equal, leaves(codec.unflatten(start)), leaves(state)))
    codes = codec.encode(network, obs, state)
    assert codes.shape == (R, S, codec.width)
    assert codec.bytes_per_step == codec.width * codes.element_size()
    length = torch.tensor(lengths)
    if not codec.needs_history:  # the last step alone
        codes = codes[torch.arange(R), (length - 1).clamp(min=0)][:, None]
    found = codec.flatten(codec.decode(codes, length, start))
    for i, steps in enumerate(lengths):
        expected = network.initial_state(1) if state is None else row(state, i)
        with torch.no_grad():
            for t in range(steps):
                _, expected = network.step(obs[i : i + 1, t], expected)
        expected = codec.flatten(expected)[0]
        # Where all is stored, what is left is that of a batch against a single row.
        allowed = max(tolerance, 1e-6) * (1 + float(expected.abs().max()))
        torch.testing.assert_close(found[i], expected, rtol=0, atol=allowed)


def leaves(state):
    return optree.tree_leaves(state)


def row(state, i):
    return optree.tree_map(lambda s: s[i : i + 1], state)


def test_the_state_before_the_first_step_is_the_start():
    network = make({})
    codec = StateCodec(network)
    codes = codec.encode(network, torch.ones(2, 3, 3))
    assert not codec.flatten(codec.decode(codes, torch.zeros(2, dtype=torch.int64))).any()
    start = torch.randn(2, codec.size, generator=torch.Generator().manual_seed(0))
    again = codec.flatten(codec.decode(codes, torch.zeros(2, dtype=torch.int64), start))
    torch.testing.assert_close(again, start)
