"""Events that other programs made: trees and tables with four-momenta or angles under names of their own.

What is read has the face of our own files, with our columns: q2, the angles, ``m_kpi`` and ``m_b``, ``flavour``, and
``event``, the number of the row. All other columns of numbers come along under their names; one that is called as one
of ours is kept as ``NAME_source``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.angular import CONVENTIONS, Convention
from ...physics.channels import Channel, get_channel
from ...physics.final_state import particles
from ...physics.parameters import load_parameters
from ..lab.angles import angles
from .hepmc_events import SUFFIXES, HepmcReader
from .writers import ROWS_PER_EXTEND

NAMES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "xyz": ("X", "Y", "Z"),
        "_xyz": ("_X", "_Y", "_Z"),
        "darkpenguin": ("_px", "_py", "_pz"),
        "upper": ("_PX", "_PY", "_PZ"),
        "lhcb": ("_TRUEP_X", "_TRUEP_Y", "_TRUEP_Z"),
        "basf2": ("_mcPX", "_mcPY", "_mcPZ"),
    }
)
"""Endings of a particle's columns for its momentum; the first that the file has is taken. ``lhcb`` is how
MCTupleToolKinematic writes true momenta, ``basf2`` how its variables mcPX, mcPY, mcPZ stand behind a prefix
(``create_aliases`` in its ``variables/utils.py`` joins both with an underscore)."""
UNITS: Mapping[str, float] = MappingProxyType({"GeV": 1.0, "MeV": 1e-3})
TOLERANCE = 0.02
"""Distance (GeV) of a row's mass from that of the B beyond which its momenta do not add up."""
Flavour = Literal["b", "bbar", "average"]


@dataclass(frozen=True)
class EventMap:
    """Where a file of another program has what a channel needs.

    Attributes:
        channel: of all its events; a name or a channel.
        momenta: column of each particle but the B, without the ending (see `NAMES`): ``{"k": "K_TRUE_P"}``. ``lp`` is
            the positive and ``lm`` the negative lepton, whatever the flavour.
        angles: instead, column of q2 (GeV^2), each angle and, where there is one, ``m_kpi`` (GeV).
        flavour: a column whose sign is that of the B with a b-bar quark: +1 and -1, or the PDG number of the B, or of
            a K of a neutral B, or a charge of a K+ or pi+; or ``b``, ``bbar`` for all, ``average`` if it is not known.
            HepMC files know it themselves, and need no momenta and unit either.
        unit: of the momenta, GeV or MeV.
        convention: of the angles.
        tree: name of the tree; the only one in the file if None.
        tolerance: of the mass of all momenta together about that of the B (GeV): q2 is that of the decay, so momenta
            are those before radiation, or with the photons added back; photons that are left out are seen.

    Raises:
        InputError: neither momenta nor angles, both, or a name that is not known.
    """

    channel: Channel | str
    momenta: Mapping[str, str] = field(default_factory=dict)
    angles: Mapping[str, str] = field(default_factory=dict)
    flavour: str = "flavour"
    unit: str = "GeV"
    convention: Convention = "lhcb"
    tree: str | None = None
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        channel = get_channel(self.channel) if isinstance(self.channel, str) else self.channel
        object.__setattr__(self, "channel", channel)
        if self.momenta and self.angles:
            raise InputError("momenta: name the columns of all particles, or those of q2 and the angles, not both")
        if self.unit not in UNITS:
            raise InputError(f"unit = {self.unit!r}: allowed are {', '.join(UNITS)}")
        if self.convention not in CONVENTIONS:
            raise InputError(f"convention = {self.convention!r}: allowed are {', '.join(CONVENTIONS)}")
        if not self.momenta and not self.angles:
            return  # a HepMC file says what its particles are
        wanted = particles(channel)[1:] if self.momenta else ("q2", *channel.angles)
        given = set(self.momenta or self.angles)
        what = "momenta" if self.momenta else "angles"
        for name in wanted:
            if name not in given:
                raise InputError(f"{what}: no column of {name}; {channel.name} needs {', '.join(wanted)}")
        for name in given - set(wanted) - ({"m_kpi"} if self.angles else set()):
            raise InputError(f"{what}.{name}: {channel.name} has no {name}; it needs {', '.join(wanted)}")


class ForeignEvents:
    """A file of another program (.root with a TTree or RNTuple, .parquet, .hepmc), in our columns.

    Attributes:
        path: the file.
        rows: number of events.
        schema: type of every column of numbers, of the file itself.
        columns: our columns that are made.
        where: the map.
        provenance: empty.

    Raises:
        InputError: no such file, tree or column.
    """

    provenance: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, path: str | os.PathLike[str], where: EventMap) -> None:
        self.path, self.where = Path(path), where
        if not self.path.is_file():
            raise InputError(f"file = {str(path)!r}: there is no such file")
        channel = self.channel
        self._reader: _Root | _Parquet | HepmcReader
        if self.path.name.lower().endswith(SUFFIXES):
            self._reader = HepmcReader(self.path, channel)
            where = self.where = replace(where, momenta={p: p for p in particles(channel)[1:]}, angles={}, unit="GeV")
        else:
            self._reader = _Parquet(self.path) if self.path.suffix == ".parquet" else _Root(self.path, where.tree)
        if not where.momenta and not where.angles:
            raise InputError("momenta: name the columns of all particles, or those of q2 and the angles")
        self.rows, self.schema = self._reader.rows, self._reader.schema
        self._momenta = {p: self._endings(p, column) for p, column in where.momenta.items()}
        for name, column in where.angles.items():
            self._need(column, name)
        if where.flavour not in ("b", "bbar", "average"):
            self._need(where.flavour, "flavour")
        wide = bool(where.momenta and channel.spin) or "m_kpi" in where.angles
        self.columns = ("q2", *channel.angles, *(("m_kpi",) if wide else ()), "flavour", "event")

    @property
    def channel(self) -> Channel:
        """Channel of all events."""
        assert isinstance(self.where.channel, Channel)
        return self.where.channel

    def _need(self, column: str, what: str) -> None:
        if column not in self.schema:
            raise InputError(
                f"file = {str(self.path)!r}: no column {column!r} for {what}; {nearest(column, self.schema)}"
            )

    def _endings(self, particle: str, column: str) -> tuple[str, str, str]:
        """Columns of a particle's momentum."""
        for x, y, z in NAMES.values():
            if column + x in self.schema:
                found = (column + x, column + y, column + z)
                for name in found:
                    self._need(name, particle)
                return found
        tried = ", ".join(column + ending[0] for ending in NAMES.values())
        raise InputError(
            f"file = {str(self.path)!r}: no momentum of {particle} under {column!r} (tried {tried}); "
            f"{nearest(column, self.schema)}"
        )

    def kept_name(self, column: str) -> str:
        """What a column of the file is called beside ours."""
        return f"{column}_source" if column in self.columns else column

    def chunks(self, rows: int = ROWS_PER_EXTEND) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """Iterate over the events in pieces of ``rows`` at most: our columns, and the file's own."""
        first = 0
        for raw in self._reader.chunks(rows):
            n = len(next(iter(raw.values())))
            ours = self._ours(raw, first, n)
            yield {**{self.kept_name(name): column for name, column in raw.items()}, **ours}
            first += n

    def _ours(self, raw: Mapping[str, Any], first: int, n: int) -> dict[str, Any]:
        flavour = self._flavours(raw, first, n)
        if self.where.angles:
            found = {name: np.asarray(raw[column], dtype=np.float64) for name, column in self.where.angles.items()}
        else:
            scale = UNITS[self.where.unit]
            momenta = {
                p: [scale * np.asarray(raw[c], dtype=np.float64) for c in columns]
                for p, columns in self._momenta.items()
            }
            with np.errstate(all="ignore"):
                found = angles(self.channel, momenta, flavour, self.where.convention)
            self._check(found.pop("m_b"), first)
        for name, values in found.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise InputError(f"file = {str(self.path)!r}: row {first + bad[0]}: {name} is not a number")
        return {**found, "flavour": flavour, "event": np.arange(first, first + n, dtype=np.uint64)}

    def _flavours(self, raw: Mapping[str, Any], first: int, n: int) -> Any:
        fixed = {"b": 1, "bbar": -1, "average": 0}.get(self.where.flavour)
        if fixed is not None:
            return np.full(n, fixed, dtype=np.int32)
        values = np.asarray(raw[self.where.flavour], dtype=np.float64)
        bad = np.flatnonzero(~(np.isfinite(values) & (values != 0)))
        if len(bad):
            raise InputError(
                f"file = {str(self.path)!r}: row {first + bad[0]}: {self.where.flavour} = {values[bad[0]]:g} has no "
                "sign; give another column, b, bbar, or average where the flavour is not known"
            )
        return np.sign(values).astype(np.int32)

    def _check(self, mass: Any, first: int) -> None:
        """InputError for momenta in another unit, or that do not add up to a B."""
        m_b, tolerance = load_parameters()["m_" + self.channel.parent], self.where.tolerance
        middle = float(np.median(mass)) if len(mass) else m_b
        for unit, scale in UNITS.items():
            ratio = scale / UNITS[self.where.unit]
            if ratio != 1.0 and abs(middle * ratio - m_b) < max(10 * tolerance, 0.2):
                raise InputError(
                    f"file = {str(self.path)!r}: the median mass of the B is {middle:.6g} {self.where.unit}; "
                    f"say unit = {unit}"
                )
        bad = np.flatnonzero(~(np.abs(mass - m_b) <= tolerance))
        if len(bad):
            raise InputError(
                f"file = {str(self.path)!r}: row {first + bad[0]}: the momenta add up to {mass[bad[0]]:.4f} GeV, and "
                f"the {self.channel.parent} has {m_b:.4f} (within {tolerance:g}); give them before "
                "radiation, or with the photons added back"
            )


class _Root:
    """Columns of numbers of a TTree or an RNTuple."""

    def __init__(self, path: Path, tree: str | None) -> None:
        import uproot

        try:
            file = uproot.open(path)
            found = [key for key, kind in file.classnames(cycle=False).items() if "TTree" in kind or "RNTuple" in kind]
        except Exception as error:
            raise InputError(
                f"file = {str(path)!r}: neither a ROOT nor a Parquet file ({error.__class__.__name__})"
            ) from None
        if tree is None and len(found) != 1:
            raise InputError(f"tree: {str(path)!r} has {', '.join(found) or 'no tree'}; name one")
        if tree is not None and tree not in found:
            raise InputError(f"tree = {tree!r}: {str(path)!r} has {', '.join(found) or 'no tree'}")
        self._tree = file[tree or found[0]]
        self.rows = int(self._tree.num_entries)
        self.schema: dict[str, np.dtype[Any]] = {}
        for name in self._tree.keys(recursive=False):
            values = self._tree[name].array(entry_stop=0, library="np")
            if values.dtype.kind in "fiub" and values.ndim == 1:
                self.schema[name] = values.dtype

    def chunks(self, rows: int) -> Iterator[dict[str, Any]]:
        """Pieces of the file, one after the other."""
        for start in range(0, self.rows, rows):
            found = self._tree.arrays(list(self.schema), entry_start=start, entry_stop=start + rows, library="np")
            yield {name: np.asarray(found[name]) for name in self.schema}


class _Parquet:
    """Columns of numbers of a Parquet file."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except Exception as error:
            raise InputError(f"file = {str(path)!r}: no Parquet file ({error.__class__.__name__})") from None
        self.rows = int(self._file.metadata.num_rows)
        kinds = {one.name: one.type for one in self._file.schema_arrow}
        self.schema = {
            name: np.dtype(kind.to_pandas_dtype())
            for name, kind in kinds.items()
            if str(kind)[0] in "fdiub" and "[" not in str(kind)
        }

    def chunks(self, rows: int) -> Iterator[dict[str, Any]]:
        """Pieces of the file, one after the other."""
        for batch in self._file.iter_batches(batch_size=rows, columns=list(self.schema)):
            yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in self.schema}
