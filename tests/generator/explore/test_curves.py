"""What the explorer shows is what the commands say, at twenty random points."""

import json
from dataclasses import replace

import numpy as np
import pytest
from darkpenguin.generator.explore.curves import (
    SHOWN,
    band,
    chi2,
    chi2_invisible,
    curves,
    groups_of,
    measured,
    significance,
    values,
)
from darkpenguin.generator.explore.point import NONLOCAL, PHASE, Bases, V
from darkpenguin.generator.figures.figure_1 import figure_1_points
from darkpenguin.generator.figures.invisible import invisible_spectrum
from darkpenguin.generator.scans.scan import scan
from darkpenguin.generator.toys.sensitivity import sensitivity
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.models import as_model
from darkpenguin.physics.predict import predict


def random_points():
    """Twenty points, three of them with charmonium, two without V."""
    rng = np.random.default_rng(19)
    found = []
    for k in range(20):
        texts = {
            f"{V}mass": rng.uniform(1.2, 4.0),
            f"{V}relative_width": rng.uniform(0.05, 0.3),
            f"{V}g_bs": rng.uniform(-3e-8, 3e-8),
            f"{V}g_mu_v": rng.uniform(-0.1, 0.1),
            f"{V}g_mu_a": rng.uniform(-0.1, 0.1),
            f"{V}g_e_v": rng.uniform(-0.05, 0.05) * (k % 3 == 0),
            f"{V}g_e_a": rng.uniform(-0.05, 0.05) * (k % 3 == 0),
            f"{V}m_chi": rng.uniform(0.0, 0.5),
            "heavy.C9_mu": rng.uniform(-1.5, 0.5),
            "heavy.C10_mu": rng.uniform(-0.5, 0.5),
        }
        if k % 7 == 3:
            texts |= {NONLOCAL: "dispersive", PHASE: rng.uniform(-3, 3)}
        if k >= 18:
            texts = {"heavy.C9_mu": rng.uniform(-1.5, 0.5)}
        found.append(Bases().point("sm" if k >= 18 else "fig2").moved(texts))
    return found


POINTS = random_points()


@pytest.mark.parametrize("point", POINTS, ids=range(20))
def test_curves_are_those_of_predict(point):
    for shown in SHOWN:
        if shown.observable == "inv":
            continue
        low, high = (0.1, 8.6) if shown.panel else (0.1, 18.0)
        rows = predict(
            shown.observable, point.name, q2=(low, high), points=12, channel=shown.channel, set=point.settings
        )
        found = values(shown, point.model, np.array([row.q2_min for row in rows]))
        np.testing.assert_allclose(found, [row.value for row in rows], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("point", POINTS[::4], ids=range(5))
def test_bands_are_those_of_predict(point):
    for shown in SHOWN[:5]:
        rows = predict(
            shown.observable,
            point.name,
            q2=(1.0, 6.0),
            points=4,
            channel=shown.channel,
            set=point.settings,
            errors=True,
        )
        found = band(shown, point.model, np.array([row.q2_min for row in rows]))
        np.testing.assert_allclose(found, [row.error for row in rows], rtol=1e-10)


@pytest.mark.parametrize("point", POINTS, ids=range(20))
def test_invisible_spectra_are_those_of_the_figure(point):
    for shown, hadron in ((SHOWN[5], ("B+", "K+")), (SHOWN[6], ("B0", "K*0"))):
        if not point.model.light_vectors:
            continue
        spectrum = invisible_spectrum(*hadron, point.model, points=20)
        expected = spectrum.rate(spectrum.total)
        np.testing.assert_allclose(values(shown, point.model, spectrum.q2), expected, rtol=1e-10)


@pytest.mark.parametrize("point", POINTS, ids=range(20))
def test_chi_squared_is_that_of_a_scan(point):
    key = f"{V}g_mu_a" if point.name == "fig2" else "heavy.C9_mu"
    where = {"key": key, "min": point.values[key], "max": 0.9, "points": 2}
    groups = [name for name in groups_of("current") if name != "K_inv"]
    result = scan(model=point.name, settings=point.settings, axes=[where], groups=groups, data="current", device="cpu")
    found = chi2(point.model, "current")
    assert list(found) == groups
    for name, value in found.items():
        assert value == pytest.approx(result.chi2[name][0], rel=1e-9)


def test_chi_squared_of_the_invisible_spectrum():
    point = POINTS[1]
    where = {"key": f"{V}g_mu_a", "min": point.values[f"{V}g_mu_a"], "max": 0.2, "points": 2}
    result = scan(model=point.name, settings=point.settings, axes=[where], groups=["K_inv"], device="cpu")
    assert chi2_invisible(point.model, "current")["K_inv"] == pytest.approx(result.chi2["K_inv"][0], rel=1e-5)
    assert chi2_invisible(point.model, "2017") == {}


@pytest.mark.parametrize(
    "point",
    [pytest.param(p, marks=() if k in (0, 18) else pytest.mark.slow) for k, p in enumerate(POINTS)],
    ids=range(20),
)
def test_constraints_are_those_of_the_command(point):
    """Row by row."""
    told = constraints(point.name, point.data, set=point.settings)
    seen = constraints(point.model, point.data)
    assert json.dumps(seen.to_dict()["rows"]) == json.dumps(told.to_dict()["rows"])


@pytest.mark.parametrize("point", POINTS, ids=range(20))
def test_settings_of_the_command_line_make_the_model(point):
    assert as_model(point.name, point.settings).model_copy(update={"name": point.model.name}) == point.model


def test_what_does_not_move_is_kept():
    """A change of a muon's coupling leaves points of q2 and the electrons' amplitudes as they are."""
    start = Bases().start()
    one, other = (curves(start.moved({f"{V}g_mu_v": g}).model) for g in (0.05, 0.06))
    for shown in SHOWN:
        assert (one[shown.name].q2 == other[shown.name].q2).all()
    assert not np.allclose(one["R_K+"].value, other["R_K+"].value, rtol=1e-6)
    assert np.all(one["inv-K"].value > 0)


def test_couplings_of_all_kinds(tmp_path):
    """Complex and right-handed couplings of a model of one's own are in the polynomials, and what else shifts them."""
    file = tmp_path / "own.toml"
    file.write_text(
        '[heavy]\nC9p_mu = "0.3+0.2j"\nC10_e = -0.4\n[[light_vectors]]\nmass = 2.0\nrelative_width = 0.2\n'
        'g_bs = "-1e-8+1e-8j"\ng_bs_right = 4e-9\ng_mu_v = 0.03\n[[light_vectors]]\nmass = 3.0\nwidth = 0.3\n'
        "g_bs = 1e-8\ng_mu_v = 0.05\n"
    )
    point = Bases(str(file)).start().moved({f"{V}g_mu_v": 0.04})
    where = {"key": f"{V}g_mu_v", "min": 0.04, "max": 0.05, "points": 2}
    result = scan(model=str(file), axes=[where], groups=["R_K", "P5p"], data="2017", device="cpu")
    found = chi2(point.model, "2017")
    for name in ("R_K", "P5p"):
        assert found[name] == pytest.approx(result.chi2[name][0], rel=1e-9)


def test_measured_points_are_those_of_figure_1():
    for shown in SHOWN:
        assert measured(shown, "2017") == (figure_1_points(shown.panel, "2017") if shown.panel else [])
    assert len(measured(SHOWN[2], "2017")) > 5


def test_significance_is_that_of_the_command():
    point = Bases().start()
    found = significance(point.model, "lhcb-run12", observables=["R_K+"])
    told = sensitivity(truth={"model": "fig2"}, null={"model": "sm"}, observables=["R_K+"], toys=0, what_if={})
    np.testing.assert_allclose(found.curves["R_K+"], told.curves["R_K+"], rtol=1e-9)
    assert found.unit == told.unit


def test_a_bent_propagator_is_seen():
    """The comparison with `predict` is sharp: a mass that is off by 1e-6 fails it."""
    point = POINTS[0]
    bent = replace(point, items=tuple((k, v * (1 + 1e-6) if k == f"{V}mass" else v) for k, v in point.items))
    rows = predict("R_K+", point.name, q2=(0.1, 8.6), points=12, set=point.settings)
    q2 = np.array([row.q2_min for row in rows])
    assert not np.allclose(values(SHOWN[0], bent.model, q2), [row.value for row in rows], rtol=1e-10, atol=1e-13)
