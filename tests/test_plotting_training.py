"""Panels of a training show the columns that its metrics have, under the right names."""

import numpy as np
import pandas as pd
import pytest

from mpn_lab import plotting

COMMON = {
    "trials": [10, 20, 30],
    "env_steps": [100, 200, 300],
    "updates": [1, 2, 3],
    "learning_rate": [1e-3] * 3,
    "loss": [0.4, 0.2, 0.1],
    "train_return": [0.1, 0.2, 0.3],
    "accuracy": [0.5, 0.6, 0.7],
    "ideal_accuracy": [0.9] * 3,
    "mean_return": [0.2, 0.3, 0.4],
}
DQN = COMMON | {"epsilon": [0.9, 0.5, 0.1]}
SUPERVISED = COMMON | {"step_accuracy": [0.7, 0.8, 0.9], "validation_loss": [0.5, 0.4, 0.3]}
MPN = {"eta": [1.0, 0.9, 0.8], "lam": [0.95, 0.96, 0.97]}
OTHER = {"u_norm": [3.0, 4.0, 5.0], "rate": [0.1, 0.1, 0.2]}


@pytest.fixture
def ax():
    return plotting.new_figure(4, 3).subplots()


def title(ax):
    return ax.get_title(loc="left") or ax.get_title()  # the style decides where it is


def titles(metrics):
    figure, lines = plotting.draw_training(metrics)
    figure.canvas.draw()
    for line, name in lines:
        np.testing.assert_array_equal(line.get_ydata(), metrics[name])
    return [title(ax) for ax in figure.axes], [name for _, name in lines]


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def test_the_loss_has_the_name_of_its_loop(ax):
    plotting.plot_loss(ax, DQN | MPN)
    assert title(ax) == "TD loss"
    plotting.plot_loss(ax, SUPERVISED)
    assert title(ax) == "cross-entropy (nats per step)"


@pytest.mark.parametrize("table", [dict, pd.DataFrame])
def test_panels_without_columns_are_left_out(table):
    first = ["accuracy", "trial return"]
    exploration = r"exploration $\epsilon$"
    for metrics, expected in (
        (DQN | MPN, ["TD loss", "plasticity", exploration]),
        (DQN, ["TD loss", exploration]),
        (DQN | OTHER, ["TD loss", "core metrics", exploration]),
        (SUPERVISED | MPN, ["cross-entropy (nats per step)", "plasticity"]),
        (SUPERVISED, ["cross-entropy (nats per step)"]),
    ):
        assert titles(table(metrics))[0] == first + expected


def test_columns_without_a_number_are_left_out():
    unknown = [np.nan] * 3
    shown, names = titles(DQN | {"accuracy": unknown, "ideal_accuracy": unknown})
    assert "accuracy" not in shown
    assert "ideal_accuracy" not in names
    shown, names = titles(SUPERVISED | {"train_return": unknown, "mean_return": unknown})
    assert "trial return" not in shown
    assert "train_return" not in names


def test_metrics_of_any_core_are_drawn_under_their_names(ax):
    lines = plotting.plot_plasticity(ax, DQN | OTHER)
    assert [name for _, name in lines] == labels(ax) == ["u_norm", "rate"]
    low, high = ax.get_ylim()
    assert low < 0.1
    assert high > 5


def test_absent_columns_draw_nothing(ax):
    assert plotting.plot_epsilon(ax, SUPERVISED) == []
    assert plotting.plot_plasticity(ax, SUPERVISED) == []
    assert not ax.lines


def test_the_trials_trained_on_are_named_after_who_acts(ax):
    plotting.plot_return(ax, DQN)
    assert labels(ax) == ["exploring", "greedy"]
    ax.clear()
    plotting.plot_return(ax, SUPERVISED)
    assert labels(ax) == ["expert", "greedy"]
