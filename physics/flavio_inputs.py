"""flavio's parameters under a theory: central values or a draw, form factors by paper, and what is set by hand.

A draw is one vector of all of flavio's parameters, correlated as flavio has them. Draws are made a block of 100 at a
time from a seed of the block, so that draw n is the same vector for every channel, in every run, whichever draws were
made before. Form-factor sets are drawn beside it from seeds of their own: another set leaves all other parameters of a
draw as they are.
"""

from __future__ import annotations

import difflib
import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..kinematics.base.cache import cache_folder, from_cache, write_checked
from ..kinematics.base.checks import nearest
from ..kinematics.base.errors import InputError
from ..kinematics.base.files import parse_yaml
from ..kinematics.base.sources import installed_version
from .modes import Transition

SEED = 1704
"""Seed of the draws."""
BLOCK = 100
"""Draws that are made together."""
LARGEST_DRAW = 1_000_000
"""Number of draws there are."""
FORM_FACTORS = Path(__file__).with_name("form_factors.yml")
_DEFAULT = "default"
_FLAVIO = threading.RLock()
"""Held by the thread that has changed flavio's settings, or NumPy's generator, which are those of all threads."""


def flavio_version() -> str:
    """Version of the installed flavio, without importing it."""
    return installed_version("flavio")


@lru_cache(maxsize=1)
def parameter_names() -> tuple[str, ...]:
    """Names of flavio's parameters, from the cache if they are there: importing flavio takes seconds.

    >>> "Vcb" in parameter_names()
    True
    """
    folder = cache_folder()
    path = folder / f"parameter-names-{flavio_version()}.json" if folder is not None else None
    known = None if path is None else from_cache(path, json.loads)
    if known is not None:
        return tuple(known)
    from .flavio_parts import default_parameters

    names = tuple(sorted(default_parameters.all_parameters))
    if path is not None:
        write_checked(path, json.dumps(names).encode())
    return names


def check_parameter(name: str) -> None:
    """InputError, with the nearest names, for what is no parameter of flavio.

    >>> check_parameter("Vcb")
    """
    names = parameter_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "flavio.default_parameters has them"
        raise InputError(f"parameters.{name}: flavio has no such parameter; {hint}")


@lru_cache(maxsize=1)
def form_factor_sets() -> Mapping[str, Mapping[str, Any]]:
    """Sets of form factors by name: title, arXiv number, and an entry for each transition that a set has.

    >>> sorted(form_factor_sets())
    ['bsz-2015', 'bsz-2015-lcsr', 'gkvd-2018', 'gkvd-2018-lcsr', 'grvdv-2023', 'hpqcd-2022', 'lattice-2015']
    """
    found: dict[str, dict[str, Any]] = parse_yaml(FORM_FACTORS.read_text(encoding="utf-8"))
    return found


def transitions_of(name: str) -> tuple[str, ...]:
    """Transitions, by flavio's names, that a set of form factors has.

    >>> transitions_of("grvdv-2023")
    ('B->K', 'B->K*', 'Bs->phi')
    """
    return tuple(key for key in form_factor_sets()[name] if "->" in key)


def chosen_form_factors(texts: Mapping[str, str] | str | list[str] | tuple[str, ...]) -> dict[str, str]:
    """Set of each transition, from sets' names or ``TRANSITION=NAME``; later ones lie upon earlier ones.

    What flavio takes anyway is left out.

    Raises:
        InputError: no such set, or one that does not have the transition.

    Example:
        >>> chosen_form_factors(["grvdv-2023", "B->K=hpqcd-2022"])
        {'B->K': 'hpqcd-2022', 'B->K*': 'grvdv-2023', 'Bs->phi': 'grvdv-2023'}
    """
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, (Mapping, list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"form_factors = {texts!r}: name a set, or several; there are {', '.join(form_factor_sets())}")
    pairs = texts.items() if isinstance(texts, Mapping) else (text.rpartition("=")[::2] for text in texts)
    found: dict[str, str] = {}
    for transition, name in pairs:
        if name not in form_factor_sets():
            raise InputError(f"form_factors = {name!r}: no such set; {nearest(name, form_factor_sets())}")
        known = transitions_of(name)
        if transition and transition not in known:
            others = [other for other in form_factor_sets() if transition in transitions_of(other)]
            hint = f"of {transition} there are {', '.join(others)}" if others else "no set has that transition"
            raise InputError(f"form_factors = {transition}={name}: {name} has {', '.join(known)}; {hint}")
        found.update(dict.fromkeys([transition] if transition else known, name))
    return {key: name for key, name in sorted(found.items()) if form_factor_sets()[name][key] != _DEFAULT}


def parameter_values(form_factors: Mapping[str, str], parameters: Mapping[str, float], draw: int | None) -> Any:
    """All of flavio's parameters by name, a new dictionary; imports flavio."""
    from .flavio_parts import default_parameters

    values = default_parameters.get_central_all() if draw is None else _drawn(draw, _default_block)
    for transition, name in form_factors.items():
        entry = form_factor_sets()[name][transition]
        values |= entry.get("values", {})
        if draw is None:
            values |= _constraints(transition, name).get_central_all()
        else:
            values |= _drawn(draw, lambda block, key=(transition, name): _set_block(*key, block))
    return {name: float(value) for name, value in (values | dict(parameters)).items()}


def parameter_covariance(names: Sequence[str], form_factors: Mapping[str, str], parameters: Mapping[str, float]) -> Any:
    """flavio's covariance of some of its parameters, with its sets of form factors; zero for what is set by hand."""
    from .flavio_parts import default_parameters

    tables = [default_parameters]
    fixed = set(parameters)
    for transition, name in form_factors.items():
        tables.append(_constraints(transition, name))
        fixed |= set(form_factor_sets()[name][transition].get("values", {}))
    places: dict[int, tuple[Any, list[tuple[int, int]]]] = {}  # distributions, and where each has which parameter
    for i, name in enumerate(names):
        table = next((one for one in reversed(tables) if name in one._parameters), None)
        if table is not None and name not in fixed:
            index, distribution = table._parameters[name]
            places.setdefault(id(distribution), (distribution, []))[1].append((i, index))
    found = np.zeros((len(names), len(names)))
    for distribution, pairs in places.values():
        rows, indices = (np.array(part) for part in zip(*pairs, strict=True))
        if hasattr(distribution, "covariance"):
            found[np.ix_(rows, rows)] = np.asarray(distribution.covariance)[np.ix_(indices, indices)]
        else:
            found[rows, rows] = getattr(distribution, "standard_deviation", 0.0) ** 2
    return found


def _drawn(draw: int, block_of: Any) -> dict[str, Any]:
    return {name: column[draw % BLOCK] for name, column in block_of(draw // BLOCK).items()}


@lru_cache(maxsize=4)
def _default_block(block: int) -> Mapping[str, Any]:
    from .flavio_parts import default_parameters

    return _random(default_parameters, SEED if block == 0 else [SEED, block])


@lru_cache(maxsize=16)
def _set_block(transition: str, name: str, block: int) -> Mapping[str, Any]:
    return _random(_constraints(transition, name), [SEED, block, zlib.crc32(f"{transition} {name}".encode())])


def _random(constraints: Any, seed: int | list[int]) -> Mapping[str, Any]:
    """A block of draws: flavio draws with NumPy's global generator, whose state is put back."""
    with _FLAVIO:
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            drawn: Mapping[str, Any] = constraints.get_random_all(size=BLOCK)
        finally:
            np.random.set_state(state)  # noqa: NPY002
    return drawn


@lru_cache(maxsize=16)
def _constraints(transition: str, name: str) -> Any:
    """flavio's constraints on the parameters of one transition in a set."""
    from .flavio_parts import LOADERS, MultivariateNormalDistribution, ParameterConstraints

    entry, found = form_factor_sets()[name][transition], ParameterConstraints()
    for loader, arguments in entry.get("load", {}).items():
        LOADERS[loader](*arguments, found)
    if "names" in entry:
        covariance = np.array(entry["covariance"]) / entry.get("scale", 1.0) ** 2
        found.add_constraint(entry["names"], MultivariateNormalDistribution(np.array(entry["central"]), covariance))
    for other in set(found.all_parameters):
        if not other.startswith(f"{transition} ") or other in entry.get("values", {}):
            found.remove_constraint(other)
    return found


@contextmanager
def form_factors_in_use(form_factors: Mapping[str, str]) -> Iterator[None]:
    """flavio as it is shipped, with the parametrisations of these form factors; what it had is put back.

    Other threads wait for it meanwhile: they would compute with these.
    """
    from .flavio_parts import SHIPPED, config

    with _FLAVIO:
        kept = dict(config)
        try:
            config.update(deepcopy(SHIPPED))
            for transition, name in form_factors.items():
                other = form_factor_sets()[name][transition].get("implementation")
                if other is not None:
                    config["implementation"][f"{transition} form factor"] = other
            yield
        finally:
            config.update(kept)


def flavio_name(transition: Transition) -> str:
    """flavio's name of a transition's form factors, which does not know charges.

    >>> from darkpenguin.physics.modes import TRANSITIONS
    >>> flavio_name(TRANSITIONS[0])
    'B->K'
    """
    return "->".join(one.name.rstrip("+0") for one in (transition.parent, transition.hadron))


def check_used(form_factors: Mapping[str, str], transitions: Iterable[Transition]) -> None:
    """InputError for form factors of which no transition has any use: they would change nothing.

    >>> from darkpenguin.physics.modes import TRANSITIONS
    >>> check_used({"B->K*": "grvdv-2023"}, TRANSITIONS)
    """
    used = {flavio_name(row) for row in transitions}
    if form_factors and not used & set(form_factors):
        told = ", ".join(f"{transition}={name}" for transition, name in form_factors.items())
        raise InputError(f"form_factors = {told}: nothing here is {' or '.join(form_factors)}, but {', '.join(used)}")
