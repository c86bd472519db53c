"""The command line, as a user types it."""

import json

import pytest

from mpn_lab import load_run
from mpn_lab.cli import main

TRAIN = ["--hidden-size", "8", "--eval-trials", "20", "--batch-size", "16"]


def test_train_evaluate_resume(tmp_path, capsys):
    out = tmp_path / "run"
    kwargs = ["--task-kwargs", "dt=50", 'timing={"delay": 500}']
    main(["train", "DelayMatchSample-v0", "--trials", "120", "--seed", "3", "--out", str(out),
          *TRAIN, *kwargs, "--mpn.update", "presynaptic"])  # fmt: skip
    printed = capsys.readouterr().out
    assert "accuracy" in printed
    assert "ideal observer  1.0000" in printed
    run = load_run(out)
    assert run.config.task_kwargs == {"dt": 50, "timing": {"delay": 500}}
    assert run.config.seed == 3
    assert run.network.core.update == "presynaptic"

    main(["evaluate", str(out), "--trials", "50", "--seed", "1", "--json"])
    result = json.loads(capsys.readouterr().out)  # that object and nothing else
    assert {"accuracy", "ideal_accuracy", "ratio", "mean_return", "accuracy_ci95"} <= set(result)
    assert result["trials"] == 50

    main(["train", "--resume", str(out)])
    assert str(out) in capsys.readouterr().out


def test_tasks(capsys):
    main(["tasks", "DelayMatchSample-v0", "--trials", "10"])
    printed = capsys.readouterr().out
    assert "channels  3: fixation, stimulus_1, stimulus_2" in printed
    assert "32 steps of 100 ms" in printed
    assert "warning" in printed


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "Nothing-v0"], "error: There is no task 'Nothing-v0'"),
        (["train", "ReachingDelayResponse-v0"], "error: .*only Discrete"),
        (["train", "--gamma", "1.5"], "gamma is 1.5"),
        (["evaluate", "no/such/run"], "error: no/such/run is no run folder"),
        (["train", "--resume", "no/such/run"], "error: no/such/run is no run folder"),
        (["tasks", "Nothing-v0"], "error: There is no task"),
    ],
)
def test_errors_are_one_sentence(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message) as caught:
        main(args)
    assert "\n" not in str(caught.value)


def test_task_kwargs_must_be_pairs(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["train", "--out", str(tmp_path / "run"), "--task-kwargs", "dt"])
    captured = capsys.readouterr()
    assert "KEY=VALUE" in captured.out + captured.err
