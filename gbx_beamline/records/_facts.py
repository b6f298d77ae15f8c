"""The numbers of an analysed scan without its arrays: enough to compare it with others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gbx_beamline.records._detector import Geometry
from gbx_beamline.records._kinetics import KineticsFit
from gbx_beamline.records._non_equilibrium import CorrectedS
from gbx_beamline.records._scan import ScanResult
from gbx_beamline.records._traces import Exposure


@dataclass(frozen=True, kw_only=True)
class RoiFacts:
    """Numbers of one q-ROI."""

    name: str
    q_par: float
    """1/m; NaN = not known."""
    q_z: float
    """1/m; NaN = not known."""
    contrast: float
    static_baseline: float
    """What g2 tends to without correlation."""
    cell: float
    """s per time cell of S_noneq, which belongs to its definition."""
    window: float
    """s that S_noneq spans."""
    corrected: CorrectedS | None
    """None where there are no pixel groups."""
    corrected_status: str
    """"ok", or why there is no corrected S_noneq."""
    fits: tuple[KineticsFit, ...]
    """Over the whole analysed segment, then in windows of age."""

    @property
    def whole(self) -> KineticsFit | None:
        """The fit over the whole analysed segment; None in records that have none."""
        return next((fit for fit in self.fits if fit.whole), None)


@dataclass(frozen=True, kw_only=True)
class ScanFacts:
    """One analysed scan without its arrays."""

    record: str
    """Key of the correlation record; empty where it is in no catalog."""
    run_uid: str
    sample: str | None
    temperature: float | None
    """K."""
    started: float | None
    """Unix time, s."""
    reference: str | None
    """What the run says that it is a reference of, e.g. "static"; None = it says nothing."""
    settings_hash: str
    frames: int
    """Rows of the maps."""
    frame_time: float
    """s per row."""
    span: float
    """s that was analysed."""
    geometry: Geometry
    exposure: Exposure | None
    moved: str
    """What moved, in words; empty = nothing seen."""
    rois: tuple[RoiFacts, ...]

    @property
    def dose_rate(self) -> float:
        """s of the full beam per s with beam: mean transmission x relative intensity; NaN = unknown."""
        exposure = self.exposure
        if exposure is None or not exposure.seconds > 0:
            return math.nan
        return exposure.full_beam / exposure.seconds

    @property
    def name(self) -> str:
        """By which people call it."""
        return self.run_uid[:8]


def words_of_motion(checks: Iterable[tuple[bool, str]]) -> str:
    """The status of the first motion check that saw any; empty where none did."""
    return next((status for moved, status in checks if moved), "")


def facts_of(result: ScanResult, *, record: str = "") -> ScanFacts:
    """The numbers of a result.

    Args:
        result: of ``analyze``.
        record: key of its record, where it is in a catalog.
    """
    tt, made_by = result.two_time, result.provenance
    first, last = result.analysed or (0, tt.g2.shape[-1])
    rois = [
        RoiFacts(
            name=name,
            q_par=float(result.rois.q_par[i]),
            q_z=float(result.rois.q_z[i]),
            contrast=result.nonequilibrium[i].contrast,
            static_baseline=float(tt.static_baseline[i]),
            cell=result.nonequilibrium[i].cell,
            window=result.nonequilibrium[i].window,
            corrected=result.nonequilibrium[i].corrected,
            corrected_status=result.nonequilibrium[i].corrected_status,
            fits=tuple(fit for fit in result.kinetics if fit.roi == i),
        )
        for i, name in enumerate(result.rois.names)
    ]
    return ScanFacts(
        record=record,
        run_uid=result.scan.run_uid,
        sample=result.scan.sample,
        temperature=result.scan.temperature,
        started=result.scan.started,
        reference=result.scan.reference,
        settings_hash=made_by.settings_hash or made_by.config_hash,
        frames=tt.g2.shape[-1],
        frame_time=tt.frame_time,
        span=(last - first) * tt.frame_time,
        geometry=result.geometry,
        exposure=result.exposure,
        moved=words_of_motion((check.moved, check.status) for check in result.motion),
        rois=tuple(rois),
    )
