"""Who starts the parts of a facility in their order, starts those anew that die, and ends them all."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from gbx_beamline.errors import GbxError, ServiceError
from gbx_services.facility import parts, postgres
from gbx_services.facility.folder import POOL, Facility, kept_alone
from gbx_services.facility.parts import Part
from gbx_services.facility.processes_of import MARK
from gbx_services.facility.report import PartState, Report, write_report
from gbx_services.processes import tail
from gbx_tiled.embedded import ensure_containers

logger = logging.getLogger(__name__)

START_SECONDS = 480.0
"""Longest wait for a group of parts; all of them together take about a minute on two cores."""

_FIRST_CHECK_SECONDS = 0.2
_CHECK_SECONDS = 2.0


def keep(facility: Facility, templates: Path, stopping: threading.Event) -> None:
    """Run the facility until ``stopping`` is set.

    Args:
        facility: What to run.
        templates: Folder with ``tiled.yml`` and ``prefect.yaml``.
        stopping: Ends it in order.

    Raises:
        GbxError: a part does not start; the others are ended.
    """
    with kept_alone(facility.directory), ExitStack() as stack:
        keeper = _Keeper(facility, templates, stopping, stack)
        try:
            keeper.start()
            keeper.go_on()
        except GbxError as error:
            keeper.report(failure=error.found)
            raise


class _Stopped(Exception):  # noqa: N818 - no error
    """We are to end while parts are still starting."""


class _Keeper:
    def __init__(self, facility: Facility, templates: Path, stopping: threading.Event, stack: ExitStack) -> None:
        self._facility = facility
        self._templates = templates
        self._stopping = stopping
        self._stack = stack
        self._parts: list[Part] = []
        self._ready = False

    def start(self) -> None:
        """Bring the parts up, each after those that it needs."""
        try:
            for group in self._groups():
                self._await(group)
        except _Stopped:
            return
        self._ready = True

    def go_on(self) -> None:
        """Look after the parts until we are to stop."""
        while not self._stopping.wait(_CHECK_SECONDS):
            for part in self._parts:
                try:
                    part.check()
                except Exception:
                    # A full disk under a log: the other parts are to go on.
                    logger.exception("%s cannot be looked after", part.name)
            self.report()

    def report(self, *, failure: str = "") -> None:
        """Write how all is, for whoever asks for the status."""
        states = tuple(PartState(part.name, part.address, part.trouble, part.pid) for part in self._parts)
        write_report(self._facility.directory, Report(self._ready, failure, time.time(), states))

    def _groups(self) -> Iterator[list[Part]]:
        """What to start at the same time; each group is there when the next is asked for."""
        facility, templates = self._facility, self._templates
        postgres.initialise(facility.postgres_data, facility.postgres_password, postgres.server_user())
        yield self._begin([parts.database(facility), parts.stream(facility)])
        postgres.create_databases(facility.ports["postgres"], facility.postgres_password)
        slow = self._begin([parts.prefect_server(facility), parts.dask_scheduler(facility)])
        # One Tiled server makes the tables; two at once would both try.
        yield self._begin([parts.tiled(facility, "writing", templates)])
        ensure_containers(facility.tiled_writing, facility.tiled_key)
        quick = self._begin([parts.tiled(facility, "reading", templates), *parts.dask_workers(facility)])
        yield slow
        _make_pool(facility)
        workers = self._begin(parts.workers(facility))
        self._deploy()
        yield [*quick, *workers]
        yield self._begin([parts.service(facility)])

    def _begin(self, new: list[Part]) -> list[Part]:
        # Who came last goes first, and those who came together go together.
        self._stack.callback(_stop_together, new)
        for part in new:
            self._parts.append(part)
            part.check()
        return new

    def _await(self, group: Iterable[Part]) -> None:
        deadline = time.monotonic() + START_SECONDS
        waiting = list(group)
        while waiting:
            for part in waiting:
                part.check()
                if part.pid is None:
                    raise _did_not_start(part, part.trouble)
                if time.monotonic() > deadline:
                    raise _did_not_start(part, f"did not answer within {START_SECONDS:.0f} s")
            waiting = [part for part in waiting if part.trouble]
            self.report()
            if self._stopping.wait(_FIRST_CHECK_SECONDS if waiting else 0.0):
                raise _Stopped

    def _deploy(self) -> None:
        """Tell Prefect of the deployments."""
        command = parts.deploy_command(self._templates)
        environment = {
            **os.environ,
            **self._facility.client_environment(),
            MARK: str(self._facility.directory),
        }
        with (
            (self._facility.directory / "logs" / "deploy.log").open("w") as log,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment) as deploying,
        ):
            while deploying.poll() is None:
                if self._stopping.wait(_FIRST_CHECK_SECONDS):
                    deploying.kill()
                    raise _Stopped
        if deploying.returncode:
            raise ServiceError(
                f"`prefect deploy` ended with exit code {deploying.returncode}: {tail(Path(log.name))}",
                needed="deployments that Prefect takes",
                action=f"correct {self._templates / 'prefect.yaml'}",
            )


def _stop_together(group: list[Part]) -> None:
    with ThreadPoolExecutor(len(group)) as pool:
        stopped = [pool.submit(part.stop) for part in group]
    for one in stopped:
        one.result()


def _make_pool(facility: Facility) -> None:
    """The work pool, where it is not there yet."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    client = SyncPrefectClient(facility.prefect, auth_string=facility.prefect_auth)
    try:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    except ObjectAlreadyExists:
        logger.info("the work pool %s was kept", POOL)
    finally:
        client._client.close()


def _did_not_start(part: Part, said: str) -> ServiceError:
    return ServiceError(
        f"{part.name} does not start: {said}; {tail(part.log)}",
        needed="a service that answers",
        action=f"read {part.log}",
    )
