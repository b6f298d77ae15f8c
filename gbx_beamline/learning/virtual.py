"""Virtual experiments: photon-level scans of known truth, frozen before training, that stand in for measured ones.

A suite is a few settings and a seed (``learning/suites/*.yaml``). Its shots are made by the simulator's photon level
and correlated by the code that correlates experiments; training never sees one, because its scans come from other
seeds and from another level of the simulation. The truth about a shot is what it was simulated with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning._virtual_draws import draw_shot
from gbx_beamline.learning._virtual_files import read_two_time, write_two_time, write_whole
from gbx_beamline.learning._virtual_plan import PlannedShot, plan_group, plan_suite
from gbx_beamline.learning._virtual_settings import (
    FOREIGN,
    SIMULATION_VERSION,
    Kind,
    SuiteSettings,
    load_suite,
    suite_names,
)
from gbx_beamline.records import CORRELATION_VERSION, TwoTime
from gbx_beamline.simulation.measurement import measured_two_time

# Processes that end with their parent and say so when they are lost: simulations of all kinds want the same.
from gbx_beamline.simulation.workers import loss_in_words, use_one_thread, workers_for

__all__ = [
    "FOREIGN",
    "SIMULATION_VERSION",
    "Kind",
    "PlannedShot",
    "PreparedSuite",
    "Progress",
    "Shot",
    "SuiteSettings",
    "draw_shot",
    "load_suite",
    "only_rois",
    "plan_suite",
    "prepare_suite",
    "suite_names",
]

GROUPS = 8
"""Pixel groups of each q-ROI, for the corrected S_noneq."""
CELLS = 64
"""Time cells of the group maps."""

Progress = Callable[[int, int], None]
"""Told (shots that are stored, shots in all), at the start and after each one."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One measured scan of a virtual sample."""

    plan: PlannedShot
    two_time: TwoTime

    @property
    def truth(self) -> NDArray[np.float64]:
        """(3,) D in m^2/s, gamma in J s m^-4, lambda; NaN for a sample that is no grain boundary."""
        return self.plan.truth

    @property
    def temperature(self) -> float:
        """K."""
        return self.plan.scan.boundary.temperature

    @property
    def rois(self) -> int:
        """q-ROIs that were measured."""
        return len(self.two_time.pixels)

    def single(self) -> Shot:
        """The same scan as if only the q-ROI in the middle had been measured."""
        return self if self.rois == 1 else replace(self, two_time=only_rois(self.two_time, [self.rois // 2]))


@dataclass(frozen=True, kw_only=True)
class PreparedSuite:
    """A suite whose shots are on disk. Iterating reads them one by one."""

    settings: SuiteSettings
    folder: Path
    plan: tuple[PlannedShot, ...]

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Shot:
        plan = self.plan[number]
        return Shot(plan=plan, two_time=read_two_time(_shot_file(self.folder, plan.number)))

    def __iter__(self) -> Iterator[Shot]:
        return (self[number] for number in range(len(self)))

    def only(self, choose: Callable[[PlannedShot], bool]) -> PreparedSuite:
        """Those shots of the suite that are chosen."""
        return replace(self, plan=tuple(shot for shot in self.plan if choose(shot)))


def prepare_suite(
    name: str | Path | SuiteSettings,
    directory: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PreparedSuite:
    """Measure a suite's shots, or what is left of them, and keep them.

    Args:
        name: of a suite that comes with the package, a YAML file, or settings.
        directory: where suites are kept; each has a folder of its own, named after it and its key. Made when absent.
        workers: processes; 1 is this process. The result is the same with any number.
        progress: told how far it is.

    Returns:
        The suite. Interrupted at any moment, the shots that are stored stay and are not measured again.

    Raises:
        ConfigError: no such suite.
        InputError: a folder that cannot be written.
        ServiceError: a worker is lost.
    """
    settings = name if isinstance(name, SuiteSettings) else load_suite(name)
    plan = tuple(plan_suite(settings))
    folder = directory / f"{settings.name}-{settings.key}"
    _begin(settings, folder)
    missing = [shot for shot in plan if not _shot_file(folder, shot.number).is_file()]
    tell = progress or (lambda _done, _all: None)
    tell(len(plan) - len(missing), len(plan))
    if missing:
        _measure_all(settings, folder, missing, workers, lambda left: tell(len(plan) - left, len(plan)))
    return PreparedSuite(settings=settings, folder=folder, plan=plan)


def only_rois(measured: TwoTime, rois: Sequence[int]) -> TwoTime:
    """The record with these q-ROIs alone, in this order.

    Raises:
        InputError: none, or one that is not there.
    """
    count = len(measured.pixels)
    if not rois or not all(0 <= roi < count for roi in rois):
        raise InputError(
            f"q-ROIs {list(rois)}", needed=f"at least one, each from 0 to {count - 1}", action="correct it"
        )
    index = list(rois)
    return replace(
        measured,
        g2=measured.g2[index],
        diagonal=measured.diagonal[index],
        pixels=measured.pixels[index],
        mean_counts=measured.mean_counts[index],
        frame_means=measured.frame_means[index],
        static_baseline=measured.static_baseline[index],
        saturated=measured.saturated[index],
        q_par=None if measured.q_par is None else measured.q_par[index],
        q_z=None if measured.q_z is None else measured.q_z[index],
        names=tuple(measured.names[roi] for roi in index) if measured.names else (),
        kernels=tuple(measured.kernels[roi] for roi in index) if measured.kernels else (),
        group_maps=None if measured.group_maps is None else measured.group_maps[index],
        groups=tuple(measured.groups[roi] for roi in index) if measured.groups else (),
    )


def _begin(settings: SuiteSettings, folder: Path) -> None:
    try:
        (folder / "shots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}", needed="a folder with room to write", action="choose another directory"
        ) from error
    facts = {
        "suite": settings.model_dump(mode="json"),
        "key": settings.key,
        "simulation_version": SIMULATION_VERSION,
        "correlation_version": CORRELATION_VERSION,
    }
    write_whole(json.dumps(facts, indent=1, sort_keys=True).encode(), folder / "suite.json")


def _measure_all(
    settings: SuiteSettings,
    folder: Path,
    missing: Sequence[PlannedShot],
    workers: int,
    left: Callable[[int], None],
) -> None:
    waiting = iter(missing)
    remaining = len(missing)
    under_way: set[Future[None]] = set()
    with workers_for(min(workers, len(missing)), None) as found, loss_in_words():
        while remaining:
            while len(under_way) < found.slots() and (shot := next(waiting, None)) is not None:
                under_way.add(found.executor.submit(measure_shot, settings, shot.group, shot.number, folder))
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()
                remaining -= 1
                left(remaining)


def measure_shot(settings: SuiteSettings, group: int, number: int, folder: Path) -> None:
    """Photons of one shot, their correlation, and the file; what a worker does."""
    use_one_thread()
    plan = next(shot for shot in plan_group(settings, group) if shot.number == number)
    draw, measurement = draw_shot(plan)
    scan = measured_two_time(
        draw,
        measurement,
        plan.seed,
        groups=GROUPS,
        max_cells=CELLS,
        q_par=plan.scan.boundary.q if isinstance(plan.scan.boundary.q, tuple) else (plan.scan.boundary.q,),
        threads=1,
    )
    write_two_time(scan.two_time, _shot_file(folder, number))


def _shot_file(folder: Path, number: int) -> Path:
    return folder / "shots" / f"{number:06d}.npz"
