r"""Weights that turn events of one model into events of another: the ratio of the full densities.

.. math:: w = \frac{d\Gamma_\mathrm{to}/dq^2\,d\Omega\,(dm_{K\pi})}{d\Gamma_\mathrm{from}/dq^2\,d\Omega\,(dm_{K\pi})}

at the event's q2, angles, mass and flavour, phase space and line shape included. It is not normalised by the sample:
the sum over N events of ``from`` is expected to be N times the ratio of the branching fractions. From flat phase space,
which has none, it is N times the branching fraction of ``to``.

As a polynomial in couplings the weight is exact, see `polynomial`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_library, array_module, to_host
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows, json_types, record
from ...kinematics.base.threads import check_threads, split_work
from ...physics.angular import Convention
from ...physics.channels import Channel, get_channel
from ...physics.final_state import mass_of
from ...physics.kpi import PRESETS, KpiSystem, resolve_kpi
from ...physics.models import Model, ModelLike, as_model
from ...physics.parameters import load_parameters
from ...physics.phase_space import PHASE_SPACE
from ...physics.theory import TheoryLike
from ..files.foreign import EventMap, ForeignEvents
from ..files.joined import PartOfEvents, run_key
from ..files.sample import EventsLike, open_events
from ..files.verify import damages
from ..files.writers import EventFile, Events, open_writer
from ..run.q2 import parse_part, part_name
from .densities_gpu import DeviceWeights
from .density_loops import BINS, ratios
from .event_density import Array, Dynamics, NarrowDensities, WideDensities
from .polynomial import Polynomial, Scheme, scheme_of
from .validate import card_of

THIN = 100.0
"""Effective events in a GeV^2 of q2 below which a sample is thin there, if 0.1 % of the weights or more lie in it."""
Readable = Events | ForeignEvents
_Kind = tuple[Channel, Convention, KpiSystem | None, KpiSystem | None]
_TYPES = {"flavour": "i4", "event": "u8"}
_PIECE = 1 << 13  # events at a time
_ONES = np.ones(_PIECE)
_Chosen = slice | NDArray[np.intp]


@dataclass(frozen=True)
class WeightSummary:
    """What became of a channel's events in one target.

    Attributes:
        channel: its name.
        target: name of the model.
        column: of the weights.
        events: that were weighted.
        mean: of the weights; the ratio of the branching fractions, within its error.
        error: statistical error of the mean.
        effective: (sum w)^2 / sum w^2, the size of an unweighted sample of the same precision.
        largest: weight.
        outside: fraction of the events with weight zero: outside the phase space (or the window) of the target.
        skipped: events that ``from`` cannot have made, left at weight zero.
        thin: q2 (GeV^2) in which the sample has fewer than `THIN` effective events, bins of 1 GeV^2.
    """

    channel: str
    target: str
    column: str
    events: int
    mean: float
    error: float
    effective: float
    largest: float
    outside: float
    skipped: int
    thin: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Weights(Rows[WeightSummary]):
    """Weights of events: one row a channel and target.

    Attributes:
        rows: what became of the events.
        source: name of what the events were made by.
        polynomial: if one was asked for.
        columns: the weights by column, in the order of the events; empty if they went to a file.
        output: the file, if they did.
    """

    source: str
    polynomial: Polynomial | None = None
    columns: Mapping[str, Array] = field(default_factory=dict)
    output: Path | None = None
    left_out: ClassVar[tuple[str, ...]] = ("columns",)

    def __getitem__(self, key: Any) -> Any:
        """A row by number, or the weights of a column by name."""
        return self.columns[key] if isinstance(key, str) else super().__getitem__(key)


def weigh(
    events: EventsLike,
    to: ModelLike | Sequence[ModelLike] = (),
    source: ModelLike | None = None,
    *,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
    polynomial: str | Sequence[str] = (),
    kpi: Any = None,
    where: EventMap | None = None,
    skip: bool = False,
    output: str | os.PathLike[str] | None = None,
    keep: str = "all",
    part: str | tuple[int, int] | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Weights:
    """Weights that turn events into those of other models; see the module's text.

    Args:
        events: a file of darkpenguin, several of one run, a sample in memory, or with ``where`` another program's.
        to: model or models: benchmarks' names, TOML files, fields, or `Model`.
        source: what made the events: a model (``btosllball`` and ``btosllball-6`` are EvtGen's, in files of other
            programs with EvtGen's K* too), or ``phase-space``; what their provenance says if None.
        set: changes of every target, such as ``light_vectors.0.mass=2.8``, one or several.
        theory: what the Standard Model is in the targets.
        polynomial: couplings in which the coefficients of the weight are wanted, at the other fields of the first
            target (or of the Standard Model).
        kpi: of targets, in events with a K pi mass; that of the events if None, of other programs a K* with its width
            in all of phase space; ``narrow`` leaves the mass out.
        where: what the columns of a file of another program are.
        skip: leave events that ``source`` cannot have made at weight zero, instead of refusing them.
        output: file for the weights; without it they are in ``columns``.
        keep: ``all`` columns of the events beside the weights, or ``index``: their number and channel alone.
        part: which of how many equal parts of the events to weigh, as ``17/1000``; the file is named after it.
        overwrite: whether the file may be replaced.
        threads: CPU threads; all without it.
        device: where densities are summed: ``cpu``, ``gpu``, or ``auto``, where the events are; with m_Kpi on the CPU.
            Weights in memory are where the events are.
        progress: called with the number of events after each chunk.

    Raises:
        InputError: events that ``source`` cannot have made (with the first one's number), unknown models or couplings,
            couplings in which amplitudes are not linear, or a file that exists.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> found = weigh(generate("B+->K+mumu", model="sm", events=1000, seed=1), "fig2")
        >>> found.columns["weight_fig2"].shape, round(found[0].effective) > 900
        ((1000,), True)
    """
    if threads is not None:
        check_threads(threads)
    if keep not in ("all", "index"):
        raise InputError(f"keep = {keep!r}: allowed are all, index")
    file = _opened(events, where, source, part, device != "cpu")
    library = file.library if isinstance(file, Events) and device == "auto" else array_library(device)
    if part is not None and output is not None:
        output = part_name(os.fspath(output), parse_part(part))
    couplings = (polynomial,) if isinstance(polynomial, str) else tuple(polynomial)
    targets = _targets(to, set, theory, couplings)
    channels, made_by = _channels(file, kpi, None if source is None else _dynamics(source))
    scheme = scheme_of(couplings, targets[0], [one[0] for one in channels.values()])
    parts = {index: _Part(made_by, targets, scheme, where is not None, *one) for index, one in channels.items()}
    names = _column_names(targets, scheme)
    _check_free(file, names if output is not None and keep == "all" else ())
    poly = None if scheme is None else Polynomial(scheme.couplings, scheme.exponents, tuple(names[len(targets) :]))
    kept = _room(file, len(names)) if output is None and file.rows else None  # all of them, once in memory
    chunks = _weighted(file, parts, names, skip, threads, progress, kept, library)
    provenance = _provenance(file, names, poly, made_by.name)
    if part is not None and output is not None and _is_there(output, provenance):
        return Weights((), made_by.name, poly, {}, Path(output))
    if output is None:
        columns, path = _collected(chunks, names, kept), None
    else:
        columns, path = {}, _write(file, chunks, names, provenance, output, keep, overwrite)
    rows = tuple(row for part in parts.values() for row in part.summaries(names))
    return Weights(rows, made_by.name, poly, columns, path)


def _dynamics(source: ModelLike) -> Dynamics:
    return PHASE_SPACE if source == PHASE_SPACE.name else as_model(source)


def _targets(
    to: ModelLike | Sequence[ModelLike], set: str | Sequence[str], theory: TheoryLike, couplings: Sequence[str]
) -> list[Model]:
    """Models that are weighed to; where couplings alone are named, the Standard Model."""
    several = list(to) if isinstance(to, Sequence) and not isinstance(to, str) else [to]
    found = [as_model(one, set, theory) for one in several] or ([as_model("sm", set, theory)] if couplings else [])
    if not found:
        raise InputError("to = []: name a model at least, or couplings of a polynomial")
    return found


def _room(file: Readable, columns: int) -> Any:
    """Memory for columns of weights where the events are."""
    return (file.library if isinstance(file, Events) else np).empty((columns, file.rows))


def _check_free(file: Readable, names: Sequence[str]) -> None:
    """InputError for a column of weights that the events have already."""
    taken = [name for name in names if name in file.schema]
    if taken:
        raise InputError(f"column {taken[0]}: {str(file.path)!r} has it already; keep = 'index', or name another model")


def _column_names(targets: Sequence[Model], scheme: Scheme | None) -> list[str]:
    names: list[str] = []
    for model in targets:
        name = base = "weight_" + "".join(c if c.isalnum() or c in "_.-" else "_" for c in model.name)
        number = 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    terms = () if scheme is None else scheme.exponents
    return names + ["weight_term_" + "".join(map(str, powers)) for powers in terms]


class _Part:
    """One channel: its densities, and the sums of its weights."""

    def __init__(
        self,
        made_by: Dynamics,
        targets: Sequence[Model],
        scheme: Scheme | None,
        averages: bool,
        channel: Channel,
        convention: Convention,
        before: KpiSystem | None,
        after: KpiSystem | None,
    ) -> None:
        self.channel, self.targets = channel, targets
        self._averages = averages  # of both flavours, where a map asks for them
        probes = [] if scheme is None else scheme.models(channel)
        models, known = (made_by, *targets, *probes), 1 + len(targets)

        def combined(j: Array) -> Array:
            return j if scheme is None else np.concatenate([j[:known], scheme.coefficients(channel, j[known:])])

        self.density: NarrowDensities | WideDensities
        if before is None or after is None:
            self.density = NarrowDensities(channel, models, convention, [made_by, *targets, *probes[-1:]], combined)
        else:
            self.density = WideDensities(channel, models, convention, [before, *(after for _ in models[1:])], combined)
        columns = [*targets, *([] if scheme is None else [scheme.base] * len(scheme.exponents))]
        lifetimes = np.array([model.parameters[f"tau_{channel.parent}"] for model in columns])
        self._unit = lifetimes * channel.branching if made_by is PHASE_SPACE else np.ones(len(columns))
        self.events = self.skipped = 0
        self._there: DeviceWeights | None = None
        self._bins = np.zeros((len(columns), BINS, 5))

    def weights(
        self, columns: Mapping[str, Any], own: Any, chosen: _Chosen, out: Any, threads: int | None, library: Any
    ) -> NDArray[np.bool_]:
        """Write weights of events into ``out[:, chosen]``, add them to the sums; where ``source`` has none of them.

        ``own`` are weights that all events have already, None for ones; densities are summed with the arrays of
        ``library``.
        """
        needed = {name: columns[name][chosen] for name in self.density.variables}
        own = None if own is None else own[chosen]
        home = array_module(out)
        if library is np or not isinstance(self.density, NarrowDensities):
            whole = home is np and isinstance(chosen, slice)
            found = out if whole else np.empty((len(out), len(needed["q2"])))
            impossible, sums = self._here({k: to_host(x) for k, x in needed.items()}, own, found, threads)
        else:
            there = self._there or self.density.on_device(self._unit, self._averages)
            own = None if own is None else library.asarray(own)
            found, wrong, sums = there({k: library.asarray(x) for k, x in needed.items()}, own)
            self._there, impossible = there, to_host(wrong)
        if found is not out:
            out[:, chosen] = to_host(found) if home is np else home.asarray(found)
        self._bins[..., :4] += sums[..., :4]
        np.maximum(self._bins[..., 4], sums[..., 4], out=self._bins[..., 4])
        self.events += len(impossible)
        self.skipped += int(impossible.sum())
        return impossible

    def _here(
        self, needed: Mapping[str, Any], own: Any, found: Array, threads: int | None
    ) -> tuple[NDArray[np.bool_], Array]:
        """Write weights into ``found``; impossible events, and sums.

        A piece of events at a time, so that densities stay in the cache; the sums are those of pieces, in order.
        """
        own, n = None if own is None else to_host(own), found.shape[1]
        impossible, pieces = np.zeros(n, dtype=bool), -(-n // _PIECE)
        sums = np.zeros((pieces, len(found), BINS, 5))

        def work(low: int, high: int) -> None:
            for k in range(low, high):
                part = slice(k * _PIECE, min((k + 1) * _PIECE, n))
                piece = {name: column[part] for name, column in needed.items()}
                values, q2 = self.density(piece), np.ascontiguousarray(piece["q2"], dtype=np.float64)
                if not self._averages:
                    values[np.abs(piece["flavour"]) != 1, 0] = 0.0  # the source makes no such events
                each = np.ascontiguousarray(_ONES[: len(q2)] if own is None else own[part], dtype=np.float64)
                ratios(values, self._unit, q2, each, found[:, part], impossible[part], sums[k])

        split_work(work, pieces, threads if n > 10_000 else 1, pieces=4)
        return impossible, np.concatenate([sums[..., :4].sum(axis=0), sums[..., 4:].max(axis=0, initial=0.0)], axis=-1)

    def summaries(self, names: Sequence[str]) -> list[WeightSummary]:
        """One row a column."""
        found = []
        for name, model, row in zip(names, self.targets, self._bins, strict=False):
            n, total, square, zeros = row[:, :4].sum(axis=0)
            n = max(n, 1.0)
            with np.errstate(divide="ignore", invalid="ignore"):  # a part may have no event of a channel: NaN
                effective = np.nan_to_num(row[:, 1] ** 2 / row[:, 2])
                mean, outside = total / n, (zeros - self.skipped) / n
                error = np.sqrt(max(square / n - mean**2, 0.0) / n)
            thin = np.flatnonzero((row[:, 1] > 1e-3 * total) & (effective < THIN))
            found.append(
                WeightSummary(
                    self.channel.name,
                    model.name,
                    name,
                    self.events,
                    float(mean),
                    float(error),
                    float(total**2 / square) if square > 0 else 0.0,
                    float(row[:, 4].max()),
                    float(outside),
                    self.skipped,
                    tuple((float(i), float(i + 1)) for i in thin),
                )
            )
        return found


def _opened(
    events: EventsLike,
    where: EventMap | None,
    source: ModelLike | None,
    part: str | tuple[int, int] | None,
    where_they_are: bool,
) -> Readable:
    """The events that are weighed."""
    if where is None:
        file = open_events(events, where_they_are)
        return file if part is None else PartOfEvents(file, parse_part(part))
    if part is not None:
        raise InputError("part: events of another program have no numbers in a run; weigh all of them")
    return _foreign(events, where, source)


def _collected(
    chunks: Iterator[tuple[dict[str, Any], dict[str, Array]]], names: Sequence[str], kept: Array | None
) -> dict[str, Array]:
    """Weights in memory: where chunks have written them, or joined where their number was not known."""
    found = [weights for _, weights in chunks]
    if kept is not None:
        return dict(zip(names, kept, strict=True))
    return {name: np.concatenate([piece[name] for piece in found]) if found else np.empty(0) for name in names}


def _foreign(events: EventsLike, where: EventMap, source: ModelLike | None) -> ForeignEvents:
    if not isinstance(events, (str, os.PathLike)):
        raise InputError("where: a map is of one file of another program; a sample in memory needs none")
    if source is None:
        raise InputError(
            f"from: nothing says what made {str(events)!r}; name a model, or {PHASE_SPACE.name} if it has no dynamics"
        )
    return ForeignEvents(events, where)


def _channels(file: Readable, kpi: Any, made_by: Dynamics | None) -> tuple[dict[int, _Kind], Dynamics]:
    """Channels of a file by number, with convention and K pi systems before and after, and what made them."""
    found, source = _kinds(file, None if kpi is None else resolve_kpi(kpi), made_by)
    if kpi is not None and not (resolve_kpi(kpi).narrow or any(after for *_, after in found.values())):
        raise InputError(f"kpi = {kpi!r}: the events have no m_kpi that it could be of; leave it out, or take 'narrow'")
    return found, source


def _kinds(file: Readable, asked: KpiSystem | None, made_by: Dynamics | None) -> tuple[dict[int, _Kind], Dynamics]:
    if isinstance(file, ForeignEvents):
        assert made_by is not None  # `_foreign` has seen to it
        channel = file.channel
        wide = "m_kpi" in file.columns and not (asked and asked.narrow)
        before = _made_masses(channel, made_by) if wide else None
        after = before and (asked or _all_masses(channel))
        return {0: (channel, file.where.convention, before, after)}, made_by
    card = card_of(file)
    found: dict[int, _Kind] = {}
    for entry in file.provenance["channels"]:
        channel = get_channel(str(entry["name"]))
        decay = card.kpi_decay(channel)
        for name in ("channel", "q2", *channel.angles, "flavour", *(("m_kpi",) if decay else ())):
            if name not in file.schema:
                raise InputError(f"file = {str(file.path)!r}: no column {name!r}, which {channel.name} has")
        system = None if decay is None else decay.system
        aim = asked if system and asked else system
        found[int(entry["index"])] = channel, card.convention, system, None if aim and aim.narrow else aim
    return found, card.model if made_by is None else made_by


def _made_masses(channel: Channel, made_by: Dynamics) -> KpiSystem:
    """The K* of what made events elsewhere: EvtGen's, of its own width, if that is what did."""
    if not (isinstance(made_by, Model) and made_by.theory.amplitudes != "flavio"):
        return _all_masses(channel)
    mass, width = load_parameters()["m_" + channel.hadron], channel.transition.width
    return PRESETS["evtgen"].model_copy(update={"m_min": mass - 0.231, "m_max": mass + 15.1 * width})


def _all_masses(channel: Channel) -> KpiSystem:
    """A K* with its width in all masses that there are."""
    low = sum(mass_of(particle) for particle in channel.transition.daughters)
    high = load_parameters()["m_" + channel.parent] - 2.0 * channel.lepton_mass()
    return KpiSystem(m_min=low * (1 + 1e-12), m_max=high * (1 - 1e-12))


def _weighted(
    file: Readable,
    parts: Mapping[int, _Part],
    names: Sequence[str],
    skip: bool,
    threads: int | None,
    progress: Callable[[int], None] | None,
    kept: Any,
    library: Any,
) -> Iterator[tuple[dict[str, Any], dict[str, Array]]]:
    """Chunks of the events, and their weights, which are written into ``kept`` if there is such an array."""
    first_row = 0
    for columns in file.chunks():
        n = len(columns["q2"])
        home = array_module(columns["q2"])
        found = home.empty((len(names), n)) if kept is None else kept[:, first_row : first_row + n]
        first_row += n
        ours = not isinstance(file, ForeignEvents)
        rows = _rows(columns["channel"], parts) if ours else {0: slice(0, n)}
        own = columns.get("weight") if ours else None
        if not any(isinstance(chosen, slice) for chosen in rows.values()):
            found[:] = 0.0  # of channels that are not known
        for index, chosen in rows.items():
            part = parts[index]
            impossible = part.weights(columns, own, chosen, found, threads, library)
            if impossible.any() and not skip:
                first = int(home.arange(n)[chosen][int(np.flatnonzero(impossible)[0])])
                shown = [name for name in ("q2", *part.channel.angles, "m_kpi", "flavour") if name in columns]
                at = ", ".join(f"{name} = {columns[name][first].item():.6g}" for name in shown)
                number = int(columns["event"][first]) if "event" in columns else first_row - n + first
                raise InputError(
                    f"event {number} of {part.channel.name}: it cannot be weighted, since what it is "
                    f"weighted from never makes it ({at}); name what made the events, or skip such events"
                )
        yield columns, dict(zip(names, found, strict=True))
        if progress is not None:
            progress(n)


def _rows(numbers: Any, parts: Mapping[int, _Part]) -> dict[int, _Chosen]:
    """The events of each channel; a slice where all are of one."""
    found: dict[int, _Chosen] = {}
    xp = array_module(numbers)
    for index in parts:
        mine = numbers == index
        n = int(xp.count_nonzero(mine))
        if n:
            found[index] = slice(0, n) if n == len(mine) else xp.flatnonzero(mine)
    return found


def _provenance(file: Readable, names: Sequence[str], polynomial: Polynomial | None, source: str) -> dict[str, Any]:
    """That of the events, with what the weights are."""
    said = {"from": source, "columns": list(names), "polynomial": None if polynomial is None else record(polynomial)}
    return {**file.provenance, "weights": json_types(said)}


def _is_there(output: str | os.PathLike[str], provenance: Mapping[str, Any]) -> bool:
    """Whether a part was weighed before, into a file that is as it was written."""
    try:
        known = EventFile(output).provenance
    except InputError:
        return False
    same = run_key(known) == run_key(provenance) and known.get("range") == provenance["range"]
    return same and damages(output) == []


def _write(
    file: Readable,
    chunks: Iterator[tuple[dict[str, Any], dict[str, Array]]],
    names: Sequence[str],
    provenance: Mapping[str, Any],
    output: str | os.PathLike[str],
    keep: str,
    overwrite: bool,
) -> Path:
    """Write events and weights."""
    known = dict(file.schema)
    if isinstance(file, ForeignEvents):
        own = {name: np.dtype(_TYPES.get(name, "f8")) for name in file.columns}
        known = {**{file.kept_name(name): kind for name, kind in file.schema.items()}, **own}
    kept = list(known) if keep == "all" else [name for name in ("channel", "event") if name in known]
    schema = {**{name: known[name] for name in kept}, **dict.fromkeys(names, np.dtype(np.float64))}
    with open_writer(output, schema, provenance, overwrite=overwrite) as writer:
        for columns, weights in chunks:
            rows = {**{name: columns[name] for name in kept}, **weights}
            writer.extend({name: to_host(column) for name, column in rows.items()})
    return writer.path
