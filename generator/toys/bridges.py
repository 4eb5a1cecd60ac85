"""Bridges to other fitters: a pyhf workspace for the binned likelihood, a cost function for the unbinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...physics.angular import decay_rate, event_density
from ...physics.channels import Channel
from ...physics.densities import DENSITIES
from ...physics.models import Model, ModelLike, as_model
from ...physics.observables import as_channel
from ..sampler.tables import density_of
from ..statistics.counts import CountModel, monomial_values, probe_points, quadratic
from .couplings import Directions, model_at

Array = npt.NDArray[np.float64]


def pyhf_workspace(null: CountModel, alternative: CountModel, counts: npt.ArrayLike) -> dict[str, Any]:
    r"""HistFactory workspace (pyhf JSON) that goes from one hypothesis (mu = 0) to another (mu = 1).

    Samples: the null's expectation, and mu times the difference of the two, which may be negative in some
        bins: pyhf
    takes that as long as the sum is positive. Interference makes rates quadratic in couplings, so mu is a
    linear path between two fixed points, exact at both ends, not a coupling. Nuisance parameters become
    ``histosys`` with the same names: equal to ours at ±1, additive instead of exponential between and beyond.

    Args:
        null: expectation at mu = 0; no free couplings.
        alternative: expectation at mu = 1, the same bins and nuisance parameters.
        counts: observed counts.

    Raises:
        InputError: free couplings, or bins or nuisance parameters that differ.

    Example:
        >>> space = pyhf_workspace(CountModel([[10.0]]), CountModel([[14.0]]), [12.0])
        >>> [sample["data"] for sample in space["channels"][0]["samples"]]
        [[10.0], [4.0]]
    """
    if null.parameters or alternative.parameters:
        raise InputError("couplings are free: fix them (CountModel.fix) before making a workspace")
    if null.n_bins != alternative.n_bins or null.nuisances != alternative.nuisances:
        raise InputError("null and alternative have different bins or nuisance parameters")
    observed = [float(n) for n in np.asarray(counts, dtype=float)]
    if len(observed) != null.n_bins:
        raise InputError(f"counts has {len(observed)} numbers: needs {null.n_bins}")
    k = len(null.nuisances)

    def expected(model: CountModel, theta: Array) -> Array:
        return model.expected((), theta)

    zero = np.zeros(k)
    base = expected(null, zero)
    difference = expected(alternative, zero) - base

    def systematics(function: Callable[[Array], Array]) -> list[dict[str, Any]]:
        found = []
        for i, name in enumerate(null.nuisances):
            high, low = (function(sign * np.eye(k)[i]) for sign in (1.0, -1.0))
            found.append(
                {
                    "name": name,
                    "type": "histosys",
                    "data": {"hi_data": high.tolist(), "lo_data": low.tolist()},
                }
            )
        return found

    samples = [
        {"name": "null", "data": base.tolist(), "modifiers": systematics(lambda t: expected(null, t))},
        {
            "name": "difference",
            "data": difference.tolist(),
            "modifiers": [
                {"name": "mu", "type": "normfactor", "data": None},
                *systematics(lambda t: expected(alternative, t) - expected(null, t)),
            ],
        },
    ]
    return {
        "version": "1.0.0",
        "channels": [{"name": "bins", "samples": samples}],
        "observations": [{"name": "bins", "data": observed}],
        "measurements": [
            {
                "name": "separation",
                "config": {
                    "poi": "mu",
                    "parameters": [{"name": "mu", "bounds": [[-5.0, 5.0]], "inits": [0.0]}],
                },
            }
        ],
    }


@dataclass(frozen=True, eq=False)
class UnbinnedCost:
    r"""-2 ln L of events in q2 and angles as a function of couplings: for iminuit, zfit or SciPy.

    .. math:: -2\ln L = -2\sum_e \ln\frac{\sum_i J_i(q^2_e; g) f_i(\Omega_e)}{\Gamma(g)}
              \quad[+\ 2(\mu - n\ln\mu)]

    with the rate Γ in the range of the events; the part in brackets, if ``expected`` is given, is the
    extended term with μ = ``expected`` Γ(g)/Γ(0). Everything is quadratic in the couplings, so amplitudes are
    evaluated at the events once, at construction.

    Call it with one number a coupling, as ``iminuit.Minuit(cost, *start, name=cost.names)`` does;
    ``errordef`` is one. For zfit: ``zfit.loss.SimpleLoss(lambda p: cost(*p), params, errordef=1.0)``.
    """

    names: tuple[str, ...]
    density: Array
    rate: Array
    expected: float | None
    errordef: float = 1.0

    def __call__(self, *couplings: float) -> float:
        """-2 ln L at the couplings; infinite where an event has no density."""
        terms = monomial_values(np.asarray(couplings, dtype=float))
        density, rate = terms @ self.density, float(terms @ self.rate)
        if rate <= 0 or np.any(density <= 0):
            return float("inf")
        value = -2.0 * float(np.sum(np.log(density))) + 2.0 * self.density.shape[1] * np.log(rate)
        if self.expected is not None:
            mu = self.expected * rate / float(self.rate[0])
            value += 2.0 * (mu - self.density.shape[1] * np.log(mu))
        return float(value)


def unbinned_cost(
    channel: Channel | str,
    base: ModelLike,
    directions: Directions,
    events: Mapping[str, npt.ArrayLike],
    q2_range: tuple[float, float],
    *,
    expected: float | None = None,
) -> UnbinnedCost:
    """Cost function of one channel's events for couplings along ``directions`` (see ``yields.Directions``).

    Args:
        channel: decay channel, or its name.
        base: model whose masses and widths it has: a benchmark's name, a TOML file, fields, or a `Model`.
        directions: free couplings.
        events: columns q2, the angles and ``flavour``, in LHCb's convention.
        q2_range: range of q2 (GeV²) that the events were selected in.
        expected: number of events expected at zero couplings, for the extended likelihood.

    Raises:
        InputError: events outside the range.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> events = generate("B0->K*0mumu", "heavy-c9", events=2000, q2=[(1.1, 6.0)], seed=1)
        >>> cost = unbinned_cost("B0->K*0mumu", "sm", {"C9": {"heavy.C9_mu": 1.0}}, events, (1.1, 6.0))
        >>> cost.names, cost(-1.1) < cost(1.1)
        (('C9',), True)
    """
    channel, base = as_channel(channel), as_model(base)
    from .yields import integrated_coefficients

    q2 = np.asarray(events["q2"], dtype=float)
    if np.any((q2 < q2_range[0]) | (q2 > q2_range[1])):
        raise InputError(f"events: q2 from {q2.min():g} to {q2.max():g} GeV^2 leaves q2_range = {q2_range}")
    flavour = np.asarray(events["flavour"])
    kind = density_of(channel).kind
    f = DENSITIES[kind].basis(*(np.asarray(events[name], dtype=float) for name in channel.angles))
    p = len(directions)
    models: Sequence[Model] = [model_at(base, directions, x.tolist()) for x in probe_points(p)]
    values = np.zeros((len(models), len(q2)))
    for sign in (1, -1):
        chosen = flavour == sign
        if chosen.any():
            j = event_density(channel, list(models), q2[chosen], sign)
            values[:, chosen] = np.sum(j * f[:, None, chosen], axis=0)
    rates = decay_rate(np.moveaxis(integrated_coefficients(channel, models, [q2_range])[:, 0], -1, 0))
    return UnbinnedCost(tuple(directions), quadratic(values, p), quadratic(rates[:, None], p)[:, 0], expected)
