"""The package's own Numba decorators: strict floating point, and a cache that cannot serve stale code.

Numba's ``cache=True`` looks at one file only, so a formula changed in an imported module would go unnoticed,
and it fails at import where no folder is writable. Here a compiled function is kept in a folder named after a
hash of *all* sources of this package and of the versions below it, in one file per function, signature and
processor, written whole or not at all: several processes may compile at once. A damaged file is rebuilt with
a warning; where nothing is writable everything is compiled afresh.

Floating point: never ``fastmath=True``. Reassociation and approximate division give different results in the
vector body and in the scalar tail of a loop, and then an event depends on where its chunk began. Contraction
to fused multiply-adds and ignoring the sign of zero do not.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numba
from numba.core import cgutils, entrypoints, types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.environment import Environment
from numba.core.runtime import nrt
from numba.core.serialize import dumps
from numba.extending import intrinsic

from .cache import cache_folder, from_cache, write_checked
from .sources import source_fingerprint

Function = TypeVar("Function", bound=Callable[..., Any])
CONTRACTION = os.environ.get("DARKPENGUIN_CONTRACTION", "on") != "off"
"""Whether a product and a sum may become one fused multiply-add. The environment variable ``DARKPENGUIN_CONTRACTION``
set to ``off`` forbids it: then every compiler gives the same bits, and kernels for a GPU can be compared bit by bit."""
FLOATING_POINT: Mapping[str, Any] = MappingProxyType(
    {"error_model": "numpy", "fastmath": {"contract", "nsz"} if CONTRACTION else {"nsz"}}
)


def _fingerprint() -> str:
    """Hash of every source of the package, of what compiles it and how."""
    made_by = f"{platform.python_version()} {platform.machine()} " + ("" if CONTRACTION else "no contraction ")
    sources = source_fingerprint(libraries=("numba", "llvmlite", "numpy"))
    return hashlib.sha256((made_by + sources).encode()).hexdigest()[:32]


_FINGERPRINT = _fingerprint()  # now, not at first use: the sources may be edited while we run


@contextlib.contextmanager
def _without_extensions() -> Iterator[None]:
    """Keep Numba from importing what other packages add to it: awkward's and vector's types take 0.2 s.

    Our functions have no use for them. Whoever compiles something of his own later gets them as always.
    """
    known = entrypoints._already_initialized
    entrypoints._already_initialized = True
    try:
        yield
    finally:
        entrypoints._already_initialized = known


@functools.cache
def _name_runtime() -> None:
    """Tell LLVM where the functions of Numba's runtime are, which compiled code calls to allocate and to free.

    Numba's own way compiles some more of them, which code that is compiled already has inside: 20 ms.
    """
    for name, address in nrt._nrt.c_helpers.items():
        nrt.ll.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


class _Empty(NamedTuple):
    """Stands on disk for the environment of a function without constants: compiled code asks for its place alone.

    Numba would import the module of each again, its own arrays and strings among them: 17 ms.
    """

    name: str

    def __reduce__(self) -> tuple[Callable[[str], Environment], tuple[str]]:
        return _environment, (self.name,)


def _environment(name: str) -> Environment:
    """What an `_Empty` stands for."""
    made = Environment({})
    made.env_name = name
    return made


class CompiledCache(NullCache):  # type: ignore[misc]
    """Compiled code of one function on disk, a file for each signature and processor."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = f"{function.__module__}.{function.__qualname__}"  # two rooms may have a module of one name
        self.bytecode = hashlib.sha256(function.__code__.co_code).hexdigest()

    @property
    def cache_path(self) -> str | None:
        """Folder of the compiled code, None if there is none."""
        folder = self._folder()
        return None if folder is None else str(folder)

    def _folder(self) -> Path | None:
        return cache_folder("compiled", _FINGERPRINT)

    def _file(self, signature: Any, codegen: Any) -> Path | None:
        folder = self._folder()
        if folder is None:
            return None
        key = repr((signature, codegen.magic_tuple(), self.bytecode)).encode()
        return folder / f"{self.name}-{hashlib.sha256(key).hexdigest()[:24]}.bin"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for a signature, None if it has to be compiled.

        Numba's own cache makes the compiler ready first, its rules of all of NumPy and scipy.linalg for their sake:
        half a second, of which code that is compiled already needs the runtime alone. Whoever compiles does so anyway.
        """
        file = self._file(sig, target_context.codegen())
        if file is None:
            return None
        _name_runtime()
        with _without_extensions():
            return from_cache(file, lambda code: CompileResult._rebuild(target_context, *pickle.loads(code)))

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep a compiled function; a full or read-only disk is no error."""
        file = self._file(sig, cres.codegen)
        if file is None or cres.library.has_dynamic_globals or any(not x.can_cache for x in cres.lifted):
            return
        *code, environments = cres._reduce()
        kept = tuple(each if each.consts else _Empty(each.env_name) for each in environments)
        write_checked(file, dumps((*code, kept)))


def scalar(function: Function) -> Function:
    """Compile a function of one event: inlined into whatever loop calls it, on the CPU and on the GPU.

    Without the forced inlining LLVM keeps the call and the loop around it stays scalar, twenty times slower.

    >>> @scalar
    ... def square(x):
    ...     return x * x
    >>> square(3.0)
    9.0
    """
    compiled: Function = numba.njit(forceinline=True, **FLOATING_POINT)(function)
    return compiled


def inner(function: Function) -> Function:
    """Compile a loop that only kernels call: inlined into them, as `scalar` functions are.

    A kernel must not call a kernel. Whoever compiles the outer one has two copies of the inner one in memory,
    optimised once alone and once more inside, and calls the first; whoever takes it from the disk has the
    second only. They may contract other operations, and then a warm run differs from a cold one in last bits.

    >>> @inner
    ... def add_one(x):
    ...     for i in range(x.size):
    ...         x[i] += 1
    >>> @kernel
    ... def add_two(x):
    ...     add_one(x)
    ...     add_one(x)
    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> add_two(x); x
    array([2., 2., 2.])
    """
    return scalar(function)


def kernel(function: Function) -> Function:
    """Compile a loop over events for the CPU: it releases Python's lock, and is kept on disk between runs.

    Python calls it; a loop that kernels call is an `inner` one.

    >>> @kernel
    ... def add_one(x):
    ...     for i in range(x.size):
    ...         x[i] += 1
    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> add_one(x); x
    array([1., 1., 1.])
    """
    compiled: Function = numba.njit(nogil=True, **FLOATING_POINT)(function)
    if hasattr(compiled, "_cache"):  # a plain function when NUMBA_DISABLE_JIT is set
        compiled._cache = CompiledCache(function)
    if hasattr(compiled, "_compilation_chain_init_hook"):
        compiled._compilation_chain_init_hook = lambda: None  # see _without_extensions
    return compiled


def _wide_vectors(typing_context: Any) -> tuple[Any, Any]:
    """Let LLVM use the widest vectors of the processor in the function that calls this.

    On processors with AVX-512 LLVM keeps to half its width unless a function asks: for long loops of
    arithmetic the full width is a tenth to a quarter faster. Numba knows no option for it, so this sets
    LLVM's own attribute. It has no effect on results, nor on a processor without such vectors, nor where the
    JIT is off.
    """

    def mark(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # past llvmlite's own add(), which knows no attributes with a value
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), mark


def _no_vectors() -> None:
    """What `wide_vectors` is to plain Python."""


wide_vectors = _no_vectors if numba.config.DISABLE_JIT else intrinsic(_wide_vectors)


def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask the processor for the line of the cache that holds ``array[index]``, and go on; no effect on results.

    For gathers whose places are known some events ahead: without it each event waits for its row of a table.
    """

    def ask(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, number, ir = cgutils.voidptr_t, cgutils.int32_t, cgutils.ir
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [place, number(0), number(3), number(1)])  # to read, into all caches, of data
        return context.get_dummy_value()

    return types.void(array, index), ask


def _no_prefetch(array: Any, index: Any) -> None:
    """What `prefetch` is to plain Python."""


prefetch = _no_prefetch if numba.config.DISABLE_JIT else intrinsic(_prefetch)
