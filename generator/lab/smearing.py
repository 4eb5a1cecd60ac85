"""Loops that smear momenta and compute what is reconstructed; the formulas are told in `resolution`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_module
from ...kinematics.base.jit import inner, kernel, scalar, wide_vectors
from ...kinematics.beams import UpsilonBeam
from ...kinematics.frames import pair_mass_squared
from ...kinematics.trig import circle, logarithm
from ..sampler.calls import RECOVERY, RESOLUTION
from ..sampler.rng import counter_words, philox, uniform
from .settings import ResolutionSettings

_CELLS = 4096


def radiation_quantiles(thickness: float, cells: int = _CELLS) -> Array:
    """Fraction z of the energy that is left, at ``cells`` + 1 equidistant quantiles, from 0 to 1.

    Linear in between: within 2e-4 of the density's own quantiles, and exact in the limit of no material.

    >>> round(float(radiation_quantiles(0.25)[2048]), 3)   # half of the electrons lose less than a ninth
    0.891
    """
    if thickness == 0.0:
        return np.ones(cells + 1)
    from scipy.special import gammainccinv

    u = np.linspace(0.0, 1.0, cells + 1)
    return np.asarray(np.exp(-gammainccinv(thickness / math.log(2.0), u)))


Array = NDArray[np.float64]
CALL, CALLS = RESOLUTION.first, RESOLUTION.count
"""First Philox call of an event that the resolution draws from, and the number of them with radiation."""
PHOTON_CALL = RECOVERY.first
"""First call for the photons that leptons of the decay have radiated: one a photon."""
_BLOCK = 64
_STRIDE = _BLOCK + 8


@dataclass(frozen=True, eq=False)
class Smearing:
    """A resolution made ready for one channel: numbers and quantiles for the loop.

    >>> Smearing.of(ResolutionSettings(preset="lhcb"), "mu").radiates
    False
    """

    numbers: Array
    quantiles: Array
    radiates: bool
    recovers: bool

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, resolution: ResolutionSettings, lepton: str | None) -> Smearing:
        """Smearing for a channel with electrons (``e``) or others."""
        hadron, electron = resolution.hadron, resolution.electron
        track = electron if lepton == "e" else resolution.muon
        radiates = lepton == "e" and electron.thickness > 0.0
        numbers = [value for t in (hadron, track) for value in (t.constant, t.slope, 0.0 if t.transverse else 1.0)]
        numbers += [electron.recovery, electron.threshold, electron.stochastic, electron.calorimeter]
        quantiles = radiation_quantiles(electron.thickness if radiates else 0.0)
        return cls(np.array(numbers), quantiles, radiates, lepton == "e" and electron.recovery > 0.0)


NO_PHOTONS = np.empty((0, 0))


def smear(
    momenta: Array,
    masses: Array,
    smearing: Smearing,
    seed: int,
    stream: int,
    events: NDArray[np.uint64],
    photons: Array = NO_PHOTONS,
) -> tuple[Array, Array]:
    """Reconstructed momenta, and what follows from them.

    Args:
        momenta: rows px, py, pz of K, (π,) ℓ+, ℓ- (GeV), shape (9 or 12, n); an unseen pair is treated as muons.
        masses: of the particles.
        smearing: the resolution.
        seed: of the run.
        stream: of the channel.
        events: numbers of the events in their channel.
        photons: rows px, py, pz of the photon that each lepton of the decay has radiated, shape (6, n); or none.

    Returns:
        Reconstructed momenta, of the same shape, and q2, the mass of the B and that of the hadrons, shape (3, n).
    """
    out, mass = np.empty((len(momenta), momenta.shape[1])), np.empty((3, momenta.shape[1]))
    (k0, k1), word = counter_words(seed, stream, 0, 1)
    seen = photons if smearing.recovers else NO_PHOTONS
    constants = smearing.numbers, smearing.quantiles, smearing.radiates
    _smear(momenta, seen, masses, *constants, word, k0, k1, events, out, mass)
    return out, mass


@scalar
def gaussians(u1: Any, u2: Any) -> tuple[Any, Any]:
    """Two Gaussian numbers from two uniforms (Box and Muller)."""
    r = math.sqrt(-2.0 * logarithm(np.float64, u1))
    s, c = circle(np.float64, u2 - 0.5)
    return r * c, r * s


@scalar
def _spread(a: Any, b: Any, longitudinal: Any, x: Any, y: Any, z: Any, mass: Any) -> Any:
    """σ of a track."""
    p2 = x * x + y * y + z * z
    reach2 = x * x + y * y + longitudinal * z * z
    return math.sqrt(a * a * (p2 + mass * mass) / p2 + b * b * reach2)


@inner
def _block_uniforms(u: Any, numbers: Any, first: Any, calls: Any, stream: Any, k0: Any, k1: Any) -> None:
    """Two uniforms of every event of a block from each of some calls."""
    wide_vectors()
    for call in range(calls):
        number, k = np.uint32(first + call), 2 * call * _STRIDE
        for i in range(_BLOCK):
            event = numbers[i]
            w, x, y, z = philox(np.uint32(event), np.uint32(event >> np.uint64(32)), number, stream, k0, k1)
            u[k + i] = uniform(np.float64, w, x)
            u[k + _STRIDE + i] = uniform(np.float64, y, z)


# columns of the scratch: ten uniforms, twelve momenta (l+, l-, K, pi), twelve reconstructed ones, three masses, photons
_P, _R, _MASS, _PHOTONS, _COLUMNS = 10 * _STRIDE, 22 * _STRIDE, 34 * _STRIDE, 37 * _STRIDE, 43
_LP, _LM, _K, _PI = 0, 3 * _STRIDE, 6 * _STRIDE, 9 * _STRIDE


@scalar
def _at(b: Any, k: Any) -> tuple[Any, Any, Any]:
    return b[k], b[k + _STRIDE], b[k + 2 * _STRIDE]


@scalar
def track(p: Any, kept: Any, g: Any, a: Any, slope: Any, along: Any, mass: Any) -> Any:
    """Scale of a track with a part ``kept`` of its momentum p."""
    x, y, z = p
    return kept / (1.0 + g * _spread(a, slope, along, kept * x, kept * y, kept * z, mass))


@scalar
def _put(b: Any, k: Any, scale: Any) -> None:
    x, y, z = _at(b, _P + k)
    b[_R + k], b[_R + k + _STRIDE], b[_R + k + 2 * _STRIDE] = scale * x, scale * y, scale * z


@scalar
def _add(b: Any, k: Any, scale: Any, p: Any) -> None:
    x, y, z = p
    b[k] += scale * x
    b[k + _STRIDE] += scale * y
    b[k + 2 * _STRIDE] += scale * z


@inner
def _hadrons(b: Any, masses: Any, c: Any) -> None:
    """Kaon and pion."""
    wide_vectors()
    a, slope, along, m_k, m_pi = c[0], c[1], c[2], masses[2], masses[3]
    for i in range(_BLOCK):
        g1, g2 = gaussians(b[i], b[i + _STRIDE])
        _put(b, _K + i, track(_at(b, _P + _K + i), 1.0, g1, a, slope, along, m_k))
        _put(b, _PI + i, track(_at(b, _P + _PI + i), 1.0, g2, a, slope, along, m_pi))


@inner
def _muons(b: Any, masses: Any, c: Any) -> None:
    """Leptons that do not radiate."""
    wide_vectors()
    a, slope, along, mass = c[3], c[4], c[5], masses[0]
    for i in range(_BLOCK):
        g1, g2 = gaussians(b[2 * _STRIDE + i], b[3 * _STRIDE + i])
        _put(b, _LP + i, track(_at(b, _P + _LP + i), 1.0, g1, a, slope, along, mass))
        _put(b, _LM + i, track(_at(b, _P + _LM + i), 1.0, g2, a, slope, along, mass))


@scalar
def photon(p: Any, kept: Any, u: Any, h: Any, c: tuple[Any, ...]) -> Any:
    """What the photon adds to the scale of its electron of momentum p."""
    along, recovery, threshold, stochastic, constant = c
    x, y, z = p
    lost = 1.0 - kept
    energy = max(lost * math.sqrt(x * x + y * y + z * z), 1e-9)
    reach = lost * math.sqrt(x * x + y * y + along * z * z)
    found = lost * max(1.0 + h * math.sqrt(stochastic * stochastic / energy + constant * constant), 0.0)
    return found if (reach > threshold) & (u < recovery) else 0.0


@scalar
def kept_part(u: Any, quantiles: Any) -> Any:
    """Fraction of the energy that is left after radiation."""
    place = u * (quantiles.size - 1)
    cell = np.uintp(np.int32(place))
    return quantiles[cell] + (quantiles[cell + np.uintp(1)] - quantiles[cell]) * (place - np.int32(place))


@inner
def _radiate(b: Any, quantiles: Any) -> None:
    """Replace the uniforms of the radiation by what it leaves."""
    for i in range(_BLOCK):
        b[4 * _STRIDE + i] = kept_part(b[4 * _STRIDE + i], quantiles)
        b[6 * _STRIDE + i] = kept_part(b[6 * _STRIDE + i], quantiles)


@inner
def _electrons(b: Any, masses: Any, c: Any) -> None:
    """Leptons that radiate."""
    wide_vectors()
    a, slope, along, mass = c[3], c[4], c[5], masses[0]
    numbers = (c[5], c[6], c[7], c[8], c[9])
    s = _STRIDE
    for i in range(_BLOCK):
        g1, g2 = gaussians(b[2 * s + i], b[3 * s + i])
        h1, h2 = gaussians(b[8 * s + i], b[9 * s + i])
        kept1, kept2 = b[4 * s + i], b[6 * s + i]
        track1 = track(_at(b, _P + _LP + i), kept1, g1, a, slope, along, mass)
        track2 = track(_at(b, _P + _LM + i), kept2, g2, a, slope, along, mass)
        _put(b, _LP + i, track1 + photon(_at(b, _P + _LP + i), kept1, b[5 * s + i], h1, numbers))
        _put(b, _LM + i, track2 + photon(_at(b, _P + _LM + i), kept2, b[7 * s + i], h2, numbers))


@inner
def _recover(b: Any, c: Any) -> None:
    """Add photons of the decay that are found to the reconstructed leptons."""
    wide_vectors()
    numbers = (c[5], c[6], c[7], c[8], c[9])
    s = _STRIDE
    for i in range(_BLOCK):
        h1, h2 = gaussians(b[i + s], b[i + 3 * s])
        gp, gm = _at(b, _PHOTONS + i), _at(b, _PHOTONS + 3 * s + i)
        found1, found2 = photon(gp, 0.0, b[i], h1, numbers), photon(gm, 0.0, b[i + 2 * s], h2, numbers)
        _add(b, _R + _LP + i, found1, gp)
        _add(b, _R + _LM + i, found2, gm)


@scalar
def reconstructed(lp: Any, lm: Any, k: Any, pi: Any, m_l: Any, m_k: Any, m_pi: Any, pion: Any) -> tuple[Any, Any, Any]:
    """(q2, mass of the B, mass of the hadrons) of reconstructed momenta, with a pion or without."""
    q2 = pair_mass_squared(np.float64, lp, m_l, lm, m_l)
    m_h = math.sqrt(pair_mass_squared(np.float64, k, m_k, pi, m_pi)) if pion else m_k
    x, y, z = (k[0] + pi[0], k[1] + pi[1], k[2] + pi[2]) if pion else k
    pair = (lp[0] + lm[0], lp[1] + lm[1], lp[2] + lm[2])
    return q2, math.sqrt(pair_mass_squared(np.float64, (x, y, z), m_h, pair, math.sqrt(q2))), m_h


@inner
def _masses(b: Any, masses: Any, pion: Any) -> None:
    """q2, the mass of the B and of the hadrons, from the reconstructed momenta."""
    wide_vectors()
    m_l, m_k, m_pi = masses[0], masses[2], masses[3]
    for i in range(_BLOCK):
        lp, lm, k, pi = _at(b, _R + _LP + i), _at(b, _R + _LM + i), _at(b, _R + _K + i), _at(b, _R + _PI + i)
        q2, m_b, m_h = reconstructed(lp, lm, k, pi, m_l, m_k, m_pi, pion)
        b[_MASS + i] = q2
        b[_MASS + _STRIDE + i] = m_b
        b[_MASS + 2 * _STRIDE + i] = m_h


@scalar
def _load(b: Any, column: Any, source: Any, row: Any, first: Any, n: Any) -> None:
    """Copy a row of events to a column, the last one again in the lanes that are left."""
    to, start, last = np.uintp(column), np.uintp(first), np.uintp(first + n - 1)
    for i in range(np.uintp(n)):
        b[to + i] = source[row, start + i]
    for i in range(np.uintp(n), np.uintp(_BLOCK)):
        b[to + i] = source[row, last]


@scalar
def _load_numbers(numbers: Any, events: Any, first: Any, n: Any) -> None:
    """The same of the numbers of the events."""
    start, last = np.uintp(first), np.uintp(first + n - 1)
    for i in range(np.uintp(n)):
        numbers[i] = events[start + i]
    for i in range(np.uintp(n), np.uintp(_BLOCK)):
        numbers[i] = events[last]


@scalar
def _store(out: Any, row: Any, first: Any, n: Any, b: Any, column: Any) -> None:
    """Copy a column to a row of events; counts that cannot be negative let it be done by vectors."""
    to, start = np.uintp(first), np.uintp(column)
    for i in range(np.uintp(n)):
        out[row, to + i] = b[start + i]


@kernel
def _smear(
    momenta: Any,
    photons: Any,
    masses: Any,
    c: Any,
    quantiles: Any,
    radiates: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    events: Any,
    out: Any,
    mass: Any,
) -> None:
    """Reconstruct events, block by block; all lanes of a block are always computed."""
    b = np.ones(_COLUMNS * _STRIDE)
    m = np.ones(4)
    numbers = np.empty(_BLOCK, dtype=np.uint64)
    rows, n_events = momenta.shape
    hadrons = rows // 3 - 2
    m[:2], m[2 : 2 + hadrons] = masses[hadrons:], masses[:hadrons]
    for first in range(0, n_events, _BLOCK):
        n = min(_BLOCK, n_events - first)
        _load_numbers(numbers, events, first, n)
        _block_uniforms(b, numbers, CALL, CALLS if radiates else 2, stream, k0, k1)
        for row in range(rows):
            _load(b, _P + (row + 6 if row < 3 * hadrons else row - 3 * hadrons) * _STRIDE, momenta, row, first, n)
        _hadrons(b, m, c)
        if radiates:
            _radiate(b, quantiles)
            _electrons(b, m, c)
        else:
            _muons(b, m, c)
        if photons.shape[0] > 0:
            for row in range(6):
                _load(b, _PHOTONS + row * _STRIDE, photons, row, first, n)
            _block_uniforms(b, numbers, PHOTON_CALL, 2, stream, k0, k1)
            _recover(b, c)
        _masses(b, m, hadrons == 2)
        for row in range(rows):
            _store(out, row, first, n, b, _R + (row + 6 if row < 3 * hadrons else row - 3 * hadrons) * _STRIDE)
        for row in range(3):
            _store(mass, row, first, n, b, _MASS + row * _STRIDE)


def missing_q2(
    hadron: Array, m_hadron: float | Array, parent: Array, m_b: float, method: str, beam: UpsilonBeam
) -> Array:
    """Reconstructed q2 (GeV²) of B → K(*) and a pair that is not seen, at the Υ(4S); formulas in `resolution`.

    Args:
        hadron: reconstructed px, py, pz of the K(*) in the laboratory (GeV), shape (3, n).
        m_hadron: its reconstructed mass (GeV).
        parent: true px, py, pz of the B: what a tag knows.
        m_b: mass of the B.
        method: ``inclusive`` or ``tagged``.
        beam: what the centre of mass follows from.

    >>> at_rest = np.zeros((3, 1)), 5.27934
    >>> kaon = np.array([[0.0], [0.0], [2.0]])
    >>> round(float(missing_q2(kaon, 0.493677, *at_rest, "tagged", UpsilonBeam())[0]), 3)
    6.364
    """
    energy = np.sqrt((hadron**2).sum(axis=0) + m_hadron**2)  # of CuPy's arrays too
    if method == "tagged":
        e_b = np.sqrt((parent**2).sum(axis=0) + m_b**2)
        invariant: Array = m_b**2 + m_hadron**2 - 2.0 * (e_b * energy - (parent * hadron).sum(axis=0))
        return invariant
    p, root = array_module(hadron).asarray(beam.momentum), beam.mass
    star = (math.hypot(root, *beam.momentum) * energy - p @ hadron) / root
    found: Array = root**2 / 4.0 + m_hadron**2 - root * star
    return found
