"""Who moved: shifts and knocks that are known, and what cannot be told without more evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.care import block_sums, check_motion, find_jumps, follow_beam, who_moved
from gbx_beamline.config import BeamBoxConfig, CareConfig
from gbx_beamline.frames import open_series
from gbx_beamline.records import BeamCheck, JumpCheck, MotionCheck, Movement
from gbx_beamline.simulation import SpeckleMovie

FRAMES, AT = 128, 64
SIDE = 64
BOX = BeamBoxConfig(rows=(2, 24), columns=(10, 40))
Y, X = (part.ravel() for part in np.indices((SIDE, SIDE)))
TIMES: NDArray[np.float64] = (np.arange(32, dtype=np.float64) + 0.5) * 4.0 - 0.5
STEP = np.where(np.arange(32) < 16, 0.0, 1.0)
JITTER = 0.01 * np.random.default_rng(9).normal(size=32)


def speckles(shift: tuple[int, int] = (0, 0), *, rate: float = 0.002, seed: int = 1) -> MotionCheck:
    """The motion check of speckles that jump by whole pixels at frame AT."""
    side = SIDE + 8
    movie = SpeckleMovie((side, side), FRAMES, rate=rate, modes=3, mean_counts=5.0, speckle_size=3.0, seed=seed).read(
        0, FRAMES
    )
    frames = [np.roll(frame, shift if t >= AT else (0, 0), (0, 1)) for t, frame in enumerate(movie)]
    rows = np.stack([frame[4:-4, 4:-4].ravel() for frame in frames])
    return check_motion(block_sums(rows), Y, X)


def spot(shift: tuple[float, float] = (0.0, 0.0), *, peak: float = 200.0) -> NDArray[np.uint32]:
    """(N, 32, 64) counts of a reflected beam that jumps at frame AT, on a little background."""
    y, x = np.mgrid[:32, :64]
    rng = np.random.default_rng(2)
    out = []
    for t in range(FRAMES):
        row, column = (12.0 + shift[0], 25.0 + shift[1]) if t >= AT else (12.0, 25.0)
        out.append(rng.poisson(0.5 + peak * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 2.0**2))))
    return np.array(out, dtype=np.uint32)


def followed(frames: NDArray[Any], **changes: Any) -> BeamCheck:
    series = open_series(frames, frame_time=1.0)
    return follow_beam(series, BOX.model_copy(update=changes), np.ones(len(series), dtype=bool), blocks=32)


def judged(
    motion: MotionCheck | None, beam: BeamCheck | None, traces: Mapping[str, Any] | None = None, jumps: Any = ()
) -> Movement:
    return who_moved([] if motion is None else [motion], jumps, beam, traces or {}, settings=CareConfig())


@pytest.fixture(scope="module")
def still() -> MotionCheck:
    return speckles()


@pytest.fixture(scope="module")
def shifted() -> MotionCheck:
    return speckles((1, 0))


def test_the_spot_is_followed_to_a_fraction_of_a_pixel_whatever_the_background() -> None:
    found = followed(spot((0.5, -1.25)))
    assert found.status == "ok"
    moved = found.centroid[16:].mean(axis=0) - found.centroid[:16].mean(axis=0)
    assert moved == pytest.approx([0.5, -1.25], abs=0.02)
    inside = np.abs(found.centroid[:16] - [12.0, 25.0]) / found.centroid_error[:16, None]
    assert 0.5 < np.sqrt(np.mean(inside**2)) < 1.5
    assert found.times == pytest.approx(TIMES + 0.0, abs=0.6)


@pytest.mark.parametrize(
    ("speckle", "beam", "traces", "what"),
    [
        ((0, 0), (0, 0), {}, "none seen"),
        ((1, 0), (1, 0), {}, "beam or detector"),
        ((1, 0), (1, 0), {"beam_x": 2e-6 * STEP + 1e-7 * JITTER}, "beam"),
        ((1, 0), (1, 0), {"beam_x": 1e-6 * JITTER, "beam_y": 1e-6 * JITTER[::-1]}, "detector"),
        ((1, 0), (0, 0), {}, "sample"),
        ((1, 0), (2, 0), {}, "sample or beam"),
        ((0, 0), (1, 0), {}, "sample or beam"),
        ((1, 0), None, {}, "beam, sample or detector"),
    ],
)
def test_who_moved_follows_from_what_moved_together(
    still: MotionCheck, shifted: MotionCheck, speckle: Any, beam: Any, traces: Any, what: str
) -> None:
    found = judged(shifted if any(speckle) else still, None if beam is None else followed(spot(beam)), traces)
    assert found.what == what
    if what != "none seen" and speckle == beam:
        ratio = next(text for text in found.evidence if text.startswith("speckle shift over"))
        assert float(ratio.split()[-4]) == pytest.approx(1.0, abs=0.1)
    if any(speckle):
        assert "1.0" in found.evidence[0] or "1.1" in found.evidence[0]


def test_a_knock_without_a_shift_is_the_samples_unless_the_beam_stepped(still: MotionCheck) -> None:
    profile = np.full(FRAMES, 0.001)
    profile[AT] = 0.15
    movie = SpeckleMovie((SIDE, SIDE), FRAMES, rate=1.0, profile=profile, modes=3, mean_counts=5.0, seed=5)
    rows = movie.read(0, FRAMES).reshape(FRAMES, -1).astype(np.float64)
    rows /= rows.mean(axis=1, keepdims=True)
    jumps: list[JumpCheck] = [find_jumps(rows @ rows.T / rows.shape[1], 1 / 3, frame_time=1.0)]
    assert jumps[0].jumps
    beam = followed(spot())
    alone = judged(still, beam, jumps=jumps)
    assert alone.what == "sample"
    assert "without a shift" in alone.words
    assert "a knock" in alone.words
    assert judged(still, beam, {"beam_y": 1e-6 * (STEP + JITTER)}, jumps).what == "beam"
    assert judged(still, beam, {"beam_y": 1e-6 * JITTER}, jumps).what == "sample"


def test_without_evidence_there_is_no_verdict() -> None:
    gone = speckles(rate=0.5)
    assert judged(gone, None).what == "not known"
    assert judged(None, None).what == "not known"
    beam = judged(gone, followed(spot((1.0, 0.0))))
    assert beam.what == "beam, sample or detector"
    assert "no speckle shift can be measured" in beam.words


def test_one_slow_drift_beside_another_is_no_evidence() -> None:
    rng = np.random.default_rng(3)
    centroid = np.column_stack([12.0 + np.linspace(0.0, 1.0, 32), np.full(32, 25.0)]) + 0.03 * rng.normal(size=(32, 2))
    drifting = BeamCheck(
        times=TIMES,
        intensity=np.full(32, 5e4),
        centroid=centroid,
        centroid_error=np.full(32, 0.03),
        status="ok",
    )
    # Steps, not trends, are compared.
    found = judged(None, drifting, {"beam_x": np.linspace(0.0, 1e-6, 32) + 1e-7 * JITTER})
    assert found.what == "beam, sample or detector"
    assert any("cannot be told" in text for text in found.evidence)


@pytest.mark.parametrize(
    ("frames", "changes", "why"),
    [
        (spot(peak=0.0), {}, "no spot in the box"),
        (spot(), {"rows": (20, 40)}, "the box for the beam ends at (40, 40)"),
        (np.where(spot() > 150, np.uint32(2**32 - 1), spot()), {}, "masked"),
    ],
)
def test_a_spot_that_cannot_be_followed_says_why(frames: NDArray[Any], changes: Any, why: str) -> None:
    found = followed(frames, **changes)
    if why == "masked":  # a beam that saturates in some frames only
        why = "saturates"
    assert why in found.status
    assert why in " ".join(judged(None, found).evidence)
