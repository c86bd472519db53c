"""A resumed run ends as the run without an interruption does."""

import json

import pytest

from mpn_lab import load_run, resume, train
from mpn_lab.training import horizon
from mpn_lab.training.horizon import resolve_defaults


def interrupt_at(trials):
    def interrupt(row):
        if row["trials"] == trials:
            raise KeyboardInterrupt

    return interrupt


@pytest.mark.parametrize("task", ["DelayMatchSample-v0", "HierarchicalReasoning-v0"])
def test_resumed_after_an_interruption_ends_the_same(task, short_config, content, tmp_path):
    """HierarchicalReasoning has blocks that last longer than a trial."""
    config = short_config(task=task)
    whole = train(config, tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=False, on_row=interrupt_at(100))
    assert load_run(tmp_path / "cut").checkpoints == [50, 100]
    resumed = resume(tmp_path / "cut", progress=False)
    assert content(resumed.path) == content(whole.path)
    resume(resumed, progress=False)  # a finished run stays as it is
    assert content(resumed.path) == content(whole.path)


def test_a_run_stores_the_resolved_numbers_and_resumes_with_them(
    short_config, content, tmp_path, monkeypatch
):
    config = short_config(task_kwargs={"dt": 50}, trials=100, eval_trials=5)  # 64 steps
    whole = train(config, tmp_path / "whole", progress=False)
    stored = json.loads((whole.path / "config.json").read_text())["config"]
    assert stored["gamma"] == stored["core_options"]["lam_max"] == 1 - 0.01 * 40 / 64
    assert stored["td_lambda"] == 1 - 0.05 * 40 / 64
    assert whole.config == resolve_defaults(config) == load_run(whole.path).config
    assert whole.network.core.lam_max == stored["gamma"]

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=False, on_row=interrupt_at(50))
    # another rule does not change a run that has begun
    monkeypatch.setattr(horizon, "SHORT_TRIAL", 10)
    resumed = resume(tmp_path / "cut", progress=False)
    assert content(resumed.path) == content(whole.path)


def test_what_has_changed_since_the_start_is_named(run_copy, forge):
    def change(about):
        about["versions"]["torch"], about["machine"]["cpu"] = "1.2", "i386"

    forge(run_copy, change)
    words = r"was started otherwise \(threads 1 to 2, torch 1.2 to [^,]*, cpu i386 to [^,]*\): it g"
    with pytest.warns(UserWarning, match=words):
        resume(run_copy, progress=False, threads=2)


def test_half_written_files_are_deleted_and_nothing_else(run_copy):
    partial = run_copy / "checkpoints" / ".trial_000200.safetensors.0a1b2c3d.partial"
    partial.write_bytes(b"half")
    foreign = [
        ".notes",
        ".gitignore",
        ".bashrc.0a1b2c3d.partial",
        ".trial_000200.safetensors.0a1b2c3d.partial",  # not its place
        "checkpoints/.trial_000200.safetensors.17.partial",
        "checkpoints/.DS_Store",
        "checkpoints/trial_000050 (conflicted copy).safetensors",
        "checkpoints/trial_0000050.safetensors",
        ".ipynb_checkpoints/.trial_000050.safetensors.0a1b2c3d.partial",
    ]
    (run_copy / ".ipynb_checkpoints").mkdir()
    for name in foreign:
        (run_copy / name).write_text("mine")
    assert resume(run_copy, progress=False).checkpoints == [50, 100, 150]
    assert not partial.exists()
    assert all((run_copy / name).read_text() == "mine" for name in foreign)
