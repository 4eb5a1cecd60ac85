"""From a run card to events: in memory, or chunk by chunk into files.

The events of a run are numbered from 0, channel after channel in the order of the card, and event ``i`` is a pure
function of the card and ``i``.  Any part of a run (``range``) is therefore that part of the whole, bit by bit.
"""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kinematics.errors import InputError
from ..physics.channels import Channel
from ..physics.models import Model, check_single_precision
from ..physics.parameters import load_parameters
from ..physics.widths import lepton_widths
from .backend import Backend, select_backend
from .chunks import chunk_size, collect, make_chunks
from .counts import array_module
from .events import ANGLES, UNITS, EventSample, ordered
from .runcard import MAXIMUM_EVENTS, RunCard, make_card, read_card
from .tables import Table, channel_table
from .writers import EventWriter, check_target, open_writer, readable_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .kpi_tables import KpiTable
    from .stages import Stage

PROVENANCE_VERSION = 1
"""Version of the provenance's layout."""

PACKAGES = (
    "darkpenguin",
    "flavio",
    "numba",
    "numpy",
    "scipy",
    "uproot",
    "awkward",
    "pyarrow",
    "numba-cuda",
    "cupy",
)
"""Packages whose versions go into the provenance."""

_POISSON_STREAM = 1 << 32


@dataclass(frozen=True)
class Part:
    """One channel of a run.

    Attributes:
        channel: entry of the registry.
        table: the tables that the sampler reads.
        mean: expected number of events.
        count: events of this channel in the whole run.
        first: number of its first event in the whole run.
        branching: branching fraction into the selected ranges of q2, averaged over the flavours generated and
            with K* -> K pi.
        momenta: whether the momenta of its particles are columns too.
        stages: what is done to its events once they are made.
    """

    channel: Channel
    table: Table | KpiTable
    mean: float
    count: int
    first: int
    branching: float
    momenta: bool = False
    stages: tuple[Stage, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that this channel has."""
        return tuple(dict.fromkeys((*self.made, *(name for stage in self.stages for name in stage.adds))))

    @property
    def momentum_names(self) -> tuple[str, ...]:
        """Names of the momentum columns that this channel has."""
        if not self.momenta:
            return ()
        from .momenta import momentum_columns

        return momentum_columns(self.channel)

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the columns that there are before any stage."""
        extra = tuple(name for name in self.table.columns if name == "m_kpi") + self.momentum_names
        return ordered(("q2", *self.channel.angles, "flavour", "channel", "event", "weight", *extra))


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start: tables built, yields drawn, backend chosen.

    Attributes:
        card: what was asked for.
        parts: one entry a channel.
        start: first event to make.
        stop: first event after those to make.
        backend: where the events are made.
    """

    card: RunCard
    parts: tuple[Part, ...]
    start: int
    stop: int
    backend: Backend

    @property
    def total(self) -> int:
        """Events of the whole run."""
        return sum(part.count for part in self.parts)

    def span(self, part: Part) -> tuple[int, int]:
        """Return the first event of a channel's own stream to make, and the first one after."""
        start = min(max(self.start - part.first, 0), part.count)
        stop = min(max(self.stop - part.first, 0), part.count)
        return start, stop

    def schema(self, channels: Sequence[str]) -> dict[str, np.dtype[Any]]:
        """Return the column types of a file with these channels: the union of their columns."""
        names = ordered(tuple(dict.fromkeys(name for part in self._parts(channels) for name in part.columns)))
        floating: np.dtype[Any] = np.dtype(self.card.precision)
        integers = {"flavour": "i4", "channel": "i4", "event": "u8"}
        for part in self._parts(channels):
            for stage in part.stages:
                integers |= {name: kind for name, kind in stage.adds.items() if kind != "float"}
        return {name: np.dtype(integers[name]) if name in integers else floating for name in names}

    def chunks(
        self,
        part: Part,
        size: int | None = None,
        reuse: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the events of one channel, ``size`` at a time, or what its stages leave of them.

        With ``reuse`` the arrays of a chunk are overwritten by later ones, which saves the time of new memory.
        ``progress`` is called with the number of events made for each chunk once it has been used.
        """
        pieces = self._pieces(part, size)
        for (low, high), columns in zip(
            pieces, make_chunks(self.card, part, self.backend, pieces, reuse), strict=True
        ):
            yield columns
            if progress is not None:
                progress(high - low)

    def collect(self, part: Part) -> dict[str, Any]:
        """Return all events of one channel in memory, or what its stages leave of them."""
        pieces = self._pieces(part, None if part.momenta or part.stages else 1 << 62)
        if not any(stage.removes for stage in part.stages):
            return collect(self.card, part, self.backend, pieces, self.schema((part.channel.name,)))
        chunks = list(make_chunks(self.card, part, self.backend, pieces, reuse=False))
        library = array_module(chunks[0]["q2"])
        return {name: library.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _pieces(self, part: Part, size: int | None) -> list[tuple[int, int]]:
        """Return the bounds of the chunks of one channel, of ``size`` events or of a size that suits their width."""
        first, stop = self.span(part)
        size = size or chunk_size(self.row_bytes((part.channel.name,)))
        # cut at multiples of the size: the sampler computes whole blocks, and a cut inside one costs it twice
        edges = [first, *range((first // size + 1) * size, stop, size), stop] if first < stop else []
        return list(pairwise(edges))

    def row_bytes(self, channels: Sequence[str]) -> int:
        """Return the bytes of one event, before compression."""
        return sum(dtype.itemsize for dtype in self.schema(channels).values())

    def rows(self, channels: Sequence[str]) -> int:
        """Return the number of events of these channels to make."""
        return sum(stop - start for start, stop in map(self.span, self._parts(channels)))

    def provenance(self, channels: Sequence[str]) -> dict[str, Any]:
        """Return what a file of these channels says about itself, in JSON types."""
        entries = []
        for part in self._parts(channels):
            start, stop = self.span(part)
            entries.append(
                {
                    "name": part.channel.name,
                    "index": part.channel.index,
                    "columns": list(part.columns),
                    "events": stop - start,
                    "events_of_run": part.count,
                    "first_event_of_run": part.first,
                    "expected_events_of_run": part.mean,
                    "branching_fraction": part.branching,
                    "rates": {_word(flavour): float(rate) for flavour, rate in part.table.rates.items()},
                }
            )
        parameters = load_parameters()
        return {
            "provenance_version": PROVENANCE_VERSION,
            "card": self.card.for_provenance(),
            "model": self.card.model.model_dump(mode="json"),
            "channels": entries,
            "events": self.rows(channels),
            "events_of_run": self.total,
            "range": [self.start, self.stop],
            "seed": self.card.seed,
            "stages": {key: value for stage in self._stages for key, value in stage.describe().items()},
            "flavour": self.card.flavour,
            "convention": self.card.convention,
            "precision": self.card.precision,
            "backend": self.backend.describe(),
            "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
            "versions": {"python": platform.python_version(), **package_versions()},
            "parameters": {
                name: {"value": parameters.entry(name).value, "unit": parameters.entry(name).unit}
                for name in parameters
            },
            "units": {name: UNITS.get(name, "GeV") for name in self.schema(channels)},
        }

    @property
    def _stages(self) -> tuple[Stage, ...]:
        """All channels share their stages."""
        return self.parts[0].stages if self.parts else ()

    def _parts(self, channels: Sequence[str]) -> list[Part]:
        return [part for part in self.parts if part.channel.name in channels]


@dataclass(frozen=True)
class PartReport:
    """What became of one channel: its part of the plan, events made and written, and seconds spent on them."""

    part: Part
    events: int
    written: int
    seconds: float
    file: Path


@dataclass(frozen=True)
class RunReport:
    """What a run made: its files, one entry a channel, seconds in all and how it was made."""

    plan: Plan
    files: tuple[Path, ...]
    parts: tuple[PartReport, ...]
    seconds: float


def plan_run(card: RunCard) -> Plan:
    """Build the tables of a run, draw its yields and choose its backend.

    The number of events of a channel is ``events``, or ``b_mesons`` times its branching fraction (tau_B times the
    rate in the selected ranges of q2, with K* -> K pi); with ``poisson`` that is the mean of the number, which is
    then drawn from seed and channel.  ``b_mesons`` counts both charges in equal parts: with one flavour only,
    half of them decay here.

    Raises:
        InputError: a range of q2 or of events outside what there is, no event expected, or no such device.
    """
    backend = select_backend(device=card.device, precision=card.precision, threads=card.threads)
    stages = _make_stages(card)
    _check_widths(card.model)
    parts = []
    first = 0
    for channel in card.registry():
        if card.precision == "float32":
            check_single_precision(card.model, channel)
        table = event_table(card, channel)
        lifetime = load_parameters()[f"tau_{channel.parent}"]
        rates = [float(rate) for rate in table.rates.values() if rate > 0.0]
        branching = lifetime * channel.branching * sum(rates) / max(len(rates), 1)
        share = 1.0 if card.flavour == "both" else 0.5
        mean = float(card.events) if card.events is not None else (card.b_mesons or 0.0) * share * branching
        if mean > MAXIMUM_EVENTS:
            raise InputError(
                f"b_mesons = {card.b_mesons:g}: {mean:.2g} events of {channel.name} are expected, and a run has "
                f"{MAXIMUM_EVENTS:.1e} at most; lower it to {MAXIMUM_EVENTS / (share * branching):.1e}"
            )
        count = _draw(card.seed, channel.index, mean) if card.poisson else round(mean)
        if count == 0 and not card.poisson:
            raise InputError(
                f"b_mesons = {card.b_mesons:g}: {mean:.2g} events of {channel.name} are expected; raise it to "
                f"{1 / (share * branching):.1e} or more, or draw the number with poisson"
            )
        parts.append(Part(channel, table, mean, count, first, branching, card.beam is not None, stages))
        known = parts[-1].made
        for stage in stages:
            stage.check(channel, known)
            known = (*known, *stage.adds)
        first += count
    start, stop = card.range if card.range is not None else (0, first)
    if stop > first:
        raise InputError(
            f"range = {start}:{stop}: the run has {first} events; needs 0 <= START < STOP <= {first}"
        )
    return Plan(card, tuple(parts), start, stop, backend)


def event_table(card: RunCard, channel: Channel) -> Table | KpiTable:
    """Build the table that the events of a channel are sampled from."""
    decay = card.kpi_decay(channel)
    if decay is None:
        return channel_table(channel, card.model, card.flavour, card.convention, card.q2, card.veto)
    from .kpi_tables import kpi_table

    return kpi_table(decay, card.flavour, card.convention, card.q2, card.veto)


def generate(
    channels: str | Sequence[str] | RunCard,
    model: str | Model | Mapping[str, Any] = "sm",
    events: float | str | None = None,
    *,
    b_mesons: float | None = None,
    poisson: bool = False,
    set: str | Sequence[str] = (),
    flavour: str = "both",
    convention: str = "lhcb",
    kpi: str | Mapping[str, Any] = "narrow",
    beam: str | Mapping[str, Any] | None = None,
    resolution: str | Mapping[str, Any] | None = None,
    selection: Any = None,
    efficiency: Any = None,
    q2: Sequence[Any] = (),
    veto: Sequence[Any] = (),
    seed: int = 1,
    range: tuple[int, int] | str | None = None,
    device: str = "auto",
    precision: str = "float64",
    threads: int | None = None,
) -> EventSample:
    """Generate unweighted events in memory.

    Args:
        channels: name of a channel, several names, or a whole run card (the other arguments then do not count).
        model: a benchmark's name, a :class:`~darkpenguin.Model`, or its fields.
        events: events of each channel.
        b_mesons: instead of ``events``: B mesons of each charge, conjugates included.
        poisson: draw the number of events from a Poisson distribution.
        set: change of the model, such as ``light_vectors.0.mass=2.8``, or several.
        flavour: ``b`` (B0, B+), ``bbar``, or ``both`` in the ratio of their rates.
        convention: of the angles, ``lhcb`` or ``theory``.
        kpi: the Kpi pair: ``narrow`` (a K* of zero width), ``pwave`` (its width, a column ``m_kpi``), of l l also
            ``swave`` (the S wave too), or the fields of a :class:`~darkpenguin.physics.kpi.KpiSystem`.
        beam: where the B comes from (``rest``, ``belle2``, ``lhcb-13tev`` ..., or a table, see
            :func:`~darkpenguin.generator.momenta.resolve_beam`), for momenta in the laboratory.
        resolution: what a detector makes of the momenta: ``lhcb``, ``belle2``, or the fields of a
            :class:`~darkpenguin.generator.resolution.ResolutionSettings`.
        selection: cuts such as ``["lhcb", "pt(k) > 0.25"]``, or a dictionary of them and the mode, see
            :class:`~darkpenguin.generator.selection.SelectionSettings`.
        efficiency: maps of the probability that an event is kept and the mode: a dictionary, see
            :class:`~darkpenguin.generator.efficiency.EfficiencySettings`.
        q2: one range ``(min, max)`` or several (GeV^2); empty for all of it.
        veto: ranges of q2 to leave out, as pairs or as ``jpsi`` and ``psi2s``.
        seed: seed of the random numbers.
        range: first event of a part of the run and the first after it.
        device: ``auto``, ``cpu`` or ``gpu``.
        precision: ``float64`` or ``float32``.
        threads: CPU threads; all of them when None.

    Returns:
        The sample, with NumPy columns from the CPU and CuPy columns from a GPU.

    Raises:
        InputError: any of these that cannot be used, or a sample larger than the memory.

    Example:
        >>> sample = generate("B0->K*0mumu", model="fig2", events=1000, seed=7)
        >>> len(sample), sample.names
        (1000, ('q2', 'cos_theta_k', 'cos_theta_l', 'phi', 'flavour', 'channel', 'event', 'weight'))
    """
    if isinstance(channels, RunCard):
        card = channels
    else:
        card = make_card(
            channels=channels,
            model=model,
            set=set,
            events=events,
            b_mesons=b_mesons,
            poisson=poisson,
            flavour=flavour,
            convention=convention,
            kpi=kpi,
            beam=beam,
            resolution=resolution,
            selection=selection,
            efficiency=efficiency,
            q2=q2,
            veto=veto,
            seed=seed,
            range=range,
            device=device,
            precision=precision,
            threads=threads,
        )
    plan = plan_run(card)
    names = card.channels
    _check_memory(plan.rows(names) * plan.row_bytes(names))
    wanted = [part for part in plan.parts if plan.span(part)[0] < plan.span(part)[1]]
    samples = [EventSample(plan.collect(part), {}) for part in wanted]
    provenance, schema = plan.provenance(names), plan.schema(names)
    if not samples:
        return EventSample({name: np.empty(0, dtype) for name, dtype in schema.items()}, provenance)
    joined = samples[0] if len(samples) == 1 else EventSample.concatenate(samples)
    library = array_module(joined["q2"])
    columns = {  # those of the whole run, also where its part has only channels without some of them
        name: joined[name] if name in joined.names else library.full(len(joined), np.nan, dtype=dtype)
        for name, dtype in schema.items()
    }
    return EventSample(columns, provenance)


def run(card: RunCard | str | os.PathLike[str], progress: Callable[[int], None] | None = None) -> RunReport:
    """Generate events into the files that a card names; each appears whole or not at all.

    Args:
        card: a checked card, the path of one, or the name of a built-in one.
        progress: called with the number of events after each chunk.

    Raises:
        InputError: a card that cannot be used; see also :func:`~darkpenguin.generator.writers.open_writer`.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.runcard import make_card
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     card = make_card(channels="B+->K+mumu", events=100, output=f"{folder}/x.root")
        ...     report = run(card)
        >>> report.parts[0].events
        100
    """
    if not isinstance(card, RunCard):
        card = make_card(read_card(card))
    check_files(card)
    return execute(plan_run(card), progress)


def check_files(card: RunCard) -> None:
    """Check the files of a card before any other work.

    Raises:
        InputError: no file, a folder missing or not writable, or a file that exists.
    """
    if card.output is None:
        raise InputError("output: missing; name a file, for example events.root")
    for name in (*card.files(), *card.figures):
        check_target(name, overwrite=card.overwrite)


def check_space(plan: Plan) -> None:
    """Check that the events of a plan fit on the disk, uncompressed.

    Raises:
        InputError: they do not.
    """
    needed: dict[Path, int] = {}
    for name, channels in plan.card.files().items():
        folder = Path(name).parent
        needed[folder] = needed.get(folder, 0) + plan.rows(channels) * plan.row_bytes(channels) + 100_000
        check_target(name, needed[folder], overwrite=plan.card.overwrite)


def execute(
    plan: Plan, progress: Callable[[int], None] | None = None, chunk: int | None = None
) -> RunReport:
    """Generate the events of a plan into its files.

    Raises:
        InputError: not enough space on the disk, or a file that cannot be written.
    """
    card = plan.card
    files = card.files()
    check_space(plan)
    began = time.perf_counter()
    reports = []
    with ExitStack() as stack:
        writers: dict[str, EventWriter] = {}
        for name, channels in files.items():
            writer = open_writer(
                name,
                plan.schema(channels),
                plan.provenance(channels),
                card.format,
                card.compression,
                card.overwrite,
            )
            writers.update(dict.fromkeys(channels, stack.enter_context(writer)))
        for part in plan.parts:
            writer = writers[part.channel.name]
            started = time.perf_counter()
            written = 0
            for columns in plan.chunks(part, chunk, reuse=True, progress=progress):
                writer.extend(columns)
                written += len(columns["q2"])
            first, stop = plan.span(part)
            reports.append(PartReport(part, stop - first, written, time.perf_counter() - started, writer.path))
    return RunReport(plan, tuple(Path(name) for name in files), tuple(reports), time.perf_counter() - began)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that take part, of those that are installed.

    >>> "numpy" in package_versions()
    True
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _make_stages(card: RunCard) -> tuple[Stage, ...]:
    """Return what a card asks to be done to its events, in order: the files read and checked."""
    stages: list[Stage] = []
    if card.resolution is not None:
        from .resolution import ResolutionStage

        stages.append(ResolutionStage(card.resolution, card.registry(), card.beam))
    if card.selection is not None:
        from .selection import SelectionStage

        stages.append(SelectionStage(card.selection))
    if card.efficiency is not None:
        from .efficiency import EfficiencyStage

        stages.append(EfficiencyStage.from_settings(card.efficiency, card.registry()))
    return tuple(stages)


def _check_widths(model: Model) -> None:
    """RuntimeWarning for a light vector whose decays into leptons alone are more than its total width."""
    for number, vector in enumerate(model.light_vectors):
        partial = sum(lepton_widths(vector).values())
        if partial > vector.total_width:
            warnings.warn(
                f"light_vectors[{number}]: its couplings to leptons alone give a width of {partial:.3g} GeV, more than "
                f"the total of {vector.total_width:.3g} GeV; rates at its peak are too large, raise the width",
                RuntimeWarning,
                stacklevel=3,
            )


def _draw(seed: int, stream: int, mean: float) -> int:
    """Return a Poisson number that only seed, stream and mean decide."""
    key: NDArray[np.uint64] = np.array([seed, _POISSON_STREAM + stream], dtype=np.uint64)
    return int(np.random.Generator(np.random.Philox(key=key)).poisson(mean))


def _word(flavour: int) -> str:
    return "b" if flavour > 0 else "bbar"


def _check_memory(n_bytes: int) -> None:
    """Raise InputError when a sample does not fit into the machine's memory."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    if n_bytes > 0.8 * total:
        raise InputError(
            f"events: the sample takes {readable_size(n_bytes)} and the memory is {readable_size(total)}; "
            "ask for fewer events or a part (range), or stream them to a file with run()"
        )


def _processor() -> str:
    """Return the name of the CPU: results are bitwise reproducible on one model of it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


__all__ = [
    "ANGLES",
    "Part",
    "PartReport",
    "Plan",
    "RunReport",
    "check_files",
    "check_space",
    "execute",
    "generate",
    "package_versions",
    "plan_run",
    "run",
]
