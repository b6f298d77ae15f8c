"""``gbx demo --commission`` on embedded services, and ``gbx commission`` on those of a beamline."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from gbx_beamline import __version__, assemble
from gbx_beamline.catalog import Catalog
from gbx_beamline.catalog.campaigns import CampaignRun, find_campaign
from gbx_beamline.commissioning import BOUNDARIES, COLLOID, STATIC, Part, TrialOutcome, trials_named, trust
from gbx_beamline.commissioning.page import WORDS, About, headline, markdown, page
from gbx_beamline.config import Config
from gbx_beamline.figures import save
from gbx_bluesky.simulated_commissioning import SimulatedSuite
from gbx_services.commissioning import FAULTS, halves, infer, judged, orders
from gbx_services.rehearsal import Rehearsal, progress_on, rehearsal

_NEEDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(FAULTS, (STATIC,)),
    "attenuation_sample": (COLLOID,),
    **dict.fromkeys(("halved", "rebinned", "permuted"), (COLLOID, BOUNDARIES)),
    BOUNDARIES: (STATIC,),
    "static_background": (BOUNDARIES,),
}
"""Scans of other trials that a trial takes its frames from, or is compared with."""


def run_commissioning(config: Config, console: Console, *, config_path: Path, names: Sequence[str] = ()) -> bool:
    """Measure the suite on the simulated beamline, have every scan analysed by the flow, judge, and leave the page.

    Args:
        config: What is simulated, analysed and expected.
        console: Where to talk.
        config_path: Its file, from which the flow reads its settings.
        names: Trials; empty means all.

    Returns:
        True when nothing failed and nothing stayed open.

    Raises:
        InputError: a name that no trial has.
        ServiceError: a service did not start, or an analysis did not come.
    """
    chosen = [trial.name for trial in trials_named(names)]
    directory = config.catalog.directory
    campaign = f"{datetime.now().astimezone():%Y-%m-%d %H:%M} {uuid.uuid4().hex[:4]}"
    console.print(f"[bold]GBX commissioning[/]: {len(chosen)} trials on the simulated beamline, into {directory}/")
    began = time.monotonic()
    with progress_on(console) as progress:
        bars = _Bars(progress)
        with rehearsal(config, config_path=config_path, ready=bars.ready) as running:
            uids = _measure(running, config, campaign, chosen, bars)
            running.results_of(uids, bars.analysed)
            extra = []
            if "halved" in chosen:
                runs = find_campaign(running.catalog, campaign)
                extra = halves(running.catalog, runs, config, directory / "commissioning")
            outcomes, parts = judged(running.catalog, campaign, config, chosen, extra)
    about = About(campaign=campaign, simulated=True, version=__version__, level=config.commissioning.expected.level)
    text, picture = leave_page(outcomes, parts, about, directory / "reports")
    tell(console, outcomes, about, text, picture)
    console.print(f"Done in {time.monotonic() - began:.0f} s.")
    return all(one.verdict == "pass" for one in outcomes)


def _measure(running: Rehearsal, config: Config, campaign: str, chosen: Sequence[str], bars: _Bars) -> list[str]:
    """Take all scans of the suite, those with something put in last; uids."""
    frames = running.directory / "frames"
    suite = SimulatedSuite(config, frames, campaign, bars.frame)
    wanted = set(chosen) | {other for name in chosen for other in (*_NEEDS.get(name, ()), *_deeper(name))}
    uids: list[str] = []
    for scan in suite.scans(wanted):
        bars.scan(scan.title, sum(scan.frames))
        uids += running.take(scan.plan())
    runs = find_campaign(running.catalog, campaign)
    for order in orders(running.catalog, runs, config, chosen):
        bars.scan(order.title, 0)
        uids += running.take(order.plan(campaign, frames, bars.frame))
    bars.expect(len(uids))
    return uids


def _deeper(name: str) -> tuple[str, ...]:
    return tuple(further for other in _NEEDS.get(name, ()) for further in _NEEDS.get(other, ()))


def commission(
    catalog: Catalog, config: Config, console: Console, *, campaign: str | None, names: Sequence[str], out: Path,
    take: Callable[[object], list[str]], frames: Path,
) -> bool:  # fmt: skip
    """Judge a campaign that was measured at a beamline: put faults into its scans, analyse what is not yet, judge.

    Args:
        catalog: Where its runs are.
        config: Configuration of the beamline.
        console: Where to talk.
        campaign: Name; None takes that of the newest run.
        names: Trials; empty means all that its runs allow.
        out: Folder for the page.
        take: Runs a plan, its documents reach the catalog before it returns.
        frames: Folder for the files with faults, from which the Tiled server reads.

    Returns:
        True when nothing failed and nothing stayed open.

    Raises:
        RunNotFoundError: no such campaign.
        InputError: a name that no trial has.
    """
    chosen = [trial.name for trial in trials_named(names) if trial.source != "simulated" or trial.name in names]
    runs = find_campaign(catalog, campaign)
    name = runs[0].said["campaign"]
    with progress_on(console) as progress:
        bars = _Bars(progress)
        bars.ready()
        for order in orders(catalog, runs, config, chosen):
            bars.scan(order.title, 0)
            take(order.plan(name, frames, bars.frame))
        runs = find_campaign(catalog, name)
        bars.expect(len(runs))
        for done, run in enumerate(runs, start=1):
            _analysed(catalog, run, config)
            bars.analysed(done)
        extra = halves(catalog, runs, config, out) if "halved" in chosen else []
        outcomes, parts = judged(catalog, name, config, chosen, extra)
    about = About(
        campaign=name,
        simulated=any(run.start.get("truth") for run in runs),
        version=__version__,
        level=config.commissioning.expected.level,
    )
    text, picture = leave_page(outcomes, parts, about, out)
    tell(console, outcomes, about, text, picture)
    return all(one.verdict == "pass" for one in outcomes)


def _analysed(catalog: Catalog, run: CampaignRun, config: Config) -> None:
    """See to it that a run has a record by these settings, and a model's answer."""
    infer(catalog, assemble.analyze_run(catalog, run.uid, config).key, config)


def leave_page(
    outcomes: Sequence[TrialOutcome], parts: Mapping[str, Part], about: About, directory: Path
) -> tuple[Path, Path]:
    """Write the page as text and as a picture; their files."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"commissioning_{about.campaign.replace(' ', '_').replace(':', '')}"
    text = directory / f"{stem}.md"
    text.write_text(markdown(outcomes, about), encoding="utf-8")
    return text, save(page(outcomes, parts, about), directory / f"{stem}.png", overwrite=True)


def tell(console: Console, outcomes: Sequence[TrialOutcome], about: About, text: Path, picture: Path) -> None:
    """What the page says, short."""
    colours = {"pass": "green", "fail": "red", "undetermined": "yellow", None: "dim"}
    simulated = about.simulated
    table = Table(title=headline(outcomes, simulated=simulated), title_style="bold", show_header=False)
    for trusted in trust(outcomes, simulated=simulated):
        table.add_row(Text(WORDS[trusted.verdict], colours[trusted.verdict]), Text(trusted.capability, "bold"))
        for one in outcomes:
            if one.capability != trusted.capability:
                continue
            table.add_row(Text(one.verdict, colours[one.verdict]), Text(f"  {one.title}"))
            for finding in one.findings:
                if finding.verdict != "pass":
                    table.add_row("", Text(f"    {finding.what}: {finding.found}; expected {finding.expected}"))
        for title in trusted.untried if trusted.verdict is not None else ():
            table.add_row(Text("not tried", "dim"), Text(f"  {title}"))
    console.print()
    console.print(table)
    console.print(f"\nWhy: {text}\n     {picture}", highlight=False, soft_wrap=True)


class _Bars:
    """Progress of services, scans and analyses."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._services = progress.add_task("starting Tiled and Prefect", total=None)
        self._scan: TaskID | None = None
        self._before = self._last = 0
        self._analyses = progress.add_task("analyses", total=None)

    def ready(self) -> None:
        self._progress.update(self._services, description="catalog ready", total=1, completed=1)

    def scan(self, title: str, frames: int) -> None:
        """A scan begins; 0 frames where their number is not known before."""
        if self._scan is not None:
            self._progress.update(self._scan, total=self._before + self._last)
        self._before = self._last = 0
        self._scan = self._progress.add_task(title, total=frames or None)

    def frame(self, done: int) -> None:
        """Watcher of the detector; a run of the scan begins with its frame 1."""
        if done <= self._last:
            self._before += self._last
        self._last = done
        if self._scan is not None:
            self._progress.update(self._scan, completed=self._before + done)

    def expect(self, count: int) -> None:
        if self._scan is not None:
            self._progress.update(self._scan, total=self._before + self._last)
        self._progress.update(self._analyses, total=count)

    def analysed(self, count: int) -> None:
        self._progress.update(self._analyses, completed=count)
