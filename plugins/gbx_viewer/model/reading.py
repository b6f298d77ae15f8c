"""From records of the catalog, live or final, to what panels show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.catalog import Catalog, RecordParts
from gbx_beamline.catalog.live import live_key
from gbx_beamline.correlation.diagonals import by_lag, lag_means
from gbx_beamline.errors import CatalogError, GbxError
from gbx_beamline.figures import words
from gbx_beamline.figures.panels import fitted
from gbx_beamline.figures.reduction import log_spaced
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import DecayFit, Floats, LiveState
from gbx_viewer.model.facts import RoiFacts, roi_facts
from gbx_viewer.model.scan import Decay, Gap, LiveArrays, MapKind, ScanView, TimeMap, Trace

_ANALYSED = ("beam", "hold")
"""Kinds of segments whose frames take part."""

_CONVENTIONS = {
    "ratio_of_sums": "ratio of sums",
    "pychx": "mean of ratios (as pyCHX)",
}


def read_scan(catalog: Catalog, key: str) -> ScanView:
    """A final record without its maps.

    Args:
        catalog: Where it is.
        key: Of the record.

    Raises:
        GbxError: no such record, a failure, another schema; the reason is for the screen.
    """
    parts = RecordParts(catalog, key)
    facts = parts.metadata
    frame_means, absent = _frame_means(parts)
    step = float(facts["frame_time"])
    frames = int(facts["frames"])
    names = tuple(roi["name"] or f"q-ROI {i + 1}" for i, roi in enumerate(facts["rois"]))
    valid = _optional(parts, "valid_frames", np.ones(frames, dtype=bool))
    made_by = parts.provenance
    return ScanView(
        key=key,
        live=None,
        parts=parts,
        revision=0,
        state="final",
        reason="",
        scan=parts.scan,
        frames=frames,
        expected=frames,
        frame_time=step,
        rois=tuple(_final_roi(name, roi) for name, roi in zip(names, facts["rois"], strict=True)),
        names=names,
        frame_means=frame_means,
        step=step,
        gaps=_gaps(facts, valid, step),
        traces=_traces(parts),
        flags=(*absent, *facts["flags"]),
        geometry=parts.geometry,
        fits=parts.fits,
        kinetics=parts.kinetics,
        made_by={
            "record": key,
            "release": made_by.package_version,
            "algorithm": made_by.algorithm_version,
            "settings": made_by.config_hash,
            "rule": made_by.rule or "asked for by a person",
        },
    )


def live_view(state: LiveState) -> ScanView:
    """A running scan as its live record tells it."""
    rois = tuple(
        roi_facts(
            {
                "name": name,
                "q_par": state.q_par[i],
                "q_z": state.q_z[i],
                "pixels": int(state.pixels[i]),
                "mean_counts": state.mean_counts[i],
                "contrast": state.contrast[i],
            }
            | _share(state, i)
        )
        for i, name in enumerate(state.names)
        if i < len(state.contrast)
    )
    return ScanView(
        key=live_key(state.scan.run_uid, state.rule),
        live=LiveArrays(
            two_time=state.two_time,
            frames_per_cell=state.frames_per_cell,
            image=state.image,
            image_pixels=state.image_pixels,
            image_frame=state.image_frame,
        ),
        revision=state.revision,
        state=state.state,
        reason=state.reason,
        scan=state.scan,
        frames=state.frames,
        expected=state.expected,
        frame_time=state.frame_time,
        rois=rois,
        names=state.names,
        frame_means=state.frame_means,
        step=state.frame_time,
        gaps=(),
        traces=(),
        flags=state.flags,
        geometry=state.geometry,
    )


def read_map(catalog: Catalog | None, view: ScanView, index: int, kind: MapKind) -> TimeMap:
    """One map of a scan.

    Args:
        catalog: Where its record is; None is enough for a live one.
        view: The scan.
        index: q-ROI.
        kind: The correlation, or its drift.

    Raises:
        GbxError: the map is absent, or the catalog cannot be read.
    """
    roi = view.roi(index)
    contrast = math.nan if roi is None else roi.contrast
    if view.live is not None:
        return _live_map(view, index, kind, contrast)
    parts = opened(catalog, view)
    facts = parts.metadata["rois"][index]
    if kind == "drift":
        measured = facts["nonequilibrium"]
        if measured["status"] != "ok":
            raise CatalogError(
                f"no drift of this q-ROI: {measured['status']}", needed="a measured drift", action="choose another one"
            )
        values = parts.array("drift", index).astype(np.float32, copy=False)
        cell, per_cell, diagonal = measured["cell"], measured["frames_per_cell"], "left out of the measure"
    else:
        values = parts.array("two_time", index).astype(np.float32)
        diagonal = _clean_diagonal(parts, index, values)
        cell, per_cell = view.frame_time, int(parts.metadata["frames_per_cell"])
    return TimeMap(
        kind=kind,
        values=values,
        cell=float(cell),
        frames_per_cell=int(per_cell),
        contrast=contrast,
        baseline=_baseline(facts),
        diagonal=diagonal,
    )


def read_decay(catalog: Catalog | None, view: ScanView, index: int) -> Decay | None:
    """One-time g2 of a q-ROI; None where there is none yet.

    Raises:
        GbxError: arrays are absent, or the catalog cannot be read.
    """
    if view.live is not None:
        return _live_decay(view, index)
    parts = opened(catalog, view)
    tau, g2, error = parts.array("tau"), parts.array("one_time", index), parts.array("one_time_error", index)
    shown = log_spaced(tau, np.isfinite(g2))
    if not shown.size:
        return None
    curve, said = _fit_of(view, index, tau[shown])
    convention = str(parts.metadata["one_time_convention"])
    return Decay(
        tau=tau[shown],
        g2=g2[shown],
        error=error[shown],
        fitted=curve,
        said=said,
        convention=_CONVENTIONS.get(convention, convention),
    )


def opened(catalog: Catalog | None, view: ScanView) -> RecordParts:
    """The record of a scan, which was opened as the scan was read, over this connection.

    Raises:
        GbxError: no catalog, or no such record.
    """
    if catalog is None:
        raise CatalogError("a final record", needed="its catalog", action="open it")
    return RecordParts(catalog, view.key) if view.parts is None else view.parts.over(catalog)


def _share(state: LiveState, index: int) -> dict[str, Any]:
    if index >= len(state.shares):
        return {"corrected_status": "not measured yet: the scan is too short"}
    share = state.shares[index]
    return {
        "s_noneq": share.s_noneq,
        "s_noneq_norm": share.s_noneq_norm,
        "bare_drift": share.drift_rms_over_contrast,
        "drift": share.drift_rms_over_contrast_corrected
        if math.isfinite(share.drift_rms_over_contrast_corrected)
        else None,
        "corrected_status": share.corrected_status,
        "value": share.s_noneq_corrected,
        "low": share.low,
        "high": share.high,
    }


def _final_roi(name: str, roi: Mapping[str, Any]) -> RoiFacts:
    measured = roi["nonequilibrium"]
    corrected = measured["corrected"] or {}
    return roi_facts(
        {
            "name": name,
            "q_par": roi["q_par"],
            "q_z": roi["q_z"],
            "pixels": roi["pixels"],
            "mean_counts": roi["mean_counts"],
            "contrast": measured["contrast"],
            "s_noneq": measured["s_noneq"],
            "s_noneq_norm": measured["s_noneq_norm"],
            "bare_drift": measured["drift_rms_over_contrast"],
            "drift": corrected.get("drift_rms_over_contrast"),
            "corrected_status": measured["corrected_status"],
            "value": corrected.get("value"),
            "low": corrected.get("low"),
            "high": corrected.get("high"),
            "by_age": corrected.get("by_age"),
        }
    )


def _frame_means(parts: RecordParts) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Counts of the frames, or what to say where the array is absent: no reason to show nothing at all."""
    try:
        return parts.array("frame_means"), ()
    except GbxError as error:
        return np.empty((0, 0)), (error.found,)


def _traces(parts: RecordParts) -> tuple[Trace, ...]:
    """What was measured beside the frames; nothing where the record holds none or lost it."""
    try:
        found = parts.traces()
    except GbxError:
        return ()
    if found is None:
        return ()
    return tuple(
        Trace(
            name=one.name.replace("_", " "),
            unit="" if one.unit == "1" else one.unit,
            time=found.time,
            values=one.values,
        )
        for one in found.traces
    )


def _optional(parts: RecordParts, name: str, otherwise: NDArray[Any]) -> NDArray[Any]:
    try:
        return parts.array(name)
    except GbxError:
        return otherwise


def _gaps(facts: Mapping[str, Any], valid: NDArray[np.bool_], step: float) -> tuple[Gap, ...]:
    """Segments without beam, and further frames that were left out, joined where they follow each other."""
    segments = [
        Gap(
            start=part["start_time"],
            stop=part["stop_time"],
            why=": ".join(filter(None, (part["kind"], part.get("reason")))),
        )
        for part in facts["exclusions"]["segments"]
        if part["kind"] not in _ANALYSED
    ]
    edges = np.flatnonzero(np.diff(np.concatenate([[True], valid, [True]]).astype(np.int8)))
    bad = [
        Gap(start=float(start * step), stop=float(stop * step), why="frames left out")
        for start, stop in edges.reshape(-1, 2)
    ]
    inside = [gap for gap in bad if not any(one.start <= gap.start and gap.stop <= one.stop for one in segments)]
    return tuple(sorted([*segments, *inside], key=lambda gap: gap.start))


def _baseline(roi: Mapping[str, Any]) -> float:
    value = roi.get("static_baseline")
    return 1.0 if value is None else float(value)


def _clean_diagonal(parts: RecordParts, index: int, values: NDArray[np.float32]) -> str:
    """Put the diagonal without shot noise into a map; how, in words."""
    try:
        np.fill_diagonal(values, parts.array("diagonal", index))
    except GbxError:
        np.fill_diagonal(values, np.nan)
        return "left out: the record lacks it"
    counted = parts.metadata["rois"][index]["mean_counts"] is not None
    return "free of shot noise (factorial moment)" if counted else "from its neighbours"


def _live_map(view: ScanView, index: int, kind: MapKind, contrast: float) -> TimeMap:
    assert view.live is not None
    maps, per_cell = view.live.two_time, view.live.frames_per_cell
    if index >= len(maps) or not maps[index].size:
        raise CatalogError("no map so far", needed="the first correlated frames", action="wait for the next data file")
    values, cell, diagonal = maps[index], view.frame_time * per_cell, "left out"
    if kind == "drift":
        if len(values) < 3:
            raise CatalogError("too few frames for a drift", needed="three time cells", action="wait for more frames")
        measured = nonequilibrium(values, frame_time=cell)
        if measured.status != "ok":
            raise CatalogError(f"no drift so far: {measured.status}", needed="more frames", action="wait for them")
        values, cell = measured.drift, measured.cell
        per_cell = per_cell * measured.frames_per_cell
    return TimeMap(
        kind=kind,
        values=values,
        cell=cell,
        frames_per_cell=per_cell,
        contrast=contrast,
        baseline=1.0,
        diagonal=diagonal,
    )


def _live_decay(view: ScanView, index: int) -> Decay | None:
    assert view.live is not None
    maps = view.live.two_time
    if index >= len(maps) or len(maps[index]) < 3:
        return None
    mean, _pairs = lag_means(by_lag(maps[index]))
    tau = np.arange(len(mean), dtype=np.float64) * (view.frame_time * view.live.frames_per_cell)
    shown = log_spaced(tau, np.isfinite(mean))
    if not shown.size:
        return None
    return Decay(
        tau=tau[shown],
        g2=mean[shown],
        error=np.full(shown.size, np.nan),
        fitted=None,
        said="so far; fits come with the final record",
        convention="mean along the map's diagonals",
    )


def _fit_of(view: ScanView, index: int, tau: Floats) -> tuple[tuple[Floats, Floats] | None, str]:
    """The record's stretched exponential, else its simple one, as a curve and in words."""
    fine = np.geomspace(tau[0], max(tau[-1], 1.001 * tau[0]), 160)
    for one in view.kinetics:
        if one.roi == index and one.whole and one.status == "ok":
            unit, name = words.time_unit(one.relaxation_time)
            error = one.errors.get("relaxation_time")
            width = f" ± {words.number(error / unit, 2)}" if error else ""
            held = " (held)" if one.errors.get("exponent") is None else ""
            said = (
                f"stretched: τ = {words.number(one.relaxation_time / unit)}{width} {name}, "
                f"exponent {words.number(one.exponent, 2)}{held}"
            )
            stretched = one.baseline + one.contrast * np.exp(-2.0 * (fine / one.relaxation_time) ** one.exponent)
            return (fine, stretched), said
    fit: DecayFit | None = view.fits[index] if index < len(view.fits) else None
    if fit is None or fit.status != "ok":
        return None, f"no fit: {fit.status if fit else 'none stored'}"
    said = f"simple: τ = {words.relaxation_time(fit)}" if fit.rate > 0 else "no decay in the fit"
    return (fine, fitted(fit, fine)), said
