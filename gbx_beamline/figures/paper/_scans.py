"""Which scans of a catalog the figures show: one sample, the newest result at each temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gbx_beamline.catalog import (
    Catalog,
    InferenceSummary,
    RecordSummary,
    find_inferences,
    find_records,
    load_inference,
    load_record,
)
from gbx_beamline.errors import InputError
from gbx_beamline.figures.reduction import at_one_temperature
from gbx_beamline.records import READABLE_SCHEMAS, Inference, ScanInference, ScanResult

MOST_SCANS = 12
"""Temperatures that a page has room for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperScan:
    """One scan, and what a model says of it."""

    key: str
    """Of its correlation record."""
    result: ScanResult
    inference: ScanInference | None
    """None where no model was asked."""

    @property
    def temperature(self) -> float:
        """K."""
        assert self.result.scan.temperature is not None
        return self.result.scan.temperature

    @property
    def answer(self) -> Inference | None:
        """The posterior; None where no model was asked, or it refused."""
        outcome = None if self.inference is None else self.inference.outcome
        return outcome if isinstance(outcome, Inference) else None

    def truth(self, name: str) -> float | None:
        """What a simulated run was made with: a parameter in SI, or None."""
        truth: dict[str, Any] = dict(self.result.scan.truth or {})
        if truth.get("mobility"):
            truth["gamma"] = 1.0 / truth["mobility"]
        value = truth.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def paper_scans(catalog: Catalog, *, sample: str | None = None, model: str | None = None) -> list[PaperScan]:
    """The newest result of one sample at each temperature, coldest first.

    Args:
        catalog: where to look.
        sample: whose scans; None = of the sample measured at most temperatures, the newest of equals.
        model: id of the model whose answers count; None = of each scan the newest answer.

    Raises:
        InputError: no result that has a temperature, or none of this sample.
    """
    # Static references and frames with something done to them are no measurements of a sample.
    records = [one for one in find_records(catalog, sample=sample) if _usable(one, named=sample is not None)]
    if not records:
        of = "" if sample is None else f" of the sample {sample!r}"
        raise InputError(
            f"no result{of} with a temperature in {catalog.uri}",
            needed="at least one analysed scan whose temperature is known",
            action="see `gbx results`; `gbx demo` measures four scans, `gbx analyze UID` analyses one",
        )
    chosen = sample or _richest(records)
    at_hand = [one for one in records if one.metadata["sample"] == chosen]
    said = find_inferences(catalog, sample=chosen)
    return [_loaded(catalog, record, said, model) for record in _newest_by_temperature(at_hand)]


def _usable(record: RecordSummary, *, named: bool) -> bool:
    meta = record.metadata
    readable = meta["schema_version"] in READABLE_SCHEMAS and not record.failed and meta["temperature"] is not None
    if named or not readable:
        return readable
    return bool(meta["sample"]) and "[" not in meta["sample"] and meta["scan"].get("reference") is None


def _richest(records: Sequence[RecordSummary]) -> str:
    def temperatures(sample: str) -> tuple[int, float]:
        own = [one for one in records if one.metadata["sample"] == sample]
        return len(_newest_by_temperature(own)), max(one.metadata["created"] for one in own)

    return max(dict.fromkeys(one.metadata["sample"] for one in records), key=temperatures)


def _newest_by_temperature(records: Sequence[RecordSummary]) -> list[RecordSummary]:
    steps = at_one_temperature(np.array([one.metadata["temperature"] for one in records], dtype=np.float64))
    newest = [max((records[index] for index in step), key=lambda one: one.metadata["created"]) for step in steps]
    if len(newest) <= MOST_SCANS:
        return newest
    return [newest[index] for index in np.round(np.linspace(0, len(newest) - 1, MOST_SCANS)).astype(int)]


def _loaded(catalog: Catalog, record: RecordSummary, said: Sequence[InferenceSummary], model: str | None) -> PaperScan:
    result = load_record(catalog, record.key)
    assert isinstance(result, ScanResult), "failures are left out before"
    answers = [one for one in said if one.record == record.key and model in (None, one.model_id)]
    inference = load_inference(catalog, answers[-1].key) if answers else None
    return PaperScan(key=record.key, result=result, inference=inference)
