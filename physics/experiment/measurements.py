"""The measurements that models are compared with: the set of 2017, which the paper had, and today's.

The numbers are in ``measurements.yml``, in flavio's own format. Entries that flavio's database has are
committed as a copy, and a test compares each with flavio: reading them through flavio would cost its import
of 5 s on every ``darkpenguin scan``, would tie a published analysis to the installed version of flavio, and
would still leave out the two measurements that the paper rests on, which flavio no longer ships.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from ...kinematics.base.errors import InputError
from ..observables import BinnedObservable

FloatArray = npt.NDArray[np.float64]
DATA_SETS = ("2017", "current")
"""Names of the data sets: what arXiv:1704.06188 had, and today's."""


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
    data: tuple[str, ...]
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

        >>> lhcb = {m.name: m for m in load_measurements("2017")}["LHCb B->K*mumu 2015 P 4-6"]
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
_CHANNELS: Mapping[tuple[str, str, str], str] = {
    ("B+", "K", "ll"): "B+->K+mumu",
    ("B0", "K", "ll"): "B0->K0mumu",
    ("B0", "K*", "ll"): "B0->K*0mumu",
    ("B+", "K*", "ll"): "B+->K*+mumu",
    ("B0", "K*", "mumu"): "B0->K*0mumu",
    ("B+", "K*", "mumu"): "B+->K*+mumu",
    ("B+", "K", "nunu"): "B+->K+nunu",
}
_OBSERVABLE = re.compile(r"<?(?P<name>\w+)>?\((?P<parent>B[+0])->(?P<hadron>K\*?)(?P<leptons>\w+)\)")


def _observable(name: str, q2_min: float | None = None, q2_max: float | None = None) -> BinnedObservable:
    """Our name and channel of flavio's observable, "<P5p>(B0->K*mumu)" for instance."""
    match = _OBSERVABLE.fullmatch(name)
    if match is None:
        return BinnedObservable(name)
    channel = _CHANNELS[match["parent"], match["hadron"], match["leptons"]]
    quantity = match["name"]
    if quantity == "Rmue":
        quantity = f"R_{match['hadron']}{match['parent'][1:]}"
    return BinnedObservable(quantity, channel, q2_min, q2_max)


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


def _correlation(given: Any, size: int) -> FloatArray:
    """Full matrix from flavio's upper triangle: rows that start on the diagonal."""
    matrix = np.eye(size)
    for i, row in enumerate(given or []):
        matrix[i, i:] = matrix[i:, i] = row[-(size - i) :]
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


def _measurement(name: str, entry: Mapping[str, Any]) -> Measurement:
    if isinstance(entry["values"], Mapping):
        pairs = [(_observable(key), value) for key, value in entry["values"].items()]
    else:
        pairs = [(_observable(v["name"], float(v["q2min"]), float(v["q2max"])), v["value"]) for v in entry["values"]]
    central, up, down = [], [], []
    for _, text in pairs:
        value, sources = parse_value(str(text))
        central.append(value)
        if "correlation" in entry:
            sources = [(float(np.sqrt(u * d)),) * 2 for u, d in sources]
        up.append(float(np.sqrt(sum(u**2 for u, _ in sources))))
        down.append(float(np.sqrt(sum(d**2 for _, d in sources))))
    return Measurement(
        name=name,
        experiment=entry["experiment"],
        inspire=entry["inspire"],
        arxiv=entry["arxiv"],
        database=entry["database"],
        data=tuple(entry["data"]),
        observables=tuple(observable for observable, _ in pairs),
        central=np.array(central),
        error_up=np.array(up),
        error_down=np.array(down),
        correlation=_correlation(entry.get("correlation"), len(pairs)),
        likelihood=(
            tuple(signed_root(table["x"], table["y"]) for table in entry["likelihood"])
            if "likelihood" in entry
            else (None,) * len(pairs)
        ),
    )


@cache
def _all_measurements() -> tuple[Measurement, ...]:
    text = files(__package__).joinpath("measurements.yml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser, ten times faster, is optional
    return tuple(_measurement(name, entry) for name, entry in yaml.load(text, Loader=loader).items())


def load_measurements(data: str = "current") -> list[Measurement]:
    """All measurements of a data set, in the order of the file.

    ``data`` is ``"2017"``, what the paper had, or ``"current"``. Raises InputError for another name.

    >>> [str(o) for o in load_measurements("2017")[0].observables]
    ['R_K+(B+->K+mumu) [1, 6]']
    """
    if data not in DATA_SETS:
        raise InputError(f"data = {data!r}: no such data set; one of {', '.join(DATA_SETS)}")
    return [measurement for measurement in _all_measurements() if data in measurement.data]
