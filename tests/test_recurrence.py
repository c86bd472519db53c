"""The MPN's equations, by the plain loop and by the kernels, against separately written NumPy."""

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
    assert core.backend == backend
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
