"""Numbers that arXiv:1704.06188 prints, each with where it stands there and the same number from darkpenguin.

The page on validation shows them as a table; ``tests/physics/experiment/test_paper.py`` holds each against its range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.constraints import (
    M_MU,
    bs_mumu_branching_ratio,
    delta_a_mu,
    trident_ratio,
    z_coupling_shift,
)
from darkpenguin.physics.experiment.darkmatter import GEV2_TO_CM3_PER_S, sigma_v_fermion
from darkpenguin.physics.experiment.datasets import load_data
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, get_model
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.rates import branching_ratio
from scipy.optimize import brentq


class Number(NamedTuple):
    """One number of the paper.

    Attributes:
        where: it stands.
        what: it is.
        paper: as it is printed.
        low: smallest value that agrees with it, the last digit printed being rounded or a bound.
        high: the largest.
        found: computes it.
        remark: at which point; of a number that does not agree, why.
        differs: the number here, of one that is known not to agree.
    """

    where: str
    what: str
    paper: str
    low: float
    high: float
    found: Callable[[], float]
    remark: str = ""
    differs: float | None = None

    def agrees(self, value: float) -> bool:
        """Whether a value is what is printed."""
        return self.low <= value <= self.high


def _only(**couplings: float) -> Model:
    return Model(light_vectors=(LightVector(**{"mass": 2.5, "relative_width": 0.2, **couplings}),))


def _coupling(sigmas: float) -> float:
    """g/m_V (1/GeV) that brings (g-2) of the muon so many standard deviations from the measurement, with f_V = 1."""
    measured = load_data("2017").limit("delta_a_mu")
    return math.sqrt((measured.value + sigmas * measured.error) * 12) * math.pi / M_MU


def _bound_of_eq_4() -> float:
    """The bound on g_bs for a narrow V of 2.5 GeV, over its mass."""
    row = next(row for row in constraints("fig2", "2017") if row.name == "g_bs_max")
    return float(row.note.partition("narrow width: ")[2].partition(";")[0]) / 2.5


def _axial_over_vector() -> float:
    """g_muA / g_muV that gives the measured (g-2) of the muon at 2.5 GeV and g_muV = 0.1."""
    measured = load_data("2017").limit("delta_a_mu").value
    return -float(brentq(lambda x: float(delta_a_mu(2.5, 0.1, 0.1 * x)) - measured, 0.3, 0.5))


def _bs_mumu() -> float:
    changed = bs_mumu_branching_ratio(_only(mass=3.0, g_bs=3e-8, g_mu_a=-0.1))
    return changed / bs_mumu_branching_ratio(get_model("sm")) - 1


def _z_bound() -> float:
    vector = load_data("2017").limit("g_v_mu")
    return float(np.sqrt(2 * vector.error / abs(vector.value * float(z_coupling_shift(0.5, 1.0, 0.0)))))


def _trident() -> float:
    measured = load_data("2017").limit("trident")
    most = measured.value + 2 * measured.error
    return float(brentq(lambda g: trident_ratio(_only(g_mu_v=g, g_nu_mu=g)) - most, 1e-3, 1e-2))


def _sigma_v() -> float:
    coupling = _only().light_vectors[0].chi_coupling
    return float(sigma_v_fermion(2.5 / 4, 2.5, coupling, 0.04, -0.44 * 0.04)) * GEV2_TO_CM3_PER_S


def _large_x() -> float:
    large, exact = (z_coupling_shift(2.5, 0.1, -0.044, form=form) for form in ("large", "full"))
    return float(large) / float(exact)


NUMBERS = (
    Number(
        "eq. (2)",
        "g_χ for Γ/m = 10 %",
        "≳ 1",
        1.0,
        3.5,
        lambda: _only(relative_width=0.1).light_vectors[0].chi_coupling,
    ),
    Number(
        "before eq. (3)",
        "BR(B → Kνν̄) of the Standard Model",
        "roughly 0.5e-5",
        0.45e-5,
        0.55e-5,
        lambda: branching_ratio(get_channel("B+->K+nunu"), get_model("sm")),
    ),
    Number("eq. (4)", "g_bs / [m_V/GeV], V narrow", "0.7e-8", 0.65e-8, 0.75e-8, _bound_of_eq_4),
    Number("after eq. (6)", "g_μ / [m_V/GeV], (g-2)_μ 2σ low", "0.004", 0.0035, 0.0045, lambda: _coupling(-2)),
    Number("after eq. (6)", "the same, 2σ high", "0.007", 0.0065, 0.0075, lambda: _coupling(2)),
    Number(
        "after eq. (6)",
        "the same, 3σ high",
        "0.008",
        0.0075,
        0.0085,
        lambda: _coupling(3),
        "eq. (5) with f_V = 1 gives 0.00748",
        0.00748,
    ),
    Number(
        "after eq. (7)",
        "N [GeV⁻²]",
        "-7.7e-10",
        -7.75e-10,
        -7.65e-10,
        lambda: -abs(load_parameters().prefactor),
        "flavio's α(m_b); with α(0) -7.9e-10, the rest is its larger |V_tb V_ts|",
        -8.19e-10,
    ),
    Number(
        "after eq. (7)",
        "change of BR(B_s → μμ), |g_bs g_μA| = 3e-9, m_V = 3 GeV",
        "less than 20 %",
        0.0,
        0.2,
        _bs_mumu,
        "for the sign that raises it; the other lowers it by 19 %",
        0.204,
    ),
    Number("after eq. (8)", "K_F for large x over the exact one", "≈", 0.98, 1.02, _large_x),
    Number("after eq. (8)", "1/2 - 2 s_w²", "0.04", 0.035, 0.045, lambda: 0.5 - 2 * load_parameters()["s2w"]),
    Number("after eq. (8)", "bound of the Z on g_μ at m_V = 0.5 GeV", "0.5", 0.45, 0.56, _z_bound),
    Number("footnote 3", "bound of trident production on g_μV = g_ν", "5e-3", 4.5e-3, 5.5e-3, _trident),
    Number("figure 1", "g_μA / g_μV for the measured (g-2)_μ", "-0.44", -0.445, -0.435, _axial_over_vector),
    Number(
        "after eq. (11)",
        "⟨σv⟩ of χχ̄ → μμ [cm³/s]",
        "1e-22 to 1e-21",
        1e-22,
        1e-21,
        _sigma_v,
        "g_μV = 0.04, m_χ = m_V/4; 6e-21 at the point of figure 1",
    ),
)
"""In the order of the paper."""


def table() -> Iterable[tuple[str, str, str, str, str, str]]:
    """Rows of the table: where, what, the paper's number, ours, whether it agrees, remark."""
    for one in NUMBERS:
        found = one.found()
        yield (
            one.where,
            one.what,
            one.paper,
            f"{found:.3g}",
            "yes" if one.agrees(found) else "no",
            one.remark,
        )
