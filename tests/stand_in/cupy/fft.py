"""Fourier transforms, for those who import them."""

import numpy.fft as host

from . import _call

__all__ = host.__all__


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *arguments, **keywords: _call(getattr(host, name), arguments, keywords)
