"""The sample of events: columns side by side, their provenance, and views in other libraries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.arrays import array_module, to_host
from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...physics.channels import channel_by_index
from ...physics.final_state import AXES, column_masses
from ...physics.models import Model
from ..lab.momenta import momenta
from .columns import Columns, ordered
from .joined import EventFiles
from .provenance import channel_entries
from .writers import ROWS_PER_EXTEND, EventFile, Events, open_writer

if TYPE_CHECKING:
    import awkward
    import pandas


ROWS_THERE = 1 << 22
"""Events of a sample on a GPU that are looked at together."""


def read_events(path: str | os.PathLike[str]) -> EventSample:
    """Return all events of a file in memory, with the file's provenance.

    Raises:
        InputError: the file is missing, of another kind, or has no ``events``.

    Example:
        >>> import tempfile
        >>> one = EventSample({"q2": np.array([1.0])}, {"seed": 7})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_events(one.write(f"{folder}/x.parquet")).provenance["seed"]
        7
    """
    file = EventFile(path)
    parts = list(file.chunks())
    columns = {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0, dtype)
        for name, dtype in file.schema.items()
    }
    return EventSample(columns, file.provenance)


def open_events(events: EventsLike, where_they_are: bool = False) -> Events:
    """Open a file, several of one run (see `EventFiles`), or a sample in memory: one face for all.

    ``where_they_are`` leaves the columns of a sample on the GPU that has them; else they are copied.

    Raises:
        InputError: the file is missing, of another kind, or has no ``events``.

    Example:
        >>> open_events(EventSample({"q2": np.array([1.0])})).schema
        {'q2': dtype('float64')}
    """
    if isinstance(events, EventSample):
        return EventsInMemory(events, where_they_are)
    return EventFile(events) if isinstance(events, (str, os.PathLike)) else EventFiles(events)


class EventsInMemory(Events):
    """A sample with the face of a file."""

    kind = "memory"
    path = Path("sample")

    def __init__(self, sample: EventSample, where_they_are: bool = False) -> None:
        self.rows, self.provenance = len(sample), dict(sample.provenance)
        self._columns: Mapping[str, Any] = sample.columns if where_they_are else sample.to_numpy()
        self.library = array_module(*self._columns.values())
        self.schema = {name: column.dtype for name, column in self._columns.items()}

    def chunks(self, rows: int = ROWS_PER_EXTEND) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """Iterate over the events in pieces of ``rows`` at most, which are larger on a GPU."""
        rows = rows if self.library is np else max(rows, ROWS_THERE)
        for start in range(0, self.rows, rows):
            yield {name: column[start : start + rows] for name, column in self._columns.items()}


def four_momenta(sample: EventSample) -> Any:
    """Awkward records of Momentum4D of a sample of one channel: see `EventSample.to_vector`."""
    import awkward
    import vector

    numbers: Any = np.unique(to_host(sample["channel"])) if "channel" in sample.columns else []
    if len(numbers) != 1:
        names = [channel_by_index(int(number)).name for number in numbers]
        way = f'take one, as in sample.only("{names[0]}").to_vector()' if names else "it needs a column channel"
        raise InputError(f"to_vector: {len(names)} channels in the sample ({', '.join(names)}); {way}")
    channel = channel_by_index(int(numbers[0]))
    columns: Mapping[str, Any] = sample.columns
    recorded = sample.provenance.get("model")
    model = validate(Model, recorded, "model") if recorded is not None else None
    if f"b_{AXES[0]}" not in columns:
        columns = momenta(channel, columns, str(sample.provenance.get("convention", "lhcb")), model=model)
    return awkward.zip(
        {
            particle: vector.zip(
                {
                    **{axis: to_host(columns[f"{particle}_{axis}"]) for axis in AXES},
                    "mass": np.full(len(sample), mass),
                }
            )
            for particle, mass in column_masses(channel, model).items()
            if f"{particle}_{AXES[0]}" in columns
        },
        depth_limit=1,
    )


@dataclass(frozen=True)
class EventSample:
    """Unweighted events as a structure of arrays.

    Attributes:
        columns: arrays of one length by name: ``q2`` (GeV^2), ``cos_theta_k``, ``cos_theta_l``, ``phi`` (rad),
            ``flavour`` (int32: +1 for the meson with a b-bar quark, -1 for its conjugate), ``channel`` (int32),
            ``event`` (uint64), ``weight``.  NumPy arrays, or CuPy arrays where they were asked for.
            In a sample of several channels an angle that a channel lacks is NaN.
        provenance: how the sample was made (run card, model, parameters, versions, seed, range, convention).

    Raises:
        InputError: columns of different lengths.

    Example:
        >>> sample = EventSample({"q2": np.array([1.0, 5.0]), "flavour": np.array([1, -1])})
        >>> len(sample), sample.names
        (2, ('q2', 'flavour'))
        >>> len(sample.select(sample["q2"] > 2))
        1
    """

    columns: Columns
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(array) for name, array in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"columns = {lengths}: all columns of a sample need one length")
        columns = {name: self.columns[name] for name in ordered(tuple(self.columns))}
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Any:
        """Return one column.

        Raises:
            InputError: no such column.
        """
        try:
            return self.columns[name]
        except KeyError:
            raise InputError(f"column {name!r}: this sample has {', '.join(self.columns)}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return EventSample, (dict(self.columns), dict(self.provenance))

    def __repr__(self) -> str:
        channels = ", ".join(self.channels.values()) or "no channel named"
        return f"<EventSample: {len(self):,} events of {channels}; {', '.join(self.columns)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.columns)

    @property
    def channels(self) -> dict[int, str]:
        """Names of the channels by their number in the column ``channel``, from the provenance."""
        return {index: str(entry["name"]) for index, entry in channel_entries(self.provenance).items()}

    def select(self, mask: Any) -> EventSample:
        """Return the events where ``mask`` is true, or those that an index array or slice names.

        The provenance stays: the column ``event`` still says where each event comes from.
        """
        return EventSample({name: array[mask] for name, array in self.columns.items()}, self.provenance)

    def only(self, channel: str | None = None, flavour: int | None = None) -> EventSample:
        """Return the events of one channel, or of one flavour (+1 or -1), or of both.

        Columns that the channel does not have are left out.

        Raises:
            InputError: a channel that the sample does not have.
        """
        mask = array_module(*self.columns.values()).ones(len(self), dtype=bool)
        dropped: set[str] = set()
        if channel is not None:
            numbers = {name: number for number, name in self.channels.items()}
            if channel not in numbers:
                raise InputError(f"channel = {channel!r}: this sample has {', '.join(numbers) or 'no named channel'}")
            mask = mask & (self["channel"] == numbers[channel])
            for entry in channel_entries(self.provenance).values():
                if entry["name"] == channel and "columns" in entry:
                    dropped = {name for name in self.columns if name not in entry["columns"]}
        if flavour is not None:
            mask = mask & (self["flavour"] == flavour)
        kept = {name: array[mask] for name, array in self.columns.items() if name not in dropped}
        return EventSample(kept, self.provenance)

    @classmethod
    def concatenate(cls, samples: Sequence[EventSample]) -> EventSample:
        """Return samples one after the other; a column that one of them lacks is NaN there.

        The provenance is that of the samples when they share it, and otherwise lists them all.

        Raises:
            InputError: no sample at all, or an integer column that only some of them have.

        Example:
            >>> one = EventSample({"q2": np.array([1.0])})
            >>> len(EventSample.concatenate([one, one]))
            2
        """
        if not samples:
            raise InputError("samples = []: concatenate needs one sample at least")
        names = ordered(tuple(dict.fromkeys(name for sample in samples for name in sample.columns)))
        columns = {}
        for name in names:
            model = next(sample.columns[name] for sample in samples if name in sample.columns)
            library = array_module(model)
            parts = []
            for sample in samples:
                if name in sample.columns:
                    parts.append(sample.columns[name])
                elif np.issubdtype(model.dtype, np.floating):
                    parts.append(library.full(len(sample), np.nan, dtype=model.dtype))
                else:
                    raise InputError(f"column {name!r}: not in every sample, and integers have no NaN")
            columns[name] = library.concatenate(parts)
        return cls(columns, _joined([sample.provenance for sample in samples]))

    def write(
        self,
        path: str | os.PathLike[str],
        format: str | None = None,
        compression: str = "lz4",
        overwrite: bool = False,
    ) -> Path:
        """Write the events into a file (.root, .parquet) that says how they were made; whole or not at all.

        Raises:
            InputError: an ending that names no format, or a file that exists or cannot be written.

        Example:
            >>> import tempfile
            >>> one = EventSample({"q2": np.array([1.0])})
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     len(read_events(one.write(f"{folder}/x.root")))
            1
        """
        columns = self.to_numpy()
        schema = {name: array.dtype for name, array in columns.items()}
        with open_writer(path, schema, dict(self.provenance), format, compression, overwrite) as writer:
            writer.extend(columns)
        return writer.path

    def to_numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the columns as NumPy arrays (copied from the device if they are there)."""
        return {name: to_host(array) for name, array in self.columns.items()}

    def to_awkward(self) -> awkward.Array:
        """Return an awkward array of records, one an event, with the columns as fields."""
        import awkward

        return awkward.Array(self.to_numpy())

    def to_vector(self) -> awkward.Array:
        """Return records of four-momenta (``vector``'s Momentum4D, GeV), a field a particle: b, k, pi, lp, lm.

        In the laboratory if the sample was made with a beam, else in the B frame, the kaon system along z.

        Raises:
            InputError: a sample of several channels, or of an unknown one.

        Example:
            >>> from darkpenguin.generator.run.generate import generate
            >>> p = generate("B0->K*0mumu", events=5, seed=1).to_vector()
            >>> sum((p.k + p.pi + p.lp + p.lm).mass.to_list()) / 5
            5.27966
        """

        return four_momenta(self)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas data frame with one row an event."""
        import pandas

        return pandas.DataFrame(self.to_numpy())


EventsLike = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | EventSample
"""Events wherever a function reads them: a file that darkpenguin wrote, those of a run's parts, a sample in memory."""


def _joined(provenances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one provenance for concatenated samples."""
    first = dict(provenances[0])
    if all(dict(other) == first for other in provenances[1:]):
        return first
    channels: dict[int, Any] = {}
    for provenance in provenances:
        for index, entry in channel_entries(provenance).items():
            channels.setdefault(index, entry)
    return {"channels": list(channels.values()), "parts": [dict(provenance) for provenance in provenances]}
