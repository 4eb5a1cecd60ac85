"""The PDG's table of 2022 for flavio, which reads masses and lifetimes from it.

The package particle has that table below version 1; where it is gone, ours is read, a copy of that of 0.25.4
(BSD-3-Clause, Scikit-HEP): flavio lives beside particle 1. Alone it does not: `import flavio` fails there until
`darkpenguin.physics.flavio_parts` has been imported, which the first prediction does and `import darkpenguin` does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import particle.data


class Tables:
    """The folder of the PDG's tables, with ours where it lacks one."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Any:
        found = self.folder / name
        return found if found.is_file() else Path(__file__).with_name(name)

    joinpath = __truediv__


@contextmanager
def pdg_tables() -> Iterator[None]:
    """Within it, `particle.data` has the table of 2022."""
    folder = particle.data.basepath
    particle.data.basepath = Tables(folder)
    try:
        yield
    finally:
        particle.data.basepath = folder
