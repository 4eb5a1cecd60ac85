"""Work in pieces: here one after the other, or on the workers of a Dask cluster, with the same results in order."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self, TypeVar

from ...kinematics.base.errors import InputError, TryAgainError
from ...kinematics.base.optional import optional
from ...kinematics.base.sources import source_fingerprint

Result = TypeVar("Result")
Piece = tuple[int, int]

PATIENCE = 300.0
"""Seconds without any worker after which the others of a cluster are given up."""
_FAILURES = 30
"""Workers that may be lost at a piece before it is given up."""
_CLOSE = 2.0
_CONNECT = 30.0


class Workers:
    """Who does the work: this process, or the workers of a Dask cluster, which are asked when there is some.

    A context manager, whose end closes the connection, and the cluster if it was started here.

    Args:
        dask: address of a scheduler (``tcp://host:8786``), or ``local:N`` for N workers of one thread on this machine;
            nobody else if None.

    Raises:
        InputError: no such scheduler, or Dask is not installed.

    Example:
        >>> with Workers() as workers:
        ...     list(workers.in_order(range, [(0, 2), (2, 3)]))
        [((0, 2), range(0, 2)), ((2, 3), range(2, 3))]
    """

    def __init__(self, dask: str | None = None) -> None:
        check_dask(dask)
        self.dask = dask
        self._stack, self._client, self._works = ExitStack(), None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client = None
        self._stack.close()

    def in_order(self, work: Callable[[int, int], Result], pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Result]]:
        """Do ``work(start, stop)`` for every piece; yields piece and result in the order of the pieces.

        On a cluster the pieces of a worker that is lost are made by others. What comes back is what would have been
        made here: workers with other sources of darkpenguin are refused.

        Args:
            work: a function that can be pickled, and what it holds.
            pieces: first and last (exclusive) of each.

        Raises:
            TryAgainError: the workers or the scheduler were lost, or no local cluster could be started.
        """
        if self.dask is None:
            for piece in pieces:
                yield piece, work(*piece)
            return
        self._client = self._client or self._stack.enter_context(_client(self.dask))
        self._works += 1
        yield from _on_workers(self._client, f"darkpenguin-{id(self)}-{self._works}", work, pieces)


def in_order(
    work: Callable[[int, int], Result], pieces: Iterable[Piece], dask: str | None = None
) -> Iterator[tuple[Piece, Result]]:
    """`Workers.in_order` by workers of its own.

    >>> [result for _, result in in_order(range, [(0, 2), (2, 3)])]
    [range(0, 2), range(2, 3)]
    """
    with Workers(dask) as workers:
        yield from workers.in_order(work, pieces)


def check_dask(dask: str | None) -> None:
    """InputError, before any work, for what is no address or if Dask is not installed.

    >>> check_dask(None)
    """
    if dask is None:
        return
    if _local_workers(dask) is None and "://" not in dask:
        raise InputError(
            f"dask = {dask!r}: give the address of a scheduler, such as tcp://host:8786, or local:4 for 4 workers here"
        )
    optional("distributed", "dask")


def _local_workers(dask: str) -> int | None:
    """N of ``local:N``; None for an address."""
    word, _, number = dask.partition(":")
    if word != "local":
        return None
    if not (number.isascii() and number.isdecimal() and 1 <= int(number[:9]) <= 1024):
        raise InputError(f"dask = {dask!r}: write local:N for N workers on this machine, 1 to 1024")
    return int(number)


@contextmanager
def _client(dask: str) -> Iterator[Any]:
    """A client of the cluster; a local one is started, and stopped at the end."""
    check_dask(dask)
    distributed = optional("distributed", "dask")
    workers = _local_workers(dask)
    # a worker that is killed is no fault of the piece that it was at: others may make it, again and again
    settings = {"distributed.scheduler.allowed-failures": _FAILURES, "distributed.comm.timeouts.connect": _CONNECT}
    with optional("dask.config", "dask").set(settings), ExitStack() as started:
        try:
            cluster = None
            if workers is not None:
                cluster = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",  # a free port: others may have a cluster on this machine
                    memory_limit=0,
                    silence_logs=60,  # workers that come and go are no news to who asked for a result
                )
                started.callback(_close, cluster)
            client = distributed.Client(cluster or dask, timeout=_CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            if workers is not None:  # no process can be started, for one
                raise TryAgainError(f"dask = {dask!r}: no cluster could be started ({error}); run it again") from None
            raise InputError(f"dask = {dask!r}: no scheduler answers there ({error})") from None
        try:
            yield client
        finally:
            with suppress(TimeoutError):  # it is asked no more
                client.close(timeout=1.0)


def _close(cluster: Any) -> None:
    """Stop a local cluster; its workers have nothing left to do, and are killed if they take their time.

    Whatever Dask says to it: its nannies take a worker that died as soon as it was there for one that runs, and fail
    an assertion when it is to be stopped. What was asked for is done by then, or its own error is on the way.
    """
    nannies = list(cluster.workers.values())
    with suppress(Exception):
        cluster.close(timeout=_CLOSE)
        return
    for number in filter(None, [nanny.pid for nanny in nannies]):
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
    cluster.status = optional("distributed", "dask").core.Status.failed  # else it waits for the attempt that failed
    with suppress(Exception):
        cluster.close(timeout=1.0)


def _on_workers(
    client: Any, carried: str, work: Callable[[int, int], Result], pieces: Iterable[Piece]
) -> Iterator[tuple[Piece, Result]]:
    distributed = optional("distributed", "dask")

    class Carried(distributed.WorkerPlugin):  # type: ignore[misc, name-defined]
        """The work, given once to every worker, those that come later included."""

        name = carried

        def __init__(self) -> None:
            self.work = work

    waiting: deque[tuple[Piece, Any]] = deque()
    source = source_fingerprint()
    lost = (distributed.KilledWorker, CancelledError)  # the latter if the scheduler went away
    try:
        for attempt in range(20):
            try:
                client.register_plugin(Carried())
                break
            except OSError:  # a worker died while it was told
                if attempt == 19:
                    raise
                time.sleep(0.25)
        for piece in pieces:
            waiting.append((piece, client.submit(_made, source, carried, *piece, pure=False)))
            while len(waiting) > 2 * sum(client.nthreads().values()) + 1:
                done, future = waiting.popleft()
                yield done, _result(client, future)
        while waiting:
            done, future = waiting.popleft()
            yield done, _result(client, future)
    except (*lost, OSError) as error:
        raise TryAgainError(f"dask: the workers or their scheduler were lost ({error}); run it again") from None
    finally:
        for _, future in waiting:
            future.release()


def _made(source: str, carried: str, start: int, stop: int) -> Any:
    """Do a piece of the work that this worker carries."""
    worker = optional("distributed", "dask").get_worker()
    if source_fingerprint() != source:
        raise InputError("dask: a worker has other sources of darkpenguin than we have; install the same version there")
    return worker.plugins[carried].work(start, stop)


def worker_number() -> int:
    """Number of this worker among those that were started with it; 0 where there is none, or it has another name.

    >>> worker_number()
    0
    """
    try:
        name = str(optional("distributed", "dask").get_worker().name)
    except (InputError, ValueError):  # no Dask, or no worker
        return 0
    return int(name) if name.isascii() and name.isdecimal() else 0


def _result(client: Any, future: Any) -> Any:
    """Result of a piece, once it is there; TryAgainError if there has been no worker for long."""
    wait, alone = optional("distributed", "dask").wait, None
    while not future.done():
        try:
            with client.as_current():
                wait([future], timeout=1.0)
        except TimeoutError:
            now = time.monotonic()
            alone = None if client.nthreads() else alone or now
            if alone is not None and now - alone > PATIENCE:
                raise TryAgainError(f"dask: no worker for {PATIENCE:.0f} s; run it again when there are some") from None
    if future.status == "error":
        return future.result()  # raises what the work did
    try:
        return future.result(
            timeout=PATIENCE
        )  # lost with its worker it is made again, and nobody may be there to do so
    except TimeoutError:
        raise TryAgainError(f"dask: a result was lost, and no worker made it again in {PATIENCE:.0f} s") from None
