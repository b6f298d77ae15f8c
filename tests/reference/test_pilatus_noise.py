"""Photon noise of a real photon-counting detector: C(t, t) - C(t, t') = 1 / <I>.

Pilatus3 6M frames of a crystal (thaumatin grid scan), opened as a user opens them: gaps and bad pixels, which read
-1 and -2, are masked by ``open_series``. Used are frames 15 to 18, those behind the crystal's edge: the data's
description names frame 14 as the last with Bragg spots, and a spot that moves in and out of a ring is no photon noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.correlation import one_time, two_time
from gbx_beamline.errors import InputError
from gbx_beamline.frames import Series, open_series
from gbx_beamline.records import TwoTime

LAST_WITH_BRAGG_SPOTS = 14
RINGS = np.arange(0.4, 1.41, 0.1)
"""1/Angstrom, edges of ten rings. The crop ends at 1.4; below 0.4 a ring has fewer than 7,000 pixels, and the law is
tested to 10 % of a noise of 0.17."""


@pytest.fixture(scope="module")
def series(shared_data: Path) -> Series:
    path = shared_data / "frames" / "i24_pilatus_gridscan_crop512_i32.npz"
    with np.load(path) as data:
        return open_series(path, frame_time=float(data["period_s"]))


@pytest.fixture(scope="module")
def rings(series: Series, shared_data: Path) -> TwoTime:
    with np.load(shared_data / "frames" / "i24_pilatus_gridscan_crop512_i32.npz") as data:
        y, x = np.indices(series.shape[1:])
        centre_y, centre_x = data["beam_center_yx_full"] - data["origin_yx"]
        radius = np.hypot(y - centre_y, x - centre_x) * float(data["pixel_size_m"])
        angle = np.arctan(radius / float(data["distance_m"]))
        q = 4 * np.pi / float(data["wavelength_A"]) * np.sin(angle / 2)
    # np.digitize says 0 below the first edge and len(RINGS) from the last on: both are outside.
    return two_time(series, np.digitize(q, RINGS) % len(RINGS), bad_frames=range(LAST_WITH_BRAGG_SPOTS + 1))


def test_gaps_and_bad_pixels_are_masked_on_opening(series: Series, rings: TwoTime) -> None:
    assert series.excluded == {"negative": 29_358}
    assert (series.read(0, len(series))[:, series.mask] >= 0).all()
    with pytest.raises(InputError, match=r"negative count\(s\) in frame 0"):
        two_time(series.read(0, len(series)), np.ones(series.shape[1:], dtype=int))
    assert rings.frame_time == 0.02


def test_diagonal_exceeds_its_surroundings_by_one_over_the_mean_count(rings: TwoTime) -> None:
    first = LAST_WITH_BRAGG_SPOTS + 1
    assert len(rings.pixels) == 10
    assert rings.pixels.min() > 7000
    assert np.isnan(rings.g2[:, :first]).all()
    for roi in range(10):
        c = rings.g2[roi, first:, first:].astype(float)
        apart = c[~np.eye(len(c), dtype=bool)].mean()
        predicted = (1.0 / rings.frame_means[roi, first:]).mean()
        assert np.diagonal(c).mean() - apart == pytest.approx(predicted, rel=0.1)


def test_factorial_moment_takes_the_photon_noise_off(rings: TwoTime) -> None:
    # The scattering does not change between these frames, so the clean diagonal continues the other lags.
    g2 = one_time(rings).g2
    noise = 1.0 / rings.mean_counts
    assert np.abs(g2[:, 0] - g2[:, 1]).max() < 0.1 * noise.min()
