"""Expected limits: against counting by hand, asymptotics against toys."""

import numpy as np
import pytest
from darkpenguin.generator.toys.couplings import model_at, quadratic_counts
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import make_experiment, systematics_of
from darkpenguin.generator.toys.limits import expected_limit
from darkpenguin.generator.toys.yields import predict_channel
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import Model, get_model
from darkpenguin.physics.observables import binned
from scipy import optimize, stats

PATH = "light_vectors.0.g_bs"
V = get_model("fig1-2.5gev")


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], efficiency_error=0.0, theory=False)


def test_limit_of_one_bin_by_hand(experiment):
    """Muons alone, Gaussian: CL_s = 5 % where the rate moves by 1.96 standard deviations (median data)."""
    muons = make_experiment(get_dataset("lhcb-upgrade2"), [1.1, 6.0], ["dBR_K+"], efficiency_error=0.0, theory=False)
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
    more = make_experiment(get_dataset("lhcb-upgrade2"), [1.1, 6.0], ["R_K+"], efficiency_error=0.0, theory=False)
    assert expected_limit(more, V, PATH, -1e-8).asymptotic.value < 0.5 * found.asymptotic.value


def newtons(signal, background, effects, n):
    """CL_s at Asimov data of no coupling, q = D(g) and CL_b = 1/2, by a profile of its own: damped Newton steps."""

    def deviance(mu, theta):
        return 2 * np.sum(mu - n + n * np.log(n / mu)) + theta @ theta

    def cls(g):
        s, theta = signal @ [1.0, g, g * g], np.zeros(len(effects))
        for _ in range(60):
            m = s * np.exp(theta @ effects)
            w = 1 - n / (m + background)
            gradient = 2 * effects @ (m * w) + 2 * theta
            hessian = 2 * (effects * (m * w + m * m * n / (m + background) ** 2)) @ effects.T + 2 * np.eye(len(theta))
            step, t = np.linalg.solve(hessian, gradient), 1.0
            here = deviance(m + background, theta)
            while deviance(s * np.exp((theta - t * step) @ effects) + background, theta - t * step) > here and t > 1e-8:
                t /= 2
            theta = theta - t * step
        return 2 * stats.norm.sf(np.sqrt(max(deviance(s * np.exp(theta @ effects) + background, theta), 0)))

    return cls


@pytest.mark.parametrize("width", [1e-3, 1e-4, 1e-5, 1e-6])
def test_a_narrow_vector_is_limited_by_its_squared_term(width):
    """Values of an own profile, bisected: they fall as √width once the square dominates, and no grid stops them."""
    experiment = make_experiment(get_dataset("lhcb-run12"), [1.1, 2, 3, 4, 5, 6], ["R_K+", "R_K*0"], theory=False)
    model = Model(name="x", light_vectors=[{"mass": 1.5, "relative_width": width, "g_mu_v": 0.1, "g_mu_a": -0.044}])
    found = expected_limit(experiment, model, PATH, 1e-9).asymptotic
    c = quadratic_counts(
        model, {PATH: {PATH: 1e-9}}, experiment.dataset, experiment.bins, systematics_of(experiment, False)
    )
    cls = newtons(c.signal, c.background, c.effects, c.signal[:, 0] + c.background)
    assert cls(found.value) == pytest.approx(0.05, rel=1e-3)
    assert found.intervals == ((0.0, found.value),)
    right = {1e-3: 2.95e-10, 1e-4: 9.0e-11, 1e-5: 2.79e-11, 1e-6: 8.76e-12}[width]
    assert found.value * 1e-9 == pytest.approx(right, rel=5e-3)
    # another unit is another scale of the same search
    other = expected_limit(experiment, model, PATH, 1e-4).asymptotic
    assert other.value * 1e-4 == pytest.approx(found.value * 1e-9, rel=1e-4)


def test_a_scalar_coefficient_acts_by_its_square_alone():
    """|C_S| from R_K+ in one bin: N = a + c C_S², no linear term to start from; and both signs alike."""
    experiment = make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], theory=False)
    sm = get_model("sm")
    up, down = (expected_limit(experiment, sm, "heavy.CS_mu", sign) for sign in (1.0, -1.0))
    assert up.asymptotic.value == pytest.approx(down.asymptotic.value, rel=1e-4)
    c = quadratic_counts(
        sm, {"S": {"heavy.CS_mu": 1.0}}, experiment.dataset, experiment.bins, systematics_of(experiment, False)
    )
    assert np.abs(c.signal[:, 1]).max() < 1e-6 * c.signal[:, 2].max()
    cls = newtons(c.signal, c.background, c.effects, c.signal[:, 0] + c.background)
    assert optimize.brentq(lambda g: cls(g) - 0.05, 0.01, 5.0) == pytest.approx(up.asymptotic.value, rel=1e-3)
    assert "heavy.CS_mu > -" in down.sentence()


def test_a_mirror_solution_is_reported():
    """C9 of -6.4 has R_K+ of the Standard Model again; in five bins of K and K* it has not."""
    one = make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], theory=False)
    found = expected_limit(one, get_model("sm"), "heavy.C9_mu", -1.0)
    (zero, end), (low, high) = found.asymptotic.intervals
    assert zero == 0
    models = [Model(name="x", heavy={"C9_mu": -g}) for g in (0.0, 0.5 * (low + high))]
    r = binned("R_K+", models[1], [(1.1, 6.0)]) / binned("R_K+", models[0], [(1.1, 6.0)])
    assert float(r[0]) == pytest.approx(1.0, abs=2e-3)
    assert high - low == pytest.approx(2 * end, rel=0.05)
    assert f"allowed too: -{low:.4g}" in found.sentence()
    assert found.to_dict()["intervals"][1] == [-low, -high]
    five = make_experiment(get_dataset("lhcb-run12"), [1.1, 2, 3, 4, 5, 6], ["R_K+", "R_K*0"], theory=False)
    assert len(expected_limit(five, get_model("sm"), "heavy.C9_mu", -1.0).asymptotic.intervals) == 1


def test_refusals(experiment):
    with pytest.raises(InputError, match="other than zero"):
        expected_limit(experiment, V, PATH, 0.0)
    with pytest.raises(InputError, match="greater than 0"):
        expected_limit(experiment, V, "light_vectors.0.mass", 1.0)
    with pytest.raises(InputError, match="do not feel it"):
        expected_limit(experiment, V, "light_vectors.0.g_nu_mu", 1.0)
