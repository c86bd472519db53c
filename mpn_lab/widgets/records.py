"""The records of an explorer by name: those given, checkpoints of a run, and what-ifs.

Checkpoints and what-ifs are counterfactuals of the first record that was given. They are computed
when they are asked for; those that are shown are kept, and two in all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from mpn_lab.analysis.recording import weights_of
from mpn_lab.analysis.restore import as_record, explorable, step_values
from mpn_lab.analysis.schema import check_sizes, step_duration
from mpn_lab.checks import check_choice, show
from mpn_lab.interventions import counterfactual, edits
from mpn_lab.interventions.edits import Edit
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import state_dims
from mpn_lab.plotting.panel import has_modulations
from mpn_lab.plotting.view import SHOWN
from mpn_lab.training.files import RunError
from mpn_lab.training.run import Run, network_of
from mpn_lab.widgets.payload import check_size, detail, scales
from mpn_lab.widgets.shown import Shown

ONLY = "recorded"  # the name of a record that is given alone
MOST = 8  # records that are given
KEPT = 2  # computed records that are kept, if no more are shown
KINDS = ("zero", "freeze", "scale", "shuffle", "swap")  # edits that the browser offers
_COMPUTED = re.compile(r"(what if|checkpoint) (\d+)")

_COMMON: dict[str, Any] = {
    "tasks": lambda record: record.attrs["task"],
    "times": lambda record: (step_duration(record), float(record["time"][0])),
    "channels": lambda record: record["channel"].values.tolist(),
    "actions": lambda record: record["action"].values.tolist(),
    "trials": lambda record: record["trial"].values.tolist(),
}  # what the records of an explorer share


class Records:
    """The records of an explorer by name.

    Args:
        given: one record, or several by name.
        network: the network or the run that made the first of them; None: there are neither
            checkpoints nor what-ifs.

    Raises:
        ValueError: see `TrialExplorer`.
    """

    def __init__(self, given: Any, network: QNetwork | Run | None = None) -> None:
        records = _checked(given)
        self.network = network
        self.names = list(records)
        self.numbers: list[int] = records[self.names[0]]["trial"].values.tolist()
        self.checkpoints: list[int] = []
        self._edits: list[list[Edit]] = []  # those of "what if 1", "what if 2" ...
        if network is not None:
            try:
                _check_fits(network_of(network), records[self.names[0]])
            except RunError as error:  # without a checkpoint, or damaged
                raise ValueError(str(error)) from None
            self.checkpoints = network.checkpoints if isinstance(network, Run) else []
        shared = _shared_scales(records)
        self._given = {n: Shown(n, record, shared[n]) for n, record in records.items()}
        self.shown: Sequence[str] = ()  # names of those that are not dropped
        self._computed: dict[str, Shown] = {}  # the one used last comes last

    @property
    def first(self) -> Shown:
        """The first of the records that were given."""
        return self._given[self.names[0]]

    def known(self) -> list[str]:
        """Return the names of all records, given or computed when they are asked for."""
        computed = [f"checkpoint {n}" for n in self.checkpoints]
        return self.names + computed + [f"what if {k + 1}" for k in range(len(self._edits))]

    def given(self, name: str) -> Shown:
        """Return the given record whose trials, times and shapes a record has, by name."""
        return self._given.get(name, self.first)

    def __getitem__(self, name: str) -> Shown:
        """Return a record; one that is not given is computed. Raises ValueError if none has it."""
        if name in self._given:
            return self._given[name]
        check_choice("record", name, self.known())
        found = self._computed.pop(name, None) or self._compute(name)
        self._computed[name] = found
        return found

    def what_if(self, changes: Sequence[Edit]) -> Shown:
        """Compute what the network would have done with edits; return it under a new name.

        Raises:
            ValueError: there is no network, or the edits do not fit it.
        """
        if self.network is None:
            raise ValueError(
                "this explorer has no network to edit; pass the one that made the record: "
                "TrialExplorer(record, network=network)."
            )
        self._edits.append(list(changes))
        try:
            return self[f"what if {len(self._edits)}"]
        except BaseException:  # also when it is interrupted
            self._edits.pop()
            raise

    def edits_of(self, name: str) -> list[Edit]:
        """Return the edits of a what-if."""
        return list(self._edits[int(name.split()[-1]) - 1])

    def editable(self) -> dict[str, list[str]] | None:
        """Return what the browser offers to edit, and which of it are states; None: no network."""
        if self.network is None:
            return None
        network = network_of(self.network)
        states = list(network.named_states(network.initial_state(1)))
        targets = [*states]
        last = len(network.layers) - 1
        for k, layer in enumerate(network.layers):
            if "h" not in state_dims(layer):
                targets.append("h" if k == last else f"h_{k + 1}")
        return {"kinds": list(KINDS), "targets": [*targets, "x", "obs"], "states": states}

    def _compute(self, name: str) -> Shown:
        """Compute a checkpoint or a what-if from the first record."""
        kind, number = _COMPUTED.findall(name)[0]
        network, first = network_of(self.network), self.first
        changes = self.edits_of(name) if kind == "what if" else []
        if kind == "checkpoint" and isinstance(self.network, Run):
            try:
                network = self.network.network_at(int(number))
            except RunError as error:
                raise ValueError(str(error)) from None
        for other in list(self._computed):  # before another takes memory
            if len(self._computed) >= KEPT and other not in self.shown:
                del self._computed[other]
        record = counterfactual(network, first.record, changes)
        if not changes:
            record = record.assign(weights_of(network))
        trained = f"the network after {int(number):,} trials, on the recorded observations"
        words = in_words(changes) if changes else trained
        return Shown(name, record, first.scales, words, first, bool(changes))


def is_what_if(name: str) -> bool:
    """Whether a record of this name is a what-if."""
    return bool(_COMPUTED.fullmatch(name)) and name.startswith("what if")


def read_edits(given: Any, n_trials: int) -> list[Edit]:
    """Return edits from the browser: a list of dicts, as `edits.from_json` takes them.

    A swap may name one donor, a number, for all trials.

    Raises:
        ValueError: they are no edits, or an edit has an argument that its function refuses.
    """
    found = []
    for edit in edits.from_json(json.dumps(given)):
        options = dict(edit.options)
        if isinstance(options.get("donor"), int):
            options["donor"] = [options["donor"]] * n_trials
        where = {n: getattr(edit, n) for n in edits.Where.__annotations__}
        try:
            found.append(getattr(edits, edit.kind)(edit.target, **options, **where))
        except TypeError as error:  # an argument is missing, or one too many
            raise ValueError(f"{edit} is no edit: {error}.") from None
    return found


def in_words(changes: Sequence[Edit]) -> str:
    """Say what edits do, as in "zero M at test, swap h donor 3 from 900 ms"."""
    parts = []
    for edit in changes:
        donors = set(edit.options.get("donor", ()))
        if len(donors) == 1:  # the same for all trials
            edit = replace(edit, options=edit.options | {"donor": donors.pop()})
        parts.append(str(edit))
    return ", ".join(parts)


def _checked(given: Any) -> dict[str, xr.Dataset]:
    """Return the records by name. Raises ValueError if they cannot be shown together."""
    if isinstance(given, xr.Dataset) or not isinstance(given, Mapping):
        return {ONLY: _explorable(given)}
    if not 1 <= len(given) <= MOST:
        raise ValueError(f"there are {len(given)} records; expected 1 to {MOST}, by name.")
    records = {}
    for name, record in given.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"a record has the name {show(name)}; expected text.")
        if _COMPUTED.fullmatch(name):
            raise ValueError(
                f"a record has the name {name!r}, which the explorer gives to records that it "
                "computes; choose another."
            )
        try:
            records[name] = _explorable(record)
        except ValueError as error:
            raise ValueError(f"record {name!r}: {error}") from None
    (first, one), *others = records.items()
    for name, record in others:
        for what, own in _COMMON.items():
            if own(one) != own(record):
                raise ValueError(
                    f"record {name!r} has other {what} than {first!r}; expected records of the "
                    "same task and trials, as mpn_lab.record makes them from one seed."
                )
    return records


def _explorable(record: Any) -> xr.Dataset:
    """Return a record of trials that fit into a browser."""
    record = explorable(as_record(record, *SHOWN, "h", "Q", "obs"))
    step_values(record, "M" if has_modulations(record) else "h")
    longest = int(record["valid"].values.sum(1).argmax())
    check_size(detail(record, longest)[1], "the longest trial")
    return record


def _check_fits(network: QNetwork, record: xr.Dataset) -> None:
    """Raise ValueError unless a network has the sizes of a record."""
    check_sizes(record, network.obs_size, network.n_actions)
    states = network.named_states(network.initial_state(1))
    sizes: dict[str, tuple[int, ...]] = {"h": (network.readout.in_features,)}
    sizes |= {name: tuple(leaf.shape[1:]) for name, (_, leaf) in states.items()}
    for name, size in sizes.items():
        own = record[name].shape[2:] if name in record else None
        if own != size:
            words = f"has {name} of the shape {own}" if own else f"has no {name}"
            raise ValueError(
                f"the first record {words}, but the network's has {size}; pass the network that it "
                "was made with."
            )


def _shared_scales(records: Mapping[str, xr.Dataset]) -> dict[str, dict[str, Any]]:
    """Return the scales of each record: shared by those whose values can be compared.

    Inputs and rewards are shared by all, Q by all whose Q has the same meaning, and states by
    networks of the same core and sizes.
    """
    own = {name: scales(record) for name, record in records.items()}

    def peers(name: str, scale: str) -> list[str]:
        def kind(record: xr.Dataset) -> tuple[Any, ...]:
            if scale in ("obs", "reward"):
                return ()
            if scale == "Q":
                return (record.attrs.get("training") == "supervised",)
            return (
                record.attrs["core"],
                record["h"].shape[2:],
                record.get("M", record["h"]).shape[2:],
            )

        return [other for other in records if kind(records[other]) == kind(records[name])]

    shared: dict[str, dict[str, Any]] = {}
    for name in records:
        shared[name] = {}
        for scale in own[name]:
            values = [own[other][scale] for other in peers(name, scale) if scale in own[other]]
            if scale == "Q":
                lows, highs = zip(*values, strict=True)
                shared[name][scale] = [min(lows), max(highs)]
            else:
                shared[name][scale] = max(values)
    return shared
