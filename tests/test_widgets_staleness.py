"""The explorer of stored and replayed states acts on its controls, and shows what goes wrong."""

import base64
import gc
import io
import json
import re
import runpy
import weakref
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from PIL import Image

from mpn_lab.plotting.style import style
from mpn_lab.widgets.explorer import Picture, png
from mpn_lab.widgets.staleness import StalenessExplorer

make_staleness = runpy.run_path(str(Path(__file__).with_name("staleness_data.py")))[
    "make_staleness"
]


@pytest.fixture(scope="module")
def data():
    return make_staleness()


@pytest.fixture
def explorer(data):
    return StalenessExplorer(data)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_the_explorer_opens_where_dQ_is_largest(explorer, data):
    assert (explorer.age.value, explorer.strategy.value) == (256, "stored")
    distance = data["dQ"].sel(age=256, strategy="stored", trial=0).values
    assert explorer.time.value == np.nanargmax(distance) * 100
    assert explorer.message.value == ""


@pytest.mark.parametrize(
    ("name", "there", "back"), [("age", 4, 256), ("strategy", "zero", "stored")]
)
def test_a_control_changes_the_picture_and_restores_it(explorer, name, there, back):
    first, control = explorer.image.value, getattr(explorer, name)
    control.value = there
    assert explorer.image.value != first
    control.value = back
    assert explorer.image.value == first


def test_the_time_slider_changes_the_picture_and_restores_it(explorer):
    first, time = explorer.image.value, explorer.time.value
    explorer.time.value = 300
    assert explorer.image.value != first
    explorer.time.value = time
    assert explorer.image.value == first


def test_every_control_changes_the_picture(explorer):
    seen = {explorer.image.value}
    for control, value in (
        (explorer.time, 300),
        (explorer.age, 16),
        (explorer.trial, 4),
        (explorer.strategy, "zero, burn-in 4"),
        (explorer.measure, "absolute"),
        (explorer.measure, "relative, from the start"),
        (explorer.order, "unsorted"),
    ):
        control.value = value
        assert explorer.message.value == ""
        assert explorer.image.value not in seen
        seen.add(explorer.image.value)


def test_a_change_of_age_equals_a_figure_drawn_for_it(explorer, data):
    explorer.go_to(time=700)
    drawn = weakref.ref(explorer._picture.figure.axes[0])
    explorer.age.value = 4
    assert explorer._picture.figure.axes[0] is drawn()  # the figure was not redrawn
    other = StalenessExplorer(data).go_to(time=700, strategy="zero").go_to(age=4)
    other.strategy.value = "stored"
    np.testing.assert_array_equal(pixels(other.image.value), pixels(explorer.image.value))


def test_a_frame_equals_the_figure_drawn_whole(explorer):
    explorer.go_to(time=700, age=16)
    picture = explorer._picture
    frame = pixels(explorer.image.value)
    for artist in (*picture.panel.artists, *picture.panel.background.artists):
        artist.set_animated(False)
    with style():
        picture.canvas.draw()
    different = (np.abs(pixels(png(picture.image())) - frame) > 8).any(2).mean()
    assert different < 0.006  # lines lie above the axes' edges in a frame


def test_an_error_in_a_callback_is_shown_and_then_cleared(explorer, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Picture, "redraw_background", lambda self, position: 1 / 0)
        explorer.age.value = 4
    assert "ZeroDivisionError: division by zero" in explorer.message.value
    assert 'role="alert"' in explorer.message.value
    explorer.time.value = 300
    assert explorer.message.value == ""
    assert "age: 4 updates" in explorer._picture.panel.background.artists[-1].get_text()


def test_many_frames_leave_no_figure_and_no_memory(explorer, data):
    ages = data.age.values.tolist()

    def move(k):
        explorer.time.value = (k % 10) * 100
        explorer.age.value = ages[k % len(ages)]

    for k in range(30):
        move(k)
    gc.collect()
    before = len(gc.get_objects())
    for k in range(40):
        move(k)
    gc.collect()
    assert len(gc.get_objects()) - before < 200
    assert pyplot.get_fignums() == []
    figure = weakref.ref(explorer._picture.figure)
    explorer.strategy.value = "zero"
    assert explorer._picture.figure is figure()  # one figure, with new content


def test_save_writes_editable_text(explorer, tmp_path):
    shown = explorer.image.value
    path = explorer.save(tmp_path / "a.svg", trial=3, time=400, age=16, strategy="zero")
    text = path.read_text()
    assert re.search(r"<text[^>]*>[^<]*400 ms", text)
    assert re.search(r"<text[^>]*>age: 16 updates since collection +replayed from: zero", text)
    pdf = explorer.save(tmp_path / "frame.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert explorer.save(tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    assert explorer.image.value == shown


def test_the_save_button_names_the_file(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer.go_to(time=300, age=4, strategy="zero, burn-in 4")
    explorer.svg.click()
    (path,) = tmp_path.iterdir()
    assert path.name == "DelayMatchSample-v0_trial0_300ms_age4_zero-burn-in-4.svg"
    assert path.name in explorer.message.value


def test_the_page_holds_every_frame_of_the_age_that_is_asked_for(explorer, data, tmp_path):
    page = explorer.to_html(tmp_path / "a.html", trial=2, age=16, strategy="zero").read_text()
    frames = json.loads(re.search(r"const frames = (\[.*?\]), labels", page).group(1))
    n = int(data["length"][2])
    assert len(frames) == len({*frames}) == n
    assert "http://" not in page
    assert "https://" not in page
    explorer.go_to(trial=2, time=500, age=16, strategy="zero")
    shown, exported = pixels(explorer.image.value), pixels(base64.b64decode(frames[5]))
    assert np.abs(shown - exported).mean() < 1


def test_without_widgets_the_picture_is_shown(explorer):
    bundle = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == explorer.image.value
    assert bundle["text/plain"] == (
        "StalenessExplorer(6 trials of DelayMatchSample-v0, MPN, 0 to 256 updates old)"
    )


def test_networks_without_M_can_be_explored(tmp_path):
    explorer = StalenessExplorer(make_staleness(trials=2, ages=(0, 4), core="gru"))
    assert explorer.order.disabled
    first = explorer.image.value
    explorer.age.value = 0
    assert explorer.image.value != first
    assert explorer.message.value == ""
    svg = explorer.save(tmp_path / "frame.svg").read_text()
    assert "There is no M: the core is GRU." in svg


def test_one_age_or_trial_has_a_menu_in_place_of_a_slider(data):
    explorer = StalenessExplorer(data.isel(age=[1], trial=[2]))
    assert isinstance(explorer.age, ipywidgets.Dropdown)
    assert isinstance(explorer.trial, ipywidgets.Dropdown)
    explorer.time.value = 200
    assert explorer.message.value == ""


def test_bad_requests_get_one_sentence(explorer, data):
    shown = explorer.image.value
    for ask, words in (
        (lambda: StalenessExplorer(xr.Dataset()), "holds no stored and replayed states"),
        (lambda: StalenessExplorer(data.isel(trial=[])), "has no trials left"),
        (lambda: StalenessExplorer(data.isel(age=[])), "has no ages left"),
        (lambda: StalenessExplorer(data.drop_vars("dQ")), "there is no dQ among"),
        (lambda: explorer.go_to(trial=77), "there is no trial 77"),
        (lambda: explorer.go_to(age=5), "there is no age of 5 updates"),
        (lambda: explorer.go_to(strategy="all"), "there is no strategy 'all'"),
        (lambda: explorer.go_to(time=1e6), "lies outside trial 0, which lasts"),
        (lambda: explorer.save("x.svg", age=5), "there is no age of 5 updates"),
        (lambda: explorer.save("x.xyz"), "expected a file ending in"),
        (lambda: explorer.to_html("x.html", trial=-3), "there is no trial -3"),
        (lambda: explorer.to_html("x.html", strategy="all"), "there is no strategy 'all'"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()
    assert explorer.image.value == shown
