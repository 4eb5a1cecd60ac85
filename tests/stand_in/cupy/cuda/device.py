"""Where CuPy has its devices."""

from . import Device as Device
