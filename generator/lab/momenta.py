"""Four-momenta of the final state, from the sampled angles: in the B frame, or in the laboratory behind a beam.

Three-momenta are columns, ``k_px`` and so on; energies follow from them and the masses (`masses`), so the mass shell
is exact. The particles are those of the channel (``physics/modes.py``): ``b`` for the B itself in the laboratory, ``k``
and ``pi`` (of a K*), ``lp`` and ``lm``, the positive and the negative lepton, and so on. The direction of the decay and
the momentum of the B come from random words of the event's own (`sampler.calls`): the same in any partition, chunk or
number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_module
from ...kinematics.base.threads import split_work
from ...kinematics.beams import HistogramBeam, ProtonBeam, UpsilonBeam
from ...kinematics.frames import convention_signs
from ...physics.channels import Channel
from ...physics.final_state import masses, momentum_columns
from ...physics.models import Model
from ...physics.parameters import load_parameters
from ..sampler.rng import counter_words
from ..sampler.tables import alias_table
from .beams import Beam, beam_of
from .momenta_cpu import CELLS, LOOPS, PROTON, REST, UPSILON

Array = NDArray[np.float64]


def momenta(
    channel: Channel,
    columns: Mapping[str, Any],
    convention: str = "lhcb",
    beam: str | Mapping[str, Any] | Beam = None,
    seed: int = 0,
    start: int = 0,
    threads: int | None = None,
    precision: str = "float64",
    *,
    at_rest: bool = False,
    model: Model | None = None,
    out: Array | None = None,
) -> dict[str, Array]:
    """Momenta of consecutive events, computed in float64 where the events are: a GPU if their columns are CuPy's.

    Args:
        channel: of all events.
        columns: q2, the angles and the flavour of the events; ``m_kpi`` if the K* has a width.
        convention: of these angles.
        beam: entry of `BEAMS`, a table as in `resolve_beam`, or a beam; None for the B frame with the kaon system
            along z, the kaon in the x-z plane.
        seed: of the random numbers; as for the events themselves.
        start: number of the first event in its channel.
        threads: CPU threads; all without it.
        precision: of the columns that are returned.
        at_rest: with no beam, turn the decay into a random direction.
        model: where χ has its mass from.
        out: array (columns, n) to be filled, instead of a new one.

    Returns:
        Columns named as by `momentum_columns` (GeV).

    Raises:
        InputError: an unknown beam or convention, or χ of unknown mass.

    >>> from darkpenguin.physics.channels import get_channel
    >>> one = {"q2": [4.0], "cos_theta_l": [0.3], "flavour": [1]}
    >>> p = momenta(get_channel("B+->K+mumu"), one)
    >>> abs(float(p["k_pz"][0] + p["lp_pz"][0] + p["lm_pz"][0])) < 1e-14
    True
    """
    moving = beam is not None or at_rest
    source = beam_of(beam) if beam is not None else None
    (k0, k1), stream = counter_words(seed, channel.index, start, start + len(columns["q2"]))
    mass = masses(channel, model)
    xp = array_module(columns["q2"])
    data = [xp.ascontiguousarray(xp.asarray(columns[name])) for name in ("q2", *channel.angles)]
    flavour = xp.ascontiguousarray(xp.asarray(columns["flavour"], dtype=np.int32))
    plus, minus = (np.array(convention_signs(convention, channel.angles_of(f)), dtype=np.float64) for f in (1, -1))
    signs = np.stack([(plus + minus) / 2, (plus - minus) / 2], axis=1).ravel()
    m_kpi = xp.asarray([(model.parameters if model is not None else load_parameters())["m_" + channel.hadron]])
    if "m_kpi" in columns:
        m_kpi = xp.ascontiguousarray(xp.asarray(columns["m_kpi"], dtype=np.float64))
    names = momentum_columns(channel)
    if out is None:
        out = xp.empty((len(names), len(flavour)), dtype=precision)
    parents = _parents(source, mass["b"])
    numbers = np.array(list(mass.values()))
    constants, words = (signs, numbers, moving, *parents), (stream, k0, k1)
    if xp is np:
        _loop((channel.spin, start, *words), data, flavour, m_kpi, constants, out, threads)
    else:
        from .momenta_gpu import launch

        launch(channel.spin, start, words, data, flavour, m_kpi, constants, out)
    return dict(zip(names, out, strict=True))


def _loop(
    where: tuple[Any, ...],
    data: Sequence[Any],
    flavour: Any,
    m_kpi: Any,
    constants: tuple[Any, ...],
    out: Array,
    threads: int | None,
) -> None:
    """Fill ``out`` in parts, one a thread."""
    spin, start, *key = where

    def work(low: int, high: int) -> None:
        part = slice(low, high)
        mass = m_kpi[part] if len(m_kpi) > 1 else m_kpi
        columns = (column[part] for column in data)
        LOOPS[spin](start + low, *key, *columns, flavour[part], mass, *constants, out[:, part])

    split_work(work, len(flavour), threads if len(flavour) > 10_000 else 1)


@lru_cache(maxsize=8)
def _parents(source: Beam, m_b: float) -> tuple[int, Array, Array, NDArray[np.uint64]]:
    """Kind of a beam, its constants, the cells it draws from and their alias table."""
    constants, cells, alias = np.zeros(8), np.zeros(2), np.zeros(1, dtype=np.uint64)
    kind = REST
    if isinstance(source, HistogramBeam):
        kind, cells, alias = CELLS, source.cells().ravel(), alias_table(source.probabilities())
        constants[0] = m_b if source.variable == "y" else 0.0
    elif source is not None:
        found = source.constants()
        constants[: len(found)] = found
        kind = PROTON if isinstance(source, ProtonBeam) else UPSILON
        if isinstance(source, UpsilonBeam):
            cells = source.momentum_edges(m_b)
    return kind, constants, cells, alias
