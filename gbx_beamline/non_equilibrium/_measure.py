"""S_noneq of a scan: as printed, and freed of noise where pixel groups allow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.threads import side_by_side
from gbx_beamline.errors import InputError
from gbx_beamline.non_equilibrium._bare import checked_map, measure_map
from gbx_beamline.non_equilibrium._corrected import corrected_s
from gbx_beamline.records import NonEquilibrium, TwoTime


@overload
def nonequilibrium(tt_or_map: TwoTime, *, max_cells: int = 256, min_pairs: int = 1) -> list[NonEquilibrium]: ...


@overload
def nonequilibrium(
    tt_or_map: NDArray[Any], *, max_cells: int = 256, min_pairs: int = 1, frame_time: float = 1.0
) -> NonEquilibrium: ...


def nonequilibrium(
    tt_or_map: TwoTime | NDArray[Any], *, max_cells: int = 256, min_pairs: int = 1, frame_time: float = 1.0
) -> list[NonEquilibrium] | NonEquilibrium:
    """S_noneq and the drift behind it.

    The map is first averaged over square cells of the smallest integer number of frames that leaves at most
    ``max_cells`` of them; frames left over at the end are dropped, ``window`` says how much took part. A cell is
    the mean of its valid off-diagonal entries, and cells on the diagonal are left out of everything. Then

    - baseline (Eq. 1): ``tti(tau)``, the mean of g2 along each diagonal;
    - drift (Eq. 2): ``g2(t1, t2) - tti(t2 - t1)``;
    - ``s_noneq = <drift^2> / <(g2 - <g2>)^2>`` (Eq. 3), a share of variance in 0..1, and ``s_noneq_norm``, its root.

    As printed it counts photon and speckle-sampling noise as drift: values of ROIs with different numbers of
    pixels or counts do not compare. Where the TwoTime carries maps of pixel groups, ``s_noneq_corrected`` is the same
    share without that noise, with a 95 % interval (``corrected_s``), at the same cell or the next longer one that
    the group maps have; ``corrected.cell`` says which. Neither has an amplitude: ``drift_rms_over_contrast`` is the
    one to look at beside it.

    Args:
        tt_or_map: a TwoTime (its own frame time and contrast are used), or a symmetric map (N, N) with baseline 1,
            whose contrast is then the mean of its first off-diagonal minus 1; where that is not positive,
            ``drift_rms_over_contrast`` is NaN.
        max_cells: most time cells.
        min_pairs: diagonals with fewer valid cells than this are left out. The ends of a map hold one cell, which
            is its own baseline and forces the drift there to 0; 1 keeps them, as printed.
        frame_time: s between the rows of a bare map.

    Returns:
        One record per ROI of a TwoTime; one record for a bare map. Where there is no number, ``status`` says why
        and the numbers are NaN.

    Raises:
        MapError: not a square, real, symmetric map, or infinite values.
        InputError: ``max_cells`` below 3, ``min_pairs`` below 1 or an impossible frame time.
    """
    if max_cells < 3 or min_pairs < 1 or not (np.isfinite(frame_time) and frame_time > 0):
        raise InputError(
            f"max_cells = {max_cells}, min_pairs = {min_pairs}, frame_time = {frame_time}",
            needed="at least 3 cells, at least 1 pair and a positive frame time",
            action="correct the setting",
        )
    if isinstance(tt_or_map, TwoTime):
        tt, contrast = tt_or_map, tt_or_map.contrast

        def of_roi(roi: int) -> NonEquilibrium:
            bare = measure_map(tt.g2[roi], float(contrast[roi]), tt.frame_time, max_cells, min_pairs)
            return _with_corrected(bare, tt, roi)

        return side_by_side(of_roi, range(len(tt.g2)))
    g2 = checked_map(np.asarray(tt_or_map))
    first = np.diagonal(g2, offset=1)
    first = first[np.isfinite(first)].astype(np.float64)
    contrast = float(first.mean()) - 1.0 if first.size else np.nan
    bare = measure_map(g2, contrast, frame_time, max_cells, min_pairs)
    return replace(bare, corrected_status="a bare map: its noise cannot be told from drift without pixel groups")


def _with_corrected(bare: NonEquilibrium, tt: TwoTime, roi: int) -> NonEquilibrium:
    if tt.group_maps is None or not tt.groups:
        return replace(bare, corrected_status="no maps of pixel groups")
    groups = tt.groups[roi]
    cells = tt.g2.shape[-1] // groups.frames_per_cell
    joined = -(-bare.frames_per_cell // groups.frames_per_cell)
    found = corrected_s(
        tt.group_maps[roi, :, :cells, :cells],
        groups,
        frame_time=tt.frame_time,
        contrast=bare.contrast,
        mean_counts=float(tt.mean_counts[roi]),
        min_pairs=bare.min_pairs,
        cells_joined=joined,
    )
    return replace(bare, corrected=found, corrected_status=found.status)
