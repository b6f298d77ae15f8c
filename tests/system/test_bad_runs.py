"""Runs as beamlines leave them, through the real flow: each ends in a record with reason and advice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from eiger_runs import GEOMETRY, movie, writer
from flow_runs import Configure
from tiled.client.container import Container

from gbx_beamline.catalog import Catalog, connect, load_record
from gbx_beamline.records import Geometry, ScanFailure
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_flows.end_of_run import end_of_run_workflow
from gbx_tiled.embedded import CatalogAddress

FRAMES = 20
RING = {"rois": {"rings": [{"q": [3e-4, 6e-4]}]}}


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture
def eiger(catalog_directory: Path) -> Callable[..., Any]:
    """A detector with so many frames and this geometry."""

    def made(frames: int = FRAMES, geometry: Geometry = GEOMETRY) -> Any:
        counts, mask = movie(frames, seed=11)
        folder = catalog_directory / "frames" / "bad_runs"
        return SimulatedEiger(
            directory=folder, feed=ReplayFeed(counts, pixel_mask=mask), geometry=geometry, frames_per_file=FRAMES // 2
        )

    return made


@pytest.fixture
def reason(
    configure: Configure, raw_runs: Container, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """What the record of a plan's run says, analysed so; a plan may fail."""

    def said(plan: Any, analysis: dict[str, Any] | None = None) -> str:
        engine, starts = RunEngine(), list[str]()
        engine.subscribe(writer(raw_runs))
        engine.subscribe(lambda _name, doc: starts.append(doc["uid"]), "start")
        with suppress(FailedStatus):
            engine(plan)
        configure(monkeypatch, {**RING, **(analysis or {})})
        outcome = load_record(catalog, end_of_run_workflow({"run_start": starts[0]}))
        assert isinstance(outcome, ScanFailure)
        found, _, rest = outcome.reason.partition("; needed: ")
        needed, _, advice = rest.partition("; ")
        assert all((found, needed, advice.strip(" .")))
        return outcome.reason

    return said


def test_a_run_that_was_aborted_before_its_series(reason: Callable[..., str], eiger: Callable[..., Any]) -> None:
    detector = eiger()

    @bpp.run_decorator(md={"detectors": [detector.name], "sample": "aborted", "plan_name": "count_series"})
    def broken() -> Any:
        yield from bps.null()

    assert "no image series" in reason(broken())


def test_a_series_that_ends_early(reason: Callable[..., str], eiger: Callable[..., Any]) -> None:
    """The detector breaks down: the run ends with exit_status "fail" and no event."""
    assert "no image series" in reason(
        count_series(eiger(FRAMES - 5), frames=FRAMES, frame_time=0.5, sample="ends early")
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"distance": -10.08}, "lacks distance (detector_distance is -10.08 in the file, which is impossible"),
        ({"wavelength": math.nan}, "incident_wavelength is nan in the file, which is impossible"),
        ({"distance": 0.0}, "distance"),
        ({"pixel_size_x": math.inf}, "pixel_size_x"),
    ],
    ids=["negative distance", "NaN wavelength", "no distance", "infinite pixels"],
)
def test_absurd_metadata(
    reason: Callable[..., str], eiger: Callable[..., Any], changed: dict[str, float], words: str
) -> None:
    detector = eiger(geometry=replace(GEOMETRY, **changed))
    assert words in reason(count_series(detector, frames=FRAMES, frame_time=0.5, sample="absurd"))


def test_a_series_beyond_the_ceiling(reason: Callable[..., str], eiger: Callable[..., Any]) -> None:
    """A million frames are refused as these twenty under a ceiling of a few bytes: by number, before they are read."""
    plan = count_series(eiger(), frames=FRAMES, frame_time=0.5, sample="beyond the ceiling")
    assert "raise the memory ceiling" in reason(plan, {"correlation": {"max_memory_gib": 1e-6}})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_frames(reason: Callable[..., str], catalog_directory: Path) -> None:
    """Written to the last frame, under the ceiling of every default configuration."""
    million = 1_000_000
    counts = np.broadcast_to(np.ones(GEOMETRY.shape, np.uint16), (million, *GEOMETRY.shape))
    detector = SimulatedEiger(
        directory=catalog_directory / "frames" / "million",
        feed=ReplayFeed(counts),
        geometry=GEOMETRY,
        frames_per_file=million // 10,
    )
    said = reason(count_series(detector, frames=million, frame_time=1e-4, sample="a million frames"))
    assert said.startswith("1000000 frames of ")
    assert "raise the memory ceiling, or take fewer ROIs or frames" in said
