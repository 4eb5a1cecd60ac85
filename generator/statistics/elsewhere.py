r"""Global significance of the highest point of a scan: from few toys of the null, extrapolated.

The mean Euler characteristic of the region where q exceeds u, of a χ² field with one coupling over one or two
parameters that mean nothing under the null (the method of O. Vitells, E. Gross, arXiv:1105.4355; with one parameter
eq. (3) of arXiv:1005.1891, whose N counts upcrossings):

.. math:: \langle\phi(u)\rangle = P(\chi^2_1 > u) + e^{-u/2}\,(N_1 + \sqrt u\,N_2)

For large u it is the probability that the maximum exceeds u. N₁ and N₂ follow from its value at low u, which few toys
know well.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from ...kinematics.base.errors import InputError

Array = npt.NDArray[np.float64]
LEVELS = (0.5, 1.5)
"""q at which the Euler characteristic is counted: often enough, and apart enough for two coefficients."""


def euler_characteristic(fields: npt.ArrayLike, level: float) -> Array:
    """Points less edges plus faces of where each field exceeds a level, (fields,); a field may have one axis or two.

    >>> euler_characteristic([[0.1, 2.0, 0.3, 1.5]], 1.0).tolist()
    [2]
    >>> euler_characteristic([[[2, 2, 2], [2, 0, 2], [2, 2, 2]]], 1.0).tolist()        # a ring
    [0]
    """
    above = np.nan_to_num(np.asarray(fields, dtype=float), nan=0.0) > level
    if above.ndim not in (2, 3):
        raise InputError(f"fields of {above.ndim - 1} axes: one or two are needed")
    points = above.reshape(len(above), -1).sum(axis=1)
    rows = (above[:, 1:] & above[:, :-1]).reshape(len(above), -1).sum(axis=1)
    if above.ndim == 2:
        return np.asarray(points - rows)
    columns = (above[:, :, 1:] & above[:, :, :-1]).reshape(len(above), -1).sum(axis=1)
    faces = above[:, 1:, 1:] & above[:, 1:, :-1] & above[:, :-1, 1:] & above[:, :-1, :-1]
    return np.asarray(points - rows - columns + faces.reshape(len(above), -1).sum(axis=1))


def elsewhere_p_value(fields: npt.ArrayLike, q: float) -> float:
    """Global p-value of a maximum q from fields of q in toys of the null, (toys, values of one or two parameters).

    Raises:
        InputError: fields of another number of axes.

    Example:
        >>> a, b = np.random.default_rng(1).normal(size=(2, 2000, 1))
        >>> x = np.linspace(0.0, np.pi, 60)
        >>> p = elsewhere_p_value((a * np.cos(x) + b * np.sin(x)) ** 2, 20.0)        # the maximum is a² + b²
        >>> bool(1.0 < p / np.exp(-10.0) < 1.3)
        True
    """
    values = np.asarray(fields, dtype=float)
    two = values.ndim == 3 and min(values.shape[1:]) > 1
    values = values if two else values.reshape(len(values), -1)
    levels = LEVELS if two else LEVELS[:1]
    rest = [float(np.mean(euler_characteristic(values, u))) - stats.chi2.sf(u, 1) for u in levels]
    right = np.array([x * np.exp(0.5 * u) for x, u in zip(rest, levels, strict=True)])
    matrix = np.array([[1.0, np.sqrt(u)][: len(levels)] for u in levels])
    coefficients = np.linalg.solve(matrix, right)
    factor = float(coefficients @ np.array([1.0, np.sqrt(q)])[: len(levels)])
    return float(np.clip(stats.chi2.sf(q, 1) + np.exp(-0.5 * q) * max(factor, 0.0), 0.0, 1.0))
