"""NumPy, CuPy or another array library: which one an array is of, and back to the host."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .errors import InputError
from .optional import optional

Array = NDArray[np.float64]


def array_module(*arrays: Any) -> Any:
    """Array library of the first argument that has one (NumPy, CuPy, any array-API library), else NumPy.

    For CuPy it is the wrapper of ``array-api-compat`` where that is installed, which older versions need.

    >>> array_module(np.zeros(2)).__name__
    'numpy'
    """
    for array in arrays:
        if isinstance(array, np.ndarray):
            continue
        if on_gpu(array):
            wrapped = find_spec("array_api_compat") is not None
            return import_module("array_api_compat.cupy" if wrapped else "cupy")
        if hasattr(array, "__array_namespace__"):
            return array.__array_namespace__()
    module: ModuleType = np
    return module


def on_gpu(array: Any) -> bool:
    """Whether an array is CuPy's.

    >>> on_gpu(np.zeros(2))
    False
    """
    return type(array).__module__.split(".")[0] == "cupy"


FloatArray = npt.NDArray[np.float64]


def array_library(device: str) -> Any:
    """NumPy for ``cpu`` and ``auto``, CuPy for ``gpu``; InputError where there is none.

    ``auto`` is the CPU: a plane of 400 x 400 points takes a second there.
    """
    if device in ("auto", "cpu"):
        return np
    if device != "gpu":
        raise InputError(f"device = {device!r}: auto, cpu or gpu")
    cupy = optional("cupy", "device = 'gpu'")
    try:
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise InputError(f"device = 'gpu': no GPU can be used ({error}); use cpu") from None
    return cupy


def to_host(array: Any) -> np.ndarray[Any, Any]:
    """Return an array as NumPy, copied from the device if it is CuPy's.

    >>> to_host([1.0, 2.0])
    array([1., 2.])
    """
    get = getattr(array, "get", None)
    return np.asarray(get() if callable(get) else array)
