"""An ensemble's folder as figures see it: S_noneq and the parameters of all members at one q-ROI, maps on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, RoiError
from gbx_beamline.simulation.ensemble import MAPS, MAPS_ARRAY, PARAMETERS, is_complete, read_manifest

PARAMETERS_SHOWN = ("diffusivity", "gamma", "gb_fraction", "temperature")
MEASURES = ("s_noneq_norm", "s_noneq")


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsembleView:
    """One q-ROI of an ensemble. Members whose map has no S_noneq are counted and left out."""

    path: Path
    mode: str
    choices: Mapping[str, Any]
    """Settings of the mode."""
    roi: int
    """0, 1, ..."""
    rois: int
    q: float
    """1/m."""
    members: NDArray[np.int64]
    """(m,) their numbers: places in the array of maps."""
    values: Mapping[str, NDArray[np.float64]]
    """(m,) of each of ``PARAMETERS_SHOWN``, in SI, and of ``MEASURES``."""
    left_out: int
    cell: float
    """s."""
    window: float
    """s."""
    notes: tuple[str, ...]
    """What the ensemble says about itself."""

    def g2(self, member: int) -> NDArray[np.float32]:
        """(n, n) map of a member, by its number.

        Raises:
            InputError: the maps cannot be read.
        """
        import zarr

        place = self.path / MAPS / MAPS_ARRAY
        try:
            maps: Any = zarr.open_array(place, mode="r")
            found = np.asarray(maps[member], dtype=np.float32)
        except (OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
            raise _unreadable(place, error) from error
        return found[self.roi] if found.ndim == 3 else found


def read_ensemble(folder: Path, *, roi: int | None = None) -> EnsembleView:
    """Read what figures need of an ensemble that ``gbx simulate`` wrote.

    Args:
        folder: of the ensemble.
        roi: q-ROI, 0-based; None is the one in the middle.

    Raises:
        InputError: no ensemble, one that is not finished, files that cannot be read, or no member with an S_noneq.
        RoiError: no such q-ROI.
    """
    manifest = read_manifest(folder)
    if manifest is None or not is_complete(folder):
        raise InputError(
            f"{folder} holds {'no ensemble' if manifest is None else 'an ensemble that is not finished'}",
            needed="a folder that `gbx simulate` has filled",
            action=f"run `gbx simulate --out {folder}`"
            + ("" if manifest is None else " with the same options again: it goes on where it stopped"),
        )
    maps, mode = manifest["maps"], manifest["settings"]["mode"]
    rois = maps["shape"][1] if len(maps["shape"]) == 4 else 1
    chosen = rois // 2 if roi is None else roi
    if not 0 <= chosen < rois:
        raise RoiError(
            f"q-ROI index {chosen} of an ensemble with {rois}",
            needed=f"an index from 0 to {rois - 1}",
            action="choose one of them",
        )
    suffix = f"_{chosen + 1}" if rois > 1 else ""
    measured = {name: f"{name}{suffix}" for name in (*MEASURES, "q")}
    table = _table(folder / PARAMETERS, ["member", *PARAMETERS_SHOWN, *measured.values()])
    values = {name: table[name].astype(np.float64) for name in PARAMETERS_SHOWN}
    values |= {name: table[measured[name]].astype(np.float64) for name in MEASURES}
    known = np.isfinite(values["s_noneq"])
    if not known.any():
        raise InputError(
            f"none of the {known.size} members in {folder} has an S_noneq",
            needed="at least one",
            action="simulate more members, or choose another q-ROI",
        )
    return EnsembleView(
        path=folder,
        mode=mode,
        choices=manifest["settings"][mode],
        roi=chosen,
        rois=rois,
        q=float(table[measured["q"]][0]),
        members=table["member"][known].astype(np.int64),
        values={name: column[known] for name, column in values.items()},
        left_out=int(np.count_nonzero(~known)),
        cell=float(maps["cell_s"]),
        window=float(maps["window_s"]),
        notes=tuple(manifest["notes"]),
    )


def _table(path: Path, columns: list[str]) -> dict[str, NDArray[Any]]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=columns)
        return {name: table[name].to_numpy() for name in columns}
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are ValueErrors
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read ({error})",
        needed="the file as `gbx simulate` wrote it",
        action="check its permissions, or simulate the ensemble anew in another folder",
    )
