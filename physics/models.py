"""Models: the Standard Model, shifts of Wilson coefficients, light vectors, and any sum of them.

Frozen and validated. A model is data only: what it does to an amplitude is in ``amplitudes.py``.
"""

from __future__ import annotations

import cmath
import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from ..kinematics.base.checks import _model_at, nearest, parse_value, validate
from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import kallen, velocity
from .channels import Channel
from .parameters import Parameters, load_parameters

Scheme = Literal["fixed", "running", "narrow"]
Chi = Literal["dirac", "scalar"]
Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
LARGEST = 1e6
"""Largest coupling, mass and width (GeV): beyond any sense, it keeps amplitudes finite in double precision."""
NARROWEST = 1e-9
"""Smallest Γ/m of a light vector: what double precision resolves in q2."""


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _to_complex(value: object) -> complex:
    """A number, text such as "1e-9+2e-9j", or [re, im]; NaN and infinities are refused."""
    _not_a_bool(value)
    if isinstance(value, str):
        try:
            number = complex(value.replace(" ", "").replace("i", "j"))
        except ValueError:
            raise ValueError('a number, text such as "1e-9+2e-9j", or [re, im] is needed') from None
    elif isinstance(value, (int, float, complex, np.number)):
        number = complex(value)
    elif isinstance(value, Sequence) and len(value) == 2:
        if not all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in value):
            raise ValueError("[re, im] needs two numbers")
        number = complex(value[0], value[1])
    else:
        raise ValueError('a number, text such as "1e-9+2e-9j", or [re, im] is needed')
    if not cmath.isfinite(number):
        raise ValueError("a finite number is needed")
    if abs(number) > LARGEST:
        raise ValueError(f"should be at most {LARGEST:g} in size")
    return number


def _from_complex(value: complex) -> float | list[float]:
    return [value.real, value.imag] if value.imag else value.real


_Number = Annotated[float, BeforeValidator(_not_a_bool), Field(le=LARGEST, allow_inf_nan=False)]
Coupling = Annotated[_Number, Field(ge=-LARGEST)]
Complex = Annotated[complex, BeforeValidator(_to_complex), PlainSerializer(_from_complex, when_used="json")]
Mass = Annotated[_Number, Field(ge=0)]
PositiveMass = Annotated[_Number, Field(gt=0)]
NARROW = 1e-8
"""Γ/m of the line shape that stands for a delta function in the narrow-width limit."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LightVector(_Frozen):
    r"""A neutral vector V of a few GeV, eq. (1) of arXiv:1704.06188.

    .. math:: \mathcal{L} = [(g_{bs}\,\bar s_L\gamma_\nu b_L + g_{bs}'\,\bar s_R\gamma_\nu b_R + h.c.)
              + \bar\ell\gamma_\nu(g_{\ell V} + g_{\ell A}\gamma_5)\ell + g_\chi\bar\chi\gamma_\nu\chi
              + g_\nu\,\bar\nu_{\mu L}\gamma_\nu\nu_{\mu L}] V^\nu + \tfrac12 m_V^2 V_\nu V^\nu

    The total width is given by one of ``width`` (GeV) and ``relative_width`` (Γ/m), or, with neither, follows
    from ``g_chi`` and ``m_chi`` by eq. (2). A ``g_chi`` beside a width is the invisible part of that width,
    which it must not exceed. ``pseudoscalar`` keeps C_P of eq. (7), that is, the longitudinal part of the
    propagator.

    >>> LightVector(mass=2.5, relative_width=0.2, g_bs=-1.5e-8, g_mu_v=0.1).total_width
    0.5
    """

    name: str = "V"
    mass: Annotated[PositiveMass, Field(ge=1 / LARGEST)]
    width: PositiveMass | None = None
    relative_width: PositiveMass | None = None
    g_bs: Complex = 0j
    g_bs_right: Complex = 0j
    g_mu_v: Coupling = 0.0
    g_mu_a: Coupling = 0.0
    g_e_v: Coupling = 0.0
    g_e_a: Coupling = 0.0
    g_nu_mu: Coupling = 0.0
    g_chi: Annotated[_Number, Field(gt=0)] | None = None
    m_chi: Mass = 0.0
    chi: Chi = "dirac"
    pseudoscalar: bool = True

    @model_validator(mode="after")
    def _width_is_known(self) -> LightVector:
        if self.width is not None and self.relative_width is not None:
            raise ValueError(
                f"width = {self.width:g} GeV and relative_width = {self.relative_width:g} are both given; keep one"
            )
        if self.width is None and self.relative_width is None:
            if self.g_chi is None:
                raise ValueError("a width is needed: give width (GeV), relative_width (width/mass), or g_chi")
            if 2.0 * self.m_chi >= self.mass:
                raise ValueError(
                    f"m_chi = {self.m_chi:g} GeV: V -> chi chi needs m_chi < {self.mass / 2:g} GeV, so g_chi "
                    "does not give the width; add width or relative_width"
                )
        elif self.g_chi is not None:
            invisible = float(invisible_width(self.mass**2, self.g_chi, self.m_chi, self.chi))
            if invisible > self.total_width * (1.0 + 1e-9):
                raise ValueError(
                    f"g_chi = {self.g_chi:g} alone gives a width of {invisible:.6g} GeV (eq. 2), more than "
                    f"the total of {self.total_width:.6g} GeV; lower g_chi, raise the width, or drop either"
                )
        if self.total_width < NARROWEST * self.mass:
            raise ValueError(
                f"width = {self.total_width:.3g} GeV: double precision resolves no V narrower than "
                f"{NARROWEST:g} of its mass, {NARROWEST * self.mass:.3g} GeV; give a larger width"
            )
        return self

    @property
    def total_width(self) -> float:
        """Total width (GeV). From ``g_chi`` it is eq. (2): V → ℓℓ is neglected there, as in the paper."""
        if self.width is not None:
            return self.width
        if self.relative_width is not None:
            return self.relative_width * self.mass
        assert self.g_chi is not None  # the validator has made sure
        return float(invisible_width(self.mass**2, self.g_chi, self.m_chi, self.chi))

    def shape_width(self, scheme: Scheme) -> float:
        """Width of the line shape (GeV): the total width, or of a ``narrow`` V 1e-8 of its mass.

        >>> LightVector(mass=2.5, relative_width=0.2).shape_width("narrow")
        2.5e-08
        """
        return NARROW * self.mass if scheme == "narrow" else self.total_width

    @property
    def chi_coupling(self) -> float:
        """g_χ: given, or else by eq. (2) from the total width, all of it V → χχ.

        InputError where neither fixes it (m_χ above m_V/2).
        """
        if self.g_chi is not None:
            return self.g_chi
        if 2.0 * self.m_chi >= self.mass:
            raise InputError(
                f"light_vectors.m_chi = {self.m_chi:g} GeV: above m_V/2 = {self.mass / 2:g} GeV the total "
                "width does not fix g_chi; give g_chi"
            )
        unit = float(invisible_width(self.mass**2, 1.0, self.m_chi, self.chi))
        return float(np.sqrt(self.total_width / unit))

    def propagator(self, q2: npt.ArrayLike, scheme: Scheme = "fixed") -> ComplexArray:
        r"""Breit-Wigner propagator of V (GeV⁻²) at q2 (GeV²).

        .. math:: \frac{1}{q^2-m^2+i\,m\Gamma}\ \text{(fixed)},\qquad
                  \frac{1}{q^2-m^2+i\sqrt{q^2}\,\Gamma_\chi(q^2) + i\,m\,(\Gamma-\Gamma_\chi(m^2))}
                  \ \text{(running)}

        with Γ_χ(q²) of eq. (2) for a V of mass √q². Where g_χ is not given, χχ is the whole width (no
        constant part). The phase is a strong phase: never conjugated, also not for the conjugate decay.
        InputError for ``narrow``: a V that interferes has a width.

        >>> vector = LightVector(mass=2.0, width=0.5)
        >>> complex(vector.propagator(4.0)), complex(vector.propagator(4.0, "running"))
        (-1j, -1j)
        """
        if scheme == "narrow":
            raise InputError(
                f"width = narrow: {self.name} interferes with the Standard Model in this decay, which its width "
                "shapes; take fixed or running (narrow is for B -> K(*) chi chi)"
            )
        s = np.asarray(q2, dtype=float)
        imaginary: Array | float = self.mass * self.total_width
        if scheme == "running":
            g_chi = self.chi_coupling
            on_shell = float(invisible_width(self.mass**2, g_chi, self.m_chi, self.chi))
            running = np.sqrt(s) * invisible_width(s, g_chi, self.m_chi, self.chi)
            imaginary = running + (imaginary - self.mass * on_shell)
        return np.asarray(1.0 / (s - self.mass**2 + 1j * imaginary), dtype=complex)


def invisible_width(q2: npt.ArrayLike, g_chi: float, m_chi: float = 0.0, chi: Chi = "dirac") -> Array:
    r"""Width of V → χχ (GeV) for a V of mass √q² (q2 in GeV²): eq. (2) of arXiv:1704.06188 with m_χ.

    .. math:: \Gamma = \frac{g_\chi^2}{12\pi}\sqrt{q^2}\,\beta\,\frac{3-\beta^2}{2}\ \text{(Dirac)},\qquad
              \Gamma = \frac{g_\chi^2}{48\pi}\sqrt{q^2}\,\beta^3\ \text{(complex scalar)},\qquad
              \beta = \sqrt{1-4m_\chi^2/q^2}

    Eq. (2) is the massless Dirac case at q² = m_V²; zero below 4 m_χ².

    >>> round(float(invisible_width(2.5**2, 1.0)), 6)
    0.066315
    """
    beta = velocity(q2, m_chi)
    shape = beta * (3.0 - beta**2) / 2.0 if chi == "dirac" else beta**3 / 4.0
    root = np.sqrt(np.maximum(np.asarray(q2, dtype=float), 0.0))
    return np.asarray(g_chi**2 / (12.0 * np.pi) * root * shape)


class Heavy(_Frozen):
    """Shifts of Wilson coefficients by heavy new physics at μ = 4.8 GeV, complex, per lepton flavour.

    Normalised as flavio does (WCxf basis "flavio"): H_eff = -4 G_F/√2 V_tb V_ts* α/(4π) Σ C_i O_i with
    O_9 = (s̄_L γ b_L)(ℓ̄ γ ℓ), O_10 = (s̄_L γ b_L)(ℓ̄ γ γ5 ℓ), O_S = m_b (s̄_L b_R)(ℓ̄ ℓ),
    O_P = m_b (s̄_L b_R)(ℓ̄ γ5 ℓ) (so C_S, C_P in 1/GeV) and O_7 = m_b/e (s̄_L σF b_R); p: primed, chiralities
    exchanged.

    >>> Heavy(C9_mu=-1.1).C9_mu
    (-1.1+0j)
    """

    C7: Complex = 0j
    C7p: Complex = 0j
    C9_mu: Complex = 0j
    C10_mu: Complex = 0j
    C9p_mu: Complex = 0j
    C10p_mu: Complex = 0j
    CS_mu: Complex = 0j
    CSp_mu: Complex = 0j
    CP_mu: Complex = 0j
    CPp_mu: Complex = 0j
    C9_e: Complex = 0j
    C10_e: Complex = 0j
    C9p_e: Complex = 0j
    C10p_e: Complex = 0j
    CS_e: Complex = 0j
    CSp_e: Complex = 0j
    CP_e: Complex = 0j
    CPp_e: Complex = 0j

    def coefficient(self, name: str, lepton: str) -> complex:
        """Shift of one coefficient ("C7", "C9p", ...) for a lepton flavour ("mu", "e").

        >>> Heavy(C9_mu=-1.1).coefficient("C9", "e")
        0j
        """
        value: complex = getattr(self, name if name.startswith("C7") else f"{name}_{lepton}")
        return value


class Model(_Frozen):
    """A model: the Standard Model plus ``heavy`` shifts plus any number of ``light_vectors``.

    ``width`` is the form of the denominator of every V propagator, ``fixed`` as in the paper, or ``running``;
    with ``narrow``, B → K(*) χχ is B → K(*) V with an on-shell V, times its branching fraction to χχ, eq. (3).

    >>> Model(name="mine", light_vectors=[{"mass": 2.5, "relative_width": 0.2}]).light_vectors[0].total_width
    0.5
    """

    name: str = "sm"
    width: Scheme = "fixed"
    heavy: Heavy = Heavy()
    light_vectors: tuple[LightVector, ...] = ()

    @model_validator(mode="after")
    def _running_width_is_known(self) -> Model:
        for number, vector in enumerate(self.light_vectors):
            if self.width == "running" and vector.g_chi is None and 2.0 * vector.m_chi >= vector.mass:
                raise ValueError(
                    f"width = running: light_vectors[{number}].m_chi = {vector.m_chi:g} GeV is above m_V/2 = "
                    f"{vector.mass / 2:g} GeV, so this needs g_chi; give g_chi, or take width = fixed"
                )
        return self


def _paper_vector(mass: float, g_bs: float) -> dict[str, Any]:
    return {"mass": mass, "relative_width": 0.2, "g_bs": g_bs, "g_mu_v": 0.1, "g_mu_a": -0.044}


_BENCHMARKS: tuple[dict[str, Any], ...] = (
    {"name": "sm"},
    {"name": "heavy-c9", "heavy": {"C9_mu": -1.1}},
    {"name": "heavy-c9-c10", "heavy": {"C9_mu": -0.6, "C10_mu": 0.6}},
    # Fig. 1 of arXiv:1704.06188: |g_bs| = 0.7e-8 m_V/GeV saturates eq. (4)
    {"name": "fig1-2.0gev", "light_vectors": (_paper_vector(2.0, +1.4e-8),)},
    {"name": "fig1-2.5gev", "light_vectors": (_paper_vector(2.5, -1.75e-8),)},
    {"name": "fig1-2.8gev", "light_vectors": (_paper_vector(2.8, -1.96e-8),)},
    # Fig. 2, left
    {"name": "fig2", "light_vectors": (_paper_vector(2.5, -1.5e-8),)},
    # Fit of a Breit-Wigner in q² to Belle II's B+ → K+ νν̄ (arXiv:2602.09666): m = 2.1 GeV, here with
    # Γ = 0.1 GeV, BR(B+ → K+ χχ) = 9.2e-6, which g_bs is solved for. With muons: (g-2)_μ as measured today.
    {"name": "belle2-2.1gev", "light_vectors": ({"mass": 2.1, "width": 0.1, "g_bs": 1.469161e-8},)},
    {
        "name": "belle2-2.1gev-mu",
        "light_vectors": ({"mass": 2.1, "width": 0.1, "g_bs": 1.469161e-8, "g_mu_v": 0.05, "g_mu_a": -0.022},),
    },
)
BENCHMARKS: Mapping[str, Model] = MappingProxyType({entry["name"]: Model(**entry) for entry in _BENCHMARKS})
"""The points of arXiv:1704.06188, two heavy ones and Belle II's, by name."""


def get_model(name: str) -> Model:
    """Benchmark model by name; InputError with the nearest names for one that does not exist.

    >>> get_model("fig2").light_vectors[0].mass
    2.5
    """
    try:
        return BENCHMARKS[name]
    except (KeyError, TypeError):
        near = difflib.get_close_matches(str(name), BENCHMARKS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "one of " + ", ".join(BENCHMARKS)
        raise InputError(f"model = {name!r}: no such model; {hint}") from None


_WIDTHS = ("width", "relative_width", "g_chi")


def apply_settings(model: Model, settings: str | Sequence[str]) -> Model:
    """The model with fields changed by a ``key=value`` text or several, as of ``--set`` on the command line.

    Keys are paths such as ``light_vectors.0.mass``, ``heavy.C9_mu`` or ``width``; the number after the last
    vector adds one. Setting ``width``, ``relative_width`` or ``g_chi`` of a vector replaces the width it had.
    Raises InputError.

    >>> apply_settings(get_model("fig2"), ["light_vectors.0.mass=2.8"]).light_vectors[0].mass
    2.8
    """
    if not settings:
        return model
    data: dict[str, Any] = model.model_dump()
    data["light_vectors"] = [dict(vector) for vector in data["light_vectors"]]
    touched: dict[int, set[str]] = {}
    for setting in (settings,) if isinstance(settings, str) else settings:
        key, equals, text = setting.partition("=")
        path = [part for part in key.strip().replace("[", ".").replace("]", "").split(".") if part]
        if not equals or not path:
            raise InputError(f"set {setting!r}: write key=value, say light_vectors.0.mass=2.8")
        target: Any = data
        for depth, part in enumerate(path[:-1]):
            target = _enter(target, part, ".".join(path[: depth + 1]))
        if isinstance(target, list) or path[-1] not in _known_keys(path[:-1]):
            raise InputError(f"{'.'.join(path)}: no such key; {nearest(path[-1], _known_keys(path[:-1]))}")
        if path[0] == "light_vectors" and path[-1] in _WIDTHS:
            touched.setdefault(int(path[1]), set()).add(path[-1])
        target[path[-1]] = parse_value(text)
    for index, names in touched.items():
        for name in ("width", "relative_width"):
            if name not in names:
                data["light_vectors"][index][name] = None
    return validate(Model, data)


def _known_keys(path: Sequence[str]) -> list[str]:
    location: list[int | str] = [int(part) if part.isdecimal() else part for part in path]
    schema = _model_at(Model, [*location, ""])
    return list(schema.model_fields) if schema is not None else []


def _enter(target: Any, part: str, path: str) -> Any:
    if isinstance(target, list):
        if not part.isdecimal() or int(part) > len(target):
            raise InputError(f"{path}: the model has {len(target)} light vectors, numbered from 0")
        if int(part) == len(target):
            target.append({})
        return target[int(part)]
    inside = target.get(part) if isinstance(target, dict) else None
    if not isinstance(inside, (dict, list)):
        groups = (
            [key for key, value in target.items() if isinstance(value, (dict, list))]
            if isinstance(target, dict)
            else []
        )
        raise InputError(f"{path}: no such key; {nearest(part, groups or ['heavy', 'light_vectors'])}")
    return inside


def check_single_precision(model: Model, channel: Channel) -> None:
    """InputError if the line shape of a light vector is too narrow for q2 in single precision.

    The spacing of q2 has to be 500 times finer than m Γ: at Γ/m = 1e-4 events of 2.5 GeV agree with the
    prediction, at 1e-5 they do not.

    >>> from darkpenguin.physics.channels import get_channel
    >>> check_single_precision(get_model("fig2"), get_channel("B+->K+mumu"))
    """
    endpoint = channel.q2_limits()[1]
    for number, v in enumerate(model.light_vectors):
        couplings = {
            "chi": (1.0,),
            "neutrino": (v.g_nu_mu,),
            "charged": (getattr(v, f"g_{channel.lepton}_v", 0.0), getattr(v, f"g_{channel.lepton}_a", 0.0)),
        }[channel.dynamics]
        if not any(couplings) or not (v.g_bs or v.g_bs_right) or v.mass**2 > endpoint:
            continue
        width = v.shape_width(model.width)
        needed = 500.0 * float(np.spacing(np.float32(v.mass**2))) / v.mass
        if width < needed:
            raise InputError(
                f"precision = float32: light_vectors[{number}] has a line shape of width/mass = "
                f"{width / v.mass:.3g}, and single precision resolves {needed / v.mass:.2g} at {v.mass:g} GeV; take "
                "float64"
            )


def check_on_shell(model: Model, channel: Channel, parameters: Parameters | None = None) -> None:
    """InputError if a light vector is too heavy to be produced on shell in this channel.

    Only for what needs a real V (narrow-width limits, long-lived V): off shell, any mass acts in ℓℓ.

    >>> from darkpenguin.physics.channels import get_channel
    >>> check_on_shell(get_model("fig2"), get_channel("B+->K+mumu"))
    """
    known = parameters or load_parameters()
    limit = known["m_" + channel.parent] - known["m_" + channel.hadron]
    for number, vector in enumerate(model.light_vectors):
        if (
            vector.mass >= limit
            or kallen(known["m_" + channel.parent] ** 2, known["m_" + channel.hadron] ** 2, vector.mass**2) <= 0.0
        ):
            raise InputError(
                f"light_vectors[{number}].mass = {vector.mass:g} GeV: {channel.parent} -> {channel.hadron} "
                f"{vector.name} needs mass < {limit:.3f} GeV; lower the mass"
            )
