"""Published likelihoods: slopes against differences, fits against what Belle II published."""

import json
from pathlib import Path

import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.statistics.histfactory import Published, read_workspace
from darkpenguin.physics.experiment.spectrum import TABLE, load_spectrum

BELLE = Path(__file__).parents[1] / "scans" / "data" / "belle2_knunu"


@pytest.fixture(scope="module")
def belle():
    return read_workspace(BELLE / "combined_likelihood.json")


def test_slopes_are_differences(belle):
    """All 232 at once against one by one, of background and signal, at a point off all minima."""
    rng = np.random.default_rng(1)
    scale = np.where(np.isfinite(belle._sigma), belle._sigma, 1.0)
    x = belle.start + 0.1 * scale * rng.normal(size=len(belle.start))
    found = belle.slopes(x)
    size = sum(belle.parts(x))
    for k in rng.choice(np.delete(np.arange(len(x)), belle.poi), 40, replace=False):
        step = np.where(np.arange(len(x)) == k, 1e-4 * scale, 0.0)
        pairs = zip(belle.parts(x + step), belle.parts(x - step), found, strict=True)
        for up, down, slopes in pairs:
            difference = (up - down) / (2 * step[k])
            assert (np.abs(difference - slopes[:, k]) * scale[k] / size).max() < 1e-7


def test_the_published_fit_is_found_again(belle):
    """arXiv:2311.14647: 4.6 +- 1.0 +- 0.9, 3.5 standard deviations above no signal, 2.7 above the Standard Model."""
    best = belle.fit()
    above = [np.sqrt(belle.fit(strength=mu).value - best.value) for mu in (0.0, 1.0)]
    assert best.parameters[belle.poi] == pytest.approx(4.6, abs=0.05)
    assert above == pytest.approx([3.5, 2.7], abs=0.05)


def test_the_simplified_one_is_that_of_the_package(belle):
    """Made with derivatives taken one by one, by tests/reference/belle2_likelihood.py; rounded to five digits."""
    wanted = [name for name in belle.channels if name[0] in "AB" or name.startswith("sgn")]
    bins = np.concatenate([np.arange(belle.channels[name].start, belle.channels[name].stop) for name in wanted])
    mean, covariance = belle.simplified(bins)
    spectrum = load_spectrum(TABLE)
    np.testing.assert_allclose(mean, spectrum.mean, rtol=1e-3)
    error = np.sqrt(np.diag(spectrum.covariance))
    assert np.abs((covariance - spectrum.covariance) / np.outer(error, error)).max() < 3e-3


def workspace(poi="mu", **changes):
    signal = {"name": "s", "data": [5.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    rest = {"name": "b", "data": [50.0], "modifiers": changes.pop("modifiers", [])}
    return {
        "channels": [{"name": "x", "samples": [signal, rest]}],
        "observations": [{"name": "x", "data": [60.0]}],
        "measurements": [{"name": "m", "config": {"poi": poi, "parameters": []}}],
        "version": "1.0.0",
        **changes,
    }


def test_an_added_signal_stands_for_strength():
    known = Published(workspace())
    assert known.fit(added=1.5).parameters[0] == pytest.approx(0.5, abs=1e-6)
    assert known.fit(added=1.0, strength=1.0).value == pytest.approx(known.fit().value, abs=1e-9)
    assert known.fit(added=0.0, strength=1.0).value > known.fit().value + 0.3


def test_what_is_no_likelihood_is_refused(tmp_path):
    with pytest.raises(InputError, match="no JSON can be read"):
        read_workspace(tmp_path / "none.json")
    (tmp_path / "x.json").write_text(json.dumps({"channels": []}))
    with pytest.raises(InputError, match="pyhf cannot read it"):
        read_workspace(tmp_path / "x.json")
    with pytest.raises(InputError, match="no parameter of interest"):
        Published(workspace(poi=""))
    shapes = [{"name": "u", "type": "shapesys", "data": [5.0]}]
    with pytest.raises(InputError, match="u has a constraint that is not normal"):
        Published(workspace(modifiers=shapes))
