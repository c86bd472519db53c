"""What `import mpn_lab` gives, what it leaves for later, and what it says is missing."""

import json
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

import mpn_lab


def run_python(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def test_public_names():
    for name in mpn_lab.__all__:
        assert getattr(mpn_lab, name).__doc__, name


def test_import_is_light():
    """The packages that look at results, and their libraries, are imported when they are used."""
    heavy = ["xarray", "sklearn", "ipywidgets", "numba", "pandas", "tyro", "mpn_lab.widgets"]
    code = (
        "import sys, json, mpn_lab; mpn_lab.MPN, mpn_lab.TrialEnv, mpn_lab.TrialReplayBuffer;"
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    assert json.loads(run_python(code).splitlines()[-1]) == []


def test_the_version_is_the_installed_one():
    assert mpn_lab.__version__ == version("mpn_lab")


def test_the_version_of_a_tree_that_is_not_installed_is_unknown():
    code = (
        "import importlib.metadata as metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        "import mpn_lab; print(mpn_lab.__version__)"
    )
    assert run_python(code).strip() == "0+unknown"


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("mpn_lab.TrialExplorer", "anywidget"),
        ("mpn_lab.widgets.StalenessExplorer", "anywidget"),
        ("mpn_lab.TrainingMonitor", "IPython"),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_brings_it(name, library):
    package, attribute = name.rsplit(".", 1)
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        f"try:\n    from {package} import {attribute}\n"
        "except ImportError as error:\n    print(error)"
    )
    expected = f"{attribute} needs {library}; install it with: pip install 'mpn_lab[lab]'"
    assert run_python(code).strip() == expected


def test_an_unknown_name_stays_an_attribute_error():
    with pytest.raises(AttributeError, match="TrialExplorers"):
        mpn_lab.TrialExplorers  # noqa: B018
    with pytest.raises(ImportError, match=re.escape("cannot import name 'TrialExplorers'")):
        exec("from mpn_lab import TrialExplorers")


WITHOUT_EXTRAS = """
import json, sys, warnings
for name in ("anywidget", "ipywidgets", "IPython", "jupyterlab", "beartype", "numba", "llvmlite"):
    sys.modules[name] = None
import torch
torch.set_num_threads(1)
import mpn_lab
warnings.simplefilter("ignore")  # that the MPN runs its plain loop, which test_autograd checks
config = mpn_lab.TrainConfig(
    task="DelayMatchSample-v0", trials=16, batch_size=4, eval_freq=16, eval_trials=4, hidden_size=4,
    learning_starts=8,
)
run = mpn_lab.train(config, out=False)
trials = mpn_lab.record(run.network, config.task, trials=2)
kernels = run.content["machine"]["kernels"]  # the distribution numba may be installed all the same
print(json.dumps([len(run.rows), trials.sizes["trial"], kernels]))
"""


def test_training_and_recording_need_neither_numba_nor_the_lab_extra():
    rows, trials, kernels = json.loads(run_python(WITHOUT_EXTRAS).splitlines()[-1])
    assert kernels == "plain"
    assert rows >= 1
    assert trials == 2
