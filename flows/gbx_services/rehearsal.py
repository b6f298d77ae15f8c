"""Everything that a demonstration runs on: embedded catalog and Prefect, a RunEngine, and the wait for results."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, RecordSummary, TiledSink, connect, find_records
from gbx_beamline.config import Config
from gbx_beamline.errors import ServiceError
from gbx_bluesky.backup import replay
from gbx_bluesky.run_engine import CatalogWriter, make_run_engine, tiled_writer
from gbx_services.alone import alone
from gbx_services.interruption import run_plan
from gbx_services.prefect_service import embedded_prefect
from gbx_services.trigger import EndOfRunTrigger

JOURNALS = "journals"
RESULT_SECONDS = 300.0
"""Longest wait for the next result once all scans are taken."""

_FLUSH_SECONDS = 120.0
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Rehearsal:
    """Services that run, and the way to use them."""

    catalog: Catalog
    directory: Path
    _engine: RunEngine
    _writer: CatalogWriter
    _trigger: EndOfRunTrigger

    def take(self, plan: Any) -> list[str]:
        """Run a plan; its scans are analysed by the end-of-run flow as they end.

        Returns:
            uids of its runs, all of them complete in the catalog.

        Raises:
            ServiceError: a run did not reach the catalog.
        """
        return taken_with(self._engine, self._writer, plan)

    def results_of(self, uids: list[str], analysed: Callable[[int], None]) -> list[RecordSummary]:
        """The newest record of each run, once all flows have ended.

        Args:
            uids: Of the runs.
            analysed: Told how many have a record.

        Raises:
            ServiceError: an analysis did not come.
        """
        done = 0
        deadline = time.monotonic() + RESULT_SECONDS
        while True:
            # Scans are analysed in the order in which they ended: only the next one is asked for, because the server
            # shares its cores with the analysis.
            while done < len(uids) and find_records(self.catalog, run_uid=uids[done]):
                done += 1
                deadline = time.monotonic() + RESULT_SECONDS
            analysed(done)
            # A record is there before the flow has asked the model and drawn the report.
            if done == len(uids) and not self._trigger.under_way():
                return [find_records(self.catalog, run_uid=uid)[-1] for uid in uids]
            if self._trigger.error is not None:
                raise self._trigger.error
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{done} of {len(uids)} scans are analysed, no further one for {RESULT_SECONDS:.0f} s",
                    needed="an end-of-run flow for each scan",
                    action=f"look into {self.directory / 'logs'}; the scans are safe, `gbx analyze UID` analyses them",
                )
            time.sleep(_POLL_SECONDS)


def taken_with(engine: RunEngine, writer: CatalogWriter, plan: Any) -> list[str]:
    """Run a plan and see its documents into the catalog.

    Returns:
        uids of its runs.

    Raises:
        ServiceError: a run did not reach the catalog.
    """
    uids = list(run_plan(engine, plan))
    writer.flush(_FLUSH_SECONDS)
    lost = [uid for uid in writer.left_behind if uid in uids]
    if lost:
        raise ServiceError(
            f"runs {', '.join(uid[:8] for uid in lost)} did not reach the catalog",
            needed="a Tiled server that takes documents",
            action=f"their documents are in {writer.directory}; look into the server's log, beside that folder",
        )
    return uids


@contextmanager
def rehearsal(config: Config, *, config_path: Path, ready: Callable[[], None]) -> Iterator[Rehearsal]:
    """Services on ``catalog.directory``, running while the context lasts.

    Args:
        config: Configuration.
        config_path: Its file, from which the flow reads its settings.
        ready: Called once flows are taken, from another thread.

    Raises:
        ServiceError: a service does not start, or another demonstration runs in this folder.
    """
    directory = config.catalog.directory
    log_into(directory / "logs" / "demo.log")
    with (
        alone(directory, "demo", action="wait for its end, or start this one in another folder"),
        assemble.embedded_server(config.catalog) as address,
    ):
        raw, processed = config.catalog.raw, config.catalog.processed
        catalog = connect(address.uri, address.api_key, raw=raw, processed=processed, store=address.store)
        # What an earlier demonstration left when it was killed.
        replay(directory / JOURNALS, catalog.raw, tiled_writer, close_unfinished=True)
        TiledSink(catalog).sweep()
        environment = {
            assemble.URI_VARIABLE: address.uri,
            assemble.STORE_VARIABLE: str(address.store),
            # The server runs on this disk: through it, frames would take its cores from the analysis.
            assemble.ROOTS_VARIABLE: os.pathsep.join(str(root.resolve()) for root in assemble.data_roots(config)),
            config.catalog.api_key_env: address.api_key,
            assemble.CONFIG_VARIABLE: str(config_path.resolve()),
        }
        with embedded_prefect(directory, environment) as prefect:

            def when_ready() -> None:
                prefect.wait()
                ready()

            trigger = EndOfRunTrigger(prefect.url, when_ready)
            engine, writer = make_run_engine(
                address.uri, api_key=address.api_key, raw=raw, backup_directory=directory / JOURNALS
            )
            engine.subscribe(trigger)
            try:
                yield Rehearsal(catalog, directory, engine, writer, trigger)
            finally:
                writer.close()
            trigger.close()
        catalog.close()


def log_into(file: Path) -> None:
    """What libraries log goes to a file, so that the terminal shows progress and results only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def progress_on(console: Console) -> Progress:
    """Bars of scans and analyses."""
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
