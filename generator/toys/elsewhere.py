"""The look-elsewhere effect of a family whose masses or widths float: q of toys of the null along its slices."""

from __future__ import annotations

import numpy as np

from ..statistics.elsewhere import elsewhere_p_value
from .experiment import Array, Data, Statistic
from .family import Family

FITS, TOYS = 8000, 200
"""Most fits, and most toys, that the extrapolation takes."""


def fields(alternative: Family, null: Family, statistic: Statistic, data: Data) -> Array | None:
    """q = -2 ln L(null)/L(slice) of the first toys, couplings profiled: (toys, values of each mass or width).

    None unless one or two masses or widths float, and one coupling with them: what the extrapolation is for.
    """
    if not alternative.hypothesis.scan:
        return None
    slices = alternative.slices
    n = len(slices.starts)
    if len(slices.axes) not in (1, 2) or len(slices.linear) != 1:
        return None
    toys = min(data.toys, TOYS, max(FITS // n, 20))
    some = data.take(np.arange(toys))
    lowest = null.best(statistic, some)[0]
    rows, places = (x.ravel() for x in np.meshgrid(np.arange(toys), np.arange(n), indexing="ij"))
    low, _ = slices.profile(statistic, some.take(rows), places, alternative.factor)
    q = np.maximum(lowest[:, None] - low.reshape(toys, n), 0.0)
    return np.asarray(q.reshape(toys, *(len(axis) for axis in slices.axes)))


def global_p_value(alternative: Family, null: Family, statistic: Statistic, data: Data, q: float) -> float | None:
    """Global p-value of q from toys of the null, by the Euler characteristic of its excursions; None as of `fields`."""
    found = fields(alternative, null, statistic, data)
    return None if found is None else elsewhere_p_value(found, q)
