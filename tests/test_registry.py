"""A core of one's own through everything that a built-in core goes through; and what is refused."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import mpn_lab
from mpn_lab import CoreError, QNetwork, RunError, TrainConfig, load_run, record, register_core
from mpn_lab.analysis import staleness
from mpn_lab.networks import registry
from mpn_lab.training.stored_trials import load_stored_trials

TASK = "ContextDecisionMaking-v0"  # its trials differ in length


class OjaCore(nn.Module):
    """u: a leaky potential; M: weights that follow Oja's rule."""

    state_dims = {"u": ("hidden",), "M": ("hidden", "input")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None, rate=0.1):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate is {rate}; expected 0 to 1.")
        self.rate = rate
        self.W = nn.Parameter(torch.empty(hidden_size, input_size))
        nn.init.xavier_uniform_(self.W, generator=generator)
        self.projected = 0

    def initial_state(self, batch_size):
        n, d = self.W.shape
        return self.W.new_zeros(batch_size, n), self.W.new_zeros(batch_size, n, d)

    def forward(self, input, state=None, return_states=False):
        u, M = self.initial_state(len(input)) if state is None else state
        hs, us, Ms = [], [], []
        for x in input.unbind(1):
            u = 0.5 * u + torch.einsum("bnd,bd->bn", self.W + M, x)
            h = torch.tanh(u)
            M = M + self.rate * (h[:, :, None] * x[:, None] - h[:, :, None] ** 2 * M)
            hs, us, Ms = [*hs, h], [*us, u], [*Ms, M]
        states = (torch.stack(us, 1), torch.stack(Ms, 1)) if return_states else None
        output = torch.stack(hs, 1)
        return (output, (u, M), states) if return_states else (output, (u, M))

    def project_(self):
        self.projected += 1

    def metrics(self):
        return {"W_size": float(self.W.detach().norm())}

    def weights(self):
        return {"W": (("hidden", "input"), self.W)}

    def equations(self):
        return {"rule": "Oja", "dt": "not that of the task"}

    @classmethod
    def horizon_options(cls, steps):
        return {"rate": 1 / steps}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The registry with the own core, and as it was afterwards."""
    registry.core_names()
    monkeypatch.setattr(registry, "_CORES", dict(registry._CORES))
    register_core("oja", OjaCore)


def config(**changes):
    values = {
        "task": TASK,
        "core": "oja",
        "core_options": {"rate": 0.2},
        "hidden_size": 6,
        "embedding_size": 4,
        "trials": 60,
        "eval_freq": 20,
        "eval_trials": 5,
        "train_freq": 10,
        "learning_starts": 10,
        "batch_size": 4,
        "gradient_steps": 2,
        "gamma": 0.9,
        "td_lambda": 0.5,
        "learning_rate": 0.003,
    }
    return TrainConfig(**{**values, **changes})


def trained(out, **changes):
    return mpn_lab.train(config(**changes), out, progress=False)


def content(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def slowly(weights, obs, start=None):
    """h, u, M and Q of one trial in float64 from the arrays of a record alone."""
    W, rate = weights["W"].values.astype(float), 0.2
    u, M = np.zeros(len(W)) if start is None else start[0], np.zeros(W.shape)
    M = M if start is None else start[1].astype(float)
    result = []
    for o in obs:
        x = weights["projection"].values @ o + weights["projection_bias"].values
        u = 0.5 * u + (W + M) @ x
        h = np.tanh(u)
        M = M + rate * (np.outer(h, x) - h[:, None] ** 2 * M)
        q = weights["readout"].values @ h + weights["readout_bias"].values
        result.append({"h": h, "u": u, "M": M, "Q": q})
    return result


WAYS = [
    {},
    {"replay": "transition"},
    {"replay": "sequence", "sequence": {"window": 4, "burn_in": 2}},
    {"replay": "sequence", "sequence": {"window": 4, "start": "replayed"}},
    {"reset_state": "never", "trials_per_episode": 2},
    {"reset_state": "never", "replay": "sequence", "trials_per_episode": 2},
    {"num_layers": 2},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", WAYS, ids=str)
def test_a_cut_training_resumes_to_the_same_bits(changes, tmp_path):
    changes = {"store_trials": 4, **changes}
    whole = trained(tmp_path / "whole", **changes)

    def interrupt(row):
        if row["trials"] == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mpn_lab.train(config(**changes), tmp_path / "cut", progress=False, on_row=interrupt)
    mpn_lab.resume(tmp_path / "cut", progress=False)
    assert content(tmp_path / "cut") == content(whole.path)
    assert {"W_size", "loss"} <= set(whole.metrics)
    assert whole.metrics.loss.iloc[-1] > 0
    first, last = (whole.network_at(at).state_dict() for at in (20, 60))
    name = "core.W" if "num_layers" not in changes else "core.1.W"
    assert not torch.equal(first[name], last[name])  # its weights are trained
    about = json.loads((whole.path / "config.json").read_text())
    assert about["modules"]["core"] == OjaCore.__module__
    network = load_run(whole.path).network
    assert network.layers[-1].rate == 0.2
    assert whole.evaluate(20).trials == 20


@pytest.mark.parametrize("reset_state", ["trial", "never"])
def test_a_record_holds_every_named_state(reset_state, tmp_path):
    run = trained(tmp_path / "run", reset_state=reset_state)
    trials = record(run, trials=6)
    step = ("trial", "time")
    assert trials.u.dims == (*step, "hidden")
    assert trials.M.dims == (*step, "hidden", "input")
    assert (trials.attrs["core"], trials.attrs["rule"]) == ("OjaCore", "Oja")
    assert trials.attrs["dt"] == 100  # the record's own are not overwritten
    for i in range(trials.sizes["trial"]):
        one = trials.isel(trial=i)
        T = int(one["length"])
        start = None
        if reset_state == "never":
            assert trials.u_start.dims == ("trial", "hidden")
            start = one.u_start.values, one.M_start.values
        for t, expected in enumerate(slowly(trials, one.obs.values[:T], start)):
            for name, value in expected.items():
                np.testing.assert_allclose(one[name].values[t], value, atol=2e-5, err_msg=name)
        assert np.isnan(one.u.values[T:]).all()
    if reset_state == "never":  # a trial begins where the one before it ended
        last = trials.M.values[0, int(trials["length"][0]) - 1]
        np.testing.assert_allclose(trials.M_start.values[1], last, atol=1e-5)
    loaded = mpn_lab.load_record(mpn_lab.save_record(trials, tmp_path / "trials.nc"))
    assert loaded.equals(trials)
    mpn_lab.TrialExplorer(loaded).go_to(trial=3)


def test_layers_number_their_states():
    class Delay(nn.Module):
        """A delay line of as many steps as there are inputs."""

        state_dims = {"line": ("delay", "input")}  # noqa: RUF012

        def __init__(self, input_size, hidden_size, *, generator=None):
            super().__init__()
            self.readin = nn.Linear(input_size, hidden_size)

        def forward(self, input, state=None, return_states=False):
            B, T, d = input.shape
            line = input.new_zeros(B, d, d) if state is None else state
            past = torch.cat([line, input], 1)  # (B, d + T, d)
            states = torch.stack([past[:, t + 1 : t + 1 + d] for t in range(T)], 1)
            output = torch.tanh(self.readin(past[:, :T]))
            rest = (states,) if return_states else ()
            return output, past[:, T:], *rest

    register_core("delay", Delay)
    trials = record(QNetwork(5, 3, core="delay", num_layers=2, hidden_size=5), TASK, trials=2)
    assert trials.line.dims == ("trial", "time", "delay", "input")
    assert trials.line_2.dims == ("trial", "time", "delay_2", "hidden_below")
    assert trials.line_2.shape[2:] == (5, 5)
    at = {"trial": 1, "time": 5}
    np.testing.assert_array_equal(trials.line.isel(at)[-1], trials.embedded.isel(at))


def test_a_state_keeps_its_name_if_the_task_uses_it_too():
    class Shown(OjaCore):
        state_dims = {"shown": ("hidden",), "context": ("hidden", "input")}  # noqa: RUF012

    register_core("shown", Shown)
    made = record(
        QNetwork(50, 2, core="shown", embedding="none", hidden_size=5),
        "mpn_lab/Integration-v0",
        trials=2,
    )
    assert made.shown.dims == ("trial", "time", "hidden")
    assert made.trial_shown.dims == ("trial", "time")
    trials = record(QNetwork(5, 3, core="shown", hidden_size=5), TASK, trials=2)
    assert trials.context.dims == ("trial", "time", "hidden", "input")
    assert trials.trial_context.dims == ("trial",)


def test_stored_states_go_stale(tmp_path):
    run = trained(tmp_path / "run", store_trials=4, reset_state="never", trials_per_episode=2)
    data = staleness(run, 20, window=5, burn_in=2)
    stored, _ = load_stored_trials(run, 20, run.network_at(20))
    assert any(trial.initial_state is not None for trial in stored)
    networks = [run.network_at(int(at)) for at in data.trained_trials]

    def before(network, obs, state):
        """The states before every step, and after the last."""
        states = []
        for o in torch.from_numpy(obs):
            states.append(state)
            state = network.step(o[None], state)[1]
        return [*states, state]

    with torch.no_grad():
        for i, trial in enumerate(stored):
            first = trial.initial_state
            first = networks[0].initial_state(1) if first is None else first
            collected = before(networks[0], trial.obs, first)
            for t, (u, M) in enumerate(collected[:-1]):
                np.testing.assert_allclose(data.M_stored[i, t], M[0], atol=1e-5)
                for a, network in enumerate(networks):
                    s = t // 5 * 5
                    at = data.isel(age=a, trial=i, time=t)
                    for strategy, begin in (("stored", s), ("stored, burn-in 2", max(0, s - 2))):
                        u_hat, M_hat = before(network, trial.obs[begin:t], collected[begin])[-1]
                        here = at.sel(strategy=strategy)
                        np.testing.assert_allclose(here.M_replayed, M_hat[0], atol=1e-5)
                        off = math.hypot(float((u_hat - u).norm()), float((M_hat - M).norm()))
                        assert float(here.dM_raw) == pytest.approx(off, abs=1e-5)
                        size = math.hypot(float(u_hat.norm()), float(M_hat.norm()))
                        if size:
                            assert float(here.dM) == pytest.approx(off / size, abs=1e-4)
    fresh = data.sel(strategy="start", age=0)
    assert float(fresh.dM.max()) == float(fresh.dQ.max()) == 0
    assert float(data.dM.isel(age=-1).sel(strategy="start").max()) > 1e-3
    mpn_lab.StalenessExplorer(data).go_to(trial=1)


def test_options_that_the_configuration_leaves_out_follow_from_the_trials(tmp_path):
    run = trained(tmp_path / "run", core_options={}, trials=20)
    assert run.config.core_options["rate"] == pytest.approx(
        1 / run.metrics.env_steps[0] * 20, rel=1
    )
    assert load_run(run.path).network.core.rate == run.config.core_options["rate"]
    assert run.network.core.projected == 0  # a network that was only loaded
    learner = mpn_lab.training.learner.DQNLearner(config(), 5, 3)
    learner.step(learner.network(torch.ones(1, 2, 5))[0].sum(), 0.1)
    assert learner.network.core.projected == 1


def test_a_run_whose_core_is_gone_names_the_module(tmp_path, monkeypatch, forge):
    path = trained(tmp_path / "run", store_trials=2).path
    cores = {name: core for name, core in registry._CORES.items() if name != "oja"}
    monkeypatch.setattr(registry, "_CORES", cores)
    run = load_run(path)  # opening it needs no core
    module = OjaCore.__module__
    for use in (
        lambda: run.network,
        lambda: record(run, trials=2),
        lambda: run.evaluate(2),
        lambda: staleness(run),
        lambda: mpn_lab.resume(path, progress=False),
    ):
        with pytest.raises(CoreError, match=f"'oja' is not registered.*import {module}") as caught:
            use()
        assert_one_sentence(caught)
    forge(path, lambda about: about["modules"].update(core="__main__"))
    with pytest.raises(CoreError, match=r"first call mpn_lab\.register_core"):
        _ = load_run(path).network


def test_built_in_cores_have_no_special_status():
    for name in ("mpn", "gru", "lstm", "rnn"):
        core = registry.core_class(name)
        register_core(name, core)
        registry.check_core(core(4, 6), 4, 6)
        with pytest.raises(CoreError, match=f"'{name}' is already registered"):
            register_core(name, OjaCore)


def assert_one_sentence(caught):
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        (None, r"names no states \(state_dims is None\)"),
        ({}, "names no states"),
        (["M"], "names no states"),
        ({"M": ["hidden"]}, "names no states"),
        ({"Q": ("hidden",)}, "has a state 'Q' with the dimensions"),
        ({"M_2": ("hidden",)}, "has a state 'M_2'"),
        ({"M_start": ("hidden",)}, "has a state 'M_start'"),
        ({"my state": ("hidden",)}, "has a state 'my state'"),
        ({"A": ("hidden", "hidden")}, "expected distinct names"),
        ({"A": ("time",)}, "that a record does not use itself"),
        ({"A": ("A",)}, "expected distinct names"),
    ],
)
def test_states_without_a_usable_name(dims, words):
    class Core(nn.Module):
        state_dims = dims

    with pytest.raises(CoreError, match=words) as caught:
        register_core("unnamed", Core)
    assert_one_sentence(caught)
    assert "unnamed" not in registry.core_names()


def test_names_of_cores(monkeypatch):
    class Other(OjaCore):
        pass

    with pytest.raises(CoreError, match=r"'oja' is already registered \(.*OjaCore\)") as caught:
        register_core("oja", Other)
    assert_one_sentence(caught)
    register_core("oja", OjaCore)  # the same class again, as where a cell is run twice
    with pytest.raises(CoreError, match=r"expected a class that is an nn\.Module") as caught:
        register_core("made", dict)
    assert_one_sentence(caught)
    with pytest.raises(CoreError, match=r"'eprop' is not registered; expected one of .*oja"):
        QNetwork(3, 2, core="eprop")
    with pytest.raises(CoreError, match=r"core_options {'speed': 1}; it takes rate\."):
        QNetwork(3, 2, core="oja", speed=1)
    with pytest.raises(ValueError, match=r"rate is 2; expected 0 to 1\."):
        QNetwork(3, 2, core="oja", rate=2)


class Broken(nn.Module):
    """A leaky unit u that breaks the protocol in one chosen way."""

    state_dims = {"u": ("hidden",)}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None, fault=""):
        super().__init__()
        self.fault, self.n, self.readin = fault, hidden_size, nn.Linear(input_size, hidden_size)
        self.memory = None

    def forward(self, input, state=None, return_states=False):
        fault, B = self.fault, len(input)
        if fault == "raises":
            raise KeyError("line one\nline two")
        u = input.new_full((B, self.n), 1.0 if fault == "starts at 1" else 0.0)
        u = u if state is None else state
        if fault == "remembers":
            u = u + (0 if self.memory is None else self.memory.sum())
        us = []
        for x in self.readin(input).unbind(1):
            x = x.mean(0, keepdim=True).expand_as(x) if fault == "mixes the batch" else x
            x = x.detach() + torch.rand(B, 1) if fault == "random" else x
            if fault == "in place":
                u.mul_(0.5).add_(x.detach())
                us.append(u.clone())
            else:
                u = 0.5 * u + x
                us.append(u)
        states = torch.stack(us, 1)
        if fault == "looks ahead":
            states = states.flip(1).cumsum(1).flip(1)
        output = states.tanh()
        self.memory = output if fault == "remembers" else None
        if fault == "output shape":
            output = output[..., :-1]
        if fault == "output precision":
            output = output.double()
        if fault == "time first":
            states = states.transpose(0, 1)
        if fault == "first states wrong":
            states = torch.cat([states[:, :1] + 1, states[:, 1:]], 1)
        last = {
            "state shape": u[:, :-1],
            "state twice": (u, u),
            "state in a list": [u],
            "nested state": ((u,),),
            "no tensor": 0.0,
        }.get(fault, u)
        if fault == "output alone":
            return output
        if fault == "list":
            return [output, last]
        if return_states and fault != "no states":
            return output, last, states
        return output, last


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", r"fails on an input of \(3, 4, 5\): KeyError"),
        ("output shape", r"has an output .* of shape \(3, 4, 5\) .*; expected \(3, 4, 6\)"),
        ("output precision", "has an output .* of torch.float64; expected .* of torch.float32"),
        ("state shape", r"has a state u .*\(3, 5\) .*; expected \(3, 6\)"),
        ("state twice", r"has a tuple of 2 as its state; .* \(u\)"),
        ("state in a list", "has a list of 1 as its state"),
        ("nested state", "has a tuple of 1 as its state"),
        ("no tensor", "has 0.0 as its state"),
        ("output alone", "returns a tensor .*; expected a tuple of output, state"),
        ("list", "returns a list of 2; expected a tuple of output, state"),
        ("no states", "returns a tuple of 2; expected a tuple of output, state, states"),
        ("time first", r"a state u after every step .*\(4, 3, 6\).*; expected \(3, 4, 6\)"),
        ("first states wrong", "returns states that are not those after each step"),
        ("random", "gives different results with return_states=True, or is random"),
        ("mixes the batch", "depends on the other sequences of the batch"),
        ("looks ahead", "gives other|gives another output if a sequence is cut"),
        ("remembers", "gives different results|gives another output if a sequence is cut"),
        ("starts at 1", "starts from a non-zero state; give it a method initial_state"),
        ("in place", "modifies the state that it is given"),
    ],
)
def test_a_core_that_breaks_the_protocol_gets_one_sentence(fault, words):
    register_core("broken", Broken)
    core = Broken(5, 6)
    registry.check_core(core, 5, 6)
    assert core.training
    with torch.random.fork_rng(), pytest.raises(CoreError, match=words) as caught:
        QNetwork(5, 2, core="broken", embedding="none", hidden_size=6, fault=fault)
    assert_one_sentence(caught)
    assert str(caught.value).startswith("the core Broken ")


def test_a_state_h_must_be_the_output():
    class Renamed(Broken):
        state_dims = {"h": ("hidden",)}  # noqa: RUF012

    with pytest.raises(CoreError, match="names a state h that is not its output"):
        registry.check_core(Renamed(5, 6), 5, 6)


def test_an_initial_state_of_another_shape():
    class Narrow(OjaCore):
        def initial_state(self, batch_size):
            u, M = super().initial_state(batch_size)
            return u[:, :1], M

    with pytest.raises(CoreError, match=r"has an initial state u .*\(3, 1\)"):
        registry.check_core(Narrow(5, 6), 5, 6)


def test_weights_with_names_of_a_record():
    for name in ("obs", "u", "h"):

        class Core(OjaCore):
            def weights(self, name=name):
                return {name: (("hidden", "input"), self.W)}

        with pytest.raises(CoreError, match=f"has a weight '{name}', which a record uses"):
            registry.check_core(Core(5, 6), 5, 6)


def test_dropout_and_noise_are_accepted_if_eval_mode_removes_them():
    class Noisy(OjaCore):
        def forward(self, input, state=None, return_states=False):
            noise = torch.rand(input.shape) if self.training else 0.0
            return super().forward(input + noise, state, return_states)

    core = Noisy(5, 6)
    registry.check_core(core, 5, 6)
    assert core.training


class Fixed(nn.Module):
    """A core without parameters: the decayed sum of its inputs, from a start of its own."""

    state_dims = {"trace": ("input",)}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        self.sizes = input_size, hidden_size

    def initial_state(self, batch_size):
        return torch.ones(batch_size, self.sizes[0])

    def forward(self, input, state=None, return_states=False):
        s = self.initial_state(len(input)).to(input) if state is None else state
        steps = []
        for x in input.unbind(1):
            s = 0.5 * s + x
            steps.append(s)
        states = torch.stack(steps, 1)
        output = states.mean(2, keepdim=True).expand(-1, -1, self.sizes[1])
        return (output, s, states) if return_states else (output, s)


def test_a_core_without_parameters_follows_the_network():
    register_core("fixed", Fixed)
    network = QNetwork(5, 2, core="fixed", embedding="none", hidden_size=6)
    double = copy.deepcopy(network).double()
    assert double.initial_state(3).dtype == torch.float64
    x = torch.rand(3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(double(x)[0], double(x, double.initial_state(3))[0])
    trials = record(QNetwork(5, 3, core="fixed", hidden_size=4), TASK, trials=2)
    start = 0.5 + trials.embedded[:, 0]
    np.testing.assert_allclose(trials.trace[:, 0], start, atol=1e-6)
    with pytest.raises(ValueError, match="starts from a trained or non-zero state"):
        trained(False, core="fixed", core_options={}, replay="transition")


def test_a_checkpoint_of_another_core_is_refused(tmp_path, forge):
    run = trained(tmp_path / "run", trials=20)
    forge(run.path, lambda about: about["config"].update(core="gru", core_options={}))
    with pytest.raises(RunError, match="weights that do not match the network"):
        _ = load_run(run.path).network
