"""A measured movie as a scan: Eiger files, RunEngine, Tiled, end-of-run flow, q-ROIs, and D from the stored record."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from bulk_water import HIGHEST, LOWEST, RINGS, BulkWater, bulk_water
from flow_runs import Configure, artifacts

from gbx_beamline.catalog import Catalog, RecordSummary, connect, find_records, load_record
from gbx_beamline.correlation import two_time
from gbx_beamline.records import Geometry, ScanResult
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_flows.end_of_run import end_of_run_workflow
from gbx_tiled.embedded import CatalogAddress

WAVELENGTH = 1.2848e-10
PIXEL = 75e-6
PER_UM = 1e6
"""1/um in 1/m."""
ANGSTROM = 1e-10
FRAMES_PER_FILE = 64
BEAMSTOP = 1.5
"""1/um."""


@dataclass(frozen=True)
class Analysed:
    movie: BulkWater
    files: list[Path]
    uid: str
    summary: RecordSummary
    record: ScanResult


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


def measure(movie: BulkWater, folder: Path, address: CatalogAddress, journal: Path) -> str:
    """Take the movie with the simulated detector; uid of the run.

    X-rays of CHX's energy on CHX's pixels, at the distance where a pixel is the movie's step in q (52 m).
    """
    column, row = movie.beam
    geometry = Geometry(
        shape=(movie.counts.shape[1], movie.counts.shape[2]),
        beam_center_x=column,
        beam_center_y=row,
        distance=2 * np.pi * PIXEL / (WAVELENGTH * movie.step * PER_UM),
        wavelength=WAVELENGTH,
        pixel_size_x=PIXEL,
        pixel_size_y=PIXEL,
    )
    # A beamstop where few spheres and their drift rule; the detector writes its pixels at the dtype's maximum.
    beamstop = (movie.q < BEAMSTOP).astype(np.uint32)
    feed = ReplayFeed(movie.counts, pixel_mask=beamstop)
    eiger: Any = SimulatedEiger(directory=folder, feed=feed, geometry=geometry, frames_per_file=FRAMES_PER_FILE)
    engine, writer = make_run_engine(address.uri, api_key=address.api_key, backup_directory=journal)
    try:
        plan = count_series(eiger, frames=len(movie.counts), frame_time=movie.frame_time, sample="1 um spheres")
        outcome: Any = engine(plan)
        assert writer.flush(timeout=60)
    finally:
        writer.close()
    return outcome[0]


@pytest.fixture(scope="module")
def analysed(
    shared_data: Path,
    catalog: Catalog,
    catalog_address: CatalogAddress,
    catalog_directory: Path,
    configure: Configure,
    tmp_path_factory: pytest.TempPathFactory,
) -> Analysed:
    movie = bulk_water(shared_data)
    folder = catalog_directory / "frames" / "bulk_water"
    uid = measure(movie, folder, catalog_address, tmp_path_factory.mktemp("journal"))
    edges = RINGS * PER_UM * ANGSTROM
    rings = [{"q": [float(low), float(high)]} for low, high in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        configure(patch, {"rois": {"rings": rings}})
        key = end_of_run_workflow({"run_start": uid})
    (summary,) = find_records(catalog, run_uid=uid)
    assert summary.key == key
    record = load_record(catalog, key)
    assert isinstance(record, ScanResult)
    return Analysed(movie, sorted(folder.glob("*.h5")), uid, summary, record)


def test_diffusivity_from_the_record_agrees_with_particle_tracking(analysed: Analysed) -> None:
    fits = analysed.record.fits
    assert [fit.status for fit in fits] == ["ok"] * 6
    q = analysed.record.rois.q_par / PER_UM
    diffusivity = np.array([fit.rate for fit in fits]) / q**2
    assert LOWEST < diffusivity.mean() < HIGHEST
    assert diffusivity.std() < 0.1 * diffusivity.mean()
    assert [fit.contrast for fit in fits] == pytest.approx([1.0] * 6, abs=0.12)


def test_rings_of_the_detector_are_the_rings_of_the_movie(analysed: Analysed) -> None:
    movie, rois = analysed.movie, analysed.record.rois
    np.testing.assert_array_equal(rois.labels, movie.labels)
    means = [movie.q[movie.labels == ring].mean() for ring in range(1, 7)]
    # The detector's q is that of a sphere, the movie's that of a plane: equal to (2 theta)^2.
    np.testing.assert_allclose(rois.q_par / PER_UM, means, rtol=1e-8)


def test_no_frame_is_lost_doubled_or_changed_on_the_way(analysed: Analysed) -> None:
    assert len(analysed.files) == 1 + 5, "a master and five data files"
    stored = analysed.record.two_time
    direct = two_time(analysed.movie.counts, analysed.movie.labels, frame_time=analysed.movie.frame_time)
    np.testing.assert_array_equal(stored.g2, direct.g2)
    np.testing.assert_array_equal(stored.frame_means, direct.frame_means)
    assert stored.frame_time == pytest.approx(analysed.movie.frame_time, rel=1e-6)
    assert analysed.record.excluded["bad_frames"] == 0


def test_the_record_leads_to_its_raw_run(analysed: Analysed, catalog: Catalog) -> None:
    assert analysed.summary.run_uid == analysed.uid == analysed.record.scan.run_uid
    start = catalog.run(analysed.summary.run_uid).metadata["start"]
    assert start["uid"] == analysed.uid
    assert analysed.record.scan.sample == start["sample"] == "1 um spheres"
    assert analysed.record.scan.started == start["time"]


def test_the_artifact_shows_table_and_picture(analysed: Analysed) -> None:
    (text,) = artifacts(analysed.uid)
    assert len(text) < 300_000
    _title, run, *said, table, picture = (part.splitlines() for part in text.split("\n\n"))
    assert analysed.uid in run[0]
    assert "Not judged by model gbx-" in said[0][0], "water in transmission is no matter of the model"
    names, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    rows = [dict(zip(names, line, strict=True)) for line in lines]
    assert [row["roi"] for row in rows] == list(analysed.record.rois.names)
    for row, fit, ne in zip(rows, analysed.record.fits, analysed.record.nonequilibrium, strict=True):
        assert float(row["tau_s"]) == pytest.approx(1 / fit.rate, rel=1e-3)
        assert float(row["s_noneq"]) == pytest.approx(ne.s_noneq, rel=1e-3)
        # Spheres come into the movie's view and leave it, for all rings at once: that, and nothing else, is remarked.
        verdict, *remarks = row["status"].split("; ")
        assert verdict == "ok"
        assert all(re.search(r"intensity changes by \d\d% over the series$", remark) for remark in remarks), remarks
    found = re.fullmatch(r"!\[.+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", picture[0])
    assert found is not None
    png = base64.b64decode(found[1], validate=True)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    assert min(pixels.shape[:2]) > 250
    assert np.ptp(pixels[..., :3]) > 0.5, "not a blank page"
