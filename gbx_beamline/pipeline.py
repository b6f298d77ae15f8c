"""The whole chain as one readable function: a series goes in, a scan's physics comes out."""

from __future__ import annotations

import hashlib
import math
import reprlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline import __version__
from gbx_beamline.care import care_for, find_jumps
from gbx_beamline.config import AnalysisConfig, Config, MaskConfig
from gbx_beamline.correlation import (
    collect_rois,
    correlate,
    fit_decay,
    fit_kinetics,
    g4,
    one_time,
    scaling,
)
from gbx_beamline.errors import ContractError, InputError, RoiError
from gbx_beamline.frames import Series
from gbx_beamline.frames.numpy_files import read_array
from gbx_beamline.geometry import overlay, rois_from_config
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import (
    Exclusions,
    Geometry,
    JumpCheck,
    MotionCheck,
    Predictor,
    Provenance,
    Refusal,
    RoiSet,
    ScanFailure,
    ScanInference,
    ScanInfo,
    ScanResult,
    TwoTime,
)

_PREVIEW_FRAMES = 32
_CELSIUS = 273.15
_UNEVEN = 0.1
"""Of the contrast: what uneven intensity may add to the baseline of g2 without a word."""
_NAMESPACE = uuid.UUID("9ad6cf33-6d0c-4f5c-9b0b-6a4a0f0b7c11")
"""Namespace of the uids of data that never were a Bluesky run."""

CatalogArray = Callable[[str], NDArray[Any]]


def analyze(
    series: Series,
    config: Config | AnalysisConfig,
    *,
    scan: ScanInfo | None = None,
    catalog_array: CatalogArray | None = None,
) -> ScanResult:
    """Correlate one scan in every q-ROI and measure how far it is from equilibrium.

    Args:
        series: Frames with mask, frame time and geometry.
        config: Settings; of a whole ``Config``, those of the series' sample.
        scan: What is known of the run; read from the series when absent.
        catalog_array: Reads a label image kept in the catalog, where the configuration names one.

    Returns:
        The record as the catalog stores it, with the same numbers for the same series and settings.

    Raises:
        GbxError: the series, the geometry or the ROIs cannot be analysed; the message says why.
    """
    if not series.present.any():
        series.read(0, 1)  # raises, naming the absent files
    scan = scan or describe(series)
    settings = config.for_sample(scan.sample) if isinstance(config, Config) else config
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
    care = care_for(collected, settings.care)
    tt = correlate(collected, normalisation=correlation.normalisation)
    del collected  # the counts: no later step needs them
    found = _measure(tt, settings, q_convention="q_par" if geometry.mode == "gisaxs" else "|q|")
    return ScanResult(
        scan=scan,
        rois=rois,
        geometry=geometry,
        two_time=tt,
        **found,
        mean_image=_mean_image(series),
        mask=series.mask,
        excluded=_excluded(series, tt) | care.exclusions.counts,
        exclusions=care.exclusions,
        motion=care.motion,
        flags=(
            *flags_of(series, rois),
            *_intensity_flags(tt),
            *care.exclusions.words(),
            *_movement_flags(tt.names, care.motion, found["jumps"]),
            *tt.notes,
        ),
        provenance=provenance(settings, catalog_array, series),
    )


def select(
    series: Series, settings: AnalysisConfig, *, catalog_array: CatalogArray | None = None
) -> tuple[Series, RoiSet]:
    """What is analysed of a series: the same for one that has ended and for one that is still being taken.

    Args:
        series: Frames with what their file says of mask and geometry.
        settings: What wins over the file, and the q-ROIs.
        catalog_array: Reads a label image kept in the catalog, where the configuration names one.

    Returns:
        The series with mask and geometry as configured, and the q-ROIs on it.

    Raises:
        GbxError: the mask, the geometry or the ROIs cannot be used; the message says why.
    """
    series = replace(_masked(series, settings.mask), geometry=overlay(series.geometry, settings.geometry))
    if not settings.rois.given:
        raise RoiError(
            "no q-ROI is configured",
            needed="at least one box, ring or label image",
            action="add analysis.rois to the configuration (configs/demo.yaml shows how)",
        )
    rois = rois_from_config(series.geometry, settings.rois, mask=series.mask, read_catalog_array=catalog_array)
    return series, rois


def _measure(tt: TwoTime, settings: AnalysisConfig, *, q_convention: str) -> dict[str, Any]:
    """What is read off the maps: fields of a ``ScanResult``."""
    g2 = one_time(tt, convention=settings.correlation.one_time)
    cells = settings.nonequilibrium
    kinetics = fit_kinetics(tt, ages=settings.correlation.age_windows)
    known = tt.q_par is not None and np.isfinite(tt.q_par).any()
    jumps = [
        find_jumps(map_, contrast, frame_time=tt.frame_time, baseline=baseline, settings=settings.care)
        for map_, contrast, baseline in zip(tt.g2, tt.contrast.tolist(), tt.static_baseline.tolist(), strict=True)
        if settings.care.applies("jumps")
    ]
    return {
        "one_time": g2,
        "nonequilibrium": tuple(nonequilibrium(tt, max_cells=cells.max_cells, min_pairs=cells.min_pairs)),
        "fits": tuple(fit_decay(g2.tau, g2.g2[i], g2.error[i]) for i in range(len(tt.names))),
        "kinetics": kinetics,
        "scaling": scaling(kinetics, tt.q_par, q_convention=q_convention) if known and tt.q_par is not None else None,
        "g4": g4(tt),
        "jumps": tuple(jumps),
    }


def provenance(
    settings: AnalysisConfig,
    catalog_array: CatalogArray | None = None,
    series: Series | None = None,
    *,
    rule: str = "",
) -> Provenance:
    """What makes a result with these settings by this release.

    Args:
        settings: Their hash names the record.
        catalog_array: Reads a label image kept in the catalog: drawn anew it makes another record, like a file.
        series: Where it is incomplete and analysed all the same, what exists of it counts too: restored, it makes
            another record.
        rule: Selection rule by which the run is analysed.
    """
    digest = alone = settings.hash
    if series is not None and series.missing and series.allow_incomplete:
        digest = hashlib.sha256(digest.encode() + series.present.tobytes()).hexdigest()[:12]
    if settings.rois.catalog_labels and catalog_array is not None:
        labels = np.ascontiguousarray(catalog_array(settings.rois.catalog_labels))
        digest = hashlib.sha256(f"{digest} {labels.dtype} {labels.shape}".encode() + labels.tobytes()).hexdigest()[:12]
    return Provenance(config_hash=digest, package_version=__version__, settings_hash=alone, rule=rule)


def failure(scan: ScanInfo, error: Exception, made_by: Provenance) -> ScanFailure:
    """The record of a scan that could not be analysed."""
    reason = str(error) or type(error).__name__
    return ScanFailure(scan=scan, kind=type(error).__name__, reason=reason, provenance=made_by)


def infer(
    result: ScanResult, predictor: Predictor, *, record: str = "", check: bool = True, seed: int = 0
) -> ScanInference:
    """What a model says of an analysed scan. A scan that it may not judge gets a refusal, with the reason.

    Args:
        result: of ``analyze``.
        predictor: the model, e.g. from ``load_model``.
        record: key of the correlation record, where it is in a catalog.
        check: simulate scans from the answer and compare, which takes some seconds.
        seed: same seed, same answer.
    """
    scan = result.scan
    try:
        if scan.temperature is None:
            raise ContractError(
                "the temperature of the scan is not known",
                needed="a temperature in K, which D and the friction depend on",
                action="record it with the run (start document: temperature in K, or T_sample in degrees Celsius)",
            )
        outcome = predictor.predict(result.two_time, scan.temperature, scaling=result.scaling, check=check, seed=seed)
    except InputError as error:
        outcome = Refusal(model_id=predictor.id, kind=type(error).__name__, reason=str(error))
    return ScanInference(
        record=record, scan=scan, outcome=outcome, package_version=__version__, seed=seed, checked=check
    )


def describe(series: Series) -> ScanInfo:
    """What a series says of its run: uid, sample, temperature, simulated truth, access tags."""
    start: Mapping[str, Any] = series.metadata.get("start", {})
    return describe_start(start, source=series.name) if start else _describe_file(series)


def describe_start(start: Mapping[str, Any], *, source: str) -> ScanInfo:
    """What a Bluesky start document says of its run."""
    sample = start.get("sample")
    if isinstance(sample, Mapping):
        sample = sample.get("name")
    return ScanInfo(
        run_uid=str(start["uid"]),
        sample=str(sample) if isinstance(sample, str | int | float) else None,
        temperature=_temperature(start)[0],
        started=_moment(start.get("time")),
        truth=start.get("truth"),
        source=source,
    )


def _moment(value: object) -> float | None:
    """Unix time, s; None where the document says something else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        moment = float(value)
    except OverflowError:
        return None
    return moment if math.isfinite(moment) else None


def _describe_file(series: Series) -> ScanInfo:
    uid = series.run_uid or _uid_of_frames(series)
    temperature = series.metadata.get("temperature")
    return ScanInfo(run_uid=uid, sample=series.metadata.get("sample"), temperature=temperature, source=series.name)


def _uid_of_frames(series: Series) -> str:
    """A uid of what the series holds: its first, middle and last frame stand for the others."""
    digest = hashlib.sha256(f"{series.name} {series.shape} {series.dtype} {series.frame_time}".encode())
    present = np.flatnonzero(series.present)
    for frame in dict.fromkeys(present[[0, present.size // 2, -1]].tolist()) if present.size else ():
        digest.update(series.read(frame, frame + 1).tobytes())
    return str(uuid.uuid5(_NAMESPACE, digest.hexdigest()))


def _temperature(start: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """K, and what to say where the entry is no temperature: that is no reason to leave a scan unanalysed.

    CHX's own key ``T_sample`` is a string in Celsius; ours, ``temperature``, is a number in K.
    """
    key, zero = ("temperature", 0.0) if start.get("temperature") is not None else ("T_sample", _CELSIUS)
    value = start.get(key)
    if value is None:
        return None, None
    try:
        kelvin = float(value) + zero
    except (TypeError, ValueError, OverflowError):
        kelvin = math.nan
    if not (math.isfinite(kelvin) and kelvin > 0):
        unit = "kelvin" if key == "temperature" else "degrees Celsius"
        return None, f"temperature unknown: {key} is {reprlib.repr(value)}, not a number of {unit}"
    return kelvin, None


def _masked(series: Series, settings: MaskConfig) -> Series:
    if settings.file is None:
        return series
    mask = read_array(settings.file, key="mask", what="mask")
    return series.with_mask(mask if settings.true_means == "good" else mask == 0)


def _mean_image(series: Series) -> NDArray[np.float32]:
    """(y, x) mean of a few frames spread over the series: a picture to look at, not a measurement."""
    present = np.flatnonzero(series.present)
    chosen = present[np.unique(np.linspace(0, present.size - 1, _PREVIEW_FRAMES).round().astype(int))]
    total = np.zeros(series.shape[1:], dtype=np.float64)
    for frame in chosen:
        total += series.read(int(frame), int(frame) + 1)[0]
    return np.where(series.mask, total / chosen.size, np.nan).astype(np.float32)


def flags_of(series: Series, rois: RoiSet) -> tuple[str, ...]:
    """What a reader must know of a series and of where its q-ROIs lie."""
    flags = list(series.notes)
    if (unknown := _temperature(series.metadata.get("start", {}))[1]) is not None:
        flags.append(unknown)
    if series.missing:
        flags.append(f"incomplete: {', '.join(series.missing)} missing, {int(series.present.sum())} frames used")
    for name, crossed in zip(rois.names, rois.flags, strict=True):
        flags += [f"q-ROI {name} crosses the {region} region" for region in crossed]
    return tuple(flags)


def _excluded(series: Series, tt: TwoTime) -> dict[str, int]:
    saturated = int(tt.saturated.sum())
    found = dict(series.excluded) | {"bad_frames": int((~tt.valid_frames).sum())}
    return found | {"saturated_at_times": saturated} if saturated else found


def _intensity_flags(tt: TwoTime) -> tuple[str, ...]:
    """What each q-ROI's counts say against it."""
    flags: list[str] = []
    for name, saturated, baseline, contrast in zip(
        tt.names, tt.saturated, tt.static_baseline, tt.contrast, strict=True
    ):
        if saturated:
            flags.append(f"q-ROI {name}: {saturated} pixels saturated at times, left out")
        if baseline - 1.0 > _UNEVEN * abs(contrast):
            flags.append(f"q-ROI {name}: uneven intensity adds {baseline - 1.0:.2g} to g2's baseline")
    return tuple(flags)


def _movement_flags(names: Sequence[str], motion: Sequence[MotionCheck], jumps: Sequence[JumpCheck]) -> tuple[str, ...]:
    """What moved, of sample, beam or detector."""
    said = [f"q-ROI {name}: {check.status}" for name, check in zip(names, motion, strict=False) if check.moved]
    said += [f"q-ROI {name}: {jump.words}" for name, one in zip(names, jumps, strict=False) for jump in one.jumps]
    return tuple(said)


def adopt(tt: TwoTime, notes: Sequence[str], scan: ScanInfo, settings: AnalysisConfig) -> ScanResult:
    """The record of two-time maps that were computed elsewhere: no frames, no ROIs on a detector, no counts.

    Args:
        tt: Maps with baseline 1 (``correlation.read_map``).
        notes: What was found and done while reading them; they become the record's flags.
        scan: What is known of the measurement.
        settings: Cell and shortest diagonal of S_noneq.
    """
    found = _measure(tt, settings, q_convention="unknown")
    unknown = np.full(len(tt.names), np.nan)
    nowhere = np.zeros((1, 1), dtype=np.int32)
    return ScanResult(
        scan=scan,
        rois=RoiSet(labels=nowhere, names=tt.names, q_par=unknown, q_z=unknown, flags=((),) * len(tt.names)),
        geometry=Geometry(shape=(1, 1)),
        two_time=tt,
        **found,
        mean_image=np.full((1, 1), np.nan, dtype=np.float32),
        mask=nowhere.astype(bool),
        excluded={"bad_frames": int((~tt.valid_frames).sum())},
        exclusions=Exclusions(),
        motion=(),
        flags=(*notes, *_movement_flags(tt.names, (), found["jumps"])),
        provenance=provenance(settings),
    )


def uid_of_content(content: bytes) -> str:
    """A uid for data that never were a Bluesky run: the same content, the same uid."""
    return str(uuid.uuid5(_NAMESPACE, hashlib.sha256(content).hexdigest()))
