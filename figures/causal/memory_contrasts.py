"""What is compared with what in the measurements of `memory`, with p values."""

from __future__ import annotations

from figures.cache import Results
from figures.causal.intervals import Median, holm, median, sign_flip_p
from figures.causal.memory import LAST, TASKS
from figures.causal.networks import CORES, MATCHING

CONTROLS = ("same", "within", "as other, other units", "as other, random")
"""What a donor with the other answer is compared with: see `memory.edited_states`."""

AFTER_DELAY = f"{MATCHING}, after delay, "
CONTRASTS = {
    "a wipe and a random change": (
        (f"{AFTER_DELAY}as zero, random: preferred", "MPN"),
        (f"{AFTER_DELAY}zero: preferred", "MPN"),
    ),
    "freezing and a random change": (
        (f"{AFTER_DELAY}frozen: accuracy", "MPN"),
        (f"{AFTER_DELAY}as frozen, random: accuracy", "MPN"),
    ),
    "freezing, with the mean and without": (
        (f"{AFTER_DELAY}frozen, mean kept: accuracy", "MPN"),
        (f"{AFTER_DELAY}frozen: accuracy", "MPN"),
    ),
    "attractor and a random change": (
        ("attractor: preferred", "MPN"),
        ("as attractor, random: preferred", "MPN"),
    ),
    "attractor and its change in other units": (
        ("attractor: preferred", "MPN"),
        ("as attractor, other units: preferred", "MPN"),
    ),
    "attractor, with the mean and size and without": (
        ("attractor, mean and size kept: preferred", "MPN"),
        ("attractor: preferred", "MPN"),
    ),
    "100 further steps, GRU and MPN": (
        ("delay + 100: preferred", "GRU"),
        ("delay + 100: preferred", "MPN"),
    ),
}
"""What else is compared: (quantity, core) and (quantity, core)."""


def compare(values: Results) -> dict[tuple[str, str, str], tuple[Median, float]]:
    """By how much more answers turn with the donor than with each of its controls.

    Returns:
        (task, core, control) -> the difference, seed by seed, and its p value: exact sign flips,
        Holm's correction for all that are returned.
    """
    keys = [(task, core, name) for task in TASKS for core in CORES for name in CONTROLS]
    differences = []
    for task, core, name in keys:
        turned = f"{task}, {LAST[task]}, {{}}: turned"
        differences.append(values(turned.format("other"), core) - values(turned.format(name), core))
    p = holm([sign_flip_p(d) for d in differences])
    return {k: (median(d), float(x)) for k, d, x in zip(keys, differences, p, strict=True)}


def contrast(values: Results) -> dict[str, tuple[Median, float]]:
    """The differences of `CONTRASTS`, seed by seed, and their p values, as in `compare`."""
    differences = [values(*one) - values(*other) for one, other in CONTRASTS.values()]
    p = holm([sign_flip_p(d) for d in differences])
    return {k: (median(d), float(x)) for k, d, x in zip(CONTRASTS, differences, p, strict=True)}
