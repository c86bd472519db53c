"""A record after a selection, a join or an average works, or one sentence says what to do.

The table applies every function that takes a record to every shape that xarray makes of one. A
selection must give the same numbers and pictures as a record of the same trials.
"""

import re

import numpy as np
import pytest
import torch
import xarray as xr

import mpn_lab
from mpn_lab import analysis, edits, interventions, plotting
from tests.staleness_data import make_staleness

CHANNELS = "stim1_mod1", "stim2_mod1"


def make_network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mpn_lab.QNetwork(7, 3, hidden_size=4, embedding_size=3, generator=generator)


def make_record(seed=0, trials=24):
    task = "ContextDecisionMaking-v0", {"use_expl_context": True}
    return mpn_lab.record(make_network(seed), *task, trials=trials, epsilon=0.3)


@pytest.fixture(scope="module")
def record():
    return make_record()


@pytest.fixture(scope="module")
def evidence(record):
    return analysis.accumulated_evidence(record, *CHANNELS)


@pytest.fixture(scope="module")
def stale():
    made = make_staleness(trials=4, ages=(0, 8, 64), hidden=4)
    return made.assign_coords(trained_trials=("age", [64, 128, 192]))


def pixels(draw):
    """The picture that a function draws."""
    figure = plotting.new_figure(3, 2)
    draw(figure.subplots())
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba()).copy()


def panel(plot):
    return lambda record, _: pixels(lambda ax: plot(ax, record, *last_trial(record)))


def last_trial(record):
    """The last trial's number and the first time."""
    ends = []
    for name, at in (("trial", -1), ("time", 0)):
        values = np.ravel(record[name].values) if name in record.coords else []
        ends.append(int(values[at]) if len(values) else 0)
    return ends


def explore(explorer):
    i = [*explorer.record.trial.values].index(explorer.trial)
    picture = explorer.png()
    explorer.time = float(explorer.record.time[explorer.record.valid.values[i]][-1])
    seen = picture, explorer.png()
    explorer.close()
    return seen


def explore_trials(explorer):
    """What the explorer of trials sends of the first and the last trial."""
    seen = [explorer._header]
    for number in (explorer.record["trial"].values[0], explorer.record["trial"].values[-1]):
        seen += explorer._answer({"ask": "trial", "record": "recorded", "trial": int(number)})
    asked = {"ask": "components", "record": "recorded", "variable": explorer.variable}
    seen += explorer._answer(asked)
    explorer.close()
    return seen


ANALYSES = {
    "signed_coherence": lambda r, e: analysis.signed_coherence(r),
    "psychometric": lambda r, e: analysis.psychometric(r, analysis.signed_coherence(r)),
    "performance_by": lambda r, e: analysis.performance_by(r, "context"),
    "decode": lambda r, e: analysis.decode(r, "context"),
    "decode_across_times": lambda r, e: analysis.decode_across_times(r, "context", every=9),
    "pca of h": lambda r, e: analysis.pca(r, "h"),
    "pca of M": lambda r, e: analysis.pca(r, components=1),
    "participation_ratio": lambda r, e: analysis.participation_ratio(r, "M"),
    "effective_weights": lambda r, e: analysis.effective_weights(r),
    "modulation_change": lambda r, e: analysis.modulation_change(r),
    "selectivity": lambda r, e: analysis.selectivity(r, "context", "M"),
    "accumulated_evidence": lambda r, e: analysis.accumulated_evidence(r, *CHANNELS),
    "variance_explained": lambda r, e: analysis.variance_explained(r, e, period=None),
    "hidden_order": lambda r, e: analysis.hidden_order(r),
    "hidden_order by clusters": lambda r, e: analysis.hidden_order(r, "cluster"),
    "first_order": lambda r, e: analysis.first_order(r),
    "first_order_error": lambda r, e: analysis.first_order_error(r),
}
NETWORK = make_network()
INTERVENTIONS = {
    "counterfactual": lambda r, e: mpn_lab.counterfactual(NETWORK, r, edits.zero("M")),
    "effect": lambda r, e: interventions.effect(r.assign_attrs(epsilon=0.0), r),
    "effect_map": lambda r, e: interventions.effect_map(NETWORK, r, times=[0]),
    "lesion_curve": lambda r, e: interventions.lesion_curve(NETWORK, r, shares=[0.5], draws=1),
    "donors": lambda r, e: edits.donors(r, "context"),
}
PANELS = {
    "plot_inputs": panel(plotting.plot_inputs),
    "plot_q": panel(plotting.plot_q),
    "plot_hidden": panel(plotting.plot_hidden),
    "plot_modulations": panel(plotting.plot_modulations),
    "plot_trajectory": panel(
        lambda ax, r, *at: plotting.plot_trajectory(ax, r, analysis.pca(r, "h"), *at)
    ),
}
EXPLORERS = {
    "draw_trial": lambda r, e: plotting.draw_trial(
        r, analysis.pca(r, "h"), *last_trial(r), show="change of M"
    )[0].axes[4].images[0].get_array(),
    "TrialExplorer": lambda r, e: explore_trials(mpn_lab.TrialExplorer(r)),
}  # fmt: skip
RESULTS = {}  # for the trials of the selections
FUNCTIONS = ANALYSES | INTERVENTIONS | PANELS | EXPLORERS
some = [1, 2, *range(4, 24)]  # trials


def masked(record):
    return record["trial"].isin(some)


def split(record):
    """Two records, each as long as its own longest trial."""
    parts = [record.isel(trial=slice(0, 11)), record.isel(trial=slice(11, None))]
    return [part.isel(time=part["valid"].any("trial").values) for part in parts]


def concat(parts, dim):
    return xr.concat(parts, dim, data_vars="all", join="outer")


SELECTIONS = {
    "isel": (lambda r: r.isel(trial=some), some),
    "sel": (lambda r: r.sel(trial=some), some),
    "where with drop": (lambda r: r.where(masked(r), drop=True), some),
    "where without drop": (lambda r: r.where(masked(r)), some),
    "where with steps": (lambda r: r.where(masked(r) & r["valid"], drop=True), some),
    "where with zeros": (lambda r: r.where(masked(r), 0), some),
    "concat along trial": (lambda r: concat(split(r), "trial"), slice(None)),
    "concat with minimal variables": (
        lambda r: xr.concat(
            [r.isel(trial=slice(0, 9)), r.isel(trial=slice(9, None))], "trial", data_vars="minimal"
        ),
        slice(None),
    ),
    "other order of dimensions": (lambda r: r.transpose("time", ..., "trial"), slice(None)),
    "one of a stack of runs": (lambda r: concat([r, r], "run").isel(run=0), slice(None)),
}
REFUSED = {
    "groupby": (
        lambda r: r.groupby("context").mean(keep_attrs=True),
        r"no dimension trial but context, .* pca\(record\).trajectory.groupby\(\"context\"\)",
    ),
    "mean over trials": (
        lambda r: r.mean("trial", keep_attrs=True),
        "no dimension trial, as after",
    ),
    "mean over time": (lambda r: r.mean("time", keep_attrs=True), "no dimension time, as after"),
    "single trial": (
        lambda r: r.isel(trial=3),
        r"single trial \(3\) without the dimension trial; keep .* record.sel\(trial=\[3\]\)",
    ),
    "single time": (lambda r: r.sel(time=300), r"keep the dimension: record.sel\(time=\[300\]\)"),
    "coarser time": (
        lambda r: r.drop_vars("period").coarsen(time=2, boundary="trim").mean(),
        "valid holds 0.5, as after an average",
    ),
    "concat over runs": (
        lambda r: concat([r, r], "run"),
        r"the dimension run \(of 2\) besides its own; pass one .* record.isel\(run=0\)",
    ),
    "masked by unit": (lambda r: r.where(r["h"] > 0), "a condition that depends on hidden"),
    "some actions": (
        lambda r: r.isel(action=[0, 1]),
        "holds action 2, which the dimension action lacks; select trials or steps of the record",
    ),
    "no trials": (lambda r: r.isel(trial=[]), "no trials left; remove some filters"),
    "nothing found": (lambda r: r.where(r["context"] == 7), "no trials left; remove some filters"),
    "nothing found, dropped": (lambda r: r.where(r["context"] == 7, drop=True), "no .* left"),
    "no steps": (lambda r: r.isel(time=[]), "no steps left"),
    "no attributes": (lambda r: r.drop_attrs(), r"no attribute 'mpn_lab_record'.*keep_attrs=True"),
    "without dt": (lambda r: r.assign_attrs(dt=0).pipe(_without_dt), "no attribute 'dt'"),
    "without valid": (lambda r: r.drop_vars("valid"), "the record has no valid; keep"),
}
PARTS = {  # these may refuse what they need more of
    "a range of times": lambda r: r.sel(time=slice(300, 900)),
    "every second step": lambda r: r.isel(time=slice(None, None, 2)),
    "a period alone": lambda r: r.where(r["period"] == "stimulus", drop=True),
    "one trial": lambda r: r.isel(trial=[3]),
    "one step": lambda r: r.isel(time=[0]),
    "one step of one trial": lambda r: r.isel(trial=[3], time=[2]),
    "twice the same trials": lambda r: concat([r, r], "trial"),
    "two networks": lambda r: concat([r, make_record(1)], "trial"),
}
REFUSE_PARTS = {
    ("a range of times", "accumulated_evidence"): "lacks the step before 300 ms, in the period",
    ("a range of times", "first_order"): "lacks steps from the trials' starts",
    ("every second step", "accumulated_evidence"): "lacks the step before .* select times later",
    ("every second step", "first_order"): "pass the whole trials, and select times of the result",
    ("a period alone", "accumulated_evidence"): "lacks the step before",
    ("a period alone", "first_order"): "lacks steps",
    ("one trial", "decode"): "no time are there two classes of at least 5 trials; record more",
    ("one trial", "selectivity"): "context is the same in all these trials",
    ("one trial", "lesion_curve"): "the record has 1 trials; expected at least 4",
    ("one trial", "donors"): "trial 3 has no donor with another context; record more trials",
    ("one step of one trial", "donors"): "trial 3 has no donor with another context",
    ("one step of one trial", "decode"): "no time are there two classes",
    ("one step of one trial", "selectivity"): "context is the same in all these trials",
    ("one step of one trial", "accumulated_evidence"): "no period 'stimulus'; the trials have",
    ("one step of one trial", "first_order"): "lacks steps",
    ("one step of one trial", "pca of h"): "components is 3; expected 1 to 1",
    ("one step", "accumulated_evidence"): "no period 'stimulus'; the trials have fixation",
    ("two networks", "first_order"): "of several networks; pass those of one network",
}
for shape in ("twice the same trials", "two networks"):
    for name in (*PANELS, "draw_trial"):
        REFUSE_PARTS[shape, name] = r"2 trials have the number 23; renumber them: .*range\(48\)"
for name in ("plot_trajectory", "draw_trial"):
    REFUSE_PARTS["one step of one trial", name] = "components is 3; expected 1 to 1"
for (shape, name), words in list(REFUSE_PARTS.items()):
    for other in {
        "decode": ["decode_across_times"],
        "first_order": ["first_order_error"]
        + ["counterfactual", "effect_map", "lesion_curve"] * (shape != "two networks"),
    }.get(name, []):
        REFUSE_PARTS[shape, other] = words


def _without_dt(record):
    del record.attrs["dt"]
    return record


def cells(wrong):
    """Fail with all wrong cells of a row, in place of the first."""
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


def refused(function, words, *args):
    """What is wrong with a refusal; None for one sentence that matches."""
    try:
        function(*args)
    except ValueError as error:
        text = str(error)
        good = re.search(words, text) and "\n" not in text and text.endswith(".")
        return None if good and len(text) < 320 else f"{text!r} does not match {words!r}"
    except Exception as error:
        return repr(error)
    return "not refused"


def differs(function, found, expected, *args):
    """What is wrong with the result for what was found; None if it is the expected one."""
    try:
        same(function(found, *args), expected)
    except Exception as error:
        return repr(error)[:300]
    return None


def fails(function, *args):
    try:
        function(*args)
    except Exception as error:
        return repr(error)
    return None


def same(found, expected):
    if isinstance(found, xr.Dataset | xr.DataArray):
        xr.testing.assert_equal(found, expected)
    else:
        np.testing.assert_equal(found, expected)


def row(check):
    """The wrong cells of a row of the table, by the function's name."""
    found = {name: check(name, function) for name, function in FUNCTIONS.items()}
    cells({name: what for name, what in found.items() if what is not None})


@pytest.mark.parametrize("shape", SELECTIONS)
def test_a_selection_gives_the_numbers_of_its_trials(shape, record, evidence):
    select, trials = SELECTIONS[shape]
    selected, expected = select(record), record.isel(trial=trials)

    def check(name, function):
        if (name, len(expected.trial)) not in RESULTS:
            RESULTS[name, len(expected.trial)] = function(expected, evidence)
        return differs(function, selected, RESULTS[name, len(expected.trial)], evidence)

    row(check)


@pytest.mark.parametrize("shape", REFUSED)
def test_averages_and_stacks_are_refused_in_one_sentence(shape, record, evidence):
    change, words = REFUSED[shape]
    changed = change(record)
    row(lambda _, function: refused(function, words, changed, evidence))


@pytest.mark.parametrize("shape", PARTS)
def test_a_part_of_a_record_works_or_says_what_it_lacks(shape, record, evidence):
    part = PARTS[shape](record)

    def check(name, function):
        words = REFUSE_PARTS.get((shape, name))
        return (
            refused(function, words, part, evidence) if words else fails(function, part, evidence)
        )

    row(check)


def test_nan_is_refused_by_what_needs_the_variable_and_drawn_as_gaps(record, evidence):
    M = record["M"].where(~((record["trial"] == 23) & (record["time"] == 700)))
    words = r"M is nan or infinite at 1 of \d+ steps \(first in trial 23 at 700 ms\): the network"
    needed = {"pca of M", "participation_ratio", "selectivity", "TrialExplorer"}

    def check(name, function):
        if name in needed:
            return refused(function, words, record.assign(M=M), evidence)
        return fails(function, record.assign(M=M), evidence)

    row(check)
    diverged = record.assign({name: record[name] * np.nan for name in ("M", "Q", "h")})
    for name in ("plot_q", "plot_hidden", "plot_modulations"):
        assert fails(FUNCTIONS[name], diverged, evidence) is None
    assert (
        refused(FUNCTIONS["TrialExplorer"], "M is nan or infinite at", diverged, evidence) is None
    )


def test_evidence_goes_with_its_trials(record):
    evidence = analysis.signed_coherence(record)
    half = record.isel(trial=slice(12, None))
    same(analysis.psychometric(half, evidence), analysis.psychometric(half, evidence[12:]))
    other = half.assign_coords(trial=np.arange(12) + 100)
    words = "evidence has dimensions .*; expected one per trial of the record, which has 12"
    assert refused(analysis.psychometric, words, other, evidence) is None
    unlabelled = evidence.drop_vars("trial")
    assert refused(analysis.psychometric, words, half, unlabelled) is None


def test_changes_of_M_are_unknown_where_a_step_is_missing(record):
    change = analysis.modulation_change(record)
    part = analysis.modulation_change(record.isel(time=[2, 3, 6]))
    assert np.isnan(part.isel(time=[0, 2])).all()
    same(part.isel(time=1).values, change.isel(time=3).values)


def test_trials_joined_from_two_records_are_renumbered_in_an_explorer(record):
    explorer = mpn_lab.TrialExplorer(concat([record, record], "trial"))
    assert explorer._header["numbers"] == list(range(48))
    explorer.go_to(trial=47)
    assert explorer._header["titles"][explorer.trial].split("   ")[1] == "trial 47"
    explorer.close()


def test_the_explorer_shows_the_times_that_were_selected(record):
    explorer = mpn_lab.TrialExplorer(record.sel(time=slice(300, 900)))
    assert explorer.time == 300
    explorer.time = 550
    assert explorer.time == 500  # the step that it falls in
    explorer.close()
    with pytest.raises(ValueError, match=r"not evenly spaced \(100 ms is followed by 500\)"):
        mpn_lab.TrialExplorer(record.isel(time=[0, 1, 5]))


STALE = {
    "by_position": lambda d: analysis.by_position(d),
    "plot_staleness_q": lambda d: pixels(
        lambda ax: plotting.plot_staleness_q(ax, d, *last_trial(d))
    ),
    "plot_staleness_map": lambda d: pixels(
        lambda ax: plotting.plot_staleness_map(ax, d, *last_trial(d))
    ),
    "plot_staleness_over_trial": lambda d: pixels(
        lambda ax: plotting.plot_staleness_over_trial(ax, d, *last_trial(d))
    ),
    "plot_staleness_modulations": lambda d: pixels(
        lambda ax: plotting.plot_staleness_modulations(ax, d, *last_trial(d))
    ),
    "StalenessExplorer": lambda d: explore(mpn_lab.StalenessExplorer(d)),
}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (lambda d: d.where(d["trial"] > 1, drop=True), lambda d: d.isel(trial=[2, 3])),
        (lambda d: d.where(d["trial"] > 1), lambda d: d.isel(trial=[2, 3])),
        (lambda d: d.where(d["age"] > 0, drop=True), lambda d: d.isel(age=[1, 2])),
        (lambda d: d.where(d["strategy"] == "zero", drop=True), lambda d: d.isel(strategy=[0])),
        (
            lambda d: concat([d.isel(trial=[k]) for k in range(2)], "trial"),
            lambda d: d.isel(trial=[0, 1]),
        ),
        (lambda d: concat([d.isel(age=[0]), d.isel(age=[2])], "age"), lambda d: d.isel(age=[0, 2])),
        (lambda d: concat([d, d], "run").isel(run=1), lambda d: d),
    ],
)  # fmt: skip
def test_selections_of_stale_states_give_the_numbers_of_what_is_left(select, expected, stale):
    wrong = {name: differs(f, select(stale), f(expected(stale))) for name, f in STALE.items()}
    cells({name: what for name, what in wrong.items() if what is not None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.isel(age=1), r"single age \(8\) without the dimension age.*sel\(age=\[8\]\)"),
        (
            lambda d: d.sel(strategy="zero"),
            r"keep the dimension: record.sel\(strategy=\['zero'\]\)",
        ),
        (lambda d: d.mean("trial", keep_attrs=True), "no dimension trial, as after an average"),
        (lambda d: concat([d, d], "run"), r"the dimension run \(of 2\) besides its own"),
        (lambda d: d.isel(trial=[]), "no trials left; remove some filters"),
        (lambda d: d.drop_attrs(), "no attribute 'mpn_lab_staleness'; make one with"),
    ],
)
def test_averages_of_stale_states_are_refused_in_one_sentence(change, words, stale):
    wrong = {name: refused(f, words, change(stale)) for name, f in STALE.items()}
    cells({name: what for name, what in wrong.items() if what is not None})


def test_panels_of_results_refuse_what_is_not_their_result(record):
    decoded = analysis.decode(record, "context")
    across = analysis.decode_across_times(record, "context", every=9)
    for plot, result, words in (
        (plotting.plot_psychometric, record, "evidence is missing; expected the result of psych"),
        (plotting.plot_performance, record, "share is missing; expected .* of performance_by for"),
        (plotting.plot_decoding, record, "accuracy is missing; expected the result of decode for"),
        (
            plotting.plot_decoding,
            concat([decoded, decoded], "run"),
            "accuracy has the dimensions run, time; expected the result of decode for one record",
        ),
        (
            plotting.plot_cross_decoding,
            across.isel(train_time=0),
            r"accuracy has the dimensions time; expected .* decode_across_times",
        ),
    ):
        assert refused(plot, words, plotting.new_figure(3, 2).subplots(), result) is None


def test_a_carried_state_keeps_its_start(record):
    network = mpn_lab.QNetwork(3, 3, hidden_size=4, embedding_size=3)
    carried = mpn_lab.record(network, "DelayMatchSample-v0", trials=6, reset_state="never")
    change = analysis.modulation_change(carried)
    same(analysis.modulation_change(carried.where(carried["time"] < 900, drop=True)), change[:, :9])
    some = carried.where(carried["valid"] & (carried["trial"] > 2), drop=True)
    same(analysis.modulation_change(some), change[3:])
