"""Sine and cosine without library calls: scalar functions that leave a loop vectorised, no branch on a GPU.

``real`` is ``numpy.float32`` or ``numpy.float64``, known when a function is compiled: constants are of the
working precision.
"""

from __future__ import annotations

import math
from typing import Any

from .jit import scalar

Real = Any


@scalar
def double_precision(real: Any) -> Any:
    """Whether the working precision has more than 24 bits of mantissa; a constant once compiled.

    >>> import numpy as np
    >>> bool(double_precision(np.float32)), bool(double_precision(np.float64))
    (False, True)
    """
    return real(1) + real(2.0**-30) != real(1)


@scalar
def sine_cosine(real: Any, z: Real) -> tuple[Real, Real]:
    """Sine and cosine of |z| <= pi/4 (radians) by power series, to an ulp or two.

    >>> import numpy as np
    >>> s, c = sine_cosine(np.float64, 0.5)
    >>> bool(abs(s - math.sin(0.5)) < 2e-16), bool(abs(c - math.cos(0.5)) < 2e-16)
    (True, True)
    """
    x = z * z
    s, c = real(1 / 362880), real(1 / 40320)
    if double_precision(real):
        s = s + x * (real(-1 / 39916800) + x * (real(1 / 6227020800) + x * real(-1 / 1307674368000)))
        c = c + x * (real(-1 / 3628800) + x * (real(1 / 479001600) + x * (
            real(-1 / 87178291200) + x * real(1 / 20922789888000))))
    s = real(1) + x * (real(-1 / 6) + x * (real(1 / 120) + x * (real(-1 / 5040) + x * s)))
    c = real(1) + x * (real(-1 / 2) + x * (real(1 / 24) + x * (real(-1 / 720) + x * c)))
    return z * s, c


@scalar
def circle(real: Any, turns: Real) -> tuple[Real, Real]:
    """Sine and cosine of 2 pi ``turns``, for |turns| <= 1/2; no branch.

    With a uniform u the argument u - 1/2 gives a random direction in a plane; an angle phi in (-pi, pi)
    enters as phi / (2 pi), which costs an error of an ulp of phi.

    >>> import numpy as np
    >>> s, c = circle(np.float64, 0.375)
    >>> bool(abs(s - math.sqrt(0.5)) < 2e-16), bool(abs(c + math.sqrt(0.5)) < 2e-16)
    (True, True)
    """
    quarter = math.floor(real(4) * turns + real(0.5))      # -2 ... 2
    s, c = sine_cosine(real, (turns - real(0.25) * quarter) * real(6.283185307179586))
    odd = quarter * quarter == real(1)
    a, b = (c, s) if odd else (s, c)
    sine = a if (quarter == real(0)) | (quarter == real(1)) else -a
    cosine = b if (quarter == real(0)) | (quarter == real(-1)) else -b
    return sine, cosine
