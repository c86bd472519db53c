"""On a GPU the module runs the plain loop, and agrees with the CPU. Skipped where there is none."""

import copy

import numpy as np
import pytest
import torch

from mpn_lab import MPN, QNetwork, TrialReplayBuffer, compute_td_loss_trial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def outputs_and_gradients(core, x):
    h, M, states = core(x, return_states=True)
    (h.square().sum() + M.sum() + states.square().mean()).backward()
    return [a.detach().cpu() for a in (h, M, states, *(p.grad for p in core.parameters()))]


@pytest.mark.parametrize("update", ["associative", "presynaptic", "postsynaptic"])
@pytest.mark.parametrize("modulation", ["multiplicative", "additive"])
def test_agrees_with_the_cpu(generator, update, modulation):
    options = {"update": update, "modulation": modulation, "bound": 0.5, "train_M0": True}
    core = MPN(4, 37, dtype=torch.float64, generator=generator, **options)
    x = torch.randn(5, 20, 4, dtype=torch.float64, generator=generator)
    there = copy.deepcopy(core).cuda()
    found, expected = outputs_and_gradients(there, x.cuda()), outputs_and_gradients(core, x)
    assert (there.backend, core.backend) == ("loop", "fused")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_starts_on_the_device_and_stays_there():
    core = MPN(3, 5, device="cuda")
    state = None
    for _ in range(2):
        h, state = core(torch.ones(2, 1, 3, device="cuda"), state)
    assert h.is_cuda
    assert state.is_cuda


@pytest.mark.parametrize("core", ["mpn", "gru", "lstm", "rnn"])
def test_the_loss_of_replayed_trials_agrees_with_the_cpu(generator, core):
    buffer, rng = TrialReplayBuffer(10, n_actions=3), np.random.default_rng(0)
    for T in (5, 8, 6, 8):
        obs = rng.normal(size=(T, 4)).astype(np.float32)
        done = np.arange(T) == T - 1
        buffer.push_trial(obs, rng.integers(3, size=T), rng.normal(size=T), done)
    network = QNetwork(4, 3, core=core, generator=generator)
    batch, losses = buffer.sample(4), []
    for device in ("cpu", "cuda"):
        here = copy.deepcopy(network).to(device)
        moved = type(batch)(*(a.to(device) for a in batch))
        loss = compute_td_loss_trial(here, copy.deepcopy(here), moved, 0.9, 0.9)
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
