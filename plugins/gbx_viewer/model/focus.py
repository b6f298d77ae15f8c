"""Which run is on screen: the newest one, or the one that a person pinned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gbx_viewer.model.runs import RunRow, Status


@dataclass(frozen=True)
class Wanted:
    """What is to be shown of a run. One of the three is given."""

    record: str = ""
    """Key of the final record."""
    live: tuple[str, str] | None = None
    """uid and rule of a live record."""
    message: str = ""
    """Why there is neither."""


class Focus:
    """Follows the newest run until a person chooses another one."""

    def __init__(self) -> None:
        self.following = True
        self.uid = ""

    def pin(self, uid: str) -> None:
        """Stay at this run."""
        self.following, self.uid = False, uid

    def follow(self) -> None:
        """Go with the newest run again."""
        self.following = True

    def settle(self, rows: Sequence[RunRow]) -> RunRow | None:
        """The run to be shown of these, newest first; None without any.

        A run that has nothing to show yet does not take the screen from one that has.
        """
        by_uid = {row.uid: row for row in rows}
        if self.following or self.uid not in by_uid:
            newest = next((row for row in rows if _says_something(row)), rows[0] if rows else None)
            if self.following or not self.uid:
                self.uid = newest.uid if newest is not None else ""
        return by_uid.get(self.uid)


def wanted(row: RunRow) -> Wanted:
    """What is to be shown of a run."""
    if row.status is Status.ANALYSED:
        return Wanted(record=row.record)
    if row.status is Status.FAILED:
        return Wanted(message=f"This scan was not analysed.\n\n{row.why}")
    if row.status is Status.UNREADABLE:
        return Wanted(message=row.why)
    if row.live is not None and row.live.frames:
        return Wanted(live=(row.uid, row.live.rule))
    if row.status is Status.STALE:
        return Wanted(message=f"This scan has not ended, and nothing comes any more: {row.why}.")
    if row.status is Status.RUNNING:
        return Wanted(
            message="This scan is running. Its map appears here while it runs where `gbx serve` has "
            "serve.live.enabled, else when it is analysed."
        )
    return Wanted(message=f"This scan waits for its analysis. {row.why}".strip())


def _says_something(row: RunRow) -> bool:
    return bool(row.record) or (row.live is not None and row.live.frames > 0)
