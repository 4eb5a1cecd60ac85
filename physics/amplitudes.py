"""Helicity amplitudes of B → K(*) ℓℓ: flavio's Standard Model, kept as functions of q2, plus any new physics.

The amplitudes of B → V ℓℓ and B → P ℓℓ (Gratrex, Hopfer, Zwicky, arXiv:1506.03970, as in flavio) are linear
in the Wilson coefficients. What is cached is therefore not the amplitudes but what they are made of: form
factors, C7eff(q2), C9eff(q2), the constant coefficients and the spectator-scattering amplitudes, for the
b-quark decay and for its CP conjugate. These are smooth between kinks at known places, so a Chebyshev
expansion on each panel between the kinks gives them at any q2 to about 1e-9, the photon pole, √q2 and √λ
stay analytic, and a mediator is what eq. (9) of arXiv:1704.06188 says of V: a shift of C9 and C10 that
depends on q2. The charm loops do not know the lepton flavour, so one table serves both.

Between 8.7 and 14 GeV² flavio's amplitudes are computed but not meaningful: the narrow charmonium states are not
in them. A theory's ``nonlocal`` adds these, see ``charmonium.py``. flavio trusts its spectator scattering below 6 GeV²
and uses it up to 8.9 GeV².
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.base.cache import cache_folder, from_cache, keep_newest, write_checked
from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import kallen, q2_max
from .btosllball import ball_model
from .channels import Channel
from .charmonium import nonlocal_parts
from .flavio_inputs import flavio_version, form_factors_in_use
from .local import CONSTANT, P_FORM_FACTORS, V_FORM_FACTORS, Array, ComplexArray, StandardModel, no_spectator
from .mediators import Decay, NewPhysics
from .models import COEFFICIENTS, Model, shared_theory
from .modes import Transition
from .parameters import (
    FLAVIO,
    KEPT,
    SCALE,
    Parameters,
    flavio_parameters,
    load_parameters,
    physics_fingerprint,
    refused,
)
from .piecewise import PiecewiseChebyshev, fit_piecewise
from .theory import Theory


def standard_model(channel: Channel, theory: Theory = FLAVIO) -> StandardModel:
    """SM amplitudes of the channel's hadronic transition in a theory, from memory, the disk cache, or flavio (slow).

    The cache key holds flavio's version, the theory's inputs, the parameter values and this source. A damaged file is
    made again, with a RuntimeWarning.

    >>> from darkpenguin.physics.channels import get_channel
    >>> round(float(standard_model(get_channel("B+->K+mumu")).form_factors(0.0)["f+"]), 4)
    0.332
    """
    return _standard_model(channel.transition, theory.inputs)


@lru_cache(maxsize=256)
def _standard_model(transition: Transition, theory: Theory) -> StandardModel:
    parameters = load_parameters(theory)
    if theory.amplitudes != "flavio":
        return ball_model(transition, theory.amplitudes, parameters)
    folder = cache_folder()
    word = "-".join(filter(None, (transition.name.replace("->", "-").replace("*", "star"), theory.key)))
    path = folder / f"sm-{word}-{_key(parameters)}.npz" if folder else None
    known = None if path is None else from_cache(path, _from_bytes)
    if known is not None:
        return known
    with refused(theory):
        model = _build(transition, parameters, theory)
    if path is not None:
        write_checked(path, _to_bytes(model))
        if theory.key:
            keep_newest(path.parent, "sm-*-*-*-*.npz", KEPT)
    return model


def _key(parameters: Parameters) -> str:
    digest = hashlib.sha256(physics_fingerprint().encode())
    digest.update(json.dumps(dict(parameters), sort_keys=True).encode())
    return digest.hexdigest()[:20]


def _to_bytes(model: StandardModel) -> bytes:
    arrays: dict[str, Any] = {f.name: getattr(model, f.name) for f in fields(model) if f.name != "smooth"}
    arrays.update({f"smooth_{f.name}": getattr(model.smooth, f.name) for f in fields(model.smooth)})
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> StandardModel:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    smooth = PiecewiseChebyshev(**{f.name: data.pop(f"smooth_{f.name}") for f in fields(PiecewiseChebyshev)})
    plain = {name: value.item() if value.ndim == 0 else value for name, value in data.items()}
    if not np.all(np.isfinite(smooth.coefficients)):
        raise ValueError("numbers that are not finite")
    return StandardModel(smooth=smooth, **plain)


def _build(transition: Transition, parameters: Parameters, theory: Theory) -> StandardModel:
    """Evaluate flavio between its kinks; imports flavio (about 5 s) and takes about a second more."""
    with form_factors_in_use(theory.form_factors):
        return _built(transition, parameters, flavio_parameters(theory))


def _built(transition: Transition, parameters: Parameters, par: dict[str, float]) -> StandardModel:
    from .flavio_parts import (
        WilsonCoefficients,
        conjugate_par,
        conjugate_wc,
        get_ff,
        get_wceff,
        matrixelements,
        prefactor,
        wctot_dict,
    )

    parent, hadron, spin = transition.parent.name, transition.hadron.name, transition.spin
    par_conjugate = conjugate_par(par)
    total = wctot_dict(WilsonCoefficients(), "bsmumu", SCALE, par)
    sides = ((par, total), (par_conjugate, conjugate_wc(total)))
    names = V_FORM_FACTORS if spin == 1 else P_FORM_FACTORS

    def rows(q2: float) -> Array:
        factors = get_ff(q2, par.copy(), parent, hadron)  # a copy: flavio writes into this argument
        values = [float(factors[name]) for name in names]
        for side, coefficients in sides:
            wilson = get_wceff(q2, coefficients, side, parent, hadron, "mu", SCALE)
            values += [wilson["7"].real, wilson["7"].imag, wilson["v"].real, wilson["v"].imag]
        return np.array(values)

    scale = np.abs(rows(1.0))

    def tolerance(low: float, high: float) -> Array:
        # flavio's C9eff carries rounding noise: as 1/q2 towards q2 = 0 (1e-7 at 1e-6 GeV²), and as
        # 1/(m_b² - q2)⁴, where exact arithmetic cancels it, towards m_b(pole)² (1e-8 at the endpoint of K)
        allowed = np.maximum(scale, 0.1) * 1e-10
        allowed[len(names) :] += 5e-12 / low + 2e-16 / (1.0 - high / parameters["m_b_pole"] ** 2) ** 4
        return allowed

    start = 4.0 * parameters["m_e"] ** 2
    # a K* lighter than its pole mass has more q2, up to a Kπ pair at its threshold
    lightest = sum(parameters[name] for name in transition.lightest or ("m_" + hadron,))
    if not lightest + 2.0 * parameters["m_mu"] < parameters["m_" + parent]:
        raise ValueError(f"{parent} is too light for {hadron} and two muons")
    end = q2_max(parameters["m_" + parent], lightest)
    # flavio's table of two-loop charm contributions, linear between these q2
    table = np.asarray(matrixelements._f_z, dtype=float) * parameters["m_b_pole"] ** 2
    cusp = 4.0 * parameters["m_c_pole"] ** 2
    low = start * 2.0 ** np.arange(0.0, math.log2(table[1] / start))  # log(q2)
    kinks = np.unique(np.concatenate([low, table[table > 0.0], [cusp, end]]))
    kinks = kinks[(kinks >= start) & (kinks <= end)]
    smooth = fit_piecewise(rows, kinks, (cusp,), tolerance)

    constant = np.empty((2, len(CONSTANT)), dtype=complex)
    for i, (side, coefficients) in enumerate(sides):
        wilson = get_wceff(1.0, coefficients, side, parent, hadron, "mu", SCALE)
        constant[i] = [wilson[name] for name in CONSTANT]
    grid, spectator, last = _spectator(parent, hadron, par) if spin == 1 else no_spectator()
    # flavio's subleading terms, zero at its central values, switch at 9 and 14 GeV²
    special = np.concatenate([table[1:], grid[grid < last], [last] if grid.size else [], [cusp, 9.0, 14.0]])
    special = np.unique(special[(special > start) & (special < end)])  # beyond the K*'s endpoint too
    return StandardModel(
        parent=parent,
        hadron=hadron,
        spin=spin,
        m_parent=parameters["m_" + parent],
        m_hadron=parameters["m_" + hadron],
        m_b=parameters["m_b(4.8)"],
        prefactors=np.array([prefactor(None, side, parent, hadron) for side, _ in sides], dtype=complex),
        smooth=smooth,
        constant=constant,
        spectator_q2=grid,
        spectator=spectator,
        spectator_end=last,
        kinks=special,
        cusps=np.array([cusp]),
        subleading=_subleading(transition, parameters, par),
    )


def _subleading(transition: Transition, parameters: Parameters, par: dict[str, float]) -> ComplexArray:
    """Coefficients of flavio's subleading effects: rows helicities +, -, 0, or one; columns of 1 and q2, and above.

    As in flavio's ``bvll/subleading.py`` (its parameters are a, b q²/m_B² times 2 m_b/m_B C7) and
    ``bpll_subleading.py``.
    """

    def number(name: str) -> complex:
        return complex(par[f"{transition.name} {name} Re"], par[f"{transition.name} {name} Im"])

    if transition.spin == 0:
        return np.array([[number(f"deltaC9 {word}") for word in "abc"]])
    m_b, m_q = parameters["m_" + transition.parent.name], parameters["m_b(4.8)"]
    unit = 0.5 * m_b / m_q
    rows = []
    for operator, helicity in (("C7p", "+"), ("C7", "-"), ("C7", "0")):
        a, b = (number(f"delta_{operator} {word}_{helicity}") for word in "ab")
        rows.append([a * unit, b * unit / m_b**2, number(f"deltaC9 c_{helicity}")])
    return np.array(rows)


def _spectator(parent: str, hadron: str, par: dict[str, float]) -> tuple[Array, ComplexArray, float]:
    """flavio's table of spectator scattering, linear in q2 between its nodes, and where flavio drops it."""
    from .flavio_parts import get_ss, helicity_amps_qcdf, q2_arr

    last = 8.9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "should not be trusted above 6 GeV^2"
        grid = np.asarray(q2_arr, dtype=float)
        grid = grid[: np.searchsorted(grid, last) + 1]
        values = np.empty((2, 3, len(grid)), dtype=complex)
        for conjugate in (False, True):
            for j, q2 in enumerate(grid):
                found = helicity_amps_qcdf(q2, par, parent, hadron, cp_conjugate=conjugate)
                values[int(conjugate), :, j] = (
                    found["pl", "V"] * q2,
                    found["mi", "V"] * q2,
                    found["0", "V"] * math.sqrt(q2),
                )
        before = get_ss(np.nextafter(last, 0.0), None, par, parent, hadron, cp_conjugate=False)
        after = get_ss(last, None, par, parent, hadron, cp_conjugate=False)
    if before["mi", "V"] == 0 or after["mi", "V"] != 0:
        raise RuntimeError(f"flavio {flavio_version()} does not end spectator scattering at {last} GeV^2")
    return grid, values, last


def decay_of(channel: Channel, conjugate: bool = False, theory: Theory = FLAVIO) -> Decay:
    """The decay of a channel, or its CP conjugate, as new physics sees it in a theory.

    >>> from darkpenguin.physics.channels import get_channel
    >>> decay_of(get_channel("B+->K+mumu")).lepton
    'mu'
    """
    if channel.lepton is None:
        raise InputError(f"channel = {channel.name}: it has no charged leptons; its rate is that of `rates`")
    sm = standard_model(channel, theory)
    return Decay(
        channel.lepton, channel.lepton_mass(load_parameters(theory)), sm.m_b, sm.prefactors[int(conjugate)], conjugate
    )


def nonlocal_physics(channel: Channel, theory: Theory) -> tuple[NewPhysics, ...]:
    """What a theory's resonances add to flavio's amplitudes, see `charmonium`; nothing by default.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.theory import as_theory
    >>> [one.name for one in nonlocal_physics(get_channel("B0->K*0mumu"), as_theory({"nonlocal": "resonances"}))][3:5]
    ['J/psi', 'psi(2S)']
    """
    return _nonlocal_physics(channel.transition, theory)


@lru_cache(maxsize=64)
def _nonlocal_physics(transition: Transition, theory: Theory) -> tuple[NewPhysics, ...]:
    local = partial(_standard_model, theory=theory.inputs)
    return nonlocal_parts(transition, theory, local, load_parameters(theory))


def new_physics(
    channel: Channel, models: Model | Sequence[Model], q2: npt.ArrayLike, conjugate: bool = False
) -> dict[str, ComplexArray]:
    r"""Shifts of the effective Wilson coefficients by a model, or by several, at q2 (GeV²).

    Keys 7, 7p, v, vp, a, ap, s, sp, p, pp (C7, C9, C10, m_b C_S, m_b C_P and the primed ones, as in flavio), with
    resonances also v0, vpar, vperp (C9 in the amplitude of one polarisation); shape (n_q2,) for one model and
    (n_models, n_q2) for a sequence. They are the sum of what the parts of the model and of its theory say,
    ``NewPhysics.shifts``. For the conjugate decay weak couplings, such as g_bs and the heavy coefficients, are
    conjugated; a propagator, whose phase is a strong one, is not.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> complex(new_physics(get_channel("B+->K+mumu"), get_model("heavy-c9"), [1.0])["v"][0])
    (-1.1+0j)
    """
    s = np.asarray(q2, dtype=float)
    several = not isinstance(models, Model)
    sequence: Sequence[Model] = models if not isinstance(models, Model) else (models,)
    shift = {name: np.zeros((len(sequence), len(s)), dtype=complex) for name in COEFFICIENTS.values()}
    decay = decay_of(channel, conjugate, shared_theory(sequence))
    for i, model in enumerate(sequence):
        for part in (*model.new_physics.values(), *nonlocal_physics(channel, model.theory)):
            for name, value in part.shifts(decay, s, model.width).items():
                shift.setdefault(name, np.zeros((len(sequence), len(s)), dtype=complex))[i] += value
    return shift if several else {name: value[0] for name, value in shift.items()}


def effective_wilson(
    channel: Channel, models: Model | Sequence[Model], q2: npt.ArrayLike, conjugate: bool = False
) -> dict[str, ComplexArray]:
    """Effective coefficients of the SM and a model, or several, together; keys and shape of ``new_physics``.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> complex(effective_wilson(get_channel("B+->K+mumu"), get_model("sm"), [1.0])["a"][0]).real < -4
    True
    """
    return smooth_inputs(channel, models, np.asarray(q2, dtype=float), conjugate)[1]


def smooth_inputs(
    channel: Channel, models: Model | Sequence[Model], q2: Array, conjugate: bool = False
) -> tuple[dict[str, Array], dict[str, ComplexArray]]:
    """Form factors and effective coefficients at q2 (GeV²), by name: what does not depend on the hadron's mass.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> factors, wilson = smooth_inputs(get_channel("B+->K+mumu"), get_model("sm"), np.array([1.0]))
    >>> sorted(factors)
    ['f+', 'f0', 'fT']
    """
    sm = standard_model(channel, shared_theory(models))
    rows = sm.smooth(q2)
    wilson = new_physics(channel, models, q2, conjugate)
    for name, value in sm._wilson(rows, conjugate).items():
        wilson[name] = wilson[name] + value
    return dict(zip(sm.form_factor_names, rows, strict=False)), wilson


def helicity_amplitudes(
    channel: Channel,
    models: Model | Sequence[Model],
    q2: npt.ArrayLike,
    conjugate: bool = False,
    hadron_mass: npt.ArrayLike | None = None,
    inputs: tuple[dict[str, Array], dict[str, ComplexArray]] | None = None,
) -> dict[str, ComplexArray]:
    """Helicity amplitudes of a model, or of several of one theory, at q2 (GeV², shape (n_q2,)).

    ``conjugate=False`` is the b-quark decay (B̄0, B-), flavio's own; ``True`` its CP conjugate. Keys "+V",
    "+A", "-V", "-A", "0V", "0A", "S", "P" for B → V ℓℓ and "V", "A", "S", "P" for B → P ℓℓ
    (arXiv:1506.03970, flavio's normalisation, GeV⁻¹); shape (n_q2,) or (n_models, n_q2).

    ``hadron_mass`` is the mass of the Kπ pair (GeV) when the K* is not on its pole, one model only; it
    broadcasts against q2, such as (n_mass, 1). Form factors are then what they are at this q2, and only the
    momentum of the pair, √λ, is that of its mass. The masses m_V that stand in the definitions of the form
    factors keep the pole's value: A12 m_V and A1 (m_B + m_V) are what is known at the pole, and only so all
    helicities stay equal where the pair is at rest (arXiv:1312.1923): their ratio at the endpoint is 0.98 to
    1.00 between 0.796 and 0.996 GeV, but 0.86 to 1.12 with m_V → m_Kπ. ``inputs`` are those of `smooth_inputs` where
    they are known already.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> sorted(helicity_amplitudes(get_channel("B+->K+mumu"), get_model("sm"), [1.0]))
    ['A', 'P', 'S', 'V']
    """
    theory = shared_theory(models)
    sm, m_l = standard_model(channel, theory), channel.lepton_mass(load_parameters(theory))
    s = np.asarray(q2, dtype=float)
    factors, wilson = smooth_inputs(channel, models, s, conjugate) if inputs is None else inputs
    if channel.spin == 0:
        return amplitudes_p(sm, factors, wilson, s, m_l, conjugate)
    found = amplitudes_v(sm, factors, wilson, s, m_l, conjugate, hadron_mass)
    return found if hadron_mass is None else dict(zip(found, np.broadcast_arrays(*found.values()), strict=True))


def polarised_c9(c: Mapping[str, ComplexArray]) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """C9 in the perpendicular (C9 + C9'), parallel and longitudinal (C9 - C9') amplitude, resonances included."""
    return (
        c["v"] + c["vp"] + c.get("vperp", 0.0),
        c["v"] - c["vp"] + c.get("vpar", 0.0),
        c["v"] - c["vp"] + c.get("v0", 0.0),
    )


def amplitudes_v(
    sm: StandardModel,
    ff: Mapping[str, Array],
    c: Mapping[str, ComplexArray],
    q2: Array,
    m_l: float,
    conjugate: bool,
    mass: npt.ArrayLike | None = None,
) -> dict[str, ComplexArray]:
    r"""Amplitudes of B → V ℓ⁺ℓ⁻ (arXiv:1506.03970, as in flavio) without tensor operators.

    .. math::
       H^V_0 &= \tfrac{4i m_B m_V}{\sqrt{q^2}(m_B+m_V)}[(C_9-C_9')(m_B+m_V)A_{12} + m_b(C_7-C_7')T_{23}] \\
       H^V_\pm &= \tfrac{i}{2(m_B+m_V)}[\pm(C_9+C_9')\sqrt\lambda\,V-(m_B+m_V)^2(C_9-C_9')A_1]
                + \tfrac{i m_b}{q^2}[\pm(C_7+C_7')\sqrt\lambda\,T_1-(C_7-C_7')(m_B^2-m_V^2)T_2] \\
       H_P &= \tfrac{i\sqrt\lambda}{2}[(C_P-C_P')+\tfrac{2m_\ell}{q^2}(C_{10}-C_{10}')]A_0,\qquad
       H_S = \tfrac{i\sqrt\lambda}{2}(C_S-C_S')A_0

    H^A: C10 for C9 and no C7; all times N; spectator scattering is added to H^V.

    Args:
        sm: the Standard Model in this transition.
        ff: form factors by name at q2.
        c: effective Wilson coefficients by name, as of `new_physics`.
        q2: GeV², any shape that these broadcast with.
        m_l: mass of the lepton (GeV).
        conjugate: whether it is the CP conjugate of the b-quark decay.
        mass: that of the Kπ pair in λ (GeV), m_V without it.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> channel, model, q2 = get_channel("B0->K*0mumu"), get_model("sm"), np.array([4.0])
    >>> found = amplitudes_v(standard_model(channel), *smooth_inputs(channel, model, q2), q2, 0.10566, False)
    >>> sorted(found)
    ['+A', '+V', '-A', '-V', '0A', '0V', 'P', 'S']
    """
    m_b, m_v, m_q = sm.m_parent, sm.m_hadron, sm.m_b
    root = np.sqrt(q2)
    momentum = np.sqrt(kallen(q2, m_b**2, (m_v if mass is None else np.asarray(mass, dtype=float)) ** 2))
    if mass is not None:
        ff, m_v = sm.at_mass(q2, ff, mass)
    n = sm.prefactors[int(conjugate)]
    vector, axial, magnetic = momentum * ff["V"], (m_b + m_v) ** 2 * ff["A1"], 1j * m_q / q2
    t_1, t_2 = momentum * ff["T1"], (m_b**2 - m_v**2) * ff["T2"]
    half = 0.5j / (m_b + m_v)
    long = 4j * m_b * m_v / root
    c9_perp, c9_par, c9_0 = polarised_c9(c)
    c10_sum, c10_difference = c["a"] + c["ap"], c["a"] - c["ap"]
    c7_sum, c7_difference = c["7"] + c["7p"], c["7"] - c["7p"]
    scalar = 0.5j * momentum * ff["A0"]
    spectator = sm.spectator_amplitudes(q2, conjugate)
    found = {
        "+V": n * (half * (c9_perp * vector - c9_par * axial) + magnetic * (c7_sum * t_1 - c7_difference * t_2))
        + spectator[0],
        "-V": n * (-half * (c9_perp * vector + c9_par * axial) - magnetic * (c7_sum * t_1 + c7_difference * t_2))
        + spectator[1],
        "0V": n * long * (c9_0 * ff["A12"] + m_q / (m_b + m_v) * c7_difference * ff["T23"]) + spectator[2],
        "+A": n * half * (c10_sum * vector - c10_difference * axial),
        "-A": -n * half * (c10_sum * vector + c10_difference * axial),
        "0A": n * long * c10_difference * ff["A12"],
        "P": n * scalar * ((c["p"] - c["pp"]) / m_q + 2.0 * m_l / q2 * c10_difference),
        "S": n * scalar * (c["s"] - c["sp"]) / m_q,
    }
    subleading = sm.subleading_shifts(q2)
    if subleading is not None:
        plus, minus, zero = subleading
        n = sm.prefactors[0]  # flavio does not conjugate it here
        low = q2 <= 9.0
        both = magnetic * (t_1 + t_2)
        found["+V"] = found["+V"] + n * plus * np.where(low, both, half * (vector - axial))
        found["-V"] = found["-V"] - n * minus * np.where(low, both, half * (vector + axial))
        found["0V"] = found["0V"] + n * long * zero * np.where(low, m_q / (m_b + m_v) * ff["T23"], ff["A12"])
    return found


def amplitudes_p(
    sm: StandardModel,
    ff: Mapping[str, Array],
    c: Mapping[str, ComplexArray],
    q2: Array,
    m_l: float,
    conjugate: bool,
) -> dict[str, ComplexArray]:
    r"""Amplitudes of B → P ℓ⁺ℓ⁻ (arXiv:1506.03970, as in flavio) without tensor operators.

    .. math::
       h^V &= \tfrac{\sqrt\lambda}{2\sqrt{q^2}}[\tfrac{2m_b}{m_B+m_P}(C_7+C_7')f_T+(C_9+C_9')f_+],\qquad
       h^A = \tfrac{\sqrt\lambda}{2\sqrt{q^2}}(C_{10}+C_{10}')f_+ \\
       h_P &= \tfrac{m_B^2-m_P^2}{2}f_0[(C_P+C_P')+\tfrac{2m_\ell}{q^2}(C_{10}+C_{10}')],\qquad
       h_S = \tfrac{m_B^2-m_P^2}{2}f_0(C_S+C_S')

    Arguments as of `amplitudes_v`.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> channel, model, q2 = get_channel("B+->K+mumu"), get_model("sm"), np.array([4.0])
    >>> found = amplitudes_p(standard_model(channel), *smooth_inputs(channel, model, q2), q2, 0.10566, False)
    >>> sorted(found)
    ['A', 'P', 'S', 'V']
    """
    m_b, m_p, m_q = sm.m_parent, sm.m_hadron, sm.m_b
    n = sm.prefactors[int(conjugate)]
    wave = np.sqrt(kallen(q2, m_b**2, m_p**2)) / (2.0 * np.sqrt(q2))
    scalar = 0.5 * (m_b**2 - m_p**2) * ff["f0"]
    c9, c10, c7 = c["v"] + c["vp"] + c.get("v0", 0.0), c["a"] + c["ap"], c["7"] + c["7p"]
    subleading = sm.subleading_shifts(q2)
    vector = n * wave * (2.0 * m_q / (m_b + m_p) * c7 * ff["fT"] + c9 * ff["f+"])
    if subleading is not None:
        vector = vector + sm.prefactors[0] * wave * subleading[0] * ff["f+"]  # flavio does not conjugate N here
    return {
        "V": vector,
        "A": n * wave * c10 * ff["f+"],
        "S": n * scalar * (c["s"] + c["sp"]) / m_q,
        "P": n * scalar * ((c["p"] + c["pp"]) / m_q + 2.0 * m_l / q2 * c10),
    }
