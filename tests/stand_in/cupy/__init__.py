"""A stand-in for CuPy 14: NumPy underneath, CuPy's refusals on top; see README.md beside this package."""

import operator
import weakref

import numpy as np

from . import _limits
from ._kernels import RawModule as RawModule

__version__ = "14.0.0+stand-in"
# public names of NumPy 2.4 that CuPy 14.2 does not have, beside those that no one would call
LACKS = set(
    """
    asmatrix block bmat busday_count character clongdouble datetime64 einsum_path errstate flexible frompyfunc
    fromregex geomspace histogram_bin_edges insert isnat ma matrix matvec memmap nanpercentile nanquantile
    ndenumerate nditer polyder polydiv polyint rec recarray record seterr spacing strings test timedelta64 unstack
    vecdot vecmat void
    """.split()  # noqa: SIM905
)
MAKERS = {"array", "asarray", "asanyarray", "ascontiguousarray"}  # what takes a NumPy array to the device
CASTS = (bool, int, float, complex, np.generic, str, type(None), type, np.dtype, type(...), slice)


class ndarray:
    """An array on the device that is none."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host):
        self._host = host if isinstance(host, np.ndarray) else np.asarray(host)
        if self._host.base is None:
            _limits.took(self._host.nbytes)
            weakref.finalize(self._host, _limits.gave, self._host.nbytes)

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **keywords):
        if method != "__call__" or ufunc.__name__ in LACKS or not all(map(_fits, (*inputs, *out))):
            return NotImplemented
        return _call(ufunc, inputs, {**keywords, "out": out[0]} if out else keywords)

    def __array_function__(self, function, types, arguments, keywords):
        if function.__name__ in LACKS or not all(issubclass(kind, ndarray) for kind in types):
            return NotImplemented
        return _call(function, arguments, keywords)

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            return self._host.copy()
        if blocking:
            out[...] = self._host
        else:
            (stream or cuda.get_current_stream()).later(out, self._host)
        return out

    def astype(self, dtype, copy=True, **keywords):
        return ndarray(self._host.astype(dtype, copy=copy, **keywords))

    def item(self, *index):
        return self._host.item(*index)

    def tolist(self):
        return self._host.tolist()

    def __getitem__(self, key):
        return ndarray(self._host[_key(key)])

    def __setitem__(self, key, value):
        if not _fits(value):
            raise TypeError(f"Unsupported type {type(value)}")
        self._host[_key(key)] = _host(value)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self._host)))

    def __repr__(self):
        return repr(self._host)

    def __getattr__(self, name):
        if name.startswith("__") or name in ("ctypes", "getfield", "resize", "setflags", "to_device"):
            raise AttributeError(name)
        found = getattr(self._host, name)
        if callable(found) and name not in ("dtype", "flags"):
            return lambda *arguments, **keywords: _call(found, arguments, keywords)
        return ndarray(found) if isinstance(found, np.ndarray) else found

    @property
    def device(self):
        return cuda.Device(0)

    @property
    def data(self):
        return cuda.Pointer(self._host.ctypes.data)


def _add_operators():
    def binary(function, swapped):
        def method(self, other):
            if not _fits(other):
                raise TypeError(f"Unsupported type {type(other)}")
            pair = (_host(other), self._host) if swapped else (self._host, _host(other))
            with np.errstate(all="ignore"):
                return ndarray(function(*pair))

        return method

    def in_place(function):
        def method(self, other):
            if not _fits(other):
                raise TypeError(f"Unsupported type {type(other)}")
            self._host = function(self._host, _host(other))
            return self

        return method

    names = [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "matmul",
        "and_",
        "or_",
        "xor",
        "lshift",
        "rshift",
    ]
    for name in names:
        bare, function = name.rstrip("_"), getattr(operator, name)
        setattr(ndarray, f"__{bare}__", binary(function, False))
        setattr(ndarray, f"__r{bare}__", binary(function, True))
        setattr(ndarray, f"__i{bare}__", in_place(getattr(operator, f"i{bare}")))
    for name in ["lt", "le", "gt", "ge", "eq", "ne"]:
        setattr(ndarray, f"__{name}__", binary(getattr(operator, name), False))
    for name in ["neg", "pos", "abs", "invert"]:
        setattr(ndarray, f"__{name}__", lambda self, name=name: ndarray(getattr(operator, name)(self._host)))
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("complex", complex), ("index", operator.index)):
        setattr(ndarray, f"__{name}__", lambda self, kind=kind: kind(self._host))


_add_operators()


def _fits(value):
    """Whether CuPy takes a value beside its own arrays: numbers of Python and NumPy, no arrays of NumPy."""
    if isinstance(value, (list, tuple)):
        return all(map(_fits, value))
    return isinstance(value, (ndarray, *CASTS)) or callable(value)


def _key(key):
    if not _fits(key):
        raise IndexError(f"Unsupported type {type(key)}")
    return _host(key)


def _host(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(_host, value))
    return value._host if isinstance(value, ndarray) else value


def _device(value):
    if isinstance(value, (list, tuple)):
        made = [_device(part) for part in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return ndarray(value) if isinstance(value, (np.ndarray, np.generic)) else value


def _call(function, arguments, keywords):
    wrong = [value for value in (*arguments, *keywords.values()) if not _fits(value)]
    if wrong:
        raise TypeError(f"Unsupported type {type(wrong[0])}")
    with np.errstate(all="ignore"):  # a device does not warn
        found = function(*map(_host, arguments), **{name: _host(value) for name, value in keywords.items()})
    out = keywords.get("out")
    return out if isinstance(out, ndarray) else _device(found)


def _make(name):
    def make(value, dtype=None, **keywords):
        if set(keywords) - {"copy", "order", "subok", "ndmin", "blocking"}:
            raise TypeError(f"{name}() got an unexpected keyword argument {set(keywords)}")
        same = isinstance(value, ndarray) and dtype in (None, value.dtype) and not keywords.get("copy", name == "array")
        if same and (name != "ascontiguousarray" or value._host.flags.c_contiguous):
            return value
        return ndarray(np.array(_host(value), dtype=dtype, order="C" if name == "ascontiguousarray" else "K"))

    return make


def __getattr__(name):
    if name in LACKS or name.startswith("__"):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if name in MAKERS:
        return _make(name)
    found = getattr(np, name)
    if isinstance(found, type) or not callable(found) or name in ("dtype", "finfo", "iinfo", "issubdtype", "isdtype"):
        return found

    def function(*arguments, **keywords):
        if "device" in keywords:
            raise TypeError(f"{name}() got an unexpected keyword argument 'device'")
        return _call(found, arguments, keywords)

    function.__name__ = name
    return function


def asnumpy(array, **keywords):
    return array.get(**keywords) if isinstance(array, ndarray) else np.asarray(array)


def get_default_memory_pool():
    return cuda.SimpleNamespace(free_all_blocks=lambda: None, total_bytes=lambda: _limits.most)


__all__ = [name for name in np.__all__ if name not in LACKS and not name.startswith("_")] + ["ndarray", "asnumpy"]

from . import cuda as cuda  # noqa: E402   # these need the names above
from . import fft as fft  # noqa: E402
from . import linalg as linalg  # noqa: E402
