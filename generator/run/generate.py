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
from inspect import Parameter
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import check_target, readable_size
from ...physics.models import Model
from ..files.sample import EventSample
from ..files.writers import EventWriter, open_writer
from ..lab.table import STAGES, with_parameters
from .card import RunCard, make_card, read_card
from .parts import Part
from .plan import Plan, plan_run


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


@with_parameters(
    [Parameter(stage.key, Parameter.KEYWORD_ONLY, default=None, annotation=Any) for stage in STAGES], after="beam"
)
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
    q2: Sequence[Any] = (),
    veto: Sequence[Any] = (),
    seed: int = 1,
    range: tuple[int, int] | str | None = None,
    device: str = "auto",
    precision: str = "float64",
    threads: int | None = None,
    **stages: Any,
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
            :func:`~darkpenguin.generator.lab.beams.resolve_beam`), for momenta in the laboratory.
        q2: one range ``(min, max)`` or several (GeV^2); empty for all of it.
        veto: ranges of q2 to leave out, as pairs or as ``jpsi`` and ``psi2s``.
        seed: seed of the random numbers.
        range: first event of a part of the run and the first after it.
        device: ``auto``, ``cpu`` or ``gpu``.
        precision: ``float64`` or ``float32``.
        threads: CPU threads; all of them when None.
        stages: what becomes of the events, a keyword for each entry of
            :data:`~darkpenguin.generator.lab.table.STAGES`. ``resolution``: what a detector makes of the momenta,
            ``lhcb``, ``belle2``, or the fields of a :class:`~darkpenguin.generator.lab.settings.ResolutionSettings`.
            ``selection``: cuts such as ``["lhcb", "pt(k) > 0.25"]``, or a dictionary of them and the mode, see
            :class:`~darkpenguin.generator.lab.settings.SelectionSettings`. ``efficiency``: maps of the probability
            that an event is kept and the mode, see :class:`~darkpenguin.generator.lab.settings.EfficiencySettings`.

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
            q2=q2,
            veto=veto,
            seed=seed,
            range=range,
            device=device,
            precision=precision,
            threads=threads,
            **stages,
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
        InputError: a card that cannot be used; see also :func:`~darkpenguin.generator.files.writers.open_writer`.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.card import make_card
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


def execute(plan: Plan, progress: Callable[[int], None] | None = None, chunk: int | None = None) -> RunReport:
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
