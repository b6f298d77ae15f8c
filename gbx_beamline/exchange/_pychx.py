"""Result files of pyCHX (``uid=..._Res.h5``), as its ``export_xpcs_results_to_h5`` writes and its scripts read them.

Dictionaries are attributes of a data set of one integer; all else is an array. Momentum transfer in 1/Angstrom, lags
along the first axis, q-ROIs along the last, counted from 0.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from gbx_beamline.correlation import multi_tau, one_time
from gbx_beamline.exchange._hdf5 import field
from gbx_beamline.exchange._record import ANGSTROM, WholeRecord

MAP = "g12b"
"""Two-time maps, (N, N, Q)."""
DICTIONARIES = ("md", "qval_dict")


def write_pychx(record: WholeRecord, file: h5py.File) -> tuple[str, ...]:
    """Write a record as a result file of pyCHX.

    Args:
        record: What to write.
        file: A new file.

    Returns:
        What a reader must know, in words.
    """
    tt = record.maps
    _write_dictionary(file, "md", _metadata(record))
    _write_dictionary(file, "qval_dict", _q_values(record))
    for name, value in _arrays(record).items():
        field(file, name, value)
    # As in every array of theirs the q-ROI is the last axis; written map by map, no copy of the stack is made.
    rois, cells, _ = tt.g2.shape
    chunk = (min(cells, 256), min(cells, 256), 1)
    stack = file.create_dataset(
        MAP, (cells, cells, rois), tt.g2.dtype, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True
    )
    for roi, g2 in enumerate(tt.g2):
        stack[:, :, roi] = g2
    words = ["bad frames are rows of NaN in g12b and stand in bad_frame_list"] if not tt.valid_frames.all() else []
    if record.rows != (0, record.result.two_time.g2.shape[-1]):
        words.append(f"only the analysed segment, rows {record.rows[0]} to {record.rows[1] - 1} of the series")
    if not np.isfinite(record.q_par).all():
        words.append("q of the q-ROIs is not known: qval_dict counts them instead")
    return tuple(words)


def _write_dictionary(file: h5py.File, name: str, values: dict[str, Any]) -> None:
    holder = file.create_dataset(name, (1,), dtype="i")
    for key, value in values.items():
        holder.attrs[key] = value


def _metadata(record: WholeRecord) -> dict[str, Any]:
    """``md``; what is not known is left out, as it is there."""
    scan, geometry, tt = record.result.scan, record.result.geometry, record.maps
    known = {
        "uid": scan.run_uid,
        "sample": scan.sample,
        "scan_id": record.scan_id,
        "temperature_K": scan.temperature,
        "time": scan.started,
        "frame_time": tt.frame_time,
        "count_time": record.count_time,
        "number of images": tt.g2.shape[-1] * tt.frames_per_cell,
        "frames_per_cell": tt.frames_per_cell,
        "detector_distance": geometry.distance,
        "incident_wavelength": None if geometry.wavelength is None else geometry.wavelength / ANGSTROM,
        "beam_center_x": geometry.beam_center_x,
        "beam_center_y": geometry.beam_center_y,
        "x_pixel_size": geometry.pixel_size_x,
        "y_pixel_size": geometry.pixel_size_y,
        "scat_geometry": "gi_saxs" if geometry.mode == "gisaxs" else "saxs",
        "gbx_first_frame": record.rows[0] * tt.frames_per_cell,
        "gbx_record": record.key,
        "gbx_version": record.result.provenance.package_version,
        "gbx_config_hash": record.result.provenance.config_hash,
        "gbx_g2_convention": "pychx",
        "gbx_flags": "\n".join(record.result.flags),
    }
    return {name: value for name, value in known.items() if value is not None}


def _q_values(record: WholeRecord) -> dict[str, Any]:
    """``qval_dict``: q, or q parallel and z, of each q-ROI; where not known its number from 1."""
    known = np.isfinite(record.q_par).all()
    parts = [record.q_par if known else np.arange(1.0, len(record.result.rois) + 1)]
    if known and record.result.geometry.mode == "gisaxs":
        parts.append(record.q_z)
    return {str(roi): np.array([part[roi] for part in parts]) for roi in range(len(record.result.rois))}


def _arrays(record: WholeRecord) -> dict[str, Any]:
    result, tt = record.result, record.maps
    # Their plain mean of ratios, whatever the record's own convention is: what their functions make of g12b.
    maps, curve = record.of_maps("pychx"), one_time(tt, "pychx")
    binned = [multi_tau(curve.tau, g2, error) for g2, error in zip(curve.g2, curve.error, strict=True)]
    total = (tt.frame_means * tt.pixels[:, None]).sum(axis=0)
    corrected = [
        (np.nan,) * 3 if one.corrected is None else (one.corrected.value, one.corrected.low, one.corrected.high)
        for one in result.nonequilibrium
    ]
    return {
        "roi_mask": np.where(result.mask, result.rois.labels, 0).astype(np.int32),
        "mask": result.mask,
        "pixel_mask": result.mask,
        "avg_img": result.mean_image,
        "imgsum": total,
        "bad_frame_list": np.flatnonzero(~tt.valid_frames),
        "times_roi": result.analysed_start + np.arange(tt.frame_means.shape[1]) * tt.frame_time,
        "mean_int_sets": tt.frame_means.T,
        "taus": binned[0].tau,
        "g2": np.stack([one.g2 for one in binned], axis=1),
        "g2_err": np.stack([one.error for one in binned], axis=1),
        "tausb": maps.tau,
        "g2b": maps.g2.T,
        "g2b_err": maps.error.T,
        "gbx_s_noneq": np.array([one.s_noneq for one in result.nonequilibrium]),
        "gbx_s_noneq_corrected": np.array(corrected),
    }
