"""Belle II's likelihood recast: what was published about it, and what its bins do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from darkpenguin import InputError, as_model, recast
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.scans.recast import bin_bias, measured_bias, read_published, redist_modifier
from typer.testing import CliRunner

BELLE = Path(__file__).with_name("data") / "belle2_knunu"
MASSES = [1.0, 1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 3.4]


@pytest.fixture(scope="module")
def found():
    return recast(BELLE, masses=MASSES, coefficients=True)


def test_a_resonance_is_where_it_was_found(found):
    """arXiv:2602.09666: (2.1 +0.2 -0.1) GeV, (9.2 +1.8 -3.4) 1e-6, 95 % 1.9-2.7 GeV and 3.4-14.0, global 3.0 sigma.

    Its line shape has no momentum and no form factor, and its errors of form factors are in the fit.
    """
    mass, branching = found.regions
    assert mass.best == pytest.approx(2.1, abs=0.051)
    assert (mass.low_68, mass.high_68) == pytest.approx((2.0, 2.3), abs=0.101)
    assert (mass.low_95, mass.high_95) == pytest.approx((1.9, 2.7), abs=0.101)
    assert 1e6 * branching.best == pytest.approx(9.2, abs=0.5)
    assert (1e6 * branching.low_68, 1e6 * branching.high_68) == pytest.approx((5.8, 11.0), abs=0.7)
    assert (1e6 * branching.low_95, 1e6 * branching.high_95) == pytest.approx((3.4, 14.0), abs=0.7)
    assert found.overall == pytest.approx(3.0, abs=0.1)
    assert found.local[1] == pytest.approx(found.local[0], rel=0.02)
    assert (found.strength, found.above_none, found.above_standard) == pytest.approx((4.6, 3.5, 2.7), abs=0.05)


def test_wilson_coefficients_are_those_found(found):
    """arXiv:2507.12393: best (11.3, 0.00, 8.21), 95 % [1.86, 16.2], [0.00, 15.4], [0.00, 11.2].

    C_L of the Standard Model is 6.5 in flavio; errors of form factors are those of the likelihood alone.
    """
    best = [region.best for region in found.coefficients]
    ends = [(region.low_95, region.high_95) for region in found.coefficients]
    assert best == pytest.approx([11.3, 0.0, 8.21], abs=0.6)
    np.testing.assert_allclose(ends, [(1.86, 16.2), (0.0, 15.4), (0.0, 11.2)], atol=1.0)


def test_limits_exclude_what_is_not_seen(found):
    """Without an excess the limit is about the expected one; where V is found it is above."""
    one = {row.mass: row for row in found}
    assert one[3.4].upper < one[3.4].expected
    assert one[2.1].upper > 2 * one[2.1].expected
    assert one[2.1].low < one[2.1].branching < one[2.1].high < one[2.1].upper


def test_weights_are_those_of_redist():
    """The reference implementation of the method, at V's full size and half of it."""
    pytest.importorskip("redist")
    table, model = np.loadtxt(BELLE / "number_density_hta.csv", delimiter=","), as_model("belle2-2.1gev")
    modifier = redist_modifier(table, model)
    _, spectrum, _ = read_published(BELLE)
    strengths = spectrum.strengths(model, neutrinos=False)
    names = [path.name for path in sorted(BELLE.glob("*.csv"))]
    assert names[0] == "number_density_hta.csv"
    for size in (0.5, 1.0):
        np.testing.assert_allclose(modifier.weight_func({"V": size})() - 1, size * strengths[:6], rtol=1e-6)


def test_bins_of_true_q2_do_little_to_a_wide_resonance():
    """A V of 0.1 GeV is right within the errors; one of 1 % of that at the edge of a bin is moved, and that is seen."""
    wide = measured_bias("belle2-2.1gev", 2.1, 30_000)
    assert max(abs(one.folded - one.direct) / one.error for one in wide) < 6
    narrow = measured_bias("belle2-2.1gev", 2.138, 100_000, set="light_vectors.0.width=0.001")
    assert abs(narrow[0].folded - narrow[0].direct) > 6 * narrow[0].error
    assert sum(one.direct for one in narrow) == pytest.approx(1, abs=1e-3)


def test_a_signal_that_is_spread_as_the_standard_model_has_no_bias():
    rng = np.random.default_rng(1)
    true = rng.uniform(0, 10, 400_000)
    reco = true + rng.normal(0, 1, len(true))
    counts = {
        "standard_q2": true[:300_000],
        "standard_reco": reco[:300_000],
        "signal_q2": true[300_000:],
        "signal_reco": reco[300_000:],
    }
    for one in bin_bias(counts, np.array([-5.0, 3.0, 6.0, 15.0]), np.linspace(0, 10, 21)):
        assert abs(one.folded - one.direct) < 6 * one.error < 0.02


def test_the_command(tmp_path):
    words = ["recast", str(BELLE), "--masses", "1.9:2.3:5", "--json", "--figure", str(tmp_path / "x.png")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["overall"] == pytest.approx(3.0, abs=0.1)
    assert len(told["rows"]) == 5
    assert (tmp_path / "x.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--masses", "2"], "write LOW:HIGH:NUMBER"),
        (["--model", "sm"], "0 light vectors"),
        (["--masses", "3:2:5"], "needed, in GeV and rising"),
        (["--masses", "0:2:5"], "needed, in GeV and rising"),
    ],
)
def test_bad_input_is_one_line(words, message):
    done = CliRunner().invoke(app, ["recast", str(BELLE), *words])
    assert done.exit_code != 0
    assert message in f"{done.output} {done.exception}"


def test_folders_that_hold_no_likelihood(tmp_path):
    with pytest.raises(InputError, match="0 workspaces"):
        read_published(tmp_path)
    shutil.copy(BELLE / "combined_likelihood.json", tmp_path)
    with pytest.raises(InputError, match="no table"):
        read_published(tmp_path)
    (tmp_path / "x.csv").write_text("1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match="its 2 sums are those of 0 channels"):
        read_published(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(InputError, match="not all of it are numbers"):
        read_published(tmp_path)
