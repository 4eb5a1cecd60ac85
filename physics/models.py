"""Models: the Standard Model, shifts of Wilson coefficients, mediators, and any sum of them.

Frozen and validated. A model is data only: what it does to an amplitude is said by its parts, see ``mediators.py``.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self, get_args, get_origin

import numpy as np
from pydantic import BeforeValidator, model_validator

from ..kinematics.base.cards import cards_in
from ..kinematics.base.checks import _field, _model_at, known_keys, nearest, parse_value, validate
from ..kinematics.base.errors import InputError
from ..kinematics.base.files import read_toml
from ..kinematics.base.sources import PACKAGE
from .channels import Channel
from .contact import Contact
from .fields import Complex, Frozen
from .light_scalar import LightScalar
from .light_vector import LightVector
from .mediators import Array, Decay, Interaction, Mediator, NewPhysics, Scheme, Term
from .parameters import Parameters, load_parameters
from .theory import Theory, TheoryLike, merged_tables, merged_theory, split_errors, theory_table, told

COEFFICIENTS: Mapping[str, str] = MappingProxyType(
    {
        "C7": "7",
        "C7p": "7p",
        "C9": "v",
        "C9p": "vp",
        "C10": "a",
        "C10p": "ap",
        "CS": "s",
        "CSp": "sp",
        "CP": "p",
        "CPp": "pp",
    }
)
"""Name of a coefficient in ``Heavy``, and flavio's short one of the effective coefficient (of m_b C_S, m_b C_P)."""


class Heavy(NewPhysics):
    """Shifts of Wilson coefficients by heavy new physics at μ = 4.8 GeV, complex, per lepton flavour.

    Normalised as flavio does (WCxf basis "flavio"): H_eff = -4 G_F/√2 V_tb V_ts* α/(4π) Σ C_i O_i with
    O_9 = (s̄_L γ b_L)(ℓ̄ γ ℓ), O_10 = (s̄_L γ b_L)(ℓ̄ γ γ5 ℓ), O_S = m_b (s̄_L b_R)(ℓ̄ ℓ),
    O_P = m_b (s̄_L b_R)(ℓ̄ γ5 ℓ) (so C_S, C_P in 1/GeV) and O_7 = m_b/e (s̄_L σF b_R); p: primed, chiralities
    exchanged. C_L and C_R, per neutrino flavour, multiply (s̄_L γ b_L) and (s̄_R γ b_R) times ν̄ γ (1 - γ5) ν in the
    same normalisation; in the Standard Model C_L is -6.3.

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
    C9_tau: Complex = 0j
    C10_tau: Complex = 0j
    C9p_tau: Complex = 0j
    C10p_tau: Complex = 0j
    CS_tau: Complex = 0j
    CSp_tau: Complex = 0j
    CP_tau: Complex = 0j
    CPp_tau: Complex = 0j
    CL_nu_e: Complex = 0j
    CL_nu_mu: Complex = 0j
    CL_nu_tau: Complex = 0j
    CR_nu_e: Complex = 0j
    CR_nu_mu: Complex = 0j
    CR_nu_tau: Complex = 0j

    def coefficient(self, name: str, lepton: str) -> complex:
        """Shift of one coefficient ("C7", "C9p", ...) for a lepton flavour ("mu", "e", "tau").

        >>> Heavy(C9_mu=-1.1).coefficient("C9", "e")
        0j
        """
        value: complex = getattr(self, _heavy_field(name, lepton))
        return value

    @classmethod
    def linear_fields(cls) -> frozenset[str]:
        """All that act in charged leptons."""
        return frozenset(name for name in cls.model_fields if "_nu_" not in name)

    def neutrino(self, flavour: str) -> tuple[complex, complex]:
        """C_L and C_R of a neutrino flavour, "e", "mu" or "tau".

        >>> Heavy(CL_nu_tau=-2.0).neutrino("tau")
        ((-2+0j), 0j)
        """
        left: complex = getattr(self, f"CL_nu_{flavour}")
        right: complex = getattr(self, f"CR_nu_{flavour}")
        return left, right

    def terms(self, decay: Decay) -> list[Term]:
        """Each coefficient shifts itself; the scalar ones come with m_b."""
        return [
            Term(name, (_heavy_field(name, decay.lepton),), {short: decay.m_b if short[0] in "sp" else 1.0})
            for name, short in COEFFICIENTS.items()
        ]

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> float:
        """One: they do not depend on q2."""
        return 1.0


def _heavy_field(name: str, lepton: str) -> str:
    return name if name.startswith("C7") else f"{name}_{lepton}"


class Model(Frozen):
    """A model: the Standard Model plus ``heavy`` shifts plus any number of mediators.

    A kind of mediator (or the contact operators) is one field here, a tuple of its class: all else, from ``--set`` to a
    scan, follows from it.

    ``width`` is the form of the denominator of every propagator, ``fixed`` as in the paper, or ``running``;
    with ``narrow``, B → K(*) χχ is B → K(*) V with an on-shell V, times its branching fraction to χχ, eq. (3).
    ``theory`` is what the Standard Model is taken to be.

    >>> Model(name="mine", light_vectors=[{"mass": 2.5, "relative_width": 0.2}]).mediators["light_vectors.0"].mass
    2.5
    """

    name: str = "sm"
    width: Scheme = "fixed"
    heavy: Heavy = Heavy()
    light_vectors: tuple[LightVector, ...] = ()
    light_scalars: tuple[LightScalar, ...] = ()
    contacts: tuple[Contact, ...] = ()
    theory: Theory = Theory()

    @property
    def standard(self) -> Model:
        """The Standard Model of the same theory, by its own name.

        >>> get_model("fig2").standard == get_model("sm")
        True
        """
        return Model(theory=self.theory)

    @property
    def interactions(self) -> dict[str, Interaction]:
        """All mediators of all kinds and contact operators, by the path that ``--set`` gives them."""
        return {f"{key}.{i}": one for key, value in self if isinstance(value, tuple) for i, one in enumerate(value)}

    @property
    def mediators(self) -> dict[str, Mediator]:
        """Those of them that are resonances in q2."""
        return {path: one for path, one in self.interactions.items() if isinstance(one, Mediator)}

    @property
    def new_physics(self) -> dict[str, NewPhysics]:
        """All that shifts Wilson coefficients, by path: the heavy shifts, then the interactions."""
        return {"heavy": self.heavy, **self.interactions}

    def keep(self, wanted: Callable[[Mediator], bool]) -> Model:
        """The Standard Model of the same theory and those mediators, with fixed widths.

        >>> get_model("fig2").keep(lambda mediator: mediator.mass > 3) == Model()
        True
        """
        lists = {
            key: tuple(one for one in value if isinstance(one, Mediator) and wanted(one))
            for key, value in self
            if isinstance(value, tuple)
        }
        return self.standard.model_copy(update=lists)

    @model_validator(mode="after")
    def _width_can_be_had(self) -> Self:
        for path, one in self.interactions.items():
            problem = one.problem(self.width)
            if problem is not None:
                raise ValueError(f"width = {self.width}: {_place(path)}.{problem}")
        return self

    @property
    def parameters(self) -> Parameters:
        """Input parameters of its theory."""
        return load_parameters(self.theory)


def shared_theory(models: Model | Sequence[Model]) -> Theory:
    """Inputs of the theory that models have in common; ValueError if they differ.

    >>> shared_theory([get_model("sm"), get_model("fig2")]) == Theory()
    True
    """
    if isinstance(models, Model):
        return models.theory.inputs
    found = {model.theory.inputs for model in models}
    if len(found) != 1:
        raise ValueError(f"the models have {len(found)} theories; take them one by one")
    return found.pop()


def by_theory(models: Sequence[Model]) -> list[list[int]]:
    """Positions of models in groups of one theory.

    >>> by_theory([get_model("sm"), get_model("fig2")])
    [[0, 1]]
    """
    groups: dict[Theory, list[int]] = {}
    for i, model in enumerate(models):
        groups.setdefault(model.theory.inputs, []).append(i)
    return list(groups.values())


def _place(path: str) -> str:
    """A path as messages have it: light_vectors[0]."""
    return "{}[{}]".format(*path.split("."))


def kinds() -> dict[str, type[Interaction]]:
    """Fields of a model that list mediators or contact operators, and what they list.

    >>> kinds()["light_vectors"].symbol
    'V'
    """
    listed = {name: get_args(field.annotation) for name, field in Model.model_fields.items()}
    return {name: inner[0] for name, inner in listed.items() if inner and isinstance(inner[0], type)}


def is_linear(path: str) -> bool:
    """Whether amplitudes are linear in a field of a model, by path: a coupling or a Wilson coefficient.

    >>> is_linear("light_vectors.0.g_bs"), is_linear("heavy.C9_mu"), is_linear("light_vectors.0.mass")
    (True, True, False)
    """
    part, _, field = path.partition(".")
    known: dict[str, type[NewPhysics]] = {"heavy": Heavy, **kinds()}
    return part in known and field.rpartition(".")[2] in known[part].linear_fields()


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


RUN_CARDS = PACKAGE / "generator" / "run" / "cards"
"""Built-in run cards, whose models can be named by the name of the card."""
ModelLike = Model | str | os.PathLike[str] | Mapping[str, Any]
"""What names a model wherever one is asked for, see `as_model`."""


def as_model(source: ModelLike, set: str | Sequence[str] = (), theory: TheoryLike = None) -> Model:
    """The one model that is meant by a benchmark's name, a TOML file, a built-in card's name, fields, or a Model.

    A TOML file (and a mapping) has the fields of a model, or it is any card that holds one: of a run or a scan its
    ``model``, of toys or a sensitivity their ``truth``, with the changes that the card makes to it and its ``theory``.
    Fields without a name get that of their file, or ``own``.

    Args:
        source: what names the model.
        set: changes of fields on top, see `apply_settings`; a changed model says so in its name.
        theory: what the Standard Model is taken to be, on top of the model's own, see `theory.as_theory`.

    Raises:
        InputError: no such model (the nearest names are given), or fields that make none.

    Example:
        >>> as_model("fig2", set="light_vectors.0.mass=2.8").name
        'fig2, light_vectors.0.mass=2.8'
        >>> as_model({"heavy": {"C9_mu": -1.1}}).heavy == as_model("heavy-c9").heavy
        True
    """
    return _model(source, set, theory, ())


def _model(source: ModelLike, set: str | Sequence[str], theory: TheoryLike, inside: tuple[Path, ...]) -> Model:
    """See `as_model`; ``inside`` are the files that led here, each naming the next as its model."""
    settings = settings_of(set)
    model = _found(source, inside)
    changed = apply_settings(model, settings)
    if settings and changed.name == model.name:
        changed = changed.model_copy(update={"name": ", ".join((model.name, *settings))})
    return with_theory(changed, theory)


def with_theory(model: Model, theory: TheoryLike) -> Model:
    """The model with changes of its theory; None changes nothing.

    >>> with_theory(get_model("sm"), {"nonlocal": "flavio"}) == get_model("sm")
    True
    """
    table = theory_table(theory)
    return model.model_copy(update={"theory": model.theory.changed(table)}) if told(table) else model


def _found(source: ModelLike, inside: tuple[Path, ...]) -> Model:
    if isinstance(source, Model):
        return source
    if isinstance(source, Mapping):
        return _held(source, "own", "model", inside)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"model = {source!r}: a benchmark's name, a TOML file, a table of fields or a Model is needed")
    name = str(source)
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    path = cards_in(RUN_CARDS).get(name, Path(name))
    if path.suffix != ".toml":
        return get_model(name)  # an error with the nearest names
    if not path.is_file():
        raise InputError(f"model = {name!r}: no such file; benchmarks are {', '.join(BENCHMARKS)}")
    if path.resolve() in inside:
        raise InputError(f"model = {name!r}: the file names itself as its model; name another")
    try:
        return _held(read_toml(path), path.stem, "model", (*inside, path.resolve()))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _held(table: Mapping[str, Any], name: str, where: str, inside: tuple[Path, ...]) -> Model:
    """The model in a table: its own fields, or those of the card that it is."""
    holder = next((key for key in ("model", "truth") if key in table), None)
    if holder is not None:
        _, theory = split_errors(table.get("theory"))
        return _model(table[holder], table.get("set", table.get("settings", ())), theory, inside)
    if "channels" in table:  # a run without a model is one of the Standard Model
        return as_model("sm", table.get("set", ()), table.get("theory"))
    return validate(Model, {"name": name, **table}, where)


def _benchmark_or_model(value: Any) -> Any:
    return value if isinstance(value, str) and value in BENCHMARKS else as_model(value)


ModelChoice = Annotated[str | Model, BeforeValidator(_benchmark_or_model)]
"""A model in a card: a benchmark keeps its name there, everything else becomes the model itself."""


def settings_of(value: Any) -> tuple[str, ...]:
    """Changes of a model as KEY=VALUE texts, from one or a list of them; InputError for anything else.

    >>> settings_of("light_vectors.0.mass=2.8")
    ('light_vectors.0.mass=2.8',)
    """
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"set = {value!r}: write KEY=VALUE or a list of such, say light_vectors.0.mass=2.8")
    return tuple(texts)


def merged_settings(keys: Mapping[str, Any], given: Mapping[str, Any], name: str = "set") -> dict[str, Any]:
    """Keys of a card with others on top: changes of its model come after the card's own, another model drops those.

    Tables of its theory are merged.

    >>> merged_settings({"model": "fig2", "set": ["width=running"]}, {"set": "heavy.C9_mu=-1"})["set"]
    ('width=running', 'heavy.C9_mu=-1')
    """
    known = () if "model" in given else settings_of(keys.get(name, ()))
    found = {**keys, **given}
    found[name] = (*known, *settings_of(given.get(name, ())))
    if not found[name]:
        del found[name]
    if "theory" in keys and "theory" in given:
        found["theory"] = merged_theory(keys["theory"], given["theory"])
    return found


def apply_settings(model: Model, settings: str | Sequence[str]) -> Model:
    """The model with fields changed by a ``key=value`` text or several, as of ``--set`` on the command line.

    Keys are paths such as ``light_vectors.0.mass``, ``heavy.C9_mu``, ``width`` or ``theory.resonances.J/psi.phase``;
    the number after the last mediator adds one. What cannot stand beside a field that is set gives way to it
    (``Mediator.settle``): a width replaces the width that there was. Raises InputError.

    >>> apply_settings(get_model("fig2"), ["light_vectors.0.mass=2.8"]).light_vectors[0].mass
    2.8
    """
    if not settings:
        return model
    data: dict[str, Any] = model.model_dump()
    data["theory"] = told(model.theory)
    known = kinds()
    for kind in known:
        data[kind] = [dict(mediator) for mediator in data[kind]]
    touched: dict[tuple[str, int], set[str]] = {}
    for setting in (settings,) if isinstance(settings, str) else settings:
        key, equals, text = setting.partition("=")
        path = [part for part in key.strip().replace("[", ".").replace("]", "").split(".") if part]
        if not equals or not path:
            raise InputError(f"set {setting!r}: write key=value, say light_vectors.0.mass=2.8")
        if path[0] == "theory" and len(path) > 1:
            changes: Any = parse_value(text)
            for part in reversed(path):
                changes = {part: changes}
            data = merged_tables(data, changes)
            continue
        target: Any = data
        for depth, part in enumerate(path[:-1]):
            target = _enter(target, part, ".".join(path[: depth + 1]))
        if isinstance(target, list) or not (_is_table(path[:-1]) or path[-1] in _known_keys(path[:-1])):
            raise InputError(f"{'.'.join(path)}: no such key; {nearest(path[-1], _known_keys(path[:-1]))}")
        if path[0] in known and len(path) == 3:
            touched.setdefault((path[0], int(path[1])), set()).add(path[2])
        target[path[-1]] = parse_value(text)
    for (kind, index), names in touched.items():
        known[kind].settle(data[kind][index], names)
    return validate(Model, data)


def _is_table(path: Sequence[str]) -> bool:
    """Whether a path is that of a table with keys of the user's own."""
    location: list[int | str] = [int(part) if part.isdecimal() else part for part in path]
    schema = _model_at(Model, location) if location else None
    field = _field(schema, location[-1]) if schema is not None else None
    origin = None if field is None else get_origin(field.annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _known_keys(path: Sequence[str]) -> list[str]:
    location: list[int | str] = [int(part) if _is_index(part) else part for part in path]
    schema = _model_at(Model, [*location, ""])
    return known_keys(schema) if schema is not None else []


def _is_index(part: str) -> bool:
    return part.isdecimal() and len(part) < 10


def _enter(target: Any, part: str, path: str) -> Any:
    if isinstance(target, list):
        if not _is_index(part) or int(part) > len(target):
            kind = path.partition(".")[0].replace("_", " ")
            raise InputError(f"{path}: the model has {len(target)} {kind}, numbered from 0")
        if int(part) == len(target):
            target.append({})
        return target[int(part)]
    inside = target.get(part) if isinstance(target, dict) else None
    steps = path.split(".")
    if inside is None and isinstance(target, dict) and (_is_table(steps) or _is_table(steps[:-1])):
        inside = target.setdefault(part, {})
    if not isinstance(inside, (dict, list)):
        groups = (
            [key for key, value in target.items() if isinstance(value, (dict, list))]
            if isinstance(target, dict)
            else []
        )
        raise InputError(f"{path}: no such key; {nearest(part, groups or ['heavy', *kinds()])}")
    return inside


def check_single_precision(
    model: Model,
    channel: Channel,
    q2: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
) -> None:
    """InputError if the line shape of a mediator or a resonance is too narrow for q2 in single precision.

    The spacing of q2 has to be 500 times finer than m Γ: at Γ/m = 1e-4 events of 2.5 GeV agree with the
    prediction, at 1e-5 they do not. The J/ψ is too narrow. Poles outside the ranges ``q2`` (GeV²; everything if empty)
    or inside ``vetoes`` do not matter.

    >>> from darkpenguin.physics.channels import get_channel
    >>> check_single_precision(get_model("fig2"), get_channel("B+->K+mumu"))
    """
    ranges = q2 or [channel.q2_limits()]
    known = model.mediators.items()
    lines = {_place(path): (one.mass, one.shape_width(model.width)) for path, one in known if one.couples(channel)}
    if channel.lepton is not None:
        lines |= {f"theory.resonances.{name}": line for name, line in model.theory.lines.items()}
    for place, (mass, width) in lines.items():
        needed = 500.0 * float(np.spacing(np.float32(mass**2))) / mass
        pole = mass**2
        selected = any(a <= pole <= b for a, b in ranges) and not any(a < pole < b for a, b in vetoes)
        if width < needed and selected:
            raise InputError(
                f"precision = float32: {place} has a line shape of width/mass = {width / mass:.3g}, and "
                f"single precision resolves {needed / mass:.2g} at {mass:g} GeV; take float64, or leave that q2 out"
            )


def check_partial_widths(model: Model) -> None:
    """RuntimeWarning for a mediator whose decays into leptons alone are more than its total width.

    >>> check_partial_widths(get_model("fig2"))
    """
    for path, one in model.mediators.items():
        partial = sum(one.partial_widths().values())
        if partial > one.total_width:
            warnings.warn(
                f"{_place(path)}: its couplings to leptons alone give a width of {partial:.3g} GeV, more than "
                f"the total of {one.total_width:.3g} GeV; rates at its peak are too large, raise the width",
                RuntimeWarning,
                stacklevel=3,
            )
