"""Fluctuations of the dynamics: variance over time of the two-time correlation at fixed lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._group_curves import GroupMaps, groups_of
from gbx_beamline.correlation._one_time import lag_means_between
from gbx_beamline.correlation.diagonals import by_lag
from gbx_beamline.correlation.threads import side_by_side
from gbx_beamline.errors import InputError
from gbx_beamline.records import G4, TwoTime


def g4(tt: TwoTime, *, min_pairs: int = 8) -> tuple[G4, ...]:
    """``chi(tau) = <C(t, t + tau)^2>_t - <C(t, t + tau)>_t^2`` of every q-ROI: raw, and free of noise.

    The variance of the time-resolved correlation (Cipelletti et al., J. Phys. Condens. Matter 15, S257 (2003); Duri
    et al., Phys. Rev. E 72, 051401 (2005); for X-rays the fourth-order correlation of Madsen et al., New J. Phys. 12,
    055001 (2010)). Dynamics that proceed evenly have none beyond noise; intermittent ones peak near the
    relaxation time; ageing adds a slow part, so remove it or look at short windows before reading intermittency.
    All t weigh the same, and the sum of squares is divided by the number of pairs less one.

    The noise of photons and of the speckles that a ROI happens to hold is independent between groups of pixels, so
    the covariance over t of C between two groups, averaged over the pairs of groups that are far enough apart,
    keeps only what the whole ROI does at once. Motion of the beam or of the sample is such a thing too. Both
    subtract means over a finite series, which takes away fluctuations as slow as the series.

    Args:
        tt: two-time correlation.
        min_pairs: lags with fewer pairs of frames (cells for ``noise_free``) are NaN.

    Returns:
        One G4 per q-ROI; ``status`` says why there is no noise-free value.

    Raises:
        InputError: ``min_pairs`` below 2.
    """
    if min_pairs < 2:
        raise InputError(f"min_pairs = {min_pairs}", needed="at least 2, for a variance", action="correct it")
    return tuple(side_by_side(lambda roi: _of_roi(tt, roi, min_pairs), range(len(tt.g2))))


def _of_roi(tt: TwoTime, roi: int, min_pairs: int) -> G4:
    frames = tt.g2.shape[-1]
    found = lag_means_between(tt, roi, 0, frames, by_means=False)
    enough = found.pairs >= min_pairs
    enough[0] = False
    raw = np.divide(found.spread, found.pairs - 1, out=np.full(frames, np.nan), where=enough)
    groups = groups_of(tt, roi)
    status = _status(groups, raw, min_pairs)
    noise_free, error = _between_groups(groups, min_pairs) if status == "ok" else np.empty((2, 0))
    if status == "ok" and not np.isfinite(noise_free).any():
        status = f"no lag has {min_pairs} cells that are valid in every group"
    return G4(
        roi=roi,
        name=tt.names[roi] if tt.names else f"ROI {roi + 1}",
        tau=np.arange(frames) * tt.frame_time,
        raw=raw,
        pairs=found.pairs,
        tau_groups=np.arange(float(noise_free.size)) * (groups.frames_per_cell * tt.frame_time),
        noise_free=noise_free,
        error=error,
        contrast=float(tt.contrast[roi]),
        min_pairs=min_pairs,
        status=status,
    )


def _status(groups: GroupMaps, raw: NDArray[np.float64], min_pairs: int) -> str:
    if not np.isfinite(raw).any():
        return f"no lag has {min_pairs} pairs of valid frames"
    if len(groups.maps) < 2 or not groups.pairs:
        why = "fewer than two independent pixel groups" if groups.status == "ok" else groups.status
        return f"{why}: raw holds the noise of photons and speckles"
    return "ok"


def _between_groups(groups: GroupMaps, min_pairs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) covariance averaged over pairs of groups, and its jackknife error (Efron, 1982, Eq. 3.5)."""
    cells = groups.maps.shape[-1]
    sheared = np.array([by_lag(each) for each in groups.maps])
    known = np.asarray(np.isfinite(sheared).all(axis=0))
    known[:, 0] = False
    count = known.sum(axis=0)
    sheared[:, ~known] = 0.0
    sheared -= sheared.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    sheared[:, ~known] = 0.0
    products = np.array([np.einsum("tl,tl->l", sheared[a], sheared[b]) for a, b in groups.pairs])
    products = np.where(count >= min_pairs, products / np.maximum(count - 1, 1), np.nan)
    # All but one group in turn: the pairs that it takes part in go with it.
    pairs = np.array(groups.pairs)
    without = [~(pairs == group).any(axis=1) for group in np.unique(pairs)]
    if not all(keep.any() for keep in without):
        return products.mean(axis=0), np.full(cells, np.nan)
    left = np.array([products[keep].mean(axis=0) for keep in without])
    scale = (len(without) - 1) / len(without)
    return products.mean(axis=0), np.sqrt(scale * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
