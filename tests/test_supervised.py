"""Supervised training: the loss counts where it should, it learns, and its runs are runs."""

import shutil

import numpy as np
import pytest
import torch

from mpn_lab import (
    QNetwork,
    RunError,
    SupervisedConfig,
    TrialEnv,
    collect_trials,
    load_run,
    record,
    resume,
    train_supervised,
)
from mpn_lab.tasks.bandit import REVERSAL_BANDIT
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.tasks.rollout import make_envs
from mpn_lab.training.data import batch_of
from mpn_lab.training.horizon import resolve_defaults
from mpn_lab.training.loss import compute_cross_entropy
from mpn_lab.training.supervised import SupervisedTrainer

CONTEXT = "ContextDecisionMaking-v0"  # its trials differ in length
SHORT = SupervisedConfig(
    trials=96, hidden_size=8, batch_size=8, eval_freq=32, eval_trials=10, l1=1e-4
)


def expert_trials(task, n=6, **kwargs):
    envs = make_envs(task, kwargs, n, (0,))
    return collect_trials(envs, ExpertPolicy(envs), 0.0, np.random.default_rng(0))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return train_supervised(SHORT, tmp_path_factory.mktemp("run") / "short", progress=False)


@pytest.mark.parametrize("task", ["DelayMatchSample-v0", CONTEXT, REVERSAL_BANDIT])
def test_the_expert_takes_the_correct_action_at_every_step(task):
    for trial in expert_trials(task):
        assert (trial.action == trial.ground_truth[: len(trial)]).all()
        assert trial.performance == 1


def test_the_expert_collects_as_each_environment_alone_would():
    together, alone = expert_trials(CONTEXT), make_envs(CONTEXT, {}, 6, (0,))
    for trial, env in zip(together, alone, strict=True):
        (other,) = collect_trials([env], ExpertPolicy([env]), 0.0, np.random.default_rng(0))
        np.testing.assert_array_equal(trial.obs, other.obs)


@pytest.mark.parametrize("task", ["Bandit-v0", "Reaching1D-v0"])
def test_a_task_without_correct_actions(task):
    with pytest.raises(
        ValueError, match=f"{task} does not define the correct action at every step"
    ):
        SupervisedTrainer(SHORT.model_copy(update={"task": task}))


@pytest.mark.parametrize("periods", [None, ("decision",), ("stimulus", "decision")])
def test_masked_loss_equals_a_slow_loop(periods, generator):
    trials = expert_trials(CONTEXT, 6)
    pairs = [trials[:2], trials[2:4], trials[4:]]
    batch = batch_of(pairs, periods)
    network = QNetwork(5, 3, hidden_size=7, generator=generator)
    logits = network(torch.from_numpy(batch.obs))[0]
    losses = []
    for pair in pairs:
        state = None
        for trial in pair:
            for t in range(len(trial)):
                y, state = network.step(torch.from_numpy(trial.obs[t])[None], state)
                inside = [p for p, (a, b) in trial.periods.items() if a <= t < b]
                if periods is None or set(inside) & set(periods):
                    p = torch.softmax(y[0], 0)[int(trial.ground_truth[t])]
                    losses.append(-torch.log(p))
    assert int(batch.mask.sum()) == len(losses)
    expected = torch.stack(losses).mean()
    truth, mask = torch.from_numpy(batch.ground_truth), torch.from_numpy(batch.mask)
    found = compute_cross_entropy(logits, truth, mask)
    torch.testing.assert_close(found, expected)


def test_steps_outside_the_mask_have_no_gradient(generator):
    logits = torch.randn(2, 4, 3, generator=generator, requires_grad=True)
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    compute_cross_entropy(logits, torch.ones(2, 4, dtype=torch.long), mask).backward()
    assert ((logits.grad.abs().sum(2) > 0) == mask).all()
    nothing = compute_cross_entropy(logits, torch.ones(2, 4, dtype=torch.long), mask & False)
    assert nothing == 0


def test_l1_shrinks_the_weights_but_not_the_plasticity():
    trainers = [SupervisedTrainer(SHORT.model_copy(update={"l1": l1})) for l1 in (0.0, 1.0)]
    trainers[0].data.seed(0)
    batch = trainers[0].data.next()
    grads = []
    for trainer in trainers:
        trainer.learner.max_grad_norm = 1e9
        trainer.update(batch)
        grads.append(dict(trainer.learner.network.named_parameters()))
    fresh = SupervisedTrainer(SHORT).learner.network
    for name, weight in fresh.named_parameters():
        if weight.requires_grad:
            without, with_l1 = (g[name].grad for g in grads)
            shrinks = 0 if name.split(".")[-1] in ("eta", "lam") else torch.sign(weight.detach())
            torch.testing.assert_close(with_l1 - without, shrinks + torch.zeros_like(weight))


@pytest.mark.parametrize("task", ["PerceptualDecisionMaking-v0", "DelayMatchSample-v0"])
@pytest.mark.slow
def test_learns(task):
    config = SupervisedConfig(
        task=task, trials=9600, eval_freq=9600, learning_rate=4e-3, loss_periods=("decision",)
    )
    run = train_supervised(config, out=False, progress=False)
    assert run.evaluate(trials=1000, seed=1).ratio > 0.97


def test_the_state_goes_from_trial_to_trial_in_a_sequence():
    """No trial tells the better arm; what the expert chose before does."""
    config = SupervisedConfig(
        task=REVERSAL_BANDIT,
        trials=6400,
        batch_size=8,
        eval_freq=3200,
        reset_state="episode",
        trials_per_episode=20,
        loss_periods=("choice",),
        learning_rate=1e-2,
        hidden_size=32,
    )
    run = train_supervised(config, out=False, progress=False)
    assert run.metrics.step_accuracy.iloc[-1] > 0.8
    assert (run.metrics.train_return > 0.8).all()  # the expert knows the better arm


def test_metrics_evaluation_and_record(short):
    metrics = short.metrics
    assert metrics.trials.tolist() == [32, 64, 96]
    assert metrics.updates.tolist() == [4, 8, 12]
    assert (metrics.train_return == 1).all()
    assert metrics.step_accuracy.between(0, 1).all()
    assert short.checkpoints == [32, 64, 96]
    assert 0 <= short.evaluate(trials=50).accuracy <= 1
    attrs = record(short, trials=2).attrs
    assert (attrs["task"], attrs["training"]) == (SHORT.task, "supervised")
    assert load_run(short.path).config == resolve_defaults(SHORT)
    assert short.content["kind"] == "supervised"
    assert "epsilon" not in metrics


def test_resumed_after_an_interruption_ends_the_same(short, content, tmp_path):
    def interrupt(row):
        if row["trials"] == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_supervised(SHORT, tmp_path / "cut", progress=False, on_row=interrupt)
    resume(tmp_path / "cut", progress=False)
    assert content(tmp_path / "cut") == content(short.path)


def test_a_training_in_memory_equals_the_one_in_a_folder(short):
    run = train_supervised(SHORT, out=False, progress=False)
    assert run.metrics.equals(short.metrics)
    for name, value in short.network.state_dict().items():
        assert torch.equal(value, run.network.state_dict()[name])


def test_a_training_that_begins_with_a_network(short, content, tmp_path):
    config = SHORT.model_copy(update={"seed": 1})
    before = {name: value.clone() for name, value in short.network.state_dict().items()}

    def copy_folder(row):
        if row["trials"] == 32:  # as a kill during the first rows left it
            path = shutil.copytree(tmp_path / "whole", tmp_path / "first")
            shutil.copytree(path, tmp_path / "begun")
            for name in ("resume.safetensors", "metrics.csv"):
                (tmp_path / "begun" / name).unlink()

    path = tmp_path / "whole"
    frozen = config.model_copy(update={"learning_rate": 1e-12, "l1": 0.0})
    run = train_supervised(frozen, out=False, network=short.network, progress=False)
    for name, value in run.network.state_dict().items():
        torch.testing.assert_close(value, before[name])

    whole = train_supervised(
        config, path, network=short.network, progress=False, on_row=copy_folder
    )
    assert whole.checkpoints == [0, 32, 64, 96]
    for name, value in whole.network_at(0).state_dict().items():
        assert torch.equal(value, before[name])
        assert torch.equal(value, short.network.state_dict()[name])  # not trained itself
    assert content(resume(tmp_path / "first", progress=False).path) == content(path)
    with pytest.raises(RunError, match="interrupted before they were saved; train again"):
        resume(tmp_path / "begun", progress=False)


def test_killed_before_the_first_row_it_still_begins_with_the_network(short, content, tmp_path):
    config = SHORT.model_copy(update={"seed": 1})
    whole = train_supervised(config, tmp_path / "whole", network=short.network, progress=False)

    class Killed(SupervisedTrainer):
        def advance(self, bar, run):
            raise KeyboardInterrupt

    trainer = Killed(config)
    trainer.begin_with(short.network)
    run = trainer.create_run(tmp_path / "cut", "", "network")
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(run, False, None)
    assert load_run(tmp_path / "cut").checkpoints == [0]
    resume(tmp_path / "cut", progress=False)
    assert content(tmp_path / "cut") == content(whole.path)


@pytest.mark.parametrize("change", [{"hidden_size": 9}, {"core": "gru"}, {"readout_bias": False}])
def test_a_network_to_begin_with_of_another_kind(change, short, tmp_path):
    config = SHORT.model_copy(update=change)
    with pytest.raises(ValueError, match="has other weights than the configuration's; expected"):
        train_supervised(config, tmp_path / "run", network=short.network, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_it(tmp_path, monkeypatch):
    real, calls = compute_cross_entropy, []

    def poisoned(*args):
        calls.append(1)
        return real(*args) * (float("nan") if len(calls) > 5 else 1)

    monkeypatch.setattr("mpn_lab.training.supervised.compute_cross_entropy", poisoned)
    with pytest.raises(RunError, match="the loss is nan after 5 updates; the last good checkpoint"):
        train_supervised(SHORT, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").checkpoints == [32]


def test_an_unknown_period_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"has no period 'go'; expected .* sample, delay, test, dec"
    ):
        SupervisedTrainer(SHORT.model_copy(update={"loss_periods": ("go",)}))


def test_an_expert_has_no_state():
    expert = ExpertPolicy([TrialEnv(CONTEXT, seed=0)])
    with pytest.raises(NotImplementedError, match="carries no state"):
        expert.join_states([])
