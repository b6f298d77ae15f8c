"""Maps of many parameter sets, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.simulation._domain import as_tuple, check_draw, checked_times
from gbx_beamline.simulation._drawing import Method, check_stability, intervals_of, own_noise, realise
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.resample import Cells, area_cells


def two_time_blocks(
    boundaries: Sequence[GrainBoundary],
    seeds: Sequence[int],
    *,
    t: ArrayLike | None = None,
    size: int | None = 256,
    method: Method = "exact",
    normalised: bool = False,
    block: int = 64,
) -> Iterator[NDArray[np.float32]]:
    """Maps of many members, a block at a time: memory holds one block and one member's trajectories.

    Each member is what ``boundaries[i].two_time(seeds[i], ...)`` gives, bit for bit, whatever the blocks.

    Args:
        boundaries: M members, one or more, with equally many q.
        seeds: (M,) the same seed twice means the same noise twice.
        t: (n,) times as for ``GrainBoundary.draw``, for all members.
        size: cells per side; None keeps every time step.
        method: as for ``GrainBoundary.draw``.
        normalised: as for ``GrainBoundary.two_time``.
        block: members per block.

    Returns:
        Blocks (b, n, n), or (b, Q, n, n) where q is a tuple.

    Raises:
        InputError: before any work, what the single functions would refuse of any member, or members that do not
            belong together.

    Warns:
        StabilityWarning: once, where Euler steps of members are near their limit.
    """
    times = checked_times(t)
    cells = area_cells(len(times), len(times) if size is None else size)
    intervals = intervals_of(times, method)
    check_members(boundaries, seeds, intervals, method, block)
    return blocks_on_cells(boundaries, seeds, times, intervals, method, cells, normalised=normalised, block=block)


def two_time_batch(
    boundaries: Sequence[GrainBoundary],
    seeds: Sequence[int],
    *,
    t: ArrayLike | None = None,
    size: int | None = 256,
    method: Method = "exact",
    normalised: bool = False,
) -> NDArray[np.float32]:
    """All maps of :func:`two_time_blocks` in one array: (M, n, n), or (M, Q, n, n) where q is a tuple."""
    blocks = two_time_blocks(boundaries, seeds, t=t, size=size, method=method, normalised=normalised)
    return np.concatenate(list(blocks))


def check_members(
    boundaries: Sequence[GrainBoundary],
    seeds: Sequence[int],
    intervals: NDArray[np.float64],
    method: str,
    block: int,
) -> None:
    """Refuse a batch before any work.

    Raises:
        InputError: see :func:`two_time_blocks`.
    """
    if (
        not boundaries
        or len(boundaries) != len(seeds)
        or block < 1
        or len({np.shape(each.q) for each in boundaries}) > 1
    ):
        raise InputError(
            f"{len(boundaries)} members, {len(seeds)} seeds, blocks of {block}",
            needed="one or more members, a seed for each, equally many q in all, and at least one member per block",
            action="correct the ensemble",
        )
    for seed in seeds:
        check_draw(seed, method)
    check_stability(boundaries, intervals, method, stacklevel=5)


def blocks_on_cells(
    boundaries: Sequence[GrainBoundary],
    seeds: Sequence[int],
    times: NDArray[np.float64],
    intervals: NDArray[np.float64],
    method: str,
    cells: Cells,
    *,
    normalised: bool = False,
    block: int,
    noise_of: Callable[[int], np.random.Generator] = own_noise,
) -> Iterator[NDArray[np.float32]]:
    """Blocks of maps of members that were checked, on any time cells and with noise from any generator."""
    for first in range(0, len(boundaries), block):
        members = boundaries[first : first + block]
        maps = np.empty((len(members), len(as_tuple(members[0].q)), len(cells), len(cells)), dtype=np.float32)
        for place, (member, seed) in enumerate(zip(members, seeds[first : first + block], strict=True)):
            draw = realise(member, times, intervals, seed, method, noise_of)
            draw.write_maps(cells, member.contrast, normalised, maps[place])
        yield maps if isinstance(members[0].q, tuple) else maps[:, 0]
