"""An unbinned fit of V beside the same density in zfit, in one run: values, minimum, seconds.

    python tests/bench/against_zfit.py [EVENTS]

zfit (and with it TensorFlow) is no dependency of darkpenguin: without it this says so and stops. Its density is
written from the same shapes, its normalisation is the same exact integral, and its gradient is automatic.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import Any

import numpy as np

MASS, WIDTH, COUPLING, C9 = (
    "light_vectors.0.mass",
    "light_vectors.0.relative_width",
    "light_vectors.0.g_bs",
    "heavy.C9_mu",
)
FREE = {MASS: (1.5, 2.8), WIDTH: (0.02, 1.0), COUPLING: (-6e-8, 6e-8), C9: (-3.0, 3.0)}
START = (2.5, 0.2, -1.5e-8, 0.0)
UNITS = np.array([1.0, 1.0, 1e-8, 1.0])
"""Units of the fields in zfit: its minimiser does not know a range of 1e-8."""
PLACES = ((2.5, 0.2, -1.5e-8, 0.0), (2.3, 0.1, 1e-8, -0.5), (2.7, 0.5, -4e-8, 1.0), (1.8, 0.02, 2e-9, 0.3))


def likelihood(events: int) -> Any:
    """-2 ln L of events of B0 -> K*0 mu mu, without conjugates, in q2 and three angles."""
    import darkpenguin as dp
    from darkpenguin.generator.fits.card import FitCard
    from darkpenguin.generator.fits.fit import likelihood_of

    model = dp.as_model("fig2", ["light_vectors.0.g_mu_a=0"])
    sample = dp.generate("B0->K*0mumu", model, events=events, seed=5, q2=[(1.1, 8.0)], flavour="b")
    return likelihood_of(sample, FitCard.make(model=model, float=FREE))


def zfit_loss(cost: Any) -> tuple[Any, list[Any]]:
    """The same as a loss of zfit, and its parameters."""
    import tensorflow as tf
    import zfit

    (part,) = cost.parts
    zero, one = (cost.point(part, [2.5, 0.2, g, c]) for g, c in ((0.0, 0.0), (1e-8, 1.0)))
    c0, dc, dt = zero.constants, one.constants - zero.constants, one.residues[:, 0]
    n, cells = len(c0), part.rate.cells
    low, high = (tf.constant(x) for x in cells.edges.T)
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    rows = [tf.constant(unpack(np.asarray(row), n)) for row in np.reshape(cells.rows, (3, len(cells.edges), -1))]
    forms = np.reshape(part.forms, (part.events, -1))

    def point(params: Any) -> tuple[Any, Any, Any]:
        m, gamma, g, c9 = (tf.cast(params[name], tf.complex128) for name in ("m", "gamma", "g", "c9"))
        return c0 + c9 * dc, g * dt, m**2 * (1.0 - 1j * gamma)

    def rate(params: Any) -> Any:
        c, t, z = point(params)
        h, x = tf.cast(half, tf.complex128), z - tf.cast(middle, tf.complex128)
        first = tf.math.log((h - x) / (-h - x))
        second = 2.0 * h + x * first
        waves = [first, second / h, x * second / h**2]
        plain = [2.0 * h, 0.0 * h, 2.0 * h / 3.0]
        whole = tf.add_n([tf.einsum("c,cab->ab", w, r) for w, r in zip(plain, rows, strict=True)])
        big = tf.add_n([tf.einsum("c,cab->ab", w, r) for w, r in zip(waves, rows, strict=True)])
        bar = tf.linalg.adjoint(big)
        pair = (big - bar) / (z - tf.math.conj(z))
        dot = tf.einsum("a,ab,b->", tf.math.conj(c), whole, c) + tf.einsum("a,ab,b->", tf.math.conj(c), big, t)
        dot += tf.einsum("a,ab,b->", tf.math.conj(t), bar, c) + tf.einsum("a,ab,b->", tf.math.conj(t), pair, t)
        return tf.math.real(dot)

    rows_, columns_ = np.triu_indices(n, 1)

    class Density(zfit.pdf.BasePDF):  # type: ignore[misc]
        @zfit.supports(norm=True)
        def _pdf(self, x: Any, norm: Any, params: Any) -> Any:
            columns = [x[i] for i in range(1 + n * n)]
            c, t, z = point(params)
            wave = 1.0 / (tf.cast(columns[0], tf.complex128) - z)
            v = [c[a] + t[a] * wave for a in range(n)]
            found = tf.add_n([columns[1 + a] * tf.math.real(v[a] * tf.math.conj(v[a])) for a in range(n)])
            for k, (a, b) in enumerate(zip(rows_.tolist(), columns_.tolist(), strict=True)):
                both = tf.math.conj(v[a]) * v[b]
                real, imaginary = columns[1 + n + k], columns[1 + n + len(rows_) + k]
                found += 2.0 * (real * tf.math.real(both) - imaginary * tf.math.imag(both))
            return found / rate(params)

    far = 1e300
    space = zfit.Space("q2", -far, far)
    for i in range(n * n):
        space = space * zfit.Space(f"form_{i}", -far, far)
    names = ("m", "gamma", "g", "c9")
    ends = np.array(list(FREE.values())) / UNITS[:, None]
    parameters = [
        zfit.Parameter(name, start / unit, low, high)
        for name, start, unit, (low, high) in zip(names, START, UNITS, ends, strict=True)
    ]
    density = Density(obs=space, params=dict(zip(names, parameters, strict=True)))
    data = zfit.Data.from_numpy(obs=space, array=np.column_stack([part.q2, forms]))
    return zfit.loss.UnbinnedNLL(density, data, options={"subtr_const": False}), parameters


def unpack(packed: Any, n: int) -> Any:
    """Matrices of packed ones."""
    from darkpenguin.generator.fits.amplitude import unpacked

    return unpacked(packed, n)


def seconds(work: Any) -> tuple[Any, float]:
    """What a function returns, and how long it takes the second time."""
    work()
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def main() -> None:
    """Print the comparison; the exit code is 1 if values or minima differ."""
    if importlib.util.find_spec("zfit") is None:
        print("zfit is not installed: pip install zfit, in an environment of its own")
        return
    import zfit
    from darkpenguin.generator.fits.fit import minimised

    events = int(float(sys.argv[1])) if len(sys.argv) > 1 else 20_000
    cost = likelihood(events)
    loss, parameters = zfit_loss(cost)
    ours, theirs = [], []
    for place in PLACES:
        zfit.param.set_values(parameters, np.array(place) / UNITS)
        ours.append(cost(*place))
        theirs.append(2.0 * float(loss.value()))
    worst = float(np.max(np.abs(np.array(theirs) / ours - 1.0)))
    print(f"{events:,} events; -2 ln L at {len(PLACES)} places: largest relative difference {worst:.1e}")

    def theirs_fit() -> Any:
        zfit.param.set_values(parameters, np.array(START) / UNITS)
        found = zfit.minimize.Minuit(mode=0, tol=1e-5).minimize(loss)
        return found, found.hesse(name="errors")

    mine, mine_s = seconds(lambda: minimised(cost, search=False))
    (result, errors), zfit_s = seconds(theirs_fit)
    print(f"{'':32s} {'darkpenguin':>24s} {'zfit':>24s}  difference/error")
    shifts = []
    for row, parameter, unit in zip(mine, parameters, UNITS, strict=True):
        value, error = result.params[parameter]["value"] * unit, errors[parameter]["error"] * unit
        shifts.append(abs(row.value - value) / row.error)
        print(f"{row.name:32s} {row.value:12.5g} ± {row.error:9.2g} {value:12.5g} ± {error:9.2g}  {shifts[-1]:.4f}")
    print(f"fit with errors: {mine_s:.2f} s, zfit {zfit_s:.2f} s: {zfit_s / mine_s:.1f} times")
    calls = 20
    _, ours_s = seconds(lambda: [(cost(*p), cost.gradient(*p)) for p in varied(calls)])

    def theirs_calls() -> None:
        for place in varied(calls):
            zfit.param.set_values(parameters, np.array(place) / UNITS)
            loss.value_gradient(parameters)

    _, zfit_calls = seconds(theirs_calls)
    print(f"value and gradient: {1e3 * ours_s / calls:.1f} ms, zfit {1e3 * zfit_calls / calls:.1f} ms")
    if worst > 1e-8 or max(shifts) > 0.01:
        raise SystemExit(1)


def varied(calls: int) -> list[tuple[float, ...]]:
    """Different values, so that none is remembered."""
    return [(2.5 + 1e-3 * i, *START[1:]) for i in range(calls)]


if __name__ == "__main__":
    main()
