"""Scans for each step of training, simulated by other processes while this one trains.

Which process simulates a batch decides nothing: its seed is the step's.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Protocol

from gbx_beamline.config import TrainingConfig
from gbx_beamline.errors import ServiceError
from gbx_beamline.learning.training.batches import ScanArrays, batch_of_step
from gbx_beamline.simulation.workers import cores, undisturbed_births, use_one_thread

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

REPLAY = 16
"""Batches that are kept to be seen again."""

WAITING = 3
"""Batches that a process may be ahead."""

_CHECK_SECONDS = 1.0


class Feed(Protocol):
    """Where the training takes its scans from."""

    def batch(self, step: int) -> ScanArrays:
        """Scans of a step, or of a number. They are asked for in rising order."""
        ...


@contextmanager
def feed(config: TrainingConfig, first: int, stride: int = 1) -> Iterator[Feed]:
    """The batches ``first``, ``first + stride``, ... for as long as the context lasts."""
    if workers_of(config) == 0:
        yield _Here(config)
        return
    found = _Elsewhere(config, first, stride)
    try:
        yield found
    finally:
        found.close()


def batch_number(step: int, passes: int) -> int:
    """Which batch a step sees: ``REPLAY`` batches one after the other, ``passes`` times, then the next ones."""
    block, place = divmod(step, REPLAY * passes)
    return block * REPLAY + place % REPLAY


class Replayed:
    """The scans of each step, of which the batches of the present block are kept.

    Args:
        config: how often each batch is seen.
        source: of batches, in rising order from ``first_batch`` on.
        rank: of this process among ``world`` that train together, each with batches of its own.
        world: see there.
    """

    def __init__(self, config: TrainingConfig, source: Feed, rank: int = 0, world: int = 1) -> None:
        self._passes, self._source, self._rank, self._world = config.passes, source, rank, world
        self._kept: dict[int, ScanArrays] = {}

    def batch(self, step: int) -> ScanArrays:
        """See ``Feed``."""
        wanted = batch_number(step, self._passes)
        beginning = wanted // REPLAY * REPLAY
        self._kept = {number: scans for number, scans in self._kept.items() if number >= beginning}
        # After a resumption the block's earlier batches are there to be seen again.
        for number in range(max(self._kept, default=beginning - 1) + 1, wanted + 1):
            self._kept[number] = self._source.batch(number * self._world + self._rank)
        return self._kept[wanted]


def batches_until(step: int, passes: int) -> int:
    """How many batches the steps before this one have seen."""
    block, place = divmod(step - 1, REPLAY * passes)
    return block * REPLAY + min(place + 1, REPLAY)


def first_batch(step: int, passes: int) -> int:
    """Where a training that goes on with this step has to begin simulating."""
    return batch_number(step, passes) // REPLAY * REPLAY


def workers_of(config: TrainingConfig) -> int:
    """Processes that simulate."""
    return cores() if config.workers is None else config.workers


class _Here:
    """Simulated when asked for."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config

    def batch(self, step: int) -> ScanArrays:
        """See ``Feed``."""
        return batch_of_step(self._config.seed, step, self._config.scans_per_step, self._config.data)


class _Elsewhere:
    """Worker w of W simulates every W-th batch, from its own first on, into a queue of its own."""

    def __init__(self, config: TrainingConfig, first: int, stride: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._first, self._stride = first, stride
        self._queues: list[Queue[ScanArrays]] = []
        self._processes: list[SpawnProcess] = []
        workers = workers_of(config)
        for worker in range(workers):
            self._queues.append(context.Queue(WAITING))
            arguments = (
                config.model_dump_json(),
                first + worker * stride,
                workers * stride,
                self._queues[-1],
                os.getpid(),
            )
            self._processes.append(context.Process(target=_simulate, args=arguments, daemon=True))
            with undisturbed_births():
                self._processes[-1].start()

    def batch(self, step: int) -> ScanArrays:
        """See ``Feed``.

        Raises:
            ServiceError: the process is gone.
        """
        worker = (step - self._first) // self._stride % len(self._queues)
        while True:
            try:
                return self._queues[worker].get(timeout=_CHECK_SECONDS)
            except queue.Empty:
                code = self._processes[worker].exitcode
            if code is not None:
                raise ServiceError(
                    f"a process that simulates scans ended with code {code}",
                    needed="it until the training ends",
                    action="see its own message above; if it was killed for memory, lower scans_per_step or workers. "
                    "The same command goes on from the last checkpoint",
                )

    def close(self) -> None:
        """End the processes."""
        for process, waiting in zip(self._processes, self._queues, strict=True):
            process.terminate()
            process.join()
            waiting.cancel_join_thread()
            waiting.close()


def _simulate(settings: str, step: int, stride: int, waiting: Queue[ScanArrays], parent: int) -> None:
    """What a process does until it is ended, or until its parent is gone."""
    # An interruption is the parent's to handle: it goes to the whole group of processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_one_thread()
    config = TrainingConfig.model_validate_json(settings)
    while True:
        batch = batch_of_step(config.seed, step, config.scans_per_step, config.data)
        while True:
            if os.getppid() != parent:
                # Nobody will take what is in the queue.
                waiting.cancel_join_thread()
                return
            try:
                waiting.put(batch, timeout=_CHECK_SECONDS)
                break
            except queue.Full:
                continue
        step += stride
