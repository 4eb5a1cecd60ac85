"""Fields of q along slices: their maximum is q of the fit, and families without masses have none."""

import numpy as np
import pytest
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.elsewhere import fields, global_p_value
from darkpenguin.generator.toys.experiment import make_experiment
from darkpenguin.generator.toys.family import Family
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.physics.models import get_model

MASS, G = "light_vectors.0.mass", "light_vectors.0.g_bs"


def test_the_highest_slice_is_the_fit():
    experiment = make_experiment(get_dataset("lhcb-run12"), [1.1, 3.0, 6.0], ["R_K+"], theory=False)
    point = experiment.expect([get_model("sm")])
    null = Family(Hypothesis(model="sm"), experiment, point)
    data = experiment.draw(point, seed=4, start=0, stop=30)
    floating = Family(Hypothesis(model="fig1-2.5gev", scan={MASS: (1.6, 2.4, 3), G: (-3e-8, 3e-8, 5)}), experiment)
    found = fields(floating, null, experiment.combined, data)
    assert found.shape == (30, len(floating.slices.axes[0]))
    q = null.best(experiment.combined, data)[0] - floating.best(experiment.combined, data)[0]
    assert np.all(found.max(axis=1) <= q + 1e-6)
    np.testing.assert_allclose(found.max(axis=1), q, atol=0.1)  # the fit goes between slices
    # two counts are told apart by a coupling and a mass: beyond one place
    p = global_p_value(floating, null, experiment.combined, data, 9.0)
    assert 0.0027 < p < 0.1
    alone = Family(Hypothesis(model="fig1-2.5gev", scan={G: (-3e-8, 3e-8, 5)}), experiment)
    assert global_p_value(alone, null, experiment.combined, data, 9.0) is None
    assert global_p_value(null, null, experiment.combined, data, 9.0) is None
    assert p == pytest.approx(global_p_value(floating, null, experiment.combined, data, 9.0), rel=1e-12)
