"""What the study's caption claims, on the stored results of its runs."""

import numpy as np
import pandas as pd
import pytest

from figures.replay.report import difference
from figures.replay.study import HERE, SEEDS, STRATEGIES, TASKS


@pytest.fixture(scope="module")
def ratios():
    """Accuracy / the ideal observer's, [(task, seed), strategy]."""
    results = pd.read_csv(HERE / "runs.csv")
    table = results.pivot(index=["task", "seed"], columns="strategy", values="ratio")
    assert set(table.columns) == set(STRATEGIES)
    assert len(table) == len(TASKS) * len(SEEDS)
    return table


@pytest.mark.parametrize("task", TASKS)
def test_whole_trials_do_best_in_the_mean_and_in_the_worst_seed(ratios, task):
    for strategy in STRATEGIES[2:]:
        assert ratios.loc[task]["trial"].mean() > ratios.loc[task][strategy].mean()
        assert ratios.loc[task]["trial"].min() > ratios.loc[task][strategy].min()


def test_only_whole_trials_bring_every_seed_of_delay_match_sample_to_1(ratios):
    complete = (ratios.loc["DelayMatchSample"] == 1).all()
    assert set(complete[complete].index) == {"trial", "trial, truncated"}


def test_windows_from_a_zero_state_never_reach_95_percent():
    results = pd.read_csv(HERE / "runs.csv").set_index("strategy")
    assert results.loc[["zero", "zero, burn-in"], "trials_to_95"].isna().all()


@pytest.mark.parametrize("task", TASKS)
def test_fresh_states_alone_are_not_significantly_better_than_stale_ones(ratios, task):
    gain = ratios.loc[task]["replayed"] - ratios.loc[task]["stored"]
    assert not difference(gain).startswith("**")


@pytest.mark.parametrize("task", TASKS)
def test_r2d2s_order_holds_when_measured_from_the_trials_start(task):
    stale = pd.read_csv(HERE / "staleness.csv").query("position == 'first'")
    mean = stale[stale["task"] == task].groupby("start")["dQ_from_start"].mean()
    ordered = mean[["zero", "zero, burn-in", "stored", "stored, burn-in"]]
    assert (np.diff(ordered) < 0).all()


def test_whole_trials_cost_least_time_and_memory():
    costs = pd.read_csv(HERE / "costs.csv").set_index(["task", "strategy"])
    for task in TASKS:
        assert (costs.loc[task].loc["trial"] <= costs.loc[task]).all(axis=None)


def test_a_difference_is_bold_where_its_interval_excludes_0():
    assert difference(pd.Series([1.0, 1.1, 0.9])).startswith("**1.000")
    assert not difference(pd.Series([1.0, -1.0, 0.1])).startswith("**")
    assert difference(pd.Series([1.0])) == "1.000"
