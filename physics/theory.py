"""What the Standard Model rests on, beside what a model adds to it: frozen, validated, data only.

A model carries its theory (``Model.theory``), so whatever takes a model, from an amplitude to a scan, follows both, and
every key and file that names a model names its theory. Only what says what the Standard Model *is* asks for one:
`amplitudes.standard_model`, `parameters.load_parameters`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..kinematics.base.checks import validate
from ..kinematics.base.errors import InputError
from ..kinematics.base.files import read_toml
from .fields import Coupling, Frozen, FrozenTable, Number
from .flavio_inputs import LARGEST_DRAW, check_parameter, chosen_form_factors
from .resonances import Changes, Nonlocal, Preset, check_resonances, resonance_lines


def _by_name(value: Any) -> Any:
    """Values by name; they may be written NAME=VALUE.

    >>> _by_name(["Vcb=0.041"])
    {'Vcb': '0.041'}
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)):
        return value
    pairs = [text.rpartition("=") if isinstance(text, str) else ("", "", text) for text in texts]
    for (name, _, _), text in zip(pairs, texts, strict=True):
        if not name:
            raise InputError(f"parameters = {text!r}: write NAME=VALUE, such as Vcb=0.041")
    return {name.strip(): number.strip() for name, _, number in pairs}


Amplitudes = Literal["flavio", "btosllball", "btosllball-2", "btosllball-6"]
"""Whose form factors and effective Wilson coefficients the amplitudes have."""
Radiation = Literal["none", "leading-log"]
"""Whether leptons radiate, see ``radiation.py``."""


class Theory(Frozen):
    """The Standard Model's side of a prediction; the table ``[theory]`` of a card.

    ``nonlocal_`` (in cards and on the command line: ``nonlocal``) says what charm does to the amplitude: ``flavio``,
    perturbative charm loops and QCD factorisation; ``resonances`` adds charmonium and light vector mesons,
    ``dispersive`` in a dispersion relation subtracted at q² = ``subtraction`` (GeV²), see ``charmonium.py``. ``phases``
    names a set of their phases, ``resonances`` changes single ones, by name.

    ``form_factors`` are sets by paper (``form_factors.yml``): names, ``TRANSITION=NAME``, or a table of them; flavio's
    own without. ``parameters`` sets any of flavio's parameters, by its name and in its units; ``draw`` takes the draw
    of that number of all the others, correlated, the same vector for every channel and in every run.

    ``amplitudes`` says whose the local amplitudes are: ``flavio``, or those of EvtGen's BTOSLLBALL with one of its
    sets of form factors, see ``btosllball.py``.

    ``radiation`` says whether the leptons of generated events radiate: not at all, or ``leading-log``, collinear
    photons with soft ones exponentiated, see ``radiation.py``. No prediction knows of it: all are of q² before.

    >>> Theory() == as_theory({"nonlocal": "flavio"})
    True
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    nonlocal_: Nonlocal = Field(default="flavio", alias="nonlocal")
    phases: Preset = "both-negative"
    subtraction: Annotated[Number, Field(ge=-100.0, le=0.0)] = 0.0
    resonances: FrozenTable[Changes] = FrozenTable()
    amplitudes: Amplitudes = "flavio"
    form_factors: Annotated[FrozenTable[str], BeforeValidator(chosen_form_factors)] = FrozenTable()
    parameters: Annotated[FrozenTable[Coupling], BeforeValidator(_by_name)] = FrozenTable()
    draw: Annotated[int, Field(ge=0, lt=LARGEST_DRAW)] | None = None
    radiation: Annotated[Radiation, Field(exclude_if=lambda value: value == "none")] = "none"

    def __hash__(self) -> int:
        """Of what differs most often; amplitudes ask for it at every call."""
        return hash(
            (
                self.nonlocal_,
                self.amplitudes,
                self.draw,
                *self.parameters.values(),
                *self.form_factors.values(),
                *(change.phase for change in self.resonances.values()),
            )
        )

    @property
    def inputs(self) -> Theory:
        """What the local amplitudes depend on alone: whose they are, form factors, parameters and draw.

        >>> Theory(draw=3, subtraction=-1.0, nonlocal_="dispersive").inputs == Theory(draw=3)
        True
        """
        chosen = self.draw is not None or self.parameters or self.form_factors or self.amplitudes != "flavio"
        return _inputs(self) if chosen else _FLAVIO

    @property
    def central(self) -> Theory:
        """The same without a draw: what draws scatter about.

        >>> Theory(draw=3).central == Theory()
        True
        """
        return self if self.draw is None else self.model_copy(update={"draw": None})

    @property
    def key(self) -> str:
        """Hash of the inputs, for the names of files; empty for flavio as it is."""
        if self.inputs == Theory():
            return ""
        text = json.dumps(self.inputs.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @field_validator("parameters")
    @classmethod
    def _known_to_flavio(cls, value: FrozenTable[float]) -> FrozenTable[float]:
        for name in value:
            check_parameter(name)
        return value

    @model_validator(mode="after")
    def _resonances_are_there(self) -> Self:
        defaults = type(self).model_fields
        told = {name for name, value in self if value != defaults[name].default}
        check_resonances(self.nonlocal_, self.resonances, told)
        return self

    @model_validator(mode="after")
    def _local_is_whole(self) -> Self:
        if self.amplitudes != "flavio" and (self.form_factors or self.draw is not None):
            what = "form_factors" if self.form_factors else "draw"
            raise InputError(
                f"theory.{what}: amplitudes = {self.amplitudes!r} has its own form factors, without errors"
            )
        return self

    @property
    def lines(self) -> dict[str, tuple[float, float]]:
        """Mass and width (GeV) of the resonances that are in the amplitude, by name.

        >>> Theory().lines
        {}
        """
        return resonance_lines(self.nonlocal_, self.resonances)

    def changed(self, table: Mapping[str, Any] | Theory) -> Theory:
        """This theory with the keys of a table, or what another theory was told, on top.

        >>> Theory().changed({"nonlocal": "flavio"}) == Theory()
        True
        """
        return validate(Theory, merged_tables(told(self), told(table)), "theory")


@lru_cache(maxsize=1024)
def _inputs(theory: Theory) -> Theory:
    return Theory(
        form_factors=theory.form_factors, parameters=theory.parameters, draw=theory.draw, amplitudes=theory.amplitudes
    )


_FLAVIO = Theory()
TheoryLike = Theory | str | os.PathLike[str] | Mapping[str, Any] | None
"""What names a theory wherever one is asked for, see `as_theory`; None changes nothing."""


def told(source: Mapping[str, Any] | Theory) -> dict[str, Any]:
    """Keys of a table, or those that a theory was made with.

    >>> told(Theory()), told(as_theory({"nonlocal": "flavio"}))
    ({}, {'nonlocal': 'flavio'})
    """
    if isinstance(source, Theory):
        return source.model_dump(exclude_unset=True)
    return {key: _by_name(value) if key == "parameters" else value for key, value in source.items()}


def merged_tables(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a table with others on top; tables inside are merged too.

    >>> merged_tables({"parameters": {"Vcb": 0.04}, "draw": 1}, {"parameters": {"Vus": 0.2}, "draw": 2})
    {'parameters': {'Vcb': 0.04, 'Vus': 0.2}, 'draw': 2}
    """
    found = dict(base)
    for key, value in changes.items():
        known = found.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        found[key] = merged_tables(known, value) if both and known is not None else value
    return found


def as_theory(source: TheoryLike = None) -> Theory:
    """The theory that is meant by a table of its keys, a TOML file that has one, or a Theory; the default for None.

    Raises:
        InputError: an unknown key (the nearest is named), or a value that cannot be.

    Example:
        >>> as_theory({"nonlocal": "flavio"}).nonlocal_
        'flavio'
    """
    return Theory().changed(theory_table(source))


def theory_table(source: TheoryLike) -> Mapping[str, Any] | Theory:
    """Keys of whatever names a theory.

    >>> theory_table(None)
    {}
    """
    if source is None:
        return {}
    if isinstance(source, (Theory, Mapping)):
        return source
    if isinstance(source, (str, os.PathLike)) and Path(source).suffix == ".toml":
        found = read_toml(Path(source)).get("theory", {})
        if isinstance(found, Mapping):
            return found
    raise InputError(
        f"theory = {source!r}: a table of its keys, such as {{nonlocal = 'flavio'}}, or a TOML file with one is needed"
    )


def merged_theory(known: Any, given: Any) -> Any:
    """A card's ``theory`` with another on top, key by key; see `split_errors`.

    >>> merged_theory("none", {"nonlocal": "flavio"}), merged_theory({"errors": True}, False)
    ({'nonlocal': 'flavio', 'errors': 'none'}, {'errors': False})
    """
    (errors, table), (new_errors, new_table) = split_errors(known), split_errors(given)
    found = merged_tables(told(theory_table(table)), told(theory_table(new_table)))
    errors = errors if new_errors is None else new_errors
    return found if errors is None else {**found, "errors": errors}


def split_errors(value: Any) -> tuple[Any, TheoryLike]:
    """A card's ``theory``, where it also says how theory errors enter: that, and the theory itself.

    A word (or true and false) is the former alone, a table may have both, the former as ``errors``; None where
    nothing is said.

    >>> split_errors("correlated"), split_errors({"errors": False, "nonlocal": "flavio"})
    (('correlated', None), (False, {'nonlocal': 'flavio'}))
    """
    if isinstance(value, Mapping):
        table = dict(value)
        return table.pop("errors", None), table
    if isinstance(value, Theory) or (isinstance(value, (str, os.PathLike)) and Path(value).suffix == ".toml"):
        return None, value
    return value, None
