r"""The resolution of q2 in a fit: Gaussians whose width and shift go with q2, given or measured on simulated events.

.. math:: R(q\,|\,s) = \sum_g f_g\,\frac{1}{\sqrt{2\pi}\,r_g\,\sigma(s)}
          \exp\!\Big[-\frac{(q-s-b(s))^2}{2\,r_g^2\,\sigma(s)^2}\Big]

of the reconstructed q where the true q2 is s. σ and b are splines through their values at given q2, cubic ones from
four of these on. Angles are those of the decay: their own resolution is left out, and that of q2 is the same at all
of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from scipy.interpolate import make_interp_spline
from scipy.special import ndtr, ndtri

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ..lab.settings import RESOLUTIONS, ResolutionSettings
from ..run.card import RunCard
from .amplitude import Array

REACH = 7.5
"""Standard deviations of the widest Gaussian beyond which there is none of it."""
SIMULATED = 500_000
"""Events that a detector's resolution is measured on: widths are good to a thousandth."""
_SEED, _KNOTS, _FAR, _ROUNDS = 20_260_101, 5, 5.0, 60
Range = tuple[float, float]


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_several)]


class Resolution(BaseModel):
    """Resolution of q2, fields as in a fit's card.

    >>> found = Resolution(q2=(1.0, 9.0), sigma=(0.01, 0.05))
    >>> found.width(np.array([5.0])).round(3).tolist()
    [0.03]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sigma: Numbers
    """σ (GeV²), one number or one for each of ``q2``."""

    q2: Numbers = ()
    """Rising places (GeV²), which reach over the true q2 of the events; of no use with one σ and one b."""

    bias: Numbers = (0.0,)
    """b (GeV²), in the same way."""

    fractions: Numbers = (1.0,)
    """f of the Gaussians, 1 together."""

    scales: Numbers = (1.0,)
    """r, their widths in units of σ."""

    @model_validator(mode="after")
    def _can_be(self) -> Resolution:
        for name in ("sigma", "bias"):
            values = getattr(self, name)
            if len(values) not in (1, len(self.q2)):
                raise InputError(
                    f"resolution.{name}: {len(values)} numbers for {len(self.q2)} q2; one, or one for each"
                )
        if any(b <= a for a, b in zip(self.q2, self.q2[1:], strict=False)):
            raise InputError(f"resolution.q2 = {list(self.q2)}: rising places are needed")
        if not min(self.sigma) > 0:
            raise InputError(f"resolution.sigma = {min(self.sigma):g} GeV^2: needs widths above 0")
        if len(self.fractions) != len(self.scales) or not self.scales or min(self.scales) <= 0:
            raise InputError(
                f"resolution.scales = {list(self.scales)}: one above 0 for each of the {len(self.fractions)} fractions"
            )
        if min(self.fractions) < 0 or not math.isclose(sum(self.fractions), 1.0, abs_tol=1e-6):
            raise InputError(f"resolution.fractions = {list(self.fractions)}: need 0 or more, and 1 together")
        return self

    def check(self, ranges: Sequence[Range]) -> None:
        """InputError for a resolution that is not known or no width all over the true q2 of events, or too narrow."""
        edges = np.array(ranges)
        low, high = edges.min(), edges.max()
        several = max(len(self.sigma), len(self.bias)) > 1
        if several and not self.q2[0] <= low * (1 + 1e-9) <= high <= self.q2[-1] * (1 + 1e-9):
            raise InputError(
                f"resolution.q2: {self.q2[0]:g} to {self.q2[-1]:g} GeV^2; that of the events is {low:g} to {high:g}"
            )
        at = np.linspace(low, high, 1001)
        widths = self.width(at) * min(self.scales)
        if not widths.min() > 0:
            raise InputError(
                f"resolution.sigma: the curve through it is below 0 at q2 = {at[widths.argmin()]:.3g} GeV^2"
            )
        if np.mean(1.0 / widths) * (high - low) > _MOST:
            raise InputError(
                f"resolution.sigma = {widths.min():.3g} GeV^2: so narrow that it does not matter; leave it out, or "
                f"take {(high - low) / _MOST:.2g} GeV^2 or more"
            )

    def width(self, q2: Array) -> Array:
        """σ (GeV²) at true q2."""
        return self._curve(self.sigma, q2)

    def shift(self, q2: Array) -> Array:
        """b (GeV²) at true q2."""
        return self._curve(self.bias, q2)

    def _curve(self, values: tuple[float, ...], q2: Array) -> Array:
        if len(values) == 1:
            return np.full(np.shape(q2), values[0])
        curve = make_interp_spline(self.q2, values, k=3 if len(values) > 3 else 1)
        return np.asarray(curve(np.clip(q2, self.q2[0], self.q2[-1])))

    def reach(self, q2: Array) -> Array:
        """How far (GeV²) the reconstructed q2 is from the true one at most."""
        return np.asarray(REACH * max(self.scales) * self.width(q2) + np.abs(self.shift(q2)))

    def density(self, found: Array, q2: Array) -> Array:
        """R of the reconstructed q2 at the true one (1/GeV²).

        >>> Resolution(sigma=0.1).density(np.array([2.0]), np.array([2.0])).round(4).tolist()
        [3.9894]
        """
        sigma = self.width(q2)
        z = (found - q2 - self.shift(q2)) / sigma
        shape = sum(f / r * np.exp(-0.5 * (z / r) ** 2) for f, r in zip(self.fractions, self.scales, strict=True))
        return np.asarray(shape / (math.sqrt(2.0 * math.pi) * sigma))

    def below(self, found: Array | float, q2: Array) -> Array:
        """Probability of a reconstructed q2 below a place."""
        z = (found - q2 - self.shift(q2)) / self.width(q2)
        return np.asarray(sum(f * ndtr(z / r) for f, r in zip(self.fractions, self.scales, strict=True)))

    def drawn(self, q2: Array, uniform: Array) -> Array:
        """Reconstructed q2 of its distribution, at uniform numbers between 0 and 1, (n, 2).

        >>> Resolution(sigma=0.1).drawn(np.array([2.0]), np.array([[0.3, 0.8413447]])).round(6).tolist()
        [2.1]
        """
        ends = np.cumsum(self.fractions)[:-1]
        size = self.width(q2) * np.array(self.scales)[np.searchsorted(ends, uniform[:, 0], side="right")]
        return np.asarray(q2 + self.shift(q2) + size * ndtri(uniform[:, 1]))


_BINS, _DEGREE = 48, 4  # in ln q2
_LEAST = 1e-12  # a mean square that is as good as none
_MOST = 20_000  # widths in the q2 of events: twenty megabytes a matrix of a channel


def measured(q2: Array, found: Array, ranges: Sequence[Range], threshold: float = 0.0) -> Resolution:
    r"""Resolution of simulated events, true and reconstructed q2 (GeV²), in ranges of the former.

    b/s and ln(σ/(sβ)), :math:`\beta^2 = 1 - s_0/s` with the ``threshold`` s₀, are polynomials in ln s, from means in
    bins of it of the rest within five σ: near threshold σ/s follows β. Two Gaussians of one centre are fitted to what
    remains. For LHCb's detector other events agree within 1 to 2 %; from threshold to 0.07 GeV² widths are 8 to 11 %
    too narrow.

    >>> rng = np.random.default_rng(1)
    >>> true = rng.uniform(1.0, 8.0, 200_000)
    >>> one = measured(true, true * (1.001 + 0.01 * rng.standard_normal(len(true))), [(1.0, 8.0)])
    >>> at = np.array([2.0, 6.0])
    >>> (one.width(at) / at).round(3).tolist(), (one.shift(at) / at).round(3).tolist()
    ([0.01, 0.01], [0.001, 0.001])
    """
    low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
    x = (2.0 * np.log(q2) - math.log(low * high)) / math.log(high / low)
    place = np.clip((0.5 * _BINS * (x + 1.0)).astype(int), 0, _BINS - 1)
    middle = (np.arange(_BINS) + 0.5) * 2.0 / _BINS - 1.0
    rest, kept, beta = found / q2 - 1.0, np.ones(len(q2), dtype=bool), _beta_squared(q2, threshold)

    def polynomial(values: Array, counts: Array) -> Array:
        rows, weights = np.polynomial.chebyshev.chebvander(middle, _DEGREE), np.sqrt(counts)
        return np.asarray(np.linalg.lstsq(rows * weights[:, None], values * weights, rcond=None)[0])

    def mean(values: Array) -> tuple[Array, Array]:
        counts = np.bincount(place[kept], minlength=_BINS).astype(float)
        return np.bincount(place[kept], values[kept], _BINS) / np.maximum(counts, 1.0), counts

    for _ in range(5):
        of_shift = polynomial(*mean(rest))
        square = (rest - np.polynomial.chebyshev.chebval(x, of_shift)) ** 2
        size, counts = mean(square)
        of_width = polynomial(0.5 * np.log(np.maximum(size, _LEAST) / np.maximum(mean(beta)[0], _LEAST)), counts)
        z = np.sqrt(square / beta) * np.exp(-np.polynomial.chebyshev.chebval(x, of_width))
        kept = z < _FAR
    fractions, scales = _two_gaussians(z[kept])
    at = np.geomspace(low, high, 4 * _KNOTS)
    at[0], at[-1] = low, high
    there = np.linspace(-1.0, 1.0, len(at))
    width = np.sqrt(_beta_squared(at, threshold)) * np.exp(np.polynomial.chebyshev.chebval(there, of_width))
    return Resolution(
        q2=tuple(at.tolist()),
        sigma=tuple((at * width).tolist()),
        bias=tuple((at * np.polynomial.chebyshev.chebval(there, of_shift)).tolist()),
        fractions=fractions,
        scales=scales,
    )


def _beta_squared(q2: Array, threshold: float) -> Array:
    """Square of the leptons' velocity in their rest frame, never zero."""
    return np.maximum(1.0 - threshold / q2, 1e-4)


def _two_gaussians(z: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fractions and widths of two Gaussians about zero by maximum likelihood, in bins of a twentieth."""
    counts, edges = np.histogram(np.abs(z), np.linspace(0.0, _FAR, 101))
    square = (0.5 * (edges[1:] + edges[:-1])) ** 2
    f, r = np.array([0.7, 0.3]), np.array([0.9, 1.3])
    for _ in range(_ROUNDS * 10):
        each = (f / r)[:, None] * np.exp(-0.5 * square / r[:, None] ** 2)
        share = counts * each / each.sum(axis=0)
        f, r = share.sum(axis=1) / counts.sum(), np.sqrt((share @ square) / share.sum(axis=1))
    return tuple(f.tolist()), tuple(r.tolist())


Chosen = Resolution | ResolutionSettings | Literal["file"]
"""What a fit's card says of it: itself, a detector by its tracks, or the detector that the events were seen with."""


def read_resolution(value: Any) -> Any:
    """What is meant by a card's ``resolution``; None for none.

    >>> read_resolution({"sigma": 0.02}).sigma, read_resolution("belle2").muon.constant, read_resolution("none")
    ((0.02,), 0.003, None)
    """
    if value in (None, "none", False) or isinstance(value, (Resolution, ResolutionSettings)) or value == "file":
        return None if value in (None, "none", False) else value
    if isinstance(value, (int, float)):
        value = {"sigma": value}
    if isinstance(value, str) and value not in RESOLUTIONS:
        raise InputError(f"resolution = {value!r}: no such detector; {nearest(value, ['file', 'none', *RESOLUTIONS])}")
    own = isinstance(value, Mapping) and not value.keys().isdisjoint(Resolution.model_fields)
    return (Resolution if own else ResolutionSettings).model_validate(value)


def resolution_of(
    chosen: Chosen, channel: Channel, run: RunCard, ranges: Sequence[Range], threads: int | None = None
) -> Resolution:
    """Resolution of a channel's q2 in a run that was generated in ranges of q2 (GeV²); see `simulated`.

    Raises:
        InputError: a detector's where there is none, or where the run has no beam.
    """
    if isinstance(chosen, Resolution):
        return chosen
    settings = run.stages.get("resolution") if chosen == "file" else chosen
    if not isinstance(settings, ResolutionSettings):
        raise InputError("resolution = 'file': these events were made without one; give a detector or sigma (GeV^2)")
    return simulated(channel, settings, run.beam, ranges, threads)


def simulated(
    channel: Channel,
    settings: ResolutionSettings,
    beam: str | Mapping[str, Any] | None,
    ranges: Sequence[Range],
    threads: int | None = None,
) -> Resolution:
    """Resolution that a detector has, measured on `SIMULATED` events of the Standard Model with a fixed seed.

    Raises:
        InputError: electrons, whose radiation makes a tail that is no Gaussian, or no beam.
    """
    from ..run.generate import generate

    if channel.lepton != "mu":
        raise InputError(
            f"resolution: {channel.name} has leptons that radiate, and a tail that is no Gaussian; give one of this "
            "channel as a table of sigma, fractions and scales"
        )
    if beam is None:
        raise InputError("resolution: these events were made without a beam; give sigma (GeV^2) in its place")
    low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
    made = generate(
        channel.name,
        "sm",
        events=SIMULATED,
        seed=_SEED,
        q2=[(low, high)],
        beam=beam,
        resolution=settings,
        threads=threads,
    )
    columns = made.to_numpy()
    return measured(columns["q2"], columns["q2_reco"], [(low, high)], channel.q2_limits()[0])
