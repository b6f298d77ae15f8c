"""What stood around a series: streams of a beamline on detector time, segments, and numbers of each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beamline_runs import BeamlineRun, Column, take
from numpy.typing import NDArray
from tiled.client.container import Container

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, connect, load_record
from gbx_beamline.config import Config, parse_config
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import ScanResult
from gbx_beamline.simulation import SpeckleMovie
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
    opened = connect(catalog_address.uri, catalog_address.api_key)
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


@pytest.fixture(scope="module")
def run(raw_runs: Container, catalog_directory: Path) -> BeamlineRun:
    return run_of(raw_runs, catalog_directory, "dump and step")


@pytest.fixture(scope="module")
def result(catalog: Catalog, run: BeamlineRun, labels: Path) -> ScanResult:
    """Through the catalog: what a reader gets."""
    key = assemble.analyze_run(catalog, run.uid, configured(labels)).key
    record = load_record(catalog, key)
    assert isinstance(record, ScanResult)
    return record


def test_x(result):
    print()
    for s in result.exclusions.segments:
        print(s)
    for m in result.segments:
        print(m)
    for f in result.flags:
        print("FLAG", f)
    print(result.scan)
    print(result.exposure)
    print(
        result.traces.clock,
        [(t.name, t.unit, t.source, t.readings, t.values[[0, 200, -1]]) for t in result.traces.traces],
    )
    print(
        result.analysed,
        nonequilibrium(result.two_time)[0].corrected.value,
        result.nonequilibrium[0].corrected.value,
        result.nonequilibrium[0].interval,
        result.kinetics,
    )
    from gbx_beamline.figures import save, scan_report

    save(scan_report(result), Path("/tmp/w/traces/x/report.png"), overwrite=True)
    import pickle

    pickle.dump(result, open("/tmp/w/traces/x/result.pkl", "wb"))
