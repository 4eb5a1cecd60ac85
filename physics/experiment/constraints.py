r"""Equations (3)-(8) of arXiv:1704.06188 as functions of numbers, and of a model where several V add up.

Everything is in GeV. The experimental numbers that they are held against are those of a data set
(``datasets.py``); the table that puts the two together is in ``verdicts.py``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..mediators import Decay, Mediator
from ..models import Model
from ..parameters import Parameters, load_parameters
from .loops import f_a, f_v, k_f, k_f_large

FloatArray = NDArray[np.float64]
M_MU = 0.1056583755
"""Mass of the muon (GeV), as in flavio 2.7.1."""


def narrow_width_branching_ratio(
    g_bs: ArrayLike, mass: ArrayLike, f_plus: ArrayLike, m_b: float, m_k: float, tau: float
) -> FloatArray:
    r"""Eq. (3): BR(B -> K V) for B(V -> chi chi) = 1 in the narrow-width limit.

    BR = tau_B m_B^3 / (64 pi m_V^2) lambda^{3/2} f_+(m_V^2)^2 |g_bs|^2 with lambda of masses in units of m_B.
    The equation was checked by hand: <K|s gamma b|B> = f_+ (p_B + p_K) + ..., g_bs/2 from the left-handed
    current, and |p_B . eps|^2 summed = m_B^4 lambda / (4 m_V^2). A right-handed coupling adds to g_bs.
    ``tau`` in 1/GeV, masses in GeV; zero above m_B - m_K. Arrays broadcast.

    >>> br = narrow_width_branching_ratio(0.7e-8 * 2.5, 2.5, 0.45, 5.279, 0.494, 2.489e12)
    >>> f"{float(br):.1e}"
    '8.0e-06'
    """
    m = np.asarray(mass, dtype=np.float64)
    x, y = (m / m_b) ** 2, (m_k / m_b) ** 2
    lam = np.where(m < m_b - m_k, 1 + x**2 + y**2 - 2 * (x + y + x * y), 0.0)
    return np.asarray(
        tau * m_b**3 / (64 * np.pi * m**2) * np.maximum(lam, 0) ** 1.5 * np.square(f_plus) * np.abs(g_bs) ** 2
    )


def g_bs_bound(branching_ratio_at_unit_coupling: ArrayLike, limit: float) -> FloatArray:
    r"""Eq. (4): the largest |g_bs| for BR(B -> K chi chi) < ``limit``, the rate going as |g_bs|^2.

    The argument is the branching ratio at g_bs = 1, narrow (:func:`narrow_width_branching_ratio`) or
    integrated over the finite width (``rates.branching_ratio``). The paper quotes 0.7e-8 m_V / GeV for
    1e-5.

    >>> float(g_bs_bound(4e10, 1e-5))
    1.5811388300841896e-08
    """
    return np.asarray(np.sqrt(limit / np.asarray(branching_ratio_at_unit_coupling, dtype=np.float64)))


def delta_a_mu(mass: ArrayLike, g_mu_v: ArrayLike, g_mu_a: ArrayLike, m_mu: float = M_MU) -> FloatArray:
    r"""Eq. (5): shift of a_mu = (g-2)/2 of the muon by a loop of V.

    delta a_mu = [g_V^2 f_V(r) - 5 g_A^2 f_A(r)] / (12 pi^2) x r, r = m_mu^2 / m_V^2, with the exact loop
    functions of ``loops.py``: along the funnel g_A = -0.44 g_V the terms cancel, and f = 1 is off by half.
    The width of V is left out. Arrays broadcast.

    The paper's "suppression of (g-2) by a factor of 3-5" holds for the effective coupling: along the funnel
    the shift itself is 70 times smaller than with g_A = 0.

    >>> f"{float(delta_a_mu(2.5, 0.01, 0.0)):.3e}"
    '1.473e-09'
    """
    r = (m_mu / np.asarray(mass, dtype=np.float64)) ** 2
    return np.asarray((np.square(g_mu_v) * f_v(r) - 5 * np.square(g_mu_a) * f_a(r)) * r / (12 * np.pi**2))


def raises_a_mu(g_mu_v: float, g_mu_a: float) -> bool:
    """The paper's condition |g_A| < sqrt(5) |g_V| for a positive shift of a_mu, for m_V >> m_mu.

    With |g_A| = 0.44 |g_V| it holds just: 1 / sqrt(5) = 0.447 is the bound on |g_A| / |g_V| that eq. (5)
    implies. The text's |g_A| < sqrt(5) |g_V| has the root on the wrong side; the condition used here is
    sqrt(5) |g_A| < |g_V|.

    >>> raises_a_mu(0.1, -0.044), raises_a_mu(0.1, 0.1)
    (True, False)
    """
    return bool(5 * g_mu_a**2 < g_mu_v**2)


def exchange_c10(mediator: Mediator, parameters: Parameters | None = None) -> tuple[complex, complex]:
    r"""C_10 - C_10' and C_P - C_P' (1/GeV) from a mediator in Bs -> mu mu, with its fixed width.

    For V it is eq. (7): C_10 = (g_bs - g_bs') g_A / N / (m_Bs^2 - m_V^2 + i m_V Gamma),
    C_P = -2 m_mu / m_V^2 C_10, with N of flavio (-8.2e-10 GeV^-2; the paper quotes -7.7e-10).
    ``pseudoscalar=False`` of the model sets C_P to zero, and then the shift of the branching ratio has the wrong
    sign.

    >>> from darkpenguin.physics.models import get_model
    >>> c10, cp = exchange_c10(get_model("fig2").light_vectors[0])
    >>> round(c10.real, 4), round(cp.real / c10.real, 4)
    (-0.0357, -0.0338)
    """
    return exchange_coefficients(mediator, parameters)[:2]


def exchange_coefficients(mediator: Mediator, parameters: Parameters | None = None) -> tuple[complex, complex, complex]:
    """C_10 - C_10', C_P - C_P' and C_S - C_S' (1/GeV) from a mediator in Bs -> mu mu, see :func:`exchange_c10`.

    >>> from darkpenguin.physics.light_scalar import LightScalar
    >>> exchange_coefficients(LightScalar(mass=2.0, width=0.1, g_bs=1e-9, g_mu=1e-3))[1]
    0j
    """
    known = parameters or load_parameters()
    m_b = known["m_b(4.8)"]
    decay = Decay("mu", known["m_mu"], m_b, known.prefactor)
    shifts = mediator.shifts(decay, np.array([known["m_Bs"] ** 2]))
    c = {name: complex(np.ravel(shifts.get(name, 0j))[0]) for name in ("a", "ap", "p", "pp", "s", "sp")}
    return c["a"] - c["ap"], (c["p"] - c["pp"]) / m_b, (c["s"] - c["sp"]) / m_b


def bs_mumu_branching_ratio(model: Model, parameters: Parameters | None = None) -> float:
    r"""Time-integrated BR(Bs -> mu mu) of a model: heavy C_10, C_P and C_S, and eq. (7) of each mediator.

    P = 2 m_mu / m_Bs [C_10 - C_10'] + m_Bs m_b / (m_b + m_s) [C_P - C_P'] and S likewise (flavio's bll.py;
    arXiv:1204.1735 eq. (8) for the average over the mixing). For V, whose C_P comes from the divergence of
    the axial current, the factor m_b / (m_b + m_s) is exactly 1, so the terms of order m_s / m_b that eq. (7)
    neglects are kept: P_V = 2 m_mu / m_Bs C_10 (1 - m_Bs^2 / m_V^2).

    >>> from darkpenguin.physics.models import get_model
    >>> f"{bs_mumu_branching_ratio(get_model('sm')):.2e}"
    '3.63e-09'
    """
    known = parameters or model.parameters
    m, m_mu = known["m_Bs"], known["m_mu"]
    heavy = {name: model.heavy.coefficient(name, "mu") for name in ("C10", "C10p", "CP", "CPp", "CS", "CSp")}
    quark = known["m_b(4.8)"] / (known["m_b(4.8)"] + known["m_s(4.8)"])
    beta = np.sqrt(1 - 4 * m_mu**2 / m**2)
    p = 2 * m_mu / m * (known["C10_sm"] + heavy["C10"] - heavy["C10p"])
    p += m * quark * (heavy["CP"] - heavy["CPp"])
    s = beta * m * quark * (heavy["CS"] - heavy["CSp"])
    for mediator in model.mediators.values():
        factor = 1.0 if mediator.exact_divergence else quark
        c10, cp, cs = exchange_coefficients(mediator, known)
        p += 2 * m_mu / m * c10 + m * factor * cp
        s += beta * m * factor * cs
    size = abs(p) ** 2 + abs(s) ** 2
    prefactor = abs(known.prefactor) ** 2 / (32 * np.pi) * m**3 * known["tau_Bs"] * beta * known["f_Bs"] ** 2
    y = known["DeltaGamma/Gamma_Bs"] / 2
    asymmetry = ((p**2).real - (s**2).real) / size
    return float(prefactor * size * (1 + asymmetry * y) / (1 - y**2))


def bs_mixing_amplitude(model: Model, parameters: Parameters | None = None) -> complex:
    r"""M_12 of Bs mixing from tree-level exchange of every V, in GeV (flavio's sign and phase convention).

    The exchange gives L = g_bs^2 / 2 D [(s gamma P_L b)^2 + m_b^2 / m_V^2 (s P_R b)^2],
    D = 1 / (m_Bs^2 - m_V^2 + i m_V Gamma), and likewise with right-handed currents; matrix elements as in
    flavio's ``mesonmixing/amplitude.py``. V is lighter than the b quark, so that this is an estimate: the
    momentum in both contractions is taken as m_Bs. Its real part is the dispersive, its imaginary part the
    absorptive piece; the paper calls both "totally negligible".

    >>> from darkpenguin.physics.models import get_model
    >>> abs(bs_mixing_amplitude(get_model("fig2"))) < 1e-6 * 1.17e-11   # of Delta M_s
    True
    """
    known = parameters or model.parameters
    m, f, m_b = known["m_Bs"], known["f_Bs"], known["m_b(4.2)"]
    r = (m / (m_b + known["m_s(4.2)"])) ** 2
    norm = m * f**2
    vll, sll = norm / 3 * known["bag_Bs_1"], -norm * 5 / 24 * known["bag_Bs_2"] * r
    vlr, slr = -norm / 6 * known["bag_Bs_5"] * r, norm / 4 * known["bag_Bs_4"] * r
    total = 0j
    for vector in model.light_vectors:
        left, right = vector.g_bs, vector.g_bs_right
        ratio = (m_b / vector.mass) ** 2
        propagator = 1 / (m**2 - vector.mass**2 + 1j * vector.mass * vector.total_width)
        squares = (left**2 + right**2) * (vll + ratio * sll) + 2 * left * right * (vlr + ratio * slr)
        total -= propagator / 2 * squares
    return complex(total)


def z_coupling_shift(
    mass: ArrayLike, g_mu_v: ArrayLike, g_mu_a: ArrayLike, m_z: float = 91.1876, form: Literal["full", "large"] = "full"
) -> FloatArray:
    r"""Eq. (8): g_Zmumu / g_SM - 1 = (g_V^2 + g_A^2) / (16 pi^2) K_F(m_Z^2 / m_V^2).

    The same factor for the vector and the axial coupling, as the paper has it; :func:`z_chiral_shift` does
    each chirality. ``form`` chooses K_F in full or its large-x form. Real V emission is left out. Arrays
    broadcast.

    >>> round(float(z_coupling_shift(2.5, 0.1, -0.044)), 5)
    -0.0023
    """
    loop = {"full": k_f, "large": k_f_large}[form](np.square(m_z / np.asarray(mass, dtype=np.float64)))
    return np.asarray((np.square(g_mu_v) + np.square(g_mu_a)) / (16 * np.pi**2) * loop)


def z_chiral_shift(
    mass: ArrayLike,
    g_mu_v: ArrayLike,
    g_mu_a: ArrayLike,
    g_v_z: float,
    g_a_z: float,
    m_z: float = 91.1876,
    form: Literal["full", "large"] = "full",
) -> tuple[FloatArray, FloatArray]:
    r"""Shifts of the vector and axial couplings of the Z to muons (LEP's g_V, g_A), chirality by chirality.

    A V loop multiplies the left-handed coupling by 1 + (g_muV - g_muA)^2 K_F / (16 pi^2) and the right-handed
    one by 1 + (g_muV + g_muA)^2 K_F / (16 pi^2), so that in LEP's convention, gamma (g_V - g_A gamma5),

    dg_V = K [(g_muV^2 + g_muA^2) g_V - 2 g_muV g_muA g_A],
    dg_A = K [(g_muV^2 + g_muA^2) g_A - 2 g_muV g_muA g_V],  K = K_F / (16 pi^2).

    Eq. (8) has the first terms only. The second is small in dg_A, but in dg_V it is the larger one, since
    g_V = -0.037 is so much smaller than g_A = -0.501.
    """
    loop = {"full": k_f, "large": k_f_large}[form](np.square(m_z / np.asarray(mass, dtype=np.float64)))
    k = loop / (16 * np.pi**2)
    same = np.square(g_mu_v) + np.square(g_mu_a)
    cross = 2 * np.asarray(g_mu_v) * np.asarray(g_mu_a)
    return np.asarray(k * (same * g_v_z - cross * g_a_z)), np.asarray(k * (same * g_a_z - cross * g_v_z))


def trident_ratio(model: Model, parameters: Parameters | None = None) -> float:
    r"""Cross section of nu_mu N -> nu_mu mu mu N over the Standard Model's, with every V coupled to nu_mu.

    sigma / sigma_SM = (C_V^2 + C_A^2) / (C_V^SM^2 + C_A^SM^2), C_V^SM = 1/2 + 2 s_W^2, C_A^SM = 1/2, and V
    adds g_nu g_muV v^2 / m_V^2 to C_V and -g_nu g_muA v^2 / m_V^2 to C_A, v = 246 GeV (arXiv:1406.2332 with
    its coupling split in three). V is treated as heavy against the momentum transfer, which holds from about
    1 GeV on. Footnote 3 of the paper: g_muV = g_nu, g_muA = 0 gives g < 5e-3 at 2.5 GeV.

    >>> from darkpenguin.physics.light_vector import LightVector
    >>> v = LightVector(mass=2.5, relative_width=0.2, g_mu_v=5e-3, g_nu_mu=5e-3)
    >>> round(trident_ratio(Model(name="footnote", light_vectors=(v,))), 2)
    1.45
    """
    known = parameters or model.parameters
    vev2 = 1 / (np.sqrt(2) * known["GF"])
    c_v, c_a = 0.5 + 2 * known["s2w"], 0.5
    standard = c_v**2 + c_a**2
    for vector in model.light_vectors:
        scale = vector.g_nu_mu * vev2 / vector.mass**2
        c_v += scale * vector.g_mu_v
        c_a -= scale * vector.g_mu_a
    return float((c_v**2 + c_a**2) / standard)
