"""The monitor in a real JupyterLab: it fills while a training runs in the same kernel."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {
    "setup": """
import torch; torch.set_num_threads(1)
import mpn_lab
from IPython.display import display
sizes = dict(eval_freq=100, eval_trials=50, hidden_size=16)
""",
    "one": """
config = mpn_lab.TrainConfig(trials=600, **sizes)
monitor = mpn_lab.TrainingMonitor(config)
display(monitor)
run = mpn_lab.train(config, False, progress=False, on_row=monitor)
""",
    "several": """
configs = {core: mpn_lab.TrainConfig(trials=200, core=core, **sizes) for core in ("mpn", "gru")}
monitors = mpn_lab.TrainingMonitor(configs)
display(monitors)
""",
}


def points(explorer, column, run=0):
    """The values that the browser has of a column."""
    explorer.settle()
    return explorer.root.evaluate(
        "(root, [k, name]) => [...root.mpn.column(k, name)]", [run, column]
    )


def test_the_monitor_has_every_row_and_reads_them(notebook):
    explorer = notebook.drawn("one")
    assert points(explorer, "trials") == [100, 200, 300, 400, 500, 600]
    assert points(explorer, "accuracy") == pytest.approx(
        notebook.python("run.metrics.accuracy.tolist()"), abs=1e-6
    )
    assert "after 600 of 600 trials" in explorer.root.inner_text()
    canvas = explorer.canvas("accuracy")
    canvas.focus()
    last = canvas.get_attribute("aria-label")
    assert last.startswith("600 trials")
    notebook.page.keyboard.press("ArrowLeft")
    explorer.settle()
    assert canvas.get_attribute("aria-label").startswith("500 trials")
    explorer.click("accuracy", 0.2, 0.5)
    assert canvas.get_attribute("aria-label").startswith("100 trials")
    notebook.page.mouse.move(*explorer.at("TD loss", 0.98, 0.5))
    explorer.settle()
    assert explorer.root.locator(".mpn-tip").inner_text().startswith("600 trials\nloss: ")
    assert explorer.error() == ""


def test_the_last_marker_is_not_cut(notebook):
    explorer = notebook.drawn("one")
    room = explorer.root.evaluate(
        "root => root.mpn.panels.map(({ g }) => g.left + g.width - g.X(600))"
    )
    assert min(room) >= 2  # pixels, the radius of a marker


def test_several_trainings_fill_while_they_run(notebook):
    explorer = notebook.drawn("several")
    assert "no row yet" in explorer.root.inner_text()
    notebook.page.evaluate(
        """code => { jupyterapp.shell.currentWidget.sessionContext.session.kernel
            .requestExecute({code, store_history: false}); }""",
        "for core, config in configs.items():\n"
        "    mpn_lab.train(config, False, progress=False, on_row=monitors[core])",
    )
    seen = set()
    for _ in range(600):
        seen.add((len(points(explorer, "trials", 0)), len(points(explorer, "trials", 1))))
        if (2, 2) in seen:
            break
        notebook.page.wait_for_timeout(100)
    assert {(2, 2)} < seen  # rows came one by one
    text = explorer.root.inner_text()
    assert text.count("after 200 of 200 trials") == 2
    assert explorer.error() == ""
