"""Scans written as Eiger files: what an analysis reads from them is the theory of their draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gbx_beamline as gbx
from gbx_beamline.errors import GeometryError, InputError, SeriesError
from gbx_beamline.records import Geometry
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.eiger_scan import write_scan
from gbx_beamline.simulation.measurement import Measurement

SHAPE, FRAMES, STEP = (96, 128), 40, 60.0
GEOMETRY = Geometry(
    shape=SHAPE,
    beam_center_x=-1200.0,
    beam_center_y=48.0,
    distance=10.08,
    wavelength=1.285e-10,
    pixel_size_x=75e-6,
    pixel_size_y=75e-6,
    flip_y=True,
)
"""|q| from 0.044 to 0.048 1/Angstrom."""
BOUNDARY = GrainBoundary(gamma=5e17, diffusivity=5e-22, gb_fraction=0.4, temperature=420.0, bow=4e-8, boundaries=2)
MEASUREMENT = Measurement(
    frames=FRAMES,
    frame_time=STEP,
    pixels=(1,),
    contrast=(0.5,),
    mean_counts=(5.0,),
    speckle_size=1.5,
    background=(0.1,),
)
GAP = np.zeros(SHAPE, dtype=np.uint32)
GAP[40:50] = 1


def write(folder: Path, measurement: Measurement = MEASUREMENT, **changes: Any) -> Any:
    said: dict[str, Any] = {"geometry": GEOMETRY, "seed": 3, "pixel_mask": GAP, "frames_per_file": 15}
    boundary = changes.pop("boundary", BOUNDARY)
    return write_scan(folder, boundary, measurement, **(said | changes))


RINGS = ({"q": (0.0441, 0.0455)}, {"q": (0.0460, 0.0474)})


def test_a_written_scan_opens_as_a_measured_one(tmp_path: Path) -> None:
    scan = write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"simulated_data_{number:06d}.h5" for number in (1, 2, 3)),
        "simulated_master.h5",
    ]
    series = gbx.open_series(scan.master)
    assert series.shape == (FRAMES, *SHAPE)
    assert series.frame_time == STEP
    assert series.geometry == GEOMETRY
    assert np.array_equal(series.mask, GAP == 0)
    frames = np.concatenate([block for _, block in series.blocks()])
    assert np.array_equal(frames[:, series.mask], np.stack(list(scan.movie))[:, series.mask])


def test_the_maps_of_the_files_are_the_theory_of_their_draws(tmp_path: Path) -> None:
    apart = ~np.eye(FRAMES, dtype=bool)
    found: dict[str, list[float]] = {"level": [], "drift": []}
    for seed in range(6):
        scan = write(tmp_path, prefix=f"scan_{seed}", seed=seed)
        series = gbx.open_series(scan.master)
        rois = gbx.q_rois(series.geometry, rings=RINGS, mask=series.mask)
        tt = gbx.two_time(series, rois, groups=0)
        for roi in range(2):
            truth = scan.movie.true_two_time(_q_of(rois.labels == roi + 1))[apart] - 1.0
            measured = tt.g2[roi][apart].astype(np.float64) - 1.0
            drift = truth - truth.mean()
            assert np.sqrt((drift**2).mean()) > 0.04
            # 3,300 pixels hold about 1,500 speckles of two modes: an entry is off by 2 (1/2 + 1/5) / sqrt(1500) = 0.04.
            assert np.abs(measured - truth).max() < 0.2
            found["level"].append(measured.mean() / truth.mean())
            found["drift"].append(float((measured * drift).sum() / (drift**2).sum()))
    # Scans and q-ROIs are experiments of their own: how they scatter says how wrong their mean can be.
    for name, limit in (("level", 0.02), ("drift", 0.03)):
        shares = np.array(found[name])
        error = shares.std(ddof=1) / np.sqrt(len(shares))
        assert error < limit
        assert abs(shares.mean() - 1.0) < 4 * error, name


def test_lost_frames_are_those_of_the_traces(tmp_path: Path) -> None:
    scan = write(tmp_path, replace(MEASUREMENT, bad_frames=0.1, beam_dump=0.1))
    series = gbx.open_series(scan.master)
    frames = np.concatenate([block for _, block in series.blocks()])
    assert not frames[~scan.movie.traces.beam][:, series.mask].any()
    assert (~scan.movie.traces.valid).sum() == 8
    level = frames[:, series.mask].mean(axis=1)
    assert level[scan.movie.traces.valid] == pytest.approx(5.0, rel=0.1)


def test_same_seed_same_counts_and_another_prefix_lies_beside(tmp_path: Path) -> None:
    brief = replace(MEASUREMENT, frames=3)
    masters = [write(tmp_path, brief, prefix=name, seed=seed).master for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, again, other = (next(iter(gbx.open_series(master).blocks()))[1] for master in masters)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(SeriesError, match="exists already"):
        write(tmp_path, brief, prefix="a")


def test_grazing_incidence_sees_q_in_the_plane_and_q_z_where_the_convention_asks(tmp_path: Path) -> None:
    grazing = GEOMETRY.with_changes(mode="gisaxs", incidence=np.radians(0.25), beam_center_y=400.0)
    still = replace(BOUNDARY, gb_fraction=0.0)
    total = replace(still, q_convention="total")
    parallel, both = (
        write(tmp_path / name, replace(MEASUREMENT, frames=2), geometry=grazing, boundary=boundary, pixel_mask=None)
        for name, boundary in (("parallel", still), ("total", total))
    )
    q = 4.5e8
    # They differ by the decay at q_z, of which the image's mean counts: k sin(2 theta), the angle above the beam.
    told = [np.log(scan.movie.true_two_time(q)[0, 1] - 1.0) for scan in (parallel, both)]
    k = 2 * np.pi / 1.285e-10
    q_z = k * ((400.0 - np.arange(96)) * 75e-6 / 10.08).mean()
    assert told[0] - told[1] == pytest.approx(2 * 5e-22 * q_z**2 * STEP, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"geometry": GEOMETRY.with_changes(flip_y=False)}, GeometryError, "flip_y=False.* row 0 at the top"),
        ({"geometry": GEOMETRY.with_changes(distance=None)}, GeometryError, "distance"),
        ({"mean_counts": np.ones((2, 2))}, InputError, r"mean_counts of shape \(2, 2\)"),
        ({"pixel_mask": np.zeros((2, 2), np.uint32)}, SeriesError, r"pixel_mask of shape \(2, 2\)"),
        ({"seed": -1}, InputError, "seed -1"),
    ],
)
def test_what_cannot_be_is_refused_before_a_file_exists(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write(tmp_path / "scan", **changes)
    assert not (tmp_path / "scan").exists()


def _q_of(pixels: Any) -> Any:
    """|q| of pixels by the small-angle formula, which holds to 1e-6 here."""
    y, x = np.nonzero(pixels)
    radius = np.hypot(x + 1200.0, y - 48.0) * 75e-6
    return 2 * np.pi / 1.285e-10 * radius / 10.08
