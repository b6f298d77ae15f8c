"""Scans that people accepted for, or withdrew from, the maps that models are compared with.

::

    processed/
      accepted/<run uid>-<number>      a mark (``catalog/marks.py``) that says ``accepted``

Most scans need no mark: a rule accepts them. A mark wins over the rule, either way.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiled.structures.core import Spec

from gbx_beamline.catalog.connect import Catalog
from gbx_beamline.catalog.marks import Mark, add_mark, in_words, newest_marks
from gbx_beamline.catalog.read import find_record
from gbx_beamline.errors import InputError, RunNotFoundError

ACCEPTED = "accepted"

_SPEC = Spec("XPCSAcceptedMark", "1.0")


@dataclass(frozen=True)
class Acceptance:
    """What a person said of one run."""

    run_uid: str
    accepted: bool
    """False: withdrawn."""
    why: str
    """Who, when and why, in words."""


def mark_accepted(catalog: Catalog, uid: str, *, accepted: bool = True, by: str, note: str) -> str:
    """Accept an analysed scan, or withdraw it, whatever the rule says of it.

    Args:
        catalog: Where its result is.
        uid: Of the run, or the start of it.
        accepted: False withdraws it.
        by: Who says so.
        note: Why.

    Returns:
        uid of the run, whole.

    Raises:
        InputError: no reason.
        RunNotFoundError: no such run, or one that could not be analysed.
        CatalogError: the catalog is unreachable, or takes no marks.
    """
    if not note.strip():
        raise InputError("no reason", needed="why, for whoever reads it later", action="add --why TEXT")
    record = find_record(catalog, uid)
    if accepted and record.failed:
        raise RunNotFoundError(
            f"run {record.run_uid[:8]} was not analysed: {record.metadata['reason']}",
            needed="a scan with a result",
            action="mend what is said, analyse it again, then accept it",
        )
    tags = record.metadata["access_tags"]
    said = {"accepted": accepted}
    add_mark(catalog, ACCEPTED, record.run_uid, said, by=by, note=note.strip(), spec=_SPEC, access_tags=tags)
    return record.run_uid


def acceptances(catalog: Catalog) -> dict[str, Acceptance]:
    """What people said last, by run uid."""
    return {uid: _said(mark) for uid, mark in newest_marks(catalog, ACCEPTED).items()}


def _said(mark: Mark) -> Acceptance:
    verb = "accepted" if mark["accepted"] else "withdrawn"
    return Acceptance(run_uid=mark["run_uid"], accepted=bool(mark["accepted"]), why=in_words(mark, verb))
