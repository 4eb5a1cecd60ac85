"""Minima of descents are those of Minuit, within and at the ends of ranges."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.descent import descend
from darkpenguin.generator.fits.fit import likelihood_of
from iminuit import Minuit

MASS, COUPLING, C9 = "light_vectors.0.mass", "light_vectors.0.g_bs", "heavy.C9_mu"
FLOAT = {MASS: (1.1, 2.8), "light_vectors.0.relative_width": (0.01, 1.0), COUPLING: (-6e-8, 6e-8), C9: (-3.0, 3.0)}


@pytest.fixture(scope="module")
def cost():
    sample = dp.generate("B0->K*0mumu", "fig2", events=2000, seed=3, q2=[(1.1, 8.0)], flavour="b")
    return likelihood_of(sample, FitCard.make(model="fig2", float=FLOAT))


def by_minuit(cost, start, fixed=(), ranges=()):
    found = Minuit(cost, *start, grad=cost.gradient, name=cost.names)
    for free in cost.free:
        found.limits[free.path], found.errors[free.path] = (free.low, free.high), 0.02 * (free.high - free.low)
        found.fixed[free.path] = free.path in fixed
    found.tol = 1e-4
    return found.migrad()


def calls(cost, monkeypatch):
    """Evaluations are counted from here on."""
    counted, evaluated = [], cost._evaluated
    monkeypatch.setattr(cost, "_evaluated", lambda *args: counted.append(1) or evaluated(*args))
    return counted


@pytest.mark.parametrize("start", [(2.5, 0.2, -1.5e-8, 0.0), (2.3, 0.1, -3e-8, -0.5)])
def test_a_minimum_is_that_of_minuit_with_fewer_evaluations(cost, start, monkeypatch):
    """To a thousandth of an error."""
    counted = calls(cost, monkeypatch)
    found, ours = descend(cost, np.array(start)), len(counted)
    other = by_minuit(cost, start)
    assert found.converged
    assert other.valid
    assert np.max(np.abs(found.values - np.array(other.values)) / np.array(other.errors)) < 1e-3
    assert found.minimum == pytest.approx(other.fval, abs=1e-5)
    assert 2 * ours < len(counted) - ours


def test_fields_stay_where_they_are_fixed_and_at_ends_of_ranges(cost):
    """The best C9 is below one."""
    start = np.array([2.3, 0.2, -1e-8, 0.4])
    found, other = (how(cost, start, (MASS, C9)) for how in (descend, by_minuit))
    assert found.values[[0, 3]].tolist() == [2.3, 0.4]
    assert found.minimum == pytest.approx(other.fval, abs=1e-5)
    narrow = likelihood_of_range(cost, C9, (1.0, 3.0))
    start = np.array([2.5, 0.2, -1.5e-8, 2.0])
    found, other = descend(narrow, start), by_minuit(narrow, start)
    assert found.converged
    assert found.values[3] == 1.0
    assert found.minimum == pytest.approx(other.fval, abs=1e-2)


def likelihood_of_range(cost, name, ends):
    """The same likelihood with another range of a field."""
    from dataclasses import replace

    other = cost.at(cost.base)
    other.free = tuple(replace(one, low=ends[0], high=ends[1]) if one.path == name else one for one in other.free)
    return other


def test_a_descent_with_too_few_evaluations_is_none(cost):
    assert not descend(cost, np.array([1.5, 0.2, 1e-8, 2.0]), most=3).converged
    assert not descend(cost, np.array([2.0, 0.2, 0.0, np.nan])).converged
