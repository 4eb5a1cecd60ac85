"""Kernels compiled by g++ and run thread by thread; arguments are checked against the kernel's own types."""

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from functools import cached_property, lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HOST = Path(__file__).parents[1] / "host.h"
FLAGS = ("-O1", "-std=c++17", "-ffp-contract=off")
"""Set DARKPENGUIN_HOST_FLAGS for others."""


@lru_cache
def _compiler():
    """Which g++ this is, and of what machine."""
    return subprocess.run(["g++", "-v"], capture_output=True, text=True, check=True).stderr


@lru_cache
def library(source, names, flags):
    """Functions launch_0, signature_0 and so on of some kernels."""
    exports = "\n".join(f"EXPORT({i}, {name})" for i, name in enumerate(names))
    text = "\n".join((HOST.read_text(), source, exports))
    folder = Path(os.environ.get("DARKPENGUIN_HOST_KERNELS", tempfile.gettempdir()))
    made = folder / f"kernels-{hashlib.sha256(' '.join((text, *flags, _compiler())).encode()).hexdigest()[:24]}.so"
    if not made.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            code, part = Path(temporary, "kernels.cpp"), Path(temporary, "kernels.so")
            code.write_text(text)
            done = subprocess.run(["g++", *flags, "-shared", "-fPIC", code, "-o", part], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            os.replace(part, made)
    return ctypes.CDLL(str(made))


class RawModule:
    """As cupy.RawModule with name expressions."""

    def __init__(self, *, code, options=(), name_expressions=()):
        given = os.environ.get("DARKPENGUIN_HOST_FLAGS")
        self.code, self.names = code, tuple(name_expressions)
        self.flags = (*given.split(), *options) if given else tuple(dict.fromkeys((*FLAGS, *options)))

    def get_function(self, name):
        library(self.code, self.names, self.flags)  # compiled now, as CuPy does it
        return RawKernel(self, self.names.index(name))


class RawKernel:
    """One of them."""

    def __init__(self, module, number):
        self.module, self.number = module, number
        self.kernel = SimpleNamespace(ptr=1)

    @cached_property
    def parameters(self):
        text = ctypes.create_string_buffer(1000)
        getattr(self._library, f"signature_{self.number}")(text)
        return re.findall(r"\*?.", text.value.decode())

    @property
    def _library(self):
        return library(self.module.code, self.module.names, self.module.flags)

    def __call__(self, grid, block, arguments):
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{len(arguments)} arguments for {len(self.parameters)} parameters")
        held = []
        for value, wanted in zip(arguments, self.parameters, strict=True):
            array = not isinstance(value, np.generic)
            host = value._host if array else np.asarray(value)  # a NumPy array has no _host: as CuPy, a TypeError
            found = "*" * array + host.dtype.char.replace("q", "l").replace("Q", "L")
            if found != wanted:
                raise TypeError(f"argument {len(held)} is {found}, the kernel takes {wanted}")
            held.append(ctypes.c_void_p(host.ctypes.data) if array else host)
        addresses = [ctypes.addressof(x) if isinstance(x, ctypes.c_void_p) else x.ctypes.data for x in held]
        run = getattr(self._library, f"launch_{self.number}")
        run(grid[0], block[0], (ctypes.c_void_p * len(held))(*addresses))
