"""Evaluation on fresh trials, beside the ideal observer."""

import pytest
import torch

from mpn_lab import evaluate, train


def test_evaluation_is_reproducible_and_has_an_interval(short_run):
    one, two = short_run.evaluate(trials=300, seed=4), short_run.evaluate(trials=300, seed=4)
    assert one == two
    low, high = one.accuracy_ci95
    assert low <= one.accuracy <= high
    assert high - low < 0.2
    assert one.ratio == one.accuracy / one.ideal_accuracy
    assert short_run.evaluate(trials=300, seed=5) != one


def test_evaluation_without_an_ideal_observer(short_config):
    config = short_config(task="Reaching1D-v0", trials=25, eval_freq=25)
    result = train(config, out=False, progress=False).evaluate(trials=20)
    assert result.ratio is None
    assert result.accuracy_ci95[0] <= result.accuracy <= result.accuracy_ci95[1]


@pytest.mark.parametrize(("name", "value"), [("trials", 0), ("seed", -1), ("threads", 0)])
def test_bad_numbers(short_run, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        evaluate(short_run.network, "DelayMatchSample-v0", **{name: value})


def test_a_missing_device_is_refused(short_run):
    with pytest.raises(ValueError, match="device is 'tpu', which torch does not find"):
        short_run.evaluate(trials=5, device="tpu")


def test_evaluation_uses_the_threads_that_are_asked_for(short_run, monkeypatch):
    before, seen = torch.get_num_threads(), []
    network, step = short_run.network, short_run.network.step

    def watched(*arguments):
        seen.append(torch.get_num_threads())
        return step(*arguments)

    monkeypatch.setattr(network, "step", watched)
    try:
        torch.set_num_threads(2)
        short_run.evaluate(trials=5)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
