"""TrialExplorer in a real JupyterLab: pointer, keys, menus, play, Python, errors, themes."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {  # one page and one kernel for all tests, and an explorer for each
    "setup": """
import tempfile
import torch; torch.set_num_threads(1)
import mpn_lab
from IPython.display import display
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=20, epsilon=0.05)
""",
    "keys": "keys = mpn_lab.TrialExplorer(trials); keys",
    "pointer": "pointer = mpn_lab.TrialExplorer(trials); pointer",
    "menus": "menus = mpn_lab.TrialExplorer(trials); menus",
    "error": "failing = mpn_lab.TrialExplorer(trials); failing",
    "monitor": """
config = mpn_lab.TrainConfig(trials=600, eval_freq=100, eval_trials=50, hidden_size=16)
monitor = mpn_lab.TrainingMonitor(config)
display(monitor)
run = mpn_lab.train(config, tempfile.mkdtemp(), progress=False, on_row=monitor)
print(f"{len(monitor.rows['trials'])} rows")
""",
}
Q = "action values"


def test_keys_move_time_and_trial_and_python_follows(notebook):
    explorer = notebook.drawn("keys")
    first = explorer.pixels(Q)
    explorer.press("ArrowRight", "ArrowRight")
    assert explorer.get("time") == 200
    assert explorer.pixels(Q) != first
    assert notebook.python("keys.time") == 200
    explorer.press("ArrowLeft", "ArrowLeft")
    assert explorer.pixels(Q) == first
    explorer.press("ArrowDown", "End")
    assert notebook.python("[keys.trial, keys.time]") == [1, 2300]
    explorer.press("ArrowUp", "Home")
    assert explorer.pixels(Q) == first
    assert explorer.error() == ""
