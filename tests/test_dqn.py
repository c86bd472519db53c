"""Deep Q-learning: it learns, with every core and every strategy of replay."""

import numpy as np
import pytest

from mpn_lab import CoreError, TrainConfig, train
from mpn_lab.training.config import SequenceConfig
from mpn_lab.training.dqn import DQNTrainer


@pytest.mark.slow
def test_learns_delay_match_to_sample():
    run = train(TrainConfig(task="DelayMatchSample-v0"), out=False, progress=False)
    assert run.evaluate(trials=1000, seed=1).ratio >= 0.99


@pytest.mark.slow
def test_control_without_embedding_stays_at_chance():
    """The observation is zero at the response, so that a raw MPN gives the same output always."""
    config = TrainConfig(task="DelayMatchSample-v0", embedding="none", trials=1500)
    result = train(config, out=False, progress=False).evaluate(trials=2000, seed=1)
    assert result.accuracy < 0.55


@pytest.mark.parametrize("core", ["gru", "lstm", "rnn"])
def test_every_core_trains(core, short_config):
    run = train(short_config(core=core, num_layers=2, trials=50), out=False, progress=False)
    assert np.isfinite(run.metrics.loss.iloc[-1])
    assert not {"eta", "lam"} & set(run.metrics.columns)


def test_metrics(short_run, short_config):
    metrics = short_run.metrics
    assert metrics.trials.tolist() == [50, 100, 150]
    assert metrics.updates.tolist() == [4, 12, 20]
    assert metrics.epsilon.iloc[-1] == pytest.approx(short_config().exploration_final_eps)
    assert (metrics.ideal_accuracy == 1).all()
    assert metrics.env_steps.is_monotonic_increasing
    assert short_run.checkpoints == metrics.trials.tolist()


def test_rows_hold_what_the_core_reports(short_run):
    for trials, eta, lam in short_run.metrics[["trials", "eta", "lam"]].itertuples(index=False):
        core = short_run.network_at(int(trials)).core
        assert eta == pytest.approx(float(core.eta.detach()), rel=1e-6)
        assert lam == pytest.approx(float(core.lam.detach()), rel=1e-6)


WINDOWS = SequenceConfig(window=5, start="stored", burn_in=2)
STRATEGIES = {
    "transition": {"replay": "transition", "batch_size": 200},
    "stored": {"replay": "sequence", "sequence": WINDOWS},
    "zero": {"replay": "sequence", "sequence": SequenceConfig(window=5, start="zero")},
    "replayed": {"replay": "sequence", "sequence": SequenceConfig(window=5, start="replayed")},
    "across": {
        "replay": "sequence",
        "sequence": SequenceConfig(window=30, across_trials=True),
        "trials_per_episode": 5,
    },
    "episode": {"reset_state": "episode", "trials_per_episode": 5, "batch_size": 8},
    "never": {"reset_state": "never", "trials_per_episode": 5, "batch_size": 8},
    "truncated": {"backprop": "truncated", "chunk": 10},
    "checkpointed": {"backprop": "checkpointed", "chunk": 10},
    "gru": {"replay": "transition", "batch_size": 200, "core": "gru"},
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_and_resumes_exactly(name, short_config, train_and_resume, tmp_path):
    config = short_config(**({"trials": 100, "learning_starts": 25} | STRATEGIES[name]))
    whole = train_and_resume(train, config, tmp_path, at=50)
    assert np.isfinite(whole.metrics["loss"]).all()


def test_core_options_reach_the_layer(short_config):
    options = {"update": "presynaptic", "lam_shape": "hidden", "eta_init": 0.5, "train_M0": True}
    config = short_config(core_options=options, trials=50)
    layer = train(config, out=False, progress=False).network.core
    assert layer.update == "presynaptic"
    assert layer.lam.shape == (8, 1)
    assert layer.M0.abs().sum() > 0  # trained


@pytest.mark.parametrize(
    "strategy",
    [
        {"replay": "transition"},
        {"replay": "sequence"},
        {"replay": "sequence", "sequence": SequenceConfig(start="replayed")},
        {"reset_state": "never"},
    ],
)
def test_a_trained_initial_state_is_refused_where_replay_would_not_train_it(strategy, tmp_path):
    config = TrainConfig(core_options={"train_M0": True}, **strategy)
    with pytest.raises(ValueError, match="'mpn' starts from a trained or non-zero state"):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_trained_initial_state_is_trained_by_whole_episodes(short_config):
    config = short_config(
        core_options={"train_M0": True},
        reset_state="episode",
        trials_per_episode=5,
        trials=50,
        learning_starts=25,
        batch_size=4,
    )
    assert train(config, out=False, progress=False).network.core.M0.abs().sum() > 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"core": "transformer"}, "'transformer' is not registered; expected one of .*mpn"),
        ({"core_options": {"typo": 1}}, "'mpn' does not take core_options .*typo"),
    ],
)
def test_a_core_that_cannot_be_made(bad, message, tmp_path):
    with pytest.raises(CoreError, match=message):
        train(TrainConfig(**bad), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_window_longer_than_any_trial(short_config):
    config = short_config(replay="sequence", sequence=SequenceConfig(window=100), trials=50)
    with pytest.raises(ValueError, match="window is 100 steps, but the longest trial has 32"):
        train(config, out=False, progress=False)


def test_exploration_decays_linearly_and_the_learning_rate_along_a_cosine(short_config):
    trainer = DQNTrainer(short_config(learning_rate=1e-2, exploration_fraction=0.5))
    found = []
    for trainer.trials in (0, 15, 75, 150):
        found.append((trainer.epsilon(), trainer.learning_rate()))
    expected = [
        (1.0, 1e-2),
        (1 - 0.95 * 0.2, 1e-2 * (0.1 + 0.45 * (1 + np.cos(0.1 * np.pi)))),
        (0.05, 1e-2 * 0.55),
        (0.05, 1e-3),
    ]
    np.testing.assert_allclose(found, expected)
