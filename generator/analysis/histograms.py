"""Binned quantities and migrations as histograms: objects of ``hist``, and ROOT files of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from ...physics.binning import BinnedValue
from ..files.columns import axis_label
from .migration import Migration, Migrations


def _axis(edges: Sequence[float], variable: str) -> Any:
    """Axis of a column, with its unit."""
    return optional("hist", "a histogram").axis.Variable(list(edges), name=variable, label=axis_label(variable))


def histograms(rows: Sequence[BinnedValue], variable: str = "q2") -> dict[str, Any]:
    """Histograms (``hist.Hist``, weighted) of binned values by ``channel/observable``; gaps between bins stay empty.

    The axis is ``variable``, the column that was binned. A bin of a quantity that is not a yield holds its value, with
    the square of its error as the variance.

    Raises:
        InputError: bins that overlap.

    Example:
        >>> rows = [BinnedValue("R_K+", "R_K+", 1.1, 6.0, 0.98, 0.03)]
        >>> float(histograms(rows)["R_K+/R_K+"].values()[0])
        0.98
    """
    hist = optional("hist", "a histogram")
    groups: dict[tuple[str, str], list[BinnedValue]] = {}
    for row in rows:
        groups.setdefault((row.channel, row.observable), []).append(row)
    found = {}
    for (channel, quantity), values in groups.items():
        values = sorted(values, key=lambda row: row.q2_min)
        for one, two in pairwise(values):
            if two.q2_min < one.q2_max:
                raise InputError(
                    f"bins {one.q2_min:g} to {one.q2_max:g} and {two.q2_min:g} to {two.q2_max:g} overlap: "
                    "a histogram cannot have both"
                )
        edges = sorted({edge for row in values for edge in (row.q2_min, row.q2_max)})
        made = hist.Hist(
            _axis(edges, variable),
            storage=hist.storage.Weight(),
            name=quantity,
            label=f"{channel} {quantity}",
        )
        for row in values:
            made[edges.index(row.q2_min)] = (row.value, (row.error or 0.0) ** 2)
        found[f"{channel}/{quantity}"] = made
    return found


def migration_histograms(found: Sequence[Migration], variable: str = "q2_reco") -> dict[str, Any]:
    """Histograms (``hist.Hist``, true q2 by ``variable``) of migrations: counts, and normalised by true interval."""
    hist = optional("hist", "a histogram")
    made = {}
    for migration in found:
        for name, values, variances in (
            ("migration_counts", migration.counts, migration.variances),
            ("migration", migration.normalised, None),
        ):
            axes = [_axis(migration.edges, axis) for axis in ("q2", variable)]
            storage = hist.storage.Double() if variances is None else hist.storage.Weight()
            histogram = hist.Hist(*axes, storage=storage, name=name, label=f"{migration.channel} {name}")
            if variances is None:
                histogram.view(flow=True)[...] = values
            else:
                histogram.view(flow=True)["value"] = values
                histogram.view(flow=True)["variance"] = variances
            made[f"{migration.channel}/{name}"] = histogram
    return made


def write_histograms(
    path: str | os.PathLike[str], found: Sequence[BinnedValue] | Migrations, overwrite: bool = False
) -> Path:
    """Write binned values or migrations to a ROOT file, a folder a channel; the file appears whole or not at all.

    Raises:
        InputError: a name that does not end in .root, or a file that exists or cannot be written.

    Example:
        >>> import tempfile
        >>> rows = [BinnedValue("R_K+", "R_K+", 1.1, 6.0, 0.98, 0.03)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_histograms(f"{folder}/h.root", rows).name
        'h.root'
    """
    import uproot

    from ...kinematics.base.files import WholeFile, check_target
    from ...physics.channels import file_word

    if Path(path).suffix.lower() != ".root":
        raise InputError(f"output = {str(path)!r}: histograms go to a .root file")
    target = check_target(path, overwrite=overwrite)
    if isinstance(found, Migrations):
        made = migration_histograms(found, found.variable)
    else:
        made = histograms(found, getattr(found, "variable", "q2"))
    with WholeFile(target, overwrite) as temporary, uproot.recreate(temporary) as file:
        for name, histogram in made.items():
            channel, quantity = name.rsplit("/", 1)
            file[f"{file_word(channel)}/{file_word(quantity)}"] = histogram
    return target
