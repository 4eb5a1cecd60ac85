"""Tables kept on disk between runs: what takes seconds to build is read in a fraction of one, the same to the bit."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from ...kinematics.base.cache import cache_folder, keep_newest, read_checked, write_checked
from ...kinematics.base.sources import source_fingerprint
from ...physics.angular import Convention
from ...physics.channels import Channel
from ...physics.models import Model
from .tables import Table, channel_table

if TYPE_CHECKING:
    from ...physics.kpi import KpiSystem
    from .kpi_tables import KpiTable

SLOW = 0.02
"""Seconds from which on a table is kept: reading that of a narrow K*, 0.6 MB, takes one millisecond."""
KEPT_BYTES = 512 * 1024**2
"""Room for tables in the cache; the oldest give way."""
TableType = TypeVar("TableType")


def stored(kind: type[TableType], key: Any, build: Callable[[], TableType]) -> TableType:
    """A table from the cache, or built and kept there if that took long.

    ``key`` (JSON types) names all that the table depends on beside the sources of kinematics, physics and the sampler
    and the libraries below them. Files are written whole, so parallel jobs share them; a damaged one is made again,
    with a RuntimeWarning.

    >>> from darkpenguin.generator.sampler.tables import Table, channel_table
    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> make = lambda: channel_table(get_channel("B+->K+mumu"), get_model("sm"), q2_ranges=[(1.0, 6.0)])
    >>> bool((stored(Table, "an example", make).q2 == make().q2).all())
    True
    """
    folder = cache_folder()
    if folder is None:
        return build()
    rooms = ("kinematics", "physics", "generator/sampler")
    digest = hashlib.sha256(source_fingerprint(*rooms, libraries=("flavio", "wilson", "numpy", "scipy")).encode())
    digest.update(json.dumps([kind.__name__, key], sort_keys=True).encode())
    path = folder / f"table-{digest.hexdigest()[:32]}.npz"
    if path.is_file():
        try:
            with np.load(io.BytesIO(read_checked(path)), allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            os.utime(path)  # what is used stays
            return kind(**{name: value.item() if value.ndim == 0 else value for name, value in found.items()})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            message = f"cache file {path} is damaged ({error}) and is made again"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
    began = time.perf_counter()
    table = build()
    if time.perf_counter() - began > SLOW:
        buffer = io.BytesIO()
        np.savez(buffer, **{field.name: getattr(table, field.name) for field in fields(table)})  # type: ignore[arg-type]
        write_checked(path, buffer.getvalue())
        keep_newest(folder, "table-*.npz", size=KEPT_BYTES)
    return table


@overload
def sampling_table(
    channel: Channel,
    model: Model,
    kpi: None = None,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2_ranges: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
) -> Table: ...


@overload
def sampling_table(
    channel: Channel,
    model: Model,
    kpi: KpiSystem,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2_ranges: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
) -> Table | KpiTable: ...


def sampling_table(
    channel: Channel,
    model: Model,
    kpi: KpiSystem | None = None,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2_ranges: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
) -> Table | KpiTable:
    """What events of a channel are sampled from, of `channel_table` or `kpi_table`: built, or kept from an earlier run.

    A channel without a Kπ pair takes no notice of ``kpi``.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> table = sampling_table(get_channel("B+->K+mumu"), get_model("sm"), q2_ranges=[(1.0, 6.0)])
    >>> table.columns
    ('q2', 'cos_theta_l', 'flavour')
    """
    asked = (flavour, convention, [list(pair) for pair in q2_ranges], [list(pair) for pair in vetoes])
    wide = kpi is not None and not kpi.narrow and bool(channel.transition.daughters)
    system = kpi.model_dump(mode="json") if kpi is not None and wide else None
    key = [
        repr(channel),
        model.model_dump(mode="json", exclude={"name": True, "theory": {"radiation": True}}),
        system,
        asked,
    ]
    if kpi is None or not wide:
        return stored(Table, key, lambda: channel_table(channel, model, flavour, convention, q2_ranges, vetoes))
    from ...physics.kpi import KpiDecay
    from .kpi_tables import KpiTable, kpi_table

    decay = KpiDecay(channel, model, kpi)
    return stored(KpiTable, key, lambda: kpi_table(decay, flavour, convention, q2_ranges, vetoes))
