"""What the paper says of figure 7 a to h and in its text, held against the saved numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

NUMBERS = Path(__file__).parent.parent / "figures" / "numbers"


def numbers(figure):
    """Our values, ten seeds each: quantity, network -> [10]."""
    table = pd.read_csv(NUMBERS / f"{figure}.csv")
    found = {key: rows["value"].to_numpy() for key, rows in table.groupby(["quantity", "network"])}
    assert {len(values) for values in found.values()} == {10}
    return found


def test_an_mpn_integrates_for_a_context_and_integrates_numbers():
    found = numbers("fig7")
    assert found["accuracy, retrospective context", "MPN"].min() > 0.96
    assert found["accuracy, continuous", "MPN"].min() > 0.95  # the ideal observer: 0.99


def test_the_updates_and_the_bounds_come_in_the_papers_order():
    mean = {network: v.mean() for (q, network), v in numbers("figS").items() if q == "accuracy"}
    assert mean["MPN"] > mean["MPNpost"] > mean["MPNpre"] > 0.96
    assert mean["MPN"] == pytest.approx(mean["bound 1"], abs=0.005)
    assert mean["bound 1"] > mean["bound 0.1"] > 0.96


def test_every_variant_learns():
    for (quantity, network), values in numbers("figS").items():
        if quantity == "accuracy":
            assert values.min() > 0.9, network


def test_either_sign_of_eta_will_do():
    found = numbers("figS")
    eta, accuracy = found["eta after training", "MPN"], found["accuracy", "MPN"]
    assert np.abs(eta).min() > 1
    for sign in (eta > 0, eta < 0):
        assert sign.sum() >= 3
        assert accuracy[sign].mean() > 0.99


def test_in_every_variant_h_follows_the_present_input_more_than_the_evidence():
    found = numbers("figS")
    evidence, shown = "r2 of h on accumulated evidence", "r2 of h on present input"
    networks = [network for quantity, network in found if quantity == evidence]
    assert len(networks) == 7
    for network in networks:
        assert found[shown, network].mean() > found[evidence, network].mean(), network
        assert found["participation ratio of h", network].max() < 3.5, network  # of 100


def test_tighter_bounds_leave_M_h_and_eta_smaller():
    found = numbers("figS")
    free, loose, tight = "MPN", "bound 1", "bound 0.1"
    for quantity in ("size of M, step 19", "size of h, step 19"):
        means = [found[quantity, network].mean() for network in (free, loose, tight)]
        assert means[0] > means[1] > means[2], quantity
    etas = [np.abs(found["eta after training", k]).mean() for k in (free, loose, tight)]
    assert etas[0] > etas[1] > etas[2]
    assert found["size of M, step 19", tight].max() <= 0.1


def difference(found, network, which, step):
    return found[f"readout difference, {which}, step {step}", network]


def test_the_context_raises_one_subtask_and_drops_the_other():
    found = numbers("fig7")
    for which in ("subtask that counts", "other"):  # both are held until the context comes
        assert (difference(found, "MPN", which, 29) > 0).all()
    counts, other = (difference(found, "MPN", k, 39) for k in ("subtask that counts", "other"))
    assert (counts > difference(found, "MPN", "subtask that counts", 29)).all()
    assert (other < difference(found, "MPN", "other", 29)).all()
    assert (np.abs(other) < 0.4 * counts).all()


def test_a_context_that_comes_first_lets_only_one_subtask_grow():
    found, network = numbers("fig7S"), "prospective"
    for step in (25, 39):
        counts, other = (
            difference(found, network, k, step) for k in ("subtask that counts", "other")
        )
        assert (counts > 0).all()
        assert (np.abs(other) < 0.4 * counts).all()


def test_after_the_context_the_evidence_that_does_not_count_turns_from_the_readout():
    found = numbers("fig7S")

    def aligned(which, step):
        return found[f"alignment, {which}, step {step}", "retrospective"]

    counts, other = "subtask that counts", "other"
    assert abs(aligned(counts, 29).mean() - aligned(other, 29).mean()) < 0.1  # not yet known
    assert (aligned(other, 39) < 0.5 * aligned(counts, 39)).all()
    assert aligned(counts, 39).mean() > aligned(counts, 29).mean()


def test_where_the_context_comes_first_only_the_evidence_that_counts_lies_along_the_readout():
    found = numbers("fig7S")
    for step in (30, 39):
        counts, other = (
            found[f"alignment, {k}, step {step}", "prospective"]
            for k in ("subtask that counts", "other")
        )
        assert (other < 0.3 * counts).all()


def test_true_anti_is_learned_by_mpn_and_gru():
    assert numbers("figS")["accuracy", "true-anti"].min() > 0.95
    assert numbers("fig7S")["accuracy, true-anti", "GRU"].min() > 0.95


def test_two_levels_of_evidence_lie_on_the_line_between_what_they_would_answer(monkeypatch):
    monkeypatch.syspath_prepend(str(NUMBERS.parent))
    import fig7S
    from integration import project_to_go
    from paper import Trained, config_of

    from mpn_lab.training.learner import make_network

    config = config_of("MPN", 0, "mpn_lab/ContextIntegration-v0", hidden_size=8)
    one = Trained(make_network(config, 50, 2), config, 0, np.nan)
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(2, 8, 50)).astype(np.float32)
    other = rng.normal(size=(8, 50)).astype(np.float32)  # of the other subtask: averages out
    M = np.stack([low + other, high + other, low - other, high - other])
    counts = np.array([[1, 3], [3, 1], [0, 2], [2, 0]])
    line = fig7S.evidence_line(one, M, counts)
    expected = np.subtract(*project_to_go(one, np.stack([low, high])))
    assert abs(line @ expected) == pytest.approx(np.linalg.norm(expected), rel=1e-4)


@pytest.fixture(scope="module")
def neurogym():
    """(quantity, network) -> mean accuracy by task."""
    table = pd.read_csv(NUMBERS / "fig7j.csv")
    table[["kind", "task"]] = table["network"].str.split(", ", n=1, expand=True)
    return {
        key: rows.groupby("task")["value"].mean()
        for key, rows in table.groupby(["quantity", "kind"])
    }


def test_on_the_neurogym_tasks_the_mpn_is_comparable_with_rnn_and_gru(neurogym):
    mpn = neurogym["accuracy", "MPN"]
    assert len(mpn) == 19
    responses = {k: neurogym["accuracy of responses", k].mean() for k in ("MPN", "RNN", "GRU")}
    assert responses["MPN"] > max(responses["RNN"], responses["GRU"]) - 0.1
    for other in ("RNN", "GRU"):
        theirs = neurogym["accuracy", other]
        assert abs(mpn.mean() - theirs.mean()) < 0.03
        assert (mpn > theirs - 0.03).sum() >= 15
    assert (neurogym["accuracy", "MPNpre"] > mpn - 0.03).sum() > 19 / 2  # the majority


def test_stopping_at_2000_updates_hides_little(neurogym):
    table = pd.read_csv(NUMBERS / "fig7j.csv").query("seed == 0")
    value = table.set_index(["quantity", "network"])["value"]
    for kind in ("MPN", "MPNpre", "RNN", "GRU"):
        tasks = [f"{kind}, {task}" for task in neurogym["accuracy", kind].index]
        gain = value["accuracy, longer"][tasks] - value["accuracy"][tasks]
        assert len(gain) == 19
        assert -0.005 < gain.mean() < 0.02
    longer = {k: neurogym["accuracy, longer", k].mean() for k in ("MPN", "RNN", "GRU")}
    assert max(longer.values()) - min(longer.values()) < 0.02  # as comparable as before


def test_nobody_responds_where_the_moment_cannot_be_known(neurogym):
    for task in ("ContextDecisionMaking", "SingleContextDecisionMaking"):
        for kind in ("MPN", "MPNpre", "RNN", "GRU"):
            assert neurogym["accuracy of responses", kind][task] < 0.01


def test_no_network_is_worse_than_always_fixating(neurogym):
    fixating = neurogym["always fixating", "any"]
    for kind in ("MPN", "MPNpre", "RNN", "GRU"):
        assert (neurogym["accuracy", kind] > fixating - 0.01).all()
