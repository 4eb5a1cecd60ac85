r"""The Kπ S wave beside the K*: the extra terms of the angular distribution of B → Kπ ℓℓ.

An S-wave Kπ pair has helicity zero only, so in every amplitude of hadron helicity zero

.. math:: \cos\theta_K\,H_0 \;\to\; \cos\theta_K\,H_0 + \tfrac{1}{\sqrt3}\,H_S ,

the √3 being the ratio of the normalised d-functions, :math:`\sqrt{3}\,d^1_{00} = \sqrt3\cos\theta_K` against
:math:`d^0_{00} = 1`. J_1c, J_2c, J_6c are quadratic in the amplitudes of helicity zero, J_4, J_5, J_7, J_8
linear, the others do not contain them. So ten functions join the twelve of the P wave, normalised alike

.. math::
    \frac{32\pi}{9}\, w = \sum_i J_i f_i + S_{1c} + S_{2c}\cos2\theta_\ell + S_{6c}\cos\theta_\ell
    + (I_{1c} + I_{2c}\cos2\theta_\ell + I_{6c}\cos\theta_\ell)\cos\theta_K
    + \sin\theta_K\,[(I_4 \sin2\theta_\ell + I_5\sin\theta_\ell)\cos\phi
    + (I_7\sin\theta_\ell + I_8\sin2\theta_\ell)\sin\phi] ,

and each follows from the *same* formula J(H) as the P wave, whatever the lepton mass and the operators:

.. math::
    S_{jc} = \tfrac13 J_{jc}(H_S),\quad
    I_{jc} = \tfrac1{\sqrt3}[J_{jc}(H+H_S) - J_{jc}(H) - J_{jc}(H_S)],\quad
    I_k = \tfrac{2}{\sqrt3} [J_k(H + H_S) - J_k(H)],

H + H_S meaning that H_S is added to the amplitudes of helicity zero. No formula is written twice. F_S, A_S,
A_S4, A_S5, A_S7, A_S8 are those of arXiv:1512.04442; S_1c, S_2c, with lepton masses, as in arXiv:1209.1525.

The signs of 4, 6, 7, 9 (LHCb's convention) or 5, 6, 8, 9 (theory, b-bar decay) apply to the terms here with
the same index: they come from the same cos θ_ℓ and φ. The other terms keep their sign: θ_K is that of the
kaon in both conventions and for both flavours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Amplitudes = Mapping[str, Complex]
"""Helicity amplitudes by name, arrays that broadcast."""
# rows of an array of the twelve J_i, in the order 1s 1c 2s 2c 3 4 5 6s 6c 7 8 9
_HELICITY_ZERO = np.array([1, 3, 8])
_MIXED = np.array([5, 6, 9, 10])


def swave_coefficients(
    coefficients: Callable[[Amplitudes], Real], p_wave: Amplitudes, s_wave: Amplitudes, of_p: Real | None = None
) -> Real:
    r"""The ten coefficients of ``S_COEFFICIENTS`` from the amplitudes of the P and S waves.

    ``coefficients`` gives the twelve J_i (first axis, order 1s 1c 2s 2c 3 4 5 6s 6c 7 8 9) of a mapping of
    helicity amplitudes, and is quadratic in them. ``s_wave`` holds amplitudes of hadron helicity zero only,
    under the names the P wave has for them; those it lacks count as zero. Amplitudes include line shapes. The
    result has shape (10, ...), in the units of the J_i. ``of_p`` are the coefficients of the P wave, if known already.

    A purely longitudinal example, with J_1c = -J_2c = |H_0|²:

    >>> def j(h):
    ...     square, none = abs(h["0"]) ** 2, np.zeros(())
    ...     return np.stack([none, square, none, -square] + 8 * [none])
    >>> swave_coefficients(j, {"0": np.array(1.0 + 0j)}, {"0": np.array(0.5j)}).round(4)[:4]
    array([ 0.0833, -0.0833,  0.    ,  0.    ])
    """
    unknown = sorted(set(s_wave) - set(p_wave))
    if unknown:
        raise ValueError(f"S-wave amplitudes {unknown} have no partner in the P wave")
    alone = {name: s_wave.get(name, np.zeros_like(value)) for name, value in p_wave.items()}
    j_s = coefficients(alone)
    j_p = coefficients(p_wave) if of_p is None else of_p
    j_both = coefficients({name: value + alone[name] for name, value in p_wave.items()})
    interference = j_both - j_p - j_s
    parts = (
        *(j_s[_HELICITY_ZERO] / 3.0),
        *(interference[_HELICITY_ZERO] / np.sqrt(3.0)),
        *(interference[_MIXED] * (2.0 / np.sqrt(3.0))),
    )
    return np.stack(np.broadcast_arrays(*parts))


def swave_rate(s: Real) -> Real:
    r"""Rate of the S wave, :math:`\frac94 (S_{1c} - \tfrac13 S_{2c})`, from the array of ten coefficients.

    It adds to that of the P wave: the interference integrates to zero over cos θ_K.

    >>> float(swave_rate(np.array([1.0, -1.0] + 8 * [0.0])))
    3.0
    """
    return np.asarray(2.25 * (s[0] - s[1] / 3.0))
