"""Photon noise of a real photon-counting detector: C(t, t) - C(t, t') = 1 / <I>.

Pilatus3 6M frames of a crystal (thaumatin grid scan). The file tells the beam centre. Bragg spots are left out by
taking only the frames behind the crystal's edge: the data's description names frame index 14 as the last with
spots. Gaps and bad pixels are those that read below 0 in any frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.correlation import one_time, two_time
from gbx_beamline.errors import InputError
from gbx_beamline.records import TwoTime

LAST_WITH_BRAGG_SPOTS = 14
RINGS = np.arange(0.4, 1.41, 0.1)
"""1/Angstrom; wide enough for at least 7,000 pixels each."""


@pytest.fixture(scope="module")
def rings(shared_data: Path) -> TwoTime:
    with np.load(shared_data / "frames" / "i24_pilatus_gridscan_crop512_i32.npz") as data:
        frames = data["frames"]
        y, x = np.indices(frames.shape[1:])
        centre_y, centre_x = data["beam_center_yx_full"] - data["origin_yx"]
        radius = np.hypot(y - centre_y, x - centre_x) * float(data["pixel_size_m"])
        angle = np.arctan(radius / float(data["distance_m"]))
        q = 4 * np.pi / float(data["wavelength_A"]) * np.sin(angle / 2)
        labels = np.digitize(q, RINGS) % len(RINGS)
        good = (frames >= 0).all(axis=0)
        bad_frames = range(LAST_WITH_BRAGG_SPOTS + 1)
        with pytest.raises(InputError, match=r"negative count\(s\) in frame 15"):
            two_time(frames, labels, bad_frames=bad_frames)
        return two_time(frames, np.where(good, labels, 0), frame_time=float(data["period_s"]), bad_frames=bad_frames)


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
