"""Events as HepMC3, one decay chain an event: B -> K* l+ l-, K* -> K pi, or B -> K l+ l-; invisible pairs too.

Units GeV and mm, the B decays at the origin. Status codes are HepMC's: 2 for what decayed (B, K*, K0), 1 for the final
state; a tau is final, for other programs to decay (its spin is not kept). A K0 (311) becomes a K_S (310) or a K_L
(130), half of each; with the columns of ``kaons`` (`lab.kaons`) those of the file, and a K_S that goes to pi+ pi- has
its vertex where it decays. Without them neither decays. A mediator with a lifetime (``ctau``) is in the record of its
events, those within 1e-5 of its mass squared, and its leptons come from where it decays. Photons that the leptons have
radiated come last, from the vertex of the B; those below an eV are left out. The B has no mother and decays where it is
made, unless the Υ(4S) of a beam like Belle II's, with the other B, stable and of opposite flavour, and a lifetime are
asked for (`hepmc_origin`). Programs that want beams must be told that there are none (Rivet: ``--ignore-beams``).
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from ...kinematics.beams import UpsilonBeam
from ...physics.channels import Channel
from ...physics.final_state import AXES, K_LONG, K_SHORT, neutral_kaon
from ...physics.mediators import Mediator
from ...physics.models import Model
from ..lab.kaons import PIONS, pion_masses
from ..sampler.calls import KAONS, MEDIATOR_FLIGHT
from ..sampler.rng import event_uniforms
from .hepmc_origin import UPSILON, flown, flying, other_b, owners, upsilon_of_file
from .sample import EventsLike
from .source import EventSource

Array = NDArray[np.float64]
DECAYED, FINAL = 2, 1
"""Status codes of HepMC."""
KAON, MEDIATOR = "kaon", "mediator"
"""The K_S or K_L that a K0 becomes, and what flies before it decays to the pair, in a chain."""
SOFTEST = 1e-9
"""Energy (GeV) above which a photon is written."""
_PHOTON = 22
_PION_IDS = dict(zip(PIONS, (211, -211), strict=True))


@dataclass(frozen=True)
class HepmcCounts:
    """Events written, and those left out because they were not accepted."""

    written: int
    left_out: int


@dataclass(frozen=True)
class Chain:
    """Particles of a channel in the order of the record, each after its mother.

    Attributes:
        names: of the particles, as in the columns; a resonance is the sum of its daughters.
        mothers: place of each one's mother, -1 for the B.
        status: codes.
        daughters: of the resonance, if there is one.
    """

    names: tuple[str, ...]
    mothers: tuple[int, ...]
    status: tuple[int, ...]
    daughters: tuple[str, ...] = ()


def chain(channel: Channel, mediator: bool = False) -> Chain:
    """Decay chain of a channel; with ``mediator`` the pair comes from one, not from the B itself.

    >>> from darkpenguin.physics.channels import get_channel
    >>> chain(get_channel("B0->K*0mumu")).names
    ('b', 'kstar', 'lp', 'lm', 'k', 'pi')
    >>> chain(get_channel("B+->K+ee")).mothers
    (-1, 0, 0, 0)
    >>> chain(get_channel("B0->K0mumu")).names[1:]
    ('k', 'lp', 'lm', 'kaon', 'pip', 'pim')
    """
    transition = channel.transition
    daughters = tuple(particle.label for particle in transition.daughters)
    pair = [particle.label for particle in channel.pair.particles]
    names = [transition.parent.label, transition.hadron.label, *([MEDIATOR] if mediator else []), *pair, *daughters]
    mothers = [-1, 0, *([0, 2, 2] if mediator else [0, 0]), *(1 for _ in daughters)]
    kaon = neutral_kaon(channel)
    if kaon is not None:
        names += [KAON, *PIONS]
        mothers += [names.index(kaon.label), *(names.index(KAON) for _ in PIONS)]
    status = tuple(DECAYED if at in mothers else FINAL for at in range(len(names)))
    return Chain(tuple(names), tuple(mothers), status, daughters)


def write_hepmc(
    path: EventsLike,
    output: str | os.PathLike[str],
    overwrite: bool = False,
    *,
    upsilon: bool = False,
    vertices: bool = False,
) -> HepmcCounts:
    """Write the events of a file with momenta as HepMC3 (ASCII), compressed if the name ends in ``.gz``.

    Events that a column ``accepted`` excludes, and events of weight 0, are left out; a column ``weight`` is the
    event's weight. The number of an event is that of its run (its 31 low bits). The file appears whole or not at all.

    Args:
        path: a file of events with momenta, several of one run, or a sample.
        output: the HepMC file.
        overwrite: whether it may be replaced.
        upsilon: write the Υ(4S) that the B comes from, and the other B, stable.
        vertices: let the B live: its decay is displaced by an exponential of its lifetime.

    Raises:
        InputError: no momenta in the file, an output of another name, a file that exists, ``upsilon`` of another beam,
            or pyhepmc is missing.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [file] = run("B+->K+mumu", events=10, beam="rest", output=f"{folder}/x.root").files
        ...     write_hepmc(file, f"{folder}/x.hepmc").written
        10
    """
    from ...kinematics.base.files import WholeFile, check_target
    from ...physics.final_state import momentum_columns

    pyhepmc = optional("pyhepmc", "a HepMC file")
    optional("pyhepmc.io", "a HepMC file")
    name = Path(output).name.lower()
    if not name.endswith((".hepmc", ".hepmc3", ".hepmc.gz", ".hepmc3.gz")):
        raise InputError(f"output = {str(output)!r}: the name of a HepMC file ends in .hepmc or .hepmc.gz")
    target = check_target(output, overwrite=overwrite)
    source = EventSource(path, convention=False)
    for channel in source.channels.values():
        needed = (*momentum_columns(channel), "event", "flavour")
        missing = [column for column in needed if column not in source.file.schema]
        if missing:
            raise InputError(
                f"file = {source.name!r}: no momenta of {channel.name} in it (no column {missing[0]}); "
                "generate it with a beam, such as --beam rest or --beam lhcb-13tev"
            )
    written = left_out = 0
    provenance = source.file.provenance
    info, seed = _run_info(pyhepmc, provenance), int(provenance.get("seed", 0))
    model = validate(Model, provenance.get("model"), "model")
    source_of_b = upsilon_of_file(source.name, provenance) if upsilon else None
    with WholeFile(target, overwrite) as temporary, ExitStack() as stack:
        stream: Any = stack.enter_context(temporary.open("wb"))
        if name.endswith(".gz"):  # level 1: higher ones take three times as long for a few per cent less
            stream = stack.enter_context(gzip.GzipFile("", "wb", 1, stream, mtime=0))
        ios = pyhepmc.io.pyiostream(stream, 1 << 20)
        stack.callback(ios.flush)
        writer = pyhepmc.io.WriterAscii(ios, info)
        stack.callback(writer.close)
        for index, columns, weights in source.events():
            kept = weights != 0.0
            left_out += int((~kept).sum())
            chosen = {key: column[kept] for key, column in columns.items()}
            found = _records(source.channels[index], model, chosen, seed, vertices, source_of_b)
            for event in _in_order(pyhepmc, found, chosen, weights[kept], info):
                writer.write_event(event)
                written += 1
    return HepmcCounts(written, left_out)


def _run_info(pyhepmc: Any, provenance: Mapping[str, Any]) -> Any:
    """What the file says of its making."""
    info = pyhepmc.GenRunInfo()
    version = str(provenance.get("versions", {}).get("darkpenguin", "unknown"))
    model = str((provenance.get("model") or {}).get("name", "unknown"))
    info.tools = [("darkpenguin", version, f"model {model}, seed {provenance.get('seed', 'unknown')}")]
    info.weight_names = ["weight"]
    return info


def _first_bad(momentum: Array, columns: Mapping[str, Any]) -> int:
    """Number of the first event whose momentum is not finite."""
    return int(columns["event"][int(np.argmin(np.isfinite(momentum).all(axis=0)))])


@dataclass(frozen=True, eq=False)
class _Record:
    """Columns of the events of one channel, one row a particle of the chain, GeV and mm."""

    px: Array
    py: Array
    pz: Array
    energy: Array
    mass: Array
    ids: NDArray[np.int32]
    status: NDArray[np.int32]
    origin: Array
    """Where and when each particle was made: x, y, z, ct."""
    there: NDArray[np.bool_]
    """Which of them an event has."""


def _records(
    channel: Channel,
    model: Model,
    columns: Mapping[str, Any],
    seed: int,
    vertices: bool,
    beam: UpsilonBeam | None,
) -> list[tuple[NDArray[np.bool_], NDArray[np.int32], _Record]]:
    """Which events, their mothers and what is written of them: of those without a flying mediator, and of each."""
    mediators = flying(channel, model)
    owner = owners(mediators, columns["q2"])
    made = []
    for k in np.unique(owner).tolist():
        mine, mediator = owner == k, mediators[k] if k >= 0 else None
        rows = {key: column[mine] for key, column in columns.items()}
        found = _record(channel, model, rows, seed, vertices, mediator)
        if beam is not None:
            found = _with_upsilon(beam, found)
        made.append((mine, _mothers(chain(channel, mediator is not None), found, beam is not None), found))
    return made


def _record(
    channel: Channel,
    model: Model,
    columns: Mapping[str, Any],
    seed: int,
    vertices: bool = False,
    mediator: Mediator | None = None,
) -> _Record:
    """The momenta of a file as particles with numbers, status codes and places; of a mediator's events, it too."""
    from ...physics.final_state import PHOTONS, masses, pdg_ids

    record = chain(channel, mediator is not None)
    photons = tuple(name for name in PHOTONS if channel.lepton is not None and f"{name}_px" in columns)
    names, known = (*record.names, *photons), masses(channel, model) | dict.fromkeys(photons, 0.0)
    p = {
        name: np.stack([columns[f"{name}_{axis}"].astype(np.float64) for axis in ("px", "py", "pz")]) for name in known
    }
    if not np.isin(columns["flavour"], (-1, 1)).all():
        raise InputError(f"flavour: not 1 or -1 in some events of {channel.name}")
    for name, momentum in p.items():
        if not np.isfinite(momentum).all():
            raise InputError(f"{name}_px, {name}_py, {name}_pz: not finite in event {_first_bad(momentum, columns)}")
    n = len(columns["flavour"])
    kaon = neutral_kaon(channel)
    number, there = np.zeros(n, dtype=np.int32), np.ones((n, len(names)), dtype=bool)
    origin = np.zeros((4, len(names), n))
    ends = slice(len(record.names) - len(PIONS), len(record.names))  # of a kaon's decay
    if kaon is not None:
        number, pions, flight = _kaons(channel, columns, seed)
        there[:, ends] = np.isfinite(pions[0, 0])[:, None]
        known |= {KAON: known[kaon.label], **pion_masses(channel, model)}
        p |= {KAON: p[kaon.label], **dict(zip(PIONS, np.nan_to_num(pions), strict=True))}
        path = np.stack([*p[KAON], np.sqrt((p[KAON] ** 2).sum(axis=0) + known[KAON] ** 2)]) / known[KAON]
        origin[:, ends] = (path * flight)[:, None]
    e = {name: np.sqrt((v**2).sum(axis=0) + known[name] ** 2) for name, v in p.items()}
    m = {name: np.full(n, known[name]) for name in p}
    if vertices:
        parent = record.names[0]
        life = model.parameters[f"tau_{channel.parent}"]
        origin[:, 1:] += flown(life, channel, columns, seed, p[parent], e[parent], m[parent])[:, None]
    if mediator is not None:
        made = [*(particle.label for particle in channel.pair.particles), *photons]
        p[MEDIATOR], e[MEDIATOR] = (np.sum([table[name] for name in made], axis=0) for table in (p, e))
        m[MEDIATOR] = np.sqrt(np.maximum(e[MEDIATOR] ** 2 - (p[MEDIATOR] ** 2).sum(axis=0), 0.0))
        whole = p[MEDIATOR], e[MEDIATOR], m[MEDIATOR]
        path = flown(1.0 / mediator.total_width, channel, columns, seed, *whole, MEDIATOR_FLIGHT)
        origin[:, [names.index(name) for name in made]] += path[:, None]
    if record.daughters:
        resonance = record.names[1]
        p[resonance], e[resonance] = (np.sum([table[name] for name in record.daughters], axis=0) for table in (p, e))
        m[resonance] = np.sqrt(np.maximum(e[resonance] ** 2 - (p[resonance] ** 2).sum(axis=0), 0.0))
    numbers = {
        flavour: pdg_ids(channel, flavour, model) | _PION_IDS | dict.fromkeys(photons, _PHOTON) for flavour in (1, -1)
    }
    if mediator is not None:
        numbers = {flavour: ids | {MEDIATOR: mediator.pdg} for flavour, ids in numbers.items()}
    plus, minus = (np.array([numbers[f].get(name, 0) for name in names]) for f in (1, -1))
    flavour: Any = columns["flavour"]
    ids = np.where(flavour[:, None] > 0, plus, minus).astype(np.int32)
    status = np.tile(np.array([*record.status, *(FINAL for _ in photons)], dtype=np.int32), (n, 1))
    if kaon is not None:
        at = record.names.index(KAON)
        ids[:, at], status[:, at] = number, np.where(there[:, ends.start], DECAYED, FINAL)
    px, py, pz = (np.ascontiguousarray(np.stack([p[name][i] for name in names], axis=1)) for i in range(3))
    energy, mass = (np.ascontiguousarray(np.stack([table[name] for name in names], axis=1)) for table in (e, m))
    there[:, ends.stop :] = energy[:, ends.stop :] > SOFTEST
    return _Record(px, py, pz, energy, mass, ids, status, np.ascontiguousarray(origin.swapaxes(1, 2)), there)


def _kaons(channel: Channel, columns: Mapping[str, Any], seed: int) -> tuple[NDArray[np.int32], Array, Array]:
    """Number, momenta of the pions (2, 3, n; NaN without them) and proper decay length (mm) of each event's kaon.

    A file without a column ``kaon`` gets K_S and K_L by a coin of the event's own, and neither decays.
    """
    n = len(columns["flavour"])
    if "kaon" not in columns:
        coin = event_uniforms(columns["event"].astype(np.uint64), seed, channel.index, KAONS.first)[0]
        return np.where(coin < 0.5, K_SHORT, K_LONG).astype(np.int32), np.full((2, 3, n), np.nan), np.zeros(n)
    pions = np.array([[columns[f"{pion}_{axis}"] for axis in AXES] for pion in PIONS], dtype=np.float64)
    return columns["kaon"].astype(np.int32), pions, columns["k_ctau"].astype(np.float64)


def _with_upsilon(beam: UpsilonBeam, found: _Record) -> _Record:
    """The record with the Υ(4S) and the other B in front."""
    momentum = np.stack([found.px[:, 0], found.py[:, 0], found.pz[:, 0]])
    other, energy = other_b(beam, momentum, found.energy[:, 0])
    whole, total = momentum + other, found.energy[:, 0] + energy
    mass = np.sqrt(total**2 - (whole**2).sum(axis=0))
    numbers = np.stack([np.full_like(found.ids[:, 0], UPSILON), -found.ids[:, 0]], axis=1)

    def behind(first: Any, second: Any, rest: Any) -> Any:
        return np.ascontiguousarray(np.concatenate([np.stack([first, second], axis=1), rest], axis=1))

    px, py, pz = (behind(whole[i], other[i], x) for i, x in enumerate((found.px, found.py, found.pz)))
    return _Record(
        px,
        py,
        pz,
        behind(total, energy, found.energy),
        behind(mass, found.mass[:, 0], found.mass),
        np.ascontiguousarray(np.concatenate([numbers, found.ids], axis=1)),
        behind(np.full_like(found.status[:, 0], DECAYED), np.full_like(found.status[:, 0], FINAL), found.status),
        np.ascontiguousarray(np.pad(found.origin, ((0, 0), (0, 0), (2, 0)))),
        np.pad(found.there, ((0, 0), (2, 0)), constant_values=True),
    )


def _mothers(record: Chain, found: _Record, upsilon: bool) -> NDArray[np.int32]:
    """First and last mother of each particle of a record: those of its chain, of its photons that of the leptons."""
    known, first = record.mothers, 2 if upsilon else 0
    photons = found.px.shape[1] - len(known) - first
    source = record.names.index(MEDIATOR) if MEDIATOR in record.names else 0
    places = [
        *((-1, 0) if upsilon else ()),
        *(mother + first for mother in known),
        *(first + source for _ in range(photons)),
    ]
    places[first] = 0 if upsilon else -1  # of the B itself
    return np.array([[place, place] for place in places], dtype=np.int32)


def _in_order(
    pyhepmc: Any,
    made: list[tuple[NDArray[np.bool_], NDArray[np.int32], _Record]],
    columns: Mapping[str, Any],
    weights: Array,
    run_info: Any,
) -> Iterator[Any]:
    """Events of one channel in their order, whichever record they are in."""
    numbers = columns["event"].astype(np.uint64) & np.uint64(0x7FFFFFFF)
    streams = [
        _events(pyhepmc, mothers, found, numbers[mine], weights[mine], run_info) for mine, mothers, found in made
    ]
    owner = np.zeros(len(weights), dtype=int)
    for k, (mine, _, _) in enumerate(made):
        owner[mine] = k
    for k in owner.tolist():
        yield next(streams[k])


def _events(
    pyhepmc: Any,
    mothers: NDArray[np.int32],
    found: _Record,
    numbers: NDArray[np.uint64],
    weights: Array,
    run_info: Any,
) -> Iterator[Any]:
    """Events of one channel and one chain, one after the other in the same record."""
    numbers_of_events = numbers.tolist()
    displaced: Any = found.origin.any(axis=(0, 2)).tolist()
    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    event.run_info = run_info
    for i, weight in enumerate(weights.tolist()):
        k = found.there[i]
        places = dict(zip(("vx", "vy", "vz", "vt"), found.origin[:, i, k], strict=True)) if displaced[i] else {}
        event.from_hepevt(
            numbers_of_events[i],
            found.px[i, k],
            found.py[i, k],
            found.pz[i, k],
            found.energy[i, k],
            found.mass[i, k],
            found.ids[i, k],
            found.status[i, k],
            parents=mothers[k],
            fortran=False,
            **places,
        )
        event.weights = [weight]
        yield event
