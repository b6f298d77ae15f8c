"""What Prometheus reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gbx_beamline.catalog import RecordSummary, Retraining
from gbx_beamline.errors import ServiceError
from gbx_services.spool import Job, Spool
from gbx_services.sweep import Swept

LAG_SECONDS = (0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60, 120, 300, 900, 3600, 14400)


class Metrics:
    """Counters of one service; an ``Observer`` of its dispatcher.

    Args:
        spool: Whose depth is told.
        troubles: What keeps each component from its work; empty where nothing does.
    """

    def __init__(self, spool: Spool, troubles: Callable[[], Mapping[str, str]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Now(spool, troubles))
        self._lag = Histogram(
            "gbx_lag_seconds",
            "From the stop document to the record in the catalog.",
            buckets=LAG_SECONDS,
            registry=self._registry,
        )
        self._handed_over = self._counter("gbx_handed_over", "Jobs that a flow run took.", "rule")
        self._records = self._counter("gbx_records", "Records in the catalog, by outcome.", "outcome")
        self._failures = self._counter("gbx_failures", "Runs with a reasoned failure as record, by its kind.", "reason")
        self._failed_tries = self._counter("gbx_failed_tries", "Tries that ended without a record.", "rule", "reason")
        self._parked = self._counter("gbx_parked", "Jobs given up.", "rule", "reason")
        self._found = self._counter("gbx_sweep_found", "Jobs that only the sweep found.")
        self._swept = Gauge("gbx_sweep_time_seconds", "Unix time of the last sweep.", registry=self._registry)
        self._retraining = self._gauge("gbx_retraining_time_seconds", "Unix time of the newest retraining.", "status")
        self._drift_alarm = self._gauge("gbx_drift_alarm", "1 where the newest retraining saw drift.", "watched")
        self._drift_recent = self._gauge("gbx_drift_recent", "Median or share of the recent scans.", "watched")

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(name, said, labels, registry=self._registry)

    def _gauge(self, name: str, said: str, *labels: str) -> Gauge:
        return Gauge(name, said, labels, registry=self._registry)

    def handed_over(self, job: Job) -> None:
        """See ``Observer``."""
        self._handed_over.labels(job.rule).inc()

    def done(self, job: Job, record: RecordSummary) -> None:
        """See ``Observer``."""
        self._records.labels("failure" if record.failed else "result").inc()
        if record.failed:
            self._failures.labels(str(record.metadata.get("kind", "unknown"))).inc()
        created = record.metadata.get("created")
        # A record that was there before the run was reported says nothing about how fast we are.
        if job.stopped is not None and isinstance(created, int | float) and created >= job.stopped:
            self._lag.observe(created - job.stopped)

    def failed(self, job: Job, kind: str) -> None:
        """See ``Observer``."""
        self._failed_tries.labels(job.rule, kind).inc()

    def parked(self, job: Job, kind: str) -> None:
        """See ``Observer``."""
        self._parked.labels(job.rule, kind).inc()

    def swept(self, swept: Swept) -> None:
        """Note a sweep."""
        self._found.inc(swept.found)
        self._swept.set(time.time())

    def retrained(self, newest: Retraining) -> None:
        """Note the newest retraining, and what its drift monitor saw."""
        self._retraining.clear()
        self._retraining.labels(newest.status).set(newest.begun)
        for check in (newest.metadata.get("drift") or {}).get("checks", ()):
            self._drift_alarm.labels(check["name"]).set(float(check["alarm"]))
            if check["recent"] is not None:
                self._drift_recent.labels(check["name"]).set(check["recent"])

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._registry)


class _Now(Collector):
    """What is read at the moment of asking."""

    def __init__(self, spool: Spool, troubles: Callable[[], Mapping[str, str]]) -> None:
        self._spool = spool
        self._troubles = troubles

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Depth of the queue, the switch, the components."""
        up = GaugeMetricFamily("gbx_component_up", "1 where the component works.", labels=["component"])
        for component, trouble in self._troubles().items():
            up.add_metric([component], 0.0 if trouble else 1.0)
        yield up
        try:
            counts, paused = self._spool.counts(), self._spool.paused
        except ServiceError:
            return
        depth = GaugeMetricFamily("gbx_queue_jobs", "Jobs in the queue, by state.", labels=["state"])
        for state, number in counts.items():
            depth.add_metric([str(state)], number)
        yield depth
        yield GaugeMetricFamily("gbx_paused", "1 while analysis is switched off.", value=float(paused is not None))
