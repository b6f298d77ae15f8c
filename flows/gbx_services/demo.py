"""``gbx demo``: what this project is, in one command and on embedded services."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from gbx_beamline.catalog import (
    Catalog,
    InferenceSummary,
    RecordSummary,
    find_inferences,
    load_inference,
    load_record,
)
from gbx_beamline.config import Config
from gbx_beamline.figures import save, scan_report, temperature_overview
from gbx_beamline.figures.inference_tables import inference_table
from gbx_beamline.figures.tables import as_table
from gbx_beamline.records import ScanInference, ScanResult
from gbx_bluesky.plans import temperature_series
from gbx_bluesky.simulated_chx import SimulatedChx
from gbx_services.rehearsal import progress_on, rehearsal

CONFIG_NAME = "demo.yaml"


def demo_config_file(name: str = CONFIG_NAME) -> Path:
    """A file of configs/ of a checkout, or its copy in an installed package."""
    installed = Path(__file__).with_name(name)
    return installed if installed.exists() else Path(__file__).parents[2] / "configs" / name


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
    began = time.monotonic()
    with progress_on(console) as progress:
        bars = _Bars(progress, config)
        with rehearsal(config, config_path=config_path, ready=bars.ready) as running:
            # A later demo in the same catalog is another sample spot, not the same photons again.
            fresh = config.demo.model_copy(update={"seed": config.demo.seed + len(running.catalog.raw)})
            uids = running.take(_series(config.model_copy(update={"demo": fresh}), bars))
            scans = _Scans.of(running.catalog, running.results_of(uids, bars.analysed))
    _tell(console, scans, directory, time.monotonic() - began)
    if view:
        _open_viewer(console, config_path)


def _series(config: Config, bars: _Bars) -> Any:
    """The plan of the temperature series."""
    demo = config.demo
    chx = SimulatedChx(config, config.catalog.directory / "frames", watcher=bars.frame)
    return temperature_series(
        chx.detector,
        chx.temperature,
        [point.temperature_k for point in demo.dynamics],
        frames=demo.frames,
        frame_time=demo.frame_time_s,
        sample=demo.sample,
        traces=chx.traces,
        md={"proposal": {"title": "GBX demonstration"}},
    )


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
