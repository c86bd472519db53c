"""The MPN to first order in its modulations: equations 4 and 5 of Aitken & Mihalas.

In a wide layer M contributes little to h: it consists of products of inputs, whose entries shrink
with d, and is multiplied by W, whose entries shrink with n + d. Neglecting M in its update gives

    M_t = lam M_{t-1} + eta phi(W x_t + b) x_t^T                                          (5)
    h_t = phi(W x_t + b
              + sum_{s=1}^{t-1} eta lam^(s-1) phi(W x_{t-s} + b) * (W (x_{t-s} * x_t)))   (4)

The sum in (4) is (W * M_{t-1}) x_t with the M_{t-1} of (5), so that (5) is all that is computed.

Source: Aitken & Mihalas, eLife 2023;12:e83035.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from mpn_lab.analysis.restore import as_mpn_record, as_whole_trials

_PHI: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
}


def first_order(record: xr.Dataset) -> xr.Dataset:
    """Compute h and M at every step from the inputs and the weights, by equations 4 and 5.

    Args:
        record: from `record`, of a multiplicative MPN with the associative update and no bound,
            whose trials start at M_0 = 0.

    Returns:
        `h` [trial, time, hidden] and `M` [trial, time, hidden, input], as in the record.

    Raises:
        ValueError: the record is of another network, or its trials start from another M.
    """
    record = as_whole_trials(as_mpn_record(record), "embedded")
    kind = [record.attrs[name] for name in ("modulation", "update", "activation")]
    if kind[:2] != ["multiplicative", "associative"] or kind[2] not in _PHI:
        raise ValueError(
            f"the record's MPN is {', '.join(kind)}; expected multiplicative, associative, and "
            f"{' or '.join(_PHI)}."
        )
    if "M0" in record or "M_start" in record:
        raise ValueError("the trials do not start at M_0 = 0, as the equations assume.")
    if any("trial" in record[name].dims for name in ("W", "b", "eta", "lam") if name in record):
        raise ValueError("the trials are of several networks; pass those of one network at a time.")
    phi = _PHI[kind[2]]
    W = record["W"].values.astype(np.float64)  # [n, d]
    eta, lam = (record[name].broadcast_like(record["W"]).values for name in ("eta", "lam"))
    b = record["b"].values if "b" in record else 0.0
    x = record["embedded"].values  # [B, T, d]
    unmodulated = x @ W.T + b  # [B, T, n]
    h = np.full(unmodulated.shape, np.nan)
    M: np.ndarray = np.zeros((*unmodulated.shape, W.shape[1]), np.float32)
    now = np.zeros((len(x), *W.shape))
    for t in range(x.shape[1]):
        h[:, t] = phi(
            unmodulated[:, t] + np.einsum("bij,ij,bj->bi", now, W, x[:, t], optimize=True)
        )
        now = lam * now + eta * phi(unmodulated[:, t])[:, :, None] * x[:, t, None, :]
        M[:, t] = now
    dims = ("trial", "time")
    return xr.Dataset(
        {"h": ((*dims, "hidden"), h), "M": ((*dims, "hidden", "input"), M)},
        coords={name: record[name] for name in (*dims, "period")},
        attrs=record.attrs,
    )


def first_order_error(record: xr.Dataset) -> xr.Dataset:
    """Compute the relative error of equations 4 and 5: |theory - network| / |network|.

    Returns:
        `h` (Euclidean norm) and `M` (Frobenius norm) [trial, time]; nan where the network's own
        norm is 0.

    Raises:
        ValueError: as in `first_order`.
    """
    record = as_mpn_record(record)
    theory = first_order(record)
    errors = {}
    for name in ("h", "M"):
        over = list(record[name].dims[2:])
        size = (record[name] ** 2).sum(over, skipna=False) ** 0.5
        off = ((theory[name] - record[name]) ** 2).sum(over, skipna=False) ** 0.5
        errors[name] = off / size.where(size > 0)
    return xr.Dataset(errors)
