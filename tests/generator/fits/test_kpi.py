"""The density of B → Kπ ℓℓ in a fit: that of `KpiDecay`, by quadrature, by differences, and F_S found in events."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError, as_model, get_channel
from darkpenguin.generator.fits.amplitude import unpacked
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.draws import draw_events
from darkpenguin.generator.fits.fit import likelihood_of
from darkpenguin.generator.fits.kpi import FRACTION, PHASE, KpiAmplitude
from darkpenguin.generator.fits.rates import Rate
from darkpenguin.generator.lab.efficiency_maps import LegendreMap
from darkpenguin.physics.angular import decay_rate, quadrature
from darkpenguin.physics.densities import KPI
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi

RANGE = (1.1, 8.0)
CHANNEL = get_channel("B0->K*0mumu")
MASS, COUPLING, C9 = "light_vectors.0.mass", "light_vectors.0.g_bs", "heavy.C9_mu"


def amplitude_of(model, system, flavour=1, convention="lhcb"):
    return KpiAmplitude(CHANNEL, flavour, model.theory, ["v", "a", "p"], convention, system=system)


def places(n, low, high):
    rng = np.random.default_rng(3)
    return {"q2": rng.uniform(low, high, n), "m_kpi": rng.uniform(0.8, 0.99, n),
            "cos_theta_k": rng.uniform(-1, 1, n), "cos_theta_l": rng.uniform(-1, 1, n),
            "phi": rng.uniform(-3, 3, n)}  # fmt: skip


def worst(amplitude, model, system, more, low, high):
    """Largest error of densities of events against `KpiDecay`, in units of an ordinary density."""
    columns = places(400, low, high)
    point = amplitude.point(model, more)
    forms = unpacked(Rate(amplitude, [(low, high)]).event_forms(columns), amplitude.size)
    v = point.at(columns["q2"])
    found = np.einsum("w,ewab,ae,be->e", point.waves, forms, v.conj(), v, optimize=True).real
    decay = KpiDecay(CHANNEL, model, system)
    j = decay.density(columns["q2"], columns["m_kpi"], amplitude.flavour, amplitude._convention)
    exact = KPI.norm * np.sum(KPI.basis(*(columns[name] for name in KPI.angles)) * j, axis=0)
    return np.max(np.abs(found - exact)) / np.median(exact)


@pytest.mark.parametrize(("flavour", "convention"), [(1, "lhcb"), (-1, "lhcb"), (1, "theory")])
@pytest.mark.parametrize("s_wave", ["lass", "isobar", "none"])
def test_densities_are_those_of_the_sampler(s_wave, flavour, convention):
    model = as_model("fig2", "heavy.C9_mu=-0.3+0.2j")
    system = resolve_kpi({"s_wave": s_wave})
    amplitude = amplitude_of(model, system, flavour, convention)
    if s_wave == "none":
        assert worst(amplitude, model, system, {}, 1.1, 3.0) < 3e-6
        return
    there = system.model_copy(update={"fraction": 0.2, "phase": 40.0})
    assert worst(amplitude, model, there, {FRACTION: 0.2, PHASE: 40.0}, 1.1, 3.0) < 3e-6
    assert worst(amplitude, model, there, {FRACTION: 0.2, PHASE: -40.0}, 1.1, 3.0) > 1e-2


def exact_rate(model, system, low, high, flavour=1):
    decay = KpiDecay(CHANNEL, model, system)
    nodes, weights = quadrature(decay.breakpoints(), low, high)
    return float(decay_rate(decay.spectrum(nodes, flavour)[:12]) @ weights)


@pytest.mark.parametrize(("low", "high", "error"), [(1.1, 8.0, 1e-9), (17.0, 20.0, 3e-7)])
def test_rates_are_those_of_quadrature_to_the_end_of_phase_space(low, high, error):
    model, system = as_model("fig2", "light_vectors.0.relative_width=0.001"), resolve_kpi("swave,fraction=0.3")
    amplitude = amplitude_of(model, system)
    rate = Rate(amplitude, [(low, high)])
    exact = exact_rate(model, system, low, high)
    assert rate.value(amplitude.point(model, {}))[0] == pytest.approx(exact, rel=error, abs=0)
    assert rate.value(amplitude.point(model, {FRACTION: 0.31}))[0] != pytest.approx(exact, rel=1e-4, abs=0)


def test_interference_counts_behind_an_efficiency_that_is_uneven():
    """By 24 × 40 nodes in q2 and mass, and a product of 12 in the angles; the waves interfere in cos θ_K."""
    model, system = as_model("fig2"), resolve_kpi("swave,phase=-60")
    uneven = LegendreMap((("cos_theta_k", -1.0, 1.0), ("q2", 1.0, 3.0)), np.array([[0.5, 0.1], [0.3, 0.05]]))
    amplitude = amplitude_of(model, system)
    found = Rate(amplitude, [(1.1, 3.0)], uneven).value(amplitude.point(model))[0]
    decay = KpiDecay(CHANNEL, model, system)
    nodes, weights = quadrature(decay.breakpoints(), 1.1, 3.0)
    *angles, solid = KPI.angular_grid
    f = KPI.norm * KPI.basis(*angles)
    total = 0.0
    for q2, weight, j in zip(nodes, weights, decay.spectrum(nodes, 1).T, strict=True):
        accepted = uneven.evaluate({"cos_theta_k": angles[0], "q2": np.full(len(solid), q2)}, CHANNEL)
        total += weight * float((j @ f) @ (solid * accepted))
    assert found == pytest.approx(total, rel=1e-8, abs=0)
    other = amplitude.point(model, {PHASE: 60.0})
    assert Rate(amplitude, [(1.1, 3.0)], uneven).value(other)[0] != pytest.approx(total, rel=1e-4, abs=0)


@pytest.fixture(scope="module")
def sample():
    return dp.generate("B0->K*0mumu", "fig2", events=4000, q2=[RANGE], seed=5, kpi="swave,phase=30")


FLOAT = {COUPLING: (-6e-8, 6e-8), C9: (-3, 3), FRACTION: None, PHASE: None}


def test_the_gradient_is_that_of_differences(sample):
    free = {MASS: (1.1, 2.8), **FLOAT}
    cost, values = likelihood_of(sample, FitCard.make(model="fig2", float=free)), [2.4, -1e-8, 0.3, 0.15, 50.0]
    gradient = cost.gradient(*values)
    assert -2 * cost.scores(values).sum(axis=0) == pytest.approx(gradient, rel=1e-8)
    for i, one in enumerate(cost.free):
        step = 1e-4 * (one.high - one.low)
        ends = [cost(*(x + k * step * (j == i) for j, x in enumerate(values))) for k in (2, 1, -1, -2)]
        slope = (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-5 / (one.high - one.low))


def test_the_fraction_and_phase_of_events_are_found(sample):
    """Pulls within 5.3: 1e-6 for four fields together; without the phase in the density they are not."""
    found = dp.fit(sample, model="fig2", float=FLOAT)
    assert found.converged, found.reason
    for row, truth in zip(found, (-1.5e-8, 0.0, 0.101, 30.0), strict=True):
        assert abs(row.value - truth) < 5.3 * row.error
    assert found[2].error < 0.015
    assert found[3].error < 10.0
    assert found.goodness[0].p_value > 1e-6
    bent = dp.fit(sample, model="fig2", kpi="swave,phase=-150", float={FRACTION: None})
    assert abs(bent[0].value - 0.101) > 5.3 * bent[0].error


def test_toys_have_the_fraction_and_phase_of_the_values(sample, monkeypatch):
    """What they are generated with; that its events have this fraction is tested with the generator."""
    card, asked = FitCard.make(model="fig2", float=FLOAT), {}

    def generated(*_, **keys):
        asked.update(keys)
        raise InputError("enough")

    monkeypatch.setattr("darkpenguin.generator.fits.draws.generate", generated)
    with pytest.raises(InputError, match="enough"):
        draw_events(sample, card, likelihood_of(sample, card), [-1e-8, 0.0, 0.3, 90.0], 1, 2)
    assert (asked["kpi"].fraction, asked["kpi"].phase, asked["kpi"].s_wave) == (0.3, 90.0, "lass")


def test_what_cannot_be_is_one_line(sample):
    columns, told = sample.to_numpy(), sample.provenance
    narrow = dp.generate("B0->K*0mumu", "fig2", events=50, q2=[RANGE], seed=5)
    wave = dp.generate("B0->K*0mumu", "fig2", events=50, q2=[RANGE], seed=5, kpi="pwave")
    heavy = {**columns, "m_kpi": columns["m_kpi"] + np.where(np.arange(4000) == 7, 1.0, 0.0)}
    cases = (
        (narrow, {}, "no S wave"),
        (wave, {}, "no S wave"),
        (narrow, {"kpi": "swave"}, "no K pi mass; take kpi = narrow"),
        (sample, {"kpi": "narrow"}, "a K pi mass; take kpi = pwave or swave"),
        (sample, {"kpi": {"factorised": True}, "float": {C9: (-3, 3)}}, "factorised"),
        (sample, {"float": {FRACTION: (0.0, 0.5)}}, "above 0 and below 1"),
        (sample, {"float": {"kpi.width": (0.04, 0.05)}}, "cannot float"),
        (type(sample)(heavy, told), {}, r"row 7: m_kpi = .* outside 0.796 to 0.996 GeV; 1 of"),
    )
    for events, keys, words in cases:
        with pytest.raises(InputError, match=words):
            dp.fit(events, **{"model": "fig2", "float": FLOAT, **keys})
