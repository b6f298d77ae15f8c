"""Ensembles: thousands of simulated scans with known truth, in a folder that anybody can read.

The folder holds ``ensemble.json`` (what it is), ``maps.zarr`` (zarr v3: the maps) and ``parameters.parquet`` (one row
per map: every parameter, its unit in the column's metadata). ``zarr.open_array(DIR / "maps.zarr" / "maps")`` and
``pandas.read_parquet(DIR / "parameters.parquet")`` are all it takes.

Each member is drawn from a seed of its own, ``SeedSequence((seed, number))``, so that no bit depends on who computes
it, in which batch or in which order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from gbx_beamline.config import SimulationConfig
from gbx_beamline.errors import InputError
from gbx_beamline.simulation._ensemble_folder import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    MAPS,
    MAPS_ARRAY,
    PARAMETERS,
    EnsembleFolder,
    check_packages,
    is_complete,
    opened_folder,
    read_manifest,
)
from gbx_beamline.simulation._ensemble_members import Layout, Members, simulator_for
from gbx_beamline.simulation._ensemble_version import SIMULATION_VERSION
from gbx_beamline.simulation.workers import (
    Workers,
    cores,
    loss_in_words,
    made_with,
    spread,
    use_one_thread,
    workers_for,
)

__all__ = [
    "MANIFEST",
    "MAPS",
    "MAPS_ARRAY",
    "PARAMETERS",
    "Simulated",
    "is_complete",
    "read_manifest",
    "simulate_ensemble",
]

Progress = Callable[[int, int], None]
"""Told (members that are stored, members in all), at the start and after each batch."""


@dataclass(frozen=True)
class Simulated:
    """What a call of :func:`simulate_ensemble` left."""

    path: Path
    members: int
    """In the folder, all of them whole."""
    computed: int
    """Of these, by this call."""
    seconds: float
    notes: tuple[str, ...]
    """What to know before believing the numbers."""


def simulate_ensemble(
    settings: SimulationConfig,
    path: Path,
    *,
    workers: int | None = None,
    dask: str | None = None,
    progress: Progress | None = None,
) -> Simulated:
    """Simulate an ensemble, or what an earlier, interrupted call left of it.

    Args:
        settings: what to simulate.
        path: folder, made when absent. One that holds an ensemble of the same settings is gone on with.
        workers: processes on this machine; None = one per core; 1 = this process.
        dask: address of a Dask scheduler whose workers compute instead; only this process writes the folder.
        progress: told how far it is.

    Returns:
        What was done. Interrupted at any moment, by whatever, the folder keeps the batches that are whole.

    Raises:
        InputError: impossible settings (before any work), a folder that cannot be written, is full, or holds
            something else.
        ServiceError: workers are lost.
        DependencyError: zarr, pyarrow or, for ``dask``, distributed is absent.
    """
    begun = time.monotonic()
    check_packages()
    count = _worker_count(workers, dask)
    layout = simulator_for(settings).layout()
    manifest = _manifest(settings, layout)
    with opened_folder(path, manifest, layout, members=settings.members, batch=settings.batch) as folder:
        missing = folder.missing()
        computed = sum(len(folder.members_of(batch)) for batch in missing)
        tell = progress or (lambda _done, _all: None)
        tell(settings.members - computed, settings.members)
        if missing:
            folder.check_room(len(missing))
            with workers_for(min(count, len(missing)), dask) as found:
                _compute(settings, folder, missing, found, tell)
        if missing or not is_complete(path):
            folder.finish()
    return Simulated(path, settings.members, computed, time.monotonic() - begun, layout.notes)


def _worker_count(workers: int | None, dask: str | None) -> int:
    if workers is not None and dask is not None:
        raise InputError(
            f"{workers} workers and the Dask cluster {dask}",
            needed="one or the other: a cluster has its own workers",
            action="leave one of them out",
        )
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers", needed="1 or more", action="correct it, or leave it out")
    return workers or cores()


def _compute(
    settings: SimulationConfig, folder: EnsembleFolder, batches: list[int], workers: Workers, tell: Progress
) -> None:
    batch_of = {folder.members_of(batch): batch for batch in batches}
    done = settings.members - sum(map(len, batch_of))
    for members, future in spread(workers, partial(simulate_batch, settings), batch_of):
        with loss_in_words():
            simulated = future.result()
        folder.store(batch_of[members], simulated)
        done += len(members)
        tell(done, settings.members)


def simulate_batch(settings: SimulationConfig, members: range) -> Members:
    """Maps and parameters of some members; what a worker does.

    Args:
        settings: of the ensemble.
        members: their numbers.
    """
    use_one_thread()
    return simulator_for(settings).simulate(members)


def _manifest(settings: SimulationConfig, layout: Layout) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_with": made_with(),
        "simulation_version": SIMULATION_VERSION,
        "settings_hash": settings.hash,
        "settings": settings.in_use(),
        "notes": list(layout.notes),
        "maps": {
            "file": f"{MAPS}/{MAPS_ARRAY}",
            "what": "two-time correlation g2(t1, t2), baseline 1; NaN where there is none",
            "axes": ["member", *layout.axes],
            "shape": [settings.members, *layout.map_shape],
            "unit": "1",
            **layout.attributes,
        },
        "parameters": {
            "file": PARAMETERS,
            "columns": {column.name: {"unit": column.unit, "what": column.what} for column in layout.columns},
        },
    }
