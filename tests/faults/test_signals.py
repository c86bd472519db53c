"""A signal stops a training at a safe moment, with a sentence that says how to go on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from mpn_lab import load_run, resume, train
from mpn_lab.cli import main
from mpn_lab.training.signals import TrainingStopped, stop_at_signals, stop_if_asked

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
ARGUMENTS = ["--trials", "4", "--hidden-size", "4", "--eval-freq", "2", "--eval-trials", "1",
             "--learning-starts", "2", "--train-freq", "2", "--batch-size", "2",
             "--gradient-steps", "1", "--store-trials", "1"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_the_main_thread():
    """Signals sent to this process would end it if the tests ran in another thread.

    A shell lets what it starts in the background ignore SIGINT, the processes below it too.
    """
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread handles signals")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", CODES)
def test_the_command_line_stops_and_goes_on(
    number, tiny_run, content, tmp_path, monkeypatch, capsys
):
    """The signal comes in the middle of the second round, after which it is obeyed."""
    from mpn_lab.training import dqn

    real, rounds, before = dqn.rollout, [], signal.getsignal(number)

    def send(*arguments, **options):
        rounds.append(1)
        if len(rounds) == 2:  # the evaluations of the two rows
            os.kill(os.getpid(), number)
        return real(*arguments, **options)

    path = tmp_path / "a run"
    with monkeypatch.context() as patch:
        patch.setattr(dqn, "rollout", send)
        with pytest.raises(SystemExit) as ended:
            main(["train", "DelayMatchSample-v0", "--out", str(path), *ARGUMENTS])
    assert ended.value.code == CODES[number]
    last = capsys.readouterr().err.splitlines()[-1]
    words = f"Training stopped at trial 4; `mpn-lab resume '{path}'` continues from trial 4."
    assert last == words
    assert signal.getsignal(number) == before
    main(["resume", str(path)])
    assert content(path) == content(tiny_run.path)


def test_it_stops_after_the_round_and_not_only_after_the_row(
    tiny_config, content, tmp_path, monkeypatch
):
    from mpn_lab.training.experience import Experience

    real, rounds = Experience.collect, []

    def send(self, *arguments):
        rounds.append(1)
        if len(rounds) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *arguments)

    config = tiny_config(trials=8, eval_freq=4)  # two rounds of two trials in a row
    monkeypatch.setattr(Experience, "collect", send)
    words = r"^Training stopped at trial 8; `mpn-lab resume .*/run` continues from trial 4\.$"
    with pytest.raises(TrainingStopped, match=words), stop_at_signals():
        train(config, tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run").checkpoints == [4]
    whole = train(config, tmp_path / "whole", progress=False)
    assert content(resume(tmp_path / "run", progress=False).path) == content(whole.path)


def test_a_second_signal_interrupts_at_once():
    def signalled_twice():
        with stop_at_signals():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    with pytest.raises(TrainingStopped) as error:
        signalled_twice()
    assert error.value.number == signal.SIGTERM
    stop_if_asked()  # nothing is asked for any more


def test_from_python_an_interrupt_stays_one_and_says_how_to_go_on(tiny_config, tmp_path):
    def interrupt(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"continues from trial 2\.$") as error:
        train(tiny_config(), tmp_path / "run", progress=False, on_row=interrupt)
    assert error.type is KeyboardInterrupt
    words = "at trial 2; the run was only in memory, so that nothing is left to resume"
    with pytest.raises(KeyboardInterrupt, match=words):
        train(tiny_config(store_trials=0), out=False, progress=False, on_row=interrupt)


def test_ignored_signals_and_other_threads_are_left_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_at_signals():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    found = []

    def elsewhere():
        with stop_at_signals():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_a_process_of_its_own(number, tmp_path):
    """As a cluster's scheduler or Ctrl-C does it, wherever that finds the training."""
    path = tmp_path / "run"
    command = [sys.executable, "-m", "mpn_lab", "train", "--out", str(path), "--trials", "100000",
               "--eval-freq", "25", "--eval-trials", "5", "--hidden-size", "4"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while len(list(path.glob("checkpoints/trial_*"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, printed = process.communicate(timeout=300)
    assert process.returncode == CODES[number]
    last = printed.splitlines()[-1]
    found = re.fullmatch(
        rf"Training stopped at trial (\d+); `mpn-lab resume {path}` continues from trial (\d+)\.",
        last,
    )
    assert found, last
    assert int(found[2]) == load_run(path).checkpoints[-1] <= int(found[1])
    assert sorted(p.name for p in path.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.csv",
        "resume.safetensors",
    ]
