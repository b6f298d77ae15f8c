"""Figures of evaluations, families side by side, and the numbers that are drawn in them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gbx_beamline.errors import InputError
from gbx_beamline.figures._evaluation_calibration import calibration_page
from gbx_beamline.figures._evaluation_families import families_page
from gbx_beamline.figures._evaluation_robustness import robustness_page
from gbx_beamline.figures._evaluation_truth import truth_page
from gbx_beamline.figures.saving import save, write_whole
from gbx_beamline.learning.evaluation import EvaluationReport
from gbx_beamline.learning.evaluation.answers import to_u
from gbx_beamline.learning.evaluation.report import ONE
from gbx_beamline.learning.evaluation.truth import ParameterTruth
from gbx_beamline.records import PARAMETERS

__all__ = ["calibration_page", "families_page", "robustness_page", "save_evaluation_figures", "truth_page"]

_COLUMNS = ("family", "view", "range", "shots", "samples", "refused", "parameter", *ParameterTruth.__dataclass_fields__)


def save_evaluation_figures(
    reports: Sequence[EvaluationReport], folder: Path, *, overwrite: bool = False
) -> list[Path]:
    """Draw evaluations.

    Args:
        reports: of families on the same suites, "truth" among them, in the order they are to stand.
        folder: made when absent.
        overwrite: True replaces files that are there.

    Returns:
        Paths written: ``families.png`` (as the paper's Fig. 4a-c, and the truth) with ``answers.csv`` (a row per shot
        and family), ``truth.png`` and ``robustness.png`` with ``truth.csv`` (a row per family, range and parameter),
        ``doubts.csv``, and ``calibration_<family>.png`` for every family that gives posterior samples.

    Raises:
        InputError: no report on the truth suite, a file already there, or a folder that cannot be written.
    """
    if not reports or any(ONE not in report.views for report in reports):
        raise InputError(
            f"{len(reports)} evaluations, not all of them on the truth suite",
            needed="at least one, each on the truth suite",
            action="evaluate the models on it",
        )
    calibrated = [report for report in reports if report.ranks()]
    pages = {
        "families.png": lambda: families_page(reports),
        "truth.png": lambda: truth_page(reports),
        "robustness.png": lambda: robustness_page(reports),
        **{
            f"calibration_{_file_name(report.family)}.png": (lambda report=report: calibration_page(report))
            for report in calibrated
        },
    }
    tables = {"answers.csv": _answers(reports), "truth.csv": _truths(reports), "doubts.csv": _doubts(reports)}
    paths = [folder / name for name in (*pages, *tables)]
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError(
                f"{path} exists already", needed="a free name", action="choose another folder, or ask to overwrite it"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in pages.items():
        save(draw(), folder / name, overwrite=overwrite)
    for name, rows in tables.items():
        write_whole(_csv(rows), folder / name, overwrite)
    return paths


def _answers(reports: Sequence[EvaluationReport]) -> Iterator[tuple[Any, ...]]:
    """Every shot of the truth suite with one q-ROI: in log10 D, log10 gamma and lambda."""
    measures = ("true", "median", "low", "high", "bound")
    parameters = tuple(f"{measure}_{name}" for name in PARAMETERS for measure in measures)
    measured = ("sqrt_s_measured", "sqrt_s_corrected", "sqrt_s_answer")
    yield ("family", "shot", "sample", "temperature_K", *parameters, *measured, "flags", "refused")
    for report in reports:
        answers = report.views[ONE]
        values = [to_u(getattr(answers, name)) for name in ("truth", "median", "low", "high")] + [answers.bound]
        for place in range(len(answers)):
            yield (
                report.family,
                int(answers.number[place]),
                int(answers.group[place]),
                float(answers.temperature[place]),
                *(float(value[place, column]) for column in range(len(PARAMETERS)) for value in values),
                *(float(each[place]) for each in (answers.measured_s, answers.corrected_s, answers.answer_s)),
                " ".join(answers.flags[place]),
                answers.refused[place],
            )


def _truths(reports: Sequence[EvaluationReport]) -> Iterator[tuple[Any, ...]]:
    yield _COLUMNS
    for report in reports:
        rows = [(view, row) for view in report.views for row in report.truth(view)]
        rows += [("severities", row) for _, row in report.by_severity()]
        rows += [("outside", row) for row in report.by_effect()]
        for view, row in rows:
            for parameter, values in row.parameters.items():
                facts = (report.family, view, row.name, row.shots, row.groups, row.refused, parameter)
                yield (*facts, *asdict(values).values())


def _doubts(reports: Sequence[EvaluationReport]) -> Iterator[tuple[Any, ...]]:
    yield ("family", "kind", "shots", "refused", "doubted", "flagged")
    for report in reports:
        for kind, rates in report.doubts().items():
            yield (report.family, kind, *asdict(rates).values())


def _csv(rows: Iterator[tuple[Any, ...]]) -> bytes:
    """A table with one header line; what is not known is left blank."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if isinstance(value, float) and not math.isfinite(value) else value for value in row])
    return buffer.getvalue().encode()


def _file_name(family: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", family.lower()).strip("_")
