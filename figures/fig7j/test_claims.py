"""What the caption of figure 7, panels i and j, claims, whatever the exact values."""

import pandas as pd
import pytest

from figures.cache import load_values
from figures.fig7j.measure import (
    ALL,
    FIXATE,
    KINDS,
    LONGER_ALL,
    LONGER_UPDATES,
    MOST_UPDATES,
    RESPONSES,
    UPDATES,
)


@pytest.fixture(scope="module")
def table():
    """One row per value, with columns kind and task."""
    table = load_values("fig7j")
    table[["kind", "task"]] = table["network"].str.split(", ", n=1, expand=True)
    return table


@pytest.fixture(scope="module")
def mean(table):
    """(quantity, kind) -> mean by task, of the 19 tasks."""

    def of(quantity: str, kind: str) -> pd.Series:
        here = table[(table["quantity"] == quantity) & (table["kind"] == kind)]
        by_task = here.groupby("task")["value"].mean()
        assert len(by_task) == 19
        return by_task

    return of


def test_on_the_neurogym_tasks_the_mpn_is_comparable_with_rnn_and_gru(mean):
    mpn = mean(ALL, "MPN")
    responses = {kind: mean(RESPONSES, kind).mean() for kind in ("MPN", "RNN", "GRU")}
    assert responses["MPN"] > max(responses["RNN"], responses["GRU"]) - 0.1
    for other in ("RNN", "GRU"):
        theirs = mean(ALL, other)
        assert abs(mpn.mean() - theirs.mean()) < 0.03
        assert (mpn > theirs - 0.03).sum() >= 15
    assert (mean(ALL, "MPNpre") > mpn - 0.03).sum() > 19 / 2  # the majority


@pytest.mark.parametrize("kind", KINDS)
def test_stopping_at_2000_updates_hides_little(table, kind):
    here = table[(table["seed"] == 0) & (table["kind"] == kind)]
    value = here.pivot(index="task", columns="quantity", values="value")
    assert len(value) == 19
    assert -0.005 < (value[LONGER_ALL] - value[ALL]).mean() < 0.02
    assert value[LONGER_UPDATES].between(UPDATES, MOST_UPDATES).all()


def test_the_networks_trained_longer_are_as_comparable(mean):
    longer = [mean(LONGER_ALL, kind).mean() for kind in ("MPN", "RNN", "GRU")]
    assert max(longer) - min(longer) < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_responds_where_the_moment_cannot_be_known(mean, kind):
    for task in ("ContextDecisionMaking", "SingleContextDecisionMaking"):
        assert mean(RESPONSES, kind)[task] < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_is_worse_than_always_fixating(mean, kind):
    assert (mean(ALL, kind) > mean(FIXATE, "any") - 0.01).all()
