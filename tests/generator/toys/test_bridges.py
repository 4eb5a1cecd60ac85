"""Bridges: the workspace is the same likelihood in pyhf, the unbinned cost finds injected couplings with iminuit."""

import numpy as np
import pytest
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.fits import fit_counts
from darkpenguin.generator.toys.bridges import pyhf_workspace, unbinned_cost
from darkpenguin.generator.toys.couplings import quadratic_counts
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.systematics import Systematics
from darkpenguin.generator.toys.yields import binned_yields
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import apply_settings, get_model


@pytest.fixture(scope="module")
def pair():
    data, bins = get_dataset("lhcb-run12"), binned_yields(["B+->K+mumu", "B+->K+ee"], [1.1, 3.0, 4.5, 6.0])
    systematics = Systematics(efficiency=0.02, normalisation=0.05)
    return tuple(quadratic_counts(get_model(name), {}, data, bins, systematics) for name in ("sm", "fig1-2.5gev"))


def test_workspace_is_exact_at_both_ends(pair):
    pyhf = pytest.importorskip("pyhf")
    null, alternative = pair
    counts = null.expected([])
    workspace = pyhf.Workspace(pyhf_workspace(null, alternative, counts))
    model = workspace.model()
    for mu, mine in ((0.0, null), (1.0, alternative)):
        for theta in (np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, -1.0])):
            parameters = np.array(model.config.suggested_init())
            parameters[model.config.par_slice("mu")] = mu
            for name, value in zip(null.nuisances, theta, strict=True):
                parameters[model.config.par_slice(name)] = value
            found = model.expected_data(parameters.tolist(), include_auxdata=False)
            np.testing.assert_allclose(found, mine.expected([], theta), rtol=1e-9)
    # the same deviance between the ends, nuisance parameters at nominal values
    twice = {}
    for mu in (0.0, 1.0):
        parameters = np.array(model.config.suggested_init())
        parameters[model.config.par_slice("mu")] = mu
        twice[mu] = -2 * float(model.logpdf(parameters.tolist(), workspace.data(model))[0])
    fixed = [CountModel(m.signal, background=m.background) for m in pair]
    mine = [float(fit_counts(m, counts[None, :]).deviance[0]) for m in fixed]
    assert twice[1.0] - twice[0.0] == pytest.approx(mine[1] - mine[0], rel=1e-9, abs=0)


def test_workspace_refusals(pair):
    null, alternative = pair
    free = CountModel(np.ones((6, 3)), ("g",))
    with pytest.raises(InputError, match="couplings are free"):
        pyhf_workspace(free, free, np.ones(6))
    with pytest.raises(InputError, match="different bins"):
        pyhf_workspace(null, alternative.select([0, 1]), np.ones(6))
    with pytest.raises(InputError, match="needs 6"):
        pyhf_workspace(null, alternative, np.ones(5))


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+mumu"])
def test_unbinned_fit_finds_the_injected_coupling(name):
    iminuit = pytest.importorskip("iminuit")
    channel = get_channel(name)
    truth = get_model("fig1-2.5gev")
    table = channel_table(channel, truth, q2_ranges=[(1.1, 8.0)])
    events = CpuBackend("float64", 2).generate(table, 5, 0, 40_000)
    cost = unbinned_cost(channel, truth, {"g": {"light_vectors.0.g_bs": 1e-8}}, events, (1.1, 8.0))
    assert cost.names == ("g",)
    minuit = iminuit.Minuit(cost, -1.0, name=cost.names)
    minuit.migrad()
    minuit.hesse()
    assert minuit.valid
    assert abs(minuit.values["g"] + 1.75) < 5.2 * minuit.errors["g"]
    assert minuit.errors["g"] < 0.2
    # bent: at half the mass no coupling describes the events as well
    wrong = apply_settings(truth, ["light_vectors.0.mass=1.3"])
    other = unbinned_cost(channel, wrong, {"g": {"light_vectors.0.g_bs": 1e-8}}, events, (1.1, 8.0))
    bent = iminuit.Minuit(other, -1.0, name=other.names)
    bent.migrad()
    assert bent.fval > minuit.fval + 100


def test_extended_term_counts_events():
    channel = get_channel("B+->K+mumu")
    sm = get_model("sm")
    events = CpuBackend("float64", 1).generate(channel_table(channel, sm, q2_ranges=[(1.1, 6.0)]), 5, 0, 2000)
    directions = {"C9": {"heavy.C9_mu": 1.0}}
    plain = unbinned_cost(channel, sm, directions, events, (1.1, 6.0))
    extended = unbinned_cost(channel, sm, directions, events, (1.1, 6.0), expected=2000.0)
    x = np.linspace(-1, 1, 21)
    assert np.ptp([plain(v) for v in x]) < np.ptp([extended(v) for v in x])
    assert abs(x[np.argmin([extended(v) for v in x])]) < 0.2
    with pytest.raises(InputError, match="leaves q2_range"):
        unbinned_cost(channel, sm, directions, events, (2.0, 6.0))
