"""One event, exactly: the scalar functions that the loops of the CPU and the kernels of the GPU share.

No rejection, no Markov chain, no maximum weight. An event is a pure function of its random words and of one
row of the node table.

1. The table is piecewise linear in q2 between nodes, that is, a sum over nodes of a hat function of q2
   times one set of coefficients: a mixture. The alias table gives the node (`rng.pick_entry`), the smaller
   of two uniforms the distance from it on one side of its hat (`hat`), and the angles follow from the
   node's row alone.
2. A polynomial density in x = cos theta is folded to its even part in |x|, a (1 - x^2) + b x^2 with a, b >=
   0, and sampled with order statistics (`folded_cosine`): of three uniforms, the median mapped to [-1, 1]
   has density 3/4 (1 - x^2) and the maximum 3 x^2. Unfolding chooses the sign with probability w(x)/(w(x) +
   w(-x)).
3. phi is folded four times (`azimuth`): of phi0 + k pi/2, phi0 in (-pi/4, pi/4), one image is chosen by its
   share of the sum of the four densities, in which the first and second harmonics cancel.

Rows hold the coefficients in the form in which they are used (`Table.packed_float64`):

- vector, 16 columns: a_s, a_c, b_s, b_c, J3, 4 J4, 2 J5, J6s, J6c, 2 J7, 4 J8, J9, q2, left, right,
  flavour, where a = J1 - J2 is the density at cos L = 0 and b = J1 + J2 its even part at |cos L| = 1, s and
  c the parts with sin^2 K and cos^2 K. Nothing is subtracted in the working precision: float32 keeps both
  non-negative.
- scalar, 8 columns: a, b, a + c, 0, q2, left, right, flavour.
- kpi, 32 columns: the same twelve of the P wave; a, b, S6c of the S wave; I_a, I_b, I6c, 2 I4, I5, I7, 2 I8 for
  Re(a_S a_P*) and then for Im(a_S a_P*); q2, left, right. With it goes a row of 12 columns for the Kpi mass: m, left,
  right, q0 below and above, 1/(endpoint - q0) below and above, |a_P|^2, |a_S|^2, Re and Im a_S a_P*, mass of the B.
  See `kpi_tables`.

Random words. A vector event uses twelve, three Philox calls:

    0 node; 1, 2 distance from the node; 3 side of the hat; 4-6 cos K; 7-9 cos L; 10 phi0; 11 image of phi

and four coins come from the low bits of these words that the uniforms leave unused: sign of cos L (1, 2,
10), sign of cos K (3, 11), the two mixtures of 2. (4-6, 7-9). A scalar event uses eight:

    0 node; 1, 2 distance; 3 side; 4-6 cos L; 7 its sign; the mixture's coin from (4-6)

A kpi event uses sixteen: the twelve of a vector event, and

    12 entry of the Kpi mass; 13, 14 distance from it; 15 side of its hat

with a coin for the sign of cos K from (3, 11, 13).

In double precision as many words again give the low bits (`rng.uniform`), from the calls that follow; `calls` says
which are the sampler's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kinematics.base.jit import scalar
from ...kinematics.trig import double_precision, sine_cosine
from ...physics import angular_functions as formulas
from .calls import SAMPLER
from .rng import Real, Word, coin, philox, pick_entry, uniform

vector_functions = scalar(formulas.vector_functions)
interference_functions = scalar(formulas.interference_functions)
scalar_functions = scalar(formulas.scalar_functions)


@scalar
def angular_functions(real: Any, cos_k: Any, cos_l: Any, phi: Any) -> tuple[Any, ...]:
    """The twelve f_i of one event of B -> K* l l, in the order of ``densities``: `vector_functions` of the angles.

    >>> f = angular_functions(np.float64, 0.0, 1.0, 0.3)
    >>> [round(float(value), 12) for value in f[:4]]
    [1.0, 0.0, 1.0, 0.0]
    """
    one, two, quarter = real(1), real(2), real(0.25)
    s, c = sine_cosine(real, phi * quarter)  # |phi| / 4 is inside the range of the series; then doubled twice
    s, c = two * s * c, one - two * s * s
    sin_phi, cos_phi = two * s * c, one - two * s * s
    sk2, sl2 = one - cos_k * cos_k, one - cos_l * cos_l
    return vector_functions(cos_k, sk2, cos_l, sl2, math.sqrt(sk2 * sl2), sin_phi, cos_phi)


VECTOR_ROW, SCALAR_ROW, KPI_ROW = 16, 8, 32  # columns of a packed row
VECTOR_WORDS, SCALAR_WORDS, KPI_WORDS = 12, 8, 16  # random words of an event, as many again in double precision
CALL = SAMPLER.first
VECTOR_LOW, SCALAR_LOW, KPI_LOW = (CALL + words // 4 for words in (VECTOR_WORDS, SCALAR_WORDS, KPI_WORDS))
"""First calls of an event: of its words, and of those that double precision adds."""
MASS_ROW = 12  # columns of a row of the Kpi mass


@scalar
def quad(a: Any, i: Any, step: Any) -> tuple[Any, Any, Any, Any]:
    """Four values of an array, ``step`` apart, the first at ``i``."""
    return a[i], a[i + step], a[i + 2 * step], a[i + 3 * step]


@scalar
def vector_words(low: Word, high: Word, stream: Word, k0: Word, k1: Word, call: Word) -> tuple[Word, ...]:
    """Twelve words of event ``high * 2^32 + low`` from three Philox calls, the first numbered ``call``."""
    one = np.uint32(call + np.uint32(1))
    two = np.uint32(call + np.uint32(2))
    a0, a1, a2, a3 = philox(low, high, call, stream, k0, k1)
    b0, b1, b2, b3 = philox(low, high, one, stream, k0, k1)
    c0, c1, c2, c3 = philox(low, high, two, stream, k0, k1)
    return a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3


@scalar
def scalar_words(low: Word, high: Word, stream: Word, k0: Word, k1: Word, call: Word) -> tuple[Word, ...]:
    """Eight words of event ``high * 2^32 + low`` from two Philox calls, the first numbered ``call``."""
    one = np.uint32(call + np.uint32(1))
    a0, a1, a2, a3 = philox(low, high, call, stream, k0, k1)
    b0, b1, b2, b3 = philox(low, high, one, stream, k0, k1)
    return a0, a1, a2, a3, b0, b1, b2, b3


@scalar
def kpi_words(low: Word, high: Word, stream: Word, k0: Word, k1: Word, call: Word) -> tuple[Word, ...]:
    """Sixteen words of event ``high * 2^32 + low`` from four Philox calls, the first numbered ``call``."""
    last = np.uint32(call + np.uint32(3))
    return vector_words(low, high, stream, k0, k1, call) + philox(low, high, last, stream, k0, k1)


@scalar
def kpi_place(entry: Any, word: Word, places: Any, mass_entries: Any) -> tuple[Any, Any]:
    """(row of the Kpi mass, flavour) of an entry of a kpi table, from the event's word 12.

    Every row is two entries, 2 row + wave, one for each wave that can have made the event: the mass has another
    distribution in each. ``mass_entries`` holds the alias tables of all mass nodes and waves, all of one size, the last
    number in ``places``; the others are, row by row, twice the place of the first alias table of the row's mass node,
    plus one for the flavour -1.
    """
    size, place = np.uintp(places[places.size - 1]), places[entry >> np.uint32(1)]
    first = np.uintp(place >> np.uint32(1)) + np.uintp(entry & np.uint32(1)) * size
    flavour = np.int32(1) - np.int32((place & np.uint32(1)) << np.uint32(1))
    return first + np.uintp(pick_entry(word, mass_entries[first : first + size])), flavour


@scalar
def hat(node: Real, left: Real, right: Real, u1: Real, u2: Real, u_side: Real) -> Real:
    """q2 from the hat function of a node: linear from 1 at the node to 0 at distances ``left`` and ``right``.

    The side has probability left : right, and min(u1, u2) has density 2 (1 - t).

    >>> float(hat(2.0, 0.5, 1.5, 0.2, 0.7, 0.1)), float(hat(2.0, 0.5, 1.5, 0.2, 0.7, 0.9))
    (1.9, 2.3)
    """
    t = min(u1, u2)
    return node + (right * t if u_side * (left + right) > left else -(left * t))


@scalar
def folded_cosine(real: Any, a: Real, b: Real, u1: Real, u2: Real, u3: Real, u_part: Real) -> Real:
    """|x| in (0, 1) from the density a (1 - x^2) + b x^2, for a, b >= 0 (their integrals: 2a/3 and b/3).

    >>> float(folded_cosine(np.float64, 1.0, 0.0, 0.1, 0.25, 0.9, 0.5))    # |2 median - 1|
    0.5
    >>> float(folded_cosine(np.float64, 0.0, 1.0, 0.1, 0.25, 0.9, 0.5))    # maximum
    0.9
    """
    low, high = min(u1, u2), max(u1, u2)
    median = max(low, min(high, u3))
    twice_a = a + a
    return abs(median + median - real(1)) if u_part * (twice_a + b) < twice_a else max(high, u3)


@scalar
def signed_cosine(
    real: Any, a: Real, b: Real, odd: Real, u1: Real, u2: Real, u3: Real, u_part: Real, u_sign: Real
) -> tuple[Real, Real]:
    """x in (-1, 1) from the density a (1 - x^2) + b x^2 + odd x >= 0, and its even part there.

    >>> [float(x) for x in signed_cosine(np.float64, 1.0, 0.0, 0.0, 0.1, 0.25, 0.9, 0.5, 0.7)]
    [-0.5, 0.75]
    """
    x = folded_cosine(real, a, b, u1, u2, u3, u_part)
    x2 = x * x
    even = a * (real(1) - x2) + b * x2
    return (x if u_sign * (even + even) < even + odd * x else -x), even


@scalar
def azimuth(real: Any, base: Real, cos1: Real, sin1: Real, cos2: Real, sin2: Real, u_phi: Real, u_image: Real) -> Real:
    """phi in (-pi, pi) from base + cos1 cos phi + sin1 sin phi + cos2 cos 2phi + sin2 sin 2phi >= 0.

    phi0 is uniform in (-pi/4, pi/4); the densities w_k at its images phi0 + k pi/2 add up to 4 base, so image
    k has probability w_k / (4 base). The images' angles are rounded towards zero: |phi| never exceeds pi.

    >>> round(float(azimuth(np.float64, 1.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.1)) / math.pi, 6)   # image 0
    0.125
    """
    quarter = real(1.5707963267948966) if double_precision(real) else real(1.57079625)
    half = real(3.141592653589793) if double_precision(real) else real(3.1415925)
    z = (u_phi - real(0.5)) * quarter
    s, c = sine_cosine(real, z)
    first = cos1 * c + sin1 * s  # image 2: its negative
    turned = sin1 * c - cos1 * s  # the same at z + pi/2; image 3: its negative
    second = cos2 * (real(1) - real(2) * (s * s)) + sin2 * (real(2) * (s * c))  # images 1, 3: its negative
    sum0 = base + first + second
    sum1 = sum0 + (base + turned - second)
    sum2 = sum1 + (base - first + second)
    u = u_image * (real(4) * base)
    opposite = -half if z > real(0) else half
    turn = real(0) if u < sum0 else (quarter if u < sum1 else (opposite if u < sum2 else -quarter))
    return z + turn


@scalar
def vector_event(
    real: Any, w: tuple[Word, ...], v: tuple[Word, ...], row: tuple[Real, ...]
) -> tuple[Real, Real, Real, Real, Real]:
    """(q2, cos theta_K, cos theta_l, phi, flavour) of B -> K* l l from its words and its table row.

    ``w`` are the event's twelve words, ``v`` those that carry the low bits in double precision (unused
    otherwise).
    """
    a_s, a_c, b_s, b_c, j3, j4, j5, j6s, j6c, j7, j8, j9, node, left, right, flavour = row
    one = real(1)
    u1, u2, u3 = uniform(real, w[1], v[1]), uniform(real, w[2], v[2]), uniform(real, w[3], v[3])
    q2 = hat(node, left, right, u1, u2, u3)

    # |cos K|: integrated over cos L and phi, what multiplies sin^2 K and cos^2 K is 2a + b, up to a factor
    u1, u2, u3 = uniform(real, w[4], v[4]), uniform(real, w[5], v[5]), uniform(real, w[6], v[6])
    u_part = coin(real, w[4], w[5], w[6])
    x = folded_cosine(real, a_s + a_s + b_s, a_c + a_c + b_c, u1, u2, u3, u_part)
    ck = x if coin(real, w[3], w[11], np.uint32(0)) < real(0.5) else -x
    ck2 = ck * ck
    sk2 = one - ck2

    # |cos L| given cos K, then its sign
    a = sk2 * a_s + ck2 * a_c
    b = sk2 * b_s + ck2 * b_c
    odd = sk2 * j6s + ck2 * j6c
    u1, u2, u3 = uniform(real, w[7], v[7]), uniform(real, w[8], v[8]), uniform(real, w[9], v[9])
    cl, even = signed_cosine(real, a, b, odd, u1, u2, u3, coin(real, w[7], w[8], w[9]), coin(real, w[1], w[2], w[10]))

    # phi given both
    sines2 = sk2 * (one - cl * cl)
    first = math.sqrt(sines2) * ck
    cos1, sin1 = first * (j4 * cl + j5), first * (j8 * cl + j7)
    u1, u2 = uniform(real, w[10], v[10]), uniform(real, w[11], v[11])
    phi = azimuth(real, even + odd * cl, cos1, sin1, sines2 * j3, sines2 * j9, u1, u2)
    return q2, ck, cl, phi, flavour


@scalar
def kpi_event(
    real: Any, w: tuple[Word, ...], v: tuple[Word, ...], row: tuple[Real, ...], mass: tuple[Real, ...]
) -> tuple[Real, Real, Real, Real, Real]:
    """(q2, cos theta_K, cos theta_l, phi, m_Kpi) of B -> K pi l l from its words and its two table rows.

    P wave, S wave and interference are added up with the line shapes of the mass row; then as `vector_event`, with
    an odd part in cos K and, given cos K, interference in every term of the other angles.
    """
    pa_s, pa_c, pb_s, pb_c, j3, j4, j5, j6s, j6c, j7, j8, j9 = row[:12]
    sa, sb, s6 = row[12:15]
    ra, rb, r6, r4, r5, r7, r8 = row[15:22]
    ia, ib, i6, i4, i5, i7, i8 = row[22:29]
    node, left, right = row[29:]
    centre, m_left, m_right, q0_below, q0_above, inverse_below, inverse_above, p, s, re, im, m_b = mass
    one, zero = real(1), real(0)

    # mass, and q2: a node's q2 above q0 moves with the end of phase space
    u1, u2, u3 = uniform(real, w[13], v[13]), uniform(real, w[14], v[14]), uniform(real, w[15], v[15])
    m = hat(centre, m_left, m_right, u1, u2, u3)
    u1, u2, u3 = uniform(real, w[1], v[1]), uniform(real, w[2], v[2]), uniform(real, w[3], v[3])
    at_node = hat(node, left, right, u1, u2, u3)
    below = m < centre
    q0 = q0_below if below else q0_above
    inverse = inverse_below if below else inverse_above
    most = m_b - m
    moved = min(q0 + (at_node - q0) * ((most * most - q0) * inverse), most * most)
    q2 = moved if at_node > q0 else at_node

    # the density's coefficients at this mass
    a_s, a_c, b_s, b_c = p * pa_s + s * sa, p * pa_c + s * sa, p * pb_s + s * sb, p * pb_c + s * sb
    odd_s, odd_c = p * j6s + s * s6, p * j6c + s * s6
    mix_a, mix_b, mix_6 = re * ra + im * ia, re * rb + im * ib, re * r6 + im * i6

    # cos K, integrated over cos L and phi
    u1, u2, u3 = uniform(real, w[4], v[4]), uniform(real, w[5], v[5]), uniform(real, w[6], v[6])
    k_s, k_c, mix = a_s + a_s + b_s, a_c + a_c + b_c, mix_a + mix_a + mix_b
    u_part, u_sign = coin(real, w[4], w[5], w[6]), coin(real, w[3], w[11], w[13])
    ck, _ = signed_cosine(real, k_s, k_c, mix, u1, u2, u3, u_part, u_sign)
    ck2 = ck * ck
    sk2 = one - ck2

    # cos L given cos K
    a = max(sk2 * a_s + ck2 * a_c + ck * mix_a, zero)
    b = max(sk2 * b_s + ck2 * b_c + ck * mix_b, zero)
    odd = sk2 * odd_s + ck2 * odd_c + ck * mix_6
    u1, u2, u3 = uniform(real, w[7], v[7]), uniform(real, w[8], v[8]), uniform(real, w[9], v[9])
    cl, even = signed_cosine(real, a, b, odd, u1, u2, u3, coin(real, w[7], w[8], w[9]), coin(real, w[1], w[2], w[10]))

    # phi given both
    sines2 = sk2 * (one - cl * cl)
    first = math.sqrt(sines2)
    p_first = p * ck
    cos1 = first * ((p_first * j4 + re * r4 + im * i4) * cl + (p_first * j5 + re * r5 + im * i5))
    sin1 = first * ((p_first * j8 + re * r8 + im * i8) * cl + (p_first * j7 + re * r7 + im * i7))
    u1, u2 = uniform(real, w[10], v[10]), uniform(real, w[11], v[11])
    second = p * sines2
    phi = azimuth(real, even + odd * cl, cos1, sin1, second * j3, second * j9, u1, u2)
    return q2, ck, cl, phi, m


@scalar
def scalar_event(real: Any, w: tuple[Word, ...], v: tuple[Word, ...], row: tuple[Real, ...]) -> tuple[Real, Real, Real]:
    """(q2, cos theta_l, flavour) of B -> K l l, density a + b cos + c cos^2, from words and table row."""
    a, odd, b, _, node, left, right, flavour = row
    u1, u2, u3 = uniform(real, w[1], v[1]), uniform(real, w[2], v[2]), uniform(real, w[3], v[3])
    q2 = hat(node, left, right, u1, u2, u3)
    u1, u2, u3 = uniform(real, w[4], v[4]), uniform(real, w[5], v[5]), uniform(real, w[6], v[6])
    u_sign = uniform(real, w[7], v[7])
    cl, _ = signed_cosine(real, a, b, odd, u1, u2, u3, coin(real, w[4], w[5], w[6]), u_sign)
    return q2, cl, flavour
