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
    "seen": """
sizes = dict(eval_freq=100, eval_trials=50, learning_starts=100)
seen = {
    "mpn": mpn_lab.TrainConfig(trials=400, hidden_size=16, **sizes),
    "gru": mpn_lab.TrainConfig(trials=200, hidden_size=12, core="gru", **sizes),
}
watching = mpn_lab.TrainingMonitor(seen, trial=1)
display(watching)
import mpn_lab.widgets.monitor as module
module.SHARE = 1e9  # every row is sent
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
    for _ in range(100):  # at the end of a training its output is shown anew
        text = explorer.root.inner_text()
        if text.count("after 200 of 200 trials") == 2:
            break
        notebook.page.wait_for_timeout(100)
    assert text.count("after 200 of 200 trials") == 2
    assert explorer.error() == ""


@pytest.fixture
def watch(notebook):
    """Trains one of the networks in view of a trial, and waits until the browser has drawn it."""

    def train(name, until):
        code = f"""
part = seen[{name!r}].model_copy(update=dict(trials={until}))
mpn_lab.train(part, False, progress=False, on_row=watching[{name!r}])
"""
        notebook.page.evaluate(
            """async code => {
                const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
                await kernel.requestExecute({code, store_history: false}).done;
            }""",
            code,
        )
        notebook.output("seen").locator(".mpn-present canvas").first.wait_for()
        trial = notebook.drawn("seen")
        monitor = type(trial)(notebook.page, notebook.output("seen").locator(".mpn-app").first)
        trial.settle()
        return monitor, trial

    return train


def test_a_trial_is_drawn_and_goes_on_with_the_network(notebook, watch):
    monitor, trial = watch("mpn", 100)
    head = monitor.root.locator(".mpn-present-head")
    assert head.inner_text().startswith("trial 1 mpn, after 100 of 400 trials")
    headings = trial.root.locator("h3:visible").all_inner_texts()
    assert headings[:4] == ["observations", "action values Q", "hidden activity h", "modulations M"]
    assert "over time" in headings[4]  # of the strongest synapse
    shown = trial.root.locator("select:visible")
    assert [menu.get_attribute("aria-label") for menu in shown.all()] == [
        "speed",
        "time from",
        "show",
    ]
    Q = "root => [...root.mpn.detail.Q.data]"
    record = "watching.records['mpn']"
    expected = f"{record}.Q.values[0, :int({record}.length[0])].ravel().tolist()"
    first = trial.root.evaluate(Q)
    assert first == pytest.approx(notebook.python(expected), abs=1e-6)

    trial.press("Home", "ArrowRight")
    trial.click("modulations M", 0.5, 0.5)
    trial.page.mouse.move(*trial.at("observations", 0.2, 0.5))
    trial.page.mouse.down()
    trial.page.mouse.move(*trial.at("observations", 0.6, 0.5), steps=3)
    trial.page.mouse.up()
    trial.settle()
    chosen = "root => [root.mpn.get('time'), root.mpn.get('selection'), root.mpn.timeZoom]"
    kept = trial.root.evaluate(chosen)
    assert kept[0] == notebook.python(f"float({record}.time[1])")
    assert kept[2]["x"]
    picture = trial.pixels("modulations M")

    monitor, trial = watch("mpn", 200)
    assert "after 200 of 400 trials" in head.inner_text()
    later = trial.root.evaluate(Q)
    assert later == pytest.approx(notebook.python(expected), abs=1e-6)
    assert later != first
    assert trial.root.evaluate(chosen) == kept
    assert trial.pixels("modulations M") != picture
    assert monitor.root.locator(".mpn-error").all_text_contents() == ["", ""]


def test_each_training_has_its_trial(notebook, watch):
    watch("mpn", 100)
    monitor, trial = watch("gru", 200)
    head = monitor.root.locator(".mpn-present-head")
    assert "gru, after 200 of 200 trials" in head.inner_text()
    hidden = "root => root.mpn.overview.header.hidden"
    assert trial.root.evaluate(hidden) == 12
    monitor.choose("training", "mpn")
    trial.settle()
    assert "mpn, after 100 of 400 trials" in head.inner_text()
    assert trial.root.evaluate(hidden) == 16
    watch("gru", 100)
    assert "mpn, after 100" in head.inner_text()  # what was chosen stays
    monitor.choose("training", "the newest row")
    assert "gru, after 100" in head.inner_text()
    assert monitor.root.locator(".mpn-error").all_text_contents() == ["", ""]
