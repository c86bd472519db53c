"""The TD loss against a slow version that goes trial by trial and step by step."""

import numpy as np
import pytest
import torch

from mpn_lab import QNetwork, TrialReplayBuffer, compute_td_loss_trial
from mpn_lab.training.loss import td_targets

GAMMA = 0.9


def make(seed, core="mpn"):
    return QNetwork(3, 4, hidden_size=6, core=core, generator=torch.Generator().manual_seed(seed))


def batch_of(lengths, cut=(), seed=0):
    rng = np.random.default_rng(seed)
    buffer = TrialReplayBuffer(len(lengths), seed=seed)
    for i, length in enumerate(lengths):
        done = np.zeros(length, bool)
        done[-1] = i not in cut
        obs, action = rng.normal(size=(length, 3)), rng.integers(4, size=length)
        buffer.push_trial(obs, action, rng.normal(size=length), done)
    return buffer.sample(len(lengths))


def slow_loss(network, target, batch, gamma, td_lambda):
    """One trial and one step at a time, targets by explicit recursion."""
    losses = []
    for b in range(len(batch.obs)):
        T = int(batch.mask[b].sum())
        obs = batch.obs[b : b + 1, :T]
        q, q_target = network(obs)[0][0].detach(), target(obs)[0][0].detach()
        value = [float(q_target[t, int(q[t].argmax())]) for t in range(T)]

        def lambda_return(t, b=b, T=T, value=value):
            r = float(batch.reward[b, t])
            if batch.terminated[b, t]:
                return r
            if t == T - 1:
                return value[t]  # cut: nothing is known of what followed
            return r + gamma * ((1 - td_lambda) * value[t + 1] + td_lambda * lambda_return(t + 1))

        for t in range(T):
            if t == T - 1 and not batch.terminated[b, t]:
                continue
            td_error = float(q[t, batch.action[b, t]]) - lambda_return(t)
            losses.append(0.5 * td_error**2 if abs(td_error) <= 1 else abs(td_error) - 0.5)
    return np.mean(losses)


@pytest.mark.parametrize("core", ["mpn", "gru"])
@pytest.mark.parametrize("td_lambda", [0.0, 0.7, 1.0])
def test_agrees_with_the_slow_version(td_lambda, core):
    network, target, batch = (
        make(0, core),
        make(1, core),
        batch_of([5, 2, 9, 1, 7, 5, 3, 6], cut=(1, 2, 5)),
    )
    loss = compute_td_loss_trial(network, target, batch, GAMMA, td_lambda)
    expected = slow_loss(network, target, batch, GAMMA, td_lambda)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_padding_changes_nothing():
    network, target = make(0), make(1)
    batch = batch_of([4, 4])
    longer = batch._replace(
        **{
            name: torch.cat(
                [x, torch.ones_like(x[:, :3]) * (name not in ("mask", "terminated"))], 1
            )
            if name not in ("mask", "terminated")
            else torch.cat([x, torch.zeros_like(x[:, :3])], 1)
            for name, x in batch._asdict().items()
            if x is not None
        }
    )
    one = compute_td_loss_trial(network, target, batch, GAMMA)
    two = compute_td_loss_trial(network, target, longer, GAMMA)
    assert one.item() == pytest.approx(two.item(), rel=1e-6)


def test_checkpointing_changes_no_gradient_and_truncation_does():
    network, target, batch = make(0), make(1), batch_of([9, 12, 3])
    options = {"full": {}, "checkpointed": {"chunk": 4}, "truncated": {"chunk": 4}}
    losses, grads = {}, {}
    for backprop, chunk in options.items():
        network.zero_grad()
        loss = compute_td_loss_trial(network, target, batch, GAMMA, backprop=backprop, **chunk)
        loss.backward()
        losses[backprop] = loss.item()
        grads[backprop] = [p.grad.clone() for p in network.parameters() if p.requires_grad]
    assert losses["full"] == pytest.approx(losses["checkpointed"], rel=1e-6)
    assert losses["full"] == pytest.approx(losses["truncated"], rel=1e-6)
    for a, b in zip(grads["full"], grads["checkpointed"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert not torch.allclose(grads["full"][0], grads["truncated"][0], rtol=1e-3)


def test_consecutive_trials_are_counted_one_by_one():
    """A row of two trials has the loss of both: nothing passes a trial's end but the state."""
    network, target = make(0), make(1)
    batch = batch_of([6])
    batch.terminated[0, 2] = True
    first, second = (
        batch._replace(**{n: getattr(batch, n)[:, part] for n in batch._fields[:5]})
        for part in (slice(0, 3), slice(3, 6))
    )
    with torch.no_grad():
        states = [net(first.obs)[1] for net in (network, target)]
    whole = compute_td_loss_trial(network, target, batch, GAMMA, 0.7)
    one = compute_td_loss_trial(network, target, first, GAMMA, 0.7)
    q = network(second.obs, states[0])[0]
    with torch.no_grad():
        value = target(second.obs, states[1])[0].gather(2, q.argmax(2, keepdim=True)).squeeze(2)
    goal = td_targets(value, second.reward, second.terminated, second.mask, GAMMA, 0.7)
    chosen = q.gather(2, second.action.unsqueeze(2)).squeeze(2)
    two = torch.nn.functional.huber_loss(chosen, goal)
    assert whole.item() == pytest.approx((one.item() + two.item()) / 2, rel=1e-6)


@pytest.mark.parametrize("td_lambda", [0.0, 0.7, 1.0])
def test_a_trial_cut_inside_a_row_learns_nothing_from_the_next_one(td_lambda):
    """Its last step is not trained and G = V there, as if the row ended with it."""
    network, target = make(0), make(1)
    batch = batch_of([6])
    cut = torch.arange(6)[None] == 2
    first = batch._replace(**{n: getattr(batch, n)[:, :3] for n in batch._fields[:5]})
    value = torch.arange(6.0)[None]
    goals = td_targets(value, batch.reward, batch.terminated, batch.mask, GAMMA, td_lambda, cut=cut)
    alone = td_targets(value[:, :3], first.reward, first.terminated, first.mask, GAMMA, td_lambda)
    assert torch.equal(goals[:, :3], alone)
    assert goals[0, 2] == value[0, 2]
    spoilt = batch._replace(reward=batch.reward + 100 * (torch.arange(6) == 2), cut=cut)
    losses = [
        compute_td_loss_trial(network, target, one, GAMMA, td_lambda).item()
        for one in (batch._replace(cut=cut), spoilt)
    ]
    assert losses[0] == losses[1]  # whatever the reward of the step that is not trained


def test_only_the_trained_network_gets_a_gradient():
    network, target = make(0), make(1)
    compute_td_loss_trial(network, target, batch_of([5, 3]), GAMMA).backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.any() for p in trained)
    assert all(p.grad is None for p in target.parameters())


@pytest.mark.parametrize("gamma", [-0.1, 1.1])
def test_gamma_outside_its_range(gamma):
    with pytest.raises(ValueError, match=f"gamma is {gamma}; expected 0 to 1"):
        compute_td_loss_trial(make(0), make(1), batch_of([2]), gamma)


def test_action_that_the_network_does_not_have():
    batch = batch_of([3])
    batch.action[0, 1] = 7
    with pytest.raises(ValueError, match="has the action 7, but the network has 4 actions"):
        compute_td_loss_trial(make(0), make(1), batch, GAMMA)
