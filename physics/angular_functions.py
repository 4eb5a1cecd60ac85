"""The angular functions f_i of an event, each written once: for arrays of any library and for compiled loops.

Straight-line arithmetic without a constant and without a call, so that the working precision is that of the arguments:
`densities` applies the functions to arrays, the event toys and the sums of the validation compile them into their
loops, for the CPU and the GPU. The one root that enters is sin θ_K sin θ_ℓ, an argument here as is what the sine and
cosine of φ are made with.
"""

from __future__ import annotations

from typing import Any


def vector_functions(
    cos_k: Any, sin2_k: Any, cos_l: Any, sin2_l: Any, sines: Any, sin_phi: Any, cos_phi: Any
) -> tuple[Any, ...]:
    """The twelve f_i of B -> K*(-> K pi) l l: eq. (3.21) of arXiv:0811.1214, with J_6c.

    1s sin^2 K, 1c cos^2 K, 2s sin^2 K cos 2L, 2c cos^2 K cos 2L, 3 sin^2 K sin^2 L cos 2phi,
    4 sin 2K sin 2L cos phi, 5 sin 2K sin L cos phi, 6s sin^2 K cos L, 6c cos^2 K cos L, 7 sin 2K sin L sin phi,
    8 sin 2K sin 2L sin phi, 9 sin^2 K sin^2 L sin 2phi.

    Args:
        cos_k: cosine of theta_K; ``sin2_k`` is 1 - cos^2.
        sin2_k: see above.
        cos_l: cosine of theta_l; ``sin2_l`` is 1 - cos^2.
        sin2_l: see above.
        sines: sin theta_K sin theta_l, the root of sin2_k sin2_l.
        sin_phi: sine of phi.
        cos_phi: cosine of phi.

    >>> vector_functions(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0)[:4]
    (1.0, 0.0, 1.0, 0.0)
    """
    cos2_k, cos_2l = cos_k * cos_k, cos_l * cos_l - sin2_l
    both = sin2_k * sin2_l
    half = cos_k * sines
    first = half + half  # sin 2K sin L
    second = first * (cos_l + cos_l)  # sin 2K sin 2L
    half = sin_phi * cos_phi
    return (
        sin2_k,
        cos2_k,
        sin2_k * cos_2l,
        cos2_k * cos_2l,
        both * (cos_phi * cos_phi - sin_phi * sin_phi),
        second * cos_phi,
        first * cos_phi,
        sin2_k * cos_l,
        cos2_k * cos_l,
        first * sin_phi,
        second * sin_phi,
        both * (half + half),
    )


def interference_functions(
    cos_k: Any, cos_l: Any, sin2_l: Any, sines: Any, sin_phi: Any, cos_phi: Any
) -> tuple[Any, ...]:
    """The seven f_i of the interference of a K pi S wave with the K* (arXiv:1209.1525); arguments as above.

    I1c cos K, I2c cos K cos 2L, I6c cos K cos L, I4 sin K sin 2L cos phi, I5 sin K sin L cos phi, I7 sin K sin L sin
    phi, I8 sin K sin 2L sin phi. The S wave itself, 1 and cos 2L and cos L, is in 1s + 1c, 2s + 2c, 6s + 6c.

    >>> interference_functions(0.5, 0.0, 1.0, 0.75**0.5, 0.0, 1.0)[:2]
    (0.5, -0.5)
    """
    twice = cos_l + cos_l
    even, odd = sines * cos_phi, sines * sin_phi
    return cos_k, cos_k * (cos_l * cos_l - sin2_l), cos_k * cos_l, twice * even, even, odd, twice * odd


def scalar_functions(one: Any, cos_l: Any) -> tuple[Any, Any, Any]:
    """The three f_i of B -> K l l: 1, cos L, cos^2 L (arXiv:0709.4174); ``one`` in the form of the angle.

    >>> scalar_functions(1.0, 0.5)
    (1.0, 0.5, 0.25)
    """
    return one, cos_l, cos_l * cos_l
