"""One record that an explorer shows: what the browser is sent of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mpn_lab.analysis.population import hidden_order, pca
from mpn_lab.analysis.restore import step_values
from mpn_lab.analysis.schema import trial_position
from mpn_lab.plotting.panel import has_modulations
from mpn_lab.widgets.averages import averaged
from mpn_lab.widgets.payload import COMPONENTS, Arrays, detail, half, overview

Message = tuple[dict[str, Any], Arrays]


class Shown:
    """One record that an explorer can show, and what is computed of it once.

    Args:
        name: its name.
        record: the record.
        own_scales: of its colours and axes, see `scales`.
        words: what was done to the network; "": it is a record that was given.
        first: the record that it is a counterfactual of, whose principal components and orders are
            its own; None: it was given.
        edited: whether it is a what-if.
    """

    def __init__(
        self,
        name: str,
        record: xr.Dataset,
        own_scales: Mapping[str, Any],
        words: str = "",
        first: Shown | None = None,
        edited: bool = False,
    ) -> None:
        self.name, self.record, self.words = name, record, words
        self.scales, self._first, self._edited = own_scales, first, edited
        self._overview: Message | None = None
        self._pcas: dict[str, xr.Dataset] = {}
        self._orders: dict[str, np.ndarray] = {}

    @property
    def axes(self) -> str:
        """The name of the record in whose principal components this one is shown."""
        return (self._first or self).name

    def overview(self) -> Message:
        """Return the overview of all trials."""
        if self._overview is None:
            header, arrays = overview(self.record, self.scales)
            own = {"record": self.name, "words": self.words, "axes": self.axes}
            self._overview = header | own, arrays
        return self._overview

    def trial(self, number: int) -> Message:
        """Return a trial. Raises ValueError if there is none with this number."""
        return detail(self.record, trial_position(self.record, number))

    def changed_trial(self, number: int) -> Message:
        """Return a trial; of a what-if, M as `dM`, its difference from the first record's.

        So the browser shows exactly 0 where a what-if equals the record, and small effects as they
        are, although it adds up the record's M from factors of 16 bits.
        """
        header, arrays = self.trial(number)
        if self._first is not None and self._edited and arrays.keys() & {"M", "x"}:
            i, T = trial_position(self.record, number), len(arrays["h"])
            now, before = (one["M"].values[i, :T] for one in (self.record, self._first.record))
            arrays = {name: a for name, a in arrays.items() if name not in ("M", "x")}
            arrays["dM"] = half(now - before)
        return header, arrays

    def mean(self, numbers: Sequence[int], align: str) -> Message:
        """Return the average over some trials, see `averaged`."""
        positions = [trial_position(self.record, number) for number in numbers]
        starts = self.overview()[0]["starts"].get(align, [-1] * self.record.sizes["trial"])
        return averaged(self.record, positions, starts if align else None, align)

    def pca(self, variable: str) -> xr.Dataset:
        """Return the principal components of a variable, and the trials in them.

        Those of a counterfactual are the first record's, so that the trajectories can be compared.
        """
        if variable not in self._pcas:
            record = self.record
            values = step_values(record, variable)
            if self._first is None:
                features = int(np.prod(values.shape[2:]))
                count = min(COMPONENTS, features, int(record["valid"].sum()))
                found = pca(record, variable, count)
            else:
                found = self._first.pca(variable)
                axes = found["axes"].values.reshape(found.sizes["component"], -1)
                center = axes @ found["mean"].values.reshape(-1)
                along = values.reshape(*values.shape[:2], -1) @ axes.T - center
                found = found.assign(trajectory=(found["trajectory"].dims, along))
            self._pcas[variable] = found
        return self._pcas[variable]

    def components(self, variable: str) -> Message:
        """Return the trajectories in the principal components of a variable."""
        found = self.pca(variable)
        shares = found["explained_variance_ratio"].values.tolist()
        header = {
            "shares": [share if np.isfinite(share) else None for share in shares],  # nan: flat
            "axes": self.axes,
        }
        return header, {"trajectory": found["trajectory"].values.astype(np.float32)}

    def order(self, by: str) -> np.ndarray:
        """Return an order of the hidden units; that of a counterfactual is the first record's."""
        if self._first is not None:
            return self._first.order(by)
        if by not in self._orders:
            other = [] if has_modulations(self.record) else ["M"]  # an M of other dimensions
            record = self.record.drop_vars(other, errors="ignore")
            self._orders[by] = hidden_order(record, by)
        return self._orders[by]
