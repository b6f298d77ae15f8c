"""What the catalog says of scans, asked for by a plan as it moves a motor: never longer than it says it will wait."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ophyd.status import Status

from gbx_beamline.catalog import Catalog
from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError, InputError
from gbx_beamline.repeats import Aim, Judge, Judgement

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Between two looks into the catalog; one takes some 20 ms for each run that is waited for."""

NOT_ASKED = "the catalog has not been reached yet"

OpenCatalog = Callable[[], AbstractContextManager[Catalog]]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a plan asks."""

    uids: tuple[str, ...]
    """Runs, in the order in which they were taken."""
    aim: Aim
    overdue: frozenset[str] = frozenset()
    """Of these runs results are taken that are there, and not waited for."""
    timeout: float
    """s after which the answer is what is known by then."""

    def __post_init__(self) -> None:
        if not self.uids:
            raise InputError("a question about no run", needed="at least one uid", action="take a scan first")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise InputError(f"timeout {self.timeout!r}", needed="seconds > 0", action="correct the timeout")


@dataclass(frozen=True)
class Answer:
    """What is known at the end of the wait."""

    judgement: Judgement | None
    """What the results so far say; None where the catalog did not answer at all."""
    late: str
    """Why results that were waited for are absent; empty where all came, or a recorded reason why there is none."""

    @property
    def reached(self) -> bool:
        """Whether enough is known."""
        return self.judgement is not None and self.judgement.reached


class AnalysedScans:
    """Results of the analysis as something that a plan waits for, in threads of its own.

    ``set(Question(...))`` returns a Status that always finishes with success, at the latest after the question's
    timeout, whatever the catalog does: refuse, hang, die or come back at another address. ``answer`` holds what is
    known then. Nothing here blocks the RunEngine: the catalog is looked into in a thread, and a timer ends the wait.

    Args:
        open_catalog: Opens the catalog for the length of a ``with`` block. It is called anew after each trouble, in the
            thread.
        config: Its ``models`` say which model a posterior is of.
        name: Of the device.
    """

    parent = None

    def __init__(self, open_catalog: OpenCatalog, config: Config, *, name: str = "analysed_scans") -> None:
        self.name = name
        self.answer: Answer | None = None
        """To the latest question that was given up or answered."""
        self._open_catalog = open_catalog
        self._config = config
        self._judge: Judge | None = None
        self._first = ""
        """First run of the series that the judge knows: another series may be judged by another model."""
        # One thread at a time works with the judge; one that hangs in a dead connection is waited for by the next.
        self._working = threading.Lock()

    def set(self, value: Question) -> Status:
        """Look for the results of ``value`` until all are there or its time is over.

        Raises:
            InputError: anything else than a question.
        """
        if not isinstance(value, Question):
            raise InputError(f"{self.name} was told {value!r}", needed="a Question", action="set(Question(...))")
        self.answer = None
        wait = _Wait(self, value)
        wait.begin()
        return wait.status

    # What bluesky reads of anything that plans name; the results themselves are in the catalog.
    def read(self) -> dict[str, Any]:
        """Nothing to record."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Nothing to record."""
        return {}

    def look(self, question: Question, wait: _Wait) -> None:
        """Work of the thread: look until everything is there or nobody waits any more."""
        with self._working:
            if self._judge is None or (self._judge.aim, self._first) != (question.aim, question.uids[0]):
                self._judge, self._first = Judge(question.aim, self._config), question.uids[0]
            while not wait.over.is_set():
                try:
                    with self._open_catalog() as catalog:
                        self._watch(catalog, self._judge, question.uids, wait)
                except GbxError as error:
                    wait.trouble(str(error))
                except Exception as error:
                    # Whatever it is, a scan that waits for it must not be the one to find out.
                    if wait.trouble(f"{type(error).__name__}: {error}"):
                        logger.exception("the results could not be read")
                wait.over.wait(POLL_SECONDS)

    def _watch(self, catalog: Catalog, judge: Judge, uids: Sequence[str], wait: _Wait) -> None:
        while not wait.over.is_set():
            wait.know(judge.judge(catalog, uids))
            wait.over.wait(POLL_SECONDS)


class _Wait:
    """One question on its way to an answer; the first of thread and timer ends it."""

    def __init__(self, device: AnalysedScans, question: Question) -> None:
        self.status = Status()
        self.over = threading.Event()
        self._device = device
        self._question = question
        self._lock = threading.Lock()
        self._judgement: Judgement | None = None
        self._trouble = NOT_ASKED
        self._timer = threading.Timer(question.timeout, self._give_up)
        self._timer.daemon = True

    def begin(self) -> None:
        """Start thread and timer."""
        self._timer.start()
        threading.Thread(
            target=self._device.look, args=(self._question, self), name=f"gbx-{self._device.name}", daemon=True
        ).start()

    def know(self, judgement: Judgement) -> None:
        """What the results say now."""
        self._judgement, self._trouble = judgement, ""
        if judgement.reached or not self._awaited(judgement):
            self._end("")

    def trouble(self, said: str) -> bool:
        """What keeps the catalog from answering; True where it is news."""
        before, self._trouble = self._trouble, said
        return said != before

    def _give_up(self) -> None:
        seconds = f"within {self._question.timeout:g} s"
        if self._judgement is None or self._trouble:
            self._end(f"the catalog did not answer {seconds}: {self._trouble}")
            return
        missing = ", ".join(uid[:8] for uid in self._awaited(self._judgement))
        self._end(f"no result of {missing} {seconds}; is the analysis running (`gbx serve`, `gbx queue list`)?")

    def _awaited(self, judgement: Judgement) -> list[str]:
        return [uid for uid in judgement.pending if uid not in self._question.overdue]

    def _end(self, late: str) -> None:
        with self._lock:
            if self.over.is_set():
                return
            self.over.set()
        self._timer.cancel()
        self._device.answer = Answer(self._judgement, late)
        self.status.set_finished()
