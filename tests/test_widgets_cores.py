"""Explorers work for any registered core: whatever its states are called and shaped."""

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import plotting

TASK = "DelayMatchSample-v0"


class LeakyHebb(torch.nn.Module):
    """A leaky unit u with fast weights M of its own; not the MPN's equations."""

    state_dims = {"u": ("hidden",), "M": ("hidden", "input")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        W = torch.randn(hidden_size, input_size, generator=generator)
        self.W = torch.nn.Parameter(W / input_size**0.5)

    def forward(self, input, state=None, return_states=False):
        B, (n, d) = len(input), self.W.shape
        u, M = state or (input.new_zeros(B, n), input.new_zeros(B, n, d))
        hs, us, Ms = [], [], []
        for x in input.unbind(1):
            u = 0.5 * u + ((self.W + M) @ x[..., None]).squeeze(-1)  # (B, n)
            h = torch.tanh(u)
            M = 0.9 * M + 0.1 * h[..., None] * x[:, None]  # (B, n, d)
            hs.append(h)
            us.append(u)
            Ms.append(M)
        output = torch.stack(hs, 1)
        states = torch.stack(us, 1), torch.stack(Ms, 1)
        return (output, (u, M), states) if return_states else (output, (u, M))

    def metrics(self):
        return {"W_norm": self.W.norm().item()}


class Correlator(torch.nn.Module):
    """Hidden units that read a matrix S of their own correlations; there is no M."""

    state_dims = {"S": ("hidden", "partner")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(hidden_size, input_size, generator=generator))

    def forward(self, input, state=None, return_states=False):
        n = self.W.shape[0]
        S = input.new_zeros(len(input), n, n) if state is None else state
        hs, Ss = [], []
        for x in input.unbind(1):
            z = x @ self.W.T  # (B, n)
            h = torch.tanh(z + (S @ z[..., None]).squeeze(-1))
            S = 0.9 * S + 0.1 * h[..., None] * h[:, None]  # (B, n, n)
            hs.append(h)
            Ss.append(S)
        output, states = torch.stack(hs, 1), torch.stack(Ss, 1)
        return (output, S, states) if return_states else (output, S)


class SquareM(Correlator):
    """The same core with a state called M whose dimensions are not hidden units by inputs."""

    state_dims = {"M": ("hidden", "partner")}  # noqa: RUF012


CORES = {"widgets_leaky": LeakyHebb, "widgets_square": SquareM, "widgets_correlator": Correlator}
for name, core in CORES.items():
    mpn_lab.register_core(name, core)


def make_record(core, trials=8):
    generator = torch.Generator().manual_seed(0)
    network = mpn_lab.QNetwork(3, 3, hidden_size=6, core=core, generator=generator)
    return mpn_lab.record(network, TASK, trials=trials, epsilon=0.1)


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    core = request.param
    config = mpn_lab.TrainConfig(
        task=TASK, core=core, hidden_size=5, trials=48, learning_starts=16, train_freq=16,
        batch_size=8, eval_freq=16, eval_trials=4, store_trials=4,
    )  # fmt: skip
    return mpn_lab.train(config, tmp_path_factory.mktemp(core) / "run", progress=False)


def test_a_core_with_its_own_M_shows_M_and_its_trajectory(tmp_path):
    trials = make_record("widgets_leaky")
    assert {"u", "M"} <= set(trials.data_vars)
    explorer = mpn_lab.TrialExplorer(trials)
    assert explorer.variable == "M"
    with pytest.raises(ValueError, match="show is 'effective weights'; expected one of M"):
        explorer.show = "effective weights"  # the MPN's equations do not hold
    arrays = explorer._answer({"ask": "trial", "record": "recorded", "trial": 3})[1]
    np.testing.assert_allclose(arrays["M"], trials.M.values[3, : len(arrays["M"])], atol=2e-3)
    explorer.variable = "u"
    asked = {"ask": "components", "record": "recorded", "variable": "u"}
    assert explorer._answer(asked)[1]["trajectory"].ndim == 3
    svg = explorer.save(tmp_path / "trial.svg").read_text()
    assert "There is no M" not in svg
    ax = plotting.new_figure(3, 3).subplots()
    image = plotting.plot_modulations(ax, trials, 2, 500).artists[0]
    np.testing.assert_array_equal(image.get_array(), trials.M.values[2, 5])
    with pytest.raises(ValueError, match="show is 'effective weights', which needs more than"):
        plotting.plot_modulations(ax, trials, 2, 500, "effective weights")


@pytest.mark.parametrize(
    ("core", "targets"),
    [
        ("widgets_leaky", ["u", "M", "h", "x", "obs"]),
        ("widgets_correlator", ["S", "h", "x", "obs"]),
        ("widgets_square", ["M", "h", "x", "obs"]),
    ],
)
def test_the_states_of_a_core_can_be_edited(core, targets):
    generator = torch.Generator().manual_seed(0)
    network = mpn_lab.QNetwork(3, 3, hidden_size=6, core=core, generator=generator)
    trials = make_record(core)
    explorer = mpn_lab.TrialExplorer(trials, network=network)
    assert explorer._overview["header"]["edits"]["targets"] == targets
    edit = {"kind": "freeze", "target": targets[0], "during": "delay"}
    header, _ = explorer._answer({"ask": "what if", "edits": [edit]})
    expected = mpn_lab.counterfactual(
        network, trials, mpn_lab.edits.freeze(targets[0], during="delay")
    )
    _, arrays = explorer._answer({"ask": "trial", "record": header["record"], "trial": 3})
    np.testing.assert_array_equal(arrays["Q"], expected["Q"].values[3, : len(arrays["Q"])])


@pytest.mark.parametrize("core", ["widgets_correlator", "widgets_square"])
def test_a_core_without_M_shows_h(core, tmp_path):
    explorer = mpn_lab.TrialExplorer(make_record(core))
    assert explorer.variable == "h"
    arrays = explorer._answer({"ask": "trial", "record": "recorded", "trial": 3})[1]
    assert "inputs" not in explorer._header
    assert not {"M", "x"} & set(arrays)
    svg = explorer.save(tmp_path / "trial.svg").read_text()
    assert f"There is no M: the core is {CORES[core].__name__}." in svg
    assert explorer.to_html(tmp_path / "trial.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("run", "has_M"),
    [("widgets_leaky", True), ("widgets_correlator", False), ("widgets_square", False)],
    indirect=["run"],
)
def test_staleness_of_any_core_can_be_explored(run, has_M, tmp_path):
    data = mpn_lab.staleness(run, window=8, burn_in=2)
    explorer = mpn_lab.StalenessExplorer(data)
    assert ("inputs" in explorer._header) == has_M
    ages, trials = data.age.values.tolist(), data.trial.values.tolist()
    seen = {explorer.png()}
    for name, value in (("time", 900), ("trial", trials[1]), ("age", ages[0])):
        setattr(explorer, name, value)
        assert explorer.png() not in seen
        seen.add(explorer.png())
    _, sent = explorer._answer({"ask": "trial", "trial": trials[1]})
    T = int(data["length"].values[1])  # of the state after each step, which acts at the next
    own = data["dM"].values[:, :, 1, 1:T].astype(np.float32)
    np.testing.assert_array_equal(sent["dM"][:, :, :-1], own)
    svg = explorer.save(tmp_path / "stale.svg").read_text()
    assert "distance of stored from replayed state" in svg
    assert ("There is no M: the core is" in svg) != has_M


@pytest.mark.parametrize("run", ["widgets_leaky"], indirect=True)
def test_the_monitor_shows_what_the_core_reports(run):
    monitor = mpn_lab.TrainingMonitor(run.config)
    for row in run.metrics.to_dict("records"):
        monitor(row)
    assert monitor.error == ""
    panels = {panel["title"]: panel["lines"] for panel in monitor._overview["header"]["panels"]}
    assert [line["column"] for line in panels["core metrics"]] == ["W_norm"]
