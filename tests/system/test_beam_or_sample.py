"""Beam or sample, and the instrument's floor, through a real catalog: what people type and what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from beamline_runs import BeamlineRun, Column, take
from command_line import Said, in_process
from tiled.client.container import Container

from gbx_beamline import assemble
from gbx_beamline.catalog import (
    Catalog,
    compare_runs,
    connect,
    find_attenuation_sets,
    find_floor,
    find_records,
    find_references,
    load_record,
    mark_reference,
)
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import GeometryError, InputError, RunNotFoundError
from gbx_beamline.records import InstrumentFloor, NoFloor, ScanResult
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

SHAPE = (64, 64)
FRAMES, FRAME_TIME = 200, 1.0
BEAM = slice(2, 22), slice(20, 44)
PNG = b"\x89PNG"


def counts(rate: float, transmission: float, seed: int, *, step: int = 0) -> Any:
    """Speckles below, the reflected beam above; both shift by ``step`` columns half way."""
    movie = SpeckleMovie(SHAPE, FRAMES, rate=rate, modes=2, mean_counts=8.0 * transmission, frame_time=1.0, seed=seed)
    frames = movie.read(0, FRAMES).astype(np.uint16)
    y, x = np.mgrid[:24, : SHAPE[1]]
    spot = 200.0 * np.exp(-((y - 12.0) ** 2 + (x - 32.0) ** 2) / 8.0)
    frames[:, :24] = np.random.default_rng(seed).poisson(spot, (FRAMES, *spot.shape))
    if step:
        frames[FRAMES // 2 :] = np.roll(frames[FRAMES // 2 :], step, axis=2)
    return frames


def configuration(labels: Path, **geometry: Any) -> dict[str, Any]:
    return {
        "analysis": {
            "rois": {"labels": str(labels)},
            "geometry": {"distance_m": 10.0, **geometry},
            "care": {"reflected_beam": {"rows": [2, 22], "columns": [20, 44]}},
            "traces": {"channels": {"sample_x": {"stream": "baseline", "key": "diff_xh"}}},
            "dose": {"flux": 1e11, "position": ["sample_x"]},
        }
    }


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("rois") / "rois.npy"
    image = np.zeros(SHAPE, dtype=np.int32)
    image[26:62, 2:62] = 1
    np.save(path, image)
    return path


@pytest.fixture(scope="module")
def config(labels: Path) -> Config:
    return parse_config(configuration(labels))


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def run(raw_runs: Container, catalog_directory: Path) -> Callable[..., BeamlineRun]:
    def taken(frames: Any, **start: Any) -> BeamlineRun:
        streams = {"baseline": {"diff_xh": Column([-2.0, 202.0], [1.25, 1.25], "mm")}}
        said = {"temperature": 300.0, **start}
        folder = catalog_directory / "frames" / "beam"
        return take(raw_runs, folder, frames, frame_time=FRAME_TIME, streams=streams, start=said)

    return taken


@pytest.fixture(scope="module")
def driven(catalog: Catalog, run: Callable[..., BeamlineRun], config: Config) -> tuple[str, str]:
    """A sample that only the beam moves, at two transmissions: uids."""
    uids = []
    for seed, transmission in ((1, 0.25), (2, 1.0)):
        uid = run(counts(0.06 * transmission, transmission, seed), sample="beam-driven", transmission=transmission).uid
        assemble.analyze_run(catalog, uid, config)
        uids.append(uid)
    return uids[0], uids[1]


@pytest.fixture(scope="module")
def reference(catalog: Catalog, run: Callable[..., BeamlineRun], config: Config, driven: Any) -> str:
    """A sample that does not move; its start document says so. uid."""
    uid = run(counts(0.0, 1.0, 7), sample="aerogel of beam", transmission=1.0, reference="static").uid
    assemble.analyze_run(catalog, uid, config)
    return uid


@pytest.fixture
def gbx(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    catalog_address: CatalogAddress,
    labels: Path,
) -> Callable[..., Said]:
    path = tmp_path / "gbx.yaml"
    path.write_text(yaml.safe_dump(configuration(labels)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GBX_CONFIG", str(path))
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


def test_a_pair_is_found_in_the_catalog_and_the_beam_is_named(
    catalog: Catalog, driven: tuple[str, str], config: Config
) -> None:
    search = find_attenuation_sets(find_records(catalog, sample="beam-driven"), config.compare, config.groups)
    (found,) = search.sets
    assert set(found.uids) == set(driven)
    assert search.left_out == ()
    whole = compare_runs(catalog, [uid[:8] for uid in driven], config.compare)
    for one in (found.comparison, whole):
        assert one.verdict == "beam drives it"
        assert one.dose_ratio == pytest.approx(4.0)
        assert one.beam_share is not None
        assert one.beam_share.low < 1.0 < one.beam_share.high + 0.05
        assert [scan.run_uid for scan in one.scans] == list(driven)
    # The list knows the numbers, the arrays add the curves.
    assert found.comparison.rois[0].tau.size == 0
    roi = whole.rois[0]
    assert roi.rate_ratio == found.comparison.rois[0].rate_ratio
    assert roi.f2.shape == roi.f2_error.shape == (2, roi.tau.size)
    assert (roi.f2_error > 0).all()
    assert "g2 differs most" in roi.largest_difference


def test_compare_on_the_command_line(gbx: Callable[..., Said], driven: tuple[str, str], tmp_path: Path) -> None:
    said = gbx("compare", *(uid[:8] for uid in driven), "--out", "pair.png")
    assert said.code == 0, said.err
    assert "beam-driven: beam drives it" in said.out
    assert "at a dose-rate ratio of 4" in said.out
    assert (tmp_path / "pair.png").read_bytes().startswith(PNG)
    listed = json.loads(gbx("compare", "--sample", "beam-driven", "--format", "json").out)
    assert [one["verdict"] for one in listed] == ["beam drives it"]
    assert listed[0]["rois"][0]["tau_s"][0]["value"] > listed[0]["rois"][0]["tau_s"][1]["value"]
    again = gbx("compare", *driven, "--out", "pair.png")
    assert again.code == 2
    assert "exists already" in again.err
    none = gbx("compare", "--sample", "aerogel of nowhere")
    assert none.code == 2
    assert "no two scans" in none.err
    assert gbx("compare").code == gbx("compare", driven[0]).code == 2


def test_scans_of_two_samples_are_refused_by_name(
    gbx: Callable[..., Said], driven: tuple[str, str], reference: str
) -> None:
    said = gbx("compare", driven[0], reference)
    assert said.code == 2
    assert "samples 'aerogel of beam', 'beam-driven'" in said.err


def test_the_floor_stands_beside_later_and_earlier_scans(
    catalog: Catalog, driven: tuple[str, str], reference: str, config: Config
) -> None:
    record = find_records(catalog, run_uid=driven[1])[-1]
    found = find_floor(catalog, record.key, config.floor)
    assert isinstance(found, InstrumentFloor)
    assert found.run_uid == reference
    assert found.age < 0  # measured after it, and the nearest
    (one,) = found.rois
    assert one.status == "ok"
    assert one.drift_high < 0.05
    assert abs(one.decay) < 4 * one.decay_error + 0.01
    own = find_records(catalog, run_uid=reference)[-1]
    nothing = find_floor(catalog, own.key, config.floor)
    assert isinstance(nothing, NoFloor)
    assert nothing.reason == "this run is the static reference"


def test_results_and_reports_show_floor_and_beam(
    gbx: Callable[..., Said], driven: tuple[str, str], reference: str, tmp_path: Path
) -> None:
    said = gbx("results", "--sample", "beam-driven")
    assert said.code == 0, said.err
    assert f"instrument's floor by static reference {reference[:8]}" in said.out
    assert "the beam drives the dynamics" in said.out
    rows = json.loads(gbx("results", "--sample", "beam-driven", "--format", "json").out)
    assert {row["floor_run"] for row in rows} == {reference}
    assert {row["beam_or_sample"] for row in rows} == {"beam drives it"}
    assert all(0 < row["floor_drift/contrast"] < 0.05 for row in rows)
    drawn = gbx("report", driven[1], "--out", "scan.png")
    assert drawn.code == 0, drawn.err
    assert (tmp_path / "scan.png").read_bytes().startswith(PNG)


def test_a_forgotten_reference_is_marked_and_a_wrong_one_taken_back(
    gbx: Callable[..., Said], catalog: Catalog, run: Callable[..., BeamlineRun], config: Config, reference: str
) -> None:
    uid = run(counts(0.0, 1.0, 8), sample="forgotten", transmission=1.0).uid
    assemble.analyze_run(catalog, uid, config)
    assert uid not in {one.run_uid for one in find_references(catalog)}
    said = gbx("floor", "mark", uid[:8], "--who", "night shift", "--note", "glass")
    assert said.code == 0, said.err
    (marked,) = (one for one in find_references(catalog) if one.run_uid == uid)
    assert "by night shift: glass" in marked.why
    listed = gbx("floor", "list").out
    assert uid[:8] in listed
    assert reference[:8] in listed
    # The newest before the scan counts.
    later = run(counts(0.02, 1.0, 9), sample="after both", transmission=1.0).uid
    key = assemble.analyze_run(catalog, later, config).key
    newest = find_floor(catalog, key, config.floor)
    assert isinstance(newest, InstrumentFloor)
    assert newest.run_uid == uid
    assert newest.age > 0
    assert gbx("floor", "mark", uid, "--not-static").code == 0
    back = find_floor(catalog, key, config.floor)
    assert isinstance(back, InstrumentFloor)
    assert back.run_uid == reference
    shown = gbx("floor", "show", later)
    assert shown.code == 0, shown.err
    assert f"(run {reference[:8]}, " in shown.out
    assert " before; " in shown.out
    with pytest.raises(RunNotFoundError):
        mark_reference(catalog, "no such run")


def test_a_reference_of_another_geometry_is_refused_with_what_differs(
    gbx: Callable[..., Said], catalog: Catalog, run: Callable[..., BeamlineRun], labels: Path, reference: str
) -> None:
    other = parse_config(configuration(labels, distance_m=5.0))
    uid = run(counts(0.02, 1.0, 10), sample="nearer detector", transmission=1.0).uid
    key = assemble.analyze_run(catalog, uid, other).key
    found = find_floor(catalog, key, other.floor)
    assert isinstance(found, NoFloor)
    assert "distance 10 and 5 m" in found.reason
    with pytest.raises(GeometryError, match="distance 10 and 5 m"):
        find_floor(catalog, key, other.floor, reference=reference)
    with pytest.raises(InputError, match="is no static reference"):
        find_floor(catalog, key, other.floor, reference=uid)
    said = gbx("floor", "show", uid, "--reference", reference)
    assert said.code == 2
    assert "distance 10 and 5 m" in said.err


def test_a_detector_that_jumps_is_named_in_the_record(
    catalog: Catalog, run: Callable[..., BeamlineRun], config: Config
) -> None:
    uid = run(counts(0.002, 1.0, 11, step=1), sample="jumping detector", transmission=1.0).uid
    result = load_record(catalog, assemble.analyze_run(catalog, uid, config).key)
    assert isinstance(result, ScanResult)
    movement = result.movement
    assert movement is not None
    assert movement.what == "beam or detector"
    assert movement.beam is not None
    moved = np.ptp(movement.beam.centroid, axis=0)
    assert moved[1] == pytest.approx(1.0, abs=0.1)
    assert moved[0] < 0.1
    assert any(flag.startswith("moved: speckles and reflected beam shift together") for flag in result.flags)
