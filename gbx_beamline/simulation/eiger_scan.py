"""Simulated scans as the detector's own files, without a beamline: what a reader of real scans is tried on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from gbx_beamline.errors import GeometryError
from gbx_beamline.frames.eiger_header import EigerHeader
from gbx_beamline.frames.eiger_writer import EigerWriter
from gbx_beamline.geometry import q_maps
from gbx_beamline.records import Geometry
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement
from gbx_beamline.simulation.movie import GrainBoundaryMovie


@dataclass(frozen=True)
class WrittenScan:
    """A scan on disk, and the truth about it."""

    master: Path
    """The ``..._master.h5``; its data files lie beside it."""
    movie: GrainBoundaryMovie
    """What it shows: ``true_two_time``, the draw and the traces. Frames that are lost or without beam are in the file
    as a detector would write them; ``movie.traces.valid`` tells them."""


def write_scan(
    directory: Path | str,
    boundary: GrainBoundary,
    measurement: Measurement,
    *,
    geometry: Geometry,
    seed: int,
    prefix: str = "simulated",
    mean_counts: ArrayLike | None = None,
    pixel_mask: NDArray[np.integer[Any]] | None = None,
    frames_per_file: int = 100,
) -> WrittenScan:
    """Write a photon-level scan of the grain-boundary model as a Dectris filewriter-1 would.

    Every pixel sees the boundary at its own in-plane q, ``|q_par|`` of ``q_maps`` (|q| in transmission), and the bulk
    at ``q_z`` as well where the boundary's convention is "total"; refraction at the surface is not undone. Frames go to
    the disk as they are made.

    Args:
        directory: Folder, made if absent.
        boundary: The sample; its own ``q`` and ``contrast`` are not used.
        measurement: How it is seen; one value of each setting, as for ``GrainBoundaryMovie``.
        geometry: Of the detector: all that q needs, ``flip_y`` as Dectris writes images. The file keeps what such a
            file can say; incidence, tilt and mode belong to the analysis's configuration.
        seed: Same seed, same files.
        prefix: Start of all file names; none of them may exist.
        mean_counts: (y, x) photons per pixel and frame; None takes the measurement's.
        pixel_mask: (y, x) Dectris bits, 0 = good; masked pixels are written as the largest value of their type.
        frames_per_file: Frames in a full data file.

    Raises:
        GeometryError: a value that q needs is absent, or row 0 is not the top.
        InputError: settings or maps that do not fit; before anything is written.
        SeriesError: files of this prefix exist.
    """
    if geometry.flip_x or not geometry.flip_y:
        raise GeometryError(
            f"a geometry with flip_x={geometry.flip_x}, flip_y={geometry.flip_y}",
            needed="images as Dectris writes them, row 0 at the top",
            action="give flip_y=True, flip_x=False and the beam centre in such an image",
        )
    maps = q_maps(geometry)
    movie = GrainBoundaryMovie(
        np.abs(maps.q_par),
        boundary,
        measurement,
        mean_counts=mean_counts,
        q_z=maps.q_z if boundary.q_convention == "total" else None,
        seed=seed,
    )
    writer = EigerWriter(
        directory,
        prefix,
        header=_header(geometry, measurement),
        frames_per_file=frames_per_file,
        dtype=movie.dtype,
        pixel_mask=pixel_mask,
    )
    with writer:
        for frame in movie:
            writer.append(frame)
    return WrittenScan(writer.master, movie)


def _header(geometry: Geometry, measurement: Measurement) -> EigerHeader:
    assert geometry.wavelength is not None, "q_maps has refused it"
    energy = constants.h * constants.c / constants.e / geometry.wavelength
    return EigerHeader(
        frame_time=measurement.frame_time,
        count_time=measurement.frame_time,
        nimages=measurement.frames,
        ntrigger=1,
        distance=geometry.distance,
        wavelength=geometry.wavelength,
        beam_center_x=geometry.beam_center_x,
        beam_center_y=geometry.beam_center_y,
        pixel_size_x=geometry.pixel_size_x,
        pixel_size_y=geometry.pixel_size_y,
        shape=geometry.shape,
        # eV; the threshold is where an Eiger's usually is.
        metadata={"photon_energy": energy, "threshold_energy": energy / 2},
    )
