"""A closed explorer leaves nothing behind."""

import gc
import os
import weakref
from pathlib import Path

import pytest
from ipywidgets.widgets import widget
from matplotlib import pyplot
from matplotlib.figure import Figure

import mpn_lab
from tests.staleness_data import make_staleness

TASK = "DelayMatchSample-v0"


@pytest.fixture(scope="module")
def record():
    return mpn_lab.record(mpn_lab.QNetwork(3, 3, hidden_size=6), TASK, trials=3)


@pytest.fixture(scope="module")
def stale():
    return make_staleness(trials=2, ages=(0, 16), hidden=4)


def trial_explorer(record, _):
    explorer = mpn_lab.TrialExplorer(record)
    explorer.order = "cluster"
    explorer.time = 300
    return explorer


def staleness_explorer(_, stale):
    explorer = mpn_lab.StalenessExplorer(stale)
    explorer.time = 300
    return explorer


def row(monitor, trials):
    return {name: 0.6 for name in monitor.rows} | {"trials": trials}


def monitor(*_):
    made = mpn_lab.TrainingMonitor(mpn_lab.TrainConfig(trials=100))
    made(row(made, 50))
    assert made.error == ""
    return made


def counted():
    gc.collect()
    figures = sum(issubclass(type(thing), Figure) for thing in gc.get_objects())
    return len(widget._instances), figures


def rss():
    """The memory in use, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("make", [trial_explorer, staleness_explorer, monitor])
def test_a_closed_explorer_is_freed(make, record, stale):
    make(record, stale).close()
    before = counted()
    made = make(record, stale)
    made._repr_mimebundle_()
    assert counted() > before
    parts = [weakref.ref(made), weakref.ref(made.layout)]
    made.close()
    made.close()
    del made
    assert counted() == before
    assert [part() for part in parts] == [None, None]
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", ["TrialExplorer", "StalenessExplorer"])
def test_a_closed_explorer_that_has_a_name_frees_its_record(name, record, stale):
    trials = (record if name == "TrialExplorer" else stale).copy(deep=True)
    explorer, held = getattr(mpn_lab, name)(trials), weakref.ref(trials)
    explorer.png()
    explorer.close()
    del trials
    gc.collect()
    assert held() is None
    assert not explorer._overview
    assert not getattr(explorer, "_pcas", None)
    assert repr(explorer).startswith(f"{name}(")
    for use in (
        lambda: explorer.go_to(trial=1),
        lambda: explorer.save("x.svg"),
        lambda: explorer.to_html("x.html"),
        lambda: explorer.png(),
    ):
        with pytest.raises(ValueError, match="this explorer is closed; make another one of the"):
            use()


def test_a_training_goes_on_after_its_monitor_was_closed():
    made = monitor()
    made.close()
    made(row(made, 100))
    assert made.error == ""
    assert made.rows["trials"] == [50, 100]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
def test_fifty_explorers_opened_and_closed_take_no_memory(record):
    def open_and_close(times):
        for _ in range(times):
            mpn_lab.TrialExplorer(record).close()
            gc.collect()
        return rss()

    before = open_and_close(5)
    assert open_and_close(50) - before < 20  # MB


def test_an_explorer_that_cannot_be_made_leaves_nothing(record, stale):
    before = counted()
    for bad in (record.isel(trial=[]), record.isel(time=[0, 1, 7]), record.drop_vars("Q")):
        with pytest.raises(ValueError, match="record"):
            mpn_lab.TrialExplorer(bad)
    for bad in (stale.isel(trial=[]), stale.drop_vars("dQ"), record):
        with pytest.raises(ValueError, match=r"record|dQ|stored"):
            mpn_lab.StalenessExplorer(bad)
    assert counted() == before
