"""What became of one run, as a row of the summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gbx_beamline.reprocessing._choosing import Job

if TYPE_CHECKING:
    from gbx_beamline.catalog import RecordSummary

Shares = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Reprocessed:
    """One run and rule: what was there, what is there now."""

    job: Job
    status: Literal["new record", "new inference", "there already", "failed", "to do"]
    reason: str = ""
    """Why it failed, or why no model was asked."""
    before: tuple[str, ...] = ()
    """Keys of the run's other records, oldest first."""
    record: str = ""
    """Key of the record with today's settings."""
    s_before: Shares = ()
    """S_noneq of each q-ROI in the newest other result: the corrected one, None where it was not measured."""
    s_now: Shares = ()
    model: str = ""
    """id of the model that was asked; empty where none was."""

    @property
    def failed(self) -> bool:
        """True where there is no result, or a model that was to be asked was not."""
        return self.status == "failed"


def shares(records: Sequence[RecordSummary]) -> Shares:
    """S_noneq of the newest result among ``records``, which come oldest first; nothing where there is none."""
    results = [record for record in records if not record.failed]
    if not results:
        return ()
    # Records of earlier releases may lack it.
    measured = [(roi.get("nonequilibrium") or {}).get("corrected") or {} for roi in results[-1].metadata["rois"]]
    return tuple(one.get("value") if one.get("status") == "ok" else None for one in measured)
