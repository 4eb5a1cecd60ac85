"""A run reduced to histograms, in a ROOT file with its provenance; such files read and added."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import OutputLock, WholeFile, check_target
from ...kinematics.base.threads import available_threads
from ...physics.final_state import column_masses
from ..files.digests import digest_of
from ..files.joined import run_key
from ..files.provenance import package_versions, parse_provenance
from ..files.sinks import PROVENANCE, TREE
from ..sampler.backend import CpuBackend
from .chunks import make_chunks
from .farm import State
from .histograms import Histogram, HistogramSettings, Reduction

if TYPE_CHECKING:
    from .card import RunCard
    from .parts import Part
    from .plan import Plan
    from .workers import Workers

REDUCTION = "reduction"
"""Name of the JSON string beside the histograms that says how often each was filled, and their digest."""
_PIECE, _CHUNK = 1 << 22, 1 << 18
"""Events whose histograms a worker sends at a time, and of which it has the columns in memory at a time."""


@dataclass
class Reduced:
    """Histograms by name, with the provenance of the events that they were filled with."""

    histograms: dict[str, Histogram]
    provenance: dict[str, Any]


def empty(plan: Plan) -> Reduced:
    """Return the empty histograms that a run's card asks for, checked against the columns that there will be.

    Raises:
        InputError: a column that no channel has, or a channel that is not in the run.
    """
    reduction = plan.card.reduce
    assert reduction is not None
    made = {name: Histogram(settings) for name, settings in reduction.histograms.items()}
    for name, histogram in made.items():
        for channel in histogram.settings.channels:
            if channel not in plan.card.channels:
                raise InputError(f"reduce.{name}: {channel} is not in this run, of {', '.join(plan.card.channels)}")
        for part in plan.parts:
            if _fills(part, histogram):
                try:
                    histogram.expressions(tuple(part.columns), name)
                except InputError as error:
                    hint = "its key channels names those that fill it"
                    raise InputError(f"{error} (in {part.channel.name}; {hint})") from None
    return Reduced(made, plan.provenance(plan.card.channels))


def _fills(part: Part, histogram: Histogram) -> bool:
    return not histogram.settings.channels or part.channel.name in histogram.settings.channels


def fill(
    reduced: Reduced,
    plan: Plan,
    part: Part,
    progress: Callable[[int], None] | None = None,
    workers: Workers | None = None,
) -> int:
    """Fill histograms with the events of a channel, made here or by workers, and return how many there were."""
    filled = {name: one for name, one in reduced.histograms.items() if _fills(part, one)}
    if workers is None or workers.dask is None:
        threads = (plan.card.threads or available_threads()) if plan.backend.name == "cpu" else 1
        return _fill(filled, part, plan.card, plan.chunks(part, progress=progress, on_device=True), threads)
    written = 0
    elsewhere = _Elsewhere(plan.card, part, {name: one.settings for name, one in filled.items()})
    for (low, high), (found, n) in workers.in_order(elsewhere, plan.pieces(part, _PIECE)):
        for name, histogram in found.items():
            filled[name].add(histogram)
        written += n
        if progress is not None:
            progress(high - low)
    return written


def _fill(
    filled: Mapping[str, Histogram], part: Part, card: RunCard, chunks: Iterable[Mapping[str, Any]], threads: int
) -> int:
    expressions = {name: one.expressions(tuple(part.columns), name) for name, one in filled.items()}
    known = column_masses(part.channel, card.model) if part.momenta else {}
    known |= {f"{name}_reco": mass for name, mass in known.items()}
    written = 0
    with ThreadPoolExecutor(threads) as pool:
        for columns in chunks:
            fillings = [pool.submit(one.fill, columns, expressions[name], known) for name, one in filled.items()]
            for name, filling in zip(filled, fillings, strict=True):
                try:
                    filling.result()
                except MemoryError:  # CuPy's is one too
                    raise InputError(f"reduce.{name}: no memory for it beside the events; ask for fewer bins") from None
            written += len(columns["q2"])
    return written


@dataclass(frozen=True, eq=False)
class _Elsewhere:
    """Fills histograms with some events of a channel, on one thread of whoever has it."""

    card: RunCard
    part: Part
    settings: Mapping[str, HistogramSettings]

    def __call__(self, low: int, high: int) -> tuple[dict[str, Histogram], int]:
        made = {name: Histogram(settings) for name, settings in self.settings.items()}
        pieces = [(at, min(at + _CHUNK, high)) for at in range(low, high, _CHUNK)]
        chunks = make_chunks(self.card, self.part, CpuBackend(self.card.precision, 1), pieces, reuse=True)
        return made, _fill(made, self.part, self.card, (columns for _, columns in chunks), 1)


def write(
    reduced: Reduced, path: str | os.PathLike[str], overwrite: bool = False, lock: bool | OutputLock = True
) -> None:
    """Write histograms as TH1D, TH2D and TH3D of a ROOT file, whole or not at all; see `WholeFile`."""
    import uproot

    with WholeFile(path, overwrite, lock=lock) as temporary, uproot.recreate(temporary) as file:
        text = json.dumps(reduced.provenance, sort_keys=True, allow_nan=False)
        file[PROVENANCE] = text
        for name, histogram in reduced.histograms.items():
            file[name] = _root(name, histogram)
        said = {name: {"entries": one.entries, "undefined": one.undefined} for name, one in reduced.histograms.items()}
        file[REDUCTION] = json.dumps({"histograms": said, "digest": _digest(reduced, text)})


def _digest(reduced: Reduced, provenance: str) -> str:
    content = [provenance.encode()]
    for name, one in sorted(reduced.histograms.items()):
        content += [name.encode(), one.values.astype("<f8").tobytes(), f"{one.entries} {one.undefined}".encode()]
        content += [] if one.squares is None else [one.squares.astype("<f8").tobytes()]
    return digest_of(b"".join(content))


def _root(name: str, histogram: Histogram) -> Any:
    """One of ROOT's histograms, for uproot to write."""
    from uproot.writing import identify

    settings, values = histogram.settings, histogram.values.astype(np.float64)
    axes = []
    for letter, axis in zip("xyz", settings.axes, strict=False):
        edges = axis.all_edges
        axes.append(
            identify.to_TAxis(
                f"{letter}axis",
                axis.column,
                len(edges) - 1,
                edges[0],
                edges[-1],
                fXbins=edges if axis.edges else np.array([]),
            )
        )
    weight = "events" if settings.weight is None else settings.weight
    title = f"{weight}{'' if settings.select is None else f' where {settings.select}'}"
    squares = values if histogram.squares is None else histogram.squares
    # ROOT makes sums and means from the bins where these are zero
    letters = ("", "2", "x", "x2", "y", "y2", "xy", "z", "z2", "xz", "yz")[: (4, 7, 11)[values.ndim - 1]]
    sums = {f"fTsumw{letter}": 0.0 for letter in letters}
    make = (identify.to_TH1x, identify.to_TH2x, identify.to_TH3x)[values.ndim - 1]
    data, variances = (array.T.ravel() for array in (values, squares))  # ROOT counts x fastest
    named = {f"f{letter.upper()}axis": axis for letter, axis in zip("xyz", axes, strict=False)}
    return make(
        fName=name,
        fTitle=title,
        data=data,
        fEntries=float(histogram.entries),
        fSumw2=None if histogram.squares is None else variances,
        **sums,
        **named,
    )


def state(card: RunCard, path: str | os.PathLike[str]) -> State:
    """What there is of a part of a run that is reduced, as `farm.state` says it of events."""
    if not Path(path).exists():
        return "absent"
    if not is_reduced(path):
        return "other"
    try:
        known = read(path).provenance
    except InputError:
        return "damaged"
    wanted = {**known, "card": card.for_provenance(), "versions": package_versions()}
    same = run_key(known) == run_key(wanted) and known["card"].get("part") == list(card.part or ())
    return "done" if same else "other"


def is_reduced(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds histograms of a run."""
    import uproot

    try:
        with uproot.open(path) as file:
            return REDUCTION in file and TREE not in file
    except Exception:  # no file, no ROOT file: whoever reads it says so
        return False


def read(path: str | os.PathLike[str]) -> Reduced:
    """Read histograms of a run.

    Raises:
        InputError: the file is missing, of another kind, or not what was written.
    """
    import uproot

    if not is_reduced(path):
        raise InputError(f"file = {str(path)!r}: no file with histograms of a run (generate --reduce)")
    try:
        with uproot.open(path) as file:
            text = str(file[PROVENANCE])
            said = json.loads(str(file[REDUCTION]))
            provenance = parse_provenance(text, Path(path))
            reduction = Reduction.read(provenance["card"]["reduce"])
            made = {}
            for name, settings in reduction.histograms.items():
                histogram = made[name] = Histogram(settings, **said["histograms"][name])
                histogram.values += file[name].values(flow=True).astype(histogram.values.dtype)
                if histogram.squares is not None:
                    histogram.squares += file[name].variances(flow=True)
        found = Reduced(made, provenance)
        if _digest(found, text) != said["digest"]:
            raise ValueError("not what was written")
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"file = {str(path)!r}: damaged: {reason}; make it again") from error
    return found


def merge_reduced(
    files: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    partial: bool = False,
    overwrite: bool = False,
) -> Reduced:
    """Add the histograms of a run's parts, and write those of the whole.

    Raises:
        InputError: files of different runs, a part that is missing, twice or damaged, or an output that cannot be
            written.
    """
    check_target(output, overwrite=overwrite)
    found = sorted(((read(path), str(path)) for path in files), key=lambda one: one[0].provenance["range"][0])
    total, first = found[0]
    known = dict(total.provenance)
    for one, path in found[1:]:
        if run_key(one.provenance) != run_key(known):
            raise InputError(f"file = {path!r}: of another run than {first!r} (card or version)")
        (start, have), (low, high) = total.provenance["range"], one.provenance["range"]
        if low != have:
            word = "are twice" if low < have else "are missing"
            raise InputError(f"files: events {min(low, have)} to {max(low, have) - 1} of the run {word}")
        for name, histogram in one.histograms.items():
            total.histograms[name].add(histogram)
        total.provenance = _joined(total.provenance, one.provenance, [start, high])
    if total.provenance["range"] != [0, known["events_of_run"]]:
        start, stop = total.provenance["range"]
        if not partial:
            raise InputError(
                f"files: the run has events 0 to {known['events_of_run'] - 1}, and these are {start} to {stop - 1}; "
                "make the others, or merge what is there (--partial)"
            )
        total.provenance["card"]["range"] = [start, stop]
    write(total, output, overwrite)
    return total


def _joined(one: Mapping[str, Any], other: Mapping[str, Any], span: list[int]) -> dict[str, Any]:
    """The provenance of two parts that follow each other."""
    counts = {entry["index"]: entry["events"] for entry in other["channels"]}
    channels = [{**entry, "events": entry["events"] + counts.get(entry["index"], 0)} for entry in one["channels"]]
    card = {key: value for key, value in one["card"].items() if key not in ("part", "range")}
    machines = dict.fromkeys([*str(one["machine"]).split("; "), str(other["machine"])])
    return {
        **one,
        "card": card,
        "channels": channels,
        "events": one["events"] + other["events"],
        "range": span,
        "machine": "; ".join(machines),
    }
