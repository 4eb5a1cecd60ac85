"""Input parameters with unit and source: flavio's, under a theory, kept in the cache for warm starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..kinematics.base.cache import cache_folder, from_cache, keep_newest, write_checked
from ..kinematics.base.errors import InputError
from ..kinematics.base.sources import source_fingerprint
from .flavio_inputs import flavio_version, parameter_values
from .modes import PAIRS, TRANSITIONS
from .theory import Theory


@dataclass(frozen=True)
class Parameter:
    """A number, its unit and where it comes from."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True, eq=False)
class Parameters(Mapping[str, float]):
    """Frozen mapping from name to value (GeV units); ``entry(name)`` also has unit and source.

    >>> load_parameters()["m_B0"]
    5.27966
    """

    entries: Mapping[str, Parameter]

    def __getitem__(self, name: str) -> float:
        return self.entries[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def entry(self, name: str) -> Parameter:
        """Value, unit and source of one parameter."""
        return self.entries[name]

    @property
    def prefactor(self) -> complex:
        r"""N of eq. (7) of arXiv:1704.06188, :math:`G_F V_{tb}V_{ts}^*\alpha(4.8)/(\sqrt2\pi)`, in GeV⁻².

        This is flavio's (-8.185 + 0.148i)e-10; the paper quotes -7.7e-10, which is with α(0) = 1/137 and
        |V_tb V_ts*| = 0.0402 (flavio's 0.0412 and α(0) give 7.9e-10). It cancels in the amplitude of V and
        matters only where eq. (9) is quoted as a Wilson coefficient.
        """
        return complex(self["N_re"], self["N_im"])


_OF_MODES = dict.fromkeys(
    mass
    for row in TRANSITIONS
    for mass in (row.parent.mass, row.hadron.mass, *(particle.mass for particle in row.daughters), *row.lightest)
) | dict.fromkeys(particle.mass for pair in PAIRS for particle in pair.particles)
#: name, as in flavio, and unit
_FROM_FLAVIO: tuple[tuple[str, str], ...] = (
    *((name, "GeV") for name in (*_OF_MODES, "m_Bs", "m_D0", "m_W", "m_Z") if name is not None),
    *((f"tau_{name}", "1/GeV") for name in dict.fromkeys([*(row.parent.name for row in TRANSITIONS), "Bs"])),
    *((name, "GeV") for name in ("f_Bs", "f_B+", "f_K+", "f_K*+")),
    ("tau_tau", "1/GeV"),
    ("DeltaGamma/Gamma_Bs", "1"),
    *((f"bag_Bs_{number}", "1") for number in (1, 2, 4, 5)),  # MSbar at 4.2 GeV
    ("GF", "1/GeV^2"),
    ("alpha_e", "1"),
    ("alpha_s", "1"),
    ("s2w", "1"),
    ("m_b", "GeV"),
    ("m_c", "GeV"),
    ("m_t", "GeV"),
    ("Vus", "1"),
    ("Vub", "1"),
    ("Vcb", "1"),
    ("gamma", "rad"),
)
FLAVIO = Theory().inputs
"""flavio as it is: central values, its own form factors."""
KEPT = 512
"""Files of one kind in the cache for theories other than that, at most."""
SCALE = 4.8
"""Renormalisation scale of all Wilson coefficients (GeV), flavio's for exclusive b → s ℓℓ."""


def physics_fingerprint() -> str:
    """Hash of all that cached numbers of physics depend on: the formulas, the data, and the libraries below them.

    >>> len(physics_fingerprint())
    32
    """
    return source_fingerprint("kinematics", "physics", libraries=("flavio", "wilson", "numpy", "scipy"))


def flavio_parameters(theory: Theory) -> dict[str, float]:
    """All of flavio's parameters under a theory, a new dictionary (slow: imports flavio)."""
    found: dict[str, float] = parameter_values(theory.form_factors, theory.parameters, theory.draw)
    return found


def _collect(theory: Theory) -> dict[str, Parameter]:
    """All parameters, from flavio (slow: imports it)."""
    from .flavio_parts import CL_SM, WilsonCoefficients, ckm, prefactor, running, wctot_dict

    central = flavio_parameters(theory)
    source = f"flavio {flavio_version()}, " + ("central value" if theory.draw is None else f"draw {theory.draw}")
    derived = f"derived with flavio {flavio_version()}"
    given = dict.fromkeys(theory.parameters, "given by the user")
    found = {name: Parameter(float(central[name]), unit, given.get(name, source)) for name, unit in _FROM_FLAVIO}
    n = prefactor(None, central, "B0", "K*0")
    standard_model = wctot_dict(WilsonCoefficients(), "bsmumu", SCALE, central)
    xi_t, xi_u = ckm.xi("t", "bs")(central), ckm.xi("u", "bs")(central)
    c = {i: complex(standard_model[f"C{i}_bs"]).real for i in (1, 2, 3, 5)}
    charm_u = 4 / 3 * c[1] + c[2]
    charm_c = charm_u + 6 * c[3] + 60 * c[5]
    extra = {
        "alpha_e(4.8)": (running.get_alpha(central, SCALE)["alpha_e"], "1", "MSbar at 4.8 GeV"),
        "m_b(4.8)": (running.get_mb(central, SCALE), "GeV", "MSbar at 4.8 GeV"),
        "m_s(4.8)": (running.get_ms(central, SCALE), "GeV", "MSbar at 4.8 GeV"),
        "m_b_pole": (running.get_mb_pole(central), "GeV", "pole mass"),
        "m_c_pole": (running.get_mc_pole(central), "GeV", "pole mass"),
        "m_b(4.2)": (running.get_mb(central, 4.2), "GeV", "MSbar at 4.2 GeV"),
        "m_s(4.2)": (running.get_ms(central, 4.2), "GeV", "MSbar at 4.2 GeV"),
        "C10_sm": (complex(standard_model["C10_bsmumu"]).real, "1", "SM coefficient of O_10 at 4.8 GeV"),
        "CL_sm": (CL_SM(central, SCALE), "1", "SM coefficient of b -> s nu nubar, -X_t/sin^2(theta_W)"),
        "charm_c": (charm_c, "1", "4/3 C1 + C2 + 6 C3 + 60 C5 at 4.8 GeV, of the charm loop in C9eff"),
        "charm_u": (charm_u, "1", "4/3 C1 + C2 at 4.8 GeV"),
        "N_re": (n.real, "1/GeV^2", "4 G_F/sqrt(2) V_tb V_ts* alpha_e(4.8)/(4 pi)"),
        "N_im": (n.imag, "1/GeV^2", "4 G_F/sqrt(2) V_tb V_ts* alpha_e(4.8)/(4 pi)"),
        "xi_t_re": (xi_t.real, "1", "V_tb V_ts*"),
        "xi_t_im": (xi_t.imag, "1", "V_tb V_ts*"),
        "xi_u_re": (xi_u.real, "1", "V_ub V_us*"),
        "xi_u_im": (xi_u.imag, "1", "V_ub V_us*"),
    }
    found.update({k: Parameter(float(v), unit, f"{derived}: {what}") for k, (v, unit, what) in extra.items()})
    return found


def _cache_file(folder: Path, theory: Theory) -> Path:
    names = hashlib.sha256(repr(_FROM_FLAVIO).encode()).hexdigest()[:8]
    which = "-".join(filter(None, (physics_fingerprint()[:16], names, theory.key)))
    return folder / f"parameters-{which}-flavio-{flavio_version()}.json"


def _from_bytes(content: bytes) -> Parameters:
    return Parameters({name: Parameter(**entry) for name, entry in json.loads(content).items()})


def load_parameters(theory: Theory = FLAVIO) -> Parameters:
    """flavio's values needed at run time under a theory, its central ones without, with units and sources.

    Read from the cache; flavio (some 5 s to import) is loaded only when the cache has none for its version. A
    damaged file is made again, with a RuntimeWarning.

    >>> load_parameters().entry("m_K+").unit
    'GeV'
    """
    return _load_parameters(theory.inputs)


@lru_cache(maxsize=256)
def _load_parameters(theory: Theory) -> Parameters:
    if theory.amplitudes != "flavio":  # the parameters are flavio's all the same
        return _load_parameters(Theory(parameters=theory.parameters).inputs)
    folder = cache_folder()
    path = _cache_file(folder, theory) if folder is not None else None
    if path is not None:
        known = from_cache(path, _from_bytes)
        if known is not None:
            return known
    with refused(theory):
        entries = _collect(theory)
    if path is not None:
        text = {k: {"value": p.value, "unit": p.unit, "source": p.source} for k, p in entries.items()}
        write_checked(path, json.dumps(text, indent=1).encode())
        if theory.key:
            keep_newest(path.parent, "parameters-*-*-*-flavio-*.json", KEPT)
    return Parameters(entries)


@contextmanager
def refused(theory: Theory) -> Iterator[None]:
    """Turn what flavio raises over a theory's parameters into an InputError; flavio as it is has no excuse."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not theory.key:
            raise
        told = ", ".join(f"{name} = {value:g}" for name, value in theory.parameters.items())
        raise InputError(
            f"theory: flavio has no amplitude with {told or 'this theory'} ({error}); change these parameters"
        ) from None
