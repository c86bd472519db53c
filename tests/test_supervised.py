"""Supervised training: the loss counts where it should, it learns, and its runs are runs."""

import json

import numpy as np
import pytest
import torch

from mpn_lab import (
    QNetwork,
    RunError,
    SupervisedConfig,
    TrainConfig,
    TrialEnv,
    collect_trials,
    load_run,
    record,
    resume,
    train,
    train_supervised,
)
from mpn_lab.tasks.bandit import REVERSAL_BANDIT
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.training.evaluate import make_envs
from mpn_lab.training.loss import compute_cross_entropy
from mpn_lab.training.horizon import resolve_defaults
from mpn_lab.training.data import batch_of
from mpn_lab.training.supervised import SupervisedTrainer

CONTEXT = "ContextDecisionMaking-v0"  # its trials differ in length
SHORT = SupervisedConfig(
    trials=96, hidden_size=8, batch_size=8, eval_freq=32, eval_trials=10, l1=1e-4
)


def content(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def taught(task, n=6, **kwargs):
    envs = make_envs(task, kwargs, n, (0,))
    return collect_trials(envs, ExpertPolicy(envs), 0.0, np.random.default_rng(0))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return train_supervised(SHORT, tmp_path_factory.mktemp("run") / "short", progress=False)


@pytest.mark.parametrize("task", ["DelayMatchSample-v0", CONTEXT, REVERSAL_BANDIT])
def test_the_teacher_takes_the_right_action_at_every_step(task):
    for trial in taught(task):
        assert (trial.action == trial.ground_truth[: len(trial)]).all()
        assert trial.performance == 1


def test_the_teacher_lives_the_trials_of_its_environments_one_by_one():
    together, alone = taught(CONTEXT), make_envs(CONTEXT, {}, 6, (0,))
    for trial, env in zip(together, alone, strict=True):
        (other,) = collect_trials([env], ExpertPolicy([env]), 0.0, np.random.default_rng(0))
        np.testing.assert_array_equal(trial.obs, other.obs)


@pytest.mark.parametrize("task", ["Bandit-v0", "Reaching1D-v0"])
def test_a_task_without_right_actions(task):
    with pytest.raises(ValueError, match=f"{task} does not tell the right action at every step"):
        SupervisedTrainer(SHORT.model_copy(update={"task": task}))


@pytest.mark.parametrize("periods", [None, ("decision",), ("stimulus", "decision")])
def test_masked_loss_equals_a_slow_loop(periods, generator):
    trials = taught(CONTEXT, 6)
    pairs = [trials[:2], trials[2:4], trials[4:]]
    batch = batch_of(pairs, periods)
    network = QNetwork(5, 3, hidden_size=7, generator=generator)
    logits = network(batch.obs)[0]
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
    found = compute_cross_entropy(logits, batch.ground_truth, batch.mask)
    torch.testing.assert_close(found, expected)


def test_steps_outside_the_mask_have_no_gradient(generator):
    logits = torch.randn(2, 4, 3, generator=generator, requires_grad=True)
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    compute_cross_entropy(logits, torch.ones(2, 4, dtype=torch.long), mask).backward()
    assert ((logits.grad.abs().sum(2) > 0) == mask).all()
    nothing = compute_cross_entropy(logits, torch.ones(2, 4, dtype=torch.long), mask & False)
    assert nothing == 0


def test_l1_shrinks_the_weights_but_not_the_plasticity():
    loops = [SupervisedTrainer(SHORT.model_copy(update={"l1": l1})) for l1 in (0.0, 1.0)]
    loops[0].source.seed(0)
    batch = loops[0].source.next().batch
    grads = []
    for loop in loops:
        loop.learner.max_grad_norm = 1e9
        loop.update(batch)
        grads.append(dict(loop.learner.network.named_parameters()))
    fresh = SupervisedTrainer(SHORT).learner.network
    for name, weight in fresh.named_parameters():
        if weight.requires_grad:
            without, with_l1 = (g[name].grad for g in grads)
            shrinks = 0 if name.split(".")[-1] in ("eta", "lam") else torch.sign(weight.detach())
            torch.testing.assert_close(with_l1 - without, shrinks + torch.zeros_like(weight))


@pytest.mark.parametrize("task", ["PerceptualDecisionMaking-v0", "DelayMatchSample-v0"])
@pytest.mark.slow
def test_learns(task, tmp_path):
    config = SupervisedConfig(
        task=task, trials=9600, eval_freq=9600, learning_rate=4e-3, loss_periods=("decision",)
    )
    run = train_supervised(config, tmp_path / "run", progress=False)
    assert run.evaluate(trials=1000, seed=1).ratio > 0.97


def test_the_state_goes_from_trial_to_trial_in_a_sequence(tmp_path):
    """No trial tells the better arm; what the teacher chose before does."""
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
    run = train_supervised(config, tmp_path / "run", progress=False)
    assert run.metrics.step_accuracy.iloc[-1] > 0.8
    assert (run.metrics.train_return > 0.8).all()  # the teacher knows the better arm


def test_metrics_evaluation_and_record(short):
    metrics = short.metrics
    assert metrics.trials.tolist() == [32, 64, 96]
    assert metrics.updates.tolist() == [4, 8, 12]
    assert (metrics.train_return == 1).all()
    assert metrics.step_accuracy.between(0, 1).all()
    assert short.checkpoints == [32, 64, 96]
    assert 0 <= short.evaluate(trials=50).accuracy <= 1
    assert record(short, trials=2).attrs["task"] == SHORT.task
    assert load_run(short.path).config == resolve_defaults(SHORT)


def test_resumed_after_an_interruption_ends_the_same(short, tmp_path):
    def interrupt(row):
        if row["trials"] == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_supervised(SHORT, tmp_path / "cut", progress=False, on_row=interrupt)
    resume(tmp_path / "cut", progress=False)
    assert content(tmp_path / "cut") == content(short.path)


def test_a_folder_says_what_kind_of_run_it_holds(short, tmp_path):
    assert json.loads((short.path / "config.json").read_text())["kind"] == "supervised"
    rewarded = train(
        TrainConfig(trials=25, eval_freq=25, eval_trials=5, hidden_size=4),
        tmp_path / "rewarded",
        progress=False,
    )
    path = rewarded.path / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"kind": "dqn",', ""))  # as runs were written before
    assert load_run(rewarded.path).config == rewarded.config
    path.write_text(text.replace('"dqn"', '"other"'))
    with pytest.raises(RunError, match="of the kind 'other'; expected dqn or supervised"):
        load_run(rewarded.path)


def test_a_loss_that_is_not_finite_stops_it(tmp_path, monkeypatch):
    real, calls = compute_cross_entropy, []

    def poisoned(*args):
        calls.append(1)
        return real(*args) * (float("nan") if len(calls) > 5 else 1)

    monkeypatch.setattr("mpn_lab.training.supervised.compute_cross_entropy", poisoned)
    with pytest.raises(RunError, match="the loss is nan after 5 updates; the last good checkpoint"):
        train_supervised(SHORT, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").checkpoints == [32]


def test_unknown_period_names_those_that_there_are():
    with pytest.raises(
        ValueError, match=r"has no period 'go'; expected .* sample, delay, test, dec"
    ):
        SupervisedTrainer(SHORT.model_copy(update={"loss_periods": ("go",)}))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"trials": 100}, "trials is 100; expected a multiple of the 64 trials in an update"),
        ({"trials_per_episode": 2}, "choose reset_state='episode'"),
        ({"reset_state": "never"}, "reset_state"),
        ({"l1": -1}, "l1"),
        ({"exploration_initial_eps": 1}, "exploration_initial_eps"),
    ],
)
def test_bad_configuration(bad, words):
    with pytest.raises(ValueError, match=words):
        SupervisedConfig(**bad)


def test_a_teacher_carries_nothing():
    teacher = ExpertPolicy([TrialEnv(CONTEXT, seed=0)])
    with pytest.raises(NotImplementedError, match="carries no state"):
        teacher.join_states([])
