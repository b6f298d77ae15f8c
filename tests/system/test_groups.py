"""``gbx groups``: scans of one spot and range of dose, listed, handed to training and judged together."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import Command, Said, in_process

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, TiledSink, connect, find_records, load_record, material_dose_groups
from gbx_beamline.config import AnalysisConfig, Config, GroupsConfig, parse_config
from gbx_beamline.errors import ConfigError
from gbx_beamline.grouping import experimental_scans
from gbx_beamline.pipeline import adopt
from gbx_beamline.records import PARAMETERS, Exposure, ScanInfo, ScanResult, TwoTime
from gbx_beamline.simulation import GrainBoundary
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

FRAMES, WINDOW = 128, 2500.0
SAMPLE = "nc-Si dose groups"


def maps(seed: int) -> TwoTime:
    """A grain boundary as the default model knows it, with a little noise."""
    boundary = GrainBoundary(gamma=1e18, diffusivity=1e-22, gb_fraction=0.3, temperature=400.0, bow=4e-8)
    g2 = boundary.two_time(seed=seed, size=FRAMES).astype(np.float64)
    noise = np.random.default_rng(seed).normal(0.0, 2e-3, g2.shape)
    g2 = (g2 + (noise + noise.T) / np.sqrt(2.0)).astype(np.float32)[None]
    return TwoTime(
        g2=g2,
        diagonal=np.full((1, FRAMES), 1.0 + boundary.contrast),
        frame_time=WINDOW / FRAMES,
        pixels=np.array([8000]),
        mean_counts=np.array([2.0]),
        frame_means=np.full((1, FRAMES), 2.0),
        valid_frames=np.ones(FRAMES, dtype=bool),
        static_baseline=np.ones(1),
        saturated=np.zeros(1, dtype=np.int64),
        q_par=np.array([4.5e8]),
        q_z=np.array([2.7e8]),
        names=("qr45",),
    )


def exposure(photons: float, x_um: float, *, travel_um: float = 0.0, full_beam: float = 250.0) -> Exposure:
    return Exposure(
        seconds=WINDOW,
        transmission=0.1,
        full_beam=full_beam,
        flux=np.nan if np.isnan(photons) else photons / full_beam,
        photons=photons,
        monitor="none: constant while there is beam",
        positions={"sample_x": x_um * 1e-6},
        travel={"sample_x": travel_um * 1e-6},
        unknown=("flux: not stated (analysis.dose.flux)",) if np.isnan(photons) else (),
    )


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


def publish(catalog: Catalog, uid: str, seed: int, sample: str, started: float, said: Exposure | None) -> str:
    scan = ScanInfo(run_uid=uid, sample=sample, temperature=400.0, started=started)
    tt = maps(seed)
    result = adopt(tt, (), scan, AnalysisConfig())
    rois = replace(result.rois, q_par=np.array([4.5e8]), q_z=np.array([2.7e8]))
    return TiledSink(catalog).publish(replace(result, rois=rois, exposure=said))


@pytest.fixture(scope="module")
def published(catalog: Catalog) -> None:
    """Three scans of one spot and one of another, published in another order than they were measured in."""
    publish(catalog, "dose-c", 3, SAMPLE, 3000.0, exposure(4e11, 104.0))
    publish(catalog, "dose-a", 1, SAMPLE, 1000.0, exposure(4e11, 100.0))
    publish(catalog, "dose-d", 4, SAMPLE, 4000.0, exposure(4e11, 500.0, travel_um=30.0))
    publish(catalog, "dose-b", 2, SAMPLE, 2000.0, exposure(4e11, 98.0))


EDGES = {"dose_edges": [5e11]}


@pytest.fixture
def gbx(
    published: None,
    catalog_address: CatalogAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump({"groups": EDGES}))
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)

    def run(*arguments: str | Path) -> Said:
        return in_process(monkeypatch, capsys, *arguments, "--config", "gbx.yaml")

    return run


FIRST = f"{SAMPLE}, spot 1, 0 to 5e+11 photons"


def test_scans_are_grouped_by_spot_and_cumulative_dose(gbx: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(gbx("groups", "--sample", SAMPLE, "--format", "csv").out)))
    found = [(row["group"].removeprefix(SAMPLE), row["run_uid"], float(row["dose_before"])) for row in rows]
    # The second scan's middle is at 6e11.
    assert found == [
        (", spot 1, 0 to 5e+11 photons", "dose-a", 0.0),
        (", spot 1, from 5e+11 photons", "dose-b", 4e11),
        (", spot 1, from 5e+11 photons", "dose-c", 8e11),
        (", spot 2, 0 to 5e+11 photons", "dose-d", 0.0),
    ]
    assert float(rows[0]["sample_x_um"]) == 100.0
    parsed = json.loads(gbx("groups", "--sample", SAMPLE, "--format", "json").out)
    assert [row["dose_after"] for row in parsed] == [4e11, 8e11, 1.2e12, 4e11]


def test_the_table_says_what_is_not_known(gbx: Command) -> None:
    said = gbx("groups", "--sample", SAMPLE)
    assert said.code == 0, said.err
    assert FIRST in said.out
    assert "dose-d: position: sample_x moved by 30 um during the scan" in said.out


def test_a_group_is_judged_together(gbx: Command) -> None:
    name = f"{SAMPLE}, spot 1, from 5e+11 photons"
    said = gbx("groups", "--infer", name)
    assert said.code == 0, said.err
    assert "dose-b" in said.out
    assert f"{name}: scans within 2 K share D and γ" in said.out
    rows = json.loads(gbx("groups", "--infer", name, "--format", "json").out)
    assert [(row["run_uid"], row["refused"]) for row in rows] == [("dose-b", ""), ("dose-c", "")]
    for parameter in PARAMETERS:
        values = [[row[f"{parameter}{end}"] for end in ("_low", "", "_high")] for row in rows]
        assert values[0] == pytest.approx(values[1], rel=1e-9), "they share one temperature"
        assert values[0] == sorted(values[0])


def test_an_unknown_group_names_those_there_are(gbx: Command) -> None:
    said = gbx("groups", "--sample", SAMPLE, "--infer", "gold")
    assert said.code == 2
    assert f"no group 'gold'; needed: one of: {FIRST}" in said.err


def test_fine_tuning_takes_the_same_groups(
    published: None, catalog_address: CatalogAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    config = parse_config({"groups": EDGES})
    with experimental_scans(config, runs=["dose-c", "dose-a"], told=lambda _: None) as scans:
        # The dose of the scan between them counts though it was not asked for.
        assert {scan.run: scan.group for scan in scans} == {
            "dose-a": FIRST,
            "dose-c": f"{SAMPLE}, spot 1, from 5e+11 photons",
        }
    with experimental_scans(Config(), samples=[SAMPLE], told=lambda _: None) as scans:
        assert {scan.group for scan in scans} == {f"{SAMPLE}, spot 1", f"{SAMPLE}, spot 2"}


def test_an_unknown_dose_leaves_later_ones_unknown(catalog: Catalog) -> None:
    sample = "unknown flux"
    publish(catalog, "flux-a", 1, sample, 1000.0, exposure(1e11, 0.0))
    publish(catalog, "flux-b", 2, sample, 2000.0, exposure(np.nan, 0.0))
    publish(catalog, "flux-c", 3, sample, 3000.0, exposure(1e11, 0.0))
    records = find_records(catalog, sample=sample)
    photons = material_dose_groups(records, GroupsConfig(dose_edges=(1e12,)))
    assert [(group.name, [scan.record.run_uid for scan in group.scans]) for group in photons] == [
        (f"{sample}, spot 1, 0 to 1e+12 photons", ["flux-a"]),
        (f"{sample}, spot 1, dose unknown", ["flux-b", "flux-c"]),
    ]
    assert photons[1].scans[0].unknown == ("flux: not stated (analysis.dose.flux)",)
    # Seconds of the full beam are known without the flux.
    (beam,) = material_dose_groups(records, GroupsConfig(dose_edges=(1e3,), dose_unit="full_beam_s"))
    assert [(scan.before, scan.after) for scan in beam.scans] == [(0, 250), (250, 500), (500, 750)]


def test_scans_of_nowhere_are_one_group_by_sample(catalog: Catalog) -> None:
    """As records of schema version 2 are, and imported maps: what was one group stays one."""
    sample = "no traces"
    key = publish(catalog, "old-a", 1, sample, 1000.0, None)
    publish(catalog, "old-b", 2, sample, 2000.0, None)
    node = catalog.processed["records"][key]
    # Tiled replaces what is named: None stands for what an older release did not write.
    node.update_metadata({"schema_version": 2, "exposure": None, "traces": None}, drop_revision=True)
    (group,) = material_dose_groups(find_records(catalog, sample=sample), GroupsConfig())
    assert (group.name, len(group.scans)) == (sample, 2)
    old = load_record(catalog, key)
    assert isinstance(old, ScanResult)
    assert (old.exposure, old.traces, old.segments, old.analysed) == (None, None, (), None)


def test_a_record_of_schema_version_2_is_read(catalog: Catalog) -> None:
    from gbx_beamline.catalog import schema

    result = adopt(maps(5), (), ScanInfo(run_uid="old"), AnalysisConfig())
    metadata = json.loads(json.dumps(schema.result_metadata(result, attempt="", created=0.0)))
    for name in ("analysed", "segments", "traces", "exposure"):
        del metadata[name]
    del metadata["scan"]["temperature_set"], metadata["scan"]["temperature_source"]
    metadata |= {"schema_version": 2}
    metadata["exclusions"]["segments"] = [
        {"start": 0, "stop": 128, "start_time": 0.0, "stop_time": 2500.0, "kind": "beam"}
    ]
    schema.check_schema(metadata, "old")
    old = schema.result_from(metadata, schema.result_arrays(result))
    assert old.exclusions.segments[0].together
    assert old.analysed_two_time is old.two_time
    np.testing.assert_array_equal(old.two_time.g2, result.two_time.g2)


def test_groups_are_checked_when_the_configuration_is_read() -> None:
    with pytest.raises(ConfigError, match=r"groups\.dose_edges: the edges must rise"):
        parse_config({"groups": {"dose_edges": [2.0, 1.0]}})
