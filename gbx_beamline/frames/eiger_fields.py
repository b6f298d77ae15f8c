"""Reading the header of an Eiger master, whatever generation wrote it.

Fields and units: DECTRIS filewriter-1 ("EIGER HDF5 file layout") and the NeXus application definition NXmx.
Files of both kinds come with quirks, which are named where they are handled.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import constants

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames import units
from gbx_beamline.frames.bounds import MOST_PIXELS
from gbx_beamline.frames.eiger_header import BEAM, DETECTOR, SPECIFIC, EigerHeader
from gbx_beamline.frames.links import DAMAGE, Roots, open_hdf5, within

_TEXTS = {
    "description": f"{DETECTOR}/description",
    "detector_number": f"{DETECTOR}/detector_number",
    "sensor_material": f"{DETECTOR}/sensor_material",
    "software_version": f"{SPECIFIC}/software_version",
    "trigger_mode": f"{SPECIFIC}/trigger_mode",
    "data_collection_date": f"{SPECIFIC}/data_collection_date",
    "start_time": "/entry/start_time",
}
_NUMBERS = {
    "sensor_thickness": (f"{DETECTOR}/sensor_thickness", "length"),
    "threshold_energy": (f"{DETECTOR}/threshold_energy", "energy"),
    "photon_energy": (f"{SPECIFIC}/photon_energy", "energy"),
    "detector_readout_time": (f"{DETECTOR}/detector_readout_time", "time"),
}


def read_header(path: Path | str, roots: Roots = None) -> EigerHeader:
    """Read the header of a master file; nothing in it is required.

    Args:
        path: The master.
        roots: Folders below which it must lie; what its links lead to in other files is no part of the header then.

    Raises:
        SeriesError: the file does not exist or is no complete HDF5 file.
    """
    path = Path(path)
    with open_hdf5(path, roots) as file:
        try:
            return _Reader(file, path, roots).header()
        except DAMAGE as error:
            raise SeriesError(
                f"the header of {path} cannot be read ({' '.join(str(error).split())})",
                needed="an undamaged master",
                action="copy it again from the detector",
            ) from error


class _Reader:
    """One open file, and the notes gathered while reading it."""

    def __init__(self, file: h5py.File, path: Path, roots: Roots) -> None:
        self.file = file
        self._path = path
        self._roots = roots
        self.notes: list[str] = []

    def header(self) -> EigerHeader:
        distance = self._distance()
        center_x, center_y = self._beam_center(distance)
        rows = self._count(f"{SPECIFIC}/y_pixels_in_detector")
        columns = self._count(f"{SPECIFIC}/x_pixels_in_detector")
        texts = {key: text for key, path in _TEXTS.items() if (text := self._text(path))}
        numbers = {key: value for key, (path, kind) in _NUMBERS.items() if (value := self._number(path, kind))}
        return EigerHeader(
            # Not detectorSpecific/frame_period: with auto-summation that is the time between partial images.
            frame_time=self._positive(f"{DETECTOR}/frame_time", "time"),
            count_time=self._positive(f"{DETECTOR}/count_time", "time"),
            nimages=self._count(f"{SPECIFIC}/nimages"),
            ntrigger=self._count(f"{SPECIFIC}/ntrigger"),
            distance=distance,
            wavelength=self._wavelength(),
            beam_center_x=center_x,
            beam_center_y=center_y,
            pixel_size_x=self._positive(f"{DETECTOR}/x_pixel_size", "length"),
            pixel_size_y=self._positive(f"{DETECTOR}/y_pixel_size", "length"),
            shape=(rows, columns) if rows and columns else None,
            bit_depth=self._count(f"{DETECTOR}/bit_depth_image"),
            pixel_mask=self._pixel_mask(),
            notes=tuple(self.notes),
            metadata={**texts, **numbers},
        )

    def _get(self, path: str) -> h5py.Dataset | None:
        """The data set, or None where it, or the file that a link names, is absent."""
        if self._roots is not None:
            node = within(self.file, self._path, path, h5py.Dataset)
            return None if node is None or node.is_virtual or node.external else node
        try:
            node = self.file.get(path)
        except OSError:
            return None
        return node if isinstance(node, h5py.Dataset) else None

    def _raw(self, path: str) -> tuple[float, str | None] | None:
        """A finite number, scalar or of shape (1,), and its unit."""
        node = self._get(path)
        if node is None or node.dtype.kind not in "uif" or node.size != 1:
            return None
        value = float(np.asarray(node[()]).ravel()[0])
        if not np.isfinite(value):
            self._doubt(path, value)
            return None
        return value, units.unit_name(node.attrs.get("units"))

    def _doubt(self, path: str, value: float) -> None:
        """Say once that a number of the file is impossible. Zero is not: detectors write it for what nobody entered."""
        note = f"{path.rsplit('/', 1)[-1]} is {value:g} in the file, which is impossible; not used"
        if value != 0 and note not in self.notes:
            self.notes.append(note)

    def _number(self, path: str, kind: str, default: float = 1.0) -> float | None:
        """In SI; ``default`` is the factor of a value without a unit."""
        raw = self._raw(path)
        if raw is None:
            return None
        value, unit = raw
        factor = default if unit is None else units.scale(unit, kind)
        if factor is None:
            self.notes.append(f"{path} has the unit {unit!r}, which is no unit of {kind}; not used")
            return None
        return value * factor

    def _positive(self, path: str, kind: str) -> float | None:
        value = self._number(path, kind)
        if value is not None and value <= 0:
            self._doubt(path, value)
            return None
        return value

    def _count(self, path: str) -> int | None:
        raw = self._raw(path)
        return int(raw[0]) if raw is not None and raw[0] > 0 else None

    def _text(self, path: str) -> str:
        node = self._get(path)
        if node is None or node.size != 1 or node.dtype.kind not in "SOU":
            return ""
        item = np.asarray(node[()]).ravel()[0]
        return (item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)).strip("\x00 ")

    def _distance(self) -> float | None:
        found: dict[str, float] = {}
        for name in ("detector_distance", "distance"):
            raw = self._raw(f"{DETECTOR}/{name}")
            if raw is None:
                continue
            if raw[0] <= 0:
                self._doubt(name, raw[0])
                continue
            value = self._without_unit(name, raw[0]) if raw[1] is None else self._number(f"{DETECTOR}/{name}", "length")
            if value is not None:
                found[name] = value
        values = list(found.values())
        if len(values) == 2 and not np.isclose(*values, rtol=1e-3, atol=0):
            self.notes.append(
                f"detector_distance {values[0]:g} m and distance {values[1]:g} m differ; the first is used"
            )
        return values[0] if values else None

    def _without_unit(self, name: str, value: float) -> float | None:
        """Metres are the rule, millimetres happen; the stage position, which has a unit, decides."""
        for path in (
            "/entry/instrument/detector_z/det_z",
            f"{DETECTOR}/detector_z/det_z",
            f"{DETECTOR}/transformations/det_z",
            "/entry/instrument/transformations/det_z",
        ):
            raw = self._raw(path)
            stage = None if raw is None or raw[1] is None else self._number(path, "length")
            if stage and np.isclose(value * 1e-3, stage, rtol=1e-3, atol=0):
                self.notes.append(f"{name} {value:g} has no unit; mm, as det_z says")
                return value * 1e-3
        if value > 100:
            self.notes.append(f"{name} {value:g} has no unit and cannot be metres; not used")
            return None
        return value

    def _beam_center(self, distance: float | None) -> tuple[float | None, float | None]:
        center: list[float | None] = []
        for axis in ("x", "y"):
            path = f"{DETECTOR}/beam_center_{axis}"
            raw = self._raw(path)
            if raw is not None and raw[1] is not None and units.scale(raw[1], "pixel") is None:
                length, pixel = self._number(path, "length"), self._positive(f"{DETECTOR}/{axis}_pixel_size", "length")
                center.append(length / pixel if length is not None and pixel else None)
            else:
                center.append(None if raw is None else raw[0])
        if distance is None and center == [0.0, 0.0]:
            # Detectors without a beamline behind them (ARINA) write zeros for what nobody entered.
            self.notes.append("distance and beam centre are 0 in the file: taken as not measured")
            return None, None
        return center[0], center[1]

    def _wavelength(self) -> float | None:
        energy = None
        for path in (f"{SPECIFIC}/photon_energy", f"{DETECTOR}/photon_energy"):
            energy = energy or self._positive(path, "energy")
        from_energy = None if energy is None else constants.h * constants.c / constants.e / energy
        for path in (f"{BEAM}/incident_wavelength", "/entry/sample/beam/incident_wavelength"):
            raw = self._raw(path)
            # Without a unit: angstrom, unless the number could only be metres.
            plain = 1.0 if raw is not None and raw[0] < 1e-6 else 1e-10
            value = self._number(path, "length", default=plain)
            if value is None or value <= 0:
                continue
            if from_energy is not None and not np.isclose(value, from_energy, rtol=1e-2, atol=0):
                self.notes.append(
                    f"wavelength {value * 1e10:.5g} Angstrom does not fit photon_energy {energy:g} eV "
                    f"({from_energy * 1e10:.5g} Angstrom); the wavelength is used"
                )
            return value
        if from_energy is not None:
            self.notes.append(f"wavelength {from_energy * 1e10:.5g} Angstrom follows from photon_energy {energy:g} eV")
        return from_energy

    def _pixel_mask(self) -> NDArray[np.uint32] | None:
        for path in (f"{SPECIFIC}/pixel_mask", f"{DETECTOR}/pixel_mask"):
            node = self._get(path)
            if node is not None and node.ndim == 2 and node.dtype.kind in "ui" and (node.size or 0) <= MOST_PIXELS:
                return node[()].astype(np.uint32)
        self.notes.append("the file holds no pixel_mask: dead and noisy pixels are known only from a mask given")
        return None
