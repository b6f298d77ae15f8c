"""A record as the catalog holds it, made by the real chain: what tests of exchange formats write out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gbx_beamline import analyze, open_series
from gbx_beamline.config import AnalysisConfig
from gbx_beamline.exchange import WholeRecord
from gbx_beamline.records import Estimate, Flag, Geometry, Inference, Refusal, ScanInference, ScanInfo
from gbx_beamline.simulation import SpeckleMovie

FRAMES, FRAME_TIME, RATE = 60, 0.5, 0.05
BAD = 20
"""A frame without a photon."""
UID = "0123abcd-1111-2222-3333-444455556666"


def whole_record() -> WholeRecord:
    """Colloid of relaxation time 20 s in three rings, a bad frame, one model's answer and one refusal."""
    movie = SpeckleMovie((60, 50), FRAMES, rate=RATE, modes=2, mean_counts=2.0, frame_time=FRAME_TIME, seed=1)
    frames = movie.read(0, FRAMES)
    frames[BAD] = 0
    geometry = Geometry(
        shape=(60, 50),
        beam_center_x=-40.0,
        beam_center_y=30.0,
        distance=10.08,
        wavelength=1.285e-10,
        pixel_size_x=75e-6,
        pixel_size_y=75e-6,
    )
    series = replace(open_series(frames, frame_time=FRAME_TIME), geometry=geometry)
    rings = [{"q": [0.0016, 0.0021]}, {"q": [0.0022, 0.0026]}, {"q": [0.0027, 0.0031]}]
    config = AnalysisConfig.model_validate({"rois": {"rings": rings}})
    scan = ScanInfo(run_uid=UID, sample="colloid", temperature=300.0, started=1.7e9)
    result = analyze(series, config, scan=scan)
    posterior = Inference(
        model_id="m1",
        parameters={
            "diffusivity": Estimate(median=1e-22, low=5e-23, high=2e-22),
            "gamma": Estimate(median=3e18, low=1e18, high=9e18),
            "gb_fraction": Estimate(median=0.2, low=0.1, high=0.3),
        },
        samples=np.random.default_rng(0).random((200, 3)),
        flags=(Flag(code="undetermined:gamma", text="γ is not determined by this scan"),),
        ood_score=0.4,
        probabilities={"grain_boundary": 0.7, "stretched": 0.3},
        temperature=300.0,
        q=np.asarray(result.rois.q_par),
        q_convention="total",
    )
    refusal = Refusal(model_id="m2", kind="ContractError", reason="300 K is below the range of the model")
    said = [
        ScanInference(record="r1", scan=scan, outcome=outcome, package_version="0.1.0")
        for outcome in (posterior, refusal)
    ]
    return WholeRecord(
        key="r1",
        created=1.7e9 + 100,
        result=result,
        inferences=tuple(said),
        document={"status": "complete"},
        scan_id="17",
        count_time=0.49,
        ended=1.7e9 + 30,
    )
