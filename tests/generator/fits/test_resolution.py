"""Resolutions of q2 in fits: normalised, drawn, measured on simulated events, and refused where they cannot be."""

import math

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError, get_channel
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.fits import resolution as module
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.resolution import Resolution, measured, simulated
from darkpenguin.generator.lab.settings import ResolutionSettings
from scipy.integrate import quad
from scipy.stats import kstest
from typer.testing import CliRunner

TWO = Resolution(
    q2=(1.0, 3.0, 5.0, 9.0),
    sigma=(0.02, 0.06, 0.11, 0.3),
    bias=(0.01, 0.0, -0.02, 0.03),
    fractions=(0.7, 0.3),
    scales=(0.8, 1.5),
)


def test_a_resolution_is_normalised_and_drawn():
    for true in (1.5, 6.0):
        at = np.array([true])
        reach = float(TWO.reach(at)[0])
        integral = quad(lambda q: TWO.density(q, at)[0], true - reach, true + 0.1, points=[true], epsabs=1e-11)[0]  # noqa: B023
        assert TWO.below(true + 0.1, at)[0] == pytest.approx(integral, abs=1e-10)
        drawn = TWO.drawn(np.full(100_000, true), np.random.default_rng(3).random((100_000, 2)))
        # one value in a million is below 1e-6; a width of one part in fifty more is not
        assert kstest(drawn, lambda q: TWO.below(q, at)).pvalue > 1e-6  # noqa: B023
        bent = TWO.model_copy(update={"scales": (0.83, 1.55)})
        assert kstest(drawn, lambda q: bent.below(q, at)).pvalue < 1e-6  # noqa: B023


def test_a_resolution_is_measured_in_events():
    rng = np.random.default_rng(5)
    true = rng.uniform(1.0, 9.0, 300_000)
    one = TWO.model_copy(update={"q2": (1.0, 9.0), "sigma": (0.008, 0.09), "bias": (0.0, 0.01)})
    found = measured(true, one.drawn(true, rng.random((len(true), 2))), [(1.0, 9.0)])
    at = np.array([1.5, 2.5, 4.0, 6.0, 8.0])
    spread = one.width(at) * np.sqrt(0.7 * 0.8**2 + 0.3 * 1.5**2)
    own = found.width(at) * np.sqrt(np.dot(found.fractions, np.square(found.scales)))
    assert own == pytest.approx(spread, rel=0.01)  # 0.13 % of each
    for sign in (0.5, 1.0, 2.0):
        place = at + sign * spread
        assert found.below(place, at) == pytest.approx(one.below(place, at), abs=0.005)


def test_a_detector_is_measured_in_simulated_events(monkeypatch):
    """On 60,000 events; pulls of other ones within 5 of their errors of one, and a tenth more is not."""
    monkeypatch.setattr(module, "SIMULATED", 60_000)
    settings = ResolutionSettings.model_validate("belle2")
    found = simulated(get_channel("B+->K+mumu"), settings, "belle2", [(1.1, 8.0)])
    assert found == simulated(get_channel("B+->K+mumu"), settings, "belle2", [(1.1, 8.0)])
    events = dp.generate("B+->K+mumu", "sm", events=30_000, q2=[(1.1, 8.0)], beam="belle2", resolution="belle2", seed=8)
    columns = events.to_numpy()
    pulls = (columns["q2_reco"] - columns["q2"] - found.shift(columns["q2"])) / found.width(columns["q2"])
    assert abs(pulls.mean()) < 5 / np.sqrt(30_000) + 5 / np.sqrt(60_000)
    spread = np.dot(found.fractions, np.square(found.scales)) ** 0.5
    assert pulls.std() == pytest.approx(spread, rel=5 * np.sqrt(0.5 / 30_000 + 0.5 / 60_000) + 0.005)
    assert pulls.std() != pytest.approx(1.1 * spread, rel=0.05)


@pytest.mark.parametrize(
    ("resolution", "words"),
    [
        ("lchb", "lhcb"),
        (-0.01, "widths above 0"),
        ({"sigma": [0.1, 0.2]}, "2 numbers for 0 q2"),
        ({"sigma": [0.1, 0.2], "q2": [3, 2]}, "rising"),
        ({"sigma": 0.1, "fractions": [0.5, 0.4], "scales": [1, 2]}, "1 together"),
        ({"sigma": 0.1, "fractions": [0.5, 0.5]}, "scales"),
        ({"sigma": 0.1, "width": 3}, "width"),
    ],
)
def test_what_is_no_resolution_is_refused(resolution, words):
    with pytest.raises(InputError, match=words) as caught:
        FitCard.make(float={"heavy.C9_mu": (-3, 3)}, resolution=resolution)
    assert "\n" not in str(caught.value)


def test_what_a_fit_cannot_smear_is_refused(tmp_path):
    plain = dp.generate("B+->K+mumu", "sm", events=200, q2=[(1.1, 8.0)], seed=1)
    keys = {"model": "sm", "float": {"heavy.C9_mu": (-3, 3)}}
    found = plain.to_numpy()
    seen = type(plain)({**found, "q2_reco": found["q2"]}, plain.provenance)
    for events, resolution, words in (
        (plain, 0.05, "have no q2_reco"),
        (seen, "file", "made without one"),
        (seen, "lhcb", "without a beam"),
        (seen, 1e-5, "does not matter"),
        (seen, {"sigma": [0.1, 0.2], "q2": [2.0, 9.0]}, "that of the events is 1.1 to 8"),
    ):
        with pytest.raises(InputError, match=words):
            dp.fit(events, resolution=resolution, **keys)
    with pytest.raises(InputError, match="no event"):
        dp.fit(seen, resolution=0.05, q2=[(20.0, 21.0)], **keys)
    with pytest.raises(InputError, match="none of"):
        dp.fit(plain, q2=[(20.0, 21.0)], **keys)
    with pytest.raises(InputError, match="leave out one"):
        dp.fit(seen, resolution=0.05, nuisances="charm", **keys)
    electrons = dp.generate("B+->K+ee", "sm", events=200, q2=[(1.1, 8.0)], seed=1, beam="belle2", resolution="belle2")
    with pytest.raises(InputError, match="no Gaussian"):
        dp.fit(electrons, resolution="file", model="sm", float={"heavy.C9_e": (-3, 3)})
    path = plain.write(str(tmp_path / "x.parquet"))
    result = CliRunner().invoke(app, ["fit", str(path), "--float", "heavy.C9_mu,-3,3", "--resolution", "lchb"])
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1


def test_a_measured_width_follows_the_velocity_down_to_the_threshold():
    """As in a file of all q2. A polynomial of the variance was negative there.

    4 % are 3.6 errors of one of 48 bins, of which the polynomial averages ten.
    """
    rng, threshold = np.random.default_rng(3), 0.0447
    true = threshold * np.exp(rng.uniform(0.0, math.log(19.2 / threshold), 200_000))
    size = 0.008 * np.sqrt(1.0 - threshold / true)
    one = measured(true, true * (1.0 + size * rng.standard_normal(len(true))), [(threshold, 19.2)], threshold)
    at = np.array([0.06, 0.1, 1.0, 10.0, 19.0])
    np.testing.assert_allclose(one.width(at) / at, 0.008 * np.sqrt(1.0 - threshold / at), rtol=0.04)
    assert min(one.sigma) > 0.0
