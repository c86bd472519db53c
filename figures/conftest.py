"""The stored values that the tests of the figures' claims read."""

from functools import cache

import numpy as np
import pytest

from figures.cache import Results, load_values


@pytest.fixture(scope="session")
def values():
    """values(figure, quantity, network): one value per seed, of `seeds` seeds (None: of some)."""
    results = cache(lambda figure: Results(load_values(figure)))

    def values_of(figure: str, quantity: str, network: str, seeds: int | None = 10) -> np.ndarray:
        found = results(figure)(quantity, network)
        assert len(found) > 0, f"{figure} has no {quantity!r} of {network!r}"
        assert seeds is None or len(found) == seeds, f"{quantity!r} of {network!r}: {len(found)}"
        return found

    return values_of
