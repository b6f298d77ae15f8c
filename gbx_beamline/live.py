"""A scan while it runs: its data files go in as they close, what is known so far comes out at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline import pipeline
from gbx_beamline.config import DEFAULT_RULE, AnalysisConfig
from gbx_beamline.correlation import GrowingPreview, LiveTwoTime
from gbx_beamline.errors import InputError
from gbx_beamline.figures.reduction import cells
from gbx_beamline.frames.eiger import EigerFile
from gbx_beamline.frames.series import Series, build_series
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import Bools, LiveShare, LiveState, NonEquilibrium, RoiSet, TwoTime

PREVIEW_CELLS = 512
"""Along an axis of the maps of a live record. One level: a reader takes the q-ROI that it shows, at most 1 MiB."""

GEOMETRY_KEY = "detector geometry"
"""Of the start document: what the detector knows of its geometry, SI, by the names of ``records.Geometry``. Data files
do not say it, and the master comes too late."""

IMAGE_CELLS = 400
"""Along a side of the detector's image in a live record, at most."""

_GEOMETRY = ("beam_center_x", "beam_center_y", "distance", "wavelength", "pixel_size_x", "pixel_size_y")

_REST = 4.0
"""S_noneq rests so many times as long as it took: at most a fifth of the time goes into it."""

_LEAST_CELLS = 3
"""That S_noneq can be asked for."""


class LiveScan:
    """One run under one selection rule.

    ``take`` is called by one thread; ``state`` may be called by another one meanwhile.

    Args:
        start: Its start document, which may say anything.
        settings: Of the analysis, as for the final record.
        rule: Name of the selection rule they come from.
        max_bytes: Ceiling of memory.
        catalog_array: Reads a label image kept in the catalog, where the configuration names one.
        clock: s.

    Raises:
        InputError: a start document that tells no number of frames.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        settings: AnalysisConfig,
        *,
        rule: str = DEFAULT_RULE,
        max_bytes: int = 4 * 2**30,
        catalog_array: pipeline.CatalogArray | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scan = pipeline.describe_start(start, source="data files")
        self.rule = rule
        self.expected = expected_frames(start)
        self.frame_time = settings.frame_time_s or _number(start.get("acquire period"))
        self._start = start
        self._settings = settings
        self._max_bytes = max_bytes
        self._catalog_array = catalog_array
        self._clock = clock
        self._began: _Begun | None = None

    @property
    def frames(self) -> int:
        """Correlated so far."""
        return 0 if self._began is None else self._began.live.reached

    def take(self, file: EigerFile) -> None:
        """Correlate the frames of the next data file with all before.

        Raises:
            InputError: what the final analysis would refuse, too, of mask, geometry and q-ROIs; more memory than the
                ceiling; frames that are not like the first, or more than announced.
        """
        if self._began is None:
            self._began = self._begin(file)
        # Mask and geometry are those of the first file.
        series = replace(self._began.series, source=file, present=file.present, name=file.path.name)
        self._began.live.append(series)
        self._began.newest.look(file, self._began.live.reached)

    def so_far(self) -> TwoTime | None:
        """The maps of all frames so far, as ``LiveTwoTime.so_far``; None before there are two frames."""
        return None if self._began is None else self._began.live.so_far()

    def state(self, *, last: bool = False) -> LiveState:
        """What is known now; revision 0, to be numbered by whoever publishes it.

        Args:
            last: True measures S_noneq whatever it costs.
        """
        state = LiveState(
            scan=self.scan,
            rule=self.rule,
            revision=0,
            state="running",
            changed=time.time(),
            expected=self.expected,
            frame_time=self.frame_time or math.nan,
        )
        if (began := self._began) is None:
            return state
        try:
            tt = began.live.so_far(with_groups=False)
        except InputError as error:
            # No photon in a ROI yet: that may come.
            return replace(state, frames=began.live.reached, flags=(*began.flags, str(error)))
        return state if tt is None else _filled(state, tt, began, last=last)

    def _begin(self, file: EigerFile) -> _Begun:
        settings = self._settings
        geometry = replace(file.header.geometry(file.shape[1:]), **_geometry_of(self._start))
        series = build_series(
            file,
            name=file.path.name,
            geometry=geometry,
            frame_time=self.frame_time,
            present=file.present,
            notes=file.notes,
            pixel_mask=file.pixel_mask(),
            metadata={"start": self._start},
            run_uid=self.scan.run_uid,
        )
        series, rois = pipeline.select(series, settings, catalog_array=self._catalog_array)
        correlation = settings.correlation
        live = LiveTwoTime(
            rois,
            frames=self.expected,
            shape=series.shape[1:],
            dtype=series.dtype,
            frame_time=series.frame_time,
            mask=series.mask,
            groups=correlation.groups,
            max_cells=settings.nonequilibrium.max_cells,
            max_bytes=self._max_bytes,
        )
        flags = list(pipeline.flags_of(series, rois))
        if correlation.normalisation != "none":
            flags.append(f"live maps are without normalisation; the final record has {correlation.normalisation}")
        if correlation.bad_frames:
            flags.append("frames listed as bad are left out in the final record only")
        return _Begun(
            series,
            live,
            GrowingPreview(len(rois), self.expected, PREVIEW_CELLS),
            _Shares(live, settings, self.expected, self._clock),
            _Newest(series.mask, rois),
            tuple(flags),
        )


def expected_frames(start: Mapping[str, Any]) -> int:
    """Frames of the whole run: images of each trigger times triggers, as CHX's keys tell; numbers or their text.

    Raises:
        InputError: the start document does not say it.
    """
    images, points = _number(start.get("number of images")), _number(start.get("num_points", 1))
    if images is None or points is None:
        raise InputError(
            f"a start document with 'number of images' {start.get('number of images')!r} and num_points "
            f"{start.get('num_points')!r}",
            needed="the number of frames, for which room is made before the first comes",
            action="have the plan say it; the analysis at the end of the run does not need it",
        )
    return int(images) * int(points)


@dataclass(frozen=True)
class _Begun:
    """What exists once the first data file is there."""

    series: Series
    """The first data file, with mask and geometry as configured."""
    live: LiveTwoTime
    preview: GrowingPreview
    shares: _Shares
    newest: _Newest
    flags: tuple[str, ...]


class _Newest:
    """The newest frame as an image for the screen.

    Args:
        mask: (y, x) True = used.
        rois: Whose places it shows.
    """

    def __init__(self, mask: Bools, rois: RoiSet) -> None:
        self._mask = mask
        _, self._pixels = cells(mask, IMAGE_CELLS)
        half = self._pixels // 2
        rows, columns = (max(1, side // self._pixels) for side in mask.shape)
        self._labels = rois.labels[half :: self._pixels, half :: self._pixels][:rows, :columns].astype(np.float32)
        self._seen: tuple[NDArray[np.float32], int] | None = None

    def look(self, file: EigerFile, reached: int) -> None:
        """Take the last frame of a data file that ends with frame ``reached``."""
        (there,) = np.nonzero(file.present)
        if not there.size:
            return
        last = int(there[-1])
        frame = np.where(self._mask, file.read(last, last + 1)[0].astype(np.float32), np.float32(np.nan))
        image, _ = cells(frame, IMAGE_CELLS)
        self._seen = np.stack([image.astype(np.float32), self._labels]), reached - file.shape[0] + last

    def shown(self) -> dict[str, Any]:
        """Fields of ``LiveState``."""
        if (seen := self._seen) is None:
            return {}
        return {"image": seen[0], "image_frame": seen[1], "image_pixels": self._pixels}


class _Shares:
    """S_noneq so far, renewed as often as its cost allows."""

    def __init__(self, live: LiveTwoTime, settings: AnalysisConfig, expected: int, clock: Callable[[], float]) -> None:
        cells = settings.nonequilibrium
        self._live = live
        self._min_pairs = cells.min_pairs
        self._frames_per_cell = expected // (cells.max_cells + 1) + 1
        self._clock = clock
        self._due = -math.inf
        self._last: tuple[tuple[LiveShare, ...], int] = (), 0

    def now(self, *, at_any_cost: bool) -> tuple[tuple[LiveShare, ...], int]:
        """Those of each q-ROI, and the frames that they were measured on."""
        began = self._clock()
        if (began >= self._due or at_any_cost) and self._live.reached > self._last[1]:
            tt = self._live.so_far()
            if tt is not None:
                frames = tt.g2.shape[-1]
                # So many cells as make each as long as in the final record: S belongs to its cell.
                cells = max(_LEAST_CELLS, frames // self._frames_per_cell)
                found = nonequilibrium(tt, max_cells=cells, min_pairs=self._min_pairs)
                self._last = tuple(_share(one) for one in found), frames
            ended = self._clock()
            self._due = ended + _REST * (ended - began)
        return self._last


def _share(found: NonEquilibrium) -> LiveShare:
    corrected, unknown = found.corrected, math.nan
    return LiveShare(
        s_noneq=found.s_noneq,
        s_noneq_norm=found.s_noneq_norm,
        drift_rms_over_contrast=found.drift_rms_over_contrast,
        status=found.status,
        s_noneq_corrected=unknown if corrected is None else corrected.value,
        low=unknown if corrected is None else corrected.low,
        high=unknown if corrected is None else corrected.high,
        drift_rms_over_contrast_corrected=unknown if corrected is None else corrected.drift_rms_over_contrast,
        corrected_status=found.corrected_status,
        cell=found.cell,
        window=found.window,
    )


def _filled(state: LiveState, tt: TwoTime, began: _Begun, *, last: bool) -> LiveState:
    shares, shares_frames = began.shares.now(at_any_cost=last)
    unknown = np.full(len(tt.names), np.nan)
    saturated = [
        f"q-ROI {name}: {n} pixels saturated at times" for name, n in zip(tt.names, tt.saturated, strict=True) if n
    ]
    return replace(
        state,
        frames=tt.g2.shape[-1],
        frames_per_cell=began.preview.frames_per_cell,
        names=tt.names,
        q_par=unknown if tt.q_par is None else np.asarray(tt.q_par, dtype=np.float64),
        q_z=unknown if tt.q_z is None else np.asarray(tt.q_z, dtype=np.float64),
        pixels=tt.pixels,
        mean_counts=tt.mean_counts,
        contrast=tt.contrast,
        shares=shares,
        shares_frames=shares_frames,
        flags=(*began.flags, *saturated),
        two_time=began.preview.update(tt.g2),
        frame_means=tt.frame_means,
        geometry=began.series.geometry,
        **began.newest.shown(),
    )


def _geometry_of(start: Mapping[str, Any]) -> dict[str, float]:
    """What a start document says of the geometry; whatever is no number is left out."""
    said = start.get(GEOMETRY_KEY)
    if not isinstance(said, Mapping):
        return {}
    found = {name: said.get(name) for name in _GEOMETRY}
    # A beam centre may be negative.
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _number(value: object) -> float | None:
    """A positive number, also where it is written as text, as CHX does; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
