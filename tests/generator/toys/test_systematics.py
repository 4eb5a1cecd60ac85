"""Sources of systematic error: what they do to counts and angles, how they are correlated, and that fits cover."""

import numpy as np
import pytest
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import make_experiment, parse_term
from darkpenguin.generator.toys.family import Family
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.axes import moved
from darkpenguin.physics.densities import DENSITIES
from darkpenguin.physics.models import get_model
from darkpenguin.physics.moments import expected_moments
from darkpenguin.physics.observables import BinnedObservable, binned
from darkpenguin.physics.uncertainties import theory_covariance
from scipy import optimize, stats

DATA, SM = get_dataset("lhcb-upgrade2"), get_model("sm")
OFF = {"qed": 0, "background": 0, "background_shape": 0, "efficiency": 0}
EDGES = ((1.1, 4.0), (4.0, 6.0), (6.0, 8.0), (15.0, 19.0))


def experiment(names, theory=False, bins=EDGES, dataset=DATA, **sources):
    return make_experiment(
        dataset, bins, names, theory=theory, systematics=SystematicsTable.model_validate({**OFF, **sources})
    )


def test_parameters_are_shared_as_the_table_says():
    names = experiment(["R_K+", "R_K*0"], qed=0.01).nuisances.names
    assert names == ("qed",)
    names = experiment(["R_K+", "R_K*0"], uncorrelated=0.02).nuisances.names
    assert len(names) == 8  # each hadron and bin
    assert "uncorrelated_K+_1.1-4" in names
    found = experiment(["R_K+"], mine={"kind": "rate", "size": 0.1, "channels": "mu", "shape": "slope"}).nuisances
    np.testing.assert_allclose(found.effects[0, [0, 3]], [np.log(0.9), np.log(1.1)])
    assert not found.effects[0, 4:].any()
    found = experiment(["dBR_K+"], charm=0.2).nuisances
    assert found.names == ("charm_K+_6-8",)
    assert found.common == (True,)
    np.testing.assert_allclose(found.effects, [[0, 0, np.log(1.2), 0]])
    names = experiment(["R_K+"], background=0.02).nuisances.names
    assert "background_B+->K+ee_partially reconstructed" in names
    only = experiment(["R_K+"], background={"size": 0.02, "components": "combinatorial", "per": []}).nuisances
    assert only.names == ("background",)
    with pytest.raises(ValueError, match="needs kind"):
        experiment(["R_K+"], mine=0.1)
    with pytest.raises(ValueError, match="no such channel, hadron or lepton"):
        experiment(["R_K+"], qed={"size": 0.01, "channels": "muon"})


def test_qed_is_on_by_default_and_can_be_left_out():
    assert "qed" in make_experiment(DATA, EDGES, ["R_K+"]).nuisances.names
    assert experiment(["R_K+"], qed=0).nuisances.names == ()


def test_ratios_are_those_of_bins_with_electrons():
    one = experiment(["R_K+"])
    assert one.measured("K+") == [True, True, False, True]
    assert len(one.cells(one.terms).bins) == 6
    with pytest.raises(InputError, match=r"has electrons, 1\.1-6"):
        experiment(["R_K+"], bins=[(6.0, 8.0)])


def test_backgrounds_known_to_a_part_cost_that_part():
    """The significance of 1 % of R by hand: statistical error and f δ of every component, in one bin."""
    for errors in (0.0, 0.1):
        one = experiment(["R_K+"], bins=[(1.1, 6.0)], background=errors)
        expected = one.expect([SM, moved(SM, {"heavy.C9_mu": -0.2})])
        data = one.asimov(expected.point(1))
        q = np.diff(-one.combined(data, expected))[0, 0]
        s = [expected.counts[c][0, 0] for c in ("B+->K+mumu", "B+->K+ee")]
        b = [one.background(c)[0] for c in ("B+->K+mumu", "B+->K+ee")]
        variance = sum((x + y) / x**2 for x, y in zip(s, b, strict=True))
        for channel, x in zip(("B+->K+mumu", "B+->K+ee"), s, strict=True):
            from darkpenguin.generator.toys.yields import background_parts

            variance += sum((errors * v[0] / x) ** 2 for v in background_parts(DATA, channel, [(1.1, 6.0)]).values())
        shift = np.log(expected.counts["B+->K+mumu"][1, 0] / s[0])
        assert q == pytest.approx(shift**2 / variance, rel=0.08)


def test_charm_moves_rates_and_angles_by_one_shift_of_c9():
    one = experiment(["dBR_K*0", "P5p"], bins=[(6.0, 7.0), (7.0, 8.0)], charm=0.2)
    assert one.nuisances.names == ("charm_K*0_6-7", "charm_K*0_7-8")
    window = [(6.0, 7.0)]

    def rate(c9):
        return binned("BR", moved(SM, {"heavy.C9_mu": c9}), window, channel="B0->K*0mumu")[0]

    ends = [  # a tenth of it, where all is linear
        optimize.brentq(lambda x, factor=factor: rate(x) - factor * rate(0.0), -1.0, 1.0) for factor in (0.99, 1.01)
    ]
    before, after = (one.asimov(one.expect([moved(SM, {"heavy.C9_mu": x})])).angular["P5p"][0, 0] for x in ends)
    assert one.nuisances.shifts[0, 0] == pytest.approx(10 * (after - before), rel=0.05)
    assert abs(one.nuisances.shifts[0, 0]) > 0.01
    assert one.nuisances.shifts[0, 1] == 0.0


def test_an_s_wave_dilutes_the_angles_as_its_density_says():
    """A share of the flat cosθ_K distribution of a scalar (arXiv:1303.5794) mixed in, integrated by quadrature."""
    one = experiment(["P5p", "FL"], bins=[(4.0, 6.0)], s_wave=0.02)
    assert one.nuisances.names == ("s_wave_4-6",)
    density = DENSITIES["vector"]
    *angles, weights = density.angular_grid
    f = density.basis(*angles)
    expected = one.expect([SM])
    inverse = np.linalg.inv(density.gram)
    j = inverse @ expected.mean[0, 0]
    p_wave = density.norm * (j @ f)
    cos_l = angles[1]
    s_wave = 3.0 / (16.0 * np.pi) * (1.0 - cos_l**2)
    assert np.sum(weights * s_wave) == pytest.approx(1.0)

    def of(share):
        mean = f @ (weights * ((1 - share) * p_wave + share * s_wave))
        found = one.angular_observables(mean[None], np.ones(1))
        return found.values[0, [found.names.index(n) for n in ("P5p", "FL")]]

    np.testing.assert_allclose(one.nuisances.shifts[0], 0.02 / 2e-3 * (of(1e-3) - of(-1e-3)), rtol=0.01)
    assert expected_moments(j)[0] == pytest.approx(expected.mean[0, 0])


def test_rates_and_angles_share_the_theory():
    """Parameters and what they leave make the covariance of the draws; the same toys, the same correlation."""
    one = experiment(["dBR_K*0", "P5p"], theory=True, bins=[(1.1, 4.0), (4.0, 6.0)])
    observed = [BinnedObservable("P5p", "B0->K*0mumu", low, high) for low, high in one.windows]
    np.testing.assert_allclose(one.systematic_covariance(one.angular), theory_covariance(observed), rtol=1e-6)
    assert np.linalg.eigvalsh(one.nuisances.rest).min() > -1e-12
    rates = [BinnedObservable("dBR", "B0->K*0mumu", low, high) for low, high in one.windows]
    full = theory_covariance([*rates, *observed])
    ours = one.nuisances.effects.T @ one.nuisances.shifts
    central = binned("dBR", SM, one.windows, channel="B0->K*0mumu")
    np.testing.assert_allclose(ours, full[:2, 2:] / central[:, None], rtol=0.25, atol=1e-3)
    data = one.draw(one.expect([SM]), seed=4, start=0, stop=20000, systematics="drawn")
    logs = np.log(data.counts["B0->K*0mumu"][:, 0] - one.background("B0->K*0mumu")[0])
    p5p = data.angular["P5p"][:, 0]
    assert np.cov(logs, p5p)[0, 1] == pytest.approx(ours[0, 0], abs=6e-2 * logs.std() * p5p.std())
    # both together know more than their sum of a shift that theory cannot make, and less of one that it can
    assert abs(np.corrcoef(logs, p5p)[0, 1]) > 0.05


@pytest.mark.parametrize("mode", ["measured", "drawn"])
def test_fits_cover_with_every_kind_of_source(mode):
    """q at the true C9 follows a chi-square of one degree (KS above 1e-6) in rates, ratios and angles together.

    Bent: toys with sources that the fit takes for known.
    """
    sources = {
        "qed": 0.01,
        "uncorrelated": 0.01,
        "background": 0.1,
        "background_shape": 0.1,
        "charm": {"size": 0.1, "q2": [4.0, 8.0]},
        "s_wave": 0.02,
        "norm": 0.03,
    }
    names = ["R_K+", "R_K*0", "dBR_K*0", "P5p"]
    p = []
    for fit in (True, False) if mode == "drawn" else (True,):
        table = {
            name: {**(row if isinstance(row, dict) else {"size": row}), "fit": fit} for name, row in sources.items()
        }
        one = experiment(names, bins=[(1.1, 4.0), (4.0, 6.0)], dataset=get_dataset("lhcb-run3"), **table)
        data = one.draw(one.expect([SM]), seed=7, start=0, stop=1500, systematics=mode)
        family = Family(Hypothesis(model="sm", scan={"heavy.C9_mu": (-2.0, 2.0, 9)}), one)
        q = one.combined(data, one.expect([SM]))[:, 0] - family.best(one.combined, data)[0]
        p.append(stats.kstest(q, "chi2", args=(1,)).pvalue)
    assert p[0] > 1e-6
    assert mode == "measured" or p[1] < 1e-6


def test_a_source_does_in_toys_what_its_row_says():
    one = experiment(["R_K+"], qed={"size": 0.01, "toys": "drawn"}, norm={"size": 0.1, "toys": "none"}, efficiency=0.02)
    theta, auxiliary = one.draw_nuisances("measured", {"seed": 1, "start": 0, "stop": 200})
    drawn = np.array([name == "qed" for name in one.nuisances.names])
    assert np.all(theta[:, drawn].std(axis=0) > 0.8)
    assert not theta[:, ~drawn].any()
    assert not auxiliary[:, drawn].any()
    assert auxiliary[:, [n.startswith("efficiency") for n in one.nuisances.names]].std() > 0.8
    assert not auxiliary[:, [n.startswith("norm") for n in one.nuisances.names]].any()


def test_a_ratio_knows_its_systematic_error():
    one = experiment(["R_K+"], bins=[(1.1, 6.0)], qed=0.01, efficiency=0.02, uncorrelated=0.005)
    assert one.ratio_error("K+")[0] == pytest.approx(np.sqrt(0.01**2 + 0.02**2 + 0.005**2), rel=0.01)
    assert parse_term("R_K+").kind == "ratio"
