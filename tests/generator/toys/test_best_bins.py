"""The best bins: against every pair of edges of a fine grid, and for R_K+ against edges moved by hand."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from darkpenguin.generator.statistics.hypotheses import asimov_fixed
from darkpenguin.generator.toys.best_bins import NARROWEST, best_bins
from darkpenguin.generator.toys.sensitivity import SensitivityCard, _ask, _best_bins, sensitivity
from darkpenguin.generator.toys.tables import binning_rows
from darkpenguin.kinematics.base.errors import InputError


def counts(edges, bump):
    """Integrals of a falling spectrum with a narrow bump in bins."""
    x = np.asarray(edges, dtype=float)
    total = 4000.0 * np.exp(-0.2 * x) * -5.0 + bump * 400.0 * np.arctan((x - 2.7) / 0.3)
    return np.diff(total)


def score(edges):
    return asimov_fixed(counts(edges, 1.0), counts(edges, 0.0)).asimov


def test_no_edges_of_a_fine_grid_are_better():
    grid = np.arange(1.1, 6.0001, 0.1)
    for bins, found in enumerate(best_bins(score, 1.1, 6.0, 3), start=1):
        tried = [[1.1, *inner, 6.0] for inner in itertools.combinations(grid[1:-1].tolist(), bins - 1)]
        allowed = [edges for edges in tried if min(np.diff(edges)) > NARROWEST - 1e-9]
        highest = max(score(edges) for edges in allowed)
        assert found.significance > 0.995 * highest
        assert found.significance == score(found.edges)
    low, high = found.edges[1:3]
    assert low < 2.7 < high  # about the bump
    assert score([1.1, low + 0.5, high + 0.5, 6.0]) < 0.95 * highest  # bent: edges elsewhere


def test_best_bins_of_a_question():
    card = SensitivityCard(
        observables=("R_K+",), theory=False, bins=(1.1, 6.0), best_bins=2, null="heavy-c9", dataset="lhcb-upgrade2"
    )
    one, two = _best_bins(card)
    assert next(row[:2] for row in binning_rows(SimpleNamespace(binnings=(one, two)))) == ["1", "1.1, 6"]

    def significance(edge):
        (question,) = _ask(card.model_copy(update={"bins": (1.1, edge, 6.0)}), card.truth.models())
        return question.significance("R_K+")

    edge = two.edges[1]
    assert significance(edge) == pytest.approx(two.significance, rel=1e-12)
    assert max(significance(edge - 0.3), significance(edge + 0.3), one.significance) < two.significance


def test_refusals():
    with pytest.raises(InputError, match="best_bins = 40"):
        best_bins(score, 1.1, 6.0, 40)
    with pytest.raises(InputError, match="without gaps"):
        sensitivity(bins=[[1.1, 2.0], [3.0, 6.0]], best_bins=2, toys=0, observables=["R_K+"])
