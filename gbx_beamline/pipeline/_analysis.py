"""From frames to the record of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.care import care_for
from gbx_beamline.config import TEMPERATURE, AnalysisConfig, Config, HoldConfig
from gbx_beamline.correlation import collect_rois, correlate
from gbx_beamline.frames import Series
from gbx_beamline.pipeline._description import describe
from gbx_beamline.pipeline._flags import (
    flags_of,
    flux_flags,
    intensity_flags,
    movement_flags,
    segment_flags,
    temperature_flags,
)
from gbx_beamline.pipeline._measures import measure, measure_series
from gbx_beamline.pipeline._movement import movement_of
from gbx_beamline.pipeline._outcome import provenance
from gbx_beamline.pipeline._selection import CatalogArray, select
from gbx_beamline.records import (
    Bools,
    Exclusions,
    Floats,
    Geometry,
    RoiSet,
    ScanInfo,
    ScanResult,
    Segment,
    TwoTime,
)
from gbx_beamline.traces import Placed, Readings, exposure_of, place, record_of

_PREVIEW_FRAMES = 32


def analyze(
    series: Series,
    config: Config | AnalysisConfig,
    *,
    scan: ScanInfo | None = None,
    catalog_array: CatalogArray | None = None,
    readings: Readings | None = None,
) -> ScanResult:
    """Correlate one scan in every q-ROI and measure how far it is from equilibrium.

    Args:
        series: Frames with mask, frame time and geometry.
        config: Settings; of a whole ``Config``, those of the series' sample.
        scan: What is known of the run; read from the series when absent.
        catalog_array: Reads a label image kept in the catalog, where the configuration names one.
        readings: What the run's streams say of temperature, beam and the like (``traces.read_channels``).

    Returns:
        The record as the catalog stores it, with the same numbers for the same series and settings.

    Raises:
        GbxError: the series, the geometry or the ROIs cannot be analysed; the message says why.
    """
    if not series.present.any():
        series.read(0, 1)  # raises, naming the absent files
    scan = scan or describe(series)
    settings = config.for_sample(scan.sample) if isinstance(config, Config) else config
    as_detected = series
    series, rois = select(series, settings, catalog_array=catalog_array)
    geometry, correlation = series.geometry, settings.correlation
    collected = collect_rois(
        series,
        rois,
        bad_frames=correlation.bad_frames,
        groups=correlation.groups,
        max_cells=settings.nonequilibrium.max_cells,
        threads=correlation.threads,
        max_bytes=int(correlation.max_memory_gib * 2**30),
    )
    placed = _placed(series, scan, settings, readings)
    care = care_for(collected, settings.care, placed=placed, conditions=settings.traces)
    tt = correlate(collected, normalisation=correlation.normalisation)
    valid = collected.valid
    del collected  # the counts: no later step needs them
    convention = "q_par" if geometry.mode == "gisaxs" else "|q|"
    measured = measure_series(tt, care.exclusions.segments, settings, q_convention=convention)
    exclusions = replace(care.exclusions, segments=measured.segments)
    scan = _with_temperature(scan, measured.chosen, placed)
    movement = movement_of(as_detected, valid, care.motion, measured.found["jumps"], placed, settings.care)
    traces = None if readings is None else record_of(placed, settings.traces.most_cells)
    return ScanResult(
        scan=scan,
        rois=rois,
        geometry=geometry,
        two_time=tt,
        **measured.found,
        mean_image=_mean_image(series),
        mask=series.mask,
        excluded=_excluded(series, tt) | exclusions.counts,
        exclusions=exclusions,
        motion=care.motion,
        flags=(
            *flags_of(series, rois),
            *(() if traces is None else traces.notes),
            *temperature_flags(scan, (settings.traces.hold or HoldConfig()).within_k),
            *intensity_flags(tt),
            *exclusions.words(),
            *segment_flags(exclusions, measured.each),
            *movement_flags(tt.names, care.motion, measured.found["jumps"], movement),
            *flux_flags(tt.names, care.motion),
            *tt.notes,
        ),
        provenance=provenance(settings, catalog_array, series),
        analysed=measured.rows,
        segments=measured.each,
        traces=traces,
        exposure=None if readings is None else exposure_of(placed, settings.dose, _start(series), dark=care.dark),
        movement=movement,
    )


def _start(series: Series) -> Mapping[str, Any]:
    return series.metadata.get("start", {})


def _placed(series: Series, scan: ScanInfo, settings: AnalysisConfig, readings: Readings | None) -> Placed:
    return place(
        readings or Readings(),
        settings.traces,
        frames=len(series),
        frame_time=series.frame_time,
        collected=series.metadata.get("data_collection_date"),
        set_temperature=scan.temperature_set,
    )


def _with_temperature(scan: ScanInfo, segment: Segment, placed: Placed) -> ScanInfo:
    """The mean that was measured over a segment in place of what the run says of itself."""
    channel = placed.channels.get(TEMPERATURE)
    if channel is None or not np.isfinite(segment.temperature):
        return scan
    source = f"mean of {channel.source} over the analysed frames"
    return replace(scan, temperature=segment.temperature, temperature_source=source)


def _mean_image(series: Series) -> NDArray[np.float32]:
    """(y, x) mean of a few frames spread over the series: a picture to look at, not a measurement."""
    present = np.flatnonzero(series.present)
    chosen = present[np.unique(np.linspace(0, present.size - 1, _PREVIEW_FRAMES).round().astype(int))]
    total = np.zeros(series.shape[1:], dtype=np.float64)
    for frame in chosen:
        total += series.read(int(frame), int(frame) + 1)[0]
    return np.where(series.mask, total / chosen.size, np.nan).astype(np.float32)


def adopt(
    tt: TwoTime,
    notes: Sequence[str],
    scan: ScanInfo,
    settings: AnalysisConfig,
    *,
    rois: RoiSet | None = None,
    mask: Bools | None = None,
    mean_image: Floats | None = None,
) -> ScanResult:
    """The record of two-time maps that were computed elsewhere: no frames, no geometry of a detector.

    Args:
        tt: Maps with baseline 1 (``correlation.read_map``).
        notes: What was found and done while reading them; they become the record's flags.
        scan: What is known of the measurement.
        settings: Cell and shortest diagonal of S_noneq.
        rois: q-ROIs on the detector, where they are known.
        mask: (y, x) True = used, where it is known; of the shape of the label image.
        mean_image: (y, x) counts per frame, where it is known; of the shape of the label image.
    """
    found = measure(tt, settings, q_convention="unknown")
    if rois is None:
        unknown = np.full(len(tt.names), np.nan)
        q_par, q_z = (unknown if q is None else q for q in (tt.q_par, tt.q_z))
        nowhere = np.zeros((1, 1), dtype=np.int32)
        rois = RoiSet(labels=nowhere, names=tt.names, q_par=q_par, q_z=q_z, flags=((),) * len(tt.names))
    rows, columns = rois.labels.shape
    image = np.full((rows, columns), np.nan) if mean_image is None else mean_image
    return ScanResult(
        scan=scan,
        rois=rois,
        geometry=Geometry(shape=(rows, columns)),
        two_time=tt,
        **found,
        mean_image=image.astype(np.float32),
        mask=rois.labels > 0 if mask is None else mask,
        excluded={"bad_frames": int((~tt.valid_frames).sum())},
        exclusions=Exclusions(),
        motion=(),
        flags=(*notes, *movement_flags(tt.names, (), found["jumps"])),
        provenance=provenance(settings),
    )


def _excluded(series: Series, tt: TwoTime) -> dict[str, int]:
    saturated = int(tt.saturated.sum())
    found = dict(series.excluded) | {"bad_frames": int((~tt.valid_frames).sum())}
    return found | {"saturated_at_times": saturated} if saturated else found
