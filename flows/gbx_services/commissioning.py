"""The commissioning suite from measured scans to the page: faults put in, halves analysed, everything judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gbx_beamline import assemble, pipeline
from gbx_beamline.catalog import Catalog
from gbx_beamline.catalog.campaigns import CampaignRun, find_campaign
from gbx_beamline.commissioning import BOUNDARIES, COLLOID, SAMPLE, STATIC, Part, TrialOutcome, judge
from gbx_beamline.commissioning.collecting import part_of, parts_of
from gbx_beamline.commissioning.injection import Binned, Dump, FluxRamp, Injection, Jump, Permuted, Scrambled, Shift
from gbx_beamline.commissioning.injection import upper_half as upper_half_of
from gbx_beamline.config import Config, InjectedConfig, RoiConfig
from gbx_beamline.frames import Series, open_series
from gbx_beamline.records import RoiSet
from gbx_bluesky.commissioning import injected
from gbx_bluesky.commissioning_feeds import InjectedFeed, recorded
from gbx_bluesky.eiger import SimulatedEiger

_SHIFTED, _DUMPED, _JUMPED = 0.5, 0.4, 0.6
"""Of the scan: where faults are put in."""

_LOOKED_AT = (COLLOID, BOUNDARIES, SAMPLE)
"""Trials whose first scan is looked at in several ways."""

FAULTS = ("shift", "dump", "flux_ramp", "jump")

Watcher = Callable[[int], None]


@dataclass(frozen=True)
class _Source:
    """A recorded scan."""

    run: CampaignRun
    series: Series
    """With mask and geometry as the analysis has them."""
    rois: RoiSet


@dataclass(frozen=True)
class Order:
    """One injection to be made."""

    title: str
    trial: str
    part: str
    injection: Injection
    expected: dict[str, Any]
    source: _Source

    def plan(self, campaign: str, directory: Path, watcher: Watcher) -> Any:
        """Takes the frames once more through a detector that writes files to ``directory``."""
        series = self.source.series
        feed = InjectedFeed(series, self.injection, watcher=watcher)
        detector: Any = SimulatedEiger(directory=directory, feed=feed, geometry=series.geometry)
        return injected(
            detector,
            campaign=campaign,
            trial=self.trial,
            part=self.part,
            expected=self.expected,
            source=dict(self.source.run.start),
        )


def orders(catalog: Catalog, runs: list[CampaignRun], config: Config, names: Collection[str]) -> Iterator[Order]:
    """Injections that these trials ask for, and that the campaign does not have yet.

    Args:
        catalog: Where the scans are.
        runs: Of the campaign.
        config: How they are analysed, and what is put in.
        names: Trials.
    """
    there = {(run.said["trial"], run.said["part"]) for run in runs}
    settings = config.commissioning.injected
    if any(name in names for name in FAULTS) and (static := _first(runs, STATIC)) is not None:
        source = _opened(catalog, static, config)
        for name in FAULTS:
            if name in names and (name, "the reference") not in there:
                injection, expected = _fault(name, source, settings)
                yield Order(f"static reference: {name}", name, "the reference", injection, expected, source)
    for trial in _LOOKED_AT:
        if (scan := _first(runs, trial)) is None or not {"rebinned", "permuted"} & set(names):
            continue
        source = _opened(catalog, scan, config)
        for name, part, injection, expected in _looks(trial, scan, settings):
            if name in names and (name, part) not in there:
                yield Order(f"{part}: {name}", name, part, injection, expected, source)


def _first(runs: list[CampaignRun], trial: str) -> CampaignRun | None:
    return next((run for run in runs if run.said["trial"] == trial), None)


def _opened(catalog: Catalog, run: CampaignRun, config: Config) -> _Source:
    settings = assemble.settings_for(catalog, config, run.start.get("sample")).analysis
    series = open_series(catalog.run(run.uid), frame_time=settings.frame_time_s)
    _, rois = pipeline.select(series, settings, catalog_array=catalog.array)
    return _Source(run, series, rois)


def _fault(name: str, source: _Source, settings: InjectedConfig) -> tuple[Injection, dict[str, Any]]:
    frames, frame_time = len(source.series), source.series.frame_time
    if name == "shift":
        start = round(_SHIFTED * frames)
        expected = {"start_s": start * frame_time, "rows": 0, "columns": settings.shift_pixels}
        return Shift(start=start, columns=settings.shift_pixels), expected
    if name == "dump":
        began = _DUMPED * frames * frame_time
        return (
            Dump(start=began, seconds=settings.dump_s, seed=settings.seed),
            {"start_s": began, "seconds": settings.dump_s},
        )
    if name == "flux_ramp":
        return FluxRamp(lost=settings.flux_lost, seed=settings.seed), {"lost": settings.flux_lost}
    start = round(_JUMPED * frames)
    jump = Jump.in_regions(
        recorded(source.series), source.rois.labels, start=start, share=settings.jump, seed=settings.seed
    )
    return jump, {"start_s": start * frame_time, "losses": list(jump.losses)}


def _looks(
    trial: str, scan: CampaignRun, settings: InjectedConfig
) -> Iterator[tuple[str, str, Injection, dict[str, Any]]]:
    """Trial, part, what is done and what is expected, for one scan that is looked at in several ways."""
    name = trial.replace("_", " ")
    yield "rebinned", name, Binned(), {"of": f"{trial}: {scan.said['part']}"}
    yield "permuted", name, Permuted(seed=settings.seed), {}
    yield "permuted", f"{name}, each tile by itself", Scrambled(seed=settings.seed), {"each_tile": True}


def halves(catalog: Catalog, runs: list[CampaignRun], config: Config, directory: Path) -> list[Part]:
    """Analyse half of each q-ROI of the scans that are looked at in several ways; earlier results stay.

    Args:
        catalog: Where the scans are.
        runs: Of the campaign.
        config: How they are analysed.
        directory: For the label images.
    """
    parts = []
    for trial in _LOOKED_AT:
        if (run := _first(runs, trial)) is None:
            continue
        source = _opened(catalog, run, config)
        labels = directory / f"halved_{trial}_{run.uid[:8]}.npy"
        labels.parent.mkdir(parents=True, exist_ok=True)
        np.save(labels, upper_half_of(source.rois.labels))
        key = assemble.analyze_run(catalog, run.uid, config, rois=RoiConfig(labels=labels)).key
        infer(catalog, key, config)
        told = {"of": f"{trial}: {run.said['part']}"}
        parts.append(part_of(catalog, key, "halved", trial.replace("_", " "), told))
    return parts


def infer(catalog: Catalog, key: str, config: Config) -> None:
    """Ask the configured model, where the record is a result."""
    from gbx_beamline.catalog.schema import is_failure_key

    if config.models.infer and not is_failure_key(key):
        assemble.infer_record(catalog, key, config)


def judged(
    catalog: Catalog, campaign: str, config: Config, names: Collection[str], extra: list[Part]
) -> tuple[list[TrialOutcome], Mapping[str, Part]]:
    """Judge what the catalog holds of a campaign.

    Args:
        catalog: Where the records are.
        campaign: Name of it.
        config: What is expected.
        names: Trials to be judged.
        extra: Parts that are further analyses of its runs.

    Returns:
        The outcomes, and all parts by trial and name.
    """

    def settings_of(sample: str | None) -> str:
        return assemble.settings_for(catalog, config, sample).analysis.hash

    parts = [*parts_of(catalog, find_campaign(catalog, campaign), settings_of), *extra]
    return judge(parts, config.commissioning, tuple(names)), {f"{part.trial}: {part.name}": part for part in parts}
