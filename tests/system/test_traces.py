"""What stood around a series: streams of a beamline on detector time, segments, and numbers of each by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import listening_client
from beamline_runs import BeamlineRun, Column, take
from numpy.typing import NDArray
from tiled.client.container import Container

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, connect, load_record
from gbx_beamline.config import Config, TracesConfig, parse_config
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import ScanFailure, ScanResult
from gbx_beamline.simulation import SpeckleMovie
from gbx_beamline.traces import read_channels
from gbx_tiled.embedded import CatalogAddress

SHAPE = (64, 64)
FRAMES, FRAME_TIME = 600, 1.0
DUMP = slice(150, 210)
RAMP = (330.0, 390.0)
COLD, WARM = 300.0, 310.0
SLOW, FAST = 0.01, 0.03
"""1/s, decay of the field."""


def kelvin(times: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(times, RAMP, (COLD, WARM))


def movie() -> NDArray[np.uint16]:
    """A sample that relaxes faster after a step of temperature; the beam that comes back is a little aside."""
    times = np.arange(FRAMES) * FRAME_TIME
    rate = np.interp(kelvin(times), (COLD, WARM), (SLOW, FAST))
    source = SpeckleMovie(
        SHAPE, FRAMES, rate=1.0, profile=rate, frame_time=FRAME_TIME, modes=2, mean_counts=4.0, seed=3
    )
    counts = source.read(0, FRAMES).astype(np.uint16)
    counts[DUMP] = 0
    counts[DUMP.stop :] = np.roll(counts[DUMP.stop :], 5, axis=2)
    return counts


def streams(late: float = 0.0) -> dict[str, dict[str, Column]]:
    """As a beamline has them: a thermocouple in Celsius every 5 s, a ring current every 2 s, words of a shutter, and
    what is read once before and once after, as text. All are stamped ``late`` seconds late."""
    thermo = np.arange(-10.0, 615.0, 5.0)
    ring = np.arange(-4.0, 604.0, 2.0)
    current = np.where((ring >= DUMP.start) & (ring < DUMP.stop), 0.3, 400.0)
    ends = [-2.0 + late, 602.0 + late]
    return {
        "thermo": {"lakeshore_A": Column(list(thermo + late), list(kelvin(thermo) - 273.15), "degC")},
        "ring_monitor": {"ring_mA": Column(list(ring + late), list(current), "mA")},
        "shutter_monitor": {"fast_shutter": Column([-2.0 + late], ["Open"])},
        "baseline": {
            "T_stage": Column(ends, ["26.85", "26.90"], "C"),
            "diff_xh": Column(ends, [1.25, 1.25], "mm"),
            "eiger_start": Column(ends, [0.0, 0.0]),
        },
    }


CHANNELS: dict[str, Any] = {
    "temperature": {"stream": "thermo", "key": "lakeshore_A"},
    "ring_current": {"stream": "ring_monitor", "key": "ring_mA"},
    "shutter": {"stream": "shutter_monitor", "key": "fast_shutter", "states": {"Open": 1, "Closed": 0}},
    "sample_x": {"stream": "baseline", "key": "diff_xh"},
}


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("rois") / "rois.npy"
    image = np.zeros(SHAPE, dtype=np.int32)
    image[2:62, 2:62] = 1
    np.save(path, image)
    return path


def configured(labels: Path, **traces: Any) -> Config:
    dose = {
        "flux": 1e9,
        "monitor": "ring_current",
        "reference": "400 mA",
        "shutter": "shutter",
        "position": ["sample_x"],
    }
    analysis = {"rois": {"labels": str(labels)}, "traces": {"channels": CHANNELS, **traces}, "dose": dose}
    return parse_config({"analysis": analysis})


def run_of(raw: Container, folder: Path, sample: str, late: float = 0.0, **start: Any) -> BeamlineRun:
    said = {"sample": sample, "transmission": 0.1, "temperature": COLD, **start}
    return take(raw, folder / "frames" / "traces", movie(), frame_time=FRAME_TIME, streams=streams(late), start=said)


def analysed(catalog: Catalog, run: BeamlineRun, config: Config) -> ScanResult:
    """Through the catalog: what a reader gets."""
    record = load_record(catalog, assemble.analyze_run(catalog, run.uid, config).key)
    assert isinstance(record, ScanResult)
    return record


@pytest.fixture(scope="module")
def run(raw_runs: Container, catalog_directory: Path) -> BeamlineRun:
    return run_of(raw_runs, catalog_directory, "dump and step")


@pytest.fixture(scope="module")
def result(catalog: Catalog, run: BeamlineRun, labels: Path) -> ScanResult:
    return analysed(catalog, run, configured(labels))


def said(result: ScanResult, words: str) -> str:
    """The one flag that begins or goes on so."""
    found = [flag for flag in result.flags if words in flag]
    assert len(found) == 1, result.flags
    return found[0]


def test_a_dump_and_a_step_of_temperature_cut_the_series(result: ScanResult) -> None:
    parts = result.exclusions.segments
    assert [part.kind for part in parts] == ["hold", "no beam", "hold", "ramp", "settling", "hold"]
    edges = [part.start for part in parts]
    assert edges[:3] == [0, 150, 210]
    # A hold ends and begins where the temperature is 1 K off, to one reading of the thermocouple; then 60 s to settle.
    assert edges[3:] == pytest.approx([336, 384, 444], abs=5)
    assert [part.start_time for part in parts] == [start * FRAME_TIME for start in edges]
    holds = [part for part in parts if part.together]
    assert [part.temperature for part in holds] == pytest.approx([COLD, COLD, WARM], abs=0.1)
    assert all(high - low <= 1.0 for low, high in (part.temperature_range for part in holds))


def test_frames_stay_in_true_time_and_every_exclusion_is_listed(result: ScanResult) -> None:
    assert result.two_time.g2.shape[-1] == FRAMES
    out = result.exclusions.frames
    assert out["no beam"] == tuple(range(DUMP.start, DUMP.stop))
    ramp, settling = (part for part in result.exclusions.segments if part.kind in ("ramp", "settling"))
    assert out["temperature ramp"] == tuple(range(ramp.start, ramp.stop))
    assert out["settling"] == tuple(range(settling.start, settling.stop))
    bad = np.flatnonzero(~result.two_time.valid_frames)
    assert bad.tolist() == sorted(frame for frames in out.values() for frame in frames)
    assert np.isnan(result.two_time.g2[0][bad]).all()
    assert said(result, "left out: no beam") == "60 frames left out: no beam (150 to 210 s)"


def test_no_correlation_between_segments_is_taken_for_dynamics(result: ScanResult) -> None:
    """The map holds it, and says it is 0.1 of all variance; no number does."""
    whole = nonequilibrium(result.two_time)[0].corrected
    assert whole is not None
    assert whole.low > 0.05
    assert result.analysed == (result.exclusions.segments[-1].start, FRAMES)
    assert [one.chosen for one in result.segments] == [False, False, True]
    for one, rate in zip(result.segments, (SLOW, SLOW, FAST), strict=True):
        (roi,) = one.rois
        assert roi.low < 0.0 < roi.high
        assert roi.relaxation_time * rate == pytest.approx(1.0, abs=4 * roi.relaxation_error * rate)
    (own,) = result.nonequilibrium
    assert own.interval is not None
    assert own.interval[0] < 0.0 < own.interval[1] < 0.05
    assert own.window == pytest.approx(result.segments[-1].frames * FRAME_TIME)
    assert result.one_time.tau.size == result.segments[-1].frames
    assert result.analysed_two_time.g2.shape[-1] == result.segments[-1].frames
    assert result.kinetics[0].window == (result.analysed_start, FRAMES * FRAME_TIME)


def test_traces_are_on_detector_time_in_si(result: ScanResult) -> None:
    traces = result.traces
    assert traces is not None
    assert traces.notes == ()
    assert traces.clock == "first frame by the detector's time of collection"
    assert {trace.name: trace.unit for trace in traces.traces} == {
        "temperature": "K",
        "ring_current": "A",
        "shutter": "",
        "sample_x": "m",
    }
    # Every 5 s a reading: between them on a line.
    np.testing.assert_allclose(traces["temperature"].values, kelvin(traces.time), atol=0.45)
    current = traces["ring_current"].values
    assert current[DUMP.start + 2 : DUMP.stop - 2].max() < 1e-3
    assert current[[DUMP.start - 2, DUMP.stop + 2]] == pytest.approx(0.4)
    assert traces["sample_x"].values == pytest.approx(1.25e-3)
    assert traces["shutter"].values.tolist() == [1.0] * FRAMES


def test_the_temperature_of_the_scan_is_the_measured_one(result: ScanResult) -> None:
    assert result.scan.temperature == pytest.approx(WARM, abs=0.1)
    assert result.scan.temperature_set == COLD
    assert "310.00 K (mean of thermo/lakeshore_A over the analysed frames), the run says 300.00 K" in said(
        result, "temperature measured"
    )


def test_the_dose_counts_what_there_was(result: ScanResult) -> None:
    dose = result.exposure
    assert dose is not None
    lit = FRAMES - (DUMP.stop - DUMP.start)
    assert dose.seconds == lit * FRAME_TIME
    # One frame on either side of the dump lies on the line between two readings of the ring.
    assert dose.full_beam == pytest.approx(0.1 * lit, abs=0.25)
    assert dose.photons == pytest.approx(1e9 * dose.full_beam)
    assert dose.positions == {"sample_x": pytest.approx(1.25e-3)}
    assert dose.unknown == ()


def test_another_hold_can_be_chosen(catalog: Catalog, run: BeamlineRun, labels: Path, result: ScanResult) -> None:
    first = analysed(catalog, run, configured(labels, segment=1))
    assert first.analysed == (0, 150)
    assert first.scan.temperature == pytest.approx(COLD, abs=0.1)
    assert first.kinetics[0].relaxation_time == pytest.approx(result.segments[0].rois[0].relaxation_time, rel=0.1)
    refused = assemble.analyze_run(catalog, run.uid, configured(labels, segment=9)).outcome
    assert isinstance(refused, ScanFailure)
    assert "segment 9 of a series with 3" in refused.reason


def test_a_stream_is_asked_for_once_however_many_channels_it_has(
    run: BeamlineRun, catalog_address: CatalogAddress
) -> None:
    """Each request takes the server some 20 ms: a beamline's ten channels took a second of every scan."""
    baseline = {key: {"stream": "baseline", "key": key} for key in ("T_stage", "diff_xh", "eiger_start")}
    with listening_client(catalog_address) as (fresh, asked):
        opened = fresh.run(run.uid)
        asked.clear()
        found = read_channels(opened, TracesConfig.model_validate({"channels": baseline}))
    assert [list(one.values) for one in found.channels.values()] == [["26.85", "26.90"], [1.25, 1.25], [0.0, 0.0]]
    # What it is, what is in it, its table, the columns.
    assert 0 < len([path for path in asked if "/baseline" in path]) <= 4, asked


def test_clocks_that_disagree_are_found_by_the_beam(
    raw_runs: Container, catalog: Catalog, catalog_directory: Path, labels: Path
) -> None:
    """Time stamps 80 s late: the ring loses its beam when the frames have it back."""
    late = run_of(raw_runs, catalog_directory, "late clock", late=80.0)
    beam = {"trace": "ring_current", "above": "100 mA", "reason": "no ring current"}
    found = analysed(catalog, late, configured(labels, beam=beam))
    advice = re.search(r"add (-[\d.]+) to traces.clock.offset_s", said(found, "clocks disagree: ring_current loses"))
    assert advice is not None
    assert float(advice[1]) == pytest.approx(-80.0, abs=2.0)
    assert "frames there hold counts as ever; kept" in said(found, "contradiction: by ring_current no beam from 230")
    assert found.exclusions.frames["no beam"] == tuple(range(DUMP.start, DUMP.stop))
    corrected = analysed(catalog, late, configured(labels, beam=beam, clock={"offset_s": -80.0}))
    assert not any("clock" in flag for flag in corrected.flags)
    assert [part.kind for part in corrected.exclusions.segments] == [
        "hold", "no beam", "hold", "ramp", "settling", "hold",
    ]  # fmt: skip
