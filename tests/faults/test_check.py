"""`check` says what is wrong and what would repair it; `--repair` repairs it bit for bit."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from mpn_lab import RunError, check_run, resume, train, train_supervised
from mpn_lab.cli import main
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.files import read_tensors, write_tensors

LAST = "checkpoints/trial_000004.safetensors"
FIRST = "checkpoints/trial_000002.safetensors"
STORED = "stored_trials/trial_000002.safetensors"


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A finished run, to be changed."""
    return Path(shutil.copytree(tiny_run.path, tmp_path / "copy"))


def test_a_whole_run(copy, capsys, content):
    before = content(copy)
    main(["check", str(copy)])
    printed = capsys.readouterr().out
    assert f"{copy}: DelayMatchSample-v0, mpn, seed 0, 4 of 4 trials" in printed
    assert "checkpoints at trial 2, 4\n" in printed
    assert "stored trials at trial 2\n" in printed
    assert "metrics.csv, 2 rows" in printed
    assert printed.endswith("Everything is there, whole and consistent.\n")
    assert content(copy) == before


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def put_first(path):
    shutil.copy(path.parent / "trial_000002.safetensors", path)


def other_weights(path):
    arrays, meta = read_tensors(path)
    arrays["network.readout.weight"] += 1
    identity = json.loads((path.parents[1] / "config.json").read_text())["identity"]
    write_tensors(path, arrays, meta, identity)


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        (LAST, Path.unlink, "is missing; `mpn-lab check .* --repair` writes it anew"),
        (LAST, cut, "is damaged .* --repair` writes it anew"),
        (LAST, put_first, "holds the weights after 2 trials.* --repair` writes it anew"),
        (LAST, other_weights, "has other weights than resume.safetensors; .* --repair"),
        ("metrics.csv", Path.unlink, "is missing; .* --repair` writes it anew"),
        ("metrics.csv", cut, "is damaged or of another run; .* --repair` writes it anew"),
    ],
)
def test_what_can_be_rebuilt_is_rebuilt(name, damage, words, copy, tiny_run, content, capsys):
    damage(copy / name)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(copy)])
    assert ended.value.code == 1
    page = capsys.readouterr().out
    assert page.endswith("1 thing wrong.\n")
    (line,) = [line for line in page.splitlines() if "WRONG" in line]
    assert name in line
    re.search(words, line) or pytest.fail(line)
    main(["check", str(copy), "--repair"])
    assert f"repaired  {name} is written anew." in capsys.readouterr().out
    assert content(copy) == content(tiny_run.path)


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        (
            FIRST,
            Path.unlink,
            "is missing; restore the file, since nothing else holds these weights",
        ),
        (FIRST, cut, "is damaged .*restore the file"),
        (
            STORED,
            Path.unlink,
            "is missing; restore the file, since nothing else holds these trials",
        ),
        (STORED, cut, "is damaged"),
        ("resume.safetensors", Path.unlink, "is missing: the run is finished and can be used"),
        ("resume.safetensors", cut, "is damaged"),
    ],
)
def test_what_cannot_be_rebuilt_is_said(name, damage, words, copy):
    damage(copy / name)
    for repair in (False, True):
        report = check_run(copy, repair)
        assert not report.ok
        assert report.repaired == []
        (problem,) = report.problems
        assert name in problem
        assert "\n" not in problem
        assert re.search(words, problem)


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_file(path):
    shutil.rmtree(path)
    path.write_text("mine")


@pytest.mark.parametrize(
    ("name", "replace", "words", "fails"),
    [
        ("metrics.csv", a_folder, r"is not a file; move it away, then `.* --repair`", "move it"),
        ("metrics.csv", a_pipe, r"is not a file; move it away, then `.* --repair`", "move it"),
        ("checkpoints", a_file, r"checkpoints is a file; move it away", "move that away"),
        ("resume.safetensors", a_pipe, r"is not a file; move it away and restore", None),
    ],
)
def test_what_is_in_a_files_place_is_to_be_moved_away(name, replace, words, fails, copy):
    replace(copy / name)
    problems = check_run(copy).problems
    assert sum(bool(re.search(words, problem)) for problem in problems) == 1, problems
    if fails:
        with pytest.raises(RunError, match=fails):
            check_run(copy, repair=True)
        shutil.move(copy / name, copy.parent / "away")
        check_run(copy, repair=True)
        assert not any("move" in problem for problem in check_run(copy).problems)
    if name == "metrics.csv":
        assert check_run(copy).ok


def test_a_task_that_is_not_registered_names_its_module(copy, forge):
    def of_another_module(about):
        about["config"]["task"], about["modules"]["task"] = "mine/Gone-v0", "my_tasks"

    forge(copy, of_another_module)
    found = "\n".join(check_run(copy).found)
    assert "not tried, since" in found
    assert "first import my_tasks, which registered it" in found


def test_a_training_that_has_lost_its_state(tiny_config, tmp_path, content):
    """It says so and trains nothing anew."""

    def stop(row):
        if row["trials"] == 4:
            raise KeyboardInterrupt

    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(trials=6), path, progress=False, on_row=stop)
    report = check_run(path)
    assert report.ok
    assert "resume.safetensors, trial 4: `resume` goes on from there" in report.found
    (path / "resume.safetensors").unlink()
    before = content(path)
    (problem,) = check_run(path).problems
    assert "is missing: the training cannot go on from trial 4" in problem
    with pytest.raises(RunError, match=r"is missing, without which the training cannot go on from"):
        resume(path, progress=False)
    assert content(path) == before


def test_what_a_kill_left_after_the_last_checkpoint_is_no_loss(copy, tiny_config, tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # after trial 2; a run of the same identity
        train(tiny_config(), tmp_path / "cut", progress=False, on_row=stop)
    shutil.copy(tmp_path / "cut" / "resume.safetensors", copy)
    report = check_run(copy)
    assert report.ok, report
    assert f"{LAST}, which `resume` writes again" in report.found
    assert "metrics.csv, with a row that `resume` writes again" in report.found
    for name in (LAST, STORED):
        cut(copy / name)
    problems = check_run(copy).problems
    assert len(problems) == 2
    assert all(f"`mpn-lab resume {copy}` writes it again" in problem for problem in problems)


def test_foreign_files_are_listed_and_left_alone(copy, content):
    half = copy / "checkpoints" / ".trial_000006.safetensors.0123abcd.partial"
    half.write_text("half")
    foreign = [".DS_Store", "checkpoints/trial_000004 (copy).safetensors", "notes.txt"]
    for name in foreign:
        (copy / name).write_text("mine")
    (copy / ".ipynb_checkpoints").mkdir()
    (copy / "learning_curve.png").write_bytes(b"a picture")
    report = check_run(copy)
    assert report.others == [".DS_Store", ".ipynb_checkpoints/", "notes.txt", foreign[1]]
    (problem,) = report.problems
    assert "was left half written by a killed process" in problem
    report = check_run(copy, repair=True)
    assert report.ok
    assert not half.exists()
    assert all((copy / name).read_text() == "mine" for name in foreign)


def test_an_altered_configuration_is_not_checked_further(copy):
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(SystemExit, match=r"error: .*config.json was altered"):
        main(["check", str(copy)])


def test_a_resume_file_that_does_not_fit(copy):
    arrays, meta = read_tensors(copy / "resume.safetensors")
    identity = json.loads((copy / "config.json").read_text())["identity"]
    del arrays["target.readout.weight"]
    write_tensors(copy / "resume.safetensors", arrays, meta, identity)
    (problem,) = check_run(copy).problems
    assert "resume.safetensors does not fit the configuration" in problem


def test_a_supervised_run_that_began_with_a_network(tmp_path):
    config = SupervisedConfig(
        trials=4, eval_freq=2, batch_size=2, hidden_size=4, eval_trials=2, core="gru"
    )
    first = train_supervised(config, out=False, progress=False)
    run = train_supervised(config, tmp_path / "run", network=first.network, progress=False)
    report = check_run(run)
    assert report.ok, report
    assert "checkpoints at trial 0, 2, 4" in report.found
