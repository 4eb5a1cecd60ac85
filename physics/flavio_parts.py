"""All that we use of flavio, imported in this one place; 5 seconds, so import from here inside functions only.

A package below flavio (parton) sets the root logger to INFO and gives it a handler when imported: from then
on every library would talk to the user, matplotlib about the fonts it embeds. Both are put back.

flavio reads masses and lifetimes from the PDG's table of 2022 in the package particle, which has it below version 1;
where it is gone, ours is read, a copy of that of 0.25.4 (BSD-3-Clause, Scikit-HEP): flavio lives beside particle 1.

Half of the time goes into YAML files, which flavio reads with PyYAML's loader in Python; during the import that is the
one in C, where there is one: the same numbers, ten times faster.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import particle.data
import yaml


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@contextmanager
def _fast_yaml() -> Iterator[None]:
    slow = yaml.SafeLoader
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", slow)
    try:
        yield
    finally:
        yaml.SafeLoader = slow


class _Tables:
    """The folder of the PDG's tables, with ours where it lacks one."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Any:
        found = self.folder / name
        return found if found.is_file() else Path(__file__).with_name(name)


@contextmanager
def _pdg_tables() -> Iterator[None]:
    folder = particle.data.basepath
    particle.data.basepath = _Tables(folder)
    try:
        yield
    finally:
        particle.data.basepath = folder


with _root_logger_kept(), _fast_yaml(), _pdg_tables():
    from flavio import WilsonCoefficients, default_parameters
    from flavio.classes import ParameterConstraints
    from flavio.config import config
    from flavio.physics import ckm
    from flavio.physics.bdecays import bpll, matrixelements
    from flavio.physics.bdecays.bvll import amplitudes as bvll
    from flavio.physics.bdecays.bvll.amplitudes import get_ff, get_ss, prefactor
    from flavio.physics.bdecays.bvll.qcdf_interpolate import helicity_amps_qcdf, q2_arr
    from flavio.physics.bdecays.common import meson_quark
    from flavio.physics.bdecays.formfactors.b_p.bsz_parameters import gkvd_load as gkvd_p
    from flavio.physics.bdecays.formfactors.b_p.bsz_parameters import load_ffs_eos
    from flavio.physics.bdecays.formfactors.b_v.bsz_parameters import gkvd_load as gkvd_v
    from flavio.physics.bdecays.formfactors.b_v.bsz_parameters import load_parameters as bsz
    from flavio.physics.bdecays.formfactors.b_v.lattice_parameters import lattice_load
    from flavio.physics.bdecays.wilsoncoefficients import CL_SM, get_wceff, wctot_dict
    from flavio.physics.common import conjugate_par, conjugate_wc
    from flavio.physics.running import running
    from flavio.statistics.probability import MultivariateNormalDistribution

LOADERS = {"bsz": bsz, "eos": load_ffs_eos, "gkvd_p": gkvd_p, "gkvd_v": gkvd_v, "lattice": lattice_load}
"""What reads a table of form factors that flavio ships into constraints, the last argument."""

__all__ = [
    "CL_SM",
    "LOADERS",
    "MultivariateNormalDistribution",
    "ParameterConstraints",
    "WilsonCoefficients",
    "bpll",
    "bvll",
    "ckm",
    "config",
    "conjugate_par",
    "conjugate_wc",
    "default_parameters",
    "get_ff",
    "get_ss",
    "get_wceff",
    "helicity_amps_qcdf",
    "matrixelements",
    "meson_quark",
    "prefactor",
    "q2_arr",
    "running",
    "wctot_dict",
]
