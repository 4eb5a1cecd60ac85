"""Four-momenta of the final state, from the sampled angles: in the B frame, or in the laboratory behind a beam.

Three-momenta are columns, ``k_px`` and so on; energies follow from them and the masses (`masses`), so the mass shell
is exact. The particles are ``k``, ``pi`` (of a K*), ``lp`` and ``lm``, the positive and the negative lepton, and
``b`` for the B itself in the laboratory. The direction of the decay and the momentum of the B come from random words
of the event's own (Philox calls from 16 on): the same in any partition, chunk or number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kinematics.beams import ProtonBeam, UpsilonBeam, proton_momentum, upsilon_momentum
from ..kinematics.errors import InputError
from ..kinematics.frames import boost, convention_signs, orientation, rotate, scalar_decay, vector_decay
from ..kinematics.jit import kernel
from ..physics.channels import Channel, channel_by_index
from ..physics.models import nearest
from ..physics.parameters import load_parameters
from .backend import counter_words
from .events import EventSample, to_host
from .rng import philox, uniform

Array = NDArray[np.float64]

BEAMS: Mapping[str, ProtonBeam | UpsilonBeam | None] = MappingProxyType({
    "rest": None,
    "belle2": UpsilonBeam(),
    "lhcb-7tev": ProtonBeam(7.0),
    "lhcb-8tev": ProtonBeam(8.0),
    "lhcb-13tev": ProtonBeam(13.0),
    "lhcb-13.6tev": ProtonBeam(13.6),
})
"""Where the B comes from, by name: at rest, from the Upsilon(4S), from pp within 2 < y < 4.5."""

AXES = ("px", "py", "pz")
_CALL = 16   # first Philox call of an event that does not belong to the sampler
_REST, _UPSILON, _PROTON = 0, 1, 2


def check_beam(name: str) -> str:
    """Name of a beam; InputError with the nearest known one.

    >>> check_beam("belle2")
    'belle2'
    """
    if name not in BEAMS:
        raise InputError(f"beam = {name!r}: no such beam; {nearest(name, BEAMS)}")
    return name


def particles(channel: Channel) -> tuple[str, ...]:
    """Particles whose momenta are columns, the B first; InputError for an invisible final state.

    >>> from darkpenguin.physics.channels import get_channel
    >>> particles(get_channel("B0->K*0mumu"))
    ('b', 'k', 'pi', 'lp', 'lm')
    """
    if channel.lepton is None:
        raise InputError(f"beam: {channel.name} has an invisible pair, and momenta are there for charged leptons only")
    return ("b", "k", "pi", "lp", "lm") if channel.spin == 1 else ("b", "k", "lp", "lm")


def momentum_columns(channel: Channel) -> tuple[str, ...]:
    """Names of the momentum columns of a channel (GeV).

    >>> from darkpenguin.physics.channels import get_channel
    >>> momentum_columns(get_channel("B+->K+ee"))[:4]
    ('b_px', 'b_py', 'b_pz', 'k_px')
    """
    return tuple(f"{particle}_{axis}" for particle in particles(channel) for axis in AXES)


def masses(channel: Channel) -> dict[str, float]:
    """Mass of each particle (GeV).

    >>> from darkpenguin.physics.channels import get_channel
    >>> round(masses(get_channel("B0->K*0mumu"))["pi"], 5)
    0.13957
    """
    known = load_parameters()
    names = [channel.parent, *(channel.daughters or (channel.hadron,)), channel.lepton, channel.lepton]
    return {
        particle: known["m_" + str(name).replace("pi-", "pi+")]
        for particle, name in zip(particles(channel), names, strict=True)
    }


def pdg_ids(channel: Channel, flavour: int) -> dict[str, int]:
    """Monte Carlo number of each particle in a decay of the B (+1) or of its conjugate (-1).

    >>> from darkpenguin.physics.channels import get_channel
    >>> pdg_ids(get_channel("B0->K*0mumu"), -1)
    {'b': -511, 'k': -321, 'pi': 211, 'lp': -13, 'lm': 13}
    """
    daughters = channel.daughter_pdg or (channel.hadron_pdg,)
    hadrons = [flavour * number for number in (channel.parent_pdg, *daughters)]
    return dict(zip(particles(channel), [*hadrons, -channel.lepton_pdg, channel.lepton_pdg], strict=True))


def momenta(
    channel: Channel,
    columns: Mapping[str, Any],
    convention: str = "lhcb",
    beam: str | None = None,
    seed: int = 0,
    start: int = 0,
    threads: int | None = None,
) -> dict[str, Array]:
    """Momenta of consecutive events, computed in float64.

    Args:
        channel: a channel with charged leptons.
        columns: q2, the angles and the flavour of the events.
        convention: of these angles.
        beam: entry of `BEAMS`; None for the B frame with the kaon system along z, the kaon in the x-z plane.
        seed: of the random numbers; as for the events themselves.
        start: number of the first event in its channel.
        threads: CPU threads; all without it.

    Returns:
        Columns named as by `momentum_columns` (GeV).

    Raises:
        InputError: an unknown beam or convention, or an invisible final state.

    >>> from darkpenguin.physics.channels import get_channel
    >>> one = {"q2": [4.0], "cos_theta_l": [0.3], "flavour": [1]}
    >>> p = momenta(get_channel("B+->K+mumu"), one)
    >>> abs(float(p["k_pz"][0] + p["lp_pz"][0] + p["lm_pz"][0])) < 1e-14
    True
    """
    from .toys import split_work

    source = BEAMS[check_beam(beam)] if beam is not None else None
    (k0, k1), stream = counter_words(seed, channel.index, start, start + len(columns["q2"]))
    mass = masses(channel)
    edges = np.zeros(2)
    constants, kind = np.zeros(8), _REST
    if source is not None:
        numbers = source.constants()
        constants[: len(numbers)] = numbers
        kind = _PROTON if isinstance(source, ProtonBeam) else _UPSILON
        if isinstance(source, UpsilonBeam):
            edges = source.momentum_edges(mass["b"])
    data = [
        np.ascontiguousarray(to_host(columns[name]), dtype=np.float64) for name in ("q2", *channel.angles)
    ]
    flavour = np.ascontiguousarray(to_host(columns["flavour"]), dtype=np.int32)
    signs = np.array([convention_signs(convention, f) for f in (-1, 1)], dtype=np.float64)
    names = momentum_columns(channel)
    out = np.empty((len(names), len(flavour)))
    fill: Any = _vector_momenta if channel.spin == 1 else _scalar_momenta
    weights = np.array([*mass.values(), load_parameters()["m_" + channel.hadron]])

    def work(low: int, high: int) -> None:
        part = slice(low, high)
        fill(start + low, stream, k0, k1, *(column[part] for column in data), flavour[part], signs, weights,
             beam is not None, kind, constants, edges, out[:, part])

    split_work(work, len(flavour), threads if len(flavour) > 10_000 else 1)
    return dict(zip(names, out, strict=True))


def four_momenta(sample: EventSample) -> Any:
    """Awkward records of Momentum4D of a sample of one channel: see `EventSample.to_vector`."""
    import awkward
    import vector

    numbers: Any = np.unique(to_host(sample["channel"])) if "channel" in sample.columns else []
    if len(numbers) != 1:
        raise InputError(f"channel: {len(numbers)} channels in the sample; select the events of one for four-momenta")
    channel = channel_by_index(int(numbers[0]))
    columns: Mapping[str, Any] = sample.columns
    if f"b_{AXES[0]}" not in columns:
        columns = momenta(channel, columns, str(sample.provenance.get("convention", "lhcb")))
    return awkward.zip({
        particle: vector.zip({
            **{axis: to_host(columns[f"{particle}_{axis}"]) for axis in AXES},
            "mass": np.full(len(sample), mass),
        })
        for particle, mass in masses(channel).items()
    }, depth_limit=1)


@kernel
def _uniforms(event: Any, stream: Any, k0: Any, k1: Any, u: Any) -> None:
    """Eight uniforms of an event, from four Philox calls."""
    low, high = np.uint32(event & 0xFFFFFFFF), np.uint32(event >> 32)
    for pair in range(4):
        a, b, c, d = philox(low, high, np.uint32(_CALL + pair), stream, k0, k1)
        u[2 * pair] = uniform(np.float64, a, b)
        u[2 * pair + 1] = uniform(np.float64, c, d)


@kernel
def _parent(u: Any, m_b: Any, kind: Any, constants: Any, edges: Any) -> Any:
    """Momentum of the B in the laboratory, from uniforms 3 to 7."""
    c = constants
    if kind == _UPSILON:
        return upsilon_momentum(np.float64, u[3], u[4], u[5], u[6], u[7], m_b, edges, (c[0], c[1], c[2], c[3], c[4]))
    if kind == _PROTON:
        return proton_momentum(np.float64, u[3], u[4], u[5], m_b, (c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]))
    return 0.0, 0.0, 0.0


@kernel
def _place(out: Any, row: Any, i: Any, p: Any) -> None:
    out[row, i], out[row + 1, i], out[row + 2, i] = p


@kernel
def _vector_momenta(first: Any, stream: Any, k0: Any, k1: Any, q2: Any, cos_k: Any, cos_l: Any, phi: Any, flavour: Any,
                    signs: Any, masses: Any, moving: Any, kind: Any, constants: Any, edges: Any, out: Any) -> None:
    """B, K, pi, l+, l- of every event into rows of three of ``out``."""
    u = np.empty(8)
    m_b, m_k, m_pi, m_l, m_hadron = masses[0], masses[1], masses[2], masses[3], masses[5]
    for i in range(q2.size):
        s = signs[(flavour[i] + 1) // 2]
        k, pi, lp, lm = vector_decay(np.float64, q2[i], cos_k[i], s[0] * cos_l[i], s[1] * np.cos(phi[i]),
                                     s[2] * np.sin(phi[i]), m_b, m_hadron, m_k, m_pi, m_l)
        b = (0.0, 0.0, 0.0)
        if moving:
            _uniforms(first + i, stream, k0, k1, u)
            turn = orientation(np.float64, u[0], u[1], u[2])
            b = _parent(u, m_b, kind, constants, edges)
            k, pi = boost(rotate(turn, k), m_k, b, m_b), boost(rotate(turn, pi), m_pi, b, m_b)
            lp, lm = boost(rotate(turn, lp), m_l, b, m_b), boost(rotate(turn, lm), m_l, b, m_b)
        _place(out, 0, i, b)
        _place(out, 3, i, k)
        _place(out, 6, i, pi)
        _place(out, 9, i, lp)
        _place(out, 12, i, lm)


@kernel
def _scalar_momenta(first: Any, stream: Any, k0: Any, k1: Any, q2: Any, cos_l: Any, flavour: Any, signs: Any,
                    masses: Any, moving: Any, kind: Any, constants: Any, edges: Any, out: Any) -> None:
    """B, K, l+, l- of every event into rows of three of ``out``."""
    u = np.empty(8)
    m_b, m_k, m_l = masses[0], masses[1], masses[2]
    for i in range(q2.size):
        k, lp, lm = scalar_decay(np.float64, q2[i], signs[(flavour[i] + 1) // 2, 0] * cos_l[i], m_b, m_k, m_l)
        b = (0.0, 0.0, 0.0)
        if moving:
            _uniforms(first + i, stream, k0, k1, u)
            turn = orientation(np.float64, u[0], u[1], u[2])
            b = _parent(u, m_b, kind, constants, edges)
            k = boost(rotate(turn, k), m_k, b, m_b)
            lp, lm = boost(rotate(turn, lp), m_l, b, m_b), boost(rotate(turn, lm), m_l, b, m_b)
        _place(out, 0, i, b)
        _place(out, 3, i, k)
        _place(out, 6, i, lp)
        _place(out, 9, i, lm)
