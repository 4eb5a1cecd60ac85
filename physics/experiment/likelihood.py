"""Chi squared of predictions against the measurements, group by group, and pulls.

A group is what the paper draws one region for: R_K, R_K*, or P5'. Everything here is linear algebra on
arrays whose last axis is the observable; where predictions come from is not its business (see
`darkpenguin.physics.bins`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ..bins import namespace, predictable
from ..channels import CHANNELS, get_channel, lepton_pairs
from ..models import Model
from ..observables import OBSERVABLES, BinnedObservable
from ..uncertainties import charm_covariance, theory_covariance
from .datasets import Data, Theory, load_data
from .measurements import Measurement

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """A set of measurements that is fitted together.

    ``analyses`` is a pattern for the names of the measurements, ``observables`` what is used of them, of the
    ``hadrons`` (all without), and bins must lie within one of the ``windows`` of q2 (GeV²). ``label`` is LaTeX. Groups
    of the same ``family`` contain the same data in other words and cannot be combined.
    """

    name: str
    label: str
    observables: tuple[str, ...]
    analyses: str
    windows: tuple[tuple[float, float], ...]
    family: str
    hadrons: str | None = None

    def accepts(self, observable: BinnedObservable) -> bool:
        """Whether the observable is one of this group's, in its range of q2."""
        if observable.name not in self.observables or observable.channel is None or observable.q2_max is None:
            return False
        hadrons = get_channel(observable.channel).transition.family
        inside = (low <= (observable.q2_min or 0.0) and observable.q2_max <= high for low, high in self.windows)
        return self.hadrons in (None, hadrons) and any(inside)


_S = ("FL", "AFB", "S3", "S4", "S5", "S7", "S8", "S9")
_P = ("FL", "P1", "P2", "P3", "P4p", "P5p", "P6p", "P8p")
_LOW, _HIGH = (0.0, 8.7), (14.0, 23.0)  # below the J/psi, and above the psi(2S)
_OPTIMISED = r"(?!.* S ).*"  # an analysis that has S_i too repeats F_L there


def _rates() -> Iterator[Group]:
    """Groups of the ratios of lepton flavours and of the rates of muons, isospin partners together."""
    families: dict[str, list[str]] = {}
    for muons, _ in lepton_pairs(CHANNELS):
        families.setdefault(muons.transition.family, []).append(muons.ratio)
    for family, names in families.items():
        for word, window, note in (("", _LOW, ""), ("_high", _HIGH, r",\ q^2>14\ \mathrm{GeV}^2")):
            name = f"R_{family}{word}"
            yield Group(name, f"$R_{{{family}}}{note}$", tuple(names), r".*", (window,), name)
        name, label = f"dBR_{family}", rf"$d\mathcal{{B}}/dq^2\,({family}\mu\mu)$"
        yield Group(name, label, ("dBR",), r".*", ((1.0, _LOW[1]), _HIGH), name, family)


K_INV = "K_inv"
"""The group of B+ → K+ + invisible: a spectrum, whose likelihood is in ``spectrum.py``, and no measurements."""
_TABLE = (
    *_rates(),
    Group(K_INV, r"$B^+\to K^+$ inv.", (), r".*", (), "invisible"),
    Group("P5p", "$P_5'$", ("P5p",), r".*", ((1.0, 6.0),), "angular"),
    Group("P", r"$F_L,\,P_i$", _P, _OPTIMISED, ((1.0, 6.0),), "angular"),
    Group("S", r"$F_L,\,S_i$", _S, r".* S .*", ((1.0, 6.0),), "angular"),
)
GROUPS: Mapping[str, Group] = MappingProxyType({group.name: group for group in _TABLE})
"""All groups by name.

R and dBR are of isospin partners together. R is below the J/psi, R_..._high above the psi(2S); dBR, the rates of muons,
has both, from 1 GeV² on.
P5p is the paper's choice (its footnote 4): P5' alone, in the bins between 1 and 6 GeV², of ATLAS, CMS and
LHCb. P adds the other optimised observables of LHCb, and of CMS in 2024, with all correlations, S is LHCb's S_i
with theirs.
"""
PAPER_GROUPS = ("R_K", "R_K*", "P5p")
"""The three groups of the paper's Fig. 2."""


def get_group(name: str) -> Group:
    """Group by name; any observable of rates and S_i is one by itself, below the charmonia.

    >>> get_group("P4p").observables, get_group("P4p").family
    (('P4p',), 'angular')
    """
    if name in GROUPS:
        return GROUPS[name]
    row = OBSERVABLES.get(name)
    if row is None or not predictable(row) or name == "dBR":
        raise InputError(f"groups = {name!r}: no such group; choose from {', '.join(GROUPS)}, or an observable")
    family = next((group.family for group in _TABLE if name in group.observables), "angular")
    return Group(name, f"${row.latex}$", (name,), _OPTIMISED if name in _P else r".*", (_LOW,), family)


def check_groups(names: Iterable[str]) -> tuple[Group, ...]:
    """Groups by name; InputError for an unknown one and for two that contain the same data.

    >>> [group.family for group in check_groups(["R_K", "P5p"])]
    ['R_K', 'angular']
    """
    chosen: dict[str, Group] = {}
    for name in names:
        group = get_group(name)
        if group.family in chosen:
            raise InputError(f"groups: {chosen[group.family].name} and {name} contain the same data; keep one of them")
        chosen[group.family] = group
    if not chosen:
        raise InputError(f"groups: none given; choose from {', '.join(GROUPS)}")
    return tuple(chosen.values())


@dataclass(frozen=True, eq=False)
class GroupLikelihood:
    r"""Gaussian likelihood of one group, with errors that may differ on the two sides.

    .. math:: \chi^2 = (x-\mu)^T\,[\,s_i\,\rho_{ij}\,s_j + C^{\rm th}_{ij}\,]^{-1}(x-\mu)

    x are the measured values, μ the predictions, s_i the error on the side of x_i on which μ_i lies, ρ the
    experimental correlations (block by block, none between analyses) and C^th the theory covariance. Where an
    experiment published its likelihood L(μ_i), x_i-μ_i is replaced by ±s_i sqrt(-2 ln L/L_max), so that
    without theory errors χ² is -2 ln L/L_max itself.
    """

    group: Group
    measurements: tuple[Measurement, ...]
    theory: FloatArray

    @property
    def observables(self) -> tuple[BinnedObservable, ...]:
        """Observables in the order of every array's last axis."""
        return tuple(o for measurement in self.measurements for o in measurement.observables)

    @property
    def central(self) -> FloatArray:
        """Measured values."""
        return np.concatenate([measurement.central for measurement in self.measurements])

    @property
    def correlation(self) -> FloatArray:
        """Experimental correlations of the whole group."""
        size = len(self.observables)
        matrix = np.zeros((size, size))
        start = 0
        for measurement in self.measurements:
            block = slice(start, start + len(measurement))
            matrix[block, block] = measurement.correlation
            start = block.stop
        return matrix

    @property
    def sides(self) -> tuple[FloatArray, FloatArray]:
        """Experimental errors upwards and downwards."""
        up = np.concatenate([measurement.error_up for measurement in self.measurements])
        return up, np.concatenate([measurement.error_down for measurement in self.measurements])

    def residuals(self, predictions: Any) -> Any:
        """x - μ of predictions (n_points, n_observables), or what stands for it with a published likelihood."""
        xp = namespace(predictions)
        up, down = self.sides
        residual = xp.asarray(self.central) - predictions
        tables = [table for measurement in self.measurements for table in measurement.likelihood]
        for i, table in enumerate(tables):
            if table is not None:
                grid, root = table
                scaled = xp.asarray(np.where(root < 0.0, up[i], down[i]) * root)
                residual[:, i] = xp.interp(predictions[:, i], xp.asarray(grid), scaled)
        return residual

    def errors(self, predictions: Any) -> Any:
        """Experimental error on the side of each measured value on which the prediction lies."""
        up, down = self.sides
        return np.where(self.residuals(np.atleast_2d(predictions)) < 0.0, up, down).reshape(predictions.shape)

    def chi2(self, predictions: Any) -> Any:
        """Chi squared of predictions of shape (..., n_observables); the result has the leading shape.

        Runs on the library that the predictions come from, NumPy or CuPy.
        """
        xp = namespace(predictions)
        shape = predictions.shape[:-1]
        flat = predictions.reshape(-1, predictions.shape[-1])
        up, down = self.sides
        residual = self.residuals(flat)
        # one inverse for each pattern of sides: a handful, whatever the number of points
        sides = residual < 0.0
        two_sided = up != down
        powers = xp.asarray(np.where(two_sided, 2.0 ** np.cumsum(two_sided), 0.0))
        code = sides.astype(float) @ powers
        chi2 = xp.empty(len(flat))
        for pattern in xp.unique(code):
            here = code == pattern
            below = sides[int(xp.argmax(here))]
            error = np.where(below if xp is np else below.get(), up, down)
            covariance = np.outer(error, error) * self.correlation + self.theory
            whitener = xp.asarray(np.linalg.inv(np.linalg.cholesky(covariance)))
            chi2[here] = ((residual[here] @ whitener.T) ** 2).sum(axis=-1)
        return chi2.reshape(shape)

    def pulls(self, predictions: FloatArray) -> FloatArray:
        """(measured - predicted) / error for every observable, theory error included, correlations not."""
        return np.asarray(self.residuals(predictions[None])[0] / self.total_errors(predictions))

    def total_errors(self, predictions: FloatArray) -> FloatArray:
        """Experimental and theory error in quadrature, on the side on which the prediction lies."""
        return np.asarray(np.sqrt(self.errors(predictions) ** 2 + np.diag(self.theory)))


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Groups of measurements of one data set: chi squared for each, their sum, and pulls.

    Theory errors are correlated within a group and not between groups: in the ratios R they cancel, and the
    angular groups are alternatives.

    >>> likelihood = build_likelihood("2017", ["R_K"])
    >>> likelihood.chi2({"R_K": np.array([[1.0], [0.745]])})["R_K"].round(2)
    array([6.92, 0.  ])
    """

    data: str
    groups: tuple[GroupLikelihood, ...]

    def __getitem__(self, name: str) -> GroupLikelihood:
        for group in self.groups:
            if group.group.name == name:
                return group
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups."""
        return tuple(group.group.name for group in self.groups)

    @property
    def observables(self) -> tuple[BinnedObservable, ...]:
        """Every observable that a prediction is needed for, once."""
        return tuple(dict.fromkeys(o for group in self.groups for o in group.observables))

    def chi2(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        """Chi squared of each group, from predictions by group, shape (..., n_observables of the group)."""
        return {group.group.name: group.chi2(predictions[group.group.name]) for group in self.groups}


def select_measurements(data: Data, group: Group) -> tuple[Measurement, ...]:
    """The group's measurements in a data set, cut down to the group's observables.

    >>> len(select_measurements("2017", GROUPS["P5p"]))
    5
    """
    chosen = [
        measurement.select(group.accepts)
        for measurement in load_data(data).measurements
        if re.fullmatch(group.analyses, measurement.name)
    ]
    return tuple(measurement for measurement in chosen if measurement is not None)


def theory_likelihood(data: Data, groups: Sequence[str], theory: Theory, standard: Model | None = None) -> Likelihood:
    """Likelihood of a data set with theory errors of the Standard Model: correlated, bin by bin, or none.

    ``standard`` is the Standard Model of another theory than flavio's.

    Rates have the charm error of `uncertainties.charm_covariance` on top of that of flavio's parameters.
    """
    known = load_data(data)
    plain = build_likelihood(known, groups)
    if theory == "none":
        return plain
    covariance = {}
    for part in plain.groups:
        matrix = theory_covariance(part.observables, standard)
        if theory == "uncorrelated":
            # two experiments with the same bin have the same prediction, hence the same error of it
            same = np.array([[a == b for b in part.observables] for a in part.observables])
            matrix = np.where(same, matrix, 0.0)
        covariance[part.group.name] = matrix + charm_covariance(part.observables, standard)
    return build_likelihood(known, groups, covariance)


def build_likelihood(
    data: Data,
    groups: Sequence[str] = PAPER_GROUPS,
    theory: Mapping[str, FloatArray] | None = None,
) -> Likelihood:
    """Likelihood of a data set and some groups.

    ``theory`` has the theory covariance of a group's observables by the group's name; what is missing is
    zero. The spectrum ``K_inv`` is left out. Raises InputError for unknown or overlapping groups and data sets.
    """
    parts, known = [], load_data(data)
    for group in check_groups(groups):
        if group.name == K_INV:
            continue
        measurements = select_measurements(known, group)
        if not measurements:
            raise InputError(f"groups = {group.name!r}: the data set {known.name!r} has none of it; leave it out")
        size = sum(len(measurement) for measurement in measurements)
        covariance = (theory or {}).get(group.name, np.zeros((size, size)))
        parts.append(GroupLikelihood(group, measurements, covariance))
    return Likelihood(known.name, tuple(parts))
