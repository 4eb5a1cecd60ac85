"""From a run card to events: in memory, or chunk by chunk into files.

The events of a run are numbered from 0, channel after channel in the order of the card, and event ``i`` is a pure
function of the card and ``i``.  Any part of a run (``range``) is therefore that part of the whole, bit by bit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.arrays import array_library
from ...kinematics.base.cards import shows_keys
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import OutputLock, check_target, readable_size
from ...kinematics.base.results import Result, json_types
from ...physics.channels import CHANNELS
from ...physics.models import ModelLike
from ..files.sample import EventSample
from ..files.writers import EventWriter, open_writer
from . import reduce
from .card import RunCard
from .device import check_device_memory
from .parts import Part
from .plan import Plan, plan_run
from .stream import EventStream
from .workers import Workers, check_dask


@dataclass(frozen=True)
class PartReport:
    """What became of one channel: its part of the plan, events made and written, and seconds spent on them."""

    part: Part
    events: int
    written: int
    seconds: float
    file: Path


@dataclass(frozen=True)
class RunReport(Result):
    """What a run made: its files, one entry a channel, seconds in all and how it was made."""

    plan: Plan
    files: tuple[Path, ...]
    parts: tuple[PartReport, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return files, channels and seconds in JSON types, with the card."""
        found = {"files": self.files, "channels": self.records(), "seconds": self.seconds, "card": self.plan.card}
        return {key: json_types(value) for key, value in found.items()}

    def records(self) -> list[dict[str, Any]]:
        """Return a dictionary for every channel."""
        return [
            {
                "channel": entry.part.channel.name,
                "events": entry.events,
                "written": entry.written,
                "branching_fraction": entry.part.branching,
                "seconds": entry.seconds,
                "file": str(entry.file),
            }
            for entry in self.parts
        ]


RunSource = str | os.PathLike[str] | Sequence[str] | Mapping[str, Any] | RunCard | None
"""What a run is named by: a channel or several, a TOML file, a built-in card's name, a dictionary, a `RunCard`."""


@shows_keys(RunCard)
def generate(
    channels: RunSource = None,
    model: ModelLike | None = None,
    events: float | str | None = None,
    *,
    library: str = "numpy",
    **keys: Any,
) -> EventSample:
    """Generate unweighted events in memory.

    Args:
        channels: name of a channel or several names, with ``keys`` for the rest; or a whole run card: a TOML file, a
            built-in card's name, a dictionary, or a `RunCard`.
        model: a benchmark's name, a TOML file, fields, or a `Model`; the card's own, or ``sm``, without it.
        events: events of each channel.
        library: ``numpy``, or ``cupy`` for columns on the GPU, where they stay if it makes them.
        **keys: other keys of a run card, on top of those of the card:

            - ``set``: changes of the model, such as ``light_vectors.0.mass=2.8``, one or several; ``theory``: what the
              Standard Model is taken to be, a table of the keys of a `~darkpenguin.physics.theory.Theory`.
            - ``b_mesons``: instead of ``events``, B mesons of each charge, conjugates included; or ``accepted``: events
              that pass cuts and efficiency; ``poisson``: draw the number from a Poisson distribution.
            - ``flavour``: ``b`` (B0, B+), ``bbar``, or ``both`` in the ratio of their rates; ``convention`` of the
              angles, ``lhcb`` or ``theory``.
            - ``kpi``: ``narrow`` (a K* of zero width), ``pwave`` (its width, a column ``m_kpi``), of l l also ``swave``
              (the S wave too), or the fields of a `~darkpenguin.physics.kpi.KpiSystem`.
            - ``beam``: where the B comes from, for momenta in the laboratory; and a key for each of the stages in
              `~darkpenguin.generator.lab.table.STAGES`: ``resolution``, ``selection``, ``efficiency`` ...
            - ``q2``: one range ``(min, max)`` or several (GeV^2); ``veto``: ranges to leave out, ``jpsi``, ``psi2s``.
            - ``seed``; ``range``: first event of a part of the run and the first after it; or ``part``, as ``17/1000``.
            - ``device``: ``auto``, ``cpu`` or ``gpu``; ``precision``: ``float64`` or ``float32``; ``threads``.

    Returns:
        The sample, with NumPy columns unless others are asked for.

    Raises:
        InputError: any of these that cannot be used, or a sample larger than the memory.

    Example:
        >>> sample = generate("B0->K*0mumu", model="fig2", events=1000, seed=7)
        >>> len(sample), sample.names
        (1000, ('q2', 'cos_theta_k', 'cos_theta_l', 'phi', 'flavour', 'channel', 'event', 'weight'))
    """
    if library not in ("numpy", "cupy"):
        raise InputError(f"library = {library!r}: numpy or cupy")
    xp = np if library == "numpy" else array_library("gpu")
    card = card_of(channels, {"model": model, "events": events, **keys})
    if card.reduce is not None:
        raise InputError("reduce: histograms go to a file; use run(), with an output")
    plan = plan_run(card, on_device=library == "cupy")
    names = card.channels
    on_device = library == "cupy" and plan.backend.name == "gpu"
    (check_device_memory if on_device else _check_memory)(plan.rows(names) * plan.row_bytes(names))
    wanted = [part for part in plan.parts if plan.span(part)[0] < plan.span(part)[1]]
    samples = [EventSample(plan.collect(part, on_device), {}) for part in wanted]
    provenance, schema = plan.provenance(names), plan.schema(names)
    if not samples:
        return EventSample({name: xp.empty(0, dtype=dtype) for name, dtype in schema.items()}, provenance)
    joined = samples[0] if len(samples) == 1 else EventSample.concatenate(samples)
    columns = {  # those of the whole run, also where its part has only channels without some of them
        name: xp.asarray(joined[name]) if name in joined.names else xp.full(len(joined), np.nan, dtype=dtype)
        for name, dtype in schema.items()
    }
    return EventSample(columns, provenance)


def card_of(channels: Any, keys: Mapping[str, Any]) -> RunCard:
    """The card that is meant by a channel or several, or by a card, with keys on top.

    >>> card_of("B0->K*0mumu", {"events": 10}) == card_of({"channels": ["B0->K*0mumu"], "events": 10}, {})
    True
    """
    named = isinstance(channels, str) and ("->" in channels or channels in CHANNELS)
    if named or (isinstance(channels, Sequence) and not isinstance(channels, str)):
        return RunCard.make(None, **{"channels": channels, **keys})
    return RunCard.make(channels, **keys)


@shows_keys(RunCard)
def run(
    card: RunSource = None, progress: Callable[[int], None] | None = None, dask: str | None = None, **keys: Any
) -> RunReport:
    """Generate events into the files that a card names; each appears whole or not at all.

    A long run (16 million events or more) that was stopped goes on from the last chunk that it had made.

    Args:
        card: a TOML file, a built-in card's name, a dictionary, a `RunCard`, or channels as in `generate`.
        progress: called with the number of events after each chunk.
        dask: address of a Dask scheduler, or ``local:N``, whose workers make the events, or fill the histograms.
        **keys: keys of a run card on top, see `generate`; ``output`` names the file (``{channel}`` in its name makes a
            file a channel), ``format``, ``compression`` and ``overwrite`` say how it is written. ``reduce`` asks
            for histograms instead of events: a TOML file with a table each, or such tables.

    Raises:
        InputError: a card that cannot be used; see also :func:`~darkpenguin.generator.files.writers.open_writer`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = run("B+->K+mumu", events=100, output=f"{folder}/x.root")
        >>> report.parts[0].events
        100
    """
    checked = card_of(card, keys)
    check_files(checked)
    check_dask(dask)
    return execute(plan_run(checked), progress, dask=dask)


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
    """Check that the events of a plan fit on the disk, uncompressed, or that its histograms can be filled.

    Raises:
        InputError: they do not, or cannot.
    """
    if plan.card.reduce is not None:
        reduce.empty(plan)
        return
    needed: dict[Path, int] = {}
    for name, channels in plan.card.files().items():
        folder = Path(name).parent
        needed[folder] = needed.get(folder, 0) + plan.rows(channels) * plan.row_bytes(channels) + 100_000
        check_target(name, needed[folder], overwrite=plan.card.overwrite)


def execute(
    plan: Plan, progress: Callable[[int], None] | None = None, chunk: int | None = None, dask: str | None = None
) -> RunReport:
    """Generate the events of a plan into its files; a long run goes on from where an earlier start of it was stopped.

    Raises:
        InputError: not enough space on the disk, or a file that cannot be written.
    """
    card = plan.card
    files = card.files()
    if card.reduce is not None:
        return _reduced(plan, progress, dask)
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
                card.threads,
            )
            writers.update(dict.fromkeys(channels, stack.enter_context(writer)))
        stream = EventStream(plan, stack.enter_context(Workers(dask)), chunk)
        for part in plan.parts:
            writer = writers[part.channel.name]
            started, written = time.perf_counter(), 0

            def use(columns: Mapping[str, Any], writer: EventWriter = writer) -> None:
                nonlocal written
                writer.extend(columns)
                written += len(columns["q2"])

            stream.chunks(part, use, progress)
            first, stop = plan.span(part)
            reports.append(PartReport(part, stop - first, written, time.perf_counter() - started, writer.path))
    stream.discard()
    return RunReport(plan, tuple(Path(name) for name in files), tuple(reports), time.perf_counter() - began)


def _reduced(plan: Plan, progress: Callable[[int], None] | None, dask: str | None) -> RunReport:
    """Fill the histograms that a plan's card asks for, and write them."""
    (output,) = map(Path, plan.card.files())
    began = time.perf_counter()
    reports = []
    found = reduce.empty(plan)
    with OutputLock(output) as lock, Workers(dask) as workers:
        for part in plan.parts:
            started = time.perf_counter()
            written = reduce.fill(found, plan, part, progress, workers)
            first, stop = plan.span(part)
            reports.append(PartReport(part, stop - first, written, time.perf_counter() - started, output))
        reduce.write(found, output, plan.card.overwrite, lock)
    return RunReport(plan, (output,), tuple(reports), time.perf_counter() - began)


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
