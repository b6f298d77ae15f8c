"""What is put into recorded frames: exact on counts, and no more than it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.commissioning.injection import (
    Binned,
    Dump,
    FluxRamp,
    Injection,
    Jump,
    Permuted,
    Recorded,
    Scrambled,
    Shift,
    upper_half,
)
from gbx_beamline.errors import InputError
from gbx_beamline.simulation import SpeckleMovie

SHAPE, FRAMES = (64, 64), 40
GOOD = np.ones(SHAPE, dtype=bool)
GOOD[30:34] = False


@pytest.fixture(scope="module")
def counts() -> NDArray[np.uint16]:
    movie = SpeckleMovie(SHAPE, FRAMES, rate=0.0, modes=2, mean_counts=5.0, seed=8)
    frames = movie.read(0, FRAMES).astype(np.uint16)
    frames[:, ~GOOD] = 0
    return frames


@pytest.fixture(scope="module")
def scan(counts: NDArray[np.uint16]) -> Recorded:
    return Recorded(lambda index: counts[index], FRAMES, 2.0, GOOD)


def put_in(injection: Injection, scan: Recorded) -> NDArray[Any]:
    injection.check(scan)
    return np.stack([injection.frame(scan, index) for index in range(injection.length(scan))])


def test_a_shift_moves_what_the_detector_sees_and_leaves_its_gap(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    found = put_in(Shift(start=10, rows=1, columns=2), scan)
    assert (found[:10] == counts[:10]).all()
    assert (found[10:, 1:30, 2:] == counts[10:, :29, :-2]).all()
    # What would come from under the gap stays what it was; the gap itself is masked when it is written.
    assert (found[10:, 34, 2:] == counts[10:, 34, 2:]).all()


def test_a_dump_takes_its_share_of_the_frames_at_its_ends(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    found = put_in(Dump(start=21.0, seconds=10.0), scan)
    totals = found.sum(axis=(1, 2)) / counts.sum(axis=(1, 2))
    assert totals[:10] == pytest.approx(1.0)
    assert totals[10] == pytest.approx(0.5, abs=0.02)
    assert (totals[11:15] == 0.0).all()
    assert totals[15] == pytest.approx(0.5, abs=0.02)
    assert totals[16:] == pytest.approx(1.0)
    assert (found <= counts).all()


def test_a_ramp_of_the_flux_leaves_photon_statistics_as_they_are(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    found = put_in(FluxRamp(lost=0.5), scan)
    totals = found.sum(axis=(1, 2)) / counts.sum(axis=(1, 2))
    assert totals == pytest.approx(1.0 - 0.5 * np.arange(FRAMES) / (FRAMES - 1), abs=0.03)
    # Thinned photons are photons: the factorial moment of the last frame is what its speckles have, not less.
    last, before = found[-1][GOOD].astype(float), counts[-1][GOOD].astype(float)
    moments = [(values**2 - values).mean() / values.mean() ** 2 for values in (last, before)]
    assert moments[0] == pytest.approx(moments[1], rel=0.1)


def correlation(one: NDArray[Any], other: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    a, b = one[inside].astype(float), other[inside].astype(float)
    return float((a * b).mean() / (a.mean() * b.mean()) - 1.0)


def test_a_jump_costs_what_it_says_across_it_and_nothing_else(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[:30, :], labels[34:, :] = 1, 2
    jump = Jump.in_regions(scan, labels, start=20, share=0.1, seed=3)
    found = put_in(jump, scan)
    for label, lost in enumerate(jump.losses, start=1):
        assert lost == pytest.approx(0.1, abs=0.05)
        inside = labels == label
        within = np.mean([correlation(found[i], found[j], inside) for i in (2, 7, 11) for j in (4, 9, 15)])
        after = np.mean([correlation(found[i], found[j], inside) for i in (22, 27, 31) for j in (24, 29, 35)])
        across = np.mean([correlation(found[i], found[j], inside) for i in (2, 7, 11, 15) for j in (24, 29, 35, 38)])
        assert after == pytest.approx(within, rel=0.05)
        assert 1.0 - across / within == pytest.approx(lost, abs=0.04)
        assert sorted(found[25][inside]) == sorted(counts[25][inside]), "only places change"
    other = labels == 0
    assert (found[:, other] == counts[:, other]).all()


def test_a_region_without_whole_tiles_is_refused(scan: Recorded) -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[:7] = 1
    with pytest.raises(InputError, match="0 whole tiles of 8 x 8 pixels; needed: enough to exchange 3%"):
        Jump.in_regions(scan, labels, start=20, share=0.03)


def test_an_order_of_chance_has_the_same_frames(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    found = put_in(Permuted(seed=1), scan)
    assert not (found == counts).all()
    assert sorted(found.sum(axis=(1, 2))) == sorted(counts.sum(axis=(1, 2)))


def test_tiles_in_orders_of_their_own_keep_every_pixels_counts(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    found = put_in(Scrambled(seed=1), scan)
    assert (np.sort(found, axis=0) == np.sort(counts, axis=0)).all()
    orders = [tuple(int(np.flatnonzero((counts[:, y : y + 8, :8] == tile).all(axis=(1, 2)))[0])
                    for tile in found[:, y : y + 8, :8]) for y in (0, 8)]  # fmt: skip
    assert sorted(orders[0]) == list(range(FRAMES))
    assert orders[0] != orders[1]


def test_frames_added_in_pairs_are_a_longer_exposure(scan: Recorded, counts: NDArray[np.uint16]) -> None:
    injection = Binned(factor=3)
    found = put_in(injection, scan)
    assert injection.frame_time(scan) == 6.0
    assert (found == counts[:39].reshape(13, 3, *SHAPE).sum(axis=1)).all()
    assert found.dtype == np.uint32, "sums do not wrap"


def test_what_cannot_be_done_is_refused(scan: Recorded) -> None:
    short = Recorded(scan.read, 3, 2.0, GOOD)
    with pytest.raises(InputError, match=r"3 frame.*needed: 4"):
        Binned().check(short)
    with pytest.raises(InputError, match="needed: 2 and more"):
        Permuted().check(Recorded(scan.read, 1, 2.0, GOOD))


def test_half_of_a_region_is_of_one_piece() -> None:
    labels = np.zeros((6, 4), dtype=np.int32)
    labels[1:5, 1:3], labels[:, 3] = 1, 2
    found = upper_half(labels)
    assert (np.argwhere(found == 1) == [[1, 1], [1, 2], [2, 1], [2, 2]]).all()
    assert (found == 2).sum() == 3
