"""The command line, as a user types it."""

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import version

import gymnasium as gym
import pytest

from mpn_lab import load_run, trainable_tasks
from mpn_lab.cli import main
from mpn_lab.networks import registry

TRAIN = ["--hidden-size", "8", "--eval-trials", "20", "--batch-size", "16"]


def test_train_evaluate_resume(tmp_path, capsys):
    out = tmp_path / "run"
    kwargs = ["--task-kwargs", "dt=50", 'timing={"delay": 500}']
    main(["train", "DelayMatchSample-v0", "--trials", "120", "--seed", "3", "--out", str(out),
          *TRAIN, *kwargs, "--core-options", "update=presynaptic", "lam_max=0.9"])  # fmt: skip
    printed = capsys.readouterr().out
    assert "accuracy" in printed
    assert "ideal observer  1.0000" in printed
    run = load_run(out)
    assert run.config.task_kwargs == {"dt": 50, "timing": {"delay": 500}}
    assert run.config.core_options == {"update": "presynaptic", "lam_max": 0.9}
    assert run.config.seed == 3

    main(["evaluate", str(out), "--trials", "50", "--seed", "1", "--json"])
    result = json.loads(capsys.readouterr().out)  # that object and nothing else
    assert {"accuracy", "ideal_accuracy", "ratio", "mean_return", "accuracy_ci95"} <= set(result)
    assert result["trials"] == 50

    before = run.metrics
    main(["resume", str(out)])
    assert str(out) in capsys.readouterr().out
    assert load_run(out).metrics.equals(before)  # it was finished


def test_train_supervised(tmp_path, capsys):
    out = tmp_path / "run"
    main(["train-supervised", "mpn_lab/Integration-v0", "--trials", "640", "--eval-freq", "320",
          "--out", str(out), "--hidden-size", "8", "--eval-trials", "20",
          "--stop", "accuracy=0.5", "min_updates=5", "window=1"])  # fmt: skip
    assert "ideal observer  1.0000" in capsys.readouterr().out
    run = load_run(out)
    assert (run.config.stop.accuracy, run.config.stop.min_updates) == (0.5, 5)
    assert len(run.metrics) in (1, 2)


def test_unknown_numbers_are_reported_as_unknown(tmp_path, capsys):
    """CartPole tells of no trial whether it was correct."""
    out = str(tmp_path / "run")
    main(["train", "CartPole-v1", "--trials", "30", "--learning-starts", "20",
          "--out", out, *TRAIN])  # fmt: skip
    printed = capsys.readouterr().out
    assert "accuracy        unknown" in printed
    assert "mean return" in printed
    main(["evaluate", out, "--trials", "10", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"] is None
    assert result["ideal_accuracy"] is None
    assert result["mean_return"] > 5


def test_tasks_lists_names_and_describes_one(capsys):
    main(["tasks"])
    assert capsys.readouterr().out.splitlines() == trainable_tasks()
    main(["tasks", "DelayMatchSample-v0", "--trials", "10"])
    printed = capsys.readouterr().out
    assert "channels  3: fixation, stimulus_1, stimulus_2" in printed
    assert "32 steps of 100 ms" in printed
    assert "warning" in printed
    main(["tasks", "CartPole-v1", "--trials", "5"])
    assert "9 to 10 steps (mean 9)\n" in capsys.readouterr().out  # of unknown duration


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"mpn-lab {version('mpn_lab')}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "Nothing-v0"], "error: There is no task 'Nothing-v0'"),
        (["train", "ReachingDelayResponse-v0"], "error: .*a Discrete one"),
        (["train", "--gamma", "1.5"], "gamma is 1.5"),
        (["train", "--trials-per-episode", "2"], "error: train_freq is 25; expected a multiple"),
        (["train", "--core", "nothing"], "error: the core 'nothing' is not registered; expected"),
        (["train", "--core-options", "foo=1"], "error: the core 'mpn' does not take .*'foo': 1"),
        (["train", "--device", "abacus"], "error: device is 'abacus', which torch does not find"),
        (["train", "--threads", "0"], "error: threads is 0; expected 1 or more"),
        (["train-supervised", "--stop", "accuracy=2"], "stop.accuracy is 2"),
        (["train-supervised", "CartPole-v1"], "error: CartPole-v1 does not define the correct a"),
        (["evaluate", "no/such/run"], "error: no/such/run is not a run folder"),
        (["plot", "no/such/run"], "error: no/such/run is not a run folder"),
        (["plot", "no/such/run", "--trial", "100"], "error: trial is 100; expected 0 to 99"),
        (["resume", "no/such/run"], "error: no/such/run is not a run folder"),
        (["tasks", "Nothing-v0"], "error: There is no task"),
        (["tasks", "--import", "no_such"], "--import no_such: the module 'no_such' is neither in"),
        (["tasks", "--import", "my/tasks.py"], "--import my/tasks.py: expected the name of a mod"),
        (["tasks", "--import", "broken"], r"fails with ZeroDivisionError: .*\(broken.py, line 2\)"),
        (
            ["tasks", "--import", "needy"],
            "fails with ModuleNotFoundError: No module named 'absent'",
        ),
    ],
)
def test_errors_are_one_sentence(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken.py").write_text("zero = 0\none = 1 / zero\n")
    (tmp_path / "needy.py").write_text("import absent\n")
    with pytest.raises(SystemExit, match=message) as caught:
        main(args)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--task-kwargs", "dt"], "error: --task-kwargs: 'dt' is not of the form KEY="),
        (["train", "--replay", "x"], "error: invalid choice 'x' for argument '--replay'; expect"),
        ([], "error: Expected one of {tasks, train, train-supervised, resume, evaluate, plot,"),
    ],
)
def test_words_that_are_no_arguments_are_one_sentence_too(args, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.err.startswith(message)
    assert printed.err.endswith("--help`.\n")
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_a_lack_of_memory_is_one_sentence(monkeypatch):
    def too_large(*args, **kwargs):
        raise MemoryError("Unable to allocate 8.66 GiB for an array")

    monkeypatch.setattr("mpn_lab.cli.train", too_large)
    with pytest.raises(
        SystemExit, match=r"error: the memory does not suffice \(Unable .*\); choose"
    ):
        main(["train"])


def test_an_interrupt_has_its_exit_code(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("mpn_lab.cli.train", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main(["train"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


MODULE = """
import gymnasium as gym
import numpy as np
import mpn_lab
from mpn_lab.networks.recurrent import GRU


class Coin(gym.Env):
    observation_space, action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Discrete(2)
    action_0_is_response = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side = int(self.np_random.integers(2))
        self.gt = np.array([self.side])
        return np.eye(2)[self.side], {}

    def step(self, action):
        correct = float(action == self.side)
        return np.zeros(2), correct, True, False, {"performance": correct}


class MyCore(GRU):
    pass


gym.register("mine/Coin-v0", Coin)
mpn_lab.register_core("my_core", MyCore)
mpn_lab.register_observer("mine/Coin-v0", lambda env, trial: [int(trial.obs[0].argmax())])
"""

FRESH = """
import sys
from mpn_lab import load_run, record, resume

path = sys.argv[1]
run = load_run(path)
assert "my_module" not in sys.modules
print(len(run.metrics), run.config.task)
for use in (run.evaluate, lambda: record(run), lambda: resume(path), lambda: run.network):
    try:
        use()
    except ValueError as error:
        print(error)
assert "my_module" not in sys.modules
import my_module
print(run.evaluate(trials=20).ideal_accuracy, record(run, trials=5).sizes["trial"])
"""


@pytest.mark.slow
def test_a_task_and_a_core_of_ones_own_in_fresh_processes(tmp_path, monkeypatch, capsys):
    """The run notes their modules; nothing is imported unless the user names it."""
    (tmp_path / "my_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(registry, "_CORES", dict(registry._CORES))
    importlib.invalidate_caches()
    try:
        main(["train", "mine/Coin-v0", "--core", "my_core", "--trials", "60", "--out", "run",
              "--learning-starts", "20",
              *TRAIN, "--import", "my_module"])  # fmt: skip
    finally:
        gym.registry.pop("mine/Coin-v0", None)
        sys.modules.pop("my_module", None)
    assert "ideal observer  1.0000" in capsys.readouterr().out
    assert load_run("run").content["modules"] == {"task": "my_module", "core": "my_module"}

    def fresh(*command):
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first, *messages, last = fresh("-c", FRESH, "run")
    assert first == "1 mine/Coin-v0"
    assert len(messages) == 4  # one line each
    for message in messages:
        assert "first import my_module, which registered it" in message
        assert "--import my_module" in message
    assert "'mine/Coin-v0' is not registered" in messages[0]
    assert "the core 'my_core' is not registered" in messages[3]
    assert last == "1.0 5"
    evaluated = fresh("-m", "mpn_lab", "evaluate", "run", "--trials", "20", "--import", "my_module")
    assert "ideal observer  1.0000" in "\n".join(evaluated)
