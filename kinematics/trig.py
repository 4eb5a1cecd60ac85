"""Sine, cosine, exponential and logarithm without library calls: a loop stays vectorised, no branch on a GPU.

``real`` is ``numpy.float32`` or ``numpy.float64``, known when a function is compiled: constants are of the
working precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base.jit import scalar

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
        c = c + x * (
            real(-1 / 3628800) + x * (real(1 / 479001600) + x * (real(-1 / 87178291200) + x * real(1 / 20922789888000)))
        )
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
    quarter = math.floor(real(4) * turns + real(0.5))  # -2 ... 2
    s, c = sine_cosine(real, (turns - real(0.25) * quarter) * real(6.283185307179586))
    odd = quarter * quarter == real(1)
    a, b = (c, s) if odd else (s, c)
    sine = a if (quarter == real(0)) | (quarter == real(1)) else -a
    cosine = b if (quarter == real(0)) | (quarter == real(-1)) else -b
    return sine, cosine


@scalar
def exponential(real: Any, x: Real) -> Real:
    r"""Exponential of x without a library call, to two ulps; for \|x\| <= 80, beyond that it wraps.

    :math:`e^x = 2^n e^r`, n the integer nearest to x / ln 2, and :math:`e^r` by its power series.

    >>> import numpy as np
    >>> bool(abs(exponential(np.float64, 3.3) / math.exp(3.3) - 1) < 5e-16)
    True
    """
    n = math.floor(real(x) * real(1.4426950408889634) + real(0.5))
    if double_precision(real):
        r = (x - n * real(0.693147180369123816490)) - n * real(1.90821492927058770002e-10)
        e = real(1 / 362880) + r * (
            real(1 / 3628800) + r * (real(1 / 39916800) + r * (real(1 / 479001600) + r * real(1 / 6227020800)))
        )
        e = real(1 / 5040) + r * (real(1 / 40320) + r * e)
        e = real(1 / 24) + r * (real(1 / 120) + r * (real(1 / 720) + r * e))
        power = real(np.int64(np.int64(np.int32(n) + np.int32(1023)) << np.int64(52)).view(np.float64))
    else:
        r = (x - n * real(0.693145752)) - n * real(1.42860677e-06)
        e = real(1 / 24) + r * (real(1 / 120) + r * (real(1 / 720) + r * real(1 / 5040)))
        power = real(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32))
    return (real(1) + r * (real(1) + r * (real(0.5) + r * (real(1 / 6) + r * e)))) * power


@scalar
def logarithm(real: Any, x: Real) -> Real:
    r"""Natural logarithm of a positive number without a library call, to two ulps.

    :math:`x = 2^n m`, m between √½ and √2, and :math:`\ln m = 2\,\mathrm{artanh}\frac{m-1}{m+1}` by its series.

    >>> import numpy as np
    >>> bool(abs(logarithm(np.float64, 3e-9) - math.log(3e-9)) < 5e-15)
    True
    """
    if double_precision(real):
        bits = np.float64(x).view(np.int64)
        n = np.int32((bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52))
        m = real(np.int64(bits - (np.int64(n) << np.int64(52))).view(np.float64))
    else:
        single = np.float32(x).view(np.int32)
        n = np.int32((single - np.int32(0x3F3504F3)) >> np.int32(23))
        m = real(np.int32(single - np.int32(n << np.int32(23))).view(np.float32))
    s = (m - real(1)) / (m + real(1))
    z = s * s
    t = real(1 / 9)
    if double_precision(real):
        t = t + z * (
            real(1 / 11)
            + z * (real(1 / 13) + z * (real(1 / 15) + z * (real(1 / 17) + z * (real(1 / 19) + z * real(1 / 21)))))
        )
    t = z * (real(1 / 3) + z * (real(1 / 5) + z * (real(1 / 7) + z * t)))
    return real(n) * real(0.6931471805599453) + (s + s) * (real(1) + t)
