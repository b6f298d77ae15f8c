"""NeXus application definition NXxpcs (contributed definitions, NXDL 2026.01), with processes of our own beside it.

The definition asks for energy, beam centre, exposure and frame time; whatever the record does not know of these is NaN
with an attribute that says so. Equilibrium curves go to ``data``, maps to ``twotime``, pixels to ``instrument/masks``.
How it was made stands in ``processing``; what the definition has no word for (fits, S_noneq, inference) in further
groups of class NXprocess. ``/xpcs`` holds the layout that pyXpcsViewer opens.
"""

from __future__ import annotations

import json

import h5py
import numpy as np
from scipy import constants

from gbx_beamline.exchange._aps import write_aps
from gbx_beamline.exchange._hdf5 import NOT_MEASURED, field, group, measured, texts
from gbx_beamline.exchange._processes import write_inference, write_kinetics, write_s_noneq
from gbx_beamline.exchange._record import WholeRecord, iso_time

DEFINITION_VERSION = "2026.01"
"""Release of the NeXus definitions that the layout follows."""


def write_nxxpcs(record: WholeRecord, file: h5py.File) -> tuple[str, ...]:
    """Write a record as an NXxpcs file.

    Args:
        record: What to write.
        file: A new file.

    Returns:
        What a reader must know, in words.
    """
    file.attrs.update(NX_class="NXroot", default="entry", creator="GBX", HDF5_Version=h5py.version.hdf5_version)
    entry = group(file, "entry", "NXentry", default="data")
    unknown = _write_head(entry, record) + _write_instrument(entry, record)
    _write_sample(entry, record)
    _write_data(entry, record)
    _write_two_time(entry, record)
    _write_traces(entry, record)
    _write_processing(entry, record)
    write_s_noneq(entry, record)
    write_kinetics(entry, record)
    for number, inference in enumerate(record.inferences, start=1):
        write_inference(entry, inference, number)
    write_aps(file, record)
    return (f"not measured, NaN in the file: {', '.join(unknown)}",) if unknown else ()


def _write_head(entry: h5py.Group, record: WholeRecord) -> list[str]:
    scan = record.result.scan
    field(entry, "definition", "NXxpcs", version=DEFINITION_VERSION, URL="https://manual.nexusformat.org")
    field(entry, "title", f"XPCS of {scan.sample or 'an unnamed sample'}")
    field(entry, "entry_identifier", record.scan_id or scan.run_uid)
    field(entry, "entry_identifier_uuid", scan.run_uid)
    # Deprecated in the definition, and required by it all the same.
    if record.scan_id is not None and record.scan_id.isdecimal():
        field(entry, "scan_number", int(record.scan_id))
    else:
        field(entry, "scan_number", -1, status=NOT_MEASURED)
    # The definition wants a time: that of the record where the run does not tell its own.
    field(entry, "start_time", iso_time(record.created if scan.started is None else scan.started))
    if record.ended is not None:
        field(entry, "end_time", iso_time(record.ended))
    return ["start_time (that of the analysis stands there)"] if scan.started is None else []


def _write_instrument(entry: h5py.Group, record: WholeRecord) -> list[str]:
    result, geometry = record.result, record.result.geometry
    instrument = group(entry, "instrument", "NXinstrument")
    beam = group(instrument, "incident_beam", "NXbeam")
    energy = None if geometry.wavelength is None else constants.h * constants.c / constants.e / geometry.wavelength
    known = {"incident_energy": measured(beam, "incident_energy", None if energy is None else energy / 1e3, "keV")}
    detector = group(instrument, "detector_1", "NXdetector")
    known["count_time"] = measured(detector, "count_time", record.count_time, "s")
    known["frame_time"] = measured(detector, "frame_time", record.single_frame_time, "s")
    for axis, center, pixel in (
        ("x", geometry.beam_center_x, geometry.pixel_size_x),
        ("y", geometry.beam_center_y, geometry.pixel_size_y),
    ):
        length = None if center is None or pixel is None else center * pixel
        known[f"beam_center_{axis}"] = measured(
            detector, f"beam_center_{axis}", length, "m", description="from the middle of the first pixel"
        )
        if pixel is not None:
            field(detector, f"{axis}_pixel_size", pixel, "m")
    if geometry.distance is not None:
        field(detector, "distance", geometry.distance, "m")
    masks = group(instrument, "masks", "NXnote")
    field(masks, "description", "q-ROIs as a label image; pixels of 0 took no part")
    field(masks, "dynamic_roi_map", np.where(result.mask, result.rois.labels, 0).astype(np.int32), "au")
    field(masks, "mask", result.mask.astype(np.uint8), "au", description="1 = used")
    if np.isfinite(record.q_par).all():
        field(masks, "dynamic_q_list", record.q_par, "1/angstrom", description="q_par in GISAXS, else |q|")
    if np.isfinite(record.q_z).all():
        field(masks, "dynamic_q_z_list", record.q_z, "1/angstrom")
    texts(masks, "dynamic_roi_names", result.rois.names)
    return [name for name, there in known.items() if not there]


def _write_sample(entry: h5py.Group, record: WholeRecord) -> None:
    scan = record.result.scan
    sample = group(entry, "sample", "NXsample")
    if scan.sample is not None:
        field(sample, "name", scan.sample)
    if scan.temperature is not None:
        field(sample, "temperature", scan.temperature, "K")


def _write_data(entry: h5py.Group, record: WholeRecord) -> None:
    curve = record.result.one_time
    data = group(entry, "data", "NXdata", signal="g2", axes=["tau", "q_roi"])
    field(data, "g2", curve.g2.T, "1", storage_mode="one_array", long_name="g2", convention=curve.convention)
    field(
        data, "g2_derr", curve.error.T, "1", storage_mode="one_array",
        description="standard error with pairs of frames taken as independent: a lower bound",
    )  # fmt: skip
    steps = np.rint(curve.tau / record.single_frame_time).astype(np.int64)
    field(data, "delay_difference", steps, "count", storage_mode="one_array")
    field(data, "tau", curve.tau, "s", long_name="lag (s)")
    _write_rois(data, record)
    field(data, "frame_average", record.result.mean_image, "count", description="NaN where masked")


def _write_two_time(entry: h5py.Group, record: WholeRecord) -> None:
    tt = record.result.two_time
    twotime = group(entry, "twotime", "NXdata", signal="two_time_corr_func", axes=["q_roi", "t1", "t2"])
    field(
        twotime, "two_time_corr_func", tt.g2, "1", storage_mode="one_array_q_first", baseline_reference=1,
        time_origin_location="upper_left", populated_elements="all",
        description="NaN where a frame was bad; the diagonal holds shot noise",
    )  # fmt: skip
    curve = record.of_maps()
    field(
        twotime, "g2_from_two_time_corr_func", curve.g2.T, "1", storage_mode="one_array_q_last",
        baseline_reference=1, first_point_for_fit=0,
    )  # fmt: skip
    field(twotime, "g2_err_from_two_time_corr_func", curve.error.T, "1", storage_mode="one_array_q_last")
    field(twotime, "analysed_rows", record.rows, "count", description="the part that g2 and all numbers are of")
    time = np.arange(tt.g2.shape[-1]) * tt.frame_time
    field(twotime, "t1", time, "s", long_name="time since the first frame (s)")
    field(twotime, "t2", time, "s", long_name="time since the first frame (s)")
    _write_rois(twotime, record)
    field(twotime, "diagonal", tt.diagonal, "1", description="by factorial moment: free of shot noise")
    field(twotime, "contrast", record.maps.contrast, "1")
    field(twotime, "static_baseline", tt.static_baseline, "1")
    field(twotime, "frame_means", tt.frame_means, "count", description="counts per pixel")
    field(twotime, "valid_frames", tt.valid_frames.astype(np.uint8), "1")
    field(twotime, "mean_counts", record.maps.mean_counts, "count", description="per pixel and frame")
    field(twotime, "pixels", tt.pixels, "count")
    field(twotime, "frames_per_cell", tt.frames_per_cell, "count")


def _write_traces(entry: h5py.Group, record: WholeRecord) -> None:
    """Temperature, beam, stage on detector time, where the run has them."""
    traces = record.result.traces
    if traces is None or not traces.traces:
        return
    first = traces.traces[0].name
    data = group(entry, "traces", "NXdata", signal=first, axes=["time"])
    field(data, "time", traces.time, "s", long_name="time since the first frame (s)", clock=traces.clock)
    for trace in traces.traces:
        field(data, trace.name, trace.values, trace.unit, source=trace.source)


def _write_rois(data: h5py.Group, record: WholeRecord) -> None:
    field(data, "q_roi", np.arange(1, len(record.result.rois) + 1), "1", long_name="value in dynamic_roi_map")


def _write_processing(entry: h5py.Group, record: WholeRecord) -> None:
    """Who made the numbers, from what and how."""
    result, provenance = record.result, record.result.provenance
    processing = group(entry, "processing", "NXprocess")
    field(processing, "program", "GBX")
    field(processing, "version", provenance.package_version)
    field(processing, "date", iso_time(record.created))
    field(processing, "sequence_index", 1)
    parameters = group(processing, "parameters", "NXparameters")
    for name, value in {
        "run_uid": result.scan.run_uid,
        "record": record.key,
        "config_hash": provenance.config_hash,
        "settings_hash": provenance.settings_hash,
        "algorithm_version": provenance.algorithm_version,
        "rule": provenance.rule,
        "source": result.scan.source,
        "geometry": result.geometry.mode,
        "normalisation": result.two_time.normalisation,
    }.items():
        field(parameters, name, value)
    field(parameters, "schema_version", provenance.schema_version)
    texts(parameters, "models", [inference.model_id for inference in record.inferences])
    notes = {"note_1": ("what a reader must know before believing the numbers", "\n".join(result.flags))}
    if record.document:
        notes["note_2"] = ("the whole record but its arrays", json.dumps(record.document, indent=1))
    for name, (description, text) in notes.items():
        note = group(processing, name, "NXnote")
        field(note, "description", description)
        field(note, "type", "application/json" if name == "note_2" else "text/plain")
        field(note, "data", text)
