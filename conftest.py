"""Settings and fixtures shared by all tests and by the examples in docstrings."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also in the processes that tests start

import pytest
import torch

torch.set_num_threads(1)  # small networks; several workers share the cores


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one worker, so that its fixtures are made once.

    All browser tests form one group: they share a JupyterLab and a Chromium. Notebooks are
    independent of each other.
    """
    for item in items:
        if item.get_closest_marker("browser"):
            group = "browser"
        else:
            group = item.nodeid if item.path.stem == "test_notebooks" else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def example_run():
    """A small network, trained in memory for some trials."""
    import mpn_lab

    config = mpn_lab.TrainConfig(
        task="DelayMatchSample-v0", trials=128, batch_size=16, hidden_size=8, eval_trials=20
    )
    return mpn_lab.train(config, out=False, progress=False)


@pytest.fixture(autouse=True)
def _names_in_examples(request):
    """`run` and `trials`, its record, in the docstrings' examples, which write into a new folder."""
    if isinstance(request.node, pytest.DoctestItem):
        import mpn_lab

        run = request.getfixturevalue("example_run")
        names = request.getfixturevalue("doctest_namespace")
        names |= {"mpn_lab": mpn_lab, "run": run, "trials": mpn_lab.record(run, trials=20)}
        folder = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)
