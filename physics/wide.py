"""What observables are made of where the K* has its width: the Kπ pair in a window of its mass, S wave and all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .angular import decay_rate
from .channels import KPI_COEFFICIENTS, V_COEFFICIENTS, Channel
from .definitions import Averages
from .densities import DENSITIES
from .kpi import KpiDecay, KpiSystem
from .models import Model

Array = npt.NDArray[np.float64]


def kpi_decay(channel: Channel, model: Model, kpi: KpiSystem | None) -> KpiDecay | None:
    """The decay of a channel's Kπ pair; None where there is none, or where the K* has no width.

    >>> from darkpenguin.physics.channels import get_channel
    >>> kpi_decay(get_channel("B+->K+mumu"), Model(), KpiSystem()) is None
    True
    """
    if kpi is None or kpi.narrow or not channel.transition.daughters:
        return None
    return KpiDecay(channel, model, kpi)


def wide_averages(decay: KpiDecay, q2: Array, weights: Array | None = None, width: float = 1.0) -> Averages:
    """Averages of B → Kπ ℓℓ in the window of m_Kπ: at points of q2 (GeV²), or integrated over them with ``weights``.

    Rates are of both waves, of the Kπ pair that the channel ends in (2/3 of a K*). S_i and A_i of the P wave are over
    its own rate; ``S`` is the fraction of the S wave, its interference (I1c to I8) is over the whole rate, as in
    arXiv:1512.04442.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.kpi import resolve_kpi
    >>> decay = KpiDecay(get_channel("B0->K*0mumu"), Model(), resolve_kpi("swave"))
    >>> round(float(wide_averages(decay, np.array([3.0])).s("S")[0]), 2)
    0.11
    """
    density = DENSITIES["kpi"]
    alone = decay
    if decay.strength:
        alone = KpiDecay(decay.channel, decay.model, decay.system.model_copy(update={"s_wave": "none"}))

    def both(one: KpiDecay) -> tuple[Array, Array]:
        values = [one.spectrum(q2, flavour) for flavour in (-1, 1)]
        found = values if weights is None else [value @ weights for value in values]
        return found[0], found[1]

    b, conjugate = both(decay)
    p, p_conjugate = (b, conjugate) if alone is decay else both(alone)
    n = len(V_COEFFICIENTS)
    signs = np.array([-1.0 if name in density.flipped else 1.0 for name in V_COEFFICIENTS])
    # the rate is that of the twelve: what the S wave adds to them is in them
    rates = [decay_rate((signs * value[:n].T).T) for value in (b, conjugate, p, p_conjugate)]
    rate, of_p = rates[0] + rates[1], rates[2] + rates[3]

    def s(name: str) -> Any:
        if name == "S":
            return 1.0 - of_p / rate
        k = KPI_COEFFICIENTS.index(name)
        return (b + conjugate)[k] / rate if name.startswith("I") else (p + p_conjugate)[k] / of_p

    def cp(name: str) -> Any:
        return (p - p_conjugate)[KPI_COEFFICIENTS.index(name)] / of_p

    share = decay.channel.branching
    lifetime = decay.model.parameters["tau_" + decay.channel.parent]
    return Averages(s, 1, share * rate, share * (rates[0] - rates[1]), lifetime, width, cp)
