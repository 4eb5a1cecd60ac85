"""Several data sets in one question: against sums of likelihoods, and a minimum by SciPy."""

import numpy as np
import pytest
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import make_experiment
from darkpenguin.generator.toys.sensitivity import COMBINED, sensitivity
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.generator.toys.together import join_experiments
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import get_model
from scipy import optimize

MODELS = [get_model("fig1-2.5gev"), get_model("sm")]
NONE = {"qed": 0, "background": 0, "background_shape": 0}


def experiments(systematics, names=("R_K+",), theory=False, bins=(1.1, 6.0)):
    table = SystematicsTable.model_validate(systematics)
    return [
        make_experiment(get_dataset(d), bins, names, theory=theory, efficiency_error=0.0, systematics=table)
        for d in ("lhcb-run12", "belle2-50")
    ]


def test_without_what_they_share_likelihoods_add():
    """-2 ln L of both is the sum, toy by toy; counts of the first data set are those that it has alone."""
    parts = experiments({**NONE, "uncorrelated": 0.02}, ("R_K+", "dBR_K+"), bins=(1.1, 3.0, 6.0))
    both = join_experiments(parts)
    expected = both.expect(MODELS)
    data = both.draw(expected.point(1), seed=3, start=0, stop=20)
    own = [part.expect(MODELS) for part in parts]
    alone = parts[0].draw(own[0].point(1), seed=3, start=0, stop=20)
    for name, counts in alone.counts.items():
        np.testing.assert_array_equal(data.counts[name], counts)
    found, total = both.combined(data, expected), 0.0
    at = 0
    for part, prediction in zip(parts, own, strict=True):
        names, k = both.channels[at : at + len(part.channels)], len(part.nuisances.names)
        first = 0 if at == 0 else len(parts[0].nuisances.names)
        counts = {mine: data.counts[name] for mine, name in zip(part.channels, names, strict=True)}
        mine = type(data)(counts, data.auxiliary[:, first : first + k], data.theta[:, first : first + k], {})
        total = total + part.combined(mine, prediction)
        at += len(part.channels)
    np.testing.assert_allclose(found, total, atol=1e-5)


def test_a_common_parameter_floats_once():
    """An error of R of 10 % of both data sets: the minimum over one parameter by SciPy."""
    parts = experiments({**NONE, "qed": 0.1})
    both = join_experiments(parts)
    assert both.nuisances.names == ("qed",)
    expected = both.expect(MODELS)
    data = both.asimov(expected.point(0))
    found = both.combined(data, expected)[0, 1]

    def ratio(n, s, b, theta):
        """-2 ln L of muons and electrons with their norm free."""

        def value(log_norm):
            mu = np.exp(log_norm) * s * np.array([1.0, np.exp(np.log1p(0.1) * theta)]) + b
            return 2 * np.sum(mu - n + n * np.log(n / mu))

        return optimize.minimize_scalar(value, bounds=(-1, 1), method="bounded", options={"xatol": 1e-9}).fun

    pairs = [both.channels[:2], both.channels[2:]]
    rows = [
        [
            np.array([x[name] for name in pair])
            for x in (
                {k: v[0, 0] for k, v in data.counts.items()},
                {k: v[1, 0] for k, v in expected.counts.items()},
                {k: both.background(k)[0] for k in pair},
            )
        ]
        for pair in pairs
    ]
    once = optimize.minimize_scalar(lambda t: sum(ratio(*row, t) for row in rows) + t * t, bounds=(-5, 5)).fun
    twice = sum(optimize.minimize_scalar(lambda t, r=row: ratio(*r, t) + t * t, bounds=(-5, 5)).fun for row in rows)
    assert found == pytest.approx(once, abs=1e-4)
    assert twice > once + 0.1  # bent: one for each data set, and each is constrained


def test_counts_outside_the_windows_of_another_are_left_out():
    parts = experiments(NONE, ("dBR_K+",), bins=((1.1, 6.0), (15.0, 22.0)))
    cells = join_experiments(parts).places(parts[0].terms)[0]
    assert cells == [(0,), (1,), (2,)]  # Belle II's yields reach to 6


def test_a_question_to_both():
    keys = {"observables": ["R_K+", "R_K*0"], "null": "heavy-c9", "bins": [1.1, 6.0], "toys": 0, "what_if": {}}
    both, alone = sensitivity(together="belle2-50", **keys), sensitivity(**keys)
    other = sensitivity(dataset="belle2-50", **keys)
    assert both.dataset == "lhcb-run12 and belle2-50"
    at = [
        float(np.interp(1.0, x.luminosities / own, x.curves[COMBINED]))
        for x, own in ((both, 9), (alone, 9), (other, 50))
    ]
    assert max(at[1:]) < at[0] <= np.hypot(*at[1:]) + 1e-3
    assert both.required[COMBINED] < alone.required[COMBINED]
    with pytest.raises(InputError, match="there twice"):
        sensitivity(together="lhcb-run12", **keys)
    with pytest.raises(InputError, match="leave together out"):
        sensitivity(together="belle2-50", limit="light_vectors.0.g_bs=-1e-8", **keys)
