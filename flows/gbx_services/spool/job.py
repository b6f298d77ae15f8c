"""One piece of work, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

UNSELECTED = ""
"""In place of a rule's name: a finished run that no rule was held against yet."""


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    """For its turn, or for the time of its next try."""
    HANDED_OVER = "handed over"
    """A flow run has it."""
    DONE = "done"
    """There is a record, or nothing to do; ``Job.reason`` says which."""
    PARKED = "parked"
    """Given up after several tries, until a person says `gbx queue retry`."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to analyse as one selection rule says. Times are Unix times, s."""

    run: str
    """uid of the run."""
    rule: str
    """Name of the rule; ``UNSELECTED`` before the rules were looked at."""
    state: State
    tries: int
    """That ended without a record and were the scan's own fault, as far as one can tell."""
    handovers: int
    """How often a dispatcher took it. Whoever holds an older number has lost it to another."""
    due: float
    """Of the next try while it waits; end of the dispatcher's claim while it is handed over."""
    reason: str
    """Of the last trouble, or of why nothing is to be done."""
    source: str
    """Who reported the run first."""
    stopped: float | None
    """Time of the stop document, where known."""
    added: float
    changed: float
    handle: str | None
    """Of the flow run."""
    record: str | None
    """Key of the record in the catalog."""
    again: bool
    """True where a recorded failure is to be analysed again."""

    @property
    def selected(self) -> bool:
        """True once a rule has it."""
        return self.rule != UNSELECTED


@dataclass(frozen=True)
class Pause:
    """Analysis is switched off; runs are collected all the same."""

    reason: str
    since: float
    """Unix time, s."""
