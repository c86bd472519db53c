"""A training that is killed at any instant resumes to the same bytes."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from mpn_lab import resume, train


def _train(config, path):
    torch.set_num_threads(1)
    train(config, path, progress=False)


def _resume(config, path):
    torch.set_num_threads(1)
    resume(path, progress=False)


@pytest.mark.slow
def test_killed_at_twenty_instants_and_resumed(short_config, content, tmp_path):
    config = short_config(eval_freq=25, learning_starts=25)
    context = multiprocessing.get_context("fork")  # all imports done
    train(config, tmp_path / "here", progress=False)  # all kernels compiled
    expected = content(tmp_path / "here")
    whole = context.Process(target=_train, args=(config, tmp_path / "whole"))
    whole.start()
    whole.join()
    assert content(tmp_path / "whole") == expected
    written = sorted(p.stat().st_mtime for p in (tmp_path / "whole" / "checkpoints").iterdir())
    a_row = (written[-1] - written[0]) / (len(written) - 1)  # seconds from one to the next

    rng, killed = np.random.default_rng(0), 0
    for i in range(20):
        path = tmp_path / str(i)
        process = context.Process(target=_train, args=(config, path))
        process.start()
        # After the i-th part of its checkpoints and a random while, wherever that finds it.
        rows = i * len(written) // 20
        while process.is_alive() and len(list(path.glob("checkpoints/trial_*"))) < rows:
            time.sleep(0.002)
        time.sleep(a_row * rng.random())
        if process.is_alive():
            killed += 1
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        go_on = _resume if (path / "config.json").exists() else _train
        again = context.Process(target=go_on, args=(config, path))
        again.start()
        again.join()
        assert content(path) == expected, f"killed at {i}/20 of the run"
    assert killed >= 15
