"""The style sheet applies within its context and leaves everything else alone."""

import matplotlib as mpl
import pytest

from mpn_lab.plotting import style


def test_style_applies_within_and_is_gone_afterwards():
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["svg.fonttype"] == "none"
        mpl.rcParams["interactive"] = True  # as a notebook's backend does at its first figure
    changed = {name for name in before if mpl.rcParams[name] != before[name]}
    mpl.rcParams["interactive"] = before["interactive"]
    assert changed == {"interactive"}


def test_style_is_gone_after_an_error():
    size = mpl.rcParams["font.size"]
    with pytest.raises(ZeroDivisionError), style():  # noqa: PT012
        assert mpl.rcParams["font.size"] == 9
        1 / 0  # noqa: B018
    assert mpl.rcParams["font.size"] == size
