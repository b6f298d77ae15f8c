"""``gbx demo``: what this project is, in one command and on embedded services."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gbx_beamline import assemble
from gbx_beamline.catalog import (
    Catalog,
    InferenceSummary,
    RecordSummary,
    TiledSink,
    connect,
    find_inferences,
    find_records,
    load_inference,
    load_record,
)
from gbx_beamline.config import Config
from gbx_beamline.errors import ServiceError
from gbx_beamline.figures import save, scan_report, temperature_overview
from gbx_beamline.figures.inference_tables import inference_table
from gbx_beamline.figures.tables import as_table
from gbx_beamline.records import ScanInference, ScanResult
from gbx_bluesky.backup import replay
from gbx_bluesky.plans import temperature_series
from gbx_bluesky.run_engine import make_run_engine, tiled_writer
from gbx_bluesky.simulated_chx import SimulatedChx
from gbx_services.alone import alone
from gbx_services.interruption import run_plan
from gbx_services.prefect_service import embedded_prefect
from gbx_services.trigger import EndOfRunTrigger

CONFIG_NAME = "demo.yaml"
JOURNALS = "journals"
RESULT_SECONDS = 300.0
"""Longest wait for the last analysis after the last scan."""

_POLL_SECONDS = 0.5


def demo_config_file() -> Path:
    """configs/demo.yaml of a checkout, or its copy in an installed package."""
    installed = Path(__file__).with_name(CONFIG_NAME)
    return installed if installed.exists() else Path(__file__).parents[2] / "configs" / CONFIG_NAME


def run_demo(config: Config, console: Console, *, config_path: Path, view: bool = True) -> None:
    """Measure the simulated temperature series, have each scan analysed as it ends, show the results.

    Args:
        config: What to simulate, and how to analyse it.
        console: Where to talk.
        config_path: Its file, from which the flow reads its settings.
        view: True opens the viewer at the end, where somebody would see it.

    Raises:
        ServiceError: a service did not start, or an analysis did not come.
    """
    directory = config.catalog.directory
    console.print(
        f"[bold]GBX demo[/]: {len(config.demo.dynamics)} simulated scans at CHX, "
        f"{config.demo.frames} frames of {config.demo.shape[0]} x {config.demo.shape[1]} each, into {directory}/"
    )
    _log_into(directory / "logs" / "demo.log")
    began = time.monotonic()
    with (
        alone(directory, "demo", action="wait for its end, or start this one in another folder"),
        _progress(console) as progress,
        assemble.embedded_server(config.catalog) as address,
    ):
        bars = _Bars(progress, config)
        catalog = connect(
            address.uri,
            address.api_key,
            raw=config.catalog.raw,
            processed=config.catalog.processed,
            store=address.store,
        )
        # What an earlier demo left when it was killed.
        replay(directory / JOURNALS, catalog.raw, tiled_writer, close_unfinished=True)
        TiledSink(catalog).sweep()
        environment = {
            assemble.URI_VARIABLE: address.uri,
            assemble.STORE_VARIABLE: str(address.store),
            config.catalog.api_key_env: address.api_key,
            assemble.CONFIG_VARIABLE: str(config_path.resolve()),
        }
        with embedded_prefect(directory, environment) as prefect:

            def when_ready() -> None:
                prefect.wait()
                bars.ready()

            trigger = EndOfRunTrigger(prefect.url, when_ready)
            # A later demo in the same catalog is another sample spot, not the same photons again.
            fresh = config.demo.model_copy(update={"seed": config.demo.seed + len(catalog.raw)})
            uids = _measure(config.model_copy(update={"demo": fresh}), address, trigger, bars)
            records = _await_records(catalog, uids, trigger, bars, directory / "logs")
            trigger.close()
        scans = _Scans.of(catalog, records)
        catalog.close()
    _tell(console, scans, directory, time.monotonic() - began)
    if view:
        _open_viewer(console, config_path)


@dataclass(frozen=True)
class _Scans:
    """What is in the catalog of the demo's scans."""

    records: list[RecordSummary]
    inferences: list[InferenceSummary]
    results: list[tuple[ScanResult, ScanInference | None]]

    @classmethod
    def of(cls, catalog: Catalog, records: list[RecordSummary]) -> _Scans:
        inferences = [found for record in records for found in find_inferences(catalog, record=record.key)[-1:]]
        said = {found.record: load_inference(catalog, found.key) for found in inferences}
        loaded = [(load_record(catalog, record.key), said.get(record.key)) for record in records]
        return cls(records, inferences, [(one, of) for one, of in loaded if isinstance(one, ScanResult)])


def _log_into(file: Path) -> None:
    """What libraries log goes to a file, so that the terminal shows progress and results only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


class _Bars:
    """Progress of services, scans and analyses."""

    def __init__(self, progress: Progress, config: Config) -> None:
        self._progress = progress
        self._config = config
        self._services = progress.add_task("starting Tiled and Prefect", total=None)
        self._scan: TaskID | None = None
        self._started = 0
        self.analyses = progress.add_task("analyses", total=len(config.demo.dynamics))

    def ready(self) -> None:
        self._progress.update(self._services, description="catalog and Prefect ready", total=1, completed=1)

    def frame(self, done: int) -> None:
        """Watcher of the detector; the first frame of a series opens its bar."""
        if done == 1 or self._scan is None:
            point = self._config.demo.dynamics[self._started]
            self._started += 1
            self._scan = self._progress.add_task(
                f"scan {self._started}: {point.temperature_k:.0f} K", total=self._config.demo.frames
            )
        self._progress.update(self._scan, completed=done)

    def analysed(self, count: int) -> None:
        self._progress.update(self.analyses, completed=count)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _measure(config: Config, address: assemble.CatalogAddress, trigger: EndOfRunTrigger, bars: _Bars) -> list[str]:
    """Take the temperature series; uids of its runs."""
    directory = config.catalog.directory
    chx = SimulatedChx(config, directory / "frames", watcher=bars.frame)
    engine, writer = make_run_engine(
        address.uri, api_key=address.api_key, raw=config.catalog.raw, backup_directory=directory / JOURNALS
    )
    engine.subscribe(trigger)
    try:
        demo = config.demo
        uids = run_plan(
            engine,
            temperature_series(
                chx.detector,
                chx.temperature,
                [point.temperature_k for point in demo.dynamics],
                frames=demo.frames,
                frame_time=demo.frame_time_s,
                sample=demo.sample,
                traces=chx.traces,
                md={"proposal": {"title": "GBX demonstration"}},
            ),
        )
    finally:
        writer.close()
    lost = [uid for uid in writer.left_behind if uid in uids]
    if lost:
        raise ServiceError(
            f"runs {', '.join(uid[:8] for uid in lost)} did not reach the catalog",
            needed="a Tiled server that takes documents",
            action=f"their documents are in {writer.directory}; look into {directory}/server.log",
        )
    return list(uids)


def _await_records(
    catalog: Catalog, uids: list[str], trigger: EndOfRunTrigger, bars: _Bars, logs: Path
) -> list[RecordSummary]:
    deadline = time.monotonic() + RESULT_SECONDS
    while True:
        records = [record for uid in uids for record in find_records(catalog, run_uid=uid)[-1:]]
        bars.analysed(len(records))
        # A record is there before the flow has asked the model and drawn the report.
        if len(records) == len(uids) and not trigger.under_way():
            return records
        if trigger.error is not None:
            raise trigger.error
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{len(records)} of {len(uids)} scans are analysed {RESULT_SECONDS:.0f} s after the last one",
                needed="an end-of-run flow for each scan",
                action=f"look into {logs}; the scans are safe, `gbx analyze UID` analyses them",
            )
        time.sleep(_POLL_SECONDS)


def _tell(console: Console, scans: _Scans, directory: Path, seconds: float) -> None:
    console.print()
    console.print(as_table(scans.records, title="Results in the catalog, linked to their raw runs"))
    if (inferred := inference_table(scans.records, scans.inferences)) is not None:
        console.print("\n[bold]What the model says of each scan[/]")
        console.print(inferred)
    reports = directory / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    console.print("\nReports:")
    for result, inference in scans.results:
        kelvin = f"_{result.scan.temperature:.0f}K" if result.scan.temperature is not None else ""
        page = scan_report(result, inference=inference)
        path = save(page, reports / f"{result.scan.run_uid[:8]}{kelvin}.png", overwrite=True)
        console.print(f"  {path}", soft_wrap=True)
    if scans.results:
        results = [result for result, _inference in scans.results]
        overview = save(
            temperature_overview(results), reports / f"overview_{results[0].scan.run_uid[:8]}.png", overwrite=True
        )
        console.print(f"  {overview}", soft_wrap=True)
    first = scans.records[0].run_uid[:8]
    console.print(
        f"\nDone in {seconds:.0f} s. What next:\n"
        "  gbx results                        all records in this catalog\n"
        f"  gbx report {first}                the report of one scan\n"
        f"  gbx analyze {first} --config FILE analyse it again with your own q-ROIs (the old result stays)\n"
        "  gbx analyze YOUR_master.h5 --ring 0.003:0.005\n"
        "  gbx demo                           four more scans into the same catalog\n"
        "  gbx view                           look at them, and at what comes, in a window",
        highlight=False,
        soft_wrap=True,
    )


def _open_viewer(console: Console, config_path: Path) -> None:
    """Show the scans where somebody can see a window; a word where nobody can."""
    from gbx_viewer.command import display_exists

    if not display_exists():
        console.print(
            "\nThere is no display here: on a machine with one, `gbx view` shows these scans.", soft_wrap=True
        )
        return
    # It outlives the demonstration, and is closed by whoever looks at it.
    subprocess.Popen(
        [sys.executable, "-m", "gbx_viewer", "--config", str(config_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    console.print("\nThe viewer opens: it shows these scans, and those of a second `gbx demo` as they come.")
