"""Who computes batches: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gbx_beamline.errors import DependencyError, ServiceError

if TYPE_CHECKING:
    from distributed import Client

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item", bound=Hashable)

LOCAL = "local"
"""In place of a Dask scheduler's address: a cluster of this machine, for as long as it is needed."""

MADE_WITH = ("gbx-beamline", "numpy", "scipy")
"""Packages whose versions may change a bit of the result: all workers have those of this process."""

CONNECT_SECONDS = 10.0
EMPTY_SECONDS = 60.0
"""Longest time that a cluster may be without any worker."""

_CHECK_SECONDS = 1.0

_AHEAD = 1
"""Batches that wait for a worker, so that none is idle while another's result is stored."""

_GO_ON = "run the same command again: batches that are whole are kept"


@dataclass(frozen=True)
class Workers:
    """Something that computes batches, a few at a time."""

    executor: Executor
    slots: Callable[[], int]
    """How many batches may be under way now: more would only fill memory with results."""
    check: Callable[[], None]
    """Raises a ServiceError when no result can come any more; called from time to time while there is none."""


@contextmanager
def workers_for(workers: int, dask: str | None) -> Iterator[Workers]:
    """Workers for the length of the ``with`` block.

    Args:
        workers: processes on this machine; 1 is this process itself. Of no meaning with ``dask``.
        dask: address of a Dask scheduler, or ``LOCAL``.

    Raises:
        ServiceError: no scheduler answers, its workers have other versions, or all workers are lost.
        DependencyError: ``distributed`` is absent.
    """
    if dask is not None:
        with cluster(dask) as (found, _):
            yield found
    elif workers == 1:
        yield Workers(_Here(), lambda: 1, lambda: None)
    else:
        with _processes(workers) as found:
            yield found


def spread(workers: Workers, work: Callable[[Item], T], items: Iterable[Item]) -> Iterator[tuple[Item, Future[T]]]:
    """Have each item worked on, as many at once as there are workers; items with their futures, in the order in which
    they are done.

    Args:
        workers: who works.
        work: what is done with an item; travels to the workers.
        items: each once.

    Raises:
        ServiceError: no result can come any more. What an item raises is in its future.
    """
    waiting = iter(items)
    under_way: dict[Future[T], Item] = {}
    while True:
        with loss_in_words():
            while len(under_way) < workers.slots() and (item := next(waiting, None)) is not None:
                under_way[workers.executor.submit(work, item)] = item
        if not under_way:
            return
        ready, _ = wait(under_way, timeout=_CHECK_SECONDS, return_when=FIRST_COMPLETED)
        if not ready:
            workers.check()
        for future in ready:
            yield under_way.pop(future), future


def cores() -> int:
    """Cores that this process may run on."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not every system tells
        return os.cpu_count() or 1


def made_with() -> dict[str, str]:
    """Versions of the packages that make the numbers."""
    return {package: version(package) for package in MADE_WITH}


def use_one_thread() -> None:
    """Leave numerical libraries one thread from now on, in a process that computes batches.

    Several workers with as many threads as cores stall each other, and sums over threads may round differently.
    Dask's nannies do the same to their workers.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)


@contextmanager
def loss_in_words() -> Iterator[None]:
    """Say in words that a worker is lost, where work is handed out or results are fetched.

    Raises:
        ServiceError: it is.
    """
    try:
        yield
    except (BrokenProcessPool, CancelledError) as error:
        raise ServiceError(
            "a process that computes batches is gone (killed, or out of memory)",
            needed="workers that live until their batch is done",
            action=f"{_GO_ON}; with fewer --workers if memory is short",
        ) from error


class _Here(Executor):
    """Computes at once, in this process, which gets its threads back."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        from threadpoolctl import threadpool_limits

        future: Future[T] = Future()
        try:
            with threadpool_limits(limits=1):
                future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)
        return future


@contextmanager
def undisturbed_births() -> Iterator[None]:
    """Processes that this thread starts meanwhile are deaf to Ctrl-C from their first moment on: one that it reached
    while it imports would print a traceback. This thread hears of it right after."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Pool(ProcessPoolExecutor):
    """Leaves Ctrl-C to the parent. Processes are started as they are needed, when work is handed out."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with undisturbed_births():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def _processes(workers: int) -> Iterator[Workers]:
    # Not forked: a fork copies locks that other threads hold, of BLAS among them.
    context = multiprocessing.get_context("spawn")
    leash, ours = context.Pipe(duplex=False)
    pool = _Pool(workers, mp_context=context, initializer=_follow, initargs=(leash,))
    try:
        yield Workers(pool, lambda: workers + _AHEAD, lambda: None)
    except BaseException:
        # Nobody wants what they are computing any more.
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        leash.close()


def _follow(leash: Connection) -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(leash,), daemon=True, name="leash").start()


def _end_with(leash: Connection) -> None:
    try:
        leash.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


@contextmanager
def cluster(address: str) -> Iterator[tuple[Workers, Client]]:
    """Workers of a Dask cluster for the length of the ``with`` block, and its client.

    Args:
        address: Of its scheduler, or ``LOCAL``.

    Raises:
        ServiceError, DependencyError: as ``workers_for``.
    """
    _check_dask()
    with ExitStack() as stack:
        stack.enter_context(_silence())
        if address == LOCAL:
            address = stack.enter_context(_local_cluster())
        client = _connected(address)
        # What is still under way is cancelled with the client that asked for it.
        stack.callback(client.close)
        _check_versions(client, address)
        watch = _Watch(client, address)
        yield Workers(client.get_executor(pure=False), watch.slots, watch.check), client


@contextmanager
def _local_cluster() -> Iterator[str]:
    """Address of a scheduler with one worker for each core."""
    from distributed import LocalCluster

    made: Any = LocalCluster(n_workers=cores(), threads_per_worker=1, dashboard_address=":0")
    with made as cluster:
        yield cluster.scheduler_address


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what distributed logs of lost connections, tracebacks and all, from the terminal: we say it in words.

    It configures its loggers when it is imported.
    """
    handlers = logging.getLogger("distributed").handlers
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


def _check_dask() -> None:
    try:
        __import__("distributed")
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"the package {error.name!r} is not installed",
            needed="it for --dask",
            action="install gbx-beamline[ensembles], or leave --dask out",
        ) from error


def _connected(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise ServiceError(
            f"no Dask scheduler answers at {address!r} ({error})",
            needed="the address of a running scheduler such as tcp://10.0.0.5:8786",
            action="start `dask scheduler` and `dask worker`, or correct --dask",
        ) from error


def _check_versions(client: Client, address: str) -> None:
    """Refuse workers that would compute other numbers."""
    try:
        client.wait_for_workers(1, timeout=EMPTY_SECONDS)
    except TimeoutError as error:
        raise _no_workers(address) from error
    for package, ours in made_with().items():
        found: Any = client.run(version, package, on_error="return")
        for worker, theirs in found.items():
            # Another error is a worker's that went away meanwhile.
            absent = isinstance(theirs, PackageNotFoundError)
            if absent or (isinstance(theirs, str) and theirs != ours):
                said = f"no {package}" if absent else f"{package} {theirs}"
                raise ServiceError(
                    f"worker {worker} of {address} has {said}",
                    needed=f"{package} {ours}, as here",
                    action="install the same release on all workers",
                )


def _no_workers(address: str) -> ServiceError:
    return ServiceError(
        f"the Dask cluster at {address} has had no workers for {EMPTY_SECONDS:.0f} s",
        needed="a running scheduler with workers",
        action=f"start workers and {_GO_ON}",
    )


class _Watch:
    """Looks after a cluster while its results are awaited."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self._empty_since: float | None = None

    def slots(self) -> int:
        threads = self._threads()
        return threads + max(_AHEAD, threads // 2)

    def check(self) -> None:
        if self._threads():
            self._empty_since = None
            return
        now = time.monotonic()
        if self._empty_since is None:
            self._empty_since = now
        elif now - self._empty_since > EMPTY_SECONDS:
            raise _no_workers(self._address)

    def _threads(self) -> int:
        """Of all workers at present."""
        try:
            threads: Any = self._client.nthreads()
        except (OSError, AttributeError) as error:  # a client that has given up has no scheduler
            raise ServiceError(
                f"the Dask scheduler at {self._address} has gone away",
                needed="a scheduler that lives until the end",
                action=f"start it again and {_GO_ON}",
            ) from error
        return sum(threads.values())
