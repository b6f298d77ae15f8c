"""Captions: what a figure shows, and which runs, settings and models it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbx_beamline.errors import RoiError
from gbx_beamline.figures import words
from gbx_beamline.figures.paper._scans import PaperScan

if TYPE_CHECKING:
    from gbx_beamline.figures.paper._pages import PaperSources
    from gbx_beamline.learning.evaluation import EvaluationReport


@dataclass(frozen=True)
class Caption:
    """Two forms of the same."""

    short: str
    """On the page."""
    full: str
    """In captions.md, Markdown, with every uid and hash in full."""


NOT_EVALUATED = Caption(
    short="",
    full="Not drawn: no model of this store was asked about virtual experiments. `gbx evaluate default` does it "
    "(an hour and a half the first time, when it simulates the experiments), then repeat this command.",
)
NOT_INFERRED = Caption(
    short="",
    full="Not drawn: no model has judged these scans. `gbx analyze UID` or `gbx reprocess` asks one, then repeat this "
    "command.",
)


def made_by(sources: PaperSources) -> str:
    """First line of the captions."""
    return f"Made by `gbx figures paper`, GBX {sources.package_version}, from {sources.catalog}."


def measured(scans: Sequence[PaperScan], roi: str, *, left_out: int) -> Caption:
    """Of Fig. 2's counterpart."""
    what = (
        f"Two-time correlation of q-ROI {roi} over temperature, its drift (Eq. 2), cuts at five ages, S_noneq (Eq. 3) "
        "as a ratio of norms, amplitude of the drift, and one-time g2."
    )
    missing = f" {left_out} further scans lack this q-ROI." if left_out else ""
    return Caption(
        short=f"{what}{missing} Runs {_short_runs(scans)}; settings {_listed(_hashes(scans))}; {_algorithm(scans)}.",
        full=f"{what}{missing}\n\n{_table(scans)}",
    )


def simulated(sources: PaperSources, what: str) -> Caption:
    """Of Fig. 3's counterparts."""
    ensemble = sources.ensemble
    origin = "; ".join(f"{name} {value}" for name, value in sources.ensemble_origin.items())
    said = (
        f"{what}. {len(ensemble.members):,} members, {ensemble.mode} mode, q∥ {words.number(ensemble.q * 1e-10)} 1/Å."
    )
    return Caption(short=f"{said} Ensemble: {origin}.", full=f"{said}\n\nEnsemble: {origin}.")


def judged(reports: Sequence[EvaluationReport]) -> Caption:
    """Of Fig. 4a-c's counterpart."""
    what = "Models on virtual experiments of known truth (counterpart of Fig. 4a-c, and the truth below)."
    models = ", ".join(report.model_id for report in reports)
    suites = ", ".join(dict.fromkeys(f"{name} {key}" for report in reports for name, key in report.suites.items()))
    return Caption(short=f"{what} Models {models}.", full=f"{what}\n\nModels: {models}. Suites: {suites}.")


def inferred(sources: PaperSources) -> Caption:
    """Of Fig. 4's counterpart for measured scans."""
    scans = sources.scans
    models = _listed(scan.inference.model_id for scan in scans if scan.inference is not None)
    window = words.duration(sources.ensemble.window)
    what = (
        f"D, γ = 1/M and λ_GB of each scan with 90 % intervals, over the √S_noneq of {len(sources.ensemble.members):,} "
        f"simulated members without measurement noise (q∥ {words.number(sources.ensemble.q * 1e-10)} 1/Å, window "
        f"{window}, T together: the scans' own may differ)."
    )
    return Caption(
        short=f"{what} Model {models}. Runs {_short_runs(scans)}; settings {_listed(_hashes(scans))}.",
        full=f"{what}\n\n{_table(scans)}",
    )


def no_such_roi(roi: str, scans: Sequence[PaperScan]) -> RoiError:
    """No scan has this q-ROI."""
    there = _listed(words.roi_name(scan.result.rois, index) for scan in scans for index in range(len(scan.result.rois)))
    return RoiError(f"no scan has a q-ROI {roi!r}", needed=f"one of {there}", action="name one of them with --roi")


def _short_runs(scans: Sequence[PaperScan]) -> str:
    return ", ".join(f"{scan.result.scan.run_uid[:8]} ({words.kelvin(scan.result.scan)})" for scan in scans)


def _hashes(scans: Sequence[PaperScan]) -> Iterable[str]:
    return (scan.result.provenance.config_hash for scan in scans)


def _algorithm(scans: Sequence[PaperScan]) -> str:
    return f"algorithm version {_listed(scan.result.provenance.algorithm_version for scan in scans)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _table(scans: Sequence[PaperScan]) -> str:
    rows = [
        "| T | run uid | settings | algorithm, schema | GBX | model | record |",
        "|---|---|---|---|---|---|---|",
    ]
    for scan in scans:
        by = scan.result.provenance
        model = "none" if scan.inference is None else scan.inference.model_id
        rows.append(
            f"| {scan.temperature:.1f} K | `{scan.result.scan.run_uid}` | `{by.config_hash}` | "
            f"{by.algorithm_version}, {by.schema_version} | {by.package_version} | `{model}` | `{scan.key}` |"
        )
    return "\n".join(rows)
