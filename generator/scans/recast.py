r"""A published likelihood with the joint density of generated and reconstructed variables, times our rates.

Belle II's layout (arXiv:2507.12393; method: arXiv:2402.08417): a pyhf workspace in which the published signal is
B+ → K+ νν̄ of the Standard Model, and for each channel with signal a table of expected signal events, a row a
reconstructed bin, a column a bin of true q². In true bin j another rate is w_j times the Standard Model's, so

.. math:: r_i = \sum_j n_{ij} w_j / \sum_j n_{ij}

is the added signal of reconstructed bin i in units of the published one. Within a bin of true q² events are taken to be
spread as the Standard Model's are, see `bin_bias`.

The scan of masses takes the likelihood in its simplified form, exact in value, slope and curvature at the Standard
Model (``spectrum.Spectrum``); what it finds best is profiled in full. Regions are those of highest posterior density
with flat priors, as in arXiv:2602.09666, with the profile for the marginal likelihood.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, RegularGridInterpolator
from scipy.stats import norm

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from ...kinematics.base.results import Rows
from ...physics.angular import angular_coefficients, decay_rate, quadrature
from ...physics.channels import Channel, get_channel
from ...physics.dineutrinos import OPERATORS, operator_rates
from ...physics.experiment.spectrum import Spectrum
from ...physics.models import Model, ModelLike, as_model
from ...physics.rates import branching_ratio
from ...physics.theory import TheoryLike
from ..run.generate import generate
from ..statistics.histfactory import Published, read_workspace

Array = NDArray[np.float64]
Q2_MAX = 22.885
"""End (GeV²) of the bins of true q² in Belle II's tables."""
STANDARD_ERROR = 0.05
"""Error of the Standard Model's rate, form factors apart, as in arXiv:2602.09666."""
RECONSTRUCTED = (-1.0, 4.0, 8.0, 25.0)
"""Edges (GeV²) of Belle II's bins of reconstructed q²."""
MASSES = tuple(np.round(np.arange(0.4, 4.45, 0.05), 10).tolist())
LARGEST = 24e-6
"""Largest branching fraction of B+ → K+ V of the flat prior, as there."""
LARGEST_COEFFICIENTS = (20.0, 20.0, 16.0)
"""Largest |C_VL + C_VR|, |C_SL + C_SR|, |C_TL| of flat priors."""
_PROBE = 1e-8
_LEVELS = (0.6827, 0.95)


@dataclass(frozen=True)
class MassPoint:
    """V at one mass.

    Attributes:
        mass: GeV.
        branching: B(B+ → K+ χχ) that fits best, 0 or more.
        low, high: where -2 ln L is one above its minimum at this mass; low may be 0.
        gain: -2 ln L of the Standard Model less that of the best.
        upper: limit on the branching fraction, CLs at 95 %.
        expected: median of the same without V.
    """

    mass: float
    branching: float
    low: float
    high: float
    gain: float
    upper: float
    expected: float


@dataclass(frozen=True)
class Region:
    """A parameter: its best value with all free, and where 68 % and 95 % of its posterior are densest."""

    name: str
    best: float
    low_68: float
    high_68: float
    low_95: float
    high_95: float


@dataclass(frozen=True, eq=False)
class Recast(Rows[MassPoint]):
    """What a published likelihood says about other signals: rows are masses of V.

    Attributes:
        source: folder of the likelihood.
        model: whose V it is, with another mass and coupling in each row.
        strength, strength_error: published signal that fits best, in units of the Standard Model's.
        above_none, above_standard: standard deviations of that.
        local: standard deviations of the best V, by the simplified and the full likelihood.
        overall: one-sided, for a gain that two parameters, mass and size, have found.
        regions: of mass (GeV) and branching fraction.
        coefficients: regions of |C_VL + C_VR|, |C_SL + C_SR|, |C_TL|, if asked for.
    """

    source: str
    model: str
    strength: float
    strength_error: float
    above_none: float
    above_standard: float
    local: tuple[float, float]
    overall: float
    regions: tuple[Region, ...]
    coefficients: tuple[Region, ...] = ()


def read_published(folder: str | os.PathLike[str], q2_max: float = Q2_MAX) -> tuple[Published, Spectrum, Array]:
    """The full likelihood in a folder, its simplified form, and the positions of its bins in the full one.

    The folder has one workspace (``*.json``) and a table (``*.csv``) for each channel with signal, which is found by
    its sums; the first column of a table is of negative q².

    Raises:
        InputError: no such files, or a table that is of no channel.
    """
    path = Path(folder)
    spaces = sorted(path.glob("*.json"))
    if len(spaces) != 1:
        raise InputError(f"folder = {str(folder)!r}: {len(spaces)} workspaces (*.json) are in it; one is needed")
    full, tables = read_workspace(spaces[0]), {}
    signal = full.parts(full.start)[1]
    for file in sorted(path.glob("*.csv")):
        try:
            table = np.loadtxt(file, delimiter=",", ndmin=2)
        except ValueError as error:
            raise InputError(f"table = {str(file)!r}: not all of it are numbers ({error})") from None
        sums = table.sum(axis=1)
        fits = [name for name, bins in full.channels.items() if signal[bins].shape == sums.shape]
        fits = [name for name in fits if np.allclose(signal[full.channels[name]], sums, rtol=1e-3)]
        if len(fits) != 1:
            raise InputError(f"table = {str(file)!r}: its {len(sums)} sums are those of {len(fits)} channels, not one")
        tables[fits[0]] = table
    if not tables:
        raise InputError(f"folder = {str(folder)!r}: no table of signal by true q² (*.csv) is in it")
    bins = np.concatenate([np.arange(full.channels[name].start, full.channels[name].stop) for name in tables])
    mean, covariance = full.simplified(bins, STANDARD_ERROR)
    parts = [_of_bins(table) for table in tables.values()]
    response = np.concatenate([part / part.sum(axis=1, keepdims=True) for part in parts])
    return full, Spectrum(full.observed[bins], mean, covariance, response, q2_max), bins


def _of_bins(table: Array) -> Array:
    """A table without its column of negative q², whose events are counted in the first bin."""
    found = table[:, 1:].copy()
    found[:, 0] += table[:, 0]
    return found


def recast(
    folder: str | os.PathLike[str],
    model: ModelLike = "belle2-2.1gev",
    *,
    masses: Sequence[float] = MASSES,
    coefficients: bool = False,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
    q2_max: float = Q2_MAX,
) -> Recast:
    """Recast a published likelihood of B+ → K+ νν̄ for V, and for all Wilson coefficients of νν̄.

    Args:
        folder: of the likelihood, see `read_published`.
        model: has the V whose mass is scanned, at its own width; couplings to χ and leptons as they are there.
        masses: GeV.
        coefficients: fit those of νν̄ too, without V.
        set: changes of the model.
        theory: what the Standard Model is taken to be.
        q2_max: end of the bins of true q² (GeV²).

    Raises:
        InputError: no such likelihood, a model without one light vector, or masses out of reach.

    Example:
        >>> try:
        ...     recast("nowhere")
        ... except InputError as error:
        ...     print(error)
        folder = 'nowhere': 0 workspaces (*.json) are in it; one is needed
    """
    base = as_model(model, set, theory)
    if len(base.light_vectors) != 1:
        raise InputError(f"model = {base.name!r}: it has {len(base.light_vectors)} light vectors; one is scanned")
    if len(masses) < 4 or list(masses) != sorted(dict.fromkeys(masses)) or not 0.0 < masses[0] <= masses[-1] < 1e3:
        raise InputError("masses: four or more are needed, in GeV and rising")
    full, spectrum, bins = read_published(folder, q2_max)
    shapes = [_shape(spectrum, base, mass) for mass in masses]
    grid = np.linspace(0.0, LARGEST, 97)
    curves = np.array([_curve(spectrum, shape, grid) for shape in shapes])
    rows = tuple(_row(spectrum, *each, grid) for each in zip(masses, shapes, curves, strict=True))
    place = int(np.argmin(curves.min(axis=1)))
    gain = curves[place, 0] - curves.min()
    added = np.zeros(len(full.observed))
    added[bins] = rows[place].branching * shapes[place]
    null, best = (full.fit(extra, 1.0, STANDARD_ERROR) for extra in (0.0, added))
    free = full.fit()
    fixed = [np.sqrt(max(full.fit(strength=mu).value - free.value, 0.0)) for mu in (0.0, 1.0)]
    error = np.sqrt(np.diag(np.linalg.inv(free.curvature))[free.free == full.poi][0])
    return Recast(
        rows,
        str(folder),
        base.name,
        float(free.parameters[full.poi]),
        float(error),
        float(fixed[0]),
        float(fixed[1]),
        (float(np.sqrt(gain)), float(np.sqrt(max(null.value - best.value, 0.0)))),
        float(norm.isf(np.exp(-gain / 2))),
        _regions(curves, ("mass", "branching fraction"), (np.array(masses), grid)),
        _coefficients(spectrum, base) if coefficients else (),
    )


def _shape(spectrum: Spectrum, base: Model, mass: float) -> Array:
    """Added signal of V with a branching fraction of one."""
    vector = base.light_vectors[0].model_copy(update={"mass": mass, "g_bs": _PROBE, "g_bs_right": 0j})
    model = base.model_copy(update={"light_vectors": (vector,)})
    rate = branching_ratio(get_channel("B+->K+chichi"), model)
    if not rate > 0.0:
        raise InputError(f"masses = {mass:g} GeV: B+ -> K+ chi chi is closed or not known there; leave it out")
    return np.asarray(spectrum.strengths(model, neutrinos=False) / rate)


def _curve(spectrum: Spectrum, shape: Array, grid: Array) -> Array:
    """-2 ln L on a grid of branching fractions, through fewer points of it."""
    few = grid[-1] * np.linspace(0.0, 1.0, 17) ** 1.5
    return np.asarray(CubicSpline(few, [spectrum.minus_two_log(x * shape) for x in few])(grid))


def _row(spectrum: Spectrum, mass: float, shape: Array, curve: Array, grid: Array) -> MassPoint:
    spline = CubicSpline(grid, curve)
    fine = np.linspace(grid[0], grid[-1], 20 * len(grid))
    values = spline(fine)
    best, inside = int(values.argmin()), np.flatnonzero(values < values.min() + 1.0)
    limits = spectrum.upper_limit(shape), spectrum.expected_limit(shape)
    gain = float(values[0] - values.min())
    return MassPoint(float(mass), float(fine[best]), float(fine[inside[0]]), float(fine[inside[-1]]), gain, *limits)


def _regions(curves: Array, names: Sequence[str], axes: Sequence[Array]) -> tuple[Region, ...]:
    """Regions of each axis of a grid of -2 ln L with flat priors."""
    density, found = np.exp(-0.5 * (curves - curves.min())), []
    best = np.unravel_index(int(curves.argmin()), curves.shape)
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        others = tuple(k for k in range(curves.ndim) if k != i)
        p = density.sum(axis=others) * np.gradient(axis)
        order = np.argsort(p / np.gradient(axis))[::-1]
        share = np.cumsum(p[order]) / p.sum()
        ends: list[float] = []
        for level in _LEVELS:
            chosen = order[: int(np.searchsorted(share, level)) + 1]
            ends += [float(axis[chosen].min()), float(axis[chosen].max())]
        found.append(Region(name, float(axis[best[i]]), *ends))
    return tuple(found)


def operator_strengths(spectrum: Spectrum, model: Model) -> Array:
    """Signal of coefficients of one of the three operators, (3, n_bins), in units of the Standard Model's."""
    channel, edges = get_channel("B+->K+nunu"), np.linspace(0.0, spectrum.q2_max, spectrum.response.shape[1] + 1)
    q2, weights = quadrature(edges, 0.0, float(edges[-1]))
    place = np.clip(np.searchsorted(edges, q2) - 1, 0, len(edges) - 2)
    rates = [np.bincount(place, rate * weights) for rate in operator_rates(channel, model, q2)]
    return np.array([spectrum.response @ (rate / rates[0]) for rate in rates]) / model.parameters["CL_sm"] ** 2


def _coefficients(spectrum: Spectrum, model: Model) -> tuple[Region, ...]:
    rows = operator_strengths(spectrum, model)
    few = [np.linspace(0.0, top, 15) for top in LARGEST_COEFFICIENTS]
    fine = [np.linspace(0.0, top, 81) for top in LARGEST_COEFFICIENTS]
    values = np.empty([len(axis) for axis in few])
    for place in np.ndindex(*values.shape):
        sizes = np.array([axis[k] ** 2 for axis, k in zip(few, place, strict=True)])
        values[place] = spectrum.minus_two_log(sizes @ rows - 1.0)
    smooth = RegularGridInterpolator(few, values, method="cubic")
    points = np.stack(np.meshgrid(*fine, indexing="ij"), axis=-1)
    names = [f"{name} |C|" for name in OPERATORS]
    return _regions(smooth(points.reshape(-1, 3)).reshape(points.shape[:-1]), names, fine)


def redist_modifier(table: Array, model: Model, q2_max: float = Q2_MAX) -> Any:
    """The same as a ``redist.modifier.Modifier`` of redistpy, for a pyhf model of one's own.

    Its parameter ``V`` multiplies what the model adds to the Standard Model.

    Args:
        table: of a channel: signal by reconstructed and true bin, the first column of negative q².
        model: with light vectors.
        q2_max: end of the bins of true q² (GeV²).

    Raises:
        InputError: redistpy is not installed.
    """
    redist = optional("redist.modifier", "a modifier of pyhf")
    nunu, chichi = get_channel("B+->K+nunu"), get_channel("B+->K+chichi")

    def rate(channel: Channel, of: Model, q2: Any) -> Any:
        s = np.asarray(q2, dtype=float)
        return decay_rate(angular_coefficients(channel, of, s.ravel())).reshape(s.shape)

    def standard(q2: Any) -> Any:
        return rate(nunu, model.standard, q2)

    def other(q2: Any, size: Any) -> Any:
        return standard(q2) + size * rate(chichi, model, q2)

    edges = np.linspace(0.0, q2_max, table.shape[1])
    new = {"V": {"inits": (0.0,), "bounds": ((0.0, 1e3),), "paramset_type": "unconstrained"}}
    return redist.Modifier(new, other, standard, _of_bins(table), [edges], name="V")


@dataclass(frozen=True)
class BinBias:
    """A reconstructed bin of q²: what bins of true q² make of V's events, and what V's own events do.

    Attributes:
        low, high: of the bin (GeV²).
        folded: fraction of V's events that the Standard Model's response puts there.
        direct: fraction of generated events of V that are there.
        error: statistical error of the difference.
    """

    low: float
    high: float
    folded: float
    direct: float
    error: float


def bin_bias(counts: Mapping[str, Array], reconstructed: Array, true: Array) -> tuple[BinBias, ...]:
    """How far bins of true q² are wrong for a signal that is not spread as the Standard Model's within them.

    Args:
        counts: ``standard_q2``, ``standard_reco``, ``signal_q2``, ``signal_reco``: true and reconstructed q² (GeV²) of
            generated events of the Standard Model and of the signal behind the same detector.
        reconstructed: edges of the reconstructed bins.
        true: edges of the true bins.

    Example:
        >>> x = np.linspace(0.01, 3.99, 400)
        >>> same = {"standard_q2": x, "standard_reco": x, "signal_q2": x, "signal_reco": x}
        >>> [round(one.folded - one.direct, 12) for one in bin_bias(same, np.array([0.0, 2.0, 4.0]), np.arange(5.0))]
        [0.0, 0.0]
    """
    table, _, _ = np.histogram2d(counts["standard_q2"], counts["standard_reco"], [true, reconstructed])
    made = np.histogram(counts["standard_q2"], true)[0]
    share = np.divide(table, made[:, None], out=np.zeros_like(table), where=made[:, None] > 0)
    signal, n = np.histogram(counts["signal_q2"], true)[0], len(counts["signal_q2"])
    direct = np.histogram(counts["signal_reco"], reconstructed)[0]
    folded = signal @ share / n
    noise = (signal[:, None] / n) ** 2 * share * (1 - share) / np.maximum(made, 1)[:, None]
    error = np.sqrt(noise.sum(axis=0) + direct * (1 - direct / n) / n**2)
    rows = zip(reconstructed[:-1], reconstructed[1:], folded, direct / n, error, strict=True)
    return tuple(BinBias(*map(float, row)) for row in rows)


def measured_bias(
    model: ModelLike,
    mass: float,
    events: int,
    *,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
    seed: int = 2507,
    q2_max: float = Q2_MAX,
) -> tuple[BinBias, ...]:
    """`bin_bias` of V at a mass behind Belle II's resolution, in its three bins of reconstructed q².

    As many events of V are generated, and ten times as many of the Standard Model.
    """
    base = as_model(model, set, theory)
    vector = base.light_vectors[0].model_copy(update={"mass": mass, "g_bs": _PROBE, "g_bs_right": 0j})
    one = base.model_copy(update={"light_vectors": (vector,)})
    counts: dict[str, Array] = {}
    for word, channel, size, of in (("standard", "B+->K+nunu", 10, base.standard), ("signal", "B+->K+chichi", 1, one)):
        sample = generate(channel, of, size * events, seed=seed + size, beam="belle2", resolution="belle2")
        counts |= {f"{word}_q2": sample["q2"], f"{word}_reco": sample["q2_reco"]}
    return bin_bias(counts, np.array(RECONSTRUCTED), np.linspace(0.0, q2_max, 101))
