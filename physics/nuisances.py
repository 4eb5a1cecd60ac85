r"""What is uncertain in the local amplitudes: form factors and subleading charm, with flavio's covariance.

flavio's form factors are sums of its parameters times functions of q2 (z expansions), and its subleading effects, zero
at its central values, are polynomials in q2 times form factors, see `local.StandardModel.subleading_shifts`. So what
each parameter changes is known once and for all: a function of q2, or a coefficient. Parameters are written as

.. math:: p = \bar p + R\,\theta,\qquad R R^T = V,

with flavio's covariance V; the θ are independent and of unit variance, those of the largest eigenvalues of the
correlations first. What else flavio varies, CKM elements and masses, changes rates and hardly shapes: it is not here.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.base.cache import cache_folder, from_cache, keep_newest, write_checked
from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import q2_max
from . import amplitudes
from .flavio_inputs import flavio_name, flavio_version, form_factors_in_use, parameter_covariance
from .local import P_FORM_FACTORS, V_FORM_FACTORS
from .modes import Transition
from .parameters import KEPT, flavio_parameters, load_parameters, physics_fingerprint, refused
from .theory import Theory

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
GROUPS = ("form_factors", "charm")
"""What may float: form factors, of all charges of a hadron together; flavio's subleading effects, a set a charge."""
_DEGREE = 30  # of series in q2: form factors then are good to 1e-10 up to the end of phase space
_NULL = 1e-10  # of the largest eigenvalue of the correlations: no direction of its own


@dataclass(frozen=True, eq=False)
class Changes:
    """What flavio's parameters change in one transition.

    Attributes:
        names: of the parameters.
        central: their values.
        series: Chebyshev series in q2 over ``span`` of the changes of form factors by a unit of each parameter,
            (parameters, form factors, degree + 1).
        span: first and last q2 (GeV²).
        subleading: changes of ``StandardModel.subleading``, (parameters, helicities, 3).
    """

    names: npt.NDArray[np.str_]
    central: Array
    series: Array
    span: Array
    subleading: ComplexArray

    def form_factors(self, q2: Array) -> Array:
        """Changes of form factors at q2 (GeV²), (parameters, form factors, n_q2)."""
        low, high = self.span
        x = (2.0 * q2 - low - high) / (high - low)
        return np.asarray(self.series @ np.polynomial.chebyshev.chebvander(x, _DEGREE).T)


@dataclass(frozen=True, eq=False)
class Nuisances:
    """flavio's parameters of several transitions, and the independent directions that they move in.

    Attributes:
        names: flavio's parameters.
        central: their values.
        covariance: flavio's.
        root: R, (parameters, directions).
        directions: names of the directions, ``form_factors.1`` and so on.

    >>> from darkpenguin.physics.channels import get_channel
    >>> found = nuisances([get_channel("B+->K+mumu").transition], Theory(), ["form_factors"])
    >>> len(found.directions), found.names[0]
    (8, 'B->K BSZ a0_f+')
    >>> bool(np.allclose(found.root @ found.root.T, found.covariance))
    True
    """

    names: tuple[str, ...]
    central: Array
    covariance: Array
    root: Array
    directions: tuple[str, ...]

    def values(self, theta: npt.ArrayLike) -> dict[str, float]:
        """flavio's parameters by name at a place."""
        moved = self.central + self.root @ np.asarray(theta, dtype=float)
        return dict(zip(self.names, moved.tolist(), strict=True))


def nuisances(transitions: Sequence[Transition], theory: Theory, groups: Sequence[str]) -> Nuisances:
    """What is uncertain of several transitions in a theory, of some of the `GROUPS`; not what a theory sets by hand.

    Raises:
        InputError: amplitudes of another program, without errors; one of flavio's draws; a theory that sets them all.
    """
    names: list[str] = []
    blocks: list[tuple[str, Array, Array]] = []
    central: list[float] = []
    for group in groups:
        known: dict[str, float] = {}
        for transition in transitions:
            changes = changes_of(transition, theory)
            moves = np.any(changes.series, axis=(1, 2)) if group == "form_factors" else None
            moves = np.any(changes.subleading, axis=(1, 2)) if moves is None else moves
            known |= {str(changes.names[i]): float(changes.central[i]) for i in np.flatnonzero(moves)}
        if not known:
            continue
        covariance = _covariance(tuple(known), theory.inputs)
        errors = np.sqrt(np.diagonal(covariance))
        sizes, vectors = np.linalg.eigh(covariance / np.outer(errors, errors))
        chosen = np.flatnonzero(sizes > _NULL * sizes[-1])[::-1]
        blocks.append((group, covariance, errors[:, None] * vectors[:, chosen] * np.sqrt(sizes[chosen])))
        names += list(known)
        central += list(known.values())
    if not names:
        raise InputError(f"nuisances: the theory leaves nothing of {', '.join(groups)} uncertain; leave it out")
    covariance, root = _diagonal([block for _, block, _ in blocks]), _diagonal([block for *_, block in blocks])
    directions = tuple(f"{group}.{i + 1}" for group, _, block in blocks for i in range(block.shape[1]))
    return Nuisances(tuple(names), np.array(central), covariance, root, directions)


def _diagonal(blocks: Sequence[Array]) -> Array:
    """A matrix of blocks on its diagonal."""
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*blocks))


def changes_of(transition: Transition, theory: Theory) -> Changes:
    """What flavio's uncertain parameters change in a transition, from memory, the cache, or flavio (slow).

    >>> from darkpenguin.physics.channels import get_channel
    >>> found = changes_of(get_channel("B+->K+mumu").transition, Theory())
    >>> int(np.any(found.series, axis=(1, 2)).sum()), int(np.any(found.subleading, axis=(1, 2)).sum())
    (8, 6)
    """
    if theory.amplitudes != "flavio":
        raise InputError(f"theory.amplitudes = {theory.amplitudes!r}: it has no errors; take flavio, or no nuisances")
    if theory.draw is not None:
        raise InputError(f"theory.draw = {theory.draw}: nuisances move about the central values; leave the draw out")
    return _changes(transition, theory.inputs)


@lru_cache(maxsize=64)
def _changes(transition: Transition, theory: Theory) -> Changes:
    word = transition.name.replace("->", "-").replace("*", "star")
    return Changes(**_kept(word, theory, partial(_made, transition, theory)))


@lru_cache(maxsize=64)
def _covariance(names: tuple[str, ...], theory: Theory) -> Array:
    word = hashlib.sha256(repr(names).encode()).hexdigest()[:12]

    def make() -> dict[str, Any]:
        return {"covariance": parameter_covariance(names, theory.form_factors, theory.parameters)}

    return np.asarray(_kept(f"covariance-{word}", theory, make)["covariance"])


def _kept(word: str, theory: Theory, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Arrays of the cache, made if they are not there."""
    folder = cache_folder()
    name = "-".join(filter(None, ("nuisances", word, theory.key, flavio_version(), physics_fingerprint()[:16])))
    path = None if folder is None else folder / f"{name}.npz"

    def decode(content: bytes) -> dict[str, Any]:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    known = None if path is None else from_cache(path, decode)
    if known is not None:
        return known
    with refused(theory), form_factors_in_use(theory.form_factors):
        made = make()
    if path is not None:
        buffer = io.BytesIO()
        np.savez(buffer, **made)
        write_checked(path, buffer.getvalue())
        if theory.key:
            keep_newest(path.parent, f"nuisances-*-????????????-{flavio_version()}-*.npz", KEPT)
    return made


def _made(transition: Transition, theory: Theory) -> dict[str, Any]:
    """Ask flavio for the changes of one transition."""
    from .flavio_parts import get_ff

    parent, hadron = transition.parent.name, transition.hadron.name
    central, known = flavio_parameters(theory), load_parameters(theory)
    named = V_FORM_FACTORS if transition.spin else P_FORM_FACTORS
    family = f"{flavio_name(transition)} "
    names = [name for name in central if name.startswith((family, f"{transition.name} delta"))]
    errors = np.sqrt(np.diagonal(parameter_covariance(tuple(names), theory.form_factors, theory.parameters)))
    names, errors = [name for name, error in zip(names, errors, strict=True) if error > 0], errors[errors > 0]
    lightest = sum(known[name] for name in transition.lightest or ("m_" + hadron,))
    span = np.array([4.0 * known["m_e"] ** 2, q2_max(known["m_" + parent], lightest)])
    x = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    nodes = 0.5 * (span[1] + span[0] + (span[1] - span[0]) * x)

    def factors(changes: Mapping[str, float]) -> Array:
        found = [get_ff(q2, {**central, **changes}, parent, hadron) for q2 in nodes]
        return np.array([[one[name] for one in found] for name in named])

    start = factors({})
    series = np.zeros((len(names), len(named), _DEGREE + 1))
    subleading = np.zeros((len(names), 3 if transition.spin else 1, 3), dtype=complex)
    nothing = {name: 0.0 for name in central if name.startswith(f"{transition.name} delta")}
    for i, (name, error) in enumerate(zip(names, errors, strict=True)):
        if name in nothing:
            subleading[i] = amplitudes._subleading(transition, known, {**central, **nothing, name: 1.0})
            continue
        once, twice = (factors({name: central[name] + size * error}) - start for size in (1.0, 2.0))
        if np.max(np.abs(twice - 2.0 * once)) > 1e-10 * np.max(np.abs(start)):
            raise InputError(f"nuisances: form factors are not linear in flavio's {name}, which these need")
        series[i] = np.polynomial.chebyshev.chebfit(x, once.T / error, _DEGREE).T
    return {
        "names": np.array(names),
        "central": np.array([central[name] for name in names]),
        "series": np.where(np.max(np.abs(series), axis=(1, 2), keepdims=True) > 1e-12, series, 0.0),
        "span": span,
        "subleading": subleading,
    }
