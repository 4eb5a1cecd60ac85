"""Weighted events of one model beside events of another that were generated directly.

Chi squared of the sums of all f_i in bins of q2, and of m_Kpi, for each flavour, with their covariance within a bin.
The p-value must lie above 1e-9: of fewer than fifty, false alarms are below 5e-8. Each is shown to fail for half
of the change, and those of l l with an asymmetry for lepton angles of the other sign too.
"""

from itertools import pairwise

import numpy as np
import pytest
from darkpenguin import as_model, generate, get_channel, weigh
from darkpenguin.generator.analysis.validate import predict_kpi
from darkpenguin.generator.files.sample import EventSample
from darkpenguin.generator.sampler.tables import density_of
from darkpenguin.physics.densities import KPI
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi
from darkpenguin.physics.rates import branching_ratio
from scipy.stats import chi2

COUPLINGS = ["light_vectors.0.g_e_v=0.1", "light_vectors.0.g_e_a=-0.044"]  # fig2 has none to electrons
WIDE = ["light_vectors.0.mass=2.4", "light_vectors.0.width=0.4"]  # chi needs a V: one whose events are where fig2's are


def models(name):
    """What events are made by, and their target."""
    return as_model("belle2-2.1gev", WIDE) if "chi" in name else as_model("sm"), as_model("fig2", COUPLINGS)


def rate(channel, model, kpi):
    """Of both flavours, up to a factor that models share."""
    if kpi is None:
        return branching_ratio(channel, model)
    return sum(predict_kpi(KpiDecay(channel, model, resolve_kpi(kpi)), n_bins=1)["q2"].rates.values())


class Cells:
    """A sample's f_i by cell: flavour, and bin of a variable."""

    def __init__(self, density, sample, variable, edges):
        bins = len(edges) + 1
        cell = np.searchsorted(edges, sample[variable]) + bins * (np.asarray(sample["flavour"]) > 0)
        self.order = np.argsort(cell, kind="stable")
        self.ends = np.searchsorted(cell[self.order], np.arange(2 * bins + 1))
        self.f = density.basis(*(np.asarray(sample[name], dtype=float)[self.order] for name in density.angles))

    def sums(self, weights):
        """Means over all events of the f_i in each cell, and their covariance within the cells."""
        f, n, mean, covariance = self.f * weights[self.order], len(weights), [], []
        for low, high in pairwise(self.ends):
            part = f[:, low:high]
            mean.append(part.sum(axis=1) / n)
            covariance.append(part @ part.T / n**2 - np.outer(mean[-1], mean[-1]) / n)
        return np.array(mean), np.array(covariance)


def p_values(density, source, direct, all_weights, ratio, n_bins=12):
    """A row for each of the weights: of the agreement in bins of every variable, for each flavour."""
    found = []
    for variable in ("q2", *density.masses):
        edges = np.quantile(direct[variable][:5_000], np.linspace(0, 1, n_bins + 1)[1:-1])
        two, of_two = Cells(density, direct, variable, edges).sums(np.full(len(direct), ratio))
        cells = Cells(density, source, variable, edges)
        for weights in all_weights:
            one, of_one = cells.sums(weights)
            scale = np.sqrt(np.einsum("bii->bi", of_one + of_two))
            covariance, pulls = (of_one + of_two) / scale[:, :, None] / scale[:, None, :], (one - two) / scale
            chi = np.einsum("bi,bij,bj->b", pulls, np.linalg.inv(covariance), pulls).reshape(2, n_bins).sum(axis=1)
            found.append(chi2.sf(chi, pulls.size / 2))
    return np.array(found).reshape(-1, len(all_weights), 2).swapaxes(0, 1)


def check(name, kpi, convention, n, seed=11, target=None):
    before, after = models(name)
    after = target or after
    channel, keys = get_channel(name), {"convention": convention, **({"kpi": kpi} if kpi else {})}
    density = KPI if kpi else density_of(channel)
    source, direct = (generate(name, model, n, seed=seed + i, **keys) for i, model in enumerate((before, after)))
    found = weigh(source, after)
    weights = found[found[0].column]
    tried = [weights, np.sqrt(weights)]
    if density.kind == "vector" and "chi" not in name:
        columns = source.to_numpy()
        turned = weigh(EventSample({**columns, "cos_theta_l": -columns["cos_theta_l"]}, source.provenance), after)
        tried.append(turned[turned[0].column])
    good, *bad = p_values(density, source, direct, tried, rate(channel, after, kpi) / rate(channel, before, kpi))
    assert good.min() > 1e-9
    assert np.max([values[0] for values in bad]) < 1e-9  # in q2, for both flavours


NARROW = [f"B{b}->K{k}{pair}" for b, k in (("0", "*0"), ("+", "+")) for pair in ("mumu", "ee", "chichi")]
SMALL = [("B0->K*0mumu", None, "theory"), ("B+->K+chichi", None, "lhcb")]
LARGE = [(name, None, convention) for name in NARROW for convention in ("lhcb", "theory")]
LARGE += [("B0->K*0mumu", "swave", "lhcb"), ("B0->K*0ee", "pwave", "theory"), ("B0->K*0chichi", "pwave", "lhcb")]


@pytest.mark.parametrize(("name", "kpi", "convention"), SMALL)
def test_weighted_events_are_those_that_are_generated(name, kpi, convention):
    check(name, kpi, convention, 200_000)


@pytest.mark.parametrize(
    ("name", "parity"), [("B+->K+mumu", "scalar"), pytest.param("B0->K*0mumu", "pseudoscalar", marks=pytest.mark.slow)]
)
def test_events_weighted_to_a_scalar_are_those_that_are_generated(name, parity):
    scalar = {"mass": 2.2, "relative_width": 0.1, "parity": parity, "g_bs": 1e-7, "g_mu": 0.05}
    check(name, None, "lhcb", 100_000, target=as_model({"light_scalars": [scalar]}))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kpi", "convention"), LARGE)
def test_a_million_weighted_events_are_those_that_are_generated(name, kpi, convention):
    check(name, kpi, convention, 1_000_000)
