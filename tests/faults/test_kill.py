"""A training that is killed at any instant, up to three times, resumes to the same bytes.

MPN_LAB_KILLS is the number of kills: 20 by default, `MPN_LAB_KILLS=300 pytest -s
tests/faults/test_kill.py` for a campaign.
"""

import multiprocessing
import os
import signal
import time
import warnings

import numpy as np
import pytest
import torch

from mpn_lab import SequenceConfig, SupervisedConfig, TrainConfig, resume, train, train_supervised
from mpn_lab.training.files import csv_of, numbered_files, read_meta

KILLS = int(os.environ.get("MPN_LAB_KILLS", "20"))
SHORT = {"trials": 24, "eval_freq": 4, "hidden_size": 4, "batch_size": 4}
DQN = SHORT | {"eval_trials": 2, "learning_starts": 4, "train_freq": 4, "gradient_steps": 2}
CARRIED = {"task": "HierarchicalReasoning-v0", "reset_state": "never", "trials_per_episode": 2}
WINDOW = SequenceConfig(window=6, start="stored", burn_in=2)
KINDS = {
    "whole trials": TrainConfig(**DQN, store_trials=2),
    "transitions": TrainConfig(**DQN, replay="transition"),
    "windows": TrainConfig(**DQN, replay="sequence", sequence=WINDOW),
    "carried state": TrainConfig(**DQN, **CARRIED, store_trials=1),
    "GRU": TrainConfig(**DQN, core="gru"),
    "supervised": SupervisedConfig(**SHORT, eval_trials=4),
    "integration": SupervisedConfig(**SHORT, eval_trials=4, task="mpn_lab/Integration-v0"),
    "streams": SupervisedConfig(**SHORT, eval_trials=4, stream_steps=20),
}


def go_on(config, path):
    """Train, or resume where a run has begun."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*is written anew")  # of a torn metrics.csv
    if (path / "config.json").exists():
        resume(path, progress=False)
    else:
        begin = train if isinstance(config, TrainConfig) else train_supervised
        begin(config, path, progress=False)


def tear(path, rng):
    """Leave what a power cut may leave: half files, and those after the last checkpoint torn."""
    done, rows = 0, []
    if (path / "resume.safetensors").exists():
        meta = read_meta(path / "resume.safetensors")
        done, rows = meta["trials"], meta["rows"]
    elif not (path / "config.json").exists():
        (path / ".config.json.0123abcd.partial").write_bytes(b'{"kind"')
        return
    for folder, first in (("checkpoints", done + 1), ("stored_trials", max(done, 1))):
        for trials in numbered_files(path / folder):
            if trials >= first:
                cut(path / folder / f"trial_{trials:06d}.safetensors", 0, rng)
    if (path / "metrics.csv").exists():
        cut(path / "metrics.csv", len(csv_of(rows)) if rows else 0, rng)
    (path / ".resume.safetensors.0123abcd.partial").write_bytes(bytes(1000))
    if (path / "checkpoints").exists():
        (path / "checkpoints" / ".trial_000024.safetensors.0123abcd.partial").write_bytes(b"")


def cut(file, at_least, rng):
    data = file.read_bytes()
    file.write_bytes(data[: int(rng.integers(at_least, len(data) + 1))])


@pytest.mark.slow
def test_killed_at_any_instant_and_resumed(content, tmp_path):
    context = multiprocessing.get_context("fork")  # all imports done

    def start(config, path):
        process = context.Process(target=go_on, args=(config, path))
        process.start()
        return process

    expected, seconds = {}, {}
    for name, config in KINDS.items():
        go_on(config, tmp_path / name / "here")  # all kernels compiled
        expected[name] = content(tmp_path / name / "here")
        begun = time.monotonic()
        start(config, tmp_path / name / "there").join()
        seconds[name] = time.monotonic() - begun
        assert content(tmp_path / name / "there") == expected[name]

    rng = np.random.default_rng(int(os.environ.get("MPN_LAB_SEED", "0")))
    killed = runs = torn = 0
    while killed < KILLS:
        name = list(KINDS)[runs % len(KINDS)]
        config, path, instants = KINDS[name], tmp_path / name / str(runs), []
        for _ in range(int(rng.integers(1, 4))):
            begun = time.monotonic()
            process = start(config, path)
            instants.append(float(seconds[name] * rng.random()))
            process.join(instants[-1])
            if not process.is_alive():  # the machine is faster than it was
                seconds[name] = min(seconds[name], time.monotonic() - begun)
                break
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
            process.join()
            if rng.random() < 0.5 and path.exists():
                tear(path, rng)
                torn += 1
        process = start(config, path)
        process.join()
        assert process.exitcode == 0, (name, instants)
        assert content(path) == expected[name], (name, instants)
        runs += 1
        print(f"{killed} kills of {runs} runs ({torn} torn): all as without them", flush=True)
