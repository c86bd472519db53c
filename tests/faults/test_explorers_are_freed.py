"""A closed explorer leaves nothing behind; those left open keep few figures."""

import gc
import os
import weakref
from pathlib import Path

import pytest
from ipywidgets.widgets import widget
from matplotlib import pyplot
from matplotlib.figure import Figure

import mpn_lab
from mpn_lab.widgets import explorer as explorers
from tests.staleness_data import make_staleness

TASK = "DelayMatchSample-v0"


@pytest.fixture(scope="module")
def record():
    return mpn_lab.record(mpn_lab.QNetwork(3, 3, hidden_size=6), TASK, trials=3)


def trial_explorer(record):
    explorer = mpn_lab.TrialExplorer(record)
    explorer.order = "cluster"
    explorer.time = 300
    explorer.png()
    return explorer


def staleness_explorer(_=None):
    return mpn_lab.StalenessExplorer(make_staleness(trials=2, ages=(0, 16), hidden=4))


def monitor(_):
    made = mpn_lab.TrainingMonitor(mpn_lab.TrainConfig(trials=100))
    row = dict.fromkeys(("accuracy", "ideal_accuracy", "mean_return", "loss", "eta", "lam"), 0.5)
    made(row | {"trials": 50})
    assert made.message.value == ""
    return made


def counted():
    gc.collect()
    figures = sum(issubclass(type(thing), Figure) for thing in gc.get_objects())
    return len(widget._instances), figures, len(explorers._drawn)


def rss():
    """The memory in use, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("make", [trial_explorer, staleness_explorer, monitor])
def test_a_closed_explorer_is_freed(make, record):
    make(record).close()
    before = counted()
    made = make(record)
    assert counted() > before
    own = (made.image, made._picture.figure) if hasattr(made, "image") else (made.layout,)
    parts = [weakref.ref(part) for part in (made, *own)]
    own = None
    made.close()
    made.close()
    del made
    assert counted() == before
    assert [part() for part in parts] == [None] * len(parts)
    assert pyplot.get_fignums() == []


def test_a_closed_explorer_that_has_a_name_frees_its_record(record):
    trials = record.copy(deep=True)
    explorer, held = mpn_lab.TrialExplorer(trials), weakref.ref(trials)
    explorer.close()
    del trials
    gc.collect()
    assert held() is None
    assert len(explorer._pcas) == len(explorer._overview) == 0
    assert repr(explorer).startswith("TrialExplorer(3 trials of")
    for use in (
        lambda: explorer.go_to(trial=1),
        lambda: explorer.save("x.svg"),
        lambda: explorer.to_html("x.html"),
        lambda: explorer.png(),
    ):
        with pytest.raises(ValueError, match="this explorer is closed; make another one of the"):
            use()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
def test_fifty_explorers_opened_and_closed_take_no_memory(record):
    def open_and_close(times):
        for _ in range(times):
            mpn_lab.TrialExplorer(record).close()
            gc.collect()
        return rss()

    before = open_and_close(5)
    assert open_and_close(50) - before < 20  # MB


def test_explorers_left_open_keep_few_figures_and_still_work(record):
    _, figures, _ = counted()
    made = [staleness_explorer() for _ in range(explorers.MOST_DRAWN + 3)]
    assert counted()[1] - figures <= explorers.MOST_DRAWN
    assert made[0]._picture is None
    made[0].time.value = 0
    before = made[0].image.value
    made[0].time.value = 500
    assert made[0].image.value != before
    made[0].time.value = 0
    assert made[0].image.value == before
    assert made[0].message.value == ""
    first = monitor(record)
    for explorer in made:
        explorer.go_to(time=200)
    assert first._picture is None
    first({name: 0.6 for name in first.rows} | {"trials": 100})
    assert first.message.value == ""
    for explorer in [*made, first]:
        explorer.close()
    assert counted()[1] <= figures


def test_an_explorer_that_cannot_be_made_leaves_nothing(record):
    before = counted()
    for bad in (record.isel(trial=[]), record.isel(time=[0, 1, 7]), record.drop_vars("Q")):
        with pytest.raises(ValueError, match="record"):
            mpn_lab.TrialExplorer(bad)
    assert counted() == before
