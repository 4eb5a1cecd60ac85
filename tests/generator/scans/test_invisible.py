"""The group of B+ -> K+ + invisible in a scan: the likelihood at each point, and what it prefers."""

import numpy as np
import pytest
from darkpenguin.generator.scans.scan import scan
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.spectrum import TABLE, load_spectrum
from darkpenguin.physics.rates import branching_ratio

BELLE = load_spectrum(TABLE)
G_BS, G_MU_V, MASS = (f"light_vectors.0.{key}" for key in ("g_bs", "g_mu_v", "mass"))
AXES = [
    {"key": G_BS, "min": -3e-8, "max": 3e-8, "points": 25},
    {"key": G_MU_V, "min": 0.0, "max": 0.3, "points": 3},
    {"key": MASS, "min": 1.9, "max": 2.3, "points": 3},
]


def test_each_point_has_the_likelihood_of_its_model():
    """Against Spectrum.minus_two_log of the model itself; leptons take up to 16 % of this width."""
    result = scan(model="belle2-2.1gev", set="light_vectors.0.width=0.03", groups=["K_inv", "R_K_high"], axes=AXES)
    assert result.chi2["K_inv"].shape == (25, 3, 3)
    assert list(result.chi2) == ["K_inv", "R_K_high"]
    standard = BELLE.minus_two_log(np.zeros(len(BELLE.observed)))
    assert result.standard["K_inv"] == pytest.approx(standard, abs=1e-9)
    rng = np.random.default_rng(3)
    for _ in range(6):
        index = tuple(int(rng.integers(n)) for n in result.card.shape)
        point = {axis.key: float(axis.values[i]) for axis, i in zip(result.card.axes, index, strict=True)}
        exact = BELLE.minus_two_log(BELLE.strengths(result.card.model_at(point)))
        assert result.chi2["K_inv"][index] == pytest.approx(exact, abs=2e-3)
    full, taken = (result.chi2["K_inv"][0, k, 1] for k in (0, 2))
    assert abs(full - taken) > 0.1  # the bent version: no share of the leptons


def test_the_best_fit_is_belle_2s():
    result = scan(model="belle2-2.1gev", groups=["K_inv"], axes=[{**AXES[0], "min": 0.0}])
    best = result.best()
    rate = branching_ratio(get_channel("B+->K+chichi"), result.card.model_at(best.point))
    assert rate == pytest.approx(9.2e-6, rel=0.05)
    assert best.standard_model - best.chi2 == pytest.approx(13.2, abs=0.4)
    assert result.all_regions is not None


def test_what_it_cannot_do_is_said():
    for changes, message in (
        ({"data": "2017"}, "the data set '2017' has none of it"),
        ({"model": "sm", "axes": [{"key": "heavy.C9_mu", "min": -1, "max": 0, "points": 2}]}, "one light vector"),
        ({"set": "light_vectors.0.g_nu_mu=0.1"}, "without g_nu_mu"),
    ):
        with pytest.raises(InputError, match=message):
            scan(**{"model": "belle2-2.1gev", "groups": ["K_inv"], "axes": AXES[:1], **changes})
