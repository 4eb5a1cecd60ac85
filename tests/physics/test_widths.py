"""Widths of V, eqs. (11) and (12), from Feynman rules: spinor traces with numerical gamma matrices.

Nothing of the package's own formulae enters here but the functions under test.
"""

import numpy as np
import pytest
from darkpenguin.kinematics.phasespace import velocity
from darkpenguin.physics.experiment.darkmatter import sigma_v_fermion, sigma_v_scalar
from darkpenguin.physics.widths import invisible_width, lepton_width, neutrino_width

METRIC = np.diag([1.0, -1.0, -1.0, -1.0])
PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
ZERO, ONE = np.zeros((2, 2)), np.eye(2)
GAMMA = np.array([np.block([[ONE, ZERO], [ZERO, -ONE]]), *(np.block([[ZERO, s], [-s, ZERO]]) for s in PAULI)])
GAMMA5 = 1j * GAMMA[0] @ GAMMA[1] @ GAMMA[2] @ GAMMA[3]
M_MU = 0.1056583755


def slash(p):
    return np.einsum("m,mab->ab", METRIC @ p, GAMMA)


def pair(s, mass, cosine=1.0):
    """Momenta of two particles of one mass, back to back, of invariant mass squared s."""
    e = np.sqrt(s) / 2
    k = np.sqrt(e**2 - mass**2) * np.array([np.sqrt(1 - cosine**2), 0.0, cosine])
    return np.array([e, *k]), np.array([e, *-k])


def fermions(s, mass, v, a, cosine=1.0):
    """Sum over spins of J^mu J^nu* of u-bar gamma^mu (v + a gamma5) v, indices up."""
    p, k = pair(s, mass, cosine)
    unit = np.eye(4)
    vertex = [g @ (v * unit + a * GAMMA5) for g in GAMMA]
    barred = [GAMMA[0] @ x.conj().T @ GAMMA[0] for x in vertex]
    left, right = slash(p) + mass * unit, slash(k) - mass * unit
    return np.array([[np.trace(left @ x @ right @ y) for y in barred] for x in vertex])


def scalars(s, mass, cosine=1.0):
    p, k = pair(s, mass, cosine)
    return np.outer(p - k, p - k)


def width(tensor, s, mass):
    """Gamma = beta / (16 pi m_V) times the average over the spins of V of |J . eps|^2."""
    q = np.array([np.sqrt(s), 0.0, 0.0, 0.0])
    low = METRIC @ q
    polarisations = -METRIC + np.outer(low, low) / s
    size = np.einsum("mn,mn->", tensor, polarisations).real / 3
    return float(velocity(s, mass)) / (16 * np.pi * np.sqrt(s)) * size


@pytest.mark.parametrize("m_chi", [0.0, 0.4, 0.9, 1.2])
def test_eq_2_with_masses(m_chi):
    s, g = 2.5**2, 1.3
    dirac, scalar = (float(invisible_width(s, g, m_chi, chi)) for chi in ("dirac", "scalar"))
    assert dirac == pytest.approx(width(fermions(s, m_chi, g, 0.0), s, m_chi), rel=1e-12, abs=0)
    assert scalar == pytest.approx(width(g**2 * scalars(s, m_chi), s, m_chi), rel=1e-12, abs=0)


@pytest.mark.parametrize(("v", "a"), [(0.3, 0.0), (0.0, 0.3), (0.2, -0.1)])
def test_leptons(v, a):
    s = 0.3**2
    direct = width(fermions(s, M_MU, v, a), s, M_MU)
    assert float(lepton_width(s, v, a, M_MU)) == pytest.approx(direct, rel=1e-12, abs=0)


def test_neutrinos():
    # g nu_L-bar gamma nu_L is v = g/2, a = -g/2
    direct = width(fermions(4.0, 0.0, 0.35, -0.35), 4.0, 0.0)
    assert float(neutrino_width(4.0, 0.7)) == pytest.approx(direct, rel=1e-12, abs=0)


@pytest.mark.parametrize("chi", ["dirac", "scalar"])
def test_eqs_11_and_12(chi):
    """sigma v_rel = <|M|^2> beta_mu / (8 pi 4 E^2), with the propagator in unitary gauge, v_rel = 2 beta_chi.

    At v_rel = 2e-3, with corrections of order v^2; the scalar's 1/(6 pi) is that of the relative velocity.
    """
    m_chi, mass, g_chi, v, a = 0.4, 2.5, 1.3, 0.07, -0.03
    beta = 1e-3
    s = 4 * m_chi**2 / (1 - beta**2)
    q = METRIC @ np.array([np.sqrt(s), 0.0, 0.0, 0.0])
    propagator = (-METRIC + np.outer(q, q) / mass**2) / (s - mass**2)
    incoming = fermions(s, m_chi, g_chi, 0.0).conj() / 4 if chi == "dirac" else g_chi**2 * scalars(s, m_chi)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    size = sum(
        w / 2 * np.einsum("mn,ma,nb,ab->", incoming, propagator, propagator, fermions(s, M_MU, v, a, c)).real
        for c, w in zip(nodes, weights, strict=True)
    )
    direct = size * float(velocity(s, M_MU)) / (8 * np.pi * s)
    if chi == "dirac":
        found = sigma_v_fermion(m_chi, mass, g_chi, v, a, m_mu=M_MU)
    else:
        found = sigma_v_scalar(m_chi, mass, g_chi, v, a, 2 * beta, m_mu=M_MU, kind="relative")
    assert float(found) == pytest.approx(direct, rel=1e-5, abs=0)
