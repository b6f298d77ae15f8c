"""How many threads a kernel may use, and q-ROIs side by side.

BLAS and OpenMP take every core they see, in every worker: on a shared machine that stalls all of them. So the
number is decided in one place: what the caller says, else ``GBX_THREADS``, else the cores this process may run on.
numpy's BLAS cannot be told after it was loaded; for it, set ``OPENBLAS_NUM_THREADS`` before the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from gbx_beamline.errors import ConfigError

_VARIABLE = "GBX_THREADS"

Given = TypeVar("Given")
Found = TypeVar("Found")


def thread_count(threads: int | None = None) -> int:
    """Threads to use.

    Args:
        threads: What the caller wants; None = ``GBX_THREADS``, else the cores this process may run on.

    Returns:
        At least 1.

    Raises:
        ConfigError: a number below 1, or a ``GBX_THREADS`` that is no number.
    """
    told = os.environ.get(_VARIABLE, "").strip()
    if threads is None and not told:
        return _cores()
    found = f"{_VARIABLE}={told!r}" if threads is None else f"threads={threads}"
    try:
        count = int(told) if threads is None else threads
    except ValueError:
        count = 0
    if count < 1:
        raise ConfigError(found, needed="a whole number of threads, 1 or more", action="correct it, or leave it out")
    return count


def side_by_side(work: Callable[[Given], Found], rois: Sequence[Given]) -> list[Found]:
    """``work`` of each q-ROI, as many at once as there are threads: on maps numpy lets go of the interpreter.

    Args:
        work: what is done to one; it shares nothing with the others.
        rois: what it is done to.

    Returns:
        What came of each, in order. The first error is raised.
    """
    threads = min(thread_count(), len(rois))
    if threads < 2:
        return [work(one) for one in rois]
    with ThreadPoolExecutor(threads, thread_name_prefix="gbx-roi") as pool:
        return list(pool.map(work, rois))


def _cores() -> int:
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not every system tells
        return os.cpu_count() or 1


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Let torch use this many threads inside the block; None leaves torch as it is.

    torch has one number for the whole process: it is put back afterwards.
    """
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    wanted = thread_count(threads)
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
