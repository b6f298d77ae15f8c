"""Wires the service: queue, embedded servers, runner, triggers, sweep, dispatcher, health."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

from gbx_beamline import __version__, assemble
from gbx_beamline.catalog import Catalog
from gbx_beamline.config import Config
from gbx_beamline.errors import ServiceError
from gbx_services.alone import alone
from gbx_services.dispatch import Dispatcher, KeptCatalog, PrefectFlowRuns
from gbx_services.live.roots import data_roots
from gbx_services.prefect_service import RUNNER_ENVIRONMENT, answers, free_port, prefect_settings, server_command
from gbx_services.serve.checks import check_frozen, check_rules
from gbx_services.serve.health import json_page, served, text_page
from gbx_services.serve.kept import KeptCatalogServer, KeptChild
from gbx_services.serve.loops import DispatchLoop, SweepLoop
from gbx_services.serve.metrics import Metrics
from gbx_services.spool import Spool
from gbx_services.sweep import Swept
from gbx_services.triggers import Trigger
from gbx_services.triggers.inbox import Inbox
from gbx_services.triggers.kafka import KafkaTrigger
from gbx_services.triggers.tiled_stream import TiledStream

logger = logging.getLogger(__name__)

FLOW = "end-of-run"
CHECK_SECONDS = 1.0
RENEW_SECONDS = 600.0
"""At least, between two times that triggers are told to connect anew because the sweep found what they had missed."""

STOP_SECONDS = 15.0
"""Longest wait for a step under way."""

THREADS = ("GBX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables that set how many threads a process takes for its kernels."""

OpenCatalog = Callable[[], AbstractContextManager[Catalog]]


def run_service(config: Config, config_path: Path | None, stopping: threading.Event) -> None:
    """Serve until ``stopping`` is set.

    Args:
        config: Settings.
        config_path: Their file, from which flows read them; None = the defaults.
        stopping: Ends the service in order; whatever is not done stays in the queue.

    Raises:
        ConfigError: a rule by which nothing can be analysed, a frozen model that cannot be asked, live analysis
            without a folder for data files.
        ServiceError: another service has the folder, the embedded catalog does not start, a port is in use.
    """
    check_rules(config)
    check_frozen(config.models)
    if config.serve.live.enabled:
        data_roots(config)
    directory = config.serve.directory
    stop_it = "stop it, or set serve.directory to another folder"
    with alone(directory, "service", action=stop_it), ExitStack() as stack:
        spool = Spool(directory, repair=True)
        stack.callback(spool.close)
        if not config.serve.analyse and spool.paused is None:
            spool.pause("serve.analyse is false in the configuration")
        service = _Service(config, config_path, spool, stopping, stack)
        service.go_on()


class _Service:
    """The parts, and the loop that keeps them running."""

    def __init__(
        self, config: Config, config_path: Path | None, spool: Spool, stopping: threading.Event, stack: ExitStack
    ) -> None:
        self._config = config
        self._spool = spool
        self._stopping = stopping
        self._renewed = -RENEW_SECONDS
        self._components: dict[str, Any] = {}
        """By name; each says what troubles it."""
        settings = config.serve
        self._dispatcher: Dispatcher | None = None
        self._sweep: SweepLoop | None = None
        self._metrics = Metrics(spool, self._troubles)
        pages = {"/health": json_page(self._health), "/metrics": text_page(self._metrics.text)}
        where = stack.enter_context(served(pages, host=settings.health.host, port=settings.health.port))
        logger.info("health and metrics at %s", where, extra={"address": where})
        open_catalog: OpenCatalog = partial(assemble.open_catalog, config)
        self._tiled = self._embedded_tiled(stack)
        environment, api_url = self._prefect(stack)
        self._runner = self._own_runner(environment, config_path, stack)
        self._live(config_path, stack)
        sweep = self._sweep = SweepLoop(open_catalog, spool, config, self._swept, self._metrics.retrained)
        catalog, deployment = KeptCatalog(open_catalog), f"{FLOW}/{settings.deployment}"
        key, auth = PREFECT_API_KEY.value(), PREFECT_API_AUTH_STRING.value()
        flow_runs = PrefectFlowRuns(api_url, deployment, api_key=key, auth=auth)
        self._dispatcher = Dispatcher(spool, config, catalog, flow_runs, self._metrics, hung=self._hung)
        self._dispatch = DispatchLoop(self._dispatcher, spool)
        self._triggers = self._all_triggers(open_catalog, sweep)
        # In this order they stop: no new work, then the work, then (on the stack) who does it.
        stack.callback(flow_runs.close)
        stack.callback(catalog.close)
        for loop in (self._dispatch, sweep):
            stack.callback(loop.stop, STOP_SECONDS)
            loop.start()
        for trigger in self._triggers:
            stack.callback(trigger.stop)
            trigger.start()
        self._components |= {part.name: part for part in (*self._triggers, self._dispatch, sweep)}

    def go_on(self) -> None:
        """Keep the parts running until the service is to stop."""
        logger.info("serving", extra={"version": __version__, "rules": list(self._config.selection)})
        while not self._stopping.wait(CHECK_SECONDS):
            try:
                self._check()
            except Exception:
                # A full disk under a child's log, a process that cannot be ended: the others are to go on.
                logger.exception("a part cannot be looked after")
        logger.info("stopping: what is not done stays in the queue")

    def _check(self) -> None:
        if self._tiled is not None and self._tiled.check():
            for trigger in self._triggers:
                trigger.renew()
        for part in self._components.values():
            if isinstance(part, KeptChild):
                part.check()

    # --- parts

    def _embedded_tiled(self, stack: ExitStack) -> KeptCatalogServer | None:
        if assemble.server_address(self._config):
            return None
        server = KeptCatalogServer(partial(assemble.embedded_server, self._config.catalog))
        stack.callback(server.stop)
        self._components[server.name] = server
        return server

    def _prefect(self, stack: ExitStack) -> tuple[dict[str, str], str]:
        """Environment and address of Prefect; an embedded one unless Prefect's settings name another."""
        if url := PREFECT_API_URL.value():
            return {"PREFECT_API_URL": url}, url
        directory, port = self._config.serve.directory, free_port()
        url = f"http://127.0.0.1:{port}/api"
        environment = prefect_settings(directory, url, keep_days=self._config.serve.keep_days)
        server = KeptChild(
            "prefect server",
            server_command(port),
            log=directory / "logs" / "prefect-server.log",
            environment=environment,
            answering=partial(answers, f"{url}/health"),
        )
        self._keep(server, stack)
        return environment, url

    def _own_runner(
        self, environment: Mapping[str, str], config_path: Path | None, stack: ExitStack
    ) -> KeptChild | None:
        settings = self._config.serve
        if not settings.runner:
            return None
        runner = KeptChild(
            "runner",
            [
                "gbx_services.runner",
                str(settings.directory / "runner"),
                *("--deployment", f"{FLOW}/{settings.deployment}", "--limit", str(settings.concurrency)),
            ],
            log=settings.directory / "logs" / "runner.log",
            environment={**environment, **RUNNER_ENVIRONMENT, **_configured(config_path)},
        )
        self._keep(runner, stack)
        return runner

    def _live(self, config_path: Path | None, stack: ExitStack) -> None:
        """Whoever follows running scans: with one thread, since acquisition comes first."""
        if not self._config.serve.live.enabled:
            return
        live = KeptChild(
            "live",
            ["gbx_services.live"],
            log=self._config.serve.directory / "logs" / "live.log",
            environment={**dict.fromkeys(THREADS, "1"), **_configured(config_path)},
        )
        self._keep(live, stack)

    def _keep(self, part: KeptChild, stack: ExitStack) -> None:
        stack.callback(part.stop)
        part.check()
        self._components[part.name] = part

    def _all_triggers(self, open_catalog: OpenCatalog, sweep: SweepLoop) -> list[Trigger]:
        accept = Inbox(self._spool, self._stopping, self._dispatch.wake)
        self._components[accept.name] = accept
        chosen = self._config.serve.triggers
        triggers: list[Trigger] = []
        if chosen.tiled:
            # What ended while nobody listened is the sweep's.
            triggers.append(TiledStream(open_catalog, accept, sweep.wake.set))
        if chosen.kafka is not None:
            triggers.append(KafkaTrigger(chosen.kafka, accept))
        return triggers

    # --- what happens

    def _swept(self, swept: Swept) -> None:
        self._metrics.swept(swept)
        if swept.found:
            self._dispatch.wake.set()
        if swept.missed and time.monotonic() - self._renewed > RENEW_SECONDS:
            # They listen, and heard nothing of it. Not each time: documents that come late look the same, and what
            # ends while a connection is made is missed, too.
            self._renewed = time.monotonic()
            for trigger in self._triggers:
                if not trigger.trouble:
                    trigger.renew()

    def _hung(self) -> None:
        if self._runner is not None:
            self._runner.kill()

    def _troubles(self) -> dict[str, str]:
        waits = None if self._dispatcher is None else self._dispatcher.trouble
        said = {name: part.trouble for name, part in list(self._components.items())}
        return said | ({"catalog": waits.catalog, "prefect": waits.prefect} if waits else {})

    def _health(self) -> tuple[bool, Mapping[str, Any]]:
        troubles = self._troubles()
        body: dict[str, Any] = {
            "version": __version__,
            "components": {name: trouble or "ok" for name, trouble in troubles.items()},
        }
        try:
            counts, paused = self._spool.counts(), self._spool.paused
        except ServiceError as error:
            return False, {"status": "degraded", **body, "queue": str(error)}
        well = not any(troubles.values())
        body["queue"] = {str(state): number for state, number in counts.items()}
        body["paused"] = None if paused is None else {"reason": paused.reason, "since": paused.since}
        if self._sweep is not None and (last := self._sweep.last) is not None:
            body["sweep"] = {"seconds_ago": round(time.time() - last[0], 1), "runs": last[1].runs}
        status = "degraded" if not well else "paused" if paused else "ok"
        return well, {"status": status, **body}


def _configured(config_path: Path | None) -> dict[str, str]:
    """What tells a child of the configuration file."""
    return {} if config_path is None else {assemble.CONFIG_VARIABLE: str(config_path.resolve())}
