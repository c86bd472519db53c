"""The MPN layer against a separately written NumPy loop, and its gradients."""

import contextlib
import itertools

import numpy as np
import pytest
import torch

from mpn_lab import MPN
from mpn_lab.networks.autograd import plain_loop

B, T, d, n = 3, 6, 4, 5
VARIANTS = list(
    itertools.product(
        ("associative", "presynaptic", "postsynaptic"), ("multiplicative", "additive"), (None, 0.3)
    )
)
PHI = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
}


def numpy_mpn(core, x, M0=None):
    """Element by element, sample by sample: slow, and written without a look at the layer."""
    W = core.W.detach().numpy()
    b = np.zeros(core.hidden_size) if core.b is None else core.b.detach().numpy()
    eta = np.broadcast_to(core.eta.detach().numpy(), W.shape)
    lam = np.clip(np.broadcast_to(core.lam.detach().numpy(), W.shape), 0, core.lam_max)
    start = np.zeros_like(W) if core.M0 is None else core.M0.detach().numpy()
    hs = np.zeros((*x.shape[:2], core.hidden_size))
    Ms = np.zeros((*hs.shape, core.input_size))
    for s in range(x.shape[0]):
        M = (start if M0 is None else M0[s]).copy()
        for t in range(x.shape[1]):
            new = np.zeros_like(M)
            for i in range(core.hidden_size):
                z = b[i]
                for j in range(core.input_size):
                    w = W[i, j]
                    w = w * (1 + M[i, j]) if core.modulation == "multiplicative" else w + M[i, j]
                    z += w * x[s, t, j]
                hs[s, t, i] = PHI[core.activation](z)
                for j in range(core.input_size):
                    gain = {
                        "associative": hs[s, t, i] * x[s, t, j],
                        "presynaptic": x[s, t, j] / np.sqrt(core.hidden_size),
                        "postsynaptic": hs[s, t, i] / np.sqrt(core.input_size),
                    }[core.update]
                    new[i, j] = lam[i, j] * M[i, j] + eta[i, j] * gain
            M = new if core.bound is None else np.clip(new, -core.bound, core.bound)
            Ms[s, t] = M
    return hs, Ms


BACKENDS = {"compiled": contextlib.nullcontext, "loop": plain_loop}
both_backends = pytest.mark.parametrize("backend", BACKENDS)


def layer(generator, **options):
    options = {"input_size": d, "hidden_size": n, **options}
    core = MPN(
        generator=generator, dtype=torch.float64, eta_init="uniform", lam_init=0.7, **options
    )
    with torch.no_grad():
        for p in (core.b, core.M0):
            if p is not None:
                p.normal_(generator=generator)
        if core.lam.dim():
            core.lam.uniform_(0, 1.2, generator=generator)  # some above lam_max
    return core


@pytest.mark.parametrize(("update", "modulation", "bound"), VARIANTS)
@pytest.mark.parametrize("activation", list(PHI))
@both_backends
def test_agrees_with_numpy(generator, update, modulation, bound, activation, backend):
    core = layer(
        generator, update=update, modulation=modulation, bound=bound, activation=activation
    )
    x = torch.randn(B, T, d, dtype=torch.float64, generator=generator)
    with torch.no_grad(), BACKENDS[backend]():
        h, M, Ms = core(x, return_states=True)
    assert core.backend == (backend if activation in ("tanh", "relu") else "loop")
    expected_h, expected_M = numpy_mpn(core, x.numpy())
    np.testing.assert_allclose(h, expected_h, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(Ms, expected_M, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(M, Ms[:, -1])


@pytest.mark.parametrize("shape", ["scalar", "input", "hidden", "synapse"])
@pytest.mark.parametrize(("bias", "train_M0"), [(True, False), (False, True)])
@both_backends
def test_shapes_of_eta_and_lam_agree_with_numpy(generator, shape, bias, train_M0, backend):
    core = layer(generator, eta_shape=shape, lam_shape=shape, bias=bias, train_M0=train_M0)
    x = torch.randn(B, T, d, dtype=torch.float64, generator=generator)
    with torch.no_grad(), BACKENDS[backend]():
        h, _, Ms = core(x, return_states=True)
    assert core.backend == backend
    expected_h, expected_M = numpy_mpn(core, x.numpy())
    np.testing.assert_allclose(h, expected_h, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(Ms, expected_M, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("update", "modulation", "bound"), VARIANTS)
@both_backends
def test_gradients(generator, update, modulation, bound, backend):
    core = layer(generator, update=update, modulation=modulation, bound=bound, train_M0=True)
    x = torch.randn(2, 4, d, dtype=torch.float64, generator=generator, requires_grad=True)
    names, values = zip(*core.named_parameters(), strict=True)

    def run(x, *parameters):
        return torch.func.functional_call(core, dict(zip(names, parameters, strict=True)), (x,))

    with BACKENDS[backend]():
        assert torch.autograd.gradcheck(run, (x, *values), atol=1e-6)
    assert core.backend == backend


def test_sequence_in_two_parts_equals_the_whole(generator):
    core = layer(generator)
    x = torch.randn(B, T, d, dtype=torch.float64, generator=generator)
    whole, M_whole = core(x)
    first, M = core(x[:, :2])
    second, M = core(x[:, 2:], M)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(M, M_whole)


def test_zero_input_silences_the_memory(generator):
    """h = phi(b) whatever M holds: why a raw MPN cannot answer when the screen is blank."""
    core = layer(generator)
    M = torch.randn(B, n, d, dtype=torch.float64, generator=generator)
    h, _ = core(torch.zeros(B, 1, d, dtype=torch.float64), M)
    torch.testing.assert_close(h[:, 0], core.b.tanh().expand(B, n))


def test_lam_is_clamped_and_projected_back(generator):
    core = MPN(d, n, lam_max=0.9, generator=generator)
    with torch.no_grad():
        core.lam.fill_(1.5)
    clamped = core(torch.ones(1, 3, d))[0]
    core.project_()
    assert core.lam.item() == pytest.approx(0.9)
    torch.testing.assert_close(core(torch.ones(1, 3, d))[0], clamped)


def test_no_steps_and_no_sequences(generator):
    core = MPN(d, n, generator=generator)
    h, M, Ms = core(torch.zeros(2, 0, d), return_states=True)
    assert h.shape == (2, 0, n)
    assert Ms.shape == (2, 0, n, d)
    assert not M.any()
    assert core(torch.zeros(0, 3, d))[0].shape == (0, 3, n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size is 0; expected at least 1"),
        ({"lam_max": -1.0}, "lam_max is -1.0"),
        ({"lam_init": 1.5}, r"lam_init is 1.5; expected 0 to lam_max = 0.99"),
        ({"bound": 0.0}, "bound is 0.0; expected a positive number"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        MPN(**{"input_size": d, "hidden_size": n} | options)


def test_bad_shapes(generator):
    core = MPN(d, n, generator=generator)
    with pytest.raises(ValueError, match=r"input has shape \(2, 3, 7\); expected \[B, T, 4\]"):
        core(torch.zeros(2, 3, 7))
    with pytest.raises(ValueError, match=r"state has shape \(1, 5, 4\); expected M of \(2, 5, 4\)"):
        core(torch.zeros(2, 3, d), torch.zeros(1, n, d))
