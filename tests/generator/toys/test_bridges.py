"""Bridges: the workspaces are the same likelihood in pyhf and pyhs3."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.fits import fit_counts
from darkpenguin.generator.statistics.limits import find_limit
from darkpenguin.generator.toys.bridges import hs3_workspace, pyhf_workspace, write_workspace
from darkpenguin.generator.toys.couplings import quadratic_counts
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import make_experiment
from darkpenguin.generator.toys.limits import expected_limit
from darkpenguin.generator.toys.systematics import Systematics
from darkpenguin.generator.toys.yields import binned_yields
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import get_model

CODE1 = {"normsys": {"interpcode": "code1"}, "histosys": {"interpcode": "code0"}}


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
    model = workspace.model(modifier_settings=CODE1)
    k = len(null.nuisances)
    thetas = np.stack([np.zeros(k), np.linspace(-2.3, 1.0, k), np.cos(np.arange(k))])
    twice = {}
    for mu, mine in ((0.0, null), (1.0, alternative)):
        for theta in thetas:
            parameters = at(model, null, mu, theta)
            found = dict(
                zip(model.config.channels, model.expected_data(parameters, include_auxdata=False), strict=True)
            )
            ordered = [found[channel["name"]] for channel in workspace["channels"]]
            np.testing.assert_allclose(ordered, mine.expected([], theta), rtol=1e-9)
        twice[mu] = -2 * float(model.logpdf(at(model, null, mu, thetas[0]), workspace.data(model))[0])
    # the same deviance between the ends, nuisance parameters at nominal values
    fixed = [CountModel(m.signal, background=m.background) for m in pair]
    mine = [float(fit_counts(m, counts[None, :]).deviance[0]) for m in fixed]
    assert twice[1.0] - twice[0.0] == pytest.approx(mine[1] - mine[0], rel=1e-9, abs=0)


def at(model, null, mu, theta):
    """Parameters of pyhf."""
    parameters = np.array(model.config.suggested_init())
    parameters[model.config.par_slice("mu")] = mu
    known = set(model.config.par_order)  # not those that act on no bin
    for name, value in zip(null.nuisances, theta, strict=True):
        if name not in known:
            continue
        parameters[model.config.par_slice(name)] = value
    return parameters.tolist()


def cls_of(space):
    """CL_s of pyhf at mu = 1, with its default interpolation."""
    import pyhf

    workspace = pyhf.Workspace(space)
    model = workspace.model()
    return float(pyhf.infer.hypotest(1.0, workspace.data(model), model, test_stat="qtilde"))


INTERFERING = CountModel(
    [[100.0, -30.0, 4.0], [60.0, -14.5, 2.0], [200.0, -3.0, 0.4]],
    ("g",),
    [5.0, 0.0, 20.0],
    ("a", "b"),
    [[0.12, 0.12, 0.12], [0.0, 0.05, -0.02]],
    [[0.0, 0.0, 0.0], [0.3, 0.0, 0.3]],
)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.25])
def test_pyhf_finds_our_cls(scale):
    """Below, at and above the limit, to 1 %, for expected data; interference and errors of signal and background."""
    pytest.importorskip("pyhf")
    n = INTERFERING.expected([0.0])
    found = find_limit(INTERFERING, n)
    g = scale * found.value
    space = pyhf_workspace(INTERFERING.fix(g=0.0), INTERFERING.fix(g=g), n)
    mine = float(np.exp(np.interp(g, found.grid, np.log(found.points))))
    assert cls_of(space) == pytest.approx(mine, rel=0.01)
    if scale == 1.0:
        assert cls_of(space) == pytest.approx(0.05, rel=1e-3)
        # bent: without the errors of the background it is another
        sharp = CountModel(INTERFERING.signal, ("g",), INTERFERING.background, ("a", "b"), INTERFERING.effects)
        bent = pyhf_workspace(sharp.fix(g=0.0), sharp.fix(g=g), n)
        assert abs(cls_of(bent) / 0.05 - 1) > 0.01


def test_the_file_of_a_limit_gives_its_level(tmp_path):
    pytest.importorskip("pyhf")
    experiment = make_experiment(get_dataset("lhcb-run12"), [1.1, 3.0, 6.0], ["R_K+"], theory=False)
    limit = expected_limit(experiment, get_model("fig1-2.5gev"), "light_vectors.0.g_bs", -1e-8)
    space = json.loads(write_workspace(limit, tmp_path / "w.json").read_text())
    assert cls_of(space) == pytest.approx(0.05, rel=0.01)
    other = json.loads(write_workspace(limit, tmp_path / "w.hs3.json").read_text())
    assert other["analyses"][0]["parameters_of_interest"] == ["light_vectors.0.g_bs"]
    with pytest.raises(InputError, match="exists"):
        write_workspace(limit, tmp_path / "w.json")
    with pytest.raises(InputError, match=r"FILE\.hs3\.json"):
        write_workspace(limit, tmp_path / "w.root")


def test_hs3_is_the_likelihood_that_pyhs3_evaluates():
    """To 1e-6 at couplings from nothing to beyond the mirror solution; ``tests/reference/hs3.py`` made the values."""
    stored = json.loads((Path(__file__).parents[2] / "reference" / "hs3.json").read_text())
    labels = ("B+->K+mumu 1.1-2", "B+->K+mumu 2-6", "B+->K+ee 1.1-6")
    model = CountModel(**{f.name: getattr(INTERFERING, f.name) for f in fields(CountModel)} | {"bins": labels})
    counts = np.array([101.0, 63.0, 214.0])
    assert json.loads(json.dumps(hs3_workspace(model, counts))) == stored["workspace"]
    values = []
    for point in stored["points"]:
        theta = np.array([point["a"], point["b"]])
        mu = model.expected([point["g"]], theta)
        values.append(2.0 * np.sum(mu - counts * np.log(mu)) + theta @ theta)
    np.testing.assert_allclose(np.array(values) - values[0], stored["pyhs3"], rtol=1e-6, atol=1e-6)
    with pytest.raises(InputError, match="needs one"):
        hs3_workspace(model.fix(g=1.0), counts)


def test_workspace_refusals(pair):
    null, alternative = pair
    free = CountModel(np.ones((6, 3)), ("g",))
    with pytest.raises(InputError, match="couplings are free"):
        pyhf_workspace(free, free, np.ones(6))
    with pytest.raises(InputError, match="different bins"):
        pyhf_workspace(null, alternative.select([0, 1]), np.ones(6))
    with pytest.raises(InputError, match="needs 6"):
        pyhf_workspace(null, alternative, np.ones(5))
