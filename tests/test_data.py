"""Supervised training on batches that a task samples and on streams, and its stopping rules."""

import numpy as np
import pytest
import torch

from mpn_lab import resume, train_supervised
from mpn_lab.tasks.integration import INTEGRATION
from mpn_lab.training.config import StopConfig, SupervisedConfig, paper_config
from mpn_lab.training.data import loss_and_accuracies, make_data, step_accuracies
from mpn_lab.training.learner import make_network

SHORT = paper_config(
    INTEGRATION,
    task_kwargs={"input_size": 20},
    hidden_size=8,
    trials=256,
    eval_freq=64,
    batch_size=32,
    eval_trials=50,
    stop=None,
)
STREAM = SupervisedConfig(
    task="DelayMatchSample-v0",
    stream_steps=40,
    hidden_size=8,
    trials=64,
    batch_size=8,
    eval_freq=16,
    eval_trials=10,
)


def changed(**update):
    return SHORT.model_copy(update=update)


def trained(config, out=False):
    return train_supervised(config, out, progress=False)


@pytest.mark.parametrize("config", [SHORT, STREAM], ids=["batches", "stream"])
def test_batches_follow_from_the_seed_and_the_trials_before(config):
    one, other = make_data(config), make_data(config)
    one.seed(64)
    one.next()
    one.seed(0)
    other.seed(0)
    for _ in range(2):
        a, b = one.next(), other.next()
        for x, y in zip(a[:3], b[:3], strict=True):
            np.testing.assert_array_equal(x, y)
        assert len(a.obs) == config.batch_size
    other.seed(64)
    assert not np.array_equal(other.next().obs, a.obs)


def test_the_integration_task_is_scored_at_go_alone():
    data = make_data(SHORT)
    data.seed(0)
    assert np.unique(data.next().mask.nonzero()[1]).tolist() == [19]


def test_step_accuracies_equal_a_slow_loop():
    network = make_network(STREAM.model_copy(update={"core_options": SHORT.core_options}), 3, 3)
    batch = make_data(STREAM).stream.sample_batch()
    correct = {"all": [], "responds": []}
    for i in range(8):
        state = None
        for t in range(40):
            y, state = network.step(torch.from_numpy(batch.obs[i, t])[None], state)
            is_correct = int(y.argmax()) == batch.ground_truth[i, t]
            correct["all"].append(is_correct)
            if batch.ground_truth[i, t] != 0:
                correct["responds"].append(is_correct)
    expected = [np.mean(correct["all"]), np.mean(correct["responds"])]
    assert step_accuracies(network, batch, "responds") == pytest.approx(expected)
    with torch.no_grad():
        chosen = network(torch.from_numpy(batch.obs))[0].log_softmax(2).numpy()
    loss = -np.mean(
        [
            chosen[b, t, batch.ground_truth[b, t]]
            for b, t in zip(*np.nonzero(batch.mask), strict=True)
        ]
    )
    assert loss_and_accuracies(network, batch)[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_an_mpn_learns_to_integrate():
    config = paper_config(
        INTEGRATION,
        trials=64 * 400,
        eval_freq=64 * 100,
        core_options={"eta_init": 1.0},
        stop=None,
    )
    run = trained(config)
    assert run.metrics.accuracy.iloc[-1] > 0.95
    assert run.evaluate(trials=300, seed=1).accuracy > 0.93


@pytest.mark.parametrize("config", [SHORT, STREAM], ids=["batches", "stream"])
def test_resumed_after_an_interruption_ends_the_same(config, train_and_resume, tmp_path):
    train_and_resume(train_supervised, config, tmp_path, at=2 * config.eval_freq)


def test_a_stream_reports_its_responses():
    metrics = trained(STREAM).metrics
    assert metrics.trials.tolist() == [16, 32, 48, 64]
    assert metrics.response_accuracy.between(0, 1).all()
    assert metrics.accuracy.between(0, 1).all()


@pytest.mark.parametrize(
    ("stop", "rows"),
    [
        (StopConfig(accuracy=0, window=2, min_updates=0), 2),
        (StopConfig(accuracy=0, window=1, min_updates=6), 3),
        (StopConfig(accuracy=1, window=1, min_updates=0), 4),
        (StopConfig(accuracy=1, window=1, min_updates=0, patience=1), 2),
        # a tie is no rise
        (StopConfig(accuracy=1, window=1, min_updates=0, stop_on_rising_loss=True), 4),
    ],
    ids=["accuracy", "updates", "never", "patience", "rising loss"],
)
def test_stop_rules(stop, rows, content, tmp_path):
    config = changed(stop=stop, learning_rate=1e-12)  # the accuracy stays as it is
    run = trained(config, tmp_path / "run")
    assert len(run.metrics) == rows
    before = content(run.path)
    assert len(resume(run.path, progress=False).metrics) == rows
    assert content(run.path) == before


def test_a_rising_loss_ends_the_training(tmp_path):
    stop = StopConfig(accuracy=1, window=2, min_updates=0, stop_on_rising_loss=True)
    run = trained(changed(stop=stop, trials=6_400, learning_rate=0.3))  # leaps
    loss = run.metrics.validation_loss.rolling(2).mean().to_numpy()
    rises = loss[3:] > loss[1:-2]
    assert rises[-1]
    assert not rises[:-1].any()
    assert len(run.metrics) < 100
    expert = SupervisedConfig(task="DelayMatchSample-v0", stop=stop)
    with pytest.raises(ValueError, match=r"stop_on_rising_loss needs .*; use accuracy or patience"):
        trained(expert, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"loss_periods": ("go",)}, "itself marks the steps to be trained"),
        ({"reset_state": "episode"}, "itself marks the steps to be trained"),
    ],
)
def test_what_a_task_that_samples_its_batches_does_not_take(bad, words):
    with pytest.raises(ValueError, match=words):
        make_data(changed(**bad))
