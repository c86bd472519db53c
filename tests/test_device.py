"""The same on a GPU as on the CPU, skipped where there is none; and devices that are not there."""

import copy

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import MPN, QNetwork, TrainConfig, TrialReplayBuffer, compute_td_loss_trial
from mpn_lab.training.device import resolve_device

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
TASK = "PerceptualDecisionMaking-v0"


def outputs_and_gradients(core, x):
    h, M, states = core(x, return_states=True)
    (h.square().sum() + M.sum() + states.square().mean()).backward()
    return [a.detach().cpu() for a in (h, M, states, *(p.grad for p in core.parameters()))]


@cuda
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


@cuda
def test_starts_on_the_device_and_stays_there():
    core = MPN(3, 5, device="cuda")
    state = None
    for _ in range(2):
        h, state = core(torch.ones(2, 1, 3, device="cuda"), state)
    assert h.is_cuda
    assert state.is_cuda


@cuda
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
        loss = compute_td_loss_trial(here, copy.deepcopy(here), batch.to(device), 0.9, 0.9)
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def config(**changes):
    return TrainConfig(
        task=TASK,
        trials=40,
        hidden_size=6,
        eval_freq=20,
        eval_trials=10,
        train_freq=10,
        learning_starts=10,
        batch_size=4,
        gradient_steps=2,
        **changes,
    )


@cuda
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"core": "lstm", "num_layers": 2},
        {"replay": "sequence", "sequence": {"window": 4, "burn_in": 2}},
        {"reset_state": "episode", "trials_per_episode": 2, "store_trials": 4},
        {"reset_state": "never", "replay": "sequence", "trials_per_episode": 2},
    ],
    ids=str,
)
def test_a_training_on_the_gpu_resumes_there(changes, tmp_path):
    def interrupt(row):
        raise KeyboardInterrupt

    whole = mpn_lab.train(config(**changes), tmp_path / "whole", device="cuda", progress=False)
    options = {"device": "cuda", "progress": False, "on_row": interrupt}
    with pytest.raises(KeyboardInterrupt):
        mpn_lab.train(config(**changes), tmp_path / "cut", **options)
    run = mpn_lab.resume(tmp_path / "cut", progress=False)
    assert run.checkpoints == whole.checkpoints == [20, 40]
    np.testing.assert_allclose(run.metrics.loss, whole.metrics.loss, rtol=1e-2)
    if "store_trials" in changes:
        assert mpn_lab.staleness(run, 20, window=4, burn_in=0).sizes["age"] == 2
    assert mpn_lab.resume(tmp_path / "cut", device="cpu", progress=False).checkpoints == [20, 40]


@cuda
@pytest.mark.parametrize("core", ["mpn", "gru", "lstm"])
def test_records_and_evaluations_agree_with_the_cpu(core, generator):
    network = QNetwork(3, 3, core=core, hidden_size=6, generator=generator)
    options = {"trials": 12, "reset_state": "episode", "trials_per_episode": 3}
    here = mpn_lab.record(network, TASK, device="cpu", **options)
    measured = mpn_lab.evaluate(network, TASK, trials=50)
    there = mpn_lab.record(network, TASK, device="auto", **options)
    assert network.device.type == "cuda"
    for name in set(here.data_vars) - {"taken_action", "greedy_action"}:
        np.testing.assert_allclose(there[name], here[name], atol=1e-4, err_msg=name)
    assert mpn_lab.evaluate(network, TASK, trials=50).accuracy == pytest.approx(measured.accuracy)


NOWHERE = "cuda:99" if torch.cuda.is_available() else "cuda"


@pytest.mark.parametrize("device", [NOWHERE, "gpu", "xpu:7", "cpu:x"])
def test_a_missing_device_gets_one_sentence(device, tmp_path):
    network = QNetwork(3, 3, hidden_size=4)
    for use in (
        lambda: resolve_device(device),
        lambda: mpn_lab.train(config(), tmp_path / "run", device=device, progress=False),
        lambda: mpn_lab.evaluate(network, TASK, trials=2, device=device),
        lambda: mpn_lab.record(network, TASK, trials=2, device=device),
    ):
        with pytest.raises(ValueError, match=f"device is '{device}', which .*choose 'cpu'") as got:
            use()
        assert "\n" not in str(got.value)
    assert not (tmp_path / "run").exists()


def test_meta_tensors_hold_no_numbers_to_train_with():
    with pytest.raises(ValueError, match="device is 'meta'"):
        resolve_device("meta")


def test_auto_is_the_gpu_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
