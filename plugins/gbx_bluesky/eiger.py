"""An Eiger that writes real files: what a beamline without beam, a demonstration or a test acquires with."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from ophyd import Component, Device, Signal
from ophyd.device import Staged
from ophyd.status import DeviceStatus
from scipy import constants

from gbx_beamline.errors import GbxError, InputError, SeriesError, ServiceError
from gbx_beamline.frames.eiger_header import EigerHeader
from gbx_beamline.frames.eiger_writer import EigerWriter
from gbx_beamline.records import Geometry
from gbx_bluesky.eiger_documents import data_keys, stream_resources
from gbx_bluesky.feeds import FrameFeed


class EigerCam(Device):
    """What a plan sets before a series; CHX's names."""

    acquire_time = Component(Signal, value=1.0, kind="config")
    """s of exposure per frame; shortened to ``acquire_period`` when longer."""
    acquire_period = Component(Signal, value=1.0, kind="config")
    """s from frame to frame."""
    num_images = Component(Signal, value=1, kind="config")
    """Frames per trigger."""
    num_triggers = Component(Signal, value=1, kind="config")
    """Triggers per series, that is per master file. A trigger beyond them begins the next series."""
    array_counter = Component(Signal, value=0, kind="normal")
    """Frames taken since the detector was staged, read with each event."""


class SimulatedEiger(Device):
    """Writes a master with bitshuffle-LZ4 data files in Dectris' layout, and the documents that point to them.

    One event is one trigger: ``num_images`` frames (frames, y, x) under ``<name>_image``, and under
    ``<name>_pixel_mask`` the detector's mask where the feed has one. Each data file appears when it is full, the
    master when the last trigger of a series ends (or at unstage, when there were fewer).

    Args:
        directory: Folder for the files; where Tiled is to read them, one of its ``readable_storage``.
        feed: Where the frames come from.
        geometry: Beam centre, distance, wavelength and pixel size, as far as known.
        threshold_energy: eV; None is half the photon energy.
        frames_per_file: Frames in a full data file.
        dtype: Pixel type in the file; None is the feed's.
        acceleration: Detector seconds per real second; None is as fast as the disk allows.
        name: Prefix of all data keys.
    """

    cam = Component(EigerCam, "")
    beam_center_x = Component(Signal, kind="config")
    beam_center_y = Component(Signal, kind="config")
    wavelength = Component(Signal, kind="config")
    """Angstrom, as CHX's documents have it."""
    det_distance = Component(Signal, kind="config")
    """m."""
    x_pixel_size = Component(Signal, kind="config")
    """m."""
    y_pixel_size = Component(Signal, kind="config")
    """m."""
    photon_energy = Component(Signal, kind="config")
    """eV."""
    threshold_energy = Component(Signal, kind="config")
    """eV."""

    def __init__(
        self,
        *,
        directory: Path,
        feed: FrameFeed,
        geometry: Geometry | None = None,
        threshold_energy: float | None = None,
        frames_per_file: int = 100,
        dtype: DTypeLike | None = None,
        acceleration: float | None = None,
        name: str = "eiger4m_single",
    ) -> None:
        super().__init__("", name=name)
        if acceleration is not None and not (math.isfinite(acceleration) and acceleration > 0):
            raise InputError(
                f"acceleration {acceleration!r}", needed="a number > 0, or None", action="correct the acceleration"
            )
        self.directory = Path(directory).resolve()
        self.feed = feed
        self.geometry = geometry or Geometry(shape=feed.shape)
        self.frames_per_file = frames_per_file
        self.dtype = feed.dtype if dtype is None else np.dtype(dtype)
        self.acceleration = acceleration
        self._fill_signals(threshold_energy)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-writer")
        self._interrupted = threading.Event()
        self._pending: Future[None] | None = None
        self._prefix = ""
        self._series = 0
        self._writer: EigerWriter | None = None
        self._triggers_done = 0
        self._documents: list[tuple[str, dict[str, Any]]] = []
        self._resources: list[dict[str, Any]] = []

    @property
    def file_prefix(self) -> str:
        """What the names of the series' files begin with; empty while the detector is not armed."""
        return "" if self._writer is None else self._writer.prefix

    def stage(self) -> list[object]:
        """Arm the detector. File names are new in every stage."""
        period = _number(self.cam.acquire_period)
        if _number(self.cam.acquire_time) > period:
            self.cam.acquire_time.put(period)
        self._prefix = uuid.uuid4().hex[:20]
        self._series = 0
        self._triggers_done = 0
        self._documents = []
        self._interrupted.clear()
        self.cam.array_counter.put(0)
        staged = super().stage()
        try:
            self._begin_series()
        except GbxError:
            super().unstage()
            raise
        return staged

    def unstage(self) -> list[object]:
        """Disarm: a running trigger ends early, files are closed."""
        self._interrupted.set()
        if self._pending is not None:
            # Its outcome is in the trigger's status already; here only the writing has to be over.
            self._pending.exception()
            self._pending = None
        if self._writer is not None:
            writer, self._writer = self._writer, None
            if writer.frames_written:
                writer.close()
        return super().unstage()

    def stop(self, *, success: bool = False) -> None:
        """End a running trigger early."""
        self._interrupted.set()
        super().stop(success=success)

    def trigger(self) -> DeviceStatus:
        """Take ``num_images`` frames in the background.

        Returns:
            Finished when the frames are written, failed with the reason when they could not be.

        Raises:
            ServiceError: the detector is not staged, or still busy.
        """
        staged = self._staged is Staged.yes
        if not staged or (self._pending is not None and not self._pending.done()):
            raise ServiceError(
                f"{self.name} was triggered while {'busy' if staged else 'not staged'}",
                needed="a staged detector with no trigger under way",
                action="stage it, and wait for the status of the last trigger",
            )
        if self._writer is None:
            self._begin_series()
        writer = self._writer
        assert writer is not None
        status = DeviceStatus(self)
        self._pending = self._executor.submit(self._expose, writer, int(_number(self.cam.num_images)))
        self._pending.add_done_callback(lambda future: _settle(status, future))
        return status

    def describe(self) -> Any:
        """Data keys of an event: (frames, y, x) images and the (y, x) mask, both in files."""
        keys: dict[str, Any] = {**super().describe()}  # pyright: ignore[reportAssignmentType]
        frames = int(_number(self.cam.num_images))
        with_mask = self.feed.pixel_mask is not None
        keys.update(data_keys(self.name, frames, self.feed.shape, self.dtype, with_mask=with_mask))
        return keys

    def get_index(self) -> int:
        """Triggers finished since staging."""
        return self._triggers_done

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ARG002
        """Stream resources of new series and stream datums of new triggers, each once."""
        documents, self._documents = self._documents, []
        yield from documents

    def _fill_signals(self, threshold_energy: float | None) -> None:
        known = self.geometry
        energy = None if known.wavelength is None else constants.h * constants.c / constants.e / known.wavelength
        threshold = energy / 2 if threshold_energy is None and energy is not None else threshold_energy
        values = {
            "beam_center_x": known.beam_center_x,
            "beam_center_y": known.beam_center_y,
            "wavelength": None if known.wavelength is None else known.wavelength * 1e10,
            "det_distance": known.distance,
            "x_pixel_size": known.pixel_size_x,
            "y_pixel_size": known.pixel_size_y,
            "photon_energy": energy,
            "threshold_energy": threshold,
        }
        for key, value in values.items():
            if value is None:
                # A signal without a value cannot be described, and a made-up one would be believed.
                getattr(self, key).kind = "omitted"
            else:
                getattr(self, key).put(float(value))

    def _begin_series(self) -> None:
        self._series += 1
        header = self._header()
        self._writer = EigerWriter(
            self.directory,
            f"{self._prefix}_{self._series}",
            header=header,
            frames_per_file=self.frames_per_file,
            dtype=self.dtype,
            pixel_mask=self.feed.pixel_mask,
        )
        self._resources = stream_resources(
            self.name,
            self._writer.master,
            header,
            self.dtype,
            with_mask=self.feed.pixel_mask is not None,
            frames_per_file=self.frames_per_file,
        )

    def _expose(self, writer: EigerWriter, count: int) -> None:
        """Take and write ``count`` frames, each no earlier than its time; runs in the writer's thread."""
        pace = 0.0 if self.acceleration is None else _number(self.cam.acquire_period) / self.acceleration
        began = time.monotonic()
        taken = 0
        for taken, frame in enumerate(self.feed.frames(count), start=1):
            self._interrupted.wait(max(0.0, began + taken * pace - time.monotonic()))
            if self._interrupted.is_set():
                raise ServiceError(
                    f"{self.name} was stopped after {taken - 1} of {count} frames",
                    needed="an uninterrupted trigger",
                    action="take the series again",
                )
            writer.append(frame)
        if taken != count:
            raise SeriesError(
                f"the feed of {self.name} gave {taken} of {count} frames",
                needed="as many frames as asked for",
                action="take fewer frames, or give it a longer movie",
            )
        promised = writer.header.expected_frames
        if promised is not None and writer.frames_written >= promised:
            # Before the trigger ends, so that the master exists when the run's documents say so.
            writer.close()
            self._writer = None
        self.cam.array_counter.put(int(_number(self.cam.array_counter)) + count)
        self._announce_trigger(first=writer.frames_written == count)

    def _announce_trigger(self, *, first: bool) -> None:
        if first:
            self._documents += [("stream_resource", resource) for resource in self._resources]
        span = {"start": self._triggers_done, "stop": self._triggers_done + 1}
        for resource in self._resources:
            datum = {
                "uid": f"{resource['uid']}/{self._triggers_done}",
                "stream_resource": resource["uid"],
                "descriptor": "",
                "indices": dict(span),
                # The RunEngine numbers the events; it insists on zeros here.
                "seq_nums": {"start": 0, "stop": 0},
            }
            self._documents.append(("stream_datum", datum))
        self._triggers_done += 1

    def _header(self) -> EigerHeader:
        known = self.geometry
        said = {key: getattr(self, key).get() for key in ("photon_energy", "threshold_energy")}
        return EigerHeader(
            frame_time=_number(self.cam.acquire_period),
            count_time=_number(self.cam.acquire_time),
            nimages=int(_number(self.cam.num_images)),
            ntrigger=int(_number(self.cam.num_triggers)),
            distance=known.distance,
            wavelength=known.wavelength,
            beam_center_x=known.beam_center_x,
            beam_center_y=known.beam_center_y,
            pixel_size_x=known.pixel_size_x,
            pixel_size_y=known.pixel_size_y,
            shape=self.feed.shape,
            metadata={key: value for key, value in said.items() if value is not None},
        )


def _number(signal: Any) -> float:
    """Value of a signal; ophyd's types allow for one that has none."""
    return float(signal.get())


def _settle(status: DeviceStatus, future: Future[None]) -> None:
    if status.done:
        return
    error = future.exception()
    if error is None:
        status.set_finished()
    else:
        status.set_exception(error)
