"""Real detector files: a Diamond master whose data are absent, Pilatus frames with gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames import open_series


@pytest.mark.parametrize("allow_incomplete", [False, True])
def test_master_without_its_data_opens_and_never_reads_zeros(shared_data: Path, allow_incomplete: bool) -> None:
    series = open_series(shared_data / "eiger" / "xrc_209_master.h5", allow_incomplete=allow_incomplete)
    assert series.shape == (240, 2162, 2068)
    assert series.dtype == np.uint16
    assert series.missing == ("xrc_209_000001.h5",)
    assert not series.present.any()
    geometry = series.geometry
    assert geometry.distance == pytest.approx(0.391228, rel=1e-5)
    assert geometry.wavelength == pytest.approx(0.9762535e-10, rel=1e-6)
    assert (geometry.beam_center_x, geometry.beam_center_y) == pytest.approx((1005.4534, 1050.7524))
    assert geometry.pixel_size_x == geometry.pixel_size_y == 75e-6
    assert series.frame_time == 0.004
    assert "frame_time absent in the file; count_time 0.004 s used" in series.notes
    with pytest.raises(MissingFramesError, match=r"xrc_209_000001\.h5"):
        series.read(0, 1, (slice(0, 4), slice(0, 4)))


def test_pilatus_gaps_and_bad_pixels(shared_data: Path) -> None:
    path = shared_data / "frames" / "i24_pilatus_gridscan_crop512_i32.npz"
    with pytest.raises(SeriesError, match="pass frame_time="):
        open_series(path)
    series = open_series(path, frame_time=0.02)
    assert series.shape == (19, 512, 512)
    assert dict(series.excluded) == {"negative": 29358}
    assert int((~series.mask).sum()) == 29358
    for _, block in series.blocks(max_bytes=2**22):
        assert block[:, series.mask].min() >= 0


def test_bead_movie_keeps_all_pixels(shared_data: Path) -> None:
    series = open_series(shared_data / "frames" / "bulk_water_cropA_u8.npz", frame_time=1 / 24)
    assert series.shape == (300, 256, 256)
    assert series.mask.all()
