"""Linear algebra, with CuPy's refusals."""

import numpy.linalg as host

from . import _call

LACKS = {"diagonal", "matrix_norm", "multi_dot", "outer", "svdvals", "tensordot", "trace", "vecdot", "vector_norm"}
LinAlgError = host.LinAlgError
__all__ = [name for name in host.__all__ if name not in LACKS]


def __getattr__(name):
    if name in LACKS or name.startswith("__"):
        raise AttributeError(name)
    return lambda *arguments, **keywords: _call(getattr(host, name), arguments, keywords)
