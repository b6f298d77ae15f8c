"""The ``/xpcs`` groups of APS 8-ID result files, which pyXpcsViewer reads beside ``/entry``.

Its maps and images know no "not measured": frames that were bad are 0 there, where ``/entry`` has NaN. Lags are
averaged over widening bins, as the multiple-tau correlators do that the viewer was made for. q-ROIs are its q bins, one
static bin in each.
"""

from __future__ import annotations

import hashlib
from typing import Any

import h5py
import numpy as np

from gbx_beamline.correlation import multi_tau
from gbx_beamline.exchange._hdf5 import field
from gbx_beamline.exchange._record import WholeRecord

_SEGMENTS = 10
"""Parts of the series that the intensity of each q-ROI is averaged over."""


def write_aps(file: h5py.File, record: WholeRecord) -> None:
    """Add the groups to a file with ``/entry``."""
    xpcs = file.create_group("xpcs")
    _write_qmap(xpcs, record)
    _write_intensity(xpcs, record)
    _write_multi_tau(xpcs, record)
    _write_two_time(xpcs, record)


def _write_qmap(xpcs: h5py.Group, record: WholeRecord) -> None:
    result, geometry = record.result, record.result.geometry
    rois = len(result.rois)
    labels = np.where(result.mask, result.rois.labels, 0).astype(np.uint32)
    with_q = bool(np.isfinite(record.q_par).all())
    places = record.q_par if with_q else np.arange(1.0, rois + 1)
    index, nowhere = np.arange(rois), np.zeros(1)
    content: dict[str, Any] = {
        "mask": result.mask.astype(np.uint8),
        "dynamic_roi_map": labels,
        "static_roi_map": labels,
        "dynamic_v_list_dim0": places,
        "static_v_list_dim0": places,
        "dynamic_v_list_dim1": nowhere,
        "static_v_list_dim1": nowhere,
        "dynamic_num_pts": np.array([rois, 1]),
        "static_num_pts": np.array([rois, 1]),
        "dynamic_index_mapping": index,
        "static_index_mapping": index,
        "beam_center_x": _known(geometry.beam_center_x),
        "beam_center_y": _known(geometry.beam_center_y),
        "detector_distance": _known(geometry.distance),
        "pixel_size": _known(geometry.pixel_size_x),
        "map_names": np.array([b"q" if with_q else b"roi", b"phi"]),
        "map_units": np.array(["1/Å".encode() if with_q else b"", b"deg"]),
    }
    qmap = xpcs.create_group("qmap")
    digest = hashlib.sha256(str(geometry).encode())
    for name, value in content.items():
        field(qmap, name, value)
        digest.update(np.ascontiguousarray(value).tobytes())
    # The viewer keeps maps by this.
    qmap.attrs["hash"] = digest.hexdigest()


def _write_intensity(xpcs: h5py.Group, record: WholeRecord) -> None:
    tt = record.result.two_time
    means = np.nan_to_num(tt.frame_means)
    pixels = tt.pixels if tt.pixels.any() else np.ones_like(tt.pixels)
    total = (means * pixels[:, None]).sum(axis=0) / pixels.sum()
    temporal = xpcs.create_group("temporal_mean")
    image = np.nan_to_num(record.result.mean_image)
    field(temporal, "scattering_2d", image[None])
    field(temporal, "scattering_1d", record.maps.mean_counts[None])
    parts = np.array_split(means, min(_SEGMENTS, means.shape[1]), axis=1)
    field(temporal, "scattering_1d_segments", np.array([part.mean(axis=1) for part in parts]))
    spatial = xpcs.create_group("spatial_mean")
    field(spatial, "intensity_vs_time", np.stack([np.arange(total.size), total]))


def _write_multi_tau(xpcs: h5py.Group, record: WholeRecord) -> None:
    curve, cell = record.result.one_time, record.result.two_time.frame_time
    binned = [multi_tau(curve.tau, g2, error) for g2, error in zip(curve.g2, curve.error, strict=True)]
    g2, error = (np.stack([getattr(one, name) for one in binned], axis=1) for name in ("g2", "error"))
    known = np.isfinite(g2).all(axis=1)
    multitau = xpcs.create_group("multitau")
    field(multitau, "delay_list", binned[0].tau[known] / cell)
    field(multitau, "normalized_g2", g2[known])
    field(multitau, "normalized_g2_err", error[known])
    _write_steps(multitau, record)


def _write_two_time(xpcs: h5py.Group, record: WholeRecord) -> None:
    tt = record.maps
    twotime = xpcs.create_group("twotime")
    maps = twotime.create_group("correlation_map")
    for roi, g2 in enumerate(tt.g2, start=1):
        # The viewer adds the transpose to the half that is stored, and halves the diagonal.
        field(maps, f"c2_{roi:05d}", np.triu(np.nan_to_num(g2, nan=0.0)))
    field(twotime, "processed_bins", np.arange(1, len(tt.g2) + 1))
    curve = record.of_maps()
    field(twotime, "delay_list", np.arange(curve.tau.size))
    field(twotime, "normalized_g2", curve.g2.T)
    ages = [curve.g2.T for _, _, curve in record.of_ages()] or [curve.g2.T]
    shortest = min(len(curve) for curve in ages)
    field(twotime, "normalized_g2_segments", np.stack([one[:shortest] for one in ages], axis=1))
    _write_steps(twotime, record)


def _write_steps(parent: h5py.Group, record: WholeRecord) -> None:
    """Delays count cells of the maps: the viewer uses one time step for curves and maps."""
    config = parent.create_group("config")
    field(config, "stride_frame", 1)
    field(config, "avg_frame", record.result.two_time.frames_per_cell)


def _known(value: float | None) -> float:
    return np.nan if value is None else value
