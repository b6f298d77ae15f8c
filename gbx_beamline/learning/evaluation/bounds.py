"""Cramér-Rao bounds of a prepared suite, computed once and kept beside its shots."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning._virtual_files import write_whole
from gbx_beamline.learning._virtual_plan import PlannedShot, plan_group
from gbx_beamline.learning.evaluation.cramer_rao import Trajectory, cramer_rao
from gbx_beamline.learning.virtual import PreparedSuite, SuiteSettings
from gbx_beamline.records import PARAMETERS
from gbx_beamline.simulation.workers import loss_in_words, use_one_thread, workers_for

VERSION = 2
"""Of the bound's definition: kept numbers of another one are computed anew."""

MODELLED = ("grain_boundary", "pareto")
"""Kinds that the bound holds for."""


def suite_bounds(
    suite: PreparedSuite,
    *,
    single: bool,
    trajectory: Trajectory = "unknown",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Bounds of all shots that a suite has.

    Args:
        suite: prepared.
        single: as if only the q-ROI in the middle had been measured.
        trajectory: what is known of boundaries, see ``cramer_rao``.
        workers: processes.
        progress: told (shots done, shots in all) after each sample.

    Returns:
        (S, 3) standard deviations of log10 D, log10 gamma and lambda, in the order of ``suite``; NaN for kinds that are
        none of the model's.

    Raises:
        ServiceError: a worker is lost.
    """
    path = suite.folder / f"bounds-{trajectory}-{VERSION}.npz"
    found = _read(path)
    groups = sorted({shot.group for shot in suite.plan if shot.number not in found and shot.kind in MODELLED})
    total, done = len(suite), sum(shot.number in found or shot.kind not in MODELLED for shot in suite.plan)
    tell = progress or (lambda _done, _all: None)
    tell(done, total)
    for group, values in _computed(suite.settings, groups, trajectory, workers):
        found |= values
        _write(path, found)
        done += sum(shot.group == group for shot in suite.plan)
        tell(min(done, total), total)
    nothing = np.full((2, len(PARAMETERS)), np.nan)
    both = np.array([found.get(shot.number, nothing) for shot in suite.plan]).reshape(-1, *nothing.shape)
    return both[:, 0 if single else 1]


def bounds_of_group(settings: SuiteSettings, group: int, trajectory: Trajectory) -> dict[int, NDArray[np.float64]]:
    """(2, 3) bounds of each shot of one sample, by its number; what a worker does."""
    use_one_thread()
    return {shot.number: _bounds(shot, trajectory) for shot in plan_group(settings, group)}


def _bounds(shot: PlannedShot, trajectory: Trajectory) -> NDArray[np.float64]:
    """With the q-ROI in the middle, and with all. Together, because they share the boundaries' draws."""
    rois = len(shot.scan.measurement.pixels)
    every = cramer_rao(shot.scan, shot.seed, trajectory=trajectory).sd
    one = every if rois == 1 else cramer_rao(shot.scan, shot.seed, trajectory=trajectory, rois=[rois // 2]).sd
    return np.stack([one, every])


def _computed(
    settings: SuiteSettings, groups: Sequence[int], trajectory: Trajectory, workers: int
) -> Iterator[tuple[int, dict[int, NDArray[np.float64]]]]:
    if not groups:
        return
    waiting = iter(groups)
    under_way: dict[Future[dict[int, NDArray[np.float64]]], int] = {}
    with workers_for(min(workers, len(groups)), None) as found, loss_in_words():
        while True:
            while len(under_way) < found.slots() and (group := next(waiting, None)) is not None:
                under_way[found.executor.submit(bounds_of_group, settings, group, trajectory)] = group
            if not under_way:
                return
            for one in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(one), one.result()


def _read(path: Path) -> dict[int, NDArray[np.float64]]:
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return dict(zip(arrays["number"].tolist(), arrays["sd"], strict=True))


def _write(path: Path, found: dict[int, NDArray[np.float64]]) -> None:
    content = io.BytesIO()
    numbers = sorted(found)
    np.savez(content, allow_pickle=False, number=np.array(numbers), sd=np.stack([found[number] for number in numbers]))
    write_whole(content.getvalue(), path)
