"""Angles to momenta and back, against the package `vector` and against conservation laws."""

import math

import numpy as np
import pytest
import vector
from darkpenguin.kinematics import frames
from darkpenguin.kinematics.base.errors import InputError

# masses in GeV, PDG 2024
M_B, M_KST, M_K, M_PI, M_MU, M_E = 5.27972, 0.89555, 0.493677, 0.13957039, 0.1056583755, 0.00051099895
F64 = np.float64
LEPTONS = {"mu": M_MU, "e": M_E}
EVENTS = 300


def random_angles(seed, m_l, m_kpi):
    """q2 graded towards both ends, angles up to the poles."""
    rng = np.random.default_rng(seed)
    low, high = 4 * m_l**2, (M_B - m_kpi) ** 2
    q2 = np.concatenate(
        [
            rng.uniform(low, high, EVENTS - 40),
            low * (1 + np.geomspace(1e-6, 1.0, 20)),
            high * (1 - np.geomspace(1e-6, 0.1, 20)),
        ]
    )
    cos_k, cos_l = rng.uniform(-1, 1, (2, EVENTS))
    cos_k[:4], cos_l[:4] = [1, -1, 0.5, 0.5], [0.3, 0.3, 1, -1]
    return q2, cos_k, cos_l, rng.uniform(-math.pi, math.pi, EVENTS)


def lhcb_angles(k, pi, lp, lm, flavour):
    """Appendix A of arXiv:1304.6325 written out with `vector`: unit vectors, boosts, cross products."""
    l1, l2 = (lp, lm) if flavour > 0 else (lm, lp)
    b, kst, ll = k + pi + lp + lm, k + pi, lp + lm
    in_b = [p.boostCM_of_p4(b) for p in (k, pi, l1, l2)]
    k_b, pi_b, l1_b, l2_b = (p.to_Vector3D().unit() for p in in_b)
    cos_l = l1.boostCM_of_p4(ll).to_Vector3D().unit().dot(-b.boostCM_of_p4(ll).to_Vector3D().unit())
    cos_k = k.boostCM_of_p4(kst).to_Vector3D().unit().dot(-b.boostCM_of_p4(kst).to_Vector3D().unit())
    n_l, n_k = l1_b.cross(l2_b).unit(), k_b.cross(pi_b).unit()
    sin_phi = flavour * n_l.cross(n_k).dot(kst.boostCM_of_p4(b).to_Vector3D().unit())
    return float(cos_k), float(cos_l), math.atan2(sin_phi, n_l.dot(n_k))


def theory_angles(k, pi, lp, lm):
    """θ_ℓ between the ℓ- and the B in the dilepton frame, planes from ℓ- ℓ+ and K π, for either flavour."""
    b, kst, ll = k + pi + lp + lm, k + pi, lp + lm
    k_b, pi_b, lp_b, lm_b = (p.boostCM_of_p4(b).to_Vector3D().unit() for p in (k, pi, lp, lm))
    cos_l = lm.boostCM_of_p4(ll).to_Vector3D().unit().dot(b.boostCM_of_p4(ll).to_Vector3D().unit())
    cos_k = k.boostCM_of_p4(kst).to_Vector3D().unit().dot(-b.boostCM_of_p4(kst).to_Vector3D().unit())
    n_l, n_k = lm_b.cross(lp_b).unit(), k_b.cross(pi_b).unit()
    sin_phi = n_l.cross(n_k).dot(kst.boostCM_of_p4(b).to_Vector3D().unit())
    return float(cos_k), float(cos_l), math.atan2(sin_phi, n_l.dot(n_k))


def decay(q2, cos_k, cos_l, phi, flavour, convention, m_l, m_kpi=M_KST):
    signs = frames.convention_signs(convention, flavour)
    return frames.vector_decay(
        F64, q2, cos_k, signs[0] * cos_l, signs[1] * math.cos(phi), signs[2] * math.sin(phi), M_B, m_kpi, M_K, M_PI, m_l
    )


def four_vectors(momenta, m_l):
    return [
        vector.obj(px=float(p[0]), py=float(p[1]), pz=float(p[2]), mass=m)
        for p, m in zip(momenta, (M_K, M_PI, m_l, m_l), strict=True)
    ]


def difference(a, b):
    """Of two angles, in (-π, π]."""
    return (a - b + math.pi) % (2 * math.pi) - math.pi


@pytest.mark.parametrize("flavour", [1, -1])
@pytest.mark.parametrize("convention", ["lhcb", "theory"])
def test_angles_agree_with_the_definitions_written_with_vector(convention, flavour):
    q2, cos_k, cos_l, phi = random_angles(1, M_MU, M_KST)
    for i in range(4, 120):
        momenta = decay(q2[i], cos_k[i], cos_l[i], phi[i], flavour, convention, M_MU)
        # any rotation and boost must leave the angles alone
        rows = frames.orientation(F64, 0.1, 0.7, 0.35)
        lab = [
            frames.boost(frames.rotate(rows, p), m, (1.0, -2.0, 30.0), M_B)
            for p, m in zip(momenta, (M_K, M_PI, M_MU, M_MU), strict=True)
        ]
        p4 = four_vectors(lab, M_MU)
        got = lhcb_angles(*p4, flavour) if convention == "lhcb" else theory_angles(*p4)
        assert got[0] == pytest.approx(cos_k[i], abs=1e-8)
        assert got[1] == pytest.approx(cos_l[i], abs=1e-8)
        assert difference(got[2], phi[i]) == pytest.approx(0, abs=1e-7)


def test_cp_conjugation_maps_lhcbs_angles_of_b_on_those_of_bbar():
    """A B-bar event with the same LHCb angles is the mirror image, particles and antiparticles swapped."""
    args = (6.0, 0.3, -0.4, 0.9)
    k, pi, lp, lm = decay(*args, 1, "lhcb", M_MU)
    k_c, pi_c, lp_c, lm_c = decay(*args, -1, "lhcb", M_MU)
    mirror = np.array([1, -1, 1])  # reflection in the plane of K and π: parity up to a rotation
    for a, b in ((k, k_c), (pi, pi_c), (lp, lm_c), (lm, lp_c)):
        np.testing.assert_allclose(np.array(a) * mirror, b, atol=1e-15)


@pytest.mark.parametrize("lepton", ["mu", "e"])
@pytest.mark.parametrize("m_kpi", [M_KST, 0.65, 1.4])
def test_momentum_energy_and_masses_are_conserved_to_1e_12_of_e2(lepton, m_kpi):
    m_l = LEPTONS[lepton]
    for args in zip(*random_angles(2, m_l, m_kpi), strict=True):
        momenta = decay(*args, 1, "lhcb", m_l, m_kpi)
        p4 = [(frames.energy(*p, m), *p) for p, m in zip(momenta, (M_K, M_PI, m_l, m_l), strict=True)]
        total = np.sum(p4, axis=0)
        assert np.max(np.abs(total - [M_B, 0, 0, 0])) < 1e-12 * M_B
        metric = np.array([1, -1, -1, -1])
        p4 = np.array(p4)
        systems = [*p4, p4[0] + p4[1], p4[2] + p4[3]]
        squares = [M_K**2, M_PI**2, m_l**2, m_l**2, m_kpi**2, args[0]]
        for p, square in zip(systems, squares, strict=True):
            assert abs(metric @ (p * p) - square) < 1e-12 * p[0] ** 2


@pytest.mark.parametrize(("lepton", "tolerance"), [("mu", 1e-12), ("e", 1e-9)])
def test_there_and_back(lepton, tolerance):
    """Away from the ends angles come back to 1e-12 for muons; electrons at γ = 5000 lost digits already."""
    m_l = LEPTONS[lepton]
    q2s, cos_ks, cos_ls, phis = random_angles(3, m_l, M_KST)
    for i in range(4, EVENTS - 40):
        k, pi, lp, lm = decay(q2s[i], cos_ks[i], cos_ls[i], phis[i], 1, "lhcb", m_l)
        got = frames.pair_mass_squared(F64, lp, m_l, lm, m_l)
        assert got == pytest.approx(q2s[i], abs=tolerance * M_B**2)
        assert frames.pair_mass_squared(F64, k, M_K, pi, M_PI) == pytest.approx(M_KST**2, abs=1e-12 * M_B**2)
        assert frames.cosine_in_pair(F64, k, M_K, pi, M_PI) == pytest.approx(cos_ks[i], abs=tolerance)
        assert frames.cosine_in_pair(F64, lp, m_l, lm, m_l) == pytest.approx(cos_ls[i], abs=tolerance)
        c, s = frames.decay_plane_angle(F64, k, pi, lp, lm)
        assert difference(math.atan2(s, c), phis[i]) == pytest.approx(0, abs=10 * tolerance)


def test_stable_mass_of_a_pair_of_electrons():
    """100 GeV electrons at a mass of 1.1 MeV: E² - p² keeps few digits of it."""
    q2 = (2 * M_E * 1.1) ** 2
    lp, lm = frames.dilepton_momenta(F64, 200.0, q2, 0.3, 0.6, 0.8, M_E)
    assert frames.pair_mass_squared(F64, lp, M_E, lm, M_E) == pytest.approx(q2, rel=1e-8, abs=0)
    energy = frames.energy(*lp, M_E) + frames.energy(*lm, M_E)
    naive = energy**2 - np.sum((np.array(lp) + lm) ** 2)
    assert abs(naive - q2) > 1e-6 * q2


@pytest.mark.parametrize("flavour", [1, -1])
def test_b_to_k_ll(flavour):
    rng = np.random.default_rng(4)
    for q2, cos_l in zip(rng.uniform(0.05, 22.8, 50), rng.uniform(-1, 1, 50), strict=True):
        sign = frames.convention_signs("lhcb", flavour)[0]
        k, lp, lm = frames.scalar_decay(F64, q2, sign * cos_l, M_B, M_K, M_MU)
        p4 = [
            vector.obj(px=float(p[0]), py=float(p[1]), pz=float(p[2]), mass=m)
            for p, m in ((k, M_K), (lp, M_MU), (lm, M_MU))
        ]
        total = p4[0] + p4[1] + p4[2]
        assert total.mass == pytest.approx(M_B, rel=1e-13, abs=0)
        assert abs(total.p) < 1e-12
        # LHCb, arXiv:1209.4284: angle between the μ- (μ+) and the K+ (K-) of the B+ (B-) in the dimuon frame
        lepton = p4[2] if flavour > 0 else p4[1]
        ll = p4[1] + p4[2]
        lepton, kaon = (p.boostCM_of_p4(ll).to_Vector3D().unit() for p in (lepton, p4[0]))
        got = lepton.dot(kaon)
        assert got == pytest.approx(cos_l, abs=1e-10)


@pytest.mark.parametrize("gamma", [1.0, 1.3, 60.0, 1e5])
def test_boosts_agree_with_vector_and_undo_themselves(gamma):
    """`vector` goes through the velocity and loses γ² ulp; against 80-bit floats ours keeps its digits."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        p, direction = rng.normal(size=3), rng.normal(size=3)
        parent = direction / np.linalg.norm(direction) * M_B * math.sqrt(gamma**2 - 1)
        boosted = frames.boost(tuple(p), M_MU, tuple(parent), M_B)
        b4 = vector.obj(px=parent[0], py=parent[1], pz=parent[2], E=frames.energy(*parent, M_B))
        want = vector.obj(px=p[0], py=p[1], pz=p[2], mass=M_MU).boost_p4(b4)
        close = {"rtol": 1e-14 * gamma**2 + 1e-13, "atol": 1e-12 * gamma}
        np.testing.assert_allclose(boosted, [want.px, want.py, want.pz], **close)
        p_long, parent_long = np.longdouble(p), np.longdouble(parent)
        e, e_parent = np.sqrt(p_long @ p_long + M_MU**2), np.sqrt(parent_long @ parent_long + M_B**2)
        energy = (e * e_parent + p_long @ parent_long) / M_B
        assert frames.energy(*boosted, M_MU) == pytest.approx(float(energy), abs=1e-14 * gamma)
        back = frames.boost_back(boosted, M_MU, tuple(parent), M_B)
        np.testing.assert_allclose(back, p, atol=1e-14 * gamma**2)


def test_orientation_is_a_uniform_rotation():
    """Orthogonal, of determinant one, and with the moments of the uniform measure: <R_ij²> = 1/3, <R> = 0.

    20,000 rotations; each mean within 5.5 standard errors (false alarms: 18 x 4e-8).
    """
    u = np.random.default_rng(8).uniform(size=(20000, 3))
    r = np.array([frames.orientation(F64, *x) for x in u])
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-14)
    error = np.sqrt(1 / 3 / len(u))
    assert np.max(np.abs(r.mean(axis=0))) < 5.5 * error
    assert np.max(np.abs((r**2).mean(axis=0) - 1 / 3)) < 5.5 * np.sqrt(4 / 45 / len(u))
    # the mutation: a uniform angle instead of a uniform cosine is noticed
    bent = np.array([frames.orientation(F64, a, 0.5 * (1 - math.cos(math.pi * b)), c) for a, b, c in u])
    assert np.max(np.abs((bent**2).mean(axis=0) - 1 / 3)) > 5.5 * np.sqrt(4 / 45 / len(u))


def test_single_precision_stays_single():
    f32 = np.float32
    args = [f32(x) for x in (6.0, 0.3, -0.4, 0.6, 0.8, M_B, M_KST, M_K, M_PI, M_MU)]
    single = frames.vector_decay(f32, *args)
    double = frames.vector_decay(F64, *map(float, args))
    np.testing.assert_allclose(np.array(single, dtype=float), double, atol=3e-6)


def test_unknown_convention_is_refused():
    with pytest.raises(InputError, match="convention = 'cms'"):
        frames.convention_signs("cms", 1)
