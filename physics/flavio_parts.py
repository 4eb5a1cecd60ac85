"""All that we use of flavio, imported in this one place; 5 seconds, so import from here inside functions only.

A package below flavio (parton) sets the root logger to INFO and gives it a handler when imported: from then
on every library would talk to the user, matplotlib about the fonts it embeds. Both are put back.

Half of the time goes into YAML files, which flavio reads with PyYAML's loader in Python; during the import that is the
one in C, where there is one: the same numbers, ten times faster.

Parameters and settings are those that flavio ships, not those that somebody's own code has made of
``flavio.default_parameters`` and ``flavio.config``: what is computed with them is kept for later runs, which would
know nothing of that. What is to be another goes into a theory.
"""

from __future__ import annotations

import logging
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from .pdg_tables import pdg_tables


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


def _forget_a_failed_import() -> None:
    """Drop what is left of flavio where somebody's own import of it failed, as it does beside particle 1."""
    if "flavio" not in sys.modules:
        for name in [name for name in sys.modules if name.startswith("flavio.")]:
            del sys.modules[name]


_forget_a_failed_import()
with _root_logger_kept(), _fast_yaml(), pdg_tables():
    from flavio import WilsonCoefficients
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

    default_parameters = ParameterConstraints()
    default_parameters.read_default()
    SHIPPED = yaml.load(pkgutil.get_data("flavio", "data/config.yml") or b"", yaml.SafeLoader)
    """flavio's settings: which parametrisation form factors have, and scales."""

LOADERS = {"bsz": bsz, "eos": load_ffs_eos, "gkvd_p": gkvd_p, "gkvd_v": gkvd_v, "lattice": lattice_load}
"""What reads a table of form factors that flavio ships into constraints, the last argument."""

__all__ = [
    "CL_SM",
    "LOADERS",
    "SHIPPED",
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
