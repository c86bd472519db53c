"""The compiled kernels against the plain loop: every case, gradient, size and odd value."""

import itertools

import numpy as np
import pytest
import torch

from mpn_lab import MPN
from mpn_lab.networks import autograd, kernels
from tests.mpn_layers import compare, layer, random

# Every choice with every other for tanh; ReLU is another line of its own, so each update once.
UPDATES = ("associative", "presynaptic", "postsynaptic")
EQUATIONS = [
    *itertools.product(UPDATES, ("multiplicative", "additive"), ("tanh",), (None, 0.3)),
    ("associative", "multiplicative", "relu", None),
    ("presynaptic", "additive", "relu", 0.3),
    ("postsynaptic", "multiplicative", "relu", 0.3),
]
SHAPES = list(itertools.product(("scalar", "input", "hidden", "synapse"), repeat=2))


@pytest.mark.parametrize(("update", "modulation", "activation", "bound"), EQUATIONS)
def test_every_equation(update, modulation, activation, bound):
    options = {"update": update, "modulation": modulation, "activation": activation}
    core = layer(bound=bound, **options)
    compare(core, random(4, 7, 3), random(4, 5, 3, seed=2))


@pytest.mark.parametrize(("eta_shape", "lam_shape"), SHAPES)
def test_every_shape_of_eta_and_lam(eta_shape, lam_shape):
    core = layer(eta_shape=eta_shape, lam_shape=lam_shape, bound=0.5, train_M0=True)
    compare(core, random(4, 7, 3))


def test_without_bias_and_without_the_gradient_of_the_input():
    compare(layer(bias=False), random(4, 7, 3), to_input=False)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 64, 70])
@pytest.mark.parametrize(("B", "T", "d"), [(1, 1, 1), (2, 3, 2), (9, 4, 5)])
def test_sizes_that_fill_no_vector(B, T, d, n):
    compare(layer(d, n), random(B, T, d))


@pytest.mark.parametrize(("B", "T"), [(0, 4), (3, 0), (0, 0)])
def test_nothing_to_do(B, T):
    compare(layer(), random(B, T, 3), random(B, 5, 3, seed=2))


@pytest.mark.parametrize("T", [2, 3, 5, 16, 17])
def test_chunks_of_every_length(T, monkeypatch):
    monkeypatch.setattr(autograd, "_CHUNK_BYTES", 0)  # then chunks of sqrt(T) steps
    compare(layer(bound=1.0), random(3, T, 3), random(3, 5, 3, seed=2))


def test_long_trials():
    compare(layer(), random(2, 800, 3))


def test_float32():
    compare(layer(6, 40, torch.float32), random(8, 30, 6, dtype=torch.float32), rtol=1e-5)


@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, -30), (torch.float64, -200)])
def test_tanh_to_a_few_units_of_rounding(dtype, far):
    """With W = 1, b = 0 and M = 0 the output is tanh of the input."""
    core = MPN(1, 1, bias=False, dtype=dtype)
    torch.nn.init.ones_(core.W)
    x = torch.cat([torch.linspace(-24, 24, 100_001), torch.logspace(far, 0, 10_001)]).to(dtype)
    with torch.no_grad():
        h = core(x.reshape(-1, 1, 1))[0].flatten().numpy()
    expected = np.tanh(x.numpy().astype(np.longdouble))
    assert (np.abs(h - expected) <= 4 * torch.finfo(dtype).eps * np.abs(expected)).all()


def test_layouts_of_any_kind():
    x = random(3, 7, 8).transpose(0, 1)[:, :, ::2]  # (7, 3, 4)
    state = random(4, 5, 7, seed=2).permute(2, 1, 0)  # (7, 5, 4)
    compare(layer(4), x, state)
    compare(layer(4), random(4).expand(2, 6, 4))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("modulation", "activation"),
    [("multiplicative", "tanh"), ("additive", "tanh"), ("multiplicative", "relu")],
)
def test_nan_and_infinity_go_where_they_go_in_the_loop(value, modulation, activation):
    for bound, n in ((None, 5), (0.5, 33)):
        core = layer(3, n, modulation=modulation, activation=activation, bound=bound)
        x = random(4, 6, 3)
        x[1, 2, 1] = value
        compare(core, x)


def test_steps_one_by_one_equal_the_whole_sequence():
    core, x = layer(4, 40), random(6, 9, 4)
    with torch.no_grad():
        whole, last = core(x)
        state, hs = None, []
        for t in range(9):
            h, state = core(x[:, t : t + 1], state)
            hs.append(h)
    torch.testing.assert_close(torch.cat(hs, 1), whole, rtol=1e-12, atol=0)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=0)


def test_one_variant_for_each_dtype(monkeypatch):
    """Whatever the equation, the shapes, the layout and what is asked for."""
    for dtype in (torch.float32, torch.float64):
        for update, shape, bound in itertools.product(UPDATES, ("scalar", "synapse"), (None, 0.3)):
            options = {"update": update, "eta_shape": shape, "lam_shape": shape, "bound": bound}
            core = layer(dtype=dtype, train_M0=bound is None, **options)
            x = random(7, 4, 3, dtype=dtype).transpose(0, 1)
            for state in (None, random(4, 3, 5, dtype=dtype).transpose(1, 2)):
                core(x, state, return_states=update == "associative")[0].sum().backward()
                core(x.clone().requires_grad_(), state)[1].sum().backward()
            assert core.backend == "compiled"
    assert len(kernels.forward.signatures) == len(kernels.backward.signatures) == 2


@pytest.mark.parametrize("n", [1, 16, 64, 100, 128, 129, 256, 1000])
def test_blocks_cover_all_neurons_in_whole_vectors(n):
    width = kernels.block_width(n)
    blocks = -(-n // width)
    assert width % kernels.VECTOR == 0
    assert width <= kernels.BLOCK
    assert 0 <= blocks * width - n < blocks * kernels.VECTOR
