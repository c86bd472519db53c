"""The front end's modules as one, what is sent of a record, and the functions of the modules."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import edits
from mpn_lab.analysis.restore import as_record
from mpn_lab.plotting.style import largest
from mpn_lab.widgets import modules
from mpn_lab.widgets.averages import averaged
from mpn_lab.widgets.payload import conditions, detail, half, overview, pack

TASK = "DelayMatchSample-v0"


def make_record(**options):
    network = mpn_lab.QNetwork(
        3, 3, hidden_size=7, generator=torch.Generator().manual_seed(1), **options
    )
    return network, mpn_lab.record(network, TASK, trials=12, epsilon=0.3)


@pytest.fixture(scope="module")
def record():
    return make_record()[1]


def test_modules_become_one_in_the_order_of_their_imports():
    code = modules.bundle("page.js", "trial.js")
    assert code == modules.bundle.__wrapped__("page.js", "trial.js")
    assert "import " not in code.replace("import {", "") or "\nimport" not in code
    assert code.count("export ") == code.count("export default") == 1
    order = [line[3:] for line in code.splitlines() if line.startswith("// ") and ".js" in line]
    assert order.index("axes.js") < order.index("app.js") < order.index("trial.js")
    assert len(order) == len(set(order))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.js": 'import * as b from "./b.js";\n'}, "a.js imports in another form"),
        (
            {"a.js": 'import { b } from "./b.js";\n', "b.js": "const c = 1;\n"},
            "b.js does not export b, which a.js imports",
        ),
        (
            {"a.js": 'import { b } from "./b.js";\nconst c = 2;\n',
             "b.js": "export const b = 1;\nfunction c() {}\n"},
            "a.js and b.js both have the name c",
        ),
        (
            {"a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
             "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n'},
            "a.js imports itself, by a.js -> b.js -> a.js",
        ),
    ],
)  # fmt: skip
def test_modules_that_break_the_rules_are_refused(files, words, monkeypatch):
    monkeypatch.setattr(modules, "source", files.__getitem__)
    with pytest.raises(ValueError, match=words):
        modules.bundle.__wrapped__("a.js")


def test_arrays_are_sent_as_their_bytes():
    arrays = {"a": np.arange(6, dtype=np.int16).reshape(2, 3).T, "b": np.zeros((0, 2), np.float32)}
    packed = pack({"a": 1}, arrays)
    header, buffers = packed["arrays"], packed["buffers"]
    assert packed["header"] == {"a": 1}
    for name, array in arrays.items():
        layout = header[name]
        found = np.frombuffer(buffers[layout["at"]], layout["dtype"]).reshape(layout["shape"])
        np.testing.assert_array_equal(found, array)
    assert half(np.array([1e5])).dtype == np.float32
    assert half(np.array([1e4, np.nan])).dtype == np.float16
    assert half(np.array([3e-8, np.nan])).dtype == np.float32
    assert half(np.array([0.0, np.nan])).dtype == np.float16


def added_up(arrays, of_all):
    """M from its factors, as the browser adds it up, step by step."""
    state, found = of_all.get("M0", 0) * np.ones_like(of_all["eta"]), []
    for h, x in zip(arrays["h"].astype(float), arrays["x"].astype(float), strict=True):
        state = of_all["lam"] * state + of_all["eta"] * h[:, None] * x
        found.append(state)
    return np.stack(found)


@pytest.mark.parametrize(
    "options", [{}, {"modulation": "additive", "eta_init": "uniform"}, {"activation": "relu"}]
)
def test_the_factors_give_M(options):
    _, record = make_record(**options)
    _, of_all = overview(record)
    for i in range(3):
        _, arrays = detail(record, i)
        assert "M" not in arrays
        T = len(arrays["x"])
        M = record["M"].values[i, :T]
        np.testing.assert_allclose(added_up(arrays, of_all), M, atol=0.004 * np.abs(M).max())


def test_M_is_sent_whole_where_the_factors_do_not_give_it(record):
    network, collected = make_record()
    edited = mpn_lab.counterfactual(network, collected, edits.zero("M", at=500))
    presynaptic = make_record(update="presynaptic")[1]
    for whole in (edited, record.isel(time=slice(3, 9)), presynaptic):
        _, arrays = detail(whole, 2)
        assert "x" not in arrays
        T = len(arrays["M"])
        expected = whole["M"].values[2, :T]
        np.testing.assert_allclose(arrays["M"], expected, atol=1e-3 * np.abs(expected).max())


def test_M_is_sent_whole_where_it_is_nan_or_too_large(record):
    for value in (np.nan, np.inf):
        M = record["M"].values.copy()
        M[2, 4, 0, 0] = value
        _, arrays = detail(record.assign(M=(record["M"].dims, M)), 2)
        assert "x" not in arrays
        np.testing.assert_allclose(arrays["M"], M[2, : len(arrays["M"])], rtol=1e-3)
    large = record.assign(h=record["h"] * 3e4)  # h x^T is above the largest half
    large = large.assign(M=large["M"] * 3e4)
    assert "x" in detail(large, 2)[1]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([12345, 12346], ["12345", "12346"]),
        ([0, np.pi], ["0", "3.142"]),
        ([0.123441, 0.123442, 5], ["0.123441", "0.123442", "5"]),
        ([1.5e-7, 2e16, -123456.0], ["-123456", "1.5e-07", "2e+16"]),
        ([2**60, 2**60 + 1], ["1152921504606846976", "1152921504606846977"]),
        ([-np.inf, 0.25], ["-inf", "0.25"]),
    ],
)
def test_numbers_are_told_apart_in_few_digits(record, values, labels):
    condition = np.resize(np.array(values), 12)
    found = conditions(record.assign_coords(strength=("trial", condition)))
    assert found["strength"]["labels"] == labels
    assert [float(labels[code]) for code in found["strength"]["code"][:2]] == pytest.approx(
        condition[:2], rel=1e-3
    )


def test_conditions_say_the_class_of_each_trial(record, monkeypatch):
    missing = np.where(np.arange(12) == 4, np.nan, np.arange(12) % 3)
    record = record.assign_coords(
        three=("trial", missing),
        word=("trial", np.array(["", "a"] + ["b"] * 10)),
        number=("trial", np.where(np.arange(12) == 1, np.nan, np.linspace(0, 1, 12))),
    )
    monkeypatch.setattr("mpn_lab.widgets.payload.FEW", 5)
    found = conditions(record)
    assert found["three"]["labels"] == ["0", "1", "2"]
    assert found["three"]["code"][3:6] == [0, -1, 2]
    assert found["word"] == {"labels": ["a", "b"], "code": [-1, 0] + [1] * 10}
    assert found["response"]["labels"] == ["fixation", "match", "non-match"]
    assert found["response"]["code"] == record["response"].values.tolist()
    names = ["correct", "wrong"]
    assert [names[c] for c in found["outcome"]["code"]] == [
        "correct" if c else "wrong" for c in record["correct"].values
    ]
    assert found["number"] == {"values": [0.0, None, *np.linspace(0, 1, 12)[2:].tolist()]}


def shifted(record, name, positions, starts, before, T):
    """A variable of some trials, nan where a trial has no step, each at the period's start."""
    values = np.full((len(positions), T, *record[name].shape[2:]), np.nan)
    for row, i in zip(values, positions, strict=True):
        steps = np.flatnonzero(record["valid"].values[i])
        row[steps + before - starts[i]] = record[name].values[i, steps]
    return values


def test_averages_count_the_trials_that_have_the_step(record):
    lengths = record["length"].values
    assert len(set(lengths)) > 1
    header, arrays = averaged(record, range(12))
    assert arrays["count"].tolist() == [(lengths > t).sum() for t in range(max(lengths))]
    for name in ("h", "Q", "M", "obs"):
        mean, sd = (getattr(record[name], f)("trial", skipna=True).values for f in ("mean", "std"))
        close = 2e-3 * np.nanmax(np.abs(mean))
        np.testing.assert_allclose(arrays[name], mean, atol=close)
        np.testing.assert_allclose(arrays[f"{name}_sd"], sd, atol=close)
    assert (header["averaged"], header["first"]) == (12, 0)
    longest = int(lengths.argmax())
    assert header["periods"] == detail(record, longest)[0]["periods"]
    assert averaged(record, [3])[1]["M_sd"].max() == 0


def test_averages_know_M_before_their_first_step():
    network, _ = make_record()
    carried = mpn_lab.record(network, TASK, trials=6, reset_state="never")
    _, arrays = averaged(carried, [1, 3, 5])
    starts = carried["M_start"].values
    assert np.abs(starts[1]).max() > 0
    np.testing.assert_allclose(arrays["M_start"], starts[[1, 3, 5]].mean(0), rtol=1e-3)
    _, arrays = averaged(carried, [1, 3, 5], [9, 4, 9, 7, 9, 9], "test")
    assert arrays["count"][:3].tolist() == [1, 1, 2]  # trial 3 begins 2 steps later
    np.testing.assert_allclose(arrays["M_start"], starts[5], rtol=1e-3)
    assert "M_start" not in averaged(make_record()[1], [1, 3])[1]


def test_averages_count_from_a_periods_start(record):
    moved = record["period"].values.copy()
    for i, earlier in ((2, 3), (5, 1), (7, 40)):  # trial 7 has no test
        moved[i, : -earlier or None] = record["period"].values[i, earlier:]
        moved[i, -earlier:] = ""
    moved[7][moved[7] == "test"] = "delay"
    record = record.assign_coords(period=(("trial", "time"), moved))
    starts = overview(record)[0]["starts"]["test"]
    inside = moved == "test"
    assert starts == [int(row.argmax()) if row.any() else -1 for row in inside]
    assert starts[7] == -1
    some = [1, 2, 5, 7, 9]
    header, arrays = averaged(record, some, starts, "test")
    kept, T, before = [1, 2, 5, 9], len(arrays["count"]), max(starts[1], starts[9])
    assert (header["averaged"], header["first"]) == (4, -before)
    for name in ("h", "Q", "M", "obs", "reward"):
        values = shifted(record, name, kept, starts, before, T)
        close = 2e-3 * np.nanmax(np.abs(values))
        np.testing.assert_allclose(arrays[name], np.nanmean(values, 0), atol=close)
        if name != "reward":
            np.testing.assert_allclose(arrays[f"{name}_sd"], np.nanstd(values, 0), atol=close)
    np.testing.assert_array_equal(arrays["count"], (~np.isnan(values)).sum(0))
    spans = {name: (first, last) for name, first, last in header["periods"]}
    assert spans["test"][0] == before
    with pytest.raises(ValueError, match="none of the trials to average has the period 'test'"):
        averaged(record, [7], starts, "test")
    with pytest.raises(ValueError, match="no trial is left to average"):
        averaged(record, [])


def run_in_node(folder, code, given):
    """What a script beside all.mjs writes into out.json."""
    (folder / "run.mjs").write_text(code)
    (folder / "in.json").write_text(json.dumps(given))
    done = subprocess.run(["node", "run.mjs"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text())


def test_averages_of_selected_steps_are_unknown_elsewhere(record):
    part = as_record(record.where(record["period"].isin(["sample", "test"])))
    _, arrays = averaged(part, range(12))
    gap = arrays["count"] == 0  # the delay
    assert gap.any()
    assert not gap[-1]
    for name in ("h", "M", "Q_sd"):
        assert np.isnan(arrays[name][gap]).all()
        assert np.isfinite(arrays[name][~gap]).all()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_a_page_averages_as_the_kernel_does(tmp_path):
    network, collected = make_record()
    period = collected["period"].values.copy()
    period[4][period[4] == "test"] = "delay"
    period[6, 2:] = period[6, :-2]  # two steps later
    collected = collected.assign_coords(period=(("trial", "time"), period))
    explorer = mpn_lab.TrialExplorer(collected, network=network)
    explorer.edits = [edits.scale("M", 0.5, at=500)]  # M is sent whole
    numbers = [1, 2, 4, 6, 9]
    page = explorer.to_html(tmp_path / "page.html", trials=numbers).read_text()
    parts, values = (
        re.search(rf'id="{name}">(.*?)</script>', page, re.S).group(1)
        for name in ("parts", "values")
    )
    questions = [
        {"ask": "mean", "record": record, "trials": trials, "align": align}
        for record, trials, align in (
            ("recorded", numbers, ""), ("recorded", [6, 2, 4], "test"), ("what if 1", numbers, ""),
            ("what if 1", numbers, "test"), ("recorded", [4], "test"), ("recorded", [], ""),
        )
    ]  # fmt: skip
    given = {"parts": json.loads(parts), "values": json.loads(values), "questions": questions}
    code = modules.bundle("page.js", "trial.js").replace("export default", "const unused =")
    (tmp_path / "all.mjs").write_text(code + "\nexport { PageModel, unpack };\n")
    answers = run_in_node(tmp_path, PAGE, given)
    assert [answer.get("error") for answer in answers[4:]] == [
        "None of the trials to average has the period 'test'; align to another, or remove some "
        "filters.",
        "No trial is left to average; remove some filters.",
    ]
    for asked, found in zip(questions[:4], answers, strict=False):
        header, arrays = explorer._answer(asked)
        assert found["header"] == json.loads(json.dumps(header))
        assert found["arrays"].keys() == arrays.keys()
        for name, array in arrays.items():
            ours = np.array(
                [np.nan if v is None else v for v in found["arrays"][name]["data"]], float
            ).reshape(found["arrays"][name]["shape"])
            close = 0.004 * largest(array.astype(float))
            np.testing.assert_allclose(ours, array.astype(float), atol=close, err_msg=name)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_functions_of_the_modules(record, tmp_path):
    arrays = detail(record, 5)[1]
    of_all = overview(record)[1]
    tasks = {
        name: [pack({}, part)["arrays"], [bytes(b).hex() for b in pack({}, part)["buffers"]]]
        for name, part in (("detail", arrays), ("overview", of_all))
    }
    exports = "halfValues, unpack, modulations, matrixAt, linear, ticks, words, limitsOf, isFree, "
    code = modules.bundle("trial.js").replace("export default", "const unused =")
    code += f"\nexport {{ {exports} nearestPoint, unitTicks, Cache, mix, themeColors }};\n"
    (tmp_path / "all.mjs").write_text(code)
    halves = np.arange(0, 65536, 7).astype(np.uint16)
    found = run_in_node(tmp_path, JAVASCRIPT, tasks | {"bits": halves.tolist()})
    values = halves.view(np.float16).astype(float)
    np.testing.assert_array_equal(
        np.array([np.nan if v is None else v for v in found["halves"]], float)[np.isfinite(values)],
        values[np.isfinite(values)],
    )
    M = record["M"].values[5, : len(arrays["x"])]
    W, scale = record["W"].values, 0.004 * np.abs(M).max()
    np.testing.assert_allclose(np.reshape(found["M"], M.shape), M, atol=scale)
    weights, change = (np.reshape(found[k], W.shape) for k in ("weights", "change"))
    np.testing.assert_allclose(weights, W * (1 + M[4]), atol=scale * np.abs(W).max())
    np.testing.assert_allclose(change, M[4] - M[3], atol=2 * scale)
    first = np.reshape(found["first"], W.shape)
    np.testing.assert_allclose(first, M[0], atol=scale)
    assert found["ticks"] == [[0, 500, 1000, 1500, 2000], [-0.2, 0, 0.2, 0.4], [3]]
    assert found["words"] == ["0.123", "-5", "1.2e-7", "nan", "1400", "1.23e5"]
    assert found["limits"] == [[-1, 1], [-0.5, 5.5]]
    assert found["free"] == [True, False, False, False]
    assert found["nearest"] == [[1, 2], None]
    assert found["units"] == [[0.5, "4"], [2.5, "0"], [4.5, "1"]]
    assert found["kept"] == ["b", "c"]
    assert found["scale"] == [30, 2]
    assert found["middle"] == ["#ffffff", "#15181d"]


JAVASCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import * as all from "./all.mjs";
const given = JSON.parse(readFileSync("in.json"));
const read = ([header, texts]) => all.unpack(header, texts.map((text) => {
  const bytes = Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return new DataView(bytes.buffer);
}));
const detail = read(given.detail), overview = read(given.overview), halves = all.halfValues();
const out = new Float32Array(overview.W.data.length);
const at = (show, step) => [...all.matrixAt(show, step, detail, overview, true, out)];
const cache = new all.Cache(100), entry = (bytes) => ({ a: { data: new Uint8Array(bytes) } });
for (const key of "abc") cache.set(key, entry(45));
const paths = [{ xs: [0, 9], ys: [0, 9] }, { xs: [5, 6, 7], ys: [1, 1, 1] }];
const scale = all.linear([0, 10], [0, 60]);
const color = (name) => {
  const pixel = all.themeColors(name).table[128];
  return "#" + [0, 8, 16].map((s) => ((pixel >> s) & 255).toString(16).padStart(2, "0")).join("");
};
writeFileSync("out.json", JSON.stringify({
  halves: given.bits.map((bits) => halves[bits]),
  M: [...all.modulations(detail, overview).data],
  weights: at("effective weights", 4), change: at("change of M", 4), first: at("change of M", 0),
  ticks: [all.ticks(-50, 2350, 5), all.ticks(-0.3, 0.5, 4), all.ticks(3, 3, 5)],
  words: [0.12345, -5, 1.2e-7, NaN, 1400, 123456.7].map((value) => all.words(value)
    .replace("\\u2212", "-").replace("\\u2013", "nan")),
  limits: [all.limitsOf([NaN]), all.limitsOf([0, 5, NaN], 0.1)],
  free: [all.isFree(1, 2, [0, 0, 1], [0, 0, 1]), all.isFree(1, 2, [0, 0, 1], [0, -1, 1]),
    all.isFree(2, 2, [0, 0, 1], [0, 0, 0]), all.isFree(1, 0, [0, 0, 1], [0, 0, 1])],
  nearest: [[7.4, 1.2], [50, 9]].map(([px, py]) => all.nearestPoint(paths, { px, py }, 5)),
  units: all.unitTicks([4, 3, 0, 2, 1], [5, 0], 60),
  kept: [...cache.entries.keys()], scale: [scale(5), scale.invert(12)],
  middle: [color("light"), color("dark")],
}));
"""

PAGE = """
import { readFileSync, writeFileSync } from "node:fs";
import { PageModel, unpack } from "./all.mjs";
const { values, parts, questions } = JSON.parse(readFileSync("in.json"));
const model = new PageModel(values, parts), answers = [];
model.on("msg:custom", ({ key, header, arrays, error }, buffers) => {
  const found = arrays ? unpack(arrays, buffers) : {};
  for (const array of Object.values(found)) array.data = [...array.data];
  answers[key] = { header, error, arrays: found };
});
questions.forEach((question, key) => model.send({ ...question, key }));
queueMicrotask(() => writeFileSync("out.json", JSON.stringify(answers)));
"""
