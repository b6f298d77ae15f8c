"""``gbx import``: detector files and two-time maps from elsewhere enter a real catalog whole, once, or not at all."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from command_line import COLUMNS, HEADER, RING, ROWS, Command, contents, in_process, speckles, write_eiger
from numpy.typing import NDArray

from gbx_beamline import open_series, pipeline
from gbx_beamline.catalog import Catalog, RecordSummary, connect, find_records, load_record
from gbx_beamline.config import AnalysisConfig, QRing, RoiConfig
from gbx_beamline.errors import InputError
from gbx_beamline.frames import Series
from gbx_beamline.frames.tiled_node import series_from_node
from gbx_beamline.records import ScanResult
from gbx_bluesky.eiger_import import master_documents
from gbx_bluesky.run_engine import tiled_writer
from gbx_services.linked_files import bring_in
from gbx_tiled.embedded import CatalogAddress

UID = re.compile(r": (?:imported|already there) as ([0-9a-f-]{36})\n")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog_directory: Path, catalog_address: Any) -> Path:
    """A user's folder outside the catalog's, with the embedded catalog configured; its server is up."""
    monkeypatch.chdir(tmp_path)
    for name in ("GBX_TILED_URI", "TILED_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump({"catalog": {"directory": str(catalog_directory)}}))
    monkeypatch.setenv("GBX_CONFIG", str(tmp_path / "gbx.yaml"))
    return tmp_path


@pytest.fixture
def gbx(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in ``folder``."""
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture
def imported(catalog_directory: Path) -> Callable[[], set[Path]]:
    """Every file below the catalog's folder of imported masters."""
    return lambda: {path for path in (catalog_directory / "frames" / "imported").rglob("*") if path.is_file()}


def uid_in(said: Any, *, code: int = 0) -> str:
    assert said.code == code, said.err
    (uid,) = UID.findall(said.out)
    return uid


def pixel_mask() -> NDArray[np.uint32]:
    mask = np.zeros((ROWS, COLUMNS), dtype=np.uint32)
    mask[11], mask[30, 7], mask[2, 3] = 1, 16, 2
    return mask


def both_ways(catalog: Catalog, uid: str, **options: Any) -> list[Series]:
    return [series_from_node(catalog.raw[uid], prefer=way, **options) for way in ("direct", "http")]


def assert_same_series(found: Series, expected: Series) -> None:
    np.testing.assert_array_equal(found.present, expected.present)
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert found.geometry == expected.geometry
    assert found.frame_time == expected.frame_time
    assert found.missing == expected.missing
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.present.all() or expected.allow_incomplete:
        np.testing.assert_array_equal(found.read(0, len(found)), expected.read(0, len(expected)))


def record_of(catalog: Catalog, uid: str) -> RecordSummary:
    """The one record that readers of this run see."""
    (summary,) = find_records(catalog, run_uid=uid)
    return summary


# --- Eiger masters


def test_a_master_is_linked_in_and_reads_like_its_file(
    gbx: Command, folder: Path, catalog: Catalog, catalog_directory: Path, imported: Any
) -> None:
    master = write_eiger(folder / "taken", "alike", pixel_mask=pixel_mask())
    said = gbx("import", master, "--sample", "Si", "--temperature", "421")
    uid = uid_in(said)
    assert f"{master}: imported as {uid}\n  24 frames of {ROWS} x {COLUMNS}\n" in said.out
    assert f"next: gbx analyze {uid[:8]} --config FILE\n" in said.out
    assert said.err == ""
    for found in both_ways(catalog, uid):
        assert_same_series(found, open_series(master))
    start = catalog.raw[uid].metadata["start"]
    assert (start["sample"], start["temperature"], start["imported_from"]) == ("Si", 421.0, master.name)
    for path in (folder / "taken").iterdir():
        assert (catalog_directory / "frames" / "imported" / uid / path.name).samefile(path), "no second copy"

    runs, files = len(catalog.raw), imported()
    again = gbx("import", master.rename(folder / "taken" / "renamed_master.h5"))
    assert f"already there as {uid}\n  the same master was imported before\n" in again.out
    assert (len(catalog.raw), imported()) == (runs, files)


def test_an_imported_run_is_analysed_as_its_file_is(gbx: Command, folder: Path, catalog: Catalog) -> None:
    master = write_eiger(folder, "analysed", pixel_mask=pixel_mask())
    uid = uid_in(gbx("import", master, "--temperature", "300.5"))
    low, high = map(float, RING.split(":"))
    settings = AnalysisConfig(rois=RoiConfig(rings=(QRing(q=(low, high)),)))
    expected = pipeline.analyze(open_series(master), settings)
    for path in folder.glob("*.h5"):
        path.unlink()  # links keep what they lead to
    said = gbx("analyze", uid[:8], "--ring", RING)
    assert said.code == 0, said.err
    record = load_record(catalog, record_of(catalog, uid).key)
    assert isinstance(record, ScanResult)
    np.testing.assert_array_equal(record.two_time.g2, expected.two_time.g2)
    np.testing.assert_array_equal(record.mask, expected.mask)
    assert record.geometry == expected.geometry
    assert record.scan.temperature == 300.5


def test_a_master_in_the_catalogs_folder_stays_where_it_is(
    gbx: Command, folder: Path, catalog: Catalog, catalog_directory: Path, imported: Any
) -> None:
    master = write_eiger(catalog_directory / "frames" / "own", "inside")
    before = imported()
    uid = uid_in(gbx("import", master))
    assert imported() == before
    assert_same_series(series_from_node(catalog.raw[uid]), open_series(master))


def test_absent_data_files_are_seen_alike_by_both_ways(gbx: Command, folder: Path, catalog: Catalog) -> None:
    """Files of 10, 10 and 4 frames: steps of their mean would pass the last one by."""
    header = replace(HEADER, shape=(ROWS, COLUMNS), nimages=24)
    cases = [(3,), (1, 3)]
    masters = [write_eiger(folder, f"lost_{len(lost)}_{lost[0]}", header=header) for lost in cases]
    for master, lost in zip(masters, cases, strict=True):
        for number in lost:
            Path(f"{master.stem.removesuffix('_master')}_data_{number:06d}.h5").unlink()
    said = gbx("import", *masters)
    assert said.code == 0, said.err
    for uid, master, lost in zip(UID.findall(said.out), masters, cases, strict=True):
        expected = open_series(master)
        assert len(expected.missing) == len(lost)
        assert f"missing: {', '.join(expected.missing)}; put them beside the master and import it again" in said.out
        for found in both_ways(catalog, uid):
            assert_same_series(found, expected)
    uid, master = UID.findall(said.out)[0], masters[0]
    for found in both_ways(catalog, uid, allow_incomplete=True):
        assert_same_series(found, open_series(master, allow_incomplete=True))


def test_an_aborted_series_fails_with_a_reason_or_is_flagged_or_mended(
    gbx: Command, folder: Path, catalog: Catalog
) -> None:
    master = write_eiger(folder, "aborted")
    lost = folder / "aborted_data_000003.h5"
    away = lost.rename(folder / "away")
    uid = uid_in(gbx("import", master))
    failed = gbx("analyze", uid, "--ring", RING)
    assert failed.code == 2
    assert lost.name in failed.err
    failure = record_of(catalog, uid)
    assert failure.failed
    assert failure.metadata["kind"] == "MissingFramesError"
    assert f"4 of 24 frames are absent; missing: {lost.name}" in failure.metadata["reason"]

    partial = gbx("analyze", uid, "--allow-incomplete", "--ring", RING)
    assert partial.code == 0, partial.err
    (result,) = [record for record in find_records(catalog, run_uid=uid) if not record.failed]
    assert f"incomplete: {lost.name} missing, 20 frames used" in result.metadata["flags"]
    assert result.metadata["frames"] == 20

    away.rename(lost)
    again = gbx("import", master)
    assert uid_in(again) == uid
    assert f"  {lost.name} was brought in now\n" in again.out
    assert "missing:" not in again.out
    for found in both_ways(catalog, uid):
        assert_same_series(found, open_series(master))


def test_everything_a_master_leads_to_comes_along(tmp_path: Path) -> None:
    """As at DLS: a virtual data set over files in another folder, and the pixel mask in a file of its own."""
    plain = write_eiger(tmp_path, "plain", pixel_mask=pixel_mask())
    taken = tmp_path / "taken"
    (taken / "data").mkdir(parents=True)
    names = sorted(tmp_path.glob("plain_data_*.h5"))
    layout = h5py.VirtualLayout((24, ROWS, COLUMNS), np.uint16)
    with h5py.File(plain, "r+") as file:
        frames = 0
        for number, path in enumerate(names, start=1):
            del file[f"entry/data/data_{number:06d}"]
            with h5py.File(path) as part:
                data = part["entry/data/data"]
                assert isinstance(data, h5py.Dataset)
                source = h5py.VirtualSource(f"data/{path.name}", "entry/data/data", shape=data.shape)
            layout[frames : frames + source.shape[0]] = source
            frames += source.shape[0]
            path.rename(taken / "data" / path.name)
        file.create_virtual_dataset("entry/data/data", layout)
        mask = "entry/instrument/detector/detectorSpecific/pixel_mask"
        with h5py.File(taken / "plain_meta.h5", "w") as meta:
            meta["mask"] = file[mask][()]  # pyright: ignore[reportIndexIssue]
        del file[mask]
        file[mask] = h5py.ExternalLink("plain_meta.h5", "mask")
    master = plain.rename(taken / "vds_master.h5")
    expected = open_series(master)
    assert expected.excluded["pixel_mask"] == COLUMNS + 2
    for copy in (False, True):
        brought = bring_in(master, tmp_path / f"catalog_{copy}", copy=copy)
        assert sorted(brought) == [*(f"data/{path.name}" for path in names), "plain_meta.h5", "vds_master.h5"]
        assert bring_in(master, tmp_path / f"catalog_{copy}", copy=copy) == [], "once is enough"
    taken.rename(tmp_path / "gone")
    for copy in (False, True):
        found = open_series(tmp_path / f"catalog_{copy}" / master.name)
        np.testing.assert_array_equal(found.mask, expected.mask)
        np.testing.assert_array_equal(found.read(0, 24)[:, expected.mask], speckles()[:, expected.mask])


def test_symbolic_links_bring_the_files_and_not_the_links(tmp_path: Path) -> None:
    write_eiger(tmp_path / "store", "symbolic")
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "store").iterdir():
        (tmp_path / "mine" / path.name).symlink_to(Path("..") / "store" / path.name)
    bring_in(tmp_path / "mine" / "symbolic_master.h5", tmp_path / "catalog", copy=False)
    for path in (tmp_path / "store").iterdir():
        assert (tmp_path / "catalog" / path.name).samefile(path)
        assert not (tmp_path / "catalog" / path.name).is_symlink()


def test_files_of_one_name_from_two_folders_never_stand_for_each_other(tmp_path: Path) -> None:
    master = write_eiger(tmp_path / "run", "twins")
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "part.h5").write_text(side)
    with h5py.File(master, "r+") as file:
        for side in ("left", "right"):
            file[f"entry/{side}"] = h5py.ExternalLink(f"../{side}/part.h5", "data")
    with pytest.raises(InputError, match=r"twins_master.h5 leads to .*left/part.h5 and to .*right/part.h5"):
        bring_in(master, tmp_path / "catalog", copy=False)
    assert not (tmp_path / "catalog").exists()


def test_another_file_system_is_named_with_the_way_out(
    gbx: Command,
    folder: Path,
    catalog: Catalog,
    catalog_directory: Path,
    imported: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master = write_eiger(folder / "taken", "far")
    before, files, runs = contents(folder), imported(), set(catalog.raw)
    link, left = os.link, 2  # the third file is refused, the first two are there by then

    def refusing(source: Any, target: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))
        link(source, target)

    monkeypatch.setattr(os, "link", refusing)
    said = gbx("import", master)
    assert said.code == 2
    assert said.out == ""
    assert "Invalid cross-device link" in said.err
    assert "import it with --copy" in said.err
    assert said.err.count("\n") == 1
    assert (contents(folder), imported(), set(catalog.raw)) == (before, files, runs)
    uid = uid_in(gbx("import", master, "--copy"))
    copied = catalog_directory / "frames" / "imported" / uid
    assert contents(copied) == contents(folder / "taken")
    assert not (copied / master.name).samefile(master)


def test_a_server_that_may_not_read_the_files_keeps_no_run(
    gbx: Command, folder: Path, catalog: Catalog, catalog_address: CatalogAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server named by its address is not ours to put files before, and these lie where it may not read."""
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    # Tiled's client asks again for 25 s after such an answer.
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 2)
    master = write_eiger(folder / "taken", "outside")
    (folder / "taken" / "outside_data_000003.h5").unlink()
    before, runs = contents(folder), set(catalog.raw)
    said = gbx("import", master)
    assert said.code == 2
    line = said.err.splitlines()[-1]  # Tiled's client tells of its retries before
    assert line.startswith(f"{master}: error: ")
    assert "readable_storage" in line
    assert "nothing was kept of this attempt" in line
    assert (contents(folder), set(catalog.raw)) == (before, runs)


def test_an_interrupted_import_leaves_nothing(
    gbx: Command, folder: Path, catalog: Catalog, imported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = write_eiger(folder, "interrupted")
    files, runs = imported(), set(catalog.raw)

    def interrupted(*arguments: Any, **options: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, document in master_documents(*arguments, **options):
            if name == "stop":
                raise KeyboardInterrupt
            yield name, document

    with monkeypatch.context() as patch:
        patch.setattr("gbx_services.importing.master_documents", interrupted)
        assert gbx("import", master).code == 130
    assert (imported(), set(catalog.raw)) == (files, runs)
    assert "imported as" in gbx("import", master).out


def test_what_a_killed_import_left_behind_is_replaced(gbx: Command, folder: Path, catalog: Catalog) -> None:
    master = write_eiger(folder, "killed")
    uid = pipeline.uid_of_file(master)
    writer = tiled_writer(catalog.raw)
    for name, document in master_documents(master, uid=uid, md={}):
        if name != "stop":
            writer(name, document)
    assert uid in catalog.raw
    said = gbx("import", master)
    assert f"imported as {uid}" in said.out
    assert catalog.raw[uid].metadata["stop"]["exit_status"] == "success"


def test_one_bad_file_of_several_keeps_no_other_out(
    gbx: Command, folder: Path, catalog: Catalog, imported: Any
) -> None:
    good = [write_eiger(folder / "taken", f"good_{number}") for number in (1, 2)]
    text = folder / "text_master.h5"
    text.write_text("not a detector file")
    with h5py.File(folder / "empty_master.h5", "w") as file:
        file["entry/title"] = "no frames"
    damaged = write_eiger(folder / "damaged", "damaged")
    master_bytes = damaged.read_bytes()
    damaged.write_bytes(master_bytes[: len(master_bytes) // 2])
    runs, files = set(catalog.raw), imported()
    bad = [text, folder / "empty_master.h5", damaged, folder / "none_master.h5", folder / "taken"]
    said = gbx("import", good[0], *bad, good[1])
    assert said.code == 2
    uids = UID.findall(said.out)
    assert len(uids) == 2
    lines = said.err.splitlines()
    assert [line.split(": error: ")[0] for line in lines] == [str(path) for path in bad]
    for line, words in zip(
        lines, ["no HDF5 file", "names no frames", "damaged, truncated", "no file", "no file"], strict=True
    ):
        assert words in line
        assert "; needed: " in line
    assert set(catalog.raw) == runs | set(uids)
    assert len(imported() - files) == 8


def test_a_real_master_without_its_data_is_registered_and_says_what_is_missing(
    gbx: Command, folder: Path, catalog: Catalog, shared_data: Path
) -> None:
    master = shared_data / "eiger" / "xrc_209_master.h5"
    said = gbx("import", master, "--copy")  # measured data may lie on another file system
    uid = uid_in(said)
    assert "240 frames of 2162 x 2068" in said.out
    assert "missing: xrc_209_000001.h5; put them beside the master and import it again\n" in said.out
    for found in both_ways(catalog, uid):
        assert found.shape == (240, 2162, 2068)
        assert found.missing == ("xrc_209_000001.h5",)
        assert not found.present.any()
        assert found.geometry == open_series(master).geometry
    failed = gbx("analyze", uid, "--ring", "0.5:0.6")
    assert failed.code == 2
    assert record_of(catalog, uid).failed
    assert "absent: xrc_209_000001.h5" in failed.err


# --- two-time maps

N = 30


def relaxing(contrast: float = 0.2, rate: float = 0.1) -> NDArray[np.float64]:
    """(N, N) g2 of a relaxation that slows down with age."""
    time = np.arange(N)
    age = (time[:, None] + time) / 2
    return 1 + contrast * np.exp(-2 * rate * np.abs(time[:, None] - time) / (1 + 0.2 * age))


def saved(path: Path, array: NDArray[Any]) -> Path:
    np.save(path, array)
    return path


def test_maps_become_one_record_that_says_what_was_done_to_them(gbx: Command, folder: Path, catalog: Catalog) -> None:
    """Two q of one measurement, one half of them 0.002 higher than the other, frame 4 unknown."""
    maps = np.stack([relaxing(0.3, 0.05), relaxing(0.1, 0.4)])
    maps[:, 4], maps[:, :, 4] = np.nan, np.nan
    skew = np.triu(np.full((N, N), 0.002), k=1)
    np.savez(folder / "maps.npz", g12=np.moveaxis(maps + skew, 0, -1), other=np.zeros(3))
    arguments = ["import", "maps.npz", "--frame-time", "0.5", "--sample", "glass", "--temperature", "310"]
    said = gbx(*arguments)
    uid = uid_in(said)
    assert f"next: gbx report {uid[:8]}\n" in said.out
    record = load_record(catalog, record_of(catalog, uid).key)
    assert isinstance(record, ScanResult)
    assert record.flags == (
        "map was not symmetric (largest difference 0.002): the two halves were averaged",
        "baseline 1 detected from the longest lags",
        "imported map: pixels and counts are not known",
    )
    for flag in record.flags:
        assert f"  {flag}\n" in said.out
    assert record.rois.names == ("map 1", "map 2")
    assert (record.scan.sample, record.scan.temperature) == ("glass", 310.0)
    off = ~np.eye(N, dtype=bool)
    np.testing.assert_allclose(record.two_time.g2[:, off], (maps + 0.001)[:, off], rtol=1e-6)
    assert np.flatnonzero(~record.two_time.valid_frames).tolist() == [4]
    np.testing.assert_allclose(record.one_time.tau, 0.5 * np.arange(N))
    for each, found in zip(maps, record.nonequilibrium, strict=True):
        # Eq. 1-3 from the map itself: mean along each diagonal, what is left of it, and their variances.
        diagonals = [np.diagonal(each, lag) for lag in range(1, N)]
        upper = [known for line in diagonals if (known := line[np.isfinite(line)]).size]
        drift = np.concatenate([line - line.mean() for line in upper])
        assert found.status == "ok"
        assert found.s_noneq == pytest.approx(np.mean(drift**2) / np.var(np.concatenate(upper)), rel=1e-3)

    again = gbx(*arguments)
    assert uid_in(again) == uid
    assert "the same map was imported before" in again.out
    assert len(find_records(catalog, sample="glass")) == 1
    other = uid_in(gbx(*arguments, "--baseline", "0"))
    assert other != uid
    told = record_of(catalog, other)
    assert "baseline 0 as told" in told.metadata["flags"]
    stored: Any = catalog.processed["attempts"][told.metadata["attempt"]]["two_time"]
    np.testing.assert_allclose(stored[:][:, off], (maps + 1.001)[:, off], rtol=1e-6)
    assert len(find_records(catalog, sample="glass")) == 2


def test_maps_that_are_none_are_refused_and_leave_no_record(gbx: Command, folder: Path, catalog: Catalog) -> None:
    before = len(catalog.processed["records"])
    saved(folder / "complex.npy", relaxing().astype(complex))
    saved(folder / "frames.npy", speckles())
    saved(folder / "between.npy", relaxing() - 0.3)
    said = gbx("import", "complex.npy", "frames.npy", "between.npy", "none.npz", "--frame-time", "1")
    assert said.code == 2
    assert said.out == ""
    for line, name, words in zip(
        said.err.splitlines(),
        ["complex.npy", "frames.npy", "between.npy", "none.npz"],
        ["complex128", "for frames use `gbx analyze`", "--baseline 0 or --baseline 1", "No such file"],
        strict=True,
    ):
        assert line.startswith(f"{name}: error: ")
        assert words in line
    untimed = gbx("import", saved(folder / "map.npy", relaxing()))
    assert untimed.code == 2
    assert "give --frame-time" in untimed.err
    assert len(catalog.processed["records"]) == before


def test_a_measured_map_is_reported(gbx: Command, folder: Path, catalog: Catalog, shared_data: Path) -> None:
    path = shared_data / "two_time" / "yolkplasma_q0p022_ttc.npy"
    uid = uid_in(gbx("import", path, "--frame-time", "1", "--sample", "egg yolk"))
    record = record_of(catalog, uid).metadata
    assert record["flags"][0].startswith("map was not symmetric")
    assert record["flags"][1] == "baseline 0 detected from the longest lags"
    (roi,) = record["rois"]
    assert roi["nonequilibrium"]["status"] == "ok"
    assert 0 < roi["nonequilibrium"]["s_noneq"] < 1
    said = gbx("report", uid[:8], "--out", "yolk.png")
    assert said.code == 0, said.err
    assert (folder / "yolk.png").read_bytes().startswith(PNG)
    assert "map 1" in said.out
