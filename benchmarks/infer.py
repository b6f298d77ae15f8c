"""Inference of one scan by the default model: seconds by the number of q-ROIs, and what the predictive check adds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.rounds import Way, busy_note, clocked, interleave
from benchmarks.table import Table
from gbx_beamline import load_model
from gbx_beamline.learning.predictor import Model
from gbx_beamline.records import TwoTime
from gbx_beamline.simulation.measurement import draw_sample_group, draw_seen, measured_two_time

ROIS = (1, 3, 10)
FRAMES, WINDOW, TEMPERATURE = 256, 2500.0, 400.0


def run(*, quick: bool) -> Iterator[Table]:
    """Time predictions; ``quick`` takes fewer rounds."""
    model = load_model()
    scans = {rois: scan_of(rois) for rois in ROIS}
    ways: dict[str, Way] = {}
    for rois, tt in scans.items():
        ways[f"{rois} q-ROI{'s' if rois > 1 else ''}"] = clocked(lambda tt=tt: model.predict(tt, TEMPERATURE))
    ways[f"{ROIS[-1]} q-ROIs, scans simulated from the answer"] = clocked(lambda: checked(model, scans[ROIS[-1]]))
    timed = interleave(ways, 3 if quick else 9, say="inference")
    unit = timed["1 q-ROI"].median
    yield Table(
        title=f"Inference of one scan of {FRAMES} frames: posterior of 2,000 samples, comparison, flags",
        columns=("scan", "seconds", "over 1 q-ROI"),
        rows=tuple((name, str(each), f"{each.median / unit:.1f}") for name, each in timed.items()),
        notes=(f"Model {model.id}. Loading it once takes what importing torch takes.", busy_note(timed.values())),
    )


def scan_of(rois: int) -> TwoTime:
    """A measured scan of grain boundaries at so many q-ROIs."""
    rng = np.random.default_rng(7)
    q = np.linspace(3.9e8, 5.1e8, rois).tolist() if rois > 1 else [4.5e8]
    (scan,) = draw_sample_group(
        rng, [TEMPERATURE], q=q, frames=FRAMES, frame_time=WINDOW / FRAMES, pixels=(1_500, 2_500)
    )
    draw = draw_seen(scan.boundary, scan.measurement, 7)
    return measured_two_time(draw, scan.measurement, 7, q_par=q).two_time


def checked(model: Model, tt: TwoTime) -> None:
    """With the posterior predictive check."""
    model.predict(tt, TEMPERATURE, check=True)
