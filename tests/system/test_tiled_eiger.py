"""Eiger series through a real RunEngine, TiledWriter and Tiled server, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from eiger_runs import GEOMETRY, Taken, movie, take, writer
from tiled.client.container import Container

from gbx_beamline.correlation import two_time
from gbx_beamline.errors import AccessDeniedError, CatalogError, MissingFramesError
from gbx_beamline.frames import EigerFile, EigerHeader, EigerWriter, open_series
from gbx_beamline.frames.series import Series
from gbx_beamline.frames.tiled_node import series_from_node
from gbx_bluesky.eiger_import import master_documents
from gbx_tiled.broker import broker
from gbx_tiled.embedded import CatalogAddress


@pytest.fixture(scope="module", params=[2, 1], ids=["one master", "two masters"])
def taken(request: pytest.FixtureRequest, raw_runs: Container, catalog_directory: Path) -> Taken:
    return take(raw_runs, catalog_directory / "frames", per_series=request.param, seed=request.param)


def image_of(raw: Container, uid: str) -> Any:
    return raw[uid]["primary"]["eiger4m_single_image"]  # pyright: ignore[reportIndexIssue]


def assert_same(one: Series, other: Series) -> None:
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.present, other.present)
    assert one.geometry == other.geometry
    assert one.frame_time == other.frame_time
    assert one.excluded == other.excluded
    assert one.notes == other.notes
    assert one.missing == other.missing
    assert one.metadata == other.metadata
    assert one.run_uid == other.run_uid


def test_frames_of_all_triggers_and_files_come_back_in_acquisition_order(taken: Taken, raw_runs: Container) -> None:
    masters = [path for path in taken.files if path.name.endswith("_master.h5")]
    assert len(taken.files) > 2 * len(masters)
    from_files = np.concatenate([(file := EigerFile(path)).read(0, file.shape[0]) for path in masters])
    over_http = image_of(raw_runs, taken.uid)[:]
    np.testing.assert_array_equal(from_files, taken.frames)
    np.testing.assert_array_equal(over_http, taken.frames)
    assert over_http.dtype == np.uint16
    for prefer in ("http", "direct"):
        series = series_from_node(raw_runs[taken.uid], prefer=prefer)
        np.testing.assert_array_equal(series.read(0, len(series)), taken.frames)


def test_a_tiled_node_gives_the_same_series_over_http_and_directly(taken: Taken, raw_runs: Container) -> None:
    run = raw_runs[taken.uid]
    direct, http = open_series(run), series_from_node(run, prefer="http")
    assert_same(direct, http)
    assert_same(direct, open_series(image_of(raw_runs, taken.uid)))
    assert http.frame_time == 0.5
    assert http.geometry == GEOMETRY.with_changes(flip_y=True)
    np.testing.assert_array_equal(http.mask, taken.pixel_mask == 0)
    assert http.run_uid == taken.uid
    assert http.metadata["start"]["sample"] == "gold"
    assert http.metadata["photon_energy"] == pytest.approx(9650, rel=1e-4)


def test_pixels_picked_over_http_correlate_to_the_same_bits(taken: Taken, raw_runs: Container) -> None:
    run = raw_runs[taken.uid]
    direct, http = open_series(run), series_from_node(run, prefer="http")
    labels = np.zeros(direct.shape[1:], dtype=np.int32)
    labels[3:-3, 4:-2] = 1
    one, other = (two_time(series, labels) for series in (direct, http))
    assert np.array_equal(one.g2, other.g2, equal_nan=True)
    assert np.array_equal(one.group_maps, other.group_maps, equal_nan=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "selection",
    [np.s_[20:31, 3:9, 5:6], np.s_[::7], np.s_[40:5:-6, ::-1, ::3], np.s_[-1], np.s_[12, :, 30], np.s_[..., 4]],
    ids=str,
)
def test_slices_over_http_are_numpys(taken: Taken, raw_runs: Container, selection: Any) -> None:
    np.testing.assert_array_equal(image_of(raw_runs, taken.uid)[selection], taken.frames[selection])


def test_blocks_and_regions_of_a_node_are_those_of_the_frames(taken: Taken, raw_runs: Container) -> None:
    np.testing.assert_array_equal(image_of(raw_runs, taken.uid).read_block((0, 0, 0)), taken.frames)
    series = series_from_node(raw_runs[taken.uid], prefer="http")
    np.testing.assert_array_equal(series.read(24, 27, (slice(2, 8), slice(0, 31))), taken.frames[24:27, 2:8])


def test_the_mask_is_a_node_of_its_own(taken: Taken, raw_runs: Container) -> None:
    node: Any = raw_runs[taken.uid]["primary"]["eiger4m_single_pixel_mask"]  # pyright: ignore[reportIndexIssue]
    np.testing.assert_array_equal(node[:], taken.pixel_mask)
    np.testing.assert_array_equal(node[4:7, ::2], taken.pixel_mask[4:7, ::2])


def test_an_absent_data_file_is_named_over_http_and_directly(raw_runs: Container, catalog_directory: Path) -> None:
    taken = take(raw_runs, catalog_directory / "frames", per_series=2, seed=5)
    lost = next(path for path in taken.files if path.name.endswith("_data_000002.h5"))
    lost.unlink()
    image = image_of(raw_runs, taken.uid)
    np.testing.assert_array_equal(image[20:50], taken.frames[20:50])
    with pytest.raises(httpx.HTTPStatusError, match=lost.name):
        image[5:12]
    run = raw_runs[taken.uid]
    for prefer in ("http", "direct"):
        series = series_from_node(run, prefer=prefer)
        assert series.missing == (lost.name,)
        assert np.flatnonzero(~series.present).tolist() == list(range(10, 20))
        with pytest.raises(MissingFramesError, match=lost.name):
            series.read(0, 50)
    direct = series_from_node(run, allow_incomplete=True)
    http = series_from_node(run, allow_incomplete=True, prefer="http")
    assert_same(direct, http)
    np.testing.assert_array_equal(direct.read(0, 50), http.read(0, 50))
    np.testing.assert_array_equal(http.read(20, 50), taken.frames[20:50])
    assert not http.read(10, 20).any()


def add_master(raw: Container, master: Path, uid: str) -> Any:
    """Register a finished master as ``gbx import`` does."""
    sink = writer(raw)
    for name, document in master_documents(master, uid=uid, md={}):
        sink(name, document)
    return raw[uid]


@pytest.mark.parametrize("with_mask", [False, True], ids=["no mask", "mask"])
def test_what_no_virtual_source_covers_is_masked_over_http_too(
    raw_runs: Container, catalog_directory: Path, with_mask: bool
) -> None:
    folder = catalog_directory / "frames" / f"modules_{with_mask}"
    folder.mkdir(parents=True)
    counts, mask = movie(20, seed=8)
    layout = h5py.VirtualLayout(counts.shape, np.uint16)
    for name, rows in (("upper.h5", slice(0, 10)), ("lower.h5", slice(16, 24))):
        with h5py.File(folder / name, "w") as file:
            file["data"] = counts[:, rows]
        layout[:, rows] = h5py.VirtualSource(name, "data", shape=counts[:, rows].shape)
    with h5py.File(folder / "modules_master.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
        file["entry/instrument/detector/frame_time"] = 0.1
        file["entry/instrument/detector/detectorSpecific/nimages"] = 16
        if with_mask:
            file["entry/instrument/detector/detectorSpecific/pixel_mask"] = mask
    run = add_master(raw_runs, folder / "modules_master.h5", f"modules-{with_mask}")
    direct, http = open_series(run), series_from_node(run, prefer="http")
    assert_same(direct, http)
    assert_same(open_series(image_of(raw_runs, f"modules-{with_mask}")), http)
    expected = {"no_source": 6 * 31, **({"pixel_mask": 32} if with_mask else {})}
    assert http.excluded == expected
    assert not http.mask[10:16].any()
    assert "the header promises 16 frames, the data files hold 20; all 20 are used" in http.notes
    used = http.mask
    np.testing.assert_array_equal(http.read(0, 20)[:, used], counts[:, used])


def test_notes_on_absent_files_are_those_of_now(raw_runs: Container, catalog_directory: Path) -> None:
    folder = catalog_directory / "frames" / "held_back"
    header = EigerHeader(frame_time=0.1, count_time=0.09, nimages=40, ntrigger=1)
    counts, mask = movie(40, seed=9)
    with EigerWriter(folder, "late", header=header, frames_per_file=10, pixel_mask=mask) as eiger:
        eiger.append(counts)
    lost = folder / "late_data_000002.h5"
    away = lost.rename(folder / "elsewhere.h5")
    run = add_master(raw_runs, folder / "late_master.h5", "held-back")
    for allowed in (False, True):
        http = series_from_node(run, prefer="http", allow_incomplete=allowed)
        assert_same(open_series(run, allow_incomplete=allowed), http)
        assert f"{lost.name} absent: 10 frames taken as missing from frame 10 on" in http.notes
    away.rename(lost)
    http = series_from_node(run, prefer="http")
    assert_same(open_series(run), http)
    assert http.notes == ()


def test_files_outside_the_readable_storage_are_not_served(raw_runs: Container, tmp_path: Path) -> None:
    taken = take(raw_runs, tmp_path, per_series=2, seed=6)
    image = image_of(raw_runs, taken.uid)
    # Not through the array client, which repeats what the server could not do for a minute.
    answer = image.context.http_client.get(image.item["links"]["full"])
    assert answer.status_code == 500
    # Whoever may read the files on this machine still can.
    np.testing.assert_array_equal(open_series(image).read(0, 50), taken.frames)


def test_legacy_chx_documents_become_eiger_nodes(raw_runs: Container, catalog_directory: Path) -> None:
    folder = catalog_directory / "frames" / "legacy"
    counts, mask = movie(40, seed=7)
    header = EigerHeader(frame_time=0.1, count_time=0.09, nimages=20, ntrigger=1, wavelength=1.2848e-10, distance=10.08)
    for number, sequence in enumerate((412, 413)):
        with EigerWriter(folder, f"c1f3_{sequence}", header=header, frames_per_file=8, pixel_mask=mask) as eiger:
            eiger.append(counts[20 * number : 20 * number + 20])
    text = (Path(__file__).parent / "legacy_chx_documents.json").read_text()
    sink = writer(raw_runs)
    for name, document in json.loads(text.replace("@ROOT@", str(folder))):
        sink(name, document)
    run = raw_runs["7f6c0d1e-3a51-4f0c-9d34-8a6c52f1b7aa"]
    expected = counts.copy()
    expected[:, mask != 0] = np.iinfo(np.uint16).max
    direct, http = open_series(run), series_from_node(run, prefer="http")
    np.testing.assert_array_equal(http.read(0, 40), expected)
    np.testing.assert_array_equal(direct.read(0, 40), expected)
    assert_same(direct, http)
    np.testing.assert_array_equal(http.mask, mask == 0)
    assert http.frame_time == 0.1
    # The file of this age lacks it; CHX's configuration key has it.
    assert (http.geometry.beam_center_x, http.geometry.beam_center_y) == (1143.0, 1229.5)


@pytest.fixture
def db(catalog_address: CatalogAddress) -> Iterator[Any]:
    found = broker(catalog_address.uri, catalog_address.api_key)
    yield found
    found.v2.context.close()


def test_a_databroker_broker_finds_runs_and_reads_tables(taken: Taken, db: Any) -> None:
    header = db[taken.uid]
    assert header.start["sample"] == "gold"
    assert header.stop["exit_status"] == "success"
    assert header.table()["eiger4m_single_cam_array_counter"].tolist() == [25, 50]
    assert taken.uid in [found.start["uid"] for found in db(sample="gold")]


def test_runs_from_a_broker_open_as_series_and_leave_other_clients_as_they_were(
    taken: Taken, db: Any, raw_runs: Container
) -> None:
    assert_same(open_series(db.v2[taken.uid]), open_series(raw_runs[taken.uid]))
    np.testing.assert_array_equal(image_of(raw_runs, taken.uid)[3], taken.frames[3])


def test_a_broker_with_a_wrong_key_or_container_says_so(catalog_address: CatalogAddress) -> None:
    with pytest.raises(AccessDeniedError, match="TILED_API_KEY"):
        broker(catalog_address.uri, "0" * 64)
    with pytest.raises(CatalogError, match="'no_such'"):
        broker(catalog_address.uri, catalog_address.api_key, raw="no_such")
