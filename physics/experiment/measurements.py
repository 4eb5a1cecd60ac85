"""A measurement: values, errors and correlations of one analysis, from an entry of a data set.

Entries are in the format of flavio's ``measurements.yml``. Those that flavio's database has are committed as a
copy, and a test compares each with flavio: reading them through flavio would cost its import of 5 s on every
``darkpenguin scan``, would tie a published analysis to the installed version of flavio, and would still leave
out the two measurements that the paper rests on, which flavio no longer ships.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ..channels import CHANNELS, Channel, get_channel
from ..observables import OBSERVABLES, BinnedObservable

FloatArray = npt.NDArray[np.float64]


class Value(BaseModel):
    """One measured value, such as ``0.66 +0.11 -0.07 ± 0.03``, in a bin of q2 (GeV²) or without one.

    ``name`` is flavio's, ``<P5p>(B0->K*mumu)``, or ours, ``P5p``, with the ``channel`` (default: the observable's
    own).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    name: str
    value: str
    q2min: Annotated[float, Field(ge=0)] | None = None
    q2max: float | None = None
    channel: str | None = None

    @model_validator(mode="after")
    def _bin(self) -> Value:
        if (self.q2min is None) != (self.q2max is None):
            raise ValueError(f"{self.name}: give q2min and q2max, or neither")
        if self.q2min is not None and self.q2max is not None and not self.q2min < self.q2max:
            raise ValueError(f"q2min = {self.q2min:g} must be below q2max = {self.q2max:g} GeV^2")
        return self

    def observable(self) -> BinnedObservable:
        """The observable; InputError for one that does not exist."""
        match = _OBSERVABLE.fullmatch(self.name)
        if match is not None and self.channel is None:
            return BinnedObservable(*_from_flavio(match), self.q2min, self.q2max)
        if self.q2min is None and self.channel is None and self.name in _SINGLE:
            return BinnedObservable(self.name)
        if self.name not in OBSERVABLES:
            raise InputError(f"{self.name}: no such observable; {nearest(self.name, OBSERVABLES)}")
        if self.q2min is None:
            raise InputError(f"{self.name}: needs a bin, q2min and q2max (GeV^2)")
        channel = get_channel(self.channel or OBSERVABLES[self.name].channel).name
        return BinnedObservable(self.name, channel, self.q2min, self.q2max)


def _listed(values: Any) -> Any:
    """A table of names and values is a list of values without bins."""
    return [{"name": k, "value": v} for k, v in values.items()] if isinstance(values, Mapping) else values


class Grid(BaseModel):
    """A published likelihood: values of the observable and L there, up to a factor."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    x: tuple[float, ...] = Field(min_length=3)
    y: tuple[float, ...] = Field(min_length=3)


class Entry(BaseModel):
    """A measurement as it stands in a data set's file, in flavio's format.

    Attributes:
        experiment: whose it is.
        inspire: key of the publication at inspirehep.net.
        arxiv: number of the publication, or of the experiment's note.
        database: where the entry was taken from.
        read: date on which it was read there.
        values: measured values in bins, or, for what has no bin, a table of names and values.
        correlation: rows of the upper triangle, each from the diagonal on; the identity without.
        common: ``last`` if the last error of each value is common to all of them, a normalisation; in place of
            ``correlation``.
        likelihood: the published likelihood of each value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: str
    inspire: str = ""
    arxiv: str = ""
    database: str = ""
    read: Annotated[str, BeforeValidator(str)] = ""
    values: Annotated[tuple[Value, ...], Field(min_length=1), BeforeValidator(_listed)]
    correlation: tuple[tuple[float, ...], ...] | None = None
    common: Literal["last"] | None = None
    likelihood: tuple[Grid, ...] | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measured values of one analysis, with their errors and correlations.

    ``central``, ``error_up`` and ``error_down`` have one entry an observable; the errors are the total ones,
    every source added in quadrature, each side for itself. ``correlation`` is the identity where none was
    published.

    Asymmetric errors are treated as flavio treats them. In an analysis with published correlations the
    errors are made symmetric, sqrt(up * down) source by source, because a correlation matrix has no sides;
    both sides are then equal. Elsewhere the side on which the prediction lies counts (a two-piece normal).
    flavio convolves such an error numerically with the symmetric ones; adding in quadrature on each side
    differs from that by less than 1.5 % of the error for everything in the file.

    ``likelihood`` has, for each observable whose likelihood was published, grids of the observable and of
    sign(x̂ - x) sqrt(-2 ln L/L_max), the pull at x; None for the others. It goes on linearly beyond its ends.
    """

    name: str
    experiment: str
    inspire: str
    arxiv: str
    database: str
    observables: tuple[BinnedObservable, ...]
    central: FloatArray
    error_up: FloatArray
    error_down: FloatArray
    correlation: FloatArray
    likelihood: tuple[tuple[FloatArray, FloatArray] | None, ...]

    def __len__(self) -> int:
        return len(self.observables)

    @property
    def covariance(self) -> FloatArray:
        """Covariance with each error made symmetric as sqrt(up * down), the shape is (n, n)."""
        error = np.sqrt(self.error_up * self.error_down)
        return np.outer(error, error) * self.correlation

    def select(self, wanted: Callable[[BinnedObservable], bool]) -> Measurement | None:
        """The marginal of the observables for which ``wanted`` is true, None if there are none.

        >>> from darkpenguin.physics.experiment.datasets import load_data
        >>> lhcb = {m.name: m for m in load_data("2017").measurements}["LHCb B->K*mumu 2015 P 4-6"]
        >>> p5 = lhcb.select(lambda observable: observable.name == "P5p")
        >>> float(p5.central[0]), p5.correlation.shape
        (-0.3, (1, 1))
        """
        keep = [i for i, observable in enumerate(self.observables) if wanted(observable)]
        if not keep:
            return None
        return replace(
            self,
            observables=tuple(self.observables[i] for i in keep),
            central=self.central[keep],
            error_up=self.error_up[keep],
            error_down=self.error_down[keep],
            correlation=self.correlation[np.ix_(keep, keep)],
            likelihood=tuple(self.likelihood[i] for i in keep),
        )


#    flavio's (parent, hadron, leptons) -> our channel; a ratio carries the muonic mode
_CHANNELS: Mapping[tuple[str, str, str], Channel] = {
    (channel.parent, channel.transition.family, leptons): channel
    for channel in CHANNELS.values()
    for leptons in (channel.pair.name, *(("ll",) if channel.lepton == "mu" else ()))
}
_PARENTS, _FAMILIES = ("|".join(sorted(map(re.escape, {key[i] for key in _CHANNELS}), reverse=True)) for i in (0, 1))
_OBSERVABLE = re.compile(rf"<?(?P<name>[\w/]+)>?\((?P<parent>{_PARENTS})->(?P<hadron>{_FAMILIES})(?P<leptons>\w+)\)")
_NAMES: Mapping[str, str] = MappingProxyType({"dBR/dq2": "dBR"})  # flavio's names of observables that are not ours
_SINGLE = ("BR", "a_mu")  # what is measured outside the tables of observables


def _from_flavio(match: re.Match[str]) -> tuple[str, str]:
    """Our name and channel of flavio's observable, "<P5p>(B0->K*mumu)" for instance."""
    key = match["parent"], match["hadron"], match["leptons"]
    if key not in _CHANNELS:
        known = (f"{parent}->{hadron}{leptons}" for parent, hadron, leptons in _CHANNELS)
        raise InputError(f"{match[0]}: no such decay; {nearest(match[0].partition('(')[2].rstrip(')'), known)}")
    name = _CHANNELS[key].ratio if match["name"] == "Rmue" else _NAMES.get(match["name"], match["name"])
    if name not in (*OBSERVABLES, *_SINGLE):
        raise InputError(f"{match[0]}: no such observable; {nearest(name, OBSERVABLES)}")
    return name, _CHANNELS[key].name


_NUMBER = r"\d+\.?\d*"
_VALUE = re.compile(
    rf"\s*\(?\s*(?P<central>-?{_NUMBER})\s*(?P<errors>.*?)\s*\)?\s*(?:e(?P<power>[+-]?\d+))?\s*", re.DOTALL
)
_SYMMETRIC = re.compile(rf"±\s*({_NUMBER})")
_ASYMMETRIC = re.compile(rf"\+\s*({_NUMBER})\s*-\s*({_NUMBER})")


def parse_value(text: str) -> tuple[float, list[tuple[float, float]]]:
    """Central value and (up, down) of each source of error in flavio's notation.

    Understood are ``1.2 ± 0.1 ± 0.2``, ``0.66 +0.11 -0.07 ± 0.03``, ``(2.3 ± 0.5 +0.5 -0.4) e-5`` and
    ``1165920715(145) e-12``.

    >>> parse_value("0.66 +0.11 -0.07 ± 0.03")
    (0.66, [(0.11, 0.07), (0.03, 0.03)])
    """
    bracket = re.fullmatch(rf"\s*(-?{_NUMBER})\s*\((\d+)\)\s*(?:e([+-]?\d+))?\s*", text)
    if bracket is not None:
        scale = 10.0 ** int(bracket[3] or 0)
        decimals = len(bracket[1].partition(".")[2])
        error = float(bracket[2]) * 10.0**-decimals * scale
        return float(bracket[1]) * scale, [(error, error)]
    match = _VALUE.fullmatch(text)
    sources: list[tuple[float, float]] = []
    rest = "no value"
    if match is not None:
        sources = [(float(up), float(down)) for up, down in _ASYMMETRIC.findall(match["errors"])]
        rest = _ASYMMETRIC.sub("", match["errors"])
        sources += [(float(error), float(error)) for error in _SYMMETRIC.findall(rest)]
        rest = _SYMMETRIC.sub("", rest)
    if match is None or not sources or rest.strip():
        raise InputError(f"value = {text!r}: not a measurement; write it like '0.66 +0.11 -0.07 ± 0.03'")
    scale = 10.0 ** int(match["power"] or 0)
    return float(match["central"]) * scale, [(up * scale, down * scale) for up, down in sources]


def _correlation(given: Sequence[Sequence[float]] | None, size: int) -> FloatArray:
    """Full matrix from flavio's upper triangle: rows that start on the diagonal."""
    matrix = np.eye(size)
    if given is None:
        return matrix
    if [len(row) for row in given] != list(range(size, 0, -1)):
        raise InputError(f"correlation: needs {size} rows, the first of {size} numbers, each one shorter than the last")
    for i, row in enumerate(given):
        matrix[i, i:] = matrix[i:, i] = row
    if np.any(np.diag(matrix) != 1.0) or np.linalg.eigvalsh(matrix)[0] <= 0.0:
        raise InputError("correlation: no matrix of correlations; rows begin with 1, and all eigenvalues are positive")
    return matrix


def _common_correlation(common: Sequence[float], total: FloatArray) -> FloatArray:
    """Correlations of values that share one source of error: its parts ``common`` of the ``total`` errors.

    >>> _common_correlation([3.0, 0.6], np.array([5.0, 1.0])).round(6).tolist()
    [[1.0, 0.36], [0.36, 1.0]]
    """
    share = np.asarray(common) / total
    matrix = np.outer(share, share)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def signed_root(x: npt.ArrayLike, likelihood: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Grid of x and of sign(x̂ - x) sqrt(-2 ln L/L_max) there, with a far point on the line through each end.

    >>> x = np.linspace(-3.0, 3.0, 7)
    >>> grid, root = signed_root(x, np.exp(-0.5 * x**2))
    >>> root[[0, 1, 4, -1]].round(6).tolist()
    [1003.0, 3.0, -0.0, -1003.0]
    """
    grid, ratio = np.asarray(x, dtype=float), np.asarray(likelihood, dtype=float)
    chi2 = -2.0 * np.log(ratio / ratio.max())
    root = np.sqrt(chi2) * np.sign(grid[np.argmin(chi2)] - grid)
    far = 1000.0
    ends = (
        root[0] - far * (root[1] - root[0]) / (grid[1] - grid[0]),
        root[-1] + far * (root[-1] - root[-2]) / (grid[-1] - grid[-2]),
    )
    return np.array([grid[0] - far, *grid, grid[-1] + far]), np.array([ends[0], *root, ends[1]])


def make_measurement(name: str, entry: Entry) -> Measurement:
    """The measurement of an entry; InputError, with the entry's name, for what makes no sense in it."""
    try:
        return _measurement(name, entry)
    except InputError as error:
        raise InputError(f"measurements.{name}: {error}") from None


def _measurement(name: str, entry: Entry) -> Measurement:
    pairs = [(value.observable(), value.value) for value in entry.values]
    if entry.common and entry.correlation:
        raise InputError("common: correlations are given too; keep one of them")
    central, up, down, common = [], [], [], []
    for _, text in pairs:
        value, sources = parse_value(text)
        central.append(value)
        if entry.correlation is not None:
            sources = [(float(np.sqrt(u * d)),) * 2 for u, d in sources]
        up.append(float(np.sqrt(sum(u**2 for u, _ in sources))))
        down.append(float(np.sqrt(sum(d**2 for _, d in sources))))
        common.append(math.sqrt(math.prod(sources[-1])))
    grids = entry.likelihood
    if grids is not None and (len(grids) != len(pairs) or any(len(grid.x) != len(grid.y) for grid in grids)):
        raise InputError(f"likelihood: needs one for each of the {len(pairs)} values, with as many y as x")
    correlation = _correlation(entry.correlation, len(pairs))
    if entry.common:
        correlation = _common_correlation(common, np.sqrt(np.array(up) * np.array(down)))
    return Measurement(
        name=name,
        experiment=entry.experiment,
        inspire=entry.inspire,
        arxiv=entry.arxiv,
        database=entry.database,
        observables=tuple(observable for observable, _ in pairs),
        central=np.array(central),
        error_up=np.array(up),
        error_down=np.array(down),
        correlation=correlation,
        likelihood=(None,) * len(pairs) if grids is None else tuple(signed_root(grid.x, grid.y) for grid in grids),
    )
