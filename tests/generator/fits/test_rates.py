"""Rates and densities of parabolas and poles: quadrature, scipy, sums over pieces."""

import numpy as np
import pytest
from darkpenguin import InputError, as_model, get_channel
from darkpenguin.generator.fits import amplitude as amplitude_module
from darkpenguin.generator.fits import rates
from darkpenguin.generator.fits.amplitude import Amplitude, shifts_of, unpacked
from darkpenguin.generator.fits.rates import Rate, cells_of
from darkpenguin.generator.lab.efficiency_maps import ConstantMap, HistogramMap, LegendreMap
from darkpenguin.physics.angular import breakpoints, decay_rate, event_density, quadrature
from darkpenguin.physics.densities import SCALAR, VECTOR
from scipy.integrate import quad


def amplitude_of(name, model, flavour=1):
    channel = get_channel(name)
    return Amplitude(channel, flavour, model.theory, shifts_of(channel, [model]))


def exact_rate(name, model, low, high, flavour=1):
    channel = get_channel(name)
    nodes, weights = quadrature(breakpoints(channel, model), low, high)
    return float(decay_rate(event_density(channel, model, nodes, flavour)) @ weights)


def test_integrals_of_a_parabola_over_a_pole_are_those_of_scipy():
    cells = cells_of(lambda q2: 3.0 - q2 + 0.5 * q2**2, np.array([1.3]), [(1.0, 2.0), (2.5, 3.0)])
    for z in (1.4 - 0.3j, 7.0 - 1e-3j, 2.2 - 0.01j):
        plain, found, slope = cells.integrals(np.array([z]))
        wave, wave_2 = 0j, 0j
        for low, high in ((1.0, 2.0), (2.5, 3.0)):
            for k, part in enumerate((np.real, np.imag)):
                unit = (1.0, 1j)[k]
                at = [z.real] if low < z.real < high else None
                f = lambda x, p, z=z, part=part: float(part((3.0 - x + 0.5 * x**2) / (x - z) ** p))  # noqa: E731
                wave += unit * quad(f, low, high, args=(1,), points=at, epsabs=1e-13, limit=200)[0]
                wave_2 += unit * quad(f, low, high, args=(2,), points=at, epsabs=1e-13, limit=200)[0]
        assert abs(found[0] - wave) < 1e-11
        assert abs(slope[0] - wave_2) < 1e-10
    exact = sum(3.0 * (b - a) - (b**2 - a**2) / 2 + (b**3 - a**3) / 6 for a, b in ((1.0, 2.0), (2.5, 3.0)))
    assert abs(plain - exact) < 1e-13


@pytest.mark.parametrize("width", [1e-8, 1e-4, 0.2])
@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+mumu"])
def test_rates_are_those_of_quadrature_for_any_width(name, width):
    model = as_model("fig2", f"light_vectors.0.relative_width={width!r}")
    for low, high in ((1.1, 6.0), (6.0, 8.0)):  # the pole, at 6.25 GeV^2, outside and inside
        amplitude = amplitude_of(name, model)
        found, _ = Rate(amplitude, [(low, high)]).value(amplitude.point(model))
        assert abs(found / exact_rate(name, model, low, high) - 1) < 2e-9


def test_rates_with_charmonium():
    model = as_model("fig2", theory={"nonlocal": "resonances"})
    amplitude = amplitude_of("B+->K+mumu", model, -1)
    found, _ = Rate(amplitude, [(1.0, 18.0)]).value(amplitude.point(model))
    assert abs(found / exact_rate("B+->K+mumu", model, 1.0, 18.0, -1) - 1) < 1e-8


def test_a_coarser_parabola_is_noticed(monkeypatch):
    monkeypatch.setattr(amplitude_module, "SPLIT", 1)
    model = as_model("fig2")
    amplitude = amplitude_of("B+->K+mumu", model)
    found, _ = Rate(amplitude, [(1.1, 6.0)]).value(amplitude.point(model))
    assert abs(found / exact_rate("B+->K+mumu", model, 1.1, 6.0) - 1) > 1e-8


def test_the_change_of_a_rate_is_that_of_differences():
    model = as_model("fig2", ["light_vectors.1.mass=1.7", "light_vectors.1.width=0.1", "light_vectors.1.g_bs=1e-8",
                              "light_vectors.1.g_mu_v=0.1"])  # fmt: skip
    amplitude = amplitude_of("B0->K*0mumu", model)
    rate, point = Rate(amplitude, [(1.1, 8.0)]), amplitude.point(model)
    value, g = rate.value(point)
    n, m = amplitude.size, len(point.poles)
    for i in range(n + n * m + m):
        for unit in (1.0, 1j):
            step = 1e-5 * (unit if i >= n + n * m else unit * max(abs(point.flat()[i]), 1e-3))
            ends = []
            for sign in (1, -1):
                flat = point.flat()
                flat[i] += sign * step
                moved = type(point)(flat[:n], flat[n : n + n * m].reshape(n, m), flat[n + n * m : n + n * m + m])
                ends.append(rate.value(moved)[0])
            assert (ends[0] - ends[1]) / 2 == pytest.approx(2 * (g[i] * step).real, rel=1e-5, abs=1e-9 * value)


def test_densities_of_events_and_the_spectrum():
    model, rng = as_model("fig2"), np.random.default_rng(4)
    amplitude = amplitude_of("B0->K*0mumu", model)
    rate, point = Rate(amplitude, [(1.1, 6.0), (7.0, 8.0)]), amplitude.point(model)
    q2 = np.concatenate([rng.uniform(1.1, 6.0, 500), rng.uniform(7.0, 8.0, 100)])
    columns = {"q2": q2, "cos_theta_k": rng.uniform(-1, 1, 600), "cos_theta_l": rng.uniform(-1, 1, 600),
               "phi": rng.uniform(-3, 3, 600)}  # fmt: skip
    v, forms = point.at(q2), unpacked(rate.event_forms(columns)[:, 0], amplitude.size)
    found = np.einsum("ae,eab,be->e", v.conj(), forms, v).real
    f = VECTOR.basis(*(columns[name] for name in VECTOR.angles))
    exact = VECTOR.norm * np.einsum("ie,ie->e", f, event_density(get_channel("B0->K*0mumu"), model, q2, 1))
    assert np.max(np.abs(found / exact - 1)) < 1e-7
    pieces = rate.pieces(30)
    assert not any(low < 6.5 < high for low, high in pieces)
    spectrum = rate.spectrum(point, pieces)
    assert spectrum.sum() == pytest.approx(rate.value(point)[0], rel=1e-9, abs=0)
    assert spectrum[3] == pytest.approx(exact_rate("B0->K*0mumu", model, *pieces[3]), rel=1e-8, abs=0)


MAPS = (
    LegendreMap((("q2", 1.0, 9.0), ("cos_theta_l", -1.0, 1.0)), np.array([[0.5, 0.1, -0.2], [0.1, 0.05, 0.02]])),
    HistogramMap(("q2", "cos_theta_l"), (np.array([0.0, 2.5, 4.0, 20.0]), np.array([-1.0, 0.2, 1.0])),
                 np.array([[0.2, 0.9], [0.5, 0.1], [0.7, 0.3]])),
    ConstantMap(0.25),
)  # fmt: skip


@pytest.mark.parametrize("efficiency", MAPS, ids=["legendre", "histogram", "constant"])
def test_rates_behind_an_efficiency_are_those_of_brute_force(efficiency):
    model = as_model("fig2")
    amplitude = amplitude_of("B+->K+mumu", model)
    rate = Rate(amplitude, [(1.1, 6.0)], efficiency)
    edges = np.unique([*breakpoints(get_channel("B+->K+mumu"), model), 2.5, 4.0])
    nodes, weights = quadrature(edges, 1.1, 6.0)
    x, w = np.polynomial.legendre.leggauss(200)
    # the jump at 0.2 between two of its panels
    x, w = np.concatenate([0.6 * x - 0.4, 0.4 * x + 0.6]), np.concatenate([0.6 * w, 0.4 * w])
    j = event_density(get_channel("B+->K+mumu"), model, nodes, 1)
    total = 0.0
    for q2, weight, row in zip(nodes, weights, j.T, strict=True):
        accepted = np.broadcast_to(
            efficiency.evaluate({"q2": np.full(len(x), q2), "cos_theta_l": x}, get_channel("B+->K+mumu")), len(x)
        )
        total += weight * float(SCALAR.norm * (row @ SCALAR.basis(x)) @ (w * accepted))
    assert rate.value(amplitude.point(model))[0] == pytest.approx(total, rel=1e-7, abs=0)


ALL = ("q2", "cos_theta_k", "cos_theta_l", "phi")
RANGES = {"q2": (0.0, 20.0), "cos_theta_k": (-1.0, 1.0), "cos_theta_l": (-1.0, 1.0), "phi": (-np.pi, np.pi)}


def maps_of_all_angles():
    """Neither even nor factorised, so that every J_i counts."""
    terms = np.random.default_rng(7).uniform(-0.01, 0.01, (2, 3, 3, 4))
    terms[0, 0, 0, 0] = 0.5
    edges = (np.array([0.0, 3.0, 20.0]), np.array([-1.0, -0.3, 0.5, 1.0]), np.array([-1.0, 0.1, 1.0]),
             np.array([-np.pi, -2.0, 0.4, np.pi]))  # fmt: skip
    values = np.random.default_rng(8).uniform(0.1, 0.9, (2, 3, 2, 3))
    return LegendreMap(tuple((name, *RANGES[name]) for name in ALL), terms), HistogramMap(ALL, edges, values)


@pytest.mark.parametrize("efficiency", maps_of_all_angles(), ids=["legendre", "histogram"])
def test_rates_behind_maps_of_all_angles(efficiency):
    """By scipy's own product of 40 nodes between all edges of the histogram, in angles; each J_i by itself too."""
    channel, model = get_channel("B0->K*0mumu"), as_model("fig2")
    amplitude = amplitude_of("B0->K*0mumu", model)
    rate = Rate(amplitude, [(1.1, 6.0)], efficiency)
    x, w = np.polynomial.legendre.leggauss(40)

    def nodes(ends):
        low, high = np.array(ends[:-1])[:, None], np.array(ends[1:])[:, None]
        return (low + 0.5 * (high - low) * (x + 1)).ravel(), (0.5 * (high - low) * w).ravel()

    theta_k, w_k = nodes(np.arccos([1.0, 0.5, -0.3, -1.0]))
    theta_l, w_l = nodes(np.arccos([1.0, 0.1, -1.0]))
    phi, w_p = nodes([-np.pi, -2.0, 0.4, np.pi])
    ck, cl, p = (a.ravel() for a in np.meshgrid(np.cos(theta_k), np.cos(theta_l), phi, indexing="ij"))
    weights = np.einsum("i,j,k->ijk", w_k * np.sin(theta_k), w_l * np.sin(theta_l), w_p).ravel()
    f = VECTOR.norm * weights * VECTOR.basis(ck, cl, p)
    places = np.array([2.0, 4.5])
    for q2, found in zip(
        places, rates.angular_weights(VECTOR, efficiency, channel, [(1.1, 6.0)])(places).T, strict=True
    ):
        columns = {"q2": np.full(len(p), q2), "cos_theta_k": ck, "cos_theta_l": cl, "phi": p}
        exact = f @ efficiency.evaluate(columns, channel)
        assert np.abs(found - exact).max() < 1e-8
        assert np.abs(exact[3:]).min() > 1e-7  # all of them are seen
    q2, weight = quadrature(np.unique([*breakpoints(channel, model), 3.0]), 1.1, 6.0)
    accepted = rates.angular_weights(VECTOR, efficiency, channel, [(1.1, 6.0)])(q2)
    exact = np.sum(weight * accepted * event_density(channel, model, q2, 1))
    assert rate.value(amplitude.point(model))[0] == pytest.approx(exact, rel=1e-7, abs=0)


def test_a_map_that_is_cut_is_refused():
    cut = LegendreMap((("q2", 0.0, 20.0),), np.array([0.5, 0.9]), clip=True)
    with pytest.raises(InputError, match="cut at 0 or 1"):
        Rate(amplitude_of("B+->K+mumu", as_model("fig2")), [(1.1, 6.0)], cut)
    never = LegendreMap((("q2", 0.0, 20.0),), np.array([0.5, 0.2]), clip=True)
    assert Rate(amplitude_of("B+->K+mumu", as_model("fig2")), [(1.1, 6.0)], never).forms is not None


def test_a_map_of_momenta_is_refused():
    model = as_model("fig2")
    with pytest.raises(InputError, match="reads k_px"):
        Rate(amplitude_of("B+->K+mumu", model), [(1.1, 6.0)], LegendreMap((("k_px", 0.0, 1.0),), np.array([0.5])))
