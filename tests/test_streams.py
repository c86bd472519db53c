"""Streams of trials: cut without a gap, truth beside its observation, fixed by their seed."""

import numpy as np
import pytest
from neurogym.utils.data import Dataset

from mpn_lab import TrialEnv
from mpn_lab.tasks.streams import PAPER_TASKS, TrialStream

CONTEXT = ("ContextDecisionMaking-v0", {"use_expl_context": True})
OWN = "mpn_lab/ReversalBandit-v0"


def own_seed(seed, i):
    """The seed of a stream's environment i, as `TrialStream.reseed` documents it."""
    return int(np.random.SeedSequence([seed, i]).generate_state(1)[0])


def stepped(task, seed, steps, act, **task_kwargs):
    """`steps` steps of an environment that is run trial by trial: obs and truth."""
    env = TrialEnv(task, seed=seed, **task_kwargs)
    seen, truth = [], []
    obs, _ = env.reset(seed=seed)
    while len(seen) < steps:
        planned, t, ended = env.planned_ground_truth, 0, False
        while not ended:
            seen.append(obs)
            truth.append(planned[t])
            obs, _, ended, _, _ = env.step(act(planned[t]))
            t += 1
        obs, _ = env.reset()
    return np.stack(seen[:steps]), np.array(truth[:steps])


def assert_equal(a, b):
    for x, y in zip(a[:3], b[:3], strict=True):
        np.testing.assert_array_equal(x, y)
    for name in a.latent:
        np.testing.assert_array_equal(a.latent[name], b.latent[name])


def joined(stream, batches):
    """Several batches end to end: obs, truth and the step within the trial."""
    parts = [stream.sample_batch() for _ in range(batches)]
    obs, truth = (np.concatenate([p[k] for p in parts], axis=1) for k in (0, 1))
    return obs, truth, np.concatenate([p.latent["trial_step"] for p in parts], axis=1)


def from_its_start(stream):
    """The stream, each environment at the first step of its first trial."""
    stream._at = [0] * stream.batch_size
    return stream


@pytest.mark.parametrize("name", PAPER_TASKS)
def test_the_papers_tasks_run_step_by_step(name):
    """What is planned is what an agent sees that fixates to every trial's end."""
    task, task_kwargs = PAPER_TASKS[name]
    stream = from_its_start(TrialStream(task, 2, 60, seed=7, **task_kwargs))
    batch = stream.sample_batch()
    assert batch.obs.shape == (2, 60, len(stream.channels))
    assert batch.ground_truth.shape == batch.mask.shape == batch.latent["responds"].shape == (2, 60)
    assert (batch.obs.dtype, batch.ground_truth.dtype) == (np.float32, np.int64)
    assert batch.mask.all()
    assert batch.conditions == {}
    later_obs, later_truth, _ = joined(stream, 4)
    obs = np.concatenate([batch.obs, later_obs], axis=1)
    truth = np.concatenate([batch.ground_truth, later_truth], axis=1)
    assert truth.min() == 0
    assert 0 < truth.max() < len(stream.actions)
    for i in range(2):
        expected = stepped(task, own_seed(7, i), 300, lambda correct: 0, **task_kwargs)
        np.testing.assert_array_equal(obs[i], expected[0])
        np.testing.assert_array_equal(truth[i], expected[1])


@pytest.mark.filterwarnings("ignore")  # of gymnasium, about what neurogym's Dataset does
@pytest.mark.parametrize("name", sorted({*PAPER_TASKS} - {"HierarchicalReasoning"}))
def test_sequences_are_those_of_neurogyms_dataset(name):
    """But for HierarchicalReasoning, whose first rule neurogym does not draw by its seed."""
    task, task_kwargs = PAPER_TASKS[name]
    theirs = Dataset(task, task_kwargs, batch_size=2, seq_len=50, batch_first=True, cache_len=400)
    for i, env in enumerate(theirs.envs):
        env.unwrapped.seed(own_seed(3, i))
    theirs._cache()
    ours = from_its_start(TrialStream(task, 2, 50, seed=3, **task_kwargs))
    for _ in range(8):
        batch, (obs, truth) = ours.sample_batch(), next(theirs)
        np.testing.assert_array_equal(batch.obs, obs)
        np.testing.assert_array_equal(batch.ground_truth, truth)


@pytest.mark.parametrize("task", [CONTEXT, (OWN, {})])
def test_a_sequence_begins_where_the_last_one_ended(task):
    short = TrialStream(task[0], 3, 7, seed=1, **task[1])
    long = TrialStream(task[0], 3, 70, seed=1, **task[1])
    for a, b in zip(joined(short, 20), joined(long, 2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_trial_steps_count_from_each_trials_start():
    _, truth, trial_step = joined(from_its_start(TrialStream(CONTEXT[0], 3, 100, **CONTEXT[1])), 3)
    starts = trial_step == 0
    assert starts[:, 0].all()
    np.testing.assert_array_equal(np.diff(trial_step)[~starts[:, 1:]], 1)
    assert (truth[:, :-1][starts[:, 1:]] != 0).all()  # the response was the step before


def test_a_task_without_planned_observations_is_stepped_with_the_correct_actions():
    batch = from_its_start(TrialStream(OWN, 2, 100, seed=5)).sample_batch()
    for i in range(2):
        obs, truth = stepped(OWN, own_seed(5, i), 100, int)
        np.testing.assert_array_equal(batch.obs[i], obs)
        np.testing.assert_array_equal(batch.ground_truth[i], truth)
    assert batch.latent["responds"].sum() == 40  # one choice in five steps


@pytest.mark.parametrize("task", [CONTEXT, ("HierarchicalReasoning-v0", {}), (OWN, {})])
def test_the_seed_fixes_every_batch(task):
    one, same, other = (TrialStream(task[0], 4, 90, seed=s, **task[1]) for s in (2, [2], 3))
    first = [one.sample_batch() for _ in range(3)]
    for batch in first:
        assert_equal(batch, same.sample_batch())
    assert not np.array_equal(first[0].obs, other.sample_batch().obs)
    assert not np.array_equal(first[0].obs[0], first[0].obs[1])  # the environments differ
    other.reseed((2,))
    one.reseed(2)
    for batch in first:
        assert_equal(batch, one.sample_batch())
        assert_equal(batch, other.sample_batch())
    one.reseed((2, 1))
    assert not np.array_equal(first[0].obs, one.sample_batch().obs)


def test_batches_share_no_memory_with_the_stream():
    stream, again = (TrialStream("DelayMatchSample-v0", 2, 10) for _ in range(2))
    batch = stream.sample_batch()
    batch.obs[:], batch.ground_truth[:] = 9, 9
    again.sample_batch()
    assert_equal(stream.sample_batch(), again.sample_batch())


def test_hierarchical_reasoning_does_not_show_its_rule():
    env, trials = TrialEnv("HierarchicalReasoning-v0", seed=0).task, []
    for rule in (0, 1):
        env.seed(4)
        env.rule = rule
        env.new_trial()
        trials.append((env.ob.copy(), env.gt.copy()))
    np.testing.assert_array_equal(trials[0][0], trials[1][0])
    assert not np.array_equal(trials[0][1], trials[1][1])


def test_delay_match_category_shows_one_number_of_an_angle():
    """cos(theta) alone; the category is the sign of sin(theta)."""
    env = TrialEnv("DelayMatchCategory-v0", seed=0, sigma=0).task
    for _ in range(20):
        env.new_trial()
        for period in ("sample", "test"):
            np.testing.assert_allclose(env.view_ob(period)[:, 1:].sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("task", ["Bandit-v0", "EconomicDecisionMaking-v0", "Reaching1D-v0"])
def test_a_task_without_correct_actions_is_refused(task):
    with pytest.raises(
        ValueError, match=f"^{task} does not define the correct action at every step"
    ):
        TrialStream(task, 2)


@pytest.mark.parametrize("task", ["Bandit-v0", "Reaching1D-v0", "DelayMatchSample-v0"])
@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"steps": 0}])
def test_sizes_below_one_are_refused(task, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is 0; expected 1 or more"):
        TrialStream(task, **{"batch_size": 2, **wrong})


def test_first_sequences_hold_every_part_of_long_trials():
    """All of PulseDecisionMaking's trials have 250 steps; the response is in the last 50."""
    stream = TrialStream("PulseDecisionMaking-v0", 100)
    first = [(stream.reseed((seed, 1)), stream.sample_batch())[1] for seed in range(2)]
    starts = np.concatenate([batch.latent["trial_step"][:, 0] for batch in first])
    assert np.histogram(starts, 5, (0, 250))[0].min() > 20
    assert np.mean(first[0].latent["responds"]) == pytest.approx(0.2, abs=0.08)


def test_a_task_without_fixation_cannot_be_streamed():
    with pytest.raises(ValueError, match="asks for a response at one step and has no fixation"):
        TrialStream("mpn_lab/Integration-v0", 2)
