"""Tables in q2 and the Kpi mass, and events from them: against the density itself and against its quadrature.

False-alarm rates: 1e-7 a test, all its comparisons together (Bonferroni).
"""

from functools import cache

import numpy as np
import pytest
from darkpenguin import InputError, generate, get_channel, get_model, run, validate
from darkpenguin.generator.analysis.accumulator import Accumulator
from darkpenguin.generator.analysis.validate import compare, predict_kpi
from darkpenguin.generator.run.card import make_card
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.generator.sampler.kpi_tables import kpi_table
from darkpenguin.kinematics.base.threads import available_threads
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi
from darkpenguin.physics.models import as_model
from darkpenguin.physics.resonances import resonance_rows

FALSE_ALARM = 1e-7
RANGES = ((1.1, 6.0), (15.0, 19.0))  # the second one ends where the end of phase space passes, at m = 0.92 GeV
WIDE = {"s_wave": "isobar", "m_min": 0.65, "m_max": 1.5, "fraction": 0.2}


def decay(name="B0->K*0mumu", model="fig2", system="swave"):
    return KpiDecay(get_channel(name), get_model(model), resolve_kpi(WIDE if system == "wide" else system))


@cache
def rows_of(name, model, system, ranges):
    return kpi_table(decay(name, model, system), q2_ranges=ranges)


@pytest.fixture(scope="module")
def table():
    return rows_of("B0->K*0mumu", "fig2", "swave", RANGES)


@pytest.fixture(scope="module")
def predictions():
    return predict_kpi(decay(), q2=RANGES)


@pytest.fixture(scope="module")
def events(table):
    """Three million events, in float32."""
    return CpuBackend("float32", available_threads()).generate(table, 11, 0, 3_000_000)


def p_value(expected, columns):
    """Smallest p-value times the number of tests."""
    tests = []
    for name, prediction in expected.items():
        accumulator = Accumulator(prediction, tolerance=1e-6, variable=name)
        accumulator.add(columns)
        assert (accumulator.outside, accumulator.bad) == (0, 0)
        tests += compare(prediction, accumulator.sums, name)
    return len(tests) * min(test.p_value for test in tests)


@pytest.mark.parametrize(
    ("name", "model", "system", "ranges"),
    [
        ("B0->K*0mumu", "fig2", "swave", RANGES),
        ("B+->K*+ee", "sm", "pwave", ((0.1, 22.0),)),
        pytest.param("B0->K*0mumu", "sm", "wide", ((14.0, 21.0),), marks=pytest.mark.slow),
        ("B0->K*0chichi", "belle2-2.1gev", "pwave", ((0.0, 22.0),)),
    ],
)
def test_the_table_is_the_density(name, model, system, ranges):
    """Every coefficient at random points within 1e-4 of the local rate, near the end of that 0.05 GeV^2 before."""
    found = decay(name, model, system)
    rows = rows_of(name, model, system, ranges)
    rng, rate = np.random.default_rng(2), np.array(rows.density.rate)
    for mass in rng.uniform(*found.system.window, 12):
        end = found.q2_limits(mass)[1]
        q2 = np.sort(np.concatenate([rng.uniform(low, min(high, end), 100) for low, high in ranges if low < end]))
        for flavour in (1, -1):
            exact = found.density(q2, mass, flavour)
            local = rate @ found.density(np.minimum(q2, end - 0.05), mass, flavour)
            assert (np.abs(rows.at(q2, mass, flavour) - exact) / local).max() < 1e-4


def test_a_line_of_93_kev_and_one_that_the_end_of_phase_space_moves_through():
    """J/psi in a band of q2 with few mass nodes, psi(4160) in one with many; within 1e-4 as above, in all of q2."""
    theory = {"nonlocal": "resonances", "resonances": {name: {"on": False} for name in resonance_rows()}}
    theory["resonances"] |= {"J/psi": {}, "psi(4160)": {}}
    found = KpiDecay(
        get_channel("B0->K*0mumu"), as_model("sm", theory=theory), resolve_kpi("swave,m_min=0.85,m_max=0.94")
    )
    rows = kpi_table(found, "b")
    nodes = np.diff(np.append(rows.bands, len(rows.masses)))
    assert len(nodes) == 3
    assert nodes[0] < 0.3 * nodes[-1]
    assert len(rows.q2) < 60_000
    rng, rate = np.random.default_rng(3), np.array(rows.density.rate)
    pole, width = 3.0969**2, 3.0969 * 9.26e-5
    for mass in rng.uniform(0.85, 0.94, 6):
        end = found.q2_limits(mass)[1]
        q2 = np.sort(np.concatenate([rng.uniform(0.05, end, 200), pole + width * rng.standard_cauchy(200)]))
        q2 = q2[(q2 > 0.05) & (q2 < end)]
        exact = found.density(q2, mass, 1)
        local = rate @ found.density(np.minimum(q2, end - 0.05), mass, 1)
        assert (np.abs(rows.at(q2, mass, 1) - exact) / local).max() < 1e-4


def test_rates_moments_and_fraction_are_those_of_quadrature(table, predictions):
    for prediction in predictions.values():
        for row, flavour in enumerate(prediction.flavours):
            integral = prediction.integrals[row].sum(axis=0)
            assert abs(table.rates[flavour] / prediction.rates[flavour] - 1) < 3e-5
            np.testing.assert_allclose(table.integral(flavour), integral, rtol=0, atol=3e-5 * table.rates[flavour])
    assert kpi_table(decay(model="sm"), q2_ranges=[(1.1, 6.0)]).fraction() == pytest.approx(0.101, abs=1e-5)


def test_events_are_the_prediction(events, predictions):
    assert p_value(predictions, events) > FALSE_ALARM


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("fig2", {"fraction": 0.085}),
        pytest.param("fig2", {"phase": 8.0}, marks=pytest.mark.slow),
        pytest.param("fig2", {"width": 0.0478}, marks=pytest.mark.slow),
        pytest.param("fig2", {"radius": 2.2}, marks=pytest.mark.slow),
        pytest.param("sm", {}, marks=pytest.mark.slow),
    ],
)
def test_events_are_nothing_near_the_prediction(events, model, changes):
    bent = decay(model=model, system={"s_wave": "lass", **changes})
    assert p_value(predict_kpi(bent, q2=RANGES), events) < FALSE_ALARM


@pytest.mark.parametrize(
    ("name", "model"),
    [("B0->K*0chichi", "belle2-2.1gev"), pytest.param("B+->K*+nunu", "sm", marks=pytest.mark.slow)],
)
def test_invisible_pairs_beside_a_kstar_of_finite_width(name, model):
    found = decay(name, model, "pwave")
    columns = CpuBackend("float32", available_threads()).generate(kpi_table(found), 11, 0, 1_000_000)
    assert p_value(predict_kpi(found), columns) > FALSE_ALARM
    assert p_value(predict_kpi(decay(name, model, {"width": 0.049})), columns) < FALSE_ALARM


def test_masses_and_q2_stay_in_phase_space(events):
    assert events["m_kpi"].min() >= np.float32(0.796)
    assert events["m_kpi"].max() <= np.float32(0.996)
    q2, mass = events["q2"].astype("f8"), events["m_kpi"].astype("f8")
    assert (np.sqrt(q2) <= (5.27966 - mass) * (1 + 1e-6)).all()
    assert ((q2 > 1.0999) & (q2 < 6.0001) | (q2 > 14.999) & (q2 < 19.001)).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_any_partition_has_the_same_bits(table, precision):
    whole = CpuBackend(precision, 2).generate(table, 5, 2**32 - 40_000, 2**32 + 40_000, stream=3)
    for low, high in ((0, 1), (63, 65), (39_990, 70_001), (0, 80_000)):
        part = CpuBackend(precision, 1).generate(table, 5, 2**32 - 40_000 + low, 2**32 - 40_000 + high, stream=3)
        for name, column in part.items():
            assert column.tobytes() == whole[name][low:high].tobytes(), name


def test_both_precisions_have_the_same_events(table):
    single, double = (CpuBackend(p, 1).generate(table, 5, 0, 100_000) for p in ("float32", "float64"))
    different = np.abs(single["q2"] - double["q2"]) > 1e-4
    for name in ("cos_theta_k", "cos_theta_l", "phi", "m_kpi"):
        different |= np.abs(single[name] - double[name]) > 1e-3
    assert different.mean() < 1e-4  # a choice within rounding of its threshold


def test_files_validate_and_momenta_have_the_mass(tmp_path):
    """One file with a K* of finite width and a kaon; the mass of K and pi is its column."""
    card = make_card(
        channels=["B0->K*0mumu", "B+->K+mumu"],
        model="fig2",
        events=60_000,
        seed=3,
        kpi="swave",
        q2=[RANGES[0]],
        beam="belle2",
        output=str(tmp_path / "x.root"),
    )
    run(card)
    verdict = validate(tmp_path / "x.root")
    assert verdict.passed
    assert "m_kpi" in {test.name for test in verdict.channels[0].tests}
    sample = generate("B0->K*0mumu", "fig2", 1000, seed=3, kpi="swave", q2=[RANGES[0]], beam="belle2")
    assert sample.names[:5] == ("q2", "cos_theta_k", "cos_theta_l", "phi", "m_kpi")
    p = sample.to_vector()
    np.testing.assert_allclose((p.k + p.pi).mass, sample["m_kpi"], rtol=0, atol=1e-10)
    np.testing.assert_allclose((p.lp + p.lm).mass2, sample["q2"], rtol=0, atol=1e-9)
    np.testing.assert_allclose((p.k + p.pi + p.lp + p.lm).mass, 5.27966, rtol=0, atol=1e-10)


def test_a_doctored_file_is_noticed(tmp_path):
    """Masses moved by 1 MeV: the angles are as they were."""
    from darkpenguin.generator.files.sample import read_events
    from darkpenguin.generator.files.writers import open_writer

    made = {"channels": "B0->K*0mumu", "events": 200_000, "seed": 3, "kpi": "pwave", "q2": [RANGES[0]]}
    card = make_card(**made, output=str(tmp_path / "x.root"))
    run(card)
    sample = read_events(tmp_path / "x.root")
    columns = sample.to_numpy()
    columns["m_kpi"] = np.clip(columns["m_kpi"] + 0.001, 0.796, 0.996)
    schema = {name: column.dtype for name, column in columns.items()}
    with open_writer(tmp_path / "y.root", schema, dict(sample.provenance)) as writer:
        writer.extend(columns)
    assert validate(tmp_path / "x.root").passed
    assert not validate(tmp_path / "y.root").passed


def test_ranges_beyond_phase_space_are_refused():
    with pytest.raises(InputError, match="phase space"):
        kpi_table(decay(), q2_ranges=[(21.0, 22.0)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "system"),
    [
        ("B0->K*0mumu", "fig2", "swave"),
        ("B0->K*0ee", "sm", "pwave"),
        ("B+->K*+mumu", "fig1-2.0gev", WIDE),
    ],
)
def test_closure(name, model, system):
    """10^8 events of both flavours over all of q2."""
    found = decay(name, model, system)
    rows, predictions = kpi_table(found), predict_kpi(found)
    accumulators = {
        key: Accumulator(prediction, tolerance=1e-6, variable=key) for key, prediction in predictions.items()
    }
    backend, columns, chunk = CpuBackend("float32", available_threads()), None, 1 << 20
    for start in range(0, 96 * chunk, chunk):
        columns = backend.generate(rows, 20170419, start, start + chunk, found.channel.index, out=columns)
        for accumulator in accumulators.values():
            accumulator.add(columns)
    tests = [
        test for key, accumulator in accumulators.items() for test in compare(predictions[key], accumulator.sums, key)
    ]
    assert all((a.outside, a.bad) == (0, 0) for a in accumulators.values())
    assert len(tests) * min(test.p_value for test in tests) > FALSE_ALARM
