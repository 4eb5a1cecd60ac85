"""Expected limits: against counting by hand, asymptotics against toys."""

import numpy as np
import pytest
from darkpenguin.generator.toys.couplings import model_at
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import make_experiment
from darkpenguin.generator.toys.limits import expected_limit
from darkpenguin.generator.toys.yields import predict_channel
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import get_model
from scipy import stats

PATH = "light_vectors.0.g_bs"
V = get_model("fig1-2.5gev")


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], efficiency_error=0.0, theory=False)


def test_limit_of_one_bin_by_hand(experiment):
    """Muons alone, Gaussian: CL_s = 5 % where the rate moves by 1.96 standard deviations (median data)."""
    muons = make_experiment(get_dataset("lhcb-upgrade2"), [1.1, 6.0], ["dBR_K+"], efficiency_error=0.0, theory=False)
    found = expected_limit(muons, V, PATH, -1e-8, theory=False)
    models = [model_at(V, {"g": {PATH: -1e-8}}, [g]) for g in (0.0, found.asymptotic.value)]
    n = predict_channel(models, muons.dataset, "B+->K+mumu", muons.windows).counts[:, 0]
    # q of the Asimov data is its own q_A: CL_b = 1/2, CL_s = 2 (1 - Φ(√q))
    q = 2 * (n[1] - n[0] + n[0] * np.log(n[0] / n[1]))
    assert 2 * stats.norm.sf(np.sqrt(q)) == pytest.approx(0.05, rel=0.03)


def test_toys_agree_with_the_asymptotic_limit(experiment):
    found = expected_limit(experiment, V, PATH, -1e-8, theory=False, toys=1500, seed=4)
    assert found.toys.value == pytest.approx(found.asymptotic.value, rel=0.08)
    assert "toys" in found.sentence()
    assert f"{PATH} > -" in found.sentence()
    more = make_experiment(get_dataset("lhcb-upgrade2"), [1.1, 6.0], ["R_K+"], efficiency_error=0.0, theory=False)
    assert expected_limit(more, V, PATH, -1e-8, theory=False).asymptotic.value < 0.5 * found.asymptotic.value


def test_refusals(experiment):
    with pytest.raises(InputError, match="other than zero"):
        expected_limit(experiment, V, PATH, 0.0)
    with pytest.raises(InputError, match="greater than 0"):
        expected_limit(experiment, V, "light_vectors.0.mass", 1.0, theory=False)
    with pytest.raises(InputError, match="do not feel it"):
        expected_limit(experiment, V, "light_vectors.0.g_nu_mu", 1.0, theory=False)
