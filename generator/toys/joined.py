"""Files of parts of a run of toys, joined into the file of the whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import check_target
from ..files.pieces import check_whole
from .files import Toys, read_toys, write_toys


def merge_toys(
    files: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str], overwrite: bool = False
) -> Toys:
    """Join the files that `toys` wrote of the parts of one card into one, the same as that of the whole.

    Raises:
        InputError: files of different cards, a part that is missing, twice or damaged, or an output that cannot be
            written.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.toys.files import toys
        >>> card = {"hypotheses": ["sm"], "observables": ["R_K+"], "fit": {}, "toys": 10}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [toys(card, f"{folder}/t.root", part=(k, 2)).path for k in (2, 1)]
        ...     merge_toys(files, f"{folder}/t.root").columns["toy"].tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    check_target(output, overwrite=overwrite)
    parts = [read_toys(file) for file in files]
    for part in parts:
        span, found = part.provenance.get("range"), part.columns["toy"]
        if span is None:
            raise InputError(f"file = {str(part.path)!r}: its provenance does not say which part of a run it is")
        if not np.array_equal(found, np.arange(*span)):
            raise InputError(
                f"file = {str(part.path)!r}: its toys are not those of its provenance, {span[0]} to {span[1] - 1}; was "
                "it joined by another program?"
            )
        if (part.provenance["key"], part.card.toys) != (parts[0].provenance["key"], parts[0].card.toys):
            raise InputError(f"file = {str(part.path)!r}: of another run than {str(parts[0].path)!r} (another card)")
    check_whole([part.provenance["range"] for part in parts], 0, parts[0].card.toys, "toys")
    parts.sort(key=lambda part: tuple(part.provenance["range"]))
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    provenance = {key: value for key, value in parts[0].provenance.items() if key not in ("part", "range")}
    provenance["toys"] = len(columns["toy"])
    write_toys(output, columns, provenance, overwrite)
    return Toys(parts[0].card, columns, provenance, Path(output))
