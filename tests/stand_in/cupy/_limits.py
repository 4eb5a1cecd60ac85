"""Bytes of the arrays that live on the device, and how many may."""

total = 1 << 40
used = 0
most = 0


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError."""


def took(n):
    global used, most
    if used + n > total:
        raise OutOfMemoryError(f"Out of memory allocating {n:,} bytes (allocated so far: {used:,} bytes).")
    used += n
    most = max(most, used)


def gave(n):
    global used
    used -= n
