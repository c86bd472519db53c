"""Distances of dynamics against systems whose operators are known."""

import numpy as np
import pytest
import xarray as xr

from mpn_lab.analysis import dynamical_distance

TRIALS, T = 120, 30


def recorded(A, observe, seed=0, noise=0.0):
    """A record in which h = observe y, y_{t+1} = A y_t + noise, from random starts."""
    rng = np.random.default_rng(seed)
    y = [rng.normal(size=(TRIALS, len(A)))]
    for _ in range(T - 1):
        y.append(y[-1] @ A.T + noise * rng.normal(size=(TRIALS, len(A))))
    steps = ("trial", "time")
    return xr.Dataset(
        {
            "h": ((*steps, "hidden"), np.stack(y, 1) @ observe),
            "valid": (steps, np.ones((TRIALS, T), bool)),
        },
        coords={
            "trial": np.arange(TRIALS),
            "time": 100.0 * np.arange(T),
            "period": (steps, np.full((TRIALS, T), "delay")),
        },
        attrs={"mpn_lab_record": 1, "dt": 100.0, "core": "none", "task": "none"},
    )


def system(decays, frequencies=()):
    """Real modes of these factors per step, and rotations by these angles that decay by 0.95."""
    A = np.diag([*decays, *[0.0] * (2 * len(frequencies))])
    for k, angle in enumerate(frequencies):
        i = len(decays) + 2 * k
        A[i : i + 2, i : i + 2] = 0.95 * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
    return A


def orthogonal(rows, columns, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(columns, columns)))[0][:rows]


def distance(one, other, **options):
    found = dynamical_distance({"one": one, "other": other}, "h", **{"rank": 4, **options})
    return found.distance[0, 1].item(), found


A = system([0.9, 0.6], [0.5])


def test_the_same_dynamics_rotated_scaled_and_shifted_in_other_units_have_no_distance():
    one = recorded(A, orthogonal(4, 7))
    other = recorded(A, 30 * orthogonal(4, 12, seed=1))
    other["h"] = other.h + 5
    found, result = distance(one, other)
    assert found < 1e-6
    assert (result.r2 > 1 - 1e-9).all()
    assert np.diag(result.distance).tolist() == [0, 0]


def test_any_other_coordinates_of_the_same_dynamics_have_no_distance():
    skewed = np.random.default_rng(2).normal(size=(4, 9))  # oblique axes, unequal scales
    assert distance(recorded(A, orthogonal(4, 7)), recorded(A, skewed))[0] < 1e-6


def test_one_rotation_is_far_by_the_difference_of_its_eigenvalues():
    """Whitened, a decaying rotation is one again: 0.95 e^{i angle}, whatever the coordinates."""
    for angle in (0.55, 0.7, 1.0):
        pair = (recorded(system([], [w]), orthogonal(2, 5), seed=w > 0.5) for w in (0.5, angle))
        expected = 0.95 * abs(np.exp(0.5j) - np.exp(1j * angle))
        found, _ = distance(*pair, rank=2, delays=1)
        assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "other", [system([0.9, 0.8], [0.5]), system([0.97, 0.6], [0.5]), system([0.9, 0.6], [0.8])]
)
def test_another_time_constant_or_frequency_is_further_than_other_trials(other):
    """With noise, which makes other operators of other trials."""
    kinds = {"same": (A, 1), "again": (A, 2), "other": (other, 3)}
    records = {
        name: recorded(matrix, orthogonal(4, 8, seed), seed, noise=0.3)
        for name, (matrix, seed) in kinds.items()
    }
    found = dynamical_distance(records, "h", rank=4, delays=1)
    null = found.null.max()
    assert found.distance.sel(network="same", other="again") < 1.5 * null
    assert found.distance.sel(network="same", other="other") > 2 * null


def test_bad_input_gets_one_sentence():
    one, slow = recorded(A, orthogonal(4, 7)), recorded(A, orthogonal(4, 7))
    slow.attrs["dt"] = 20.0
    for records, options, message in (
        ({"a": one}, {}, "records holds 1 network; expected at least two"),
        ({"a": one, "b": slow}, {}, "the time steps differ"),
        ({"a": one, "b": one}, {"period": "test"}, "no period 'test'; the trials have delay"),
        ({"a": one, "b": one}, {"rank": 9}, "have 4 dimensions in half of the trials; choose"),
        ({"a": one, "b": one}, {"delays": 30}, "has 0 trials of more than 30 steps"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            dynamical_distance(records, "h", **options)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
