"""An unbinned fit of V beside the same density in zfit, in one run: values, minimum, seconds.

    python tests/bench/against_zfit.py [EVENTS]

zfit (and with it TensorFlow) is no dependency of darkpenguin: without it this says so and stops. The density is given
to zfit in two ways. *Written*: as its user writes it, of q2 and three angles, helicity amplitudes interpolated in q2,
J_i and their functions of the angles in TensorFlow. *Matrices*: of numbers of each event that darkpenguin made, so that
only v† M v is left to zfit, which no user would have. Both have our exact integral over q2 and the angles, where zfit
alone would take a numerical one, and automatic gradients. Graphs are traced before the clock starts. Clocks are of CPU
time, of all threads, as well as of the wall.
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
FAR = 1e300
UNITS = np.array([1.0, 1.0, 1e-8, 1.0])
"""Units of the fields in zfit: its minimiser does not know a range of 1e-8."""
PLACES = ((2.5, 0.2, -1.5e-8, 0.0), (2.3, 0.1, 1e-8, -0.5), (2.7, 0.5, -4e-8, 1.0), (1.8, 0.02, 2e-9, 0.3))


def likelihood(events: int) -> tuple[Any, list[Any]]:
    """-2 ln L of events of B0 -> K*0 mu mu, without conjugates, in q2 and three angles, and these angles."""
    import darkpenguin as dp
    from darkpenguin.generator.fits.card import FitCard
    from darkpenguin.generator.fits.fit import likelihood_of

    model = dp.as_model("fig2", ["light_vectors.0.g_mu_a=0"])
    sample = dp.generate("B0->K*0mumu", model, events=events, seed=5, q2=[(1.1, 8.0)], flavour="b")
    angles = [np.asarray(sample[name], dtype=float) for name in ("cos_theta_k", "cos_theta_l", "phi")]
    return likelihood_of(sample, FitCard.make(model=model, float=FREE)), angles


def zfit_losses(cost: Any, angles: Any) -> tuple[dict[str, Any], list[Any]]:
    """The same as losses of zfit, by how the density is given to it, and their parameters."""
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
    written = _written(part)

    class Matrices(zfit.pdf.BasePDF):  # type: ignore[misc]
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

    class Written(zfit.pdf.BasePDF):  # type: ignore[misc]
        @zfit.supports(norm=True)
        def _pdf(self, x: Any, norm: Any, params: Any) -> Any:
            q2, *angles = (x[i] for i in range(4))
            c, t, z = point(params)
            v = c[:, None] + t[:, None] / (tf.cast(q2, tf.complex128) - z)
            return written(v, q2, *angles) / rate(params)

    names = ("m", "gamma", "g", "c9")
    ends = np.array(list(FREE.values())) / UNITS[:, None]
    parameters = [
        zfit.Parameter(name, start / unit, low, high)
        for name, start, unit, (low, high) in zip(names, START, UNITS, ends, strict=True)
    ]
    columns = {Written: np.column_stack([part.q2, *angles]), Matrices: np.column_stack([part.q2, forms])}
    losses = {}
    for kind, array in columns.items():
        space = zfit.Space("q2", -FAR, FAR)
        for i in range(1, array.shape[1]):
            space = space * zfit.Space(f"{kind.__name__}_{i}", -FAR, FAR)
        density = kind(obs=space, params=dict(zip(names, parameters, strict=True)))
        data = zfit.Data.from_numpy(obs=space, array=array)
        losses[kind.__name__.lower()] = zfit.loss.UnbinnedNLL(density, data, options={"subtr_const": False})
    return losses, parameters


def _written(part: Any) -> Any:
    """The density of q2 and angles in TensorFlow from the shapes v of amplitudes, as in arXiv:1506.03970."""
    import tensorflow as tf
    from darkpenguin.generator.fits.rates import parabolas
    from darkpenguin.physics.amplitudes import standard_model
    from darkpenguin.physics.angular import event_signs

    amplitude, rate = part.amplitude, part.rate
    shapes, names = amplitude.helicities(rate.nodes, np.zeros((0, 0, 0)), np.zeros((0, 0, 0)))
    rows = [tf.constant(row) for row in parabolas(rate.edges, shapes[0], rate.split).rows]  # (cells, helicities, n)
    low, high = (tf.constant(np.ascontiguousarray(x)) for x in rate.edges.T)
    sm, m_l = standard_model(amplitude.channel), amplitude._decay.m_lepton
    signs, norm = event_signs(amplitude.channel, amplitude.flavour), amplitude.density.norm

    def density(v: Any, q2: Any, ck: Any, cl: Any, phi: Any) -> Any:
        cell = tf.maximum(tf.searchsorted(low, q2, side="right") - 1, 0)
        a, b = tf.gather(low, cell), tf.gather(high, cell)
        u = tf.cast((2.0 * q2 - a - b) / (b - a), tf.complex128)[:, None, None]
        zero, one, two = (tf.gather(row, cell) for row in rows)
        h = dict(zip(names, tf.unstack(tf.einsum("ehn,ne->he", zero + u * (one + u * two), v)), strict=True))

        def times(x: str, y: str) -> Any:
            return h[x] * tf.math.conj(h[y])

        def square(x: str) -> Any:
            return tf.math.real(times(x, x))

        b2 = 1.0 - 4.0 * m_l**2 / q2
        beta, root = tf.sqrt(b2), m_l / tf.sqrt(q2)
        t_v, t_a = square("+V") + square("-V"), square("+A") + square("-A")
        l_v, l_a = square("0V"), square("0A")
        x_57 = times("+V", "0A") + times("+A", "0V") - times("0V", "-A") - times("0A", "-V")
        x_57 += tf.cast(2.0 * root, tf.complex128) * (times("+V", "S") + times("S", "-V"))
        x_48 = times("+V", "0V") + times("0V", "-V") + times("+A", "0A") + times("0A", "-A")
        x_39 = times("+V", "-V") + times("+A", "-A")
        j = (
            2.0 / 3.0 * (2.0 + b2) * (t_v + t_a) + 16.0 / 3.0 * root**2 * (t_v - t_a),
            8.0 / 3.0 * (l_v + l_a)
            + 32.0 / 3.0 * root**2 * (l_v - l_a)
            + 16.0 / 3.0 * (b2 * square("S") + square("P")),
            2.0 / 3.0 * b2 * (t_v + t_a),
            -8.0 / 3.0 * b2 * (l_v + l_a),
            -8.0 / 3.0 * b2 * tf.math.real(x_39),
            -4.0 / 3.0 * b2 * tf.math.real(x_48),
            8.0 / 3.0 * beta * tf.math.real(x_57),
            -16.0 / 3.0 * beta * tf.math.real(times("+V", "+A") - times("-V", "-A")),
            64.0 / 3.0 * beta * root * tf.math.real(times("0V", "S")),
            -8.0 / 3.0 * beta * tf.math.imag(x_57),
            4.0 / 3.0 * b2 * tf.math.imag(x_48),
            8.0 / 3.0 * b2 * tf.math.imag(x_39),
        )
        ck2, cl2 = ck**2, cl**2
        sk2, sl2 = 1.0 - ck2, 1.0 - cl2
        c2l, sk, sl = 2.0 * cl2 - 1.0, tf.sqrt(sk2), tf.sqrt(sl2)
        s2k, s2l = 2.0 * sk * ck, 2.0 * sl * cl
        f = (
            sk2,
            ck2,
            sk2 * c2l,
            ck2 * c2l,
            sk2 * sl2 * tf.cos(2.0 * phi),
            s2k * s2l * tf.cos(phi),
            s2k * sl * tf.cos(phi),
            sk2 * cl,
            ck2 * cl,
            s2k * sl * tf.sin(phi),
            s2k * s2l * tf.sin(phi),
            sk2 * sl2 * tf.sin(2.0 * phi),
        )
        parent, hadron = sm.m_parent**2, sm.m_hadron**2
        momentum = tf.sqrt((q2 - parent - hadron) ** 2 - 4.0 * parent * hadron)
        whole = tf.add_n([float(sign) * x * y for sign, x, y in zip(signs, j, f, strict=True)])
        return norm * q2 * momentum * beta / (512.0 * np.pi**3 * sm.m_parent**3) * whole

    return density


def unpack(packed: Any, n: int) -> Any:
    """Matrices of packed ones."""
    from darkpenguin.generator.fits.amplitude import unpacked

    return unpacked(packed, n)


def clock(works: dict[str, Any], rounds: int) -> dict[str, tuple[float, float]]:
    """Least seconds of CPU and of the wall of several things, which take turns, after one call of each."""
    found = dict.fromkeys(works, (np.inf, np.inf))
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time(), time.perf_counter()
            work()
            new = time.process_time() - start[0], time.perf_counter() - start[1]
            found[name] = min(found[name][0], new[0]), min(found[name][1], new[1])
    return found


def report(what: str, found: dict[str, tuple[float, float]], calls: int = 1) -> None:
    """Print seconds, and how many times ours they are."""
    ours = found["darkpenguin"]
    for name, (cpu, wall) in found.items():
        times = f"{cpu / ours[0]:5.1f} times {wall / ours[1]:5.1f} times"
        print(f"{what:20s} {name:15s} CPU {1e3 * cpu / calls:9.1f} ms  wall {1e3 * wall / calls:9.1f} ms  {times}")


def main() -> None:
    """Print the comparison; the exit code is 1 if values or minima differ."""
    if importlib.util.find_spec("zfit") is None:
        print("zfit is not installed: pip install zfit, in an environment of its own")
        return
    import zfit
    from darkpenguin.generator.fits.fit import minimised

    events = int(float(sys.argv[1])) if len(sys.argv) > 1 else 20_000
    cost, angles = likelihood(events)
    losses, parameters = zfit_losses(cost, angles)
    right = True
    for name, loss in losses.items():
        ours, theirs = [], []
        for place in PLACES:
            zfit.param.set_values(parameters, np.array(place) / UNITS)
            ours.append(cost(*place))
            theirs.append(2.0 * float(loss.value()))
        worst = float(np.max(np.abs(np.array(theirs) / ours - 1.0)))
        right &= worst < 1e-8
        print(f"{events:,} events, {name}: -2 ln L at {len(PLACES)} places: largest relative difference {worst:.1e}")

    results = {}

    def fit_of(name: str) -> None:
        zfit.param.set_values(parameters, np.array(START) / UNITS)
        found = zfit.minimize.Minuit(mode=0, tol=1e-5).minimize(losses[name])
        results[name] = found, found.hesse(name="errors")

    def ours_fit() -> None:
        cost._last = None
        results["darkpenguin"] = minimised(cost, search=False)

    fits = {"darkpenguin": ours_fit, **{name: lambda name=name: fit_of(name) for name in losses}}
    report("fit with errors", clock(fits, 1))
    for name in losses:
        result, errors = results[name]
        for row, parameter, unit in zip(results["darkpenguin"], parameters, UNITS, strict=True):
            value, error = result.params[parameter]["value"] * unit, errors[parameter]["error"] * unit
            shift = abs(row.value - value) / row.error
            right &= shift < 0.01
            both = f"{row.value:12.5g} ± {row.error:9.2g} {value:12.5g} ± {error:9.2g}"
            print(f"{name:10s} {row.name:32s} {both} {shift:.4f}")
    calls = 10

    def theirs_calls(name: str) -> None:
        for place in varied(calls):
            zfit.param.set_values(parameters, np.array(place) / UNITS)
            losses[name].value_gradient(parameters)

    evaluations = {name: lambda name=name: theirs_calls(name) for name in losses}
    ours_calls = {"darkpenguin": lambda: [(cost.gradient(*p), cost(*p)) for p in varied(calls)]}
    report("value and gradient", clock({**ours_calls, **evaluations}, 3), calls)
    if not right:
        raise SystemExit(1)


def varied(calls: int) -> list[tuple[float, ...]]:
    """Different values, so that none is remembered."""
    return [(2.5 + 1e-3 * i, *START[1:]) for i in range(calls)]


if __name__ == "__main__":
    main()
