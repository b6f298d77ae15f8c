"""Jobs become flow runs, a few at a time; a job is done when the catalog has its record, whatever a flow run says."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from gbx_beamline import assemble, pipeline
from gbx_beamline.catalog import Catalog, RecordSummary, TiledSink, find_for_rule
from gbx_beamline.config import Config
from gbx_beamline.errors import (
    CatalogError,
    CatalogUnreachableError,
    ConfigError,
    GbxError,
    InputError,
    RunNotFoundError,
    RunUnfinishedError,
    ServiceError,
)
from gbx_services.dispatch.flow_runs import FlowRuns, FlowState
from gbx_services.spool import Backoff, Job, Spool, State
from gbx_services.sweep import SECONDS_A_DAY, time_of, wanting_rules

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120.0
"""After which another dispatcher may take over the jobs of one that is silent."""

UNSELECTED_AT_ONCE = 50

_DOCUMENTS = Backoff(first=0.3, longest=300.0)
"""Patience with a run whose documents are on their way to the catalog."""

_SERVERS = Backoff(first=2.0, longest=60.0)
"""Patience with Prefect and the catalog."""

_OF_THE_CATALOG = (CatalogUnreachableError.__name__, CatalogError.__name__)

_ERROR_NAME = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Exit|Interrupt))\b")


class Observer(Protocol):
    """Is told what happens, for metrics."""

    def handed_over(self, job: Job) -> None:
        """A flow run has the job."""
        ...

    def done(self, job: Job, record: RecordSummary) -> None:
        """The catalog has its record, a result or a reasoned failure."""
        ...

    def failed(self, job: Job, kind: str) -> None:
        """A try ended without a record; ``kind`` names the error in one word."""
        ...

    def parked(self, job: Job, kind: str) -> None:
        """The last try ended without a record."""
        ...


@dataclass
class Trouble:
    """What keeps the dispatcher from its work at the moment; empty where nothing does."""

    catalog: str = ""
    prefect: str = ""


class Dispatcher:
    """Works on a spool, step by step, in one thread.

    Args:
        spool: The queue.
        config: Rules, tries, concurrency.
        catalog: Opens the catalog; kept open between steps by whoever provides it.
        flow_runs: Carries out analyses.
        observer: Is told what happens.
        hung: Called when an analysis takes longer than it may: ends whatever carries it out.
        clock: Unix time, s.
    """

    def __init__(
        self,
        spool: Spool,
        config: Config,
        catalog: Callable[[], AbstractContextManager[Catalog]],
        flow_runs: FlowRuns,
        observer: Observer,
        *,
        hung: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._config = config
        self._catalog = catalog
        self._flow_runs = flow_runs
        self._observer = observer
        self._hung = hung
        self._clock = clock
        retry = config.serve.retry
        self._backoff = Backoff(retry.first_s, retry.longest_s)
        self.trouble = Trouble()

    def step(self) -> bool:
        """Look after what was handed over, hold rules against new runs, hand over what is due.

        Returns:
            True where flow runs are under way, so that it is worth looking again soon.

        Raises:
            ServiceError: the queue's disk refuses. Trouble with catalog and Prefect is noted, and waited for.
        """
        self._settle()
        self._select()
        if self._spool.paused is None:
            self._hand_over()
        return bool(self._spool.jobs(State.HANDED_OVER))

    # --- what was handed over

    def _settle(self) -> None:
        handed = [job for job in self._spool.jobs(State.HANDED_OVER) if job.selected]
        if not handed:
            return
        try:
            for job in handed:
                if job.handle is None:
                    # Whoever claimed it was killed before it could note the flow run: the same key finds that.
                    self._start(job)
            states = self._flow_runs.look(job.handle for job in handed if job.handle is not None)
        except ServiceError as error:
            self._note_prefect(str(error))
            return
        self._note_prefect("")
        for job in handed:
            if job.handle is None:
                continue
            try:
                self._settle_one(job, states[job.handle])
            except ServiceError:
                raise
            except Exception as error:
                # What is odd about one scan must not keep the others waiting.
                logger.exception("a job broke the dispatcher", extra={"run": job.run, "rule": job.rule})
                self._failed(job, f"{type(error).__name__}: {error}", type(error).__name__, record=None)

    def _settle_one(self, job: Job, state: FlowState) -> None:
        if state.kind == "under way":
            self._keep(job, state)
        elif state.kind == "gone":
            self._spool.put_back(job, "Prefect lost the flow run", delay=0.0, counted=False)
        else:
            self._conclude(job, state)

    def _keep(self, job: Job, state: FlowState) -> None:
        longest = self._config.serve.longest_analysis_s
        if state.running_s > longest:
            logger.error("analysis does not end", extra={"run": job.run, "rule": job.rule})
            self._failed(job, f"the analysis had not ended after {longest:.0f} s", "Hung", record=None)
            self._hung()
        elif job.due - self._clock() < LEASE_SECONDS / 2 and job.handle is not None:
            self._spool.handed(job, job.handle, lease=LEASE_SECONDS)

    def _conclude(self, job: Job, state: FlowState) -> None:
        """The flow run has ended; the catalog says what came of it."""
        try:
            with self._catalog() as catalog:
                record = self._record(catalog, job)
        except CatalogError as error:
            # The job stays handed over: its flow run has ended, and will say the same when the catalog is back.
            self._note_catalog(str(error))
            self._spool.handed(job, job.handle or "", lease=LEASE_SECONDS)
            return
        except GbxError as error:
            # Settings that cannot be read, or an embedded catalog that does not start.
            self._failed(job, str(error), type(error).__name__, record=None)
            return
        self._note_catalog("")
        if record is not None and state.kind == "completed":
            if self._spool.finish(job, record.key):
                self._observer.done(job, record)
                logger.info("record is there", extra={"run": job.run, "rule": job.rule, "record": record.key})
            return
        reason = state.reason or "the flow run ended without a record in the catalog"
        self._failed(job, reason, _kind(reason), record=record)

    def _record(self, catalog: Catalog, job: Job) -> RecordSummary | None:
        scan = pipeline.describe_start(catalog.run(job.run).metadata["start"], source="catalog")
        settings = assemble.settings_for(catalog, self._config, scan.sample, job.rule)
        return find_for_rule(catalog, job.run, rule=job.rule, settings_hash=settings.analysis.hash)

    def _failed(self, job: Job, reason: str, kind: str, *, record: RecordSummary | None) -> None:
        """A try that did not end well: another one, or none where there were enough."""
        counted = not self._servers_fault(kind)
        self._observer.failed(job, kind)
        logger.warning("a try has failed: %s", reason, extra={"run": job.run, "rule": job.rule, "tries": job.tries + 1})
        if not counted:
            # What the server lacks says more than the request that it refused.
            reason = self.trouble.catalog or reason
            self._spool.put_back(job, reason, delay=_SERVERS.delay(job.handovers), counted=False)
        elif job.tries + 1 < self._config.serve.retry.tries:
            self._spool.put_back(job, reason, delay=self._backoff.delay(job.tries + 1), counted=True)
        elif record is not None and not job.again:
            # The correlation stands; only what comes after it was in vain.
            if self._spool.finish(job, record.key, reason=reason):
                self._observer.done(job, record)
        else:
            self._park(job, reason, kind)

    def _servers_fault(self, kind: str) -> bool:
        """Whether a try failed because of the catalog: it is away, or takes no results from anybody."""
        if kind not in _OF_THE_CATALOG:
            return False
        if kind == CatalogUnreachableError.__name__:
            return True
        try:
            with self._catalog() as catalog:
                TiledSink(catalog).try_writing()
        except CatalogError as error:
            self._note_catalog(str(error))
            return True
        return False

    def _park(self, job: Job, reason: str, kind: str) -> None:
        if not self._spool.park(job, reason):
            return
        self._observer.parked(job, kind)
        logger.error("given up: %s", reason, extra={"run": job.run, "rule": job.rule})
        given_up = InputError(
            f"the analysis ended {job.tries + 1} times without a record, last: {reason}",
            needed="an analysis that ends",
            action="report it with this run's uid; after a cure, `gbx queue retry UID`",
        )
        try:
            with self._catalog() as catalog:
                assemble.publish_failure(catalog, job.run, given_up, self._config, rule=job.rule)
        except GbxError as error:
            logger.warning("the reason is in the queue only: %s", error, extra={"run": job.run})

    # --- new runs

    def _select(self) -> None:
        jobs = self._spool.claim(UNSELECTED_AT_ONCE, selected=False, lease=LEASE_SECONDS)
        for position, job in enumerate(jobs):
            try:
                with self._catalog() as catalog:
                    self._select_one(catalog, job)
            except (RunNotFoundError, RunUnfinishedError) as error:
                self._await_documents(job, error)
            except (CatalogError, ServiceError) as error:
                self._note_catalog(str(error))
                for later in jobs[position:]:
                    self._spool.put_back(
                        later, "the catalog is away", delay=_SERVERS.delay(later.handovers), counted=False
                    )
                return
            except Exception as error:
                logger.exception("a run broke the dispatcher", extra={"run": job.run})
                if self._spool.park(job, f"its documents are odd: {type(error).__name__}: {error}"):
                    self._observer.parked(job, type(error).__name__)
        if jobs:
            self._note_catalog("")

    def _select_one(self, catalog: Catalog, job: Job) -> None:
        metadata = catalog.run(job.run).metadata
        if not metadata.get("stop"):
            raise RunUnfinishedError(
                f"run {job.run} has no stop document in {catalog.uri}",
                needed="a finished run",
                action="wait: its documents are on their way to the catalog",
            )
        wanted = wanting_rules(self._config, metadata["start"])
        stopped = time_of(metadata["stop"])
        self._spool.select(job.run, wanted, source=job.source, stopped=job.stopped if stopped is None else stopped)

    def _await_documents(self, job: Job, error: CatalogError) -> None:
        if self._clock() - job.added > self._config.serve.sweep.days * SECONDS_A_DAY:
            # Should they come after all, the sweep sees them.
            self._spool.park(job, str(error))
            self._observer.parked(job, type(error).__name__)
        else:
            self._spool.put_back(job, str(error), delay=_DOCUMENTS.delay(job.handovers), counted=False)

    # --- what is due

    def _hand_over(self) -> None:
        handed = [job for job in self._spool.jobs(State.HANDED_OVER) if job.selected]
        # One more than are carried out at once, so that the runner need not wait for us.
        free = self._config.serve.concurrency + 1 - len(handed)
        jobs = self._spool.claim(free, selected=True, lease=LEASE_SECONDS) if free > 0 else []
        for position, job in enumerate(jobs):
            try:
                self._start(job)
            except ServiceError as error:
                self._note_prefect(str(error))
                for later in jobs[position:]:
                    delay = _SERVERS.delay(later.handovers)
                    self._spool.put_back(later, "Prefect is away", delay=delay, counted=False)
                return
        if jobs:
            self._note_prefect("")

    def _start(self, job: Job) -> None:
        if job.rule not in self._config.selection:
            try:
                self._config.for_run(None, job.rule)
            except ConfigError as error:
                self._spool.park(job, str(error))
                self._observer.parked(job, type(error).__name__)
            return
        handle = self._flow_runs.start(job)
        if self._spool.handed(job, handle, lease=LEASE_SECONDS):
            self._observer.handed_over(job)
            logger.info("handed over", extra={"run": job.run, "rule": job.rule, "flow_run": handle})

    def _note_catalog(self, trouble: str) -> None:
        if trouble and not self.trouble.catalog:
            logger.warning("the queue waits for the catalog: %s", trouble)
        self.trouble.catalog = trouble

    def _note_prefect(self, trouble: str) -> None:
        if trouble and not self.trouble.prefect:
            logger.warning("the queue waits for Prefect: %s", trouble)
        self.trouble.prefect = trouble


def _kind(reason: str) -> str:
    """The error that a flow run's last words name, else the state it ended in."""
    named = _ERROR_NAME.search(reason)
    return named.group(1) if named else reason.partition(":")[0] or "Unknown"
