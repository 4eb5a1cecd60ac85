"""All that we use of flavio, imported in this one place; 5 seconds, so import from here inside functions only.

A package below flavio (parton) sets the root logger to INFO and gives it a handler when imported: from then
on every library would talk to the user, matplotlib about the fonts it embeds. Both are put back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


with _root_logger_kept():
    from flavio import WilsonCoefficients, default_parameters
    from flavio.physics import ckm
    from flavio.physics.bdecays import bpll, matrixelements
    from flavio.physics.bdecays.bvll import amplitudes as bvll
    from flavio.physics.bdecays.bvll.amplitudes import get_ff, get_ss, prefactor
    from flavio.physics.bdecays.bvll.qcdf_interpolate import helicity_amps_qcdf, q2_arr
    from flavio.physics.bdecays.wilsoncoefficients import CL_SM, get_wceff, wctot_dict
    from flavio.physics.common import conjugate_par, conjugate_wc
    from flavio.physics.running import running

__all__ = [
    "CL_SM",
    "WilsonCoefficients",
    "bpll",
    "bvll",
    "ckm",
    "conjugate_par",
    "conjugate_wc",
    "default_parameters",
    "get_ff",
    "get_ss",
    "get_wceff",
    "helicity_amps_qcdf",
    "matrixelements",
    "prefactor",
    "q2_arr",
    "running",
    "wctot_dict",
]
