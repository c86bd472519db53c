"""The list of tasks and their descriptions."""

import pytest

from mpn_lab import describe_task, trainable_tasks
from mpn_lab.tasks import catalog


def test_lists_discrete_tasks_only():
    names = trainable_tasks()
    assert {"DelayMatchSample-v0", "GoNogo-v0", "ContextDecisionMaking-v0"} <= set(names)
    assert not {"ReachingDelayResponse-v0", "AnnubesEnv-v0"} & set(names)


def test_describes_delay_match_to_sample():
    task = describe_task("DelayMatchSample-v0", trials=20)
    assert task.channels == ["fixation", "stimulus_1", "stimulus_2"]
    assert task.periods_ms == {
        "fixation": 300,
        "sample": 500,
        "delay": 1000,
        "test": 500,
        "decision": 900,
    }
    assert task.steps == (32, 32, 32)
    assert task.dt == 100
    assert task.ideal_accuracy == task.oracle_accuracy == 1
    assert task.silent_response
    assert "embedding with a bias" in task.warning


def test_lengths_of_a_task_with_a_random_delay(monkeypatch):
    # the ideal observer's accuracy takes 20 times as many trials, and is not asked for here
    monkeypatch.setattr(catalog, "observer_kind", lambda env: None)
    task = describe_task("ContextDecisionMaking-v0", trials=300)
    low, mean, high = task.steps
    assert low == 14
    assert 18 <= mean <= 20
    assert high <= 40


@pytest.mark.parametrize("name", ["DelayMatchCategory-v0", "EconomicDecisionMaking-v0"])
def test_no_warning_where_something_is_seen(name):
    task = describe_task(name, trials=20)
    assert not task.silent_response
    assert task.warning is None


def test_ground_truth_that_is_not_an_action():
    assert describe_task("Reaching1D-v0", trials=5).oracle_accuracy is None
