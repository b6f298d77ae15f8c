"""The summary, a row for each run and rule, as cells for terminals and for Prefect's pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gbx_beamline.reprocessing._outcome import Reprocessed, Shares

COLUMNS = ("run", "rule", "old records", "record", "S old", "S new", "model", "status")


def cells(row: Reprocessed) -> tuple[str, ...]:
    """One row. S_noneq of all q-ROIs stands in one cell; of several old records the newest is named."""
    from gbx_beamline.catalog.schema import versions

    older = len(row.before) - 1
    before = f"{versions(row.before[-1])}{f' +{older}' if older else ''}" if row.before else ""
    return (
        row.job.run[:8],
        row.job.rule,
        before,
        versions(row.record) if row.record else "",
        _said(row.s_before),
        _said(row.s_now),
        row.model,
        row.status,
    )


def counted(rows: Sequence[Reprocessed]) -> str:
    """How many of each kind, in a line."""
    return ", ".join(f"{number} {status}" for status, number in Counter(row.status for row in rows).items())


def reasons(rows: Sequence[Reprocessed]) -> list[str]:
    """Why runs failed, a line each."""
    return [f"{row.job.run[:8]} ({row.job.rule}): {row.reason}" for row in rows if row.reason]


def _said(shares: Shares) -> str:
    return " ".join("–" if share is None else f"{share:.3f}" for share in shares)
