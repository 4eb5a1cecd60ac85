"""Events that other programs made: trees and tables with four-momenta or angles under names of their own.

What is read has the face of our own files, with our columns: q2, the angles, ``m_kpi`` and ``m_b``, ``flavour``, and
``event``, the number of the row. All other columns of numbers come along under their names; one that is called as one
of ours is kept as ``NAME_source``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.angular import CONVENTIONS, Convention
from ...physics.channels import Channel, get_channel
from ...physics.final_state import masses, particles
from ...physics.parameters import load_parameters
from ..lab.angles import angles
from .hepmc_events import SUFFIXES, HepmcReader, Photons
from .writers import ROWS_PER_EXTEND

NAMES: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        "xyz": ("X", "Y", "Z", "E"),
        "_xyz": ("_X", "_Y", "_Z", "_E"),
        "darkpenguin": ("_px", "_py", "_pz", "_e"),
        "upper": ("_PX", "_PY", "_PZ", "_PE"),
        "lhcb": ("_TRUEP_X", "_TRUEP_Y", "_TRUEP_Z", "_TRUEP_E"),
        "basf2": ("_mcPX", "_mcPY", "_mcPZ", "_mcE"),
    }
)
"""Endings of a particle's columns for its momentum; the first that the file has is taken. The last is that of its
energy, which a file need not have: it is checked against the particle's mass, and not used. ``lhcb`` is how
MCTupleToolKinematic writes true momenta, ``basf2`` how its variables mcPX, mcPY, mcPZ stand behind a prefix
(``create_aliases`` in its ``variables/utils.py`` joins both with an underscore)."""
UNITS: Mapping[str, float] = MappingProxyType({"GeV": 1.0, "MeV": 1e-3})
_LARGEST = 6.0  # GeV: no q or m_kpi of a B is above it, no sample in MeV has its middle below it
_OFF_SHELL, _ROUNDING = 0.02, 4e-6  # of a mass^2: of its own, and of the energy^2 in single precision
TOLERANCE = 0.02
"""Distance (GeV) of a row's mass from that of the B beyond which its momenta do not add up."""
_ALL: Mapping[str, int] = MappingProxyType({"b": 1, "bbar": -1, "average": 0})
_SIGNED = (1, 211, 311, 313, 321, 323, 511, 521, 531)
"""Sizes of what says a flavour by its sign: a charge, or the PDG number of a pi, K, K* or B."""
_SHOWN = 12  # names of columns in a message


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
            ``COLUMN,average`` averages the rows in which the column is zero or no number. HepMC files know it
            themselves, and need no momenta and unit either.
        unit: of momenta, q2 and ``m_kpi``: GeV or MeV.
        convention: of the angles. Those of an average, made from momenta, are of the theory convention, which needs no
            flavour.
        tree: name of the tree; the only one in the file if None.
        tolerance: of the mass of all momenta together about that of the B (GeV): q2 is that of the decay, so momenta
            are those before radiation, or with the photons added back; photons that are left out are seen.
        photons: of HepMC files, ``add`` to add photons of the decay back to the leptons, see `hepmc_events.dressed`.

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
    photons: Photons = "refuse"

    def __post_init__(self) -> None:
        channel = get_channel(self.channel) if isinstance(self.channel, str) else self.channel
        object.__setattr__(self, "channel", channel)
        if self.momenta and self.angles:
            raise InputError("momenta: name the columns of all particles, or those of q2 and the angles, not both")
        if self.unit not in UNITS:
            raise InputError(f"unit = {self.unit!r}: allowed are {', '.join(UNITS)}")
        if not 0.0 < self.tolerance < 1.0:
            raise InputError(f"tolerance = {self.tolerance:g} GeV: it must lie between 0 and 1")
        if self.photons not in ("refuse", "add"):
            raise InputError(f"photons = {self.photons!r}: allowed are refuse, add")
        if self.convention not in CONVENTIONS:
            raise InputError(f"convention = {self.convention!r}: allowed are {', '.join(CONVENTIONS)}")
        if not self.momenta and not self.angles:
            return  # a HepMC file says what its particles are
        wanted = particles(channel)[1:] if self.momenta else ("q2", *channel.angles)
        given = set(self.momenta or self.angles)
        columns = list((self.momenta or self.angles).values())
        what = "momenta" if self.momenta else "angles"
        for name in wanted:
            if name not in given:
                raise InputError(f"{what}: no column of {name}; {channel.name} needs {', '.join(wanted)}")
        for name in given - set(wanted) - ({"m_kpi"} if self.angles else set()):
            raise InputError(f"{what}.{name}: {channel.name} has no {name}; it needs {', '.join(wanted)}")
        for column in columns:
            if columns.count(column) > 1:
                raise InputError(f"{what}: {column!r} stands for two of {', '.join(wanted)}")


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
        hepmc, parquet = self.path.name.lower().endswith(SUFFIXES), self.path.suffix == ".parquet"
        if where.photons == "add" and not hepmc:
            raise InputError("photons = 'add': it is of HepMC files; give momenta with the photons added back")
        if where.tree is not None and (hepmc or parquet):
            raise InputError(f"tree = {where.tree!r}: {str(path)!r} is no ROOT file, and has no trees")
        if hepmc:
            self._reader = HepmcReader(self.path, channel, where.photons)
            where = self.where = replace(where, momenta={p: p for p in particles(channel)[1:]}, angles={}, unit="GeV")
        else:
            self._reader = _Parquet(self.path) if parquet else _Root(self.path, where.tree)
        if not where.momenta and not where.angles:
            raise InputError("momenta: name the columns of all particles, or those of q2 and the angles")
        self.rows, self.schema = self._reader.rows, self._reader.schema
        if not (self.rows or isinstance(self._reader, HepmcReader)):
            raise InputError(f"file = {str(self.path)!r}: no events are in it")
        self._momenta = {p: self._endings(p, column) for p, column in where.momenta.items()}
        for name, column in where.angles.items():
            self._need(column, name)
        self._flavour, _, word = where.flavour.partition(",")
        self._unknown = word == "average"
        if word not in ("", "average"):
            raise InputError(f"flavour = {where.flavour!r}: write a column, or COLUMN,average")
        if self._flavour not in _ALL:
            self._need(self._flavour, "the flavour", "; or say b or bbar, of all rows, or average, where it is unknown")
        if where.momenta and channel.self_tagging and where.flavour.endswith("average"):
            self.where = replace(where, convention="theory")
        wide = bool(where.momenta and channel.spin) or "m_kpi" in where.angles
        self.columns = ("q2", *channel.angles, *(("m_kpi",) if wide else ()), "flavour", "event")

    @property
    def channel(self) -> Channel:
        """Channel of all events."""
        assert isinstance(self.where.channel, Channel)
        return self.where.channel

    def _need(self, column: str, what: str, end: str = "") -> None:
        if column not in self.schema:
            raise InputError(f"file = {str(self.path)!r}: no column {column!r} for {what}; {self._near(column)}{end}")

    def _near(self, column: str, known: Iterable[str] | None = None) -> str:
        """The end of a message about a column that is not there."""
        if column in self._reader.other:
            return "it has not one number a row"
        found = nearest(column, known or self.schema)
        few = found.startswith("did you mean") or len(self.schema) <= _SHOWN
        return found if few else f"none of its {len(self.schema)} columns of numbers is like it"

    def _endings(self, particle: str, column: str) -> tuple[str, ...]:
        """Columns of a particle's momentum, and of its energy if the file has it."""
        for x, y, z, e in NAMES.values():
            if column + x in self.schema:
                found = (column + x, column + y, column + z)
                for name in found:
                    self._need(name, particle)
                return (*found, column + e) if column + e in self.schema else found
        ends = [x for x, *_ in NAMES.values()]
        stems = {name.removesuffix(x) for name in self.schema for x in ends if name.endswith(x)}
        tried = ", ".join(column + x for x in ends)
        raise InputError(
            f"file = {str(self.path)!r}: no momentum of {particle} under {column!r} (tried {tried}); "
            f"{self._near(column, stems)}"
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
        found = self._measured(raw, first) if self.where.angles else self._made(raw, first, flavour)
        for name, values in found.items():
            self._refuse(~np.isfinite(values), first, name, values, "it cannot be made from the momenta")
        return {**found, "flavour": flavour, "event": np.arange(first, first + n, dtype=np.uint64)}

    def _refuse(self, bad: Any, first: int, name: str, values: Any, why: str) -> None:
        """InputError that names the first bad row."""
        rows = np.flatnonzero(bad)
        if len(rows):
            raise InputError(
                f"file = {str(self.path)!r}: row {first + rows[0]}: {name} = {values[rows[0]]:.10g}: {why}"
            )

    def _column(self, raw: Mapping[str, Any], column: str, first: int) -> Any:
        values = np.asarray(raw[column], dtype=np.float64)
        self._refuse(~np.isfinite(values), first, column, values, "it is not a number")
        return values

    def _measured(self, raw: Mapping[str, Any], first: int) -> dict[str, Any]:
        """q2, the angles and m_kpi of columns that have them."""
        found, scale = {}, UNITS[self.where.unit]
        for name, column in self.where.angles.items():
            values = self._column(raw, column, first)
            if name.startswith("cos"):
                self._refuse(np.abs(values) > 1 + 1e-6, first, column, values, f"{name} is a cosine, in -1 to 1")
            elif name == "phi":
                self._refuse(np.abs(values) > 2 * np.pi + 1e-6, first, column, values, "phi is in radians")
            else:
                power = 2 if name == "q2" else 1
                middle = float(np.median(values)) if len(values) else 0.0
                if len(values) and (middle > _LARGEST**power) != (self.where.unit == "MeV"):
                    unit = "MeV" if self.where.unit == "GeV" else "GeV"
                    raise InputError(
                        f"file = {str(self.path)!r}: the median of {column} is {middle:.6g} {self.where.unit}"
                        f"{'^2' if power == 2 else ''}; say unit = {unit}"
                    )
                values = values * scale**power
            found[name] = values
        return found

    def _made(self, raw: Mapping[str, Any], first: int, flavour: Any) -> dict[str, Any]:
        """q2, the angles and m_kpi from momenta, which are checked."""
        scale, known = UNITS[self.where.unit], masses(self.channel)
        momenta = {
            p: [scale * self._column(raw, column, first) for column in columns] for p, columns in self._momenta.items()
        }
        found = self._angles(momenta, flavour)
        self._check(found.pop("m_b"), momenta, flavour, first)
        for p, (x, y, z, *rest) in momenta.items():
            for e in rest:
                m2 = e**2 - x**2 - y**2 - z**2
                off = np.abs(m2 - known[p] ** 2) > _OFF_SHELL * known[p] ** 2 + _ROUNDING * e**2
                why = f"with its momentum a mass^2 of {{:.4g}} GeV^2, and {p} has {known[p] ** 2:.4g}"
                rows = np.flatnonzero(off)
                if len(rows):
                    self._refuse(off, first, self._momenta[p][3], e / scale, why.format(m2[rows[0]]))
        return found

    def _flavours(self, raw: Mapping[str, Any], first: int, n: int) -> Any:
        if self._flavour in _ALL:
            return np.full(n, _ALL[self._flavour], dtype=np.int32)
        values = np.asarray(raw[self._flavour], dtype=np.float64)
        unknown = ~(np.isfinite(values) & (values != 0))
        if not self._unknown:
            why = f"it has no sign; give another column, b, bbar, average, or {self._flavour},average for such rows"
            self._refuse(unknown, first, self._flavour, values, why)
        strange = ~unknown & ~np.isin(np.abs(values), _SIGNED)
        self._refuse(strange, first, self._flavour, values, "neither a charge nor the PDG number of a B, K, K* or pi")
        return np.where(unknown, 0, np.sign(values)).astype(np.int32)

    def _angles(self, momenta: Mapping[str, Any], flavour: Any, scale: float = 1.0) -> dict[str, Any]:
        three = {p: [scale * axis for axis in axes[:3]] if scale != 1.0 else axes[:3] for p, axes in momenta.items()}
        with np.errstate(all="ignore"):
            return dict(angles(self.channel, three, flavour, self.where.convention))

    def _check(self, mass: Any, momenta: Mapping[str, Any], flavour: Any, first: int) -> None:
        """InputError for momenta in another unit, or that do not add up to a B."""
        m_b, tolerance = load_parameters()["m_" + self.channel.parent], self.where.tolerance
        bad = np.flatnonzero(~(np.abs(mass - m_b) <= tolerance))
        if not len(bad):
            return
        unit = "MeV" if self.where.unit == "GeV" else "GeV"
        other = self._angles(momenta, flavour, UNITS[unit] / UNITS[self.where.unit])["m_b"]
        if abs(float(np.median(other)) - m_b) < max(10 * tolerance, 0.2):
            middle = float(np.median(mass)) / UNITS[self.where.unit]
            raise InputError(
                f"file = {str(self.path)!r}: the median mass of the B is {middle:.6g} {self.where.unit}; "
                f"say unit = {unit}"
            )
        names = ", ".join(self.where.momenta.values())
        raise InputError(
            f"file = {str(self.path)!r}: row {first + bad[0]}: the momenta of {names} add up to {mass[bad[0]]:.4f} "
            f"GeV, and the {self.channel.parent} has {m_b:.4f}; if photons are missing, give momenta before radiation "
            f"or with the photons added back (of HepMC files by photons = add); tolerance = {tolerance:g} GeV"
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
        self.other: set[str] = set()
        for name in self._tree.keys(recursive=False):
            values = self._tree[name].array(entry_stop=0, library="np")
            if values.dtype.kind in "fiub" and values.ndim == 1:
                self.schema[name] = values.dtype
            else:
                self.other.add(name)

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
        self.other = set(kinds) - set(self.schema)

    def chunks(self, rows: int) -> Iterator[dict[str, Any]]:
        """Pieces of the file, one after the other."""
        for batch in self._file.iter_batches(batch_size=rows, columns=list(self.schema)):
            yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in self.schema}
