"""Settings and fixtures shared by all tests and by the examples in docstrings."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also in the processes that tests start

import jaxtyping
import pytest
import torch
from beartype import BeartypeConf
from beartype.claw import beartype_package

ROOT = Path(__file__).parent

# Types and shapes are checked in every call into the package. `TrialEnv` declares no shapes and is
# called for every step of every trial: beartype checks it without jaxtyping's wrapper, which would
# take several times as long as the step itself.
PLAIN = "mpn_lab.tasks.trial_env"
MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in ROOT.glob("mpn_lab/**/[!_]*.py")
}
beartype_package(PLAIN, conf=BeartypeConf(claw_is_pep526=False))
jaxtyping.install_import_hook(sorted(MODULES - {PLAIN}), "beartype.beartype")

torch.set_num_threads(1)  # small networks; several workers share the cores


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """Keep the tests of a file in one worker, so that its fixtures are made once.

    All browser tests form one group: they share a JupyterLab and a Chromium. Notebooks are
    independent of each other. (`--dist loadgroup` finds no groups in this version of pytest.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::")[0]
            if path.startswith("tests/browser/"):
                return "browser"
            return nodeid if path.endswith("test_notebooks.py") else path

    config.option.loadscopereorder = False  # the browser tests, which take longest, begin
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def _long_trainings_are_not_checked(request):
    """Slow tests train as a user does: the short ones have the same calls checked."""
    if request.node.get_closest_marker("slow"):
        patch = request.getfixturevalue("monkeypatch")
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def example_trials():
    """What an untrained network does in some trials."""
    import mpn_lab

    network = mpn_lab.QNetwork(3, 3, hidden_size=8, generator=torch.Generator().manual_seed(0))
    return mpn_lab.record(network, "DelayMatchSample-v0", trials=20)


@pytest.fixture(autouse=True)
def _names_in_examples(request):
    """`trials` in the docstrings' examples is a record; they write into a folder of their own."""
    if isinstance(request.node, pytest.DoctestItem):
        names = request.getfixturevalue("doctest_namespace")
        names["trials"] = request.getfixturevalue("example_trials")
        folder = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)
