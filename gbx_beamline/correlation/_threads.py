"""How many threads a kernel may use.

BLAS and OpenMP take every core they see, in every worker: on a shared machine that stalls all of them. So the
number is decided in one place: what the caller says, else ``GBX_THREADS``, else the cores this process may run on.
numpy's BLAS cannot be told after it was loaded; for it, set ``OPENBLAS_NUM_THREADS`` before the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from gbx_beamline.errors import ConfigError

_VARIABLE = "GBX_THREADS"


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
