"""The card of a fit: a model, what floats in it, what is known of that, and what events are seen with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from ...kinematics.base.cards import Card
from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.axes import moved, read_value
from ...physics.kpi import KpiSystem, resolve_kpi
from ...physics.models import Model, ModelChoice, apply_settings, as_model, kinds, merged_settings
from ..lab.settings import EfficiencySettings
from ..run.q2 import Window, read_windows
from .backgrounds import FIELDS, PREFIX, Background
from .kpi import FRACTION, PHASE, start_of
from .likelihood import Free, Rates
from .mass import MASS, BMass
from .resolution import Chosen, read_resolution

RANGES: Mapping[str, tuple[float, float]] = {
    "relative_width": (1e-4, 1.0),
    FRACTION: (1e-3, 0.6),
    PHASE: (-180.0, 180.0),
    "fraction": (0.0, 0.5),
    "slope": (-2.0, 2.0),
    "b_mass_slope": (-20.0, 20.0),
}
"""Ranges of fields, by their path or its last word, that need none to be said; a mass has that of the events."""


def _floats(value: Any) -> Any:
    """Ranges by path from a list of KEY or KEY,MIN,MAX, one of them, or a table; None where nothing is said."""

    def read(text: str) -> tuple[str, Any]:
        key, *ends = (word.strip() for word in text.split(","))
        try:
            return key, tuple(map(float, ends)) or None
        except ValueError:
            raise InputError(f"float = {text!r}: write KEY or KEY,MIN,MAX, say light_vectors.0.mass,1.5,2.9") from None

    return _table(value, "float", "[MIN, MAX]", read)


def _constraints(value: Any) -> Any:
    """Mean and error by path from KEY=MEAN,ERROR, a list of these, or a table."""

    def read(text: str) -> tuple[str, Any]:
        words, comma, error = text.rpartition(",")
        if not comma:
            raise InputError(f"constrain = {text!r}: write KEY=MEAN,ERROR, say heavy.C9_mu=0,0.5")
        key, mean = read_value(words, "constrain", "heavy.C9_mu=0,0.5")
        return key, (mean, read_value(f"{key}={error}", "constrain", "heavy.C9_mu=0,0.5")[1])

    return _table(value, "constrain", "[MEAN, ERROR]", read)


def _words(value: Any) -> Any:
    return tuple(dict.fromkeys([value] if isinstance(value, str) else value))


def _system(value: Any) -> KpiSystem | None:
    return None if value is None else resolve_kpi(value)


def _table(value: Any, name: str, pair: str, read: Callable[[str], tuple[str, Any]]) -> dict[str, Any]:
    """Pairs by path, of a table or of texts; InputError for anything else."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if one is not None and not (isinstance(one, (list, tuple)) and len(one) == 2):
                raise InputError(f"{name}.{key} = {one!r}: write {pair}, two numbers")
        return {str(key): None if one is None else tuple(one) for key, one in value.items()}
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{name} = {value!r}: a table of KEY = {pair}, or a list of texts is needed")
    return dict(read(text) for text in texts)


class FitCard(Card):
    """What a fit needs beside the events.

    >>> card = FitCard.make(model="fig2", float={"light_vectors.0.mass": (1.5, 2.8)})
    >>> card.free_fields((1.1, 8.0))[0].start
    2.5
    """

    folder: ClassVar[Path] = Path(__file__).parent / "cards"
    also: ClassVar[tuple[str, ...]] = ("set", "theory")

    model: ModelChoice = "fig2"
    """The physics: where the search starts, and what does not float."""

    settings: Annotated[tuple[str, ...], Field(validation_alias=AliasChoices("settings", "set"))] = ()
    """Changes of the model, as ``light_vectors.0.mass=2.5``."""

    free: Annotated[
        dict[str, tuple[float, float] | None],
        BeforeValidator(_floats),
        Field(validation_alias=AliasChoices("float", "free"), min_length=1),
    ]
    """Fields that float, by path, with their ranges; without a range a mass has that of q2, Γ/m 1e-4 to 1."""

    constraints: Annotated[
        dict[str, tuple[float, float]],
        BeforeValidator(_constraints),
        Field(validation_alias=AliasChoices("constrain", "constraints"), default_factory=dict),
    ]
    """What is known of fields that float: mean and error of a Gaussian."""

    nuisances: Annotated[tuple[Literal["form_factors", "charm"], ...], BeforeValidator(_words)] = ()
    """What floats with flavio's covariance as a constraint: form factors, subleading charm."""

    rates: Rates = "free"
    """``free``: every channel is normalised by itself; ``common``: all together, so that ratios such as R_K count."""

    b_mesons: Annotated[float, Field(gt=0)] | None = None
    """B mesons of each charge, half of them conjugates, if that number is known: all rates count then, absolutely."""

    kpi: Annotated[KpiSystem | None, BeforeValidator(_system)] = None
    """Kπ system of events with a Kπ mass: line shapes, and where F_S and the phase start; the events' own without."""

    backgrounds: dict[str, Background] = Field(default_factory=dict)
    """Backgrounds by name; ``backgrounds.NAME.fraction`` and ``.slope`` may float, with b_mass ``.b_mass_slope``."""

    b_mass: BMass | None = None
    """Mass of the reconstructed B, ``m_b_reco``, in the density: a window and the signal's peak in it."""

    efficiency: EfficiencySettings | None = None
    """Maps that the events were seen with; those of the events' own card without."""

    resolution: Annotated[Chosen | None, BeforeValidator(read_resolution)] = None
    """Resolution of q2 in the density of events, whose q2 is then ``q2_reco``: ``file``, the detector that they were
    seen with; another one by its name or tracks, both measured on simulated muons; or a number or a table of sigma."""

    q2: Annotated[tuple[Window, ...], BeforeValidator(read_windows)] = ()
    """Ranges of q2 (GeV²) that are fitted, of the reconstructed one with a resolution; those of the run without."""

    search: bool = True
    """Whether the search starts at many masses of a V whose mass floats, or at the model's alone."""

    minos: bool = False
    """Whether asymmetric errors are sought, where -2 ln L rises by one."""

    @model_validator(mode="before")
    @classmethod
    def _with_theory(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("theory") is None:
            return data
        rest = {key: value for key, value in data.items() if key != "theory"}
        return {**rest, "model": as_model(data.get("model", cls.model_fields["model"].default), theory=data["theory"])}

    @model_validator(mode="before")
    @classmethod
    def _something_floats(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and all(data.get(word) in (None, {}, [], ()) for word in ("float", "free")):
            raise InputError(
                'float: nothing floats; say what does, and between which ends: "heavy.C9_mu" = [-3, 3] under [float] '
                "of a card, or --float heavy.C9_mu,-3,3; of a V light_vectors.0.mass, .relative_width and .g_bs; "
                "fit --example prints a card"
            )
        return data

    @model_validator(mode="before")
    @classmethod
    def _efficiency(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or isinstance(
            data.get("efficiency"), (Mapping, EfficiencySettings, type(None))
        ):
            return data
        return {**data, "efficiency": {"maps": data["efficiency"]}}

    @classmethod
    def merged(cls, keys: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of a card with others on top; all words for one are the same."""
        words = {"set": "settings", "free": "float", "constraints": "constrain"}
        known, new = ({words.get(key, key): value for key, value in part.items()} for part in (keys, given))
        return merged_settings(known, new, "settings")

    @model_validator(mode="after")
    def _can_be(self) -> FitCard:
        base = self.base_model()
        for key, ends in self.free.items():
            others = ("theory.resonances.", *(f"{part}." for part in ("heavy", *kinds())))
            known = key in (FRACTION, PHASE, *self._of_shapes())
            for prefix in (PREFIX, MASS):
                if not known and key.startswith(prefix):
                    there = [path for path in self._of_shapes() if path.startswith(prefix)]
                    raise ValueError(f"float.{key}: {nearest(key, there) if there else 'none is in the card'}")
            if not (known or key.startswith(others)):
                raise ValueError(
                    f"float.{key}: it cannot float, since the shapes of the amplitude depend on it; what can are heavy "
                    f"coefficients, fields of {', '.join(kinds())}, of theory.resonances, of backgrounds, of b_mass, "
                    f"{FRACTION} and {PHASE}"
                )
            if ends is not None and not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] < ends[1]):
                raise ValueError(f"float.{key} = {list(ends)}: two finite numbers are needed, the lower one first")
            if key == FRACTION and ends is not None and not 0.0 < ends[0] < ends[1] < 1.0:
                raise ValueError(f"float.{key} = {list(ends)}: an S-wave fraction that floats is above 0 and below 1")
            if key.startswith(PREFIX) and key.endswith("fraction") and ends and not 0.0 <= ends[0] < ends[1] < 1.0:
                raise ValueError(f"float.{key} = {list(ends)}: a fraction is 0 or more and below 1")
            if ends and self.b_mass is not None:
                self.b_mass.check(f"float.{key}", ends)
            for end in ends or () if not known else ():
                moved(base, {key: end})
        for key, (_, error) in self.constraints.items():
            if key not in self.free:
                raise ValueError(f"constrain.{key}: it does not float; allowed are {', '.join(self.free)}")
            if not error > 0:
                raise ValueError(f"constrain.{key}: an error of {error:g}; needs one above 0")
        return self

    @model_validator(mode="after")
    def _resolution_fits(self) -> FitCard:
        if self.resolution is not None and self.nuisances:
            raise ValueError("nuisances: they float in fits without a resolution; leave out one of the two")
        return self

    @model_validator(mode="after")
    def _backgrounds_fit(self) -> FitCard:
        if self.backgrounds and (self.rates != "free" or self.b_mesons is not None):
            raise ValueError(
                "backgrounds: their fractions are of a channel's own events; leave out rates = common and b_mesons"
            )
        if not sum(one.fraction for one in self.backgrounds.values()) < 1.0:
            raise ValueError("backgrounds: their fractions start at 1 or more together")
        for name, one in self.backgrounds.items() if self.b_mass is None else ():
            if one.b_mass_slope or f"{PREFIX}{name}.b_mass_slope" in self.free:
                raise ValueError(f"backgrounds.{name}.b_mass_slope: needs a b_mass in the card, or leave it out")
        return self

    def _of_shapes(self) -> dict[str, float]:
        """What may float of backgrounds and the mass of the B, by path, and where it starts."""
        found = {} if self.b_mass is None else self.b_mass.starts()
        for name, one in self.backgrounds.items():
            found |= {f"{PREFIX}{name}.{field}": getattr(one, field) for field in FIELDS}
        return found

    def base_model(self) -> Model:
        """The model that the search starts from."""
        return apply_settings(as_model(self.model), self.settings)

    def free_fields(self, q2: tuple[float, float], system: KpiSystem | None = None) -> tuple[Free, ...]:
        """What floats, for events in a range of q2 (GeV²), of a Kπ system if they have a Kπ mass.

        Raises:
            InputError: a field without a range that needs one, or a start outside.
        """
        base, found, others = self.base_model(), [], {**start_of(system), **self._of_shapes()}
        known = {**RANGES, **({} if self.b_mass is None else self.b_mass.ranges())}
        for path, given in self.free.items():
            word = path.rpartition(".")[2]
            masses = (math.sqrt(q2[0]), math.sqrt(q2[1]))
            ends = given or (masses if word == "mass" else known.get(path, known.get(word)))
            if ends is None:
                raise InputError(f"float = {path!r}: needs a range, as {path},MIN,MAX")
            if path in (FRACTION, PHASE, *others):
                if path not in others:
                    raise InputError(f"float = {path!r}: these events have no S wave; those of kpi = swave do")
                start: float | None = others[path]
            else:
                moved(base, {path: ends[0]})
                start = value_of(base, path)
            if start is None or not ends[0] <= start <= ends[1]:
                start = 0.5 * (ends[0] + ends[1])
            found.append(Free(path, float(ends[0]), float(ends[1]), start))
        return tuple(found)


def value_of(model: Model, path: str) -> float | None:
    """Number of a field; None where it says nothing. A complex one is real in a fit."""
    found: Any = model
    try:
        head, _, rest = path.partition("theory.resonances.")
        if rest:
            name, _, field = rest.rpartition(".")
            found = getattr(model.theory.resonances[name], field)
        else:
            for word in head.split("."):
                part, found = found, (found[int(word)] if word.isdecimal() else getattr(found, word))
            if found is None and word == "width":
                found = part.total_width  # said by Γ/m, or by g_chi
    except (AttributeError, IndexError, KeyError):
        return None
    return None if found is None else float(complex(found).real)
