"""Supervised training on batches drawn at once and on streams: the paper's way, and its options."""

import numpy as np
import pytest
import torch

from mpn_lab import RunError, resume, train_supervised
from mpn_lab.tasks.integration import INTEGRATION
from mpn_lab.training.config import StopConfig, SupervisedConfig, paper_config
from mpn_lab.training.learner import make_network
from mpn_lab.training.data import loss_and_accuracies, make_data, step_accuracies
from mpn_lab.training.supervised import SupervisedTrainer

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


def trained(config, path):
    return train_supervised(config, path, progress=False)


def content(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("config", [SHORT, STREAM], ids=["drawn", "streamed"])
def test_lessons_follow_from_the_seed_and_the_trials_before(config):
    one, other = make_data(config), make_data(config)
    one.seed(64)
    one.next()
    one.seed(0)
    other.seed(0)
    for _ in range(2):
        a, b = one.next(), other.next()
        assert all(torch.equal(x, y) for x, y in zip(a.batch, b.batch, strict=True))
        assert a.trials == config.batch_size
        assert a.env_steps == a.batch.ground_truth.numel()
    other.seed(64)
    assert not torch.equal(other.next().batch.obs, a.batch.obs)


def test_the_integration_task_is_scored_at_go_alone():
    source = make_data(SHORT)
    source.seed(0)
    assert source.next().batch.mask.nonzero()[:, 1].unique().tolist() == [19]


def test_share_right_equals_a_slow_loop():
    source = make_data(STREAM)
    network = make_network(STREAM.model_copy(update={"mpn": SHORT.mpn}), 3, 3)
    drawn = source.stream.sample_batch()
    right = {"all": [], "responds": []}
    for i in range(8):
        state = None
        for t in range(40):
            y, state = network.step(torch.from_numpy(drawn.obs[i, t])[None], state)
            is_right = int(y.argmax()) == drawn.ground_truth[i, t]
            right["all"].append(is_right)
            if drawn.ground_truth[i, t] != 0:
                right["responds"].append(is_right)
    expected = [np.mean(right["all"]), np.mean(right["responds"])]
    assert step_accuracies(network, drawn, "responds") == pytest.approx(expected)
    with torch.no_grad():
        chosen = network(torch.from_numpy(drawn.obs))[0].log_softmax(2).numpy()
    loss = -np.mean(
        [
            chosen[b, t, drawn.ground_truth[b, t]]
            for b, t in zip(*np.nonzero(drawn.mask), strict=True)
        ]
    )
    assert loss_and_accuracies(network, drawn)[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_an_mpn_learns_to_integrate(tmp_path):
    config = paper_config(
        INTEGRATION, trials=64 * 400, eval_freq=64 * 100, mpn={"eta_init": 1.0}, stop=None
    )
    run = trained(config, tmp_path / "run")
    assert run.metrics.accuracy.iloc[-1] > 0.95
    assert run.evaluate(trials=300, seed=1).accuracy > 0.93


@pytest.mark.parametrize("config", [SHORT, STREAM], ids=["drawn", "streamed"])
def test_resumed_after_an_interruption_ends_the_same(config, tmp_path):
    def interrupt(row):
        if row["trials"] == 2 * config.eval_freq:
            raise KeyboardInterrupt

    whole = trained(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_supervised(config, tmp_path / "cut", progress=False, on_row=interrupt)
    resume(tmp_path / "cut", progress=False)
    assert content(tmp_path / "cut") == content(whole.path)


def test_a_stream_reports_its_responses(tmp_path):
    metrics = trained(STREAM, tmp_path / "run").metrics
    assert metrics.trials.tolist() == [16, 32, 48, 64]
    assert metrics.response_accuracy.between(0, 1).all()
    assert metrics.accuracy.between(0, 1).all()


@pytest.mark.parametrize(
    ("stop", "rows"),
    [
        (StopConfig(accuracy=0, over=2, min_updates=0), 2),
        (StopConfig(accuracy=0, over=1, min_updates=6), 3),
        (StopConfig(accuracy=1, over=1, min_updates=0), 4),
        (StopConfig(accuracy=1, over=1, min_updates=0, patience=1), 2),
        (StopConfig(accuracy=1, over=1, min_updates=0, falling=True), 4),  # a tie is no rise
    ],
    ids=["accuracy", "updates", "never", "patience", "falling"],
)
def test_stop_rules(stop, rows, tmp_path):
    config = changed(stop=stop, learning_rate=1e-12)  # the accuracy stays as it is
    run = trained(config, tmp_path / "run")
    assert len(run.metrics) == rows
    before = content(run.path)
    assert len(resume(run.path, progress=False).metrics) == rows
    assert content(run.path) == before


def test_a_loss_that_no_longer_falls_ends_the_training(tmp_path):
    stop = StopConfig(accuracy=1, over=2, min_updates=0, falling=True)
    run = trained(changed(stop=stop, trials=6_400, learning_rate=0.3), tmp_path / "run")  # leaps
    loss = run.metrics.validation_loss.rolling(2).mean().to_numpy()
    rises = loss[3:] > loss[1:-2]
    assert rises[-1]
    assert not rises[:-1].any()
    assert len(run.metrics) < 100
    teaching = SupervisedConfig(task="DelayMatchSample-v0", stop=stop)
    with pytest.raises(ValueError, match=r"stop.falling asks .*; use accuracy or patience"):
        train_supervised(teaching, tmp_path / "taught", progress=False)


def test_only_the_readout_is_trained(tmp_path):
    config = changed(trained="readout", learning_rate=0.1)
    before = make_network(config, 20, 2).state_dict()
    after = trained(config, tmp_path / "run").network.state_dict()
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert not same.pop("readout.weight")
    assert all(same.values())


def test_a_training_that_starts_from_a_checkpoint(tmp_path):
    first = trained(SHORT, tmp_path / "first")
    path = first.checkpoint_path(256)
    config = changed(seed=1, start_from=str(path), learning_rate=1e-12)
    second = trained(config, tmp_path / "second")
    for name, value in second.network.state_dict().items():
        torch.testing.assert_close(value, first.network.state_dict()[name])
    # killed before its first checkpoint, it begins with them all the same
    for left in ("resume.safetensors", "metrics.csv", "checkpoints/trial_000064.safetensors"):
        (second.path / left).unlink()
    expected = content(second.path)
    resume(second.path, progress=False)
    assert expected.items() <= content(second.path).items()
    with pytest.raises(RunError, match="start_from names, holds the weights of another network"):
        trained(changed(start_from=str(path), hidden_size=9), tmp_path / "third")
    with pytest.raises(RunError, match=r"none.safetensors is missing"):
        trained(changed(start_from=str(tmp_path / "none.safetensors")), tmp_path / "third")
    with pytest.raises(RunError, match="is a folder; name a checkpoint in it"):
        trained(changed(start_from=str(first.path)), tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_paper_config_is_the_papers():
    network = SupervisedTrainer(paper_config(INTEGRATION)).learner.network
    assert network.readout.bias is None
    assert network.core.b is None
    assert (network.core.input_size, network.core.hidden_size) == (50, 100)
    assert abs(float(network.core.eta.detach())) < 3**0.5
    merged = paper_config(INTEGRATION, mpn={"update": "presynaptic"}).mpn
    assert (merged.update, merged.lam_max, merged.bias) == ("presynaptic", 0.95, False)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"loss_periods": ("go",)}, "names the steps to be trained itself"),
        ({"reset_state": "episode"}, "names the steps to be trained itself"),
    ],
)
def test_what_a_drawn_task_does_not_take(bad, words):
    with pytest.raises(ValueError, match=words):
        make_data(changed(**bad))


def test_a_stream_trains_all_its_steps():
    with pytest.raises(ValueError, match="such sequences train all their steps"):
        SupervisedConfig(stream_steps=10, loss_periods=("decision",))
