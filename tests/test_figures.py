"""What all figures share: saved networks, their errors, and the command that makes them."""

import ast
import fcntl
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mpn_lab import RunError, paper_config
from mpn_lab.training.files import read_tensors, write_tensors

FIGURES = Path(__file__).parent.parent / "figures"


@pytest.fixture
def paper(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FIGURES))
    import paper

    monkeypatch.setattr(paper, "SAVED", tmp_path / "saved")
    monkeypatch.setattr(paper, "RUNS", tmp_path / "runs")
    return paper


def config_of(**changes):
    settings = {"hidden_size": 4, "trials": 64, "eval_freq": 64, "eval_trials": 10, "stop": None}
    return paper_config(
        "mpn_lab/Integration-v0", task_kwargs={"input_size": 10}, **(settings | changes)
    )


def test_a_network_is_trained_once_and_then_loaded(paper):
    jobs = {"fig0/MPN-seed0": config_of()}
    first = paper.trained(jobs, processes=1)["fig0/MPN-seed0"]
    again = paper.trained(jobs, processes=1)["fig0/MPN-seed0"]
    assert (first.updates, first.accuracy) == (again.updates, again.accuracy)
    assert first.updates == 1
    assert not list((paper.RUNS / "fig0").iterdir())  # what is saved needs no run
    assert first.task == ("mpn_lab/Integration-v0", {"input_size": 10})


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays, meta: (arrays, {k: v for k, v in meta.items() if k != "updates"}),
        lambda arrays, meta: (arrays, {}),
        lambda arrays, meta: (arrays, meta | {"config": {"other": 1}}),
        lambda arrays, meta: ({k: v[:1] for k, v in arrays.items() if v.ndim}, meta),
        lambda arrays, meta: (arrays, meta | {"config": config_of(l1=1.0).model_dump()}),
    ],
    ids=["no updates", "no description", "foreign field", "other weights", "other configuration"],
)
def test_a_damaged_network_gets_one_sentence_with_the_remedy(paper, damage):
    jobs = {"fig0/MPN-seed0": config_of()}
    paper.trained(jobs, processes=1)
    file = paper.SAVED / "fig0/MPN-seed0.safetensors"
    write_tensors(file, *damage(*read_tensors(file)))
    with pytest.raises(RunError, match=r"cannot be used .*; remove it and make .* FIG=0`") as error:
        paper.trained(jobs, processes=1)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunError, match=r"MPN-seed0.safetensors cannot be used"):
        paper.trained(jobs, processes=1)


def test_a_run_of_another_configuration_is_not_gone_on_with(paper):
    name = "fig0/MPN-seed0"
    paper.run_of(paper.RUNS / name, config_of(l1=1.0))
    with pytest.raises(RunError, match="was begun with another configuration"):
        paper.trained({name: config_of()}, processes=1)
    found = paper.trained({name: config_of()}, fresh=True, processes=1)[name]
    assert found.config.l1 == 1e-4


def test_kept_numbers_are_measured_again_in_another_network(paper, monkeypatch, tmp_path):
    import kept

    monkeypatch.setattr(kept, "NUMBERS", tmp_path)
    monkeypatch.setattr(paper, "NUMBERS", tmp_path)
    measured_in = []

    def eta(network):
        measured_in.append(network.config.seed)
        return {"eta": float(network.network.mpn_layers()[0].eta.detach())}

    def numbers_of(seed):
        one = paper.trained({f"fig0/MPN-seed{seed}": config_of(seed=seed)}, processes=1)
        work = {
            kept.Number("eta", "MPN", 0): partial(eta, *one.values()),
            kept.Number("one", "none", 0): lambda: {"one": 1.0},
        }
        return kept.measured("fig0", work, processes=1)

    first = numbers_of(1)
    assert numbers_of(1).equals(first)
    assert measured_in == [1]
    other = numbers_of(2)
    assert measured_in == [1, 2]
    assert other["quantity"].tolist() == first["quantity"].tolist() == ["eta", "one"]
    assert (other["value"] != first["value"]).tolist() == [True, False]
    assert first["weights"].tolist()[1] == ""


def test_kept_numbers_are_forgotten_when_measured_afresh_and_may_be_nan(
    paper, monkeypatch, tmp_path
):
    import kept

    monkeypatch.setattr(kept, "NUMBERS", tmp_path)
    monkeypatch.setattr(paper, "NUMBERS", tmp_path)
    first = {kept.Number("a", "MPN", 0): lambda: {"a": np.nan, "only then": 1.0}}
    assert kept.measured("fig0", first, processes=1)["quantity"].tolist() == ["a", "only then"]
    unused = {kept.Number("a", "MPN", 0): lambda: pytest.fail("it is kept")}
    again = kept.measured("fig0", unused, processes=1)
    assert np.isnan(again["value"][0])
    assert again["weights"].tolist() == ["", ""]
    afresh = {kept.Number("a", "MPN", 0): lambda: {"a": 2.0}}
    assert kept.measured("fig0", afresh, fresh=True, processes=1)["value"].tolist() == [2.0]


def test_a_supplement_comes_after_the_figures_whose_networks_it_shows(paper):
    import make

    for figure in make.SUPPLEMENTS:
        place = make.FIGURES.index(figure)
        for node in ast.walk(ast.parse((FIGURES / f"{figure}.py").read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {n for n in names if n.startswith("fig")} <= set(make.FIGURES[:place]), figure


def test_figures_are_not_made_twice_at_once(tmp_path):
    command = [sys.executable, str(FIGURES / "make.py"), "7j"]
    (tmp_path / "runs/paper").mkdir(parents=True)
    with open(tmp_path / "runs/paper/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Figures are already being made in {tmp_path}")
    assert result.stderr.count("\n") == 1


def test_unknown_network(paper):
    with pytest.raises(ValueError, match="no network 'LSTM'; expected one of MPN, MPNpre"):
        paper.config_of("LSTM", 0)


def test_unknown_figure():
    command = [sys.executable, str(FIGURES / "make.py"), "99"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "There is no figure '99'; expected one of 3, 4, 5, 6, 7, S, 3S, "
    )
    assert result.stderr.count("\n") == 1
