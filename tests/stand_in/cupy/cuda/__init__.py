"""Devices, streams and memory of the stand-in."""

from types import SimpleNamespace

from .. import _limits
from .._limits import OutOfMemoryError


class Device:
    """The one device."""

    def __init__(self, number=0):
        self.id = 0 if number is None else int(getattr(number, "id", number))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return self.id

    def synchronize(self):
        get_current_stream().synchronize()


class Pointer:
    """Where an array lies."""

    def __init__(self, address):
        self.ptr = address


class Stream:
    """Copies happen when someone waits for them: what is read before shows it."""

    def __init__(self, *, null=False, non_blocking=False):
        self.pending = []

    def later(self, to, what):
        self.pending.append((to, what))

    def synchronize(self):
        for to, what in self.pending:
            to[...] = what
        self.pending.clear()

    def wait_event(self, event):
        pass

    def record(self, event=None):
        return Event(self)

    def __enter__(self):
        _streams.append(self)
        return self

    def __exit__(self, *_):
        _streams.pop()


class Event:
    """All that its stream has to do."""

    def __init__(self, stream=None, **_):
        self.stream = stream

    def record(self, stream=None):
        self.stream = stream or get_current_stream()

    def synchronize(self):
        if self.stream:
            self.stream.synchronize()


_streams = [Stream()]


def get_current_stream():
    return _streams[-1]


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


def alloc_pinned_memory(size):
    return memoryview(bytearray(size))


def _properties(number):
    return {"name": b"stand-in", "multiProcessorCount": 3, "major": 9, "minor": 0, "totalGlobalMem": _limits.total}


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: 1,
    getDevice=lambda: 0,
    getDeviceProperties=_properties,
    memGetInfo=lambda: (_limits.total - _limits.used, _limits.total),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
)
driver = SimpleNamespace(occupancyMaxActiveBlocksPerMultiprocessor=lambda function, threads, shared: 2)
memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)


def is_available():
    return True
