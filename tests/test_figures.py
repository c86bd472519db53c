"""What all figures share: stored networks and values, their errors, and the command."""

import ast
import fcntl
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from figures import cache, networks, table
from figures.__main__ import CAUSAL, NAMES, SUPPLEMENTS
from figures.cache import FIGURES, Key, compute_missing
from figures.fig6.second_task import SECOND_INTEGRATION, SecondIntegration
from figures.networks import config_of, load_or_train, train_in_memory, train_or_resume
from figures.printed import PRINTED, printed_value
from mpn_lab import RunError, paper_config
from mpn_lab.tasks.integration import Integration
from mpn_lab.training.files import read_tensors, write_tensors


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """Weights, runs and values in an empty folder."""
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(networks, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(cache, "FIGURES", tmp_path)
    return tmp_path


def small_config(**changes):
    settings = {"hidden_size": 4, "trials": 64, "eval_freq": 64, "eval_trials": 10, "stop": None}
    return paper_config(
        "mpn_lab/Integration-v0", task_kwargs={"input_size": 10}, **(settings | changes)
    )


def test_a_network_is_trained_once_and_then_loaded(folders):
    configs = {"fig0/MPN-seed0": small_config()}
    first = load_or_train(configs, processes=1)["fig0/MPN-seed0"]
    again = load_or_train(configs, processes=1)["fig0/MPN-seed0"]
    assert (first.updates, first.accuracy) == (again.updates, again.accuracy)
    assert first.updates == 1
    assert not list((folders / "runs/fig0").iterdir())  # what is stored needs no run
    assert first.task == ("mpn_lab/Integration-v0", {"input_size": 10})


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays, meta: (arrays, {k: v for k, v in meta.items() if k != "updates"}),
        lambda arrays, meta: (arrays, {}),
        lambda arrays, meta: (arrays, meta | {"config": {"other": 1}}),
        lambda arrays, meta: ({k: v[:1] for k, v in arrays.items() if v.ndim}, meta),
        lambda arrays, meta: (arrays, meta | {"config": small_config(l1=1.0).model_dump()}),
    ],
    ids=["no updates", "no description", "foreign field", "other weights", "other configuration"],
)
def test_a_damaged_network_gets_one_sentence_with_the_remedy(folders, damage):
    configs = {"fig0/MPN-seed0": small_config()}
    load_or_train(configs, processes=1)
    file = folders / "weights/fig0/MPN-seed0.safetensors"
    write_tensors(file, *damage(*read_tensors(file)))
    with pytest.raises(RunError, match=r"cannot be used .*; remove it and make .* FIG=0`") as error:
        load_or_train(configs, processes=1)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunError, match=r"MPN-seed0.safetensors cannot be used"):
        load_or_train(configs, processes=1)


def test_a_run_with_another_configuration_is_not_resumed(folders):
    name = "fig0/MPN-seed0"
    train_or_resume(folders / "runs" / name, small_config(l1=1.0))
    with pytest.raises(RunError, match="was begun with another configuration"):
        load_or_train({name: small_config()}, processes=1)
    one = load_or_train({name: small_config()}, fresh=True, processes=1)[name]
    assert one.config.l1 == 1e-4


def test_stored_values_are_measured_again_in_another_network(folders):
    measured_in = []

    def eta(one):
        measured_in.append(one.config.seed)
        return {"eta": one.eta}

    def values_of(seed):
        configs = {f"fig0/MPN-seed{seed}": small_config(seed=seed)}
        measurements = {
            Key("eta", "MPN", 0): partial(eta, *load_or_train(configs, processes=1).values()),
            Key("one", "none", 0): lambda: {"one": 1.0},
        }
        return compute_missing("fig0", measurements, processes=1)

    first = values_of(1)
    assert values_of(1).equals(first)
    assert measured_in == [1]
    other = values_of(2)
    assert measured_in == [1, 2]
    assert other["quantity"].tolist() == first["quantity"].tolist() == ["eta", "one"]
    assert (other["value"] != first["value"]).tolist() == [True, False]
    assert first["weights"].tolist()[1] == ""


def test_stored_values_may_be_nan_and_are_forgotten_when_measured_afresh(folders):
    first = {Key("a", "MPN", 0): lambda: {"a": np.nan, "only then": 1.0}}
    assert compute_missing("fig0", first, processes=1)["quantity"].tolist() == ["a", "only then"]
    unused = {Key("a", "MPN", 0): lambda: pytest.fail("it is stored")}
    again = compute_missing("fig0", unused, processes=1)
    assert np.isnan(again["value"][0])
    assert again["weights"].tolist() == ["", ""]
    afresh = {Key("a", "MPN", 0): lambda: {"a": 2.0}}
    assert compute_missing("fig0", afresh, fresh=True, processes=1)["value"].tolist() == [2.0]


def test_the_second_task_of_figure_6_differs_in_the_vectors_of_the_classes_alone():
    kwargs = {"n_classes": 3, "delay": 5, "vectors_seed": 4}
    first, second = Integration(**kwargs), SecondIntegration(**kwargs)
    more = Integration(**kwargs | {"n_classes": 6})
    rng = [np.random.default_rng(0) for _ in range(3)]
    batch, of_second = first.sample_batch(rng[0], 20), second.sample_batch(rng[1], 20)
    shown = batch.latent["shown"]
    assert np.array_equal(shown, of_second.latent["shown"])
    assert np.array_equal(batch.ground_truth, of_second.ground_truth)
    same = shown >= 3  # null and go
    assert np.array_equal(batch.obs[same], of_second.obs[same])
    moved = (of_second.obs - batch.obs)[~same & (shown >= 0)]
    expected = (more.table[3:6] - first.table[:3])[shown[~same & (shown >= 0)]]
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_a_second_task_is_learned_from_the_first_ones_weights():
    how = {"hidden_size": 4, "batch_size": 1, "eval_freq": 100, "trials": 100, "stop": None}
    first, updates = train_in_memory(config_of("MPN", 0, **how))
    tiny = how | {"learning_rate": 1e-12}
    second, _ = train_in_memory(config_of("MPN", 0, SECOND_INTEGRATION, **tiny), first)
    assert updates == 100
    for before, after in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_allclose(before.detach(), after.detach(), atol=1e-6)


def test_a_supplement_comes_after_the_figures_whose_networks_it_shows():
    for figure in SUPPLEMENTS:
        known = NAMES[: NAMES.index(figure)]
        for script in ("measure.py", "plot.py"):
            for node in ast.walk(ast.parse((FIGURES / figure / script).read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
                used = {name.split(".")[1] for name in names if name.startswith("figures.fig")}
                assert used <= {figure, *known}, (figure, script)


def test_every_figure_has_its_caption_values_and_picture():
    for question in ("memory", "silence", "context", "directions", "stale"):
        for file in (f"{question}.svg", f"{question}.png", f"test_{question}_claims.py"):
            assert (FIGURES / CAUSAL / file).exists(), file
        assert f"({question}.png)" in (FIGURES / CAUSAL / "README.md").read_text()
    for name in set(NAMES) - {CAUSAL}:
        for file in ("caption.md", "values.csv", "figure.svg", "figure.png", "test_claims.py"):
            assert (FIGURES / name / file).exists(), f"{name}/{file}"
        assert (FIGURES / name / "caption.md").read_text().startswith("# ")


def test_the_page_is_what_the_tables_and_captions_make_it(monkeypatch, tmp_path):
    written = (FIGURES / "README.md").read_text()
    for path in FIGURES.glob("fig*"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(table, "FIGURES", tmp_path)
    table.main()
    assert (tmp_path / "README.md").read_text() == written


def test_the_numbers_that_the_paper_prints_are_measured_and_unknown_ones_are_none():
    stored = {name: cache.load_values(name) for name in {printed.figure for printed in PRINTED}}
    for printed in PRINTED:
        rows = stored[printed.figure]
        here = (rows["quantity"] == printed.quantity) & (rows["network"] == printed.network)
        assert here.any(), printed
    assert printed_value("fig6", "novel class decoded", "MPN") == 0.998
    assert printed_value("fig6", "novel class decoded", "RNN") is None


def test_figures_are_not_made_twice_at_once(tmp_path):
    (tmp_path / "runs/paper").mkdir(parents=True)
    with open(tmp_path / "runs/paper/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = make_figures("7j", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Figures are already being made in {tmp_path}")
    assert result.stderr.count("\n") == 1


def test_unknown_network():
    with pytest.raises(ValueError, match="no network 'LSTM'; expected one of MPN, MPNpre"):
        config_of("LSTM", 0)


def test_unknown_figure(tmp_path):
    result = make_figures("99", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "There is no figure '99'; expected one of 3, 4, 5, 6, 7, S, 3S, "
    )
    assert result.stderr.count("\n") == 1


def make_figures(*arguments, cwd):
    """`python -m figures`, from another folder than the project's."""
    command = [sys.executable, "-m", "figures", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)
