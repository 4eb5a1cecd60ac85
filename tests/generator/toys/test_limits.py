"""Expected limits: against counting by hand, asymptotics against toys."""

import dataclasses

import numpy as np
import pytest
from darkpenguin.generator.toys.couplings import model_at, quadratic_counts
from darkpenguin.generator.toys.datasets import Dataset, get_dataset
from darkpenguin.generator.toys.experiment import make_experiment as full_experiment
from darkpenguin.generator.toys.experiment import systematics_of
from darkpenguin.generator.toys.limits import expected_limit
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.generator.toys.yields import predict_channel
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import Model, get_model
from darkpenguin.physics.observables import binned
from scipy import optimize, stats

PATH = "light_vectors.0.g_bs"
V = get_model("fig1-2.5gev")


BARE = SystematicsTable.model_validate({"qed": 0, "background": 0, "background_shape": 0})
YIELDS = {"B+->K+mumu": 3850, "B+->K+ee": 1640, "B0->K*0mumu": 1558, "B0->K*0ee": 490}
# yields of several papers, for which the limits below were found independently
OWN = Dataset.model_validate(
    {
        "luminosity": 9.0,
        "efficiency_error": 0.022,
        "precision": {"R_K+": 0.0437, "R_K*0": 0.0682},
        "channels": {name: {"yield": number, "q2": [1.1, 6.0]} for name, number in YIELDS.items()},
    }
)


def make_experiment(data, bins, names, **keys):
    """Efficiencies (and theory) alone are uncertain."""
    return full_experiment(data, bins, names, systematics=BARE, **keys)


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(OWN, [1.1, 6.0], ["R_K+"], efficiency_error=0.0, theory=False)


def test_limit_of_one_bin_by_hand(experiment):
    """Muons alone, Gaussian: CL_s = 5 % where the rate moves by 1.96 standard deviations (median data)."""
    muons = make_experiment(OWN.scaled(300.0), [1.1, 6.0], ["dBR_K+"], efficiency_error=0.0, theory=False)
    found = expected_limit(muons, V, PATH, -1e-8)
    models = [model_at(V, {"g": {PATH: -1e-8}}, [g]) for g in (0.0, found.asymptotic.value)]
    n = predict_channel(models, muons.dataset, "B+->K+mumu", muons.windows).counts[:, 0]
    # q of the Asimov data is its own q_A: CL_b = 1/2, CL_s = 2 (1 - Φ(√q))
    q = 2 * (n[1] - n[0] + n[0] * np.log(n[0] / n[1]))
    assert 2 * stats.norm.sf(np.sqrt(q)) == pytest.approx(0.05, rel=0.03)


def test_toys_agree_with_the_asymptotic_limit(experiment):
    found = expected_limit(experiment, V, PATH, -1e-8, toys=1500, seed=4)
    assert found.toys.value == pytest.approx(found.asymptotic.value, rel=0.08)
    assert "toys" in found.sentence()
    assert f"{PATH} > -" in found.sentence()
    more = make_experiment(OWN.scaled(300.0), [1.1, 6.0], ["R_K+"], efficiency_error=0.0, theory=False)
    assert expected_limit(more, V, PATH, -1e-8).asymptotic.value < 0.5 * found.asymptotic.value


def newtons(c):
    """CL_s at Asimov data of no coupling, q = D(g) and CL_b = 1/2, by a profile of its own: damped Newton steps."""
    signal, background, effects, tilts = c.signal, c.background, c.effects, c.background_effects
    n = signal[:, 0] + background

    def parts(s, theta):
        return s * np.exp(theta @ effects), background * np.exp(theta @ tilts)

    def deviance(s, theta):
        mu = np.sum(parts(s, theta), axis=0)
        return 2 * np.sum(mu - n + n * np.log(n / mu)) + theta @ theta

    def cls(g):
        s, theta = signal @ [1.0, g, g * g], np.zeros(len(effects))
        for _ in range(60):
            m, b = parts(s, theta)
            w = 1 - n / (m + b)
            d = m * effects + b * tilts
            gradient = 2 * d @ w + 2 * theta
            hessian = 2 * (d * n / (m + b) ** 2) @ d.T + 2 * np.eye(len(theta))
            hessian += 2 * (effects * m * w) @ effects.T + 2 * (tilts * b * w) @ tilts.T
            step, t = np.linalg.solve(hessian, gradient), 1.0
            here = deviance(s, theta)
            while deviance(s, theta - t * step) > here and t > 1e-8:
                t /= 2
            theta = theta - t * step
        return 2 * stats.norm.sf(np.sqrt(max(deviance(s, theta), 0)))

    return cls


def test_errors_of_backgrounds_are_profiled():
    """All sources of the data set, backgrounds of muons and electrons too, against the profile by hand."""
    experiment = full_experiment(get_dataset("lhcb-run12"), [1.1, 3, 6], ["R_K+", "R_K*0"], theory=False)
    found = expected_limit(experiment, V, PATH, -1e-8).asymptotic
    c = quadratic_counts(
        V, {PATH: {PATH: -1e-8}}, experiment.dataset, experiment.bins, systematics_of(experiment, False)
    )
    assert np.abs(c.background_effects).max() > 0.01
    assert newtons(c)(found.value) == pytest.approx(0.05, rel=1e-3)
    # bent: with backgrounds known the same coupling is excluded further
    known = dataclasses.replace(c, background_effects=np.zeros_like(c.background_effects))
    assert newtons(known)(found.value) < 0.0495


@pytest.mark.parametrize("width", [1e-3, 1e-4, 1e-5, 1e-6])
def test_a_narrow_vector_is_limited_by_its_squared_term(width):
    """Values of an own profile, bisected: they fall as √width once the square dominates, and no grid stops them."""
    experiment = make_experiment(OWN, [1.1, 2, 3, 4, 5, 6], ["R_K+", "R_K*0"], theory=False)
    model = Model(name="x", light_vectors=[{"mass": 1.5, "relative_width": width, "g_mu_v": 0.1, "g_mu_a": -0.044}])
    found = expected_limit(experiment, model, PATH, 1e-9).asymptotic
    c = quadratic_counts(
        model, {PATH: {PATH: 1e-9}}, experiment.dataset, experiment.bins, systematics_of(experiment, False)
    )
    cls = newtons(c)
    assert cls(found.value) == pytest.approx(0.05, rel=1e-3)
    assert found.intervals == ((0.0, found.value),)
    right = {1e-3: 2.95e-10, 1e-4: 9.0e-11, 1e-5: 2.79e-11, 1e-6: 8.76e-12}[width]
    assert found.value * 1e-9 == pytest.approx(right, rel=5e-3)
    # another unit is another scale of the same search
    other = expected_limit(experiment, model, PATH, 1e-4).asymptotic
    assert other.value * 1e-4 == pytest.approx(found.value * 1e-9, rel=1e-4)


def test_a_scalar_coefficient_acts_by_its_square_alone():
    """|C_S| from R_K+ in one bin: N = a + c C_S², no linear term to start from; and both signs alike."""
    experiment = make_experiment(OWN, [1.1, 6.0], ["R_K+"], theory=False)
    sm = get_model("sm")
    up, down = (expected_limit(experiment, sm, "heavy.CS_mu", sign) for sign in (1.0, -1.0))
    assert up.asymptotic.value == pytest.approx(down.asymptotic.value, rel=1e-4)
    c = quadratic_counts(
        sm, {"S": {"heavy.CS_mu": 1.0}}, experiment.dataset, experiment.bins, systematics_of(experiment, False)
    )
    assert np.abs(c.signal[:, 1]).max() < 1e-6 * c.signal[:, 2].max()
    cls = newtons(c)
    assert optimize.brentq(lambda g: cls(g) - 0.05, 0.01, 5.0) == pytest.approx(up.asymptotic.value, rel=1e-3)
    assert "heavy.CS_mu > -" in down.sentence()


def test_a_mirror_solution_is_reported():
    """C9 of -6.4 has R_K+ of the Standard Model again; in five bins of K and K* it has not."""
    one = make_experiment(OWN, [1.1, 6.0], ["R_K+"], theory=False)
    found = expected_limit(one, get_model("sm"), "heavy.C9_mu", -1.0)
    (zero, end), (low, high) = found.asymptotic.intervals
    assert zero == 0
    models = [Model(name="x", heavy={"C9_mu": -g}) for g in (0.0, 0.5 * (low + high))]
    r = binned("R_K+", models[1], [(1.1, 6.0)]) / binned("R_K+", models[0], [(1.1, 6.0)])
    assert float(r[0]) == pytest.approx(1.0, abs=2e-3)
    assert high - low == pytest.approx(2 * end, rel=0.05)
    assert f"allowed too: -{low:.4g}" in found.sentence()
    assert found.to_dict()["intervals"][1] == [-low, -high]
    five = make_experiment(OWN, [1.1, 2, 3, 4, 5, 6], ["R_K+", "R_K*0"], theory=False)
    assert len(expected_limit(five, get_model("sm"), "heavy.C9_mu", -1.0).asymptotic.intervals) == 1


def test_the_feldman_cousins_interval_has_both_signs():
    """One bin of muons without nuisance parameters: exact, and the ends are where the two sides say so."""
    muons = make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["dBR_K+"], efficiency_error=0.0, theory=False)
    found = expected_limit(muons, get_model("sm"), "heavy.C9_mu", -1.0, feldman_cousins=True)
    pieces = found.to_dict()["feldman_cousins"]
    # the counts of C9 = 0 again at the mirror solution: two pieces, and both have the same counts at their ends
    assert len(pieces) == 2
    assert pieces[1][0] < 0 < pieces[1][1]
    model = found.model
    outer, inner = (sorted(float(model.expected([-end])[0]) for end in piece) for piece in pieces)
    np.testing.assert_allclose(outer, inner, rtol=1e-4)
    n = float(model.expected([0.0])[0])
    t = [2 * (mu - n + n * np.log(n / mu)) for mu in inner]
    assert t == pytest.approx([stats.chi2.isf(0.05, 1)] * 2, rel=0.03)  # thousands of counts
    assert "Feldman-Cousins: -" in found.sentence()


def test_refusals(experiment):
    with pytest.raises(InputError, match="other than zero"):
        expected_limit(experiment, V, PATH, 0.0)
    with pytest.raises(InputError, match="greater than 0"):
        expected_limit(experiment, V, "light_vectors.0.mass", 1.0)
    with pytest.raises(InputError, match="do not feel it"):
        expected_limit(experiment, V, "light_vectors.0.g_nu_mu", 1.0)
