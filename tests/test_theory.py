"""Equations 4 and 5 against their sums written out, and where they are exact."""

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import analysis

TASK = "mpn_lab/Integration-v0"
KWARGS = {"input_size": 6, "steps": 5, "delay": 1}


def network(seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return mpn_lab.QNetwork(6, 2, hidden_size=4, embedding="none", generator=generator, **options)


def record_of(network):
    return mpn_lab.record(network, TASK, KWARGS, trials=3)


@pytest.mark.parametrize("shape", ["scalar", "input", "hidden", "synapse"])
def test_first_order_equals_the_explicit_sums(shape):
    net = network(eta_shape=shape, lam_shape=shape, activation="tanh")
    with torch.no_grad():
        core = net.core
        core.b.uniform_(-0.3, 0.3, generator=torch.Generator().manual_seed(1))
        core.eta.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
        core.lam.uniform_(0.3, 0.9, generator=torch.Generator().manual_seed(3))
    trials = record_of(net)
    found = analysis.first_order(trials)
    W, b = trials.W.values, trials.b.values
    eta = np.broadcast_to(core.eta.detach().numpy(), W.shape)
    lam = np.broadcast_to(core.lam.detach().numpy(), W.shape)
    phi = np.tanh
    for i in range(3):
        x = trials.embedded.values[i]
        for t in range(len(x)):
            total, M = np.zeros(4), np.zeros_like(W)
            for s in range(t + 1):
                now = phi(W @ x[t - s] + b)
                M += eta * lam**s * np.outer(now, x[t - s])
                if s:  # with rates of every synapse, the sum of equation 4 over the inputs
                    total += now * ((W * eta * lam ** (s - 1)) @ (x[t - s] * x[t]))
            np.testing.assert_allclose(found.h.values[i, t], phi(W @ x[t] + b + total), atol=1e-6)
            np.testing.assert_allclose(found.M.values[i, t], M, atol=1e-6)


def test_the_error_is_that_of_the_norms():
    trials = record_of(network())
    theory, error = analysis.first_order(trials), analysis.first_order_error(trials)
    i, t = 1, 3
    for name in ("h", "M"):
        own, other = trials[name].values[i, t], theory[name].values[i, t]
        expected = np.linalg.norm(other - own) / np.linalg.norm(own)
        assert error[name].values[i, t] == pytest.approx(expected, rel=1e-5)


def test_first_order_is_exact_without_plasticity_and_at_the_first_step():
    trials = record_of(network(eta_init=0.0))
    np.testing.assert_allclose(analysis.first_order(trials).h, trials.h, atol=1e-6)
    trials = record_of(network(eta_init=2.0))
    theory = analysis.first_order(trials)
    np.testing.assert_allclose(theory.h[:, 0], trials.h[:, 0], atol=1e-6)
    np.testing.assert_allclose(theory.M[:, 0], trials.M[:, 0], atol=1e-6)


def test_the_error_grows_with_the_modulations():
    errors = [
        float(analysis.first_order_error(record_of(network(eta_init=eta))).h.mean())
        for eta in (0.1, 0.4, 1.6)
    ]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"update": "presynaptic"}, "presynaptic"),
        ({"modulation": "additive"}, "additive"),
        ({"train_M0": True}, "M_0 = 0"),
        ({"core": "gru"}, "has no M"),
    ],
)
def test_other_networks_are_refused(options, said):
    trials = record_of(network(**options))
    with pytest.raises(ValueError, match=said):
        analysis.first_order(trials)
