"""What the catalog keeps of a sample: history without loss, precedence, and one scan redrawn in one command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bluesky import RunEngine
from command_line import Said, in_process
from eiger_runs import COLUMNS, GEOMETRY, ROWS, movie, writer
from tiled.client.container import Container

from gbx_beamline import assemble, pipeline, reprocessing
from gbx_beamline.catalog import (
    Catalog,
    TiledSink,
    connect,
    find_records,
    latest_version,
    load_record,
    sample_versions,
)
from gbx_beamline.config import DEFAULT_RULE, GeometryConfig, QRing, RoiConfig, parse_config
from gbx_beamline.errors import CatalogError, ConfigError, InputError, RunNotFoundError
from gbx_beamline.records import ScanResult
from gbx_beamline.reprocessing import Choice, Request
from gbx_beamline.samples import Change, change_sample
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_services.sweep import settled
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

FRAMES = 20
RING = (3e-4, 6e-4)
WIDER = (3e-4, 9e-4)
SETTINGS: dict[str, Any] = {"analysis": {"rois": {"rings": [{"q": list(RING)}]}}, "models": {"infer": False}}
CONFIG = parse_config(SETTINGS)
WHO: dict[str, Any] = {"who": "night shift", "why": "beam stop moved"}

Take = Callable[..., str]


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def take(raw_runs: Container, catalog_directory: Path) -> Take:
    """Take a run of the simulated detector; its uid."""

    def taken(sample: str) -> str:
        counts, mask = movie(FRAMES, seed=11)
        feed = ReplayFeed(counts, pixel_mask=mask)
        folder = catalog_directory / "frames" / "sample"
        eiger: Any = SimulatedEiger(directory=folder, feed=feed, geometry=GEOMETRY, frames_per_file=FRAMES)
        engine = RunEngine()
        engine.subscribe(writer(raw_runs))
        outcome: Any = engine(count_series(eiger, frames=FRAMES, frame_time=0.5, sample=sample))
        return outcome[0]

    return taken


@pytest.fixture
def gbx(
    catalog_address: CatalogAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Said]:
    """The command in a folder of its own, on the session's catalog."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump(SETTINGS))
    monkeypatch.setenv(assemble.CONFIG_VARIABLE, str(tmp_path / "gbx.yaml"))
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    monkeypatch.setenv(assemble.STORE_VARIABLE, str(catalog_address.store))
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


def half() -> np.ndarray[Any, Any]:
    """A mask that leaves out the lower half of the detector."""
    mask = np.ones((ROWS, COLUMNS), dtype=bool)
    mask[ROWS // 2 :] = False
    return mask


def result_of(catalog: Catalog, key: str) -> ScanResult:
    found = load_record(catalog, key)
    assert isinstance(found, ScanResult)
    return found


def test_each_change_is_a_version_that_holds_everything(catalog: Catalog) -> None:
    name = "kept/with odd: name"
    first = change_sample(catalog, name, Change(mask=half(), geometry=GeometryConfig(incidence_deg=0.2)), **WHO)
    second = change_sample(catalog, name, Change(geometry=GeometryConfig(tilt_deg=1.5)), who="day shift", why="tilt")
    third = change_sample(catalog, name, Change(forget=("mask",)), **WHO)
    back = change_sample(catalog, name, Change(), like=1, who="day shift", why="as it was")
    assert [one.number for one in (first, second, third, back)] == [1, 2, 3, 4]
    assert second.settings.geometry == GeometryConfig(incidence_deg=0.2, tilt_deg=1.5)
    assert second.settings.mask == first.settings.mask, "the array is kept once"
    assert third.settings.mask is None
    assert back.settings == first.settings
    assert sample_versions(catalog, name) == [first, second, third, back], "nothing was overwritten"
    assert [one.who for one in sample_versions(catalog, name)] == [
        "night shift",
        "day shift",
        "night shift",
        "day shift",
    ]
    assert first.settings.mask is not None
    assert first.settings.mask.catalog_mask is not None
    np.testing.assert_array_equal(catalog.array(first.settings.mask.catalog_mask), half())


def test_the_sweep_leaves_masks_alone(catalog: Catalog) -> None:
    version = change_sample(catalog, "sample-sweep", Change(mask=half()), **WHO)
    assert version.settings.mask is not None
    path = version.settings.mask.catalog_mask or ""
    attempt = path.split("/")[-2]
    # As if the worker had died between pointer and mark.
    catalog.processed["attempts"][attempt].update_metadata({"published": False, "created": 0.0})
    TiledSink(catalog).sweep(older_than=1.0)
    np.testing.assert_array_equal(catalog.array(path), half())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(), "nothing of sample 'sample-refused' changes"),
        (Change(mask=np.ones((3, 4, 5), dtype=bool)), r"a mask of shape \(3, 4, 5\)"),
        (Change(mask=np.ones((4, 5))), "dtype float64; needed: .y, x. booleans or integers"),
        (Change(mask=np.zeros((4, 5), dtype=bool)), "0 everywhere"),
    ],
)
def test_a_change_that_is_none_or_makes_no_sense_is_refused(catalog: Catalog, change: Change, words: str) -> None:
    with pytest.raises(InputError, match=words):
        change_sample(catalog, "sample-refused", change, **WHO)
    with pytest.raises(InputError, match="an empty reason"):
        change_sample(catalog, "sample-refused", Change(mask=half()), who="x", why=" ")
    with pytest.raises(RunNotFoundError, match="no version 7 of sample 'sample-refused'"):
        change_sample(catalog, "sample-refused", Change(), like=7, **WHO)
    assert sample_versions(catalog, "sample-refused") == []


def test_of_two_who_change_at_once_the_second_is_told(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    change_sample(catalog, "sample-race", Change(mask=half()), **WHO)
    start = threading.Barrier(2)
    publish = TiledSink.publish_sample

    def together(*arguments: Any, **more: Any) -> Any:
        start.wait(60)
        return publish(*arguments, **more)

    monkeypatch.setattr(TiledSink, "publish_sample", together)
    outcomes: list[Any] = []

    def work(tilt: float) -> None:
        try:
            outcomes.append(
                change_sample(catalog, "sample-race", Change(geometry=GeometryConfig(tilt_deg=tilt)), **WHO)
            )
        except CatalogError as error:
            outcomes.append(error)

    workers = [threading.Thread(target=work, args=(tilt,)) for tilt in (1.0, 2.0)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (lost,) = [one for one in outcomes if isinstance(one, CatalogError)]
    assert "somebody has just made version 2" in str(lost)
    assert [one.number for one in sample_versions(catalog, "sample-race")] == [1, 2]


def test_every_analysis_takes_what_is_kept_over_the_configuration(catalog: Catalog, take: Take) -> None:
    uid = take("sample-order")
    plain = assemble.analyze_run(catalog, uid, CONFIG)
    kept = change_sample(
        catalog,
        "sample-order",
        Change(
            mask=half(), rois=RoiConfig(rings=(QRing(name="wide", q=WIDER),)), geometry=GeometryConfig(tilt_deg=0.5)
        ),
        **WHO,
    )
    done = assemble.analyze_run(catalog, uid, CONFIG)
    assert done.key != plain.key
    found = result_of(catalog, done.key)
    assert found.rois.names == ("wide",)
    assert not found.mask[ROWS // 2 :].any()
    assert found.geometry.tilt == pytest.approx(np.deg2rad(0.5))
    assert found.provenance.sample_version == kept.number == 1
    assert len(find_records(catalog, run_uid=uid)) == 2, "the old result is kept"
    # A rule and the command line are more special, the configuration's sample part is less.
    part = {"samples": {"sample-order": {"rois": {"rings": [{"name": "own", "q": list(RING)}]}}}}
    rule = {"selection": {"fine": {"analysis": {"rois": {"rings": [{"name": "fine", "q": list(RING)}]}}}}}
    config = parse_config({**SETTINGS, **part, **rule})
    by_rule = assemble.analyze_run(catalog, uid, config, rule="fine")
    assert result_of(catalog, by_rule.key).rois.names == ("fine",)
    asked = RoiConfig(rings=(QRing(name="asked", q=RING),))
    by_hand = assemble.analyze_run(catalog, uid, config, rois=asked)
    assert result_of(catalog, by_hand.key).rois.names == ("asked",)
    assert not result_of(catalog, by_hand.key).mask[ROWS // 2 :].any(), "the mask is kept all the same"
    assert result_of(catalog, assemble.analyze_run(catalog, uid, config).key).rois.names == ("wide",)
    left_out = assemble.analyze_run(catalog, uid, config, kept=False)
    assert result_of(catalog, left_out.key).rois.names == ("own",)


def test_another_version_is_another_record_and_reprocessing_makes_it(catalog: Catalog, take: Take) -> None:
    uid = take("sample-again")
    change_sample(catalog, "sample-again", Change(geometry=GeometryConfig(beam_center_x=10.0)), **WHO)
    first = assemble.analyze_run(catalog, uid, CONFIG)
    assert assemble.analyze_run(catalog, uid, CONFIG).already_there
    change_sample(catalog, "sample-again", Change(geometry=GeometryConfig(beam_center_x=11.0)), **WHO)
    choice = Choice(sample="sample-again")
    jobs = reprocessing.choose(catalog, CONFIG, choice).jobs
    (foreseen,) = reprocessing.foresee(catalog, jobs, Request(CONFIG))
    assert foreseen.status == "to do"
    (row,) = reprocessing.work(catalog, jobs, Request(CONFIG))
    assert row.status == "new record"
    assert row.before == (first.key,)
    assert result_of(catalog, row.record).provenance.sample_version == 2
    (foreseen,) = reprocessing.foresee(catalog, jobs, Request(CONFIG))
    assert foreseen.status == "there already"


def test_a_run_that_a_person_analysed_with_a_version_is_settled_for_the_service(catalog: Catalog, take: Take) -> None:
    """Else the service would analyse it over and over: it looks for a record of these very settings."""
    uid = take("sample-settled")
    change_sample(catalog, "sample-settled", Change(mask=half()), **WHO)
    start = catalog.run(uid).metadata["start"]
    assert not settled(catalog, CONFIG, start, DEFAULT_RULE)
    assemble.analyze_run(catalog, uid, CONFIG)
    assert settled(catalog, CONFIG, start, DEFAULT_RULE)


def test_a_mask_of_another_detector_is_refused_before_it_is_kept(catalog: Catalog, take: Take) -> None:
    assemble.analyze_run(catalog, take("sample-shape"), CONFIG)
    with pytest.raises(InputError, match=rf"a mask of 5 x 6 pixels; needed: {ROWS} x {COLUMNS}"):
        change_sample(catalog, "sample-shape", Change(mask=np.ones((5, 6), dtype=bool)), **WHO)


def test_a_mask_of_the_catalog_needs_a_catalog(catalog: Catalog) -> None:
    version = change_sample(catalog, "sample-file", Change(mask=half()), **WHO)
    settings = version.settings.over(CONFIG.analysis)
    from gbx_beamline import open_series

    series = open_series(movie(FRAMES, seed=11)[0], frame_time=0.5)
    with pytest.raises(ConfigError, match=r"the mask .* of the catalog, where no catalog is open"):
        pipeline.select(series, settings)
    assert settings.hash != CONFIG.analysis.hash


def test_one_command_redraws_a_mask_and_analyses_a_scan_anew(
    catalog: Catalog, take: Take, gbx: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = take("sample-command")
    assert gbx("analyze", uid).code == 0
    np.save(tmp_path / "mask.npy", half())
    monkeypatch.setenv("GBX_USER", "operator 2")
    said = gbx(
        "sample", "set", "sample-command", "--mask", "mask.npy", "--why", "parasitic streak", "--analyze", uid[:8]
    )
    assert said.code == 0, said.err
    assert "version 1 of sample-command holds from now on" in said.out
    assert "with version 1 of what the catalog keeps of the sample" in said.out
    assert "1 older record of this run kept" in said.out
    records = find_records(catalog, run_uid=uid)
    assert [record.metadata["provenance"].get("sample_version") for record in records] == [None, 1]
    before, after = (result_of(catalog, record.key) for record in records)
    assert after.mask.sum() < before.mask.sum()

    said = gbx(
        "sample", "set", "sample-command", "--beam-center", "12", "-3", "--incidence", "0.25", "--why", "refined"
    )
    assert said.code == 0, said.err
    assert "beam centre x: 12.0 pixels" in said.out
    shown = gbx("sample", "show", "sample-command").out
    assert "sample-command, version 2: operator 2" in shown
    assert "incidence: 0.25 deg" in shown
    assert "mask: " in shown
    history = gbx("sample", "history", "sample-command").out
    assert "parasitic streak" in history
    assert "refined" in history
    assert "version 1" in gbx("sample", "show", "sample-command", "--version", "1").out
    version = latest_version(catalog, "sample-command")
    assert version is not None
    assert version.number == 2


def test_the_command_refuses_with_what_to_do(take: Take, gbx: Callable[..., Said], tmp_path: Path) -> None:
    assert "Nothing is kept of 'sample-none'" in gbx("sample", "show", "sample-none").out
    assert "Nothing is kept of 'sample-none'" in gbx("sample", "history", "sample-none").out
    assert gbx("sample", "set", "sample-none", "--tilt", "1").code == 2, "without a reason"
    wrong = gbx("sample", "set", "sample-none", "--incidence", "120", "--why", "x")
    assert wrong.code == 2
    assert "incidence_deg" in wrong.err
    other = gbx("sample", "set", "sample-none", "--tilt", "1", "--why", "x", "--analyze", take("sample-other"))
    assert other.code == 2
    assert "is of sample 'sample-other'" in other.err
    assert "Nothing is kept" in gbx("sample", "show", "sample-none").out, "the refusal came first"
    assert "KEY=VALUE" in gbx("sample", "set", "sample-none", "--geometry", "tilt", "--why", "x").err
    assert gbx("sample", "set", "sample-none", "--mask", "absent.npy", "--why", "x").code == 2
    assert gbx("analyze", "scan.h5", "--no-sample").code == 2
