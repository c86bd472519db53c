"""The integration tasks against slow loops and enumeration."""

import itertools
from collections import Counter
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import TrialEnv, collect_trials, describe_task, ideal_accuracy
from mpn_lab.analysis.trial_variables import latent_variables
from mpn_lab.tasks.batches import binary_vectors
from mpn_lab.tasks.evidence import compositions, evidence_vectors, sequences
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.tasks.integration import (
    CONTEXT_INTEGRATION,
    CONTINUOUS_INTEGRATION,
    INTEGRATION,
    ContextIntegration,
    ContinuousIntegration,
    Integration,
)
from mpn_lab.tasks.rollout import Trial
from mpn_lab.training.config import TrainConfig
from mpn_lab.training.horizon import mean_trial_length, resolve_defaults
from mpn_lab.training.stored_trials import load_stored_trials, save_stored_trials

VARIANTS = [
    (INTEGRATION, {}),
    (INTEGRATION, {"n_classes": 4, "delay": 7, "anti": True}),
    (CONTEXT_INTEGRATION, {}),
    (CONTEXT_INTEGRATION, {"context": "prospective"}),
    (CONTINUOUS_INTEGRATION, {}),
    (CONTINUOUS_INTEGRATION, {"asked": "mean"}),
]


def rng(seed=0):
    return np.random.default_rng(seed)


def make(task, kwargs):
    return gym.make(task, **kwargs).unwrapped


def is_uniform(drawn, possible):
    """Every possible outcome and no other, chi-square within 4 standard deviations of its mean."""
    counts = Counter(map(tuple, drawn))
    assert set(counts) == set(possible)
    expected = len(drawn) / len(possible)
    chi2 = sum((counts[outcome] - expected) ** 2 / expected for outcome in possible)
    k = len(possible) - 1
    assert abs(chi2 - k) <= 4 * (2 * k) ** 0.5


def without_ties(n_classes, steps, one_least):
    """Every evidence vector, by enumeration."""
    for vector in itertools.product(range(steps + 1), repeat=n_classes + 1):
        counts = vector[:-1]
        if sum(vector) != steps or counts.count(max(counts)) > 1:
            continue
        if not one_least or counts.count(min(counts)) == 1:
            yield vector


@pytest.mark.parametrize("one_least", [False, True])
@pytest.mark.parametrize(("n_classes", "steps"), [(2, 9), (3, 8), (4, 5)])
def test_evidence_vectors_are_uniform_among_all_without_ties(n_classes, steps, one_least):
    possible = list(without_ties(n_classes, steps, one_least))
    asked = np.full(100 * len(possible), one_least)
    drawn = evidence_vectors(rng(1), n_classes, steps, asked)
    is_uniform(drawn.tolist(), possible)


def test_compositions_are_uniform_for_every_total():
    totals = np.repeat([0, 2, 4], 4000)
    drawn = compositions(rng(2), totals, 3)
    for total in (0, 2, 4):
        possible = [v for v in itertools.product(range(5), repeat=3) if sum(v) == total]
        is_uniform(drawn[totals == total].tolist(), possible)


def test_sequences_are_uniform_given_the_evidence_vector():
    drawn = sequences(rng(3), np.tile([2, 0, 1, 2], (6000, 1)))
    is_uniform(drawn.tolist(), set(itertools.permutations([0, 0, 2, 3, 3])))


def test_mixed_kinds_of_trials_each_obey_their_rule():
    one_least = np.arange(400) % 3 == 0
    drawn = evidence_vectors(rng(), 10, 19, one_least)
    assert (drawn.sum(1) == 19).all()
    for vector, least in zip(drawn[:, :10].tolist(), one_least, strict=True):
        assert vector.count(max(vector)) == 1
        assert not least or vector.count(min(vector)) == 1


@pytest.mark.parametrize(
    "kwargs", [{"n_classes": 10, "steps": 200}, {"n_classes": 19, "anti": True}]
)
def test_many_classes_and_long_trials(kwargs):
    batch = Integration(**kwargs).sample_batch(rng(), 50)
    final = np.sort(batch.latent["evidence"][:, -1], axis=1)
    assert (final[:, -1] > final[:, -2]).all()


@pytest.mark.parametrize(("task", "kwargs"), VARIANTS)
def test_shapes_seeds_and_a_trial_is_a_batch_of_one(task, kwargs):
    env = make(task, kwargs)
    T, d = env.length, env.input_size
    batch, again, other = (env.sample_batch(rng(seed), 5) for seed in (1, 1, 2))
    assert (batch.obs.shape, batch.obs.dtype) == ((5, T, d), np.float32)
    assert (batch.ground_truth.shape, batch.ground_truth.dtype) == ((5, T), np.int64)
    assert (batch.mask.shape, batch.mask.dtype) == ((5, T), bool)
    assert (batch.ground_truth == batch.conditions["label"][:, None]).all()
    assert batch.mask.sum(1).tolist() == [1] * 5
    assert batch.mask[:, -1].all()
    for name in ("latent", "conditions"):
        for key, values in getattr(batch, name).items():
            np.testing.assert_array_equal(values, getattr(again, name)[key])
            assert values.shape[: 2 if name == "latent" else 1] == (5, T)[: len(values.shape)]
    np.testing.assert_array_equal(batch.obs, again.obs)
    assert not np.array_equal(batch.obs, other.obs)

    env.reset(seed=7)
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7)))
    for _ in range(3):
        one = env.sample_batch(drawn, 1)
        assert env.trial == {key: values[0] for key, values in one.conditions.items()}
        for key, values in one.latent.items():
            np.testing.assert_array_equal(env.latent[key], values[0])
        for t in range(T):
            np.testing.assert_array_equal(env._obs[t], one.obs[0, t])
            _, reward, _, _, info = env.step(one.ground_truth[0, t])
            assert (reward, info["new_trial"]) == (float(t == T - 1), t == T - 1)
        assert info["performance"] == 1


def test_an_input_in_the_delay_leaves_the_other_vectors_as_they_are():
    task, plain = Integration(delay=3, delay_input=0.05), Integration(delay=3)
    assert {"delay"} == set(task.vectors) - set(plain.vectors)
    for name, vector in plain.vectors.items():
        np.testing.assert_array_equal(task.vectors[name], vector)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"n_classes": 4, "delay": 7, "anti": True},
        {"n_classes": 3, "delay": 5, "delay_input": 0.05},
    ],
)
def test_integration_against_a_slow_loop(kwargs):
    task = Integration(noise=0.0, **kwargs)
    N, S = task.n_classes, task.stimulus_steps
    names = [*(f"evid_{i + 1}" for i in range(N)), "null", "go"]
    batch = task.sample_batch(rng(4), 60)
    contexts = batch.conditions.get("context", [None] * 60)
    for b, context in enumerate(contexts):
        counts = [0] * N
        for t in range(task.length):
            shown = int(batch.latent["shown"][b, t])
            expected = np.zeros(task.input_size)
            assert (shown == N + 1) == (t == task.length - 1)
            assert (shown == -1) == (S <= t < task.length - 1)
            if shown >= 0:
                expected += task.vectors[names[shown]]
            elif "delay_input" in kwargs:
                expected += kwargs["delay_input"] * task.vectors["delay"]
            if context is not None:
                expected += task.vectors[context]
            np.testing.assert_allclose(batch.obs[b, t], expected, atol=1e-6)
            if shown in range(N):
                counts[shown] += 1
            assert batch.latent["evidence"][b, t].tolist() == counts
        asked = min(counts) if context == "anti" else max(counts)
        assert counts.count(asked) == 1
        assert batch.conditions["label"][b] == counts.index(asked)
        assert [batch.conditions[f"evidence_{i + 1}"][b] for i in range(N)] == counts
    if task.anti:
        assert 15 < (contexts == "anti").sum() < 45


@pytest.mark.parametrize(
    ("context", "layout"),
    [
        ("retrospective", "stimulus 0 19 delay_1 19 29 context 29 34 delay_2 34 39 go 39 40"),
        ("prospective", "delay_1 0 10 context 10 15 delay_2 15 20 stimulus 20 39 go 39 40"),
    ],
)
def test_context_integration_against_a_slow_loop(context, layout):
    task = ContextIntegration(context, noise=0.0)
    found = [f"{name} {start} {task.end_ind[name]}" for name, start in task.start_ind.items()]
    assert " ".join(found) == layout
    batch = task.sample_batch(rng(5), 40)
    codes = {2: "null", 0: "evid_1", 1: "evid_2"}
    for b in range(40):
        asked = batch.conditions["context"][b]
        counts = {"a": [0, 0], "b": [0, 0]}
        for t in range(40):
            (period,) = (n for n in task.start_ind if task.start_ind[n] <= t < task.end_ind[n])
            expected = np.zeros(50)
            if period == "go":
                expected += task.vectors["go"]
            elif period == "context":
                expected += task.vectors[f"context_{asked}"]
            for name in "ab":
                shown = int(batch.latent[f"shown_{name}"][b, t])
                other = {"go": 3, "context": 4 if asked == "a" else 5}.get(period, -1)
                assert shown in codes if period == "stimulus" else shown == other
                if period == "stimulus":
                    expected += task.vectors[f"{name}_{codes[shown]}"]
                if shown in (0, 1):
                    counts[name][shown] += 1
                assert batch.latent[f"evidence_{name}"][b, t].tolist() == counts[name]
            np.testing.assert_allclose(batch.obs[b, t], expected, atol=1e-6)
        for name, (first, second) in counts.items():
            assert first != second
            assert batch.conditions[f"label_{name}"][b] == int(second > first)
            assert batch.conditions[f"evidence_{name}_1"][b] == first
            assert batch.conditions[f"evidence_{name}_2"][b] == second
        assert batch.conditions["label"][b] == batch.conditions[f"label_{asked}"][b]


def test_continuous_integration_has_the_documented_distribution():
    for steps in (5, 20):
        task = ContinuousIntegration(noise=0.0, steps=steps)
        batch = task.sample_batch(rng(6), 4000)
        shown, mean = batch.latent["shown"], batch.conditions["mean_strength"]
        assert (np.abs(mean) <= 0.1875).all()
        assert mean.std() == pytest.approx(0.1875 / 3**0.5, rel=0.05)
        stray = shown[:, :-1] - mean[:, None]
        assert stray.var() == pytest.approx(steps / 750, rel=0.06)
        np.testing.assert_allclose(
            batch.obs[:, :-1], shown[:, :-1, None] * task.vectors["evid"], atol=1e-6
        )
        np.testing.assert_allclose(batch.obs[:, -1], [task.vectors["go"]] * 4000, atol=1e-6)
        total = [sum(row) for row in shown[:200].tolist()]
        np.testing.assert_allclose(batch.conditions["summed_strength"][:200], total)
        np.testing.assert_allclose(batch.latent["evidence"][:200, -1], total)
        assert batch.conditions["label"][:200].tolist() == [int(x < 0) for x in total]
        other = ContinuousIntegration(noise=0.0, steps=steps, asked="mean")
        label = other.sample_batch(rng(6), 4000).conditions["label"]
        np.testing.assert_array_equal(label, mean < 0)


@pytest.mark.parametrize("task", [INTEGRATION, CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION])
def test_the_noise_has_the_requested_norm(task):
    quiet, noisy = make(task, {"noise": 0.0}), make(task, {"noise": 0.3})
    stray = noisy.sample_batch(rng(), 200).obs - quiet.sample_batch(rng(), 200).obs
    per_step = np.linalg.norm(stray, axis=2)
    np.testing.assert_allclose(per_step.mean(0), 0.3, rtol=0.05)  # at every step
    assert stray.std() == pytest.approx(0.3 / 50**0.5, rel=0.02)


def test_vectors_are_fixed_by_their_seed_distinct_and_not_zero():
    few, more = Integration(anti=True), Integration(n_classes=5, anti=True)
    for name in ("null", "go", "evid_1", "evid_2"):
        np.testing.assert_array_equal(few.vectors[name], more.vectors[name])
    assert any((few.vectors[n] != Integration(vectors_seed=1).vectors[n]).any() for n in ("go",))
    for vector in few.vectors.values():
        assert set(np.round(vector, 6)) == {0, 0.2}
    for seed in range(20):  # all there are of this size, each once
        found = binary_vectors(rng(seed), list("abcdefg"), 3, 1.0)
        assert len({tuple(v) for v in found.values()} - {(0, 0, 0)}) == 7


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Integration(n_classes=1), "n_classes is 1; expected 2 or more"),
        (lambda: Integration(n_classes=20), "steps is 20 and n_classes 20; expected at least one"),
        (lambda: Integration(steps=2), "steps is 2 and n_classes 2; expected at least one"),
        (lambda: Integration(delay=-1), "delay is -1 steps; expected 0 or more"),
        (lambda: Integration(delay_input=-1.0), "delay_input is -1.0; expected 0 or more"),
        (lambda: Integration(input_size=2), "only 3 binary vectors of size 2"),
        (lambda: Integration(input_size=0), "input_size is 0; expected 1 or more"),
        (lambda: Integration(noise=-0.1), "noise is -0.1; expected 0 or more"),
        (lambda: Integration(dt=0), "dt is 0 ms; expected more than 0"),
        (lambda: ContextIntegration("both"), "'both'; expected retrospective or prospective"),
        (lambda: ContextIntegration(input_size=51), "input_size is 51; expected an even number"),
        (lambda: ContextIntegration(input_size=2), "only 1 binary vectors of size 1"),
        (lambda: ContinuousIntegration(steps=1), "steps is 1; expected at least one stimulus"),
        (lambda: ContinuousIntegration(asked="median"), "'median'; expected sum or mean"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_names_and_a_bad_argument_by_id():
    env = TrialEnv(INTEGRATION, seed=0, n_classes=3)
    assert env.actions == ["class_1", "class_2", "class_3"]
    assert (env.channels[0], env.channels[-1], env.dt) == ("input_1", "input_50", 100)
    with pytest.raises(ValueError, match=r"cannot be made with .*delay is -1 steps"):
        TrialEnv(INTEGRATION, delay=-1)


def test_only_the_response_at_go_counts():
    env = TrialEnv(INTEGRATION, seed=3, noise=0.0)
    go = env.task.vectors["go"].astype(np.float32)
    outcomes = []
    for _ in range(20):
        obs, _ = env.reset()
        label = int(env.planned_ground_truth[0])
        for t in range(20):
            assert np.array_equal(obs, go) == (t == 19)
            action = label if t < 19 else 1 - label  # wrong only where it counts
            obs, reward, ended, _, info = env.step(action)
            assert reward == 0
            assert ended == (t == 19)
        assert not obs.any()  # not the next trial's first observation
        assert (info["performance"], info["trial"]["label"]) == (0, label)
        assert info["latent"]["evidence"].shape == (20, 2)
        assert int(info["latent"]["evidence"][-1].argmax()) == label
        outcomes.append(label)
    assert set(outcomes) == {0, 1}


def test_the_correct_response_can_be_action_0():
    one, truth = np.zeros(1), np.array([0, 0])
    trial = Trial(one, one, one, one, ground_truth=truth)
    assert trial.correct_response is None
    assert (
        Trial(one, one, one, one, ground_truth=truth, action_0_is_response=True).correct_response
        == 0
    )
    assert Trial(one, one, one, one, action_0_is_response=True).correct_response is None


@pytest.mark.parametrize(("task", "kwargs"), VARIANTS)
def test_what_a_record_holds(task, kwargs):
    n = kwargs.get("n_classes", 2)
    network = mpn_lab.QNetwork(50, n, hidden_size=5, embedding_size=4)
    record = mpn_lab.record(network, task, kwargs, trials=30)
    assert (record.correct_response == record.label).all()
    assert set(record.correct_response.values.tolist()) == set(range(n))
    assert (record.response == record.taken_action.isel(time=-1)).all()
    assert (record.correct == (record.response == record.correct_response)).all()
    fresh = make(task, kwargs)
    for name, values in fresh.sample_batch(rng(), 1).latent.items():
        dims = ("trial", "time", "action")[: values.ndim]
        assert record[name].dims == dims
        assert record[name].dtype == values.dtype
    if task == INTEGRATION:
        assert (
            record.evidence.isel(time=-1)
            .sel(action="class_2")
            .equals(record.evidence.isel(time=-1, action=1))
        )
        most_shown = record.evidence.isel(time=-1).argmax("action")
        pro = record.label == record.label if n == 2 else record.context == "pro"
        assert (most_shown == record.label).values[pro.values].all()


def test_latents_of_other_shapes_are_recorded_too():
    def trial_with(T, **latent):
        return Trial(np.zeros((T, 1)), np.zeros(T, int), np.zeros(T), np.zeros(T), latent=latent)

    trials = [
        trial_with(T, a=np.arange(4.0), e=np.ones((4, 3), int), c=np.ones(4, bool)) for T in (2, 3)
    ]
    found = latent_variables(trials, 3, 2)
    np.testing.assert_array_equal(found["a"][1], [[0, 1, np.nan], [0, 1, 2]])
    assert found["e"][0] == ("trial", "time", "e_of")
    assert found["e"][1][0, 2].tolist() == [-1, -1, -1]
    assert found["c"][1].tolist() == [[True, True, False], [True] * 3]


@pytest.mark.parametrize(("task", "kwargs"), VARIANTS)
def test_lengths_descriptions_and_ideal_observers(task, kwargs):
    described = describe_task(task, trials=20, **kwargs)
    assert described.oracle_accuracy == 1
    if task == CONTINUOUS_INTEGRATION:
        low, high = (0.88, 0.96) if kwargs else (0.97, 1)
        assert low < described.ideal_accuracy <= high
    else:
        assert described.ideal_accuracy == 1
    assert described.warning is None
    T = make(task, kwargs).length
    assert described.steps == (T, T, T)
    config = TrainConfig(task=task, task_kwargs=kwargs)
    assert mean_trial_length(TrialEnv(task, seed=0, **kwargs)) == T
    assert resolve_defaults(config).gamma == pytest.approx(0.99)


def test_ideal_observers_use_the_observations_alone():
    env = TrialEnv(INTEGRATION, seed=0, noise=20.0)  # nothing can be told
    trials = [collect_trials([env], ExpertPolicy([env]), 0.0, rng())[0] for _ in range(200)]
    assert 0.4 < ideal_accuracy(env, trials) < 0.75


def test_the_explorer_and_the_file_take_them(tmp_path):
    network = mpn_lab.QNetwork(50, 2, hidden_size=5)
    for task in (INTEGRATION, CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION):
        record = mpn_lab.record(network, task, trials=4)
        mpn_lab.TrialExplorer(record)
        again = mpn_lab.load_record(mpn_lab.save_record(record, tmp_path / "record.nc"))
        assert again.identical(record)


def test_stored_trials_still_know_their_correct_response(tmp_path):
    network = mpn_lab.QNetwork(50, 2, hidden_size=5)
    envs = [TrialEnv(INTEGRATION, seed=i) for i in range(6)]
    trials = collect_trials(envs, network, 0.0, rng())
    config = mpn_lab.TrainConfig(task=INTEGRATION)
    run = mpn_lab.Run.create(tmp_path, config, 50, 2)
    save_stored_trials(run, 0, trials, network)
    again, _ = load_stored_trials(run, 0, network)
    assert {trial.correct_response for trial in trials} == {0, 1}
    assert [trial.correct_response for trial in again] == [
        trial.correct_response for trial in trials
    ]


@pytest.mark.parametrize("task", ["mpn_lab/Integration-v0", "mpn_lab/ContextIntegration-v0"])
def test_ideal_observers_refuse_a_trial_that_was_cut(task):
    env = TrialEnv(task, seed=0, max_steps=10)
    fixate = SimpleNamespace(
        step=lambda obs, state: (torch.zeros(len(obs), 2), state),
        select_state=lambda state, keep: state,
        join_states=lambda states: None,
    )
    trials = collect_trials([env], fixate, 0.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="the trial has 10 steps"):
        ideal_accuracy(env, trials)


def test_a_tasks_name_that_a_record_uses_itself_is_renamed():
    trial = Trial(*np.zeros((4, 3)), latent={"obs": np.zeros(3), "shown": np.zeros(3)})
    assert set(latent_variables([trial], 3, 2)) == {"trial_obs", "shown"}
