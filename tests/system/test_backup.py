"""Backup and restore, rehearsed: a catalog is destroyed and comes back as it was."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from backing_up import everything, fill, of_run, small_result, small_settings
from command_line import Said, in_process
from serving import wait_for
from test_catalog import assert_same
from tiny_models import twin_of_the_default

from gbx_beamline import assemble
from gbx_beamline.catalog import TiledSink, connect, find_records, load_record
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import ConfigError, InputError, ServiceError
from gbx_beamline.learning.store import ModelStore
from gbx_services.backup import Backup, Kind, check_backup, make_backup, parts_of, restore_backup
from gbx_services.spool import Spool
from gbx_tiled.embedded import embedded_catalog

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Rehearsed:
    """A catalog that was backed up while it was served."""

    config: Config
    root: Path
    """Of the backups."""
    backup: Path
    before: dict[str, Any]
    models: dict[str, bytes]
    refused: str
    """What a restore into the served catalog said."""


def configured(folder: Path) -> Config:
    return parse_config(
        {
            "catalog": {"directory": str(folder / "gbx-data")},
            "serve": {"directory": str(folder / "serve")},
            "models": {"directory": str(folder / "gbx-data" / "models")},
        }
    )


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    folder = tmp_path_factory.mktemp("rehearsed")
    config, root = configured(folder), folder / "backups"
    with embedded_catalog(config.catalog.directory) as address:
        fill(address, config.catalog.directory, folder)
        twin_of_the_default(config.models.directory)
        made = make_backup(config, root)
        before = everything(address)
        with pytest.raises(ServiceError) as refused:
            restore_backup(config, root)
    assert not made.missing
    return Rehearsed(config, root, made.folder, before, files_below(config.models.directory), str(refused.value))


def elsewhere(config: Config, folder: Path) -> Config:
    """The same configuration with other places."""
    other = configured(folder)
    return config.model_copy(update={"catalog": other.catalog, "serve": other.serve, "models": other.models})


def test_a_destroyed_catalog_comes_back_as_it_was(rehearsed: Rehearsed) -> None:
    config = rehearsed.config
    with closing(Spool(config.serve.directory, repair=True)) as spool:
        spool.select("run-over-disk", ["default"], source="test")
    shutil.rmtree(config.catalog.directory)
    done = restore_backup(config, rehearsed.root)
    assert done.folder == rehearsed.backup
    with embedded_catalog(config.catalog.directory) as address:
        found = everything(address)
    assert found.keys() == rehearsed.before.keys()
    for path, held in rehearsed.before.items():
        assert found[path] == held, path
    # Something of each kind was there to be compared.
    kinds = {path.split("/")[1] for path in found if path.count("/") == 2}
    assert {"records", "inferences", "samples", "attempts"} <= kinds
    assert any(path.startswith("raw/") and content for path, (_, _, content) in found.items())
    assert files_below(config.models.directory) == rehearsed.models
    (own,) = [entry for entry in ModelStore(config.models).entries() if not entry.shipped]
    assert not own.problem
    # The queue's word for what is done counts no more; it is kept.
    assert done.queue is not None
    assert done.queue.is_file()
    with closing(Spool(config.serve.directory, repair=True)) as spool:
        assert not spool.known()


@pytest.mark.slow
def test_a_catalog_comes_back_in_another_place(rehearsed: Rehearsed, tmp_path: Path) -> None:
    config = elsewhere(rehearsed.config, tmp_path)
    aside = rehearsed.config.catalog.directory.with_name("moved away")
    rehearsed.config.catalog.directory.rename(aside)
    try:
        restore_backup(config, rehearsed.backup)
        with embedded_catalog(config.catalog.directory) as address:
            assert everything(address) == rehearsed.before
    finally:
        aside.rename(rehearsed.config.catalog.directory)


def test_nothing_is_overwritten(rehearsed: Rehearsed, tmp_path: Path) -> None:
    config = elsewhere(rehearsed.config, tmp_path)
    config.models.directory.mkdir(parents=True)
    (config.models.directory / "mine").write_text("kept")
    stale = config.catalog.directory / "catalog.db-wal"
    stale.write_text("of another catalog")
    with pytest.raises(InputError, match="not empty") as refused:
        restore_backup(config, rehearsed.backup)
    assert str(stale) in refused.value.found
    assert str(config.models.directory) in refused.value.found
    assert files_below(config.models.directory) == {"mine": b"kept"}
    assert not (config.catalog.directory / "catalog.db").exists()
    stale.unlink()
    restore_backup(config, rehearsed.backup, without=["models"])
    assert files_below(config.models.directory) == {"mine": b"kept"}
    assert (config.catalog.directory / "catalog.db").is_file()
    with pytest.raises(InputError, match="no part arrows"):
        restore_backup(config, rehearsed.backup, without=["arrows"])


def test_a_catalog_in_use_is_not_restored_into(rehearsed: Rehearsed) -> None:
    assert f"a server runs in {rehearsed.config.catalog.directory} already" in rehearsed.refused
    assert "stop `gbx serve`" in rehearsed.refused


def test_what_fails_half_way_leaves_nothing(rehearsed: Rehearsed, tmp_path: Path) -> None:
    config = elsewhere(rehearsed.config, tmp_path)
    (tmp_path / "file").touch()
    models = config.models.model_copy(update={"directory": tmp_path / "file" / "models"})
    with pytest.raises(ServiceError, match="Not a directory"):
        restore_backup(config.model_copy(update={"models": models}), rehearsed.backup)
    assert files_below(config.catalog.directory).keys() == {"server.lock"}


@pytest.mark.parametrize("harm", ["changed", "gone", "checksums", "manifest"])
def test_a_damaged_backup_is_refused(rehearsed: Rehearsed, tmp_path: Path, harm: str) -> None:
    backup = shutil.copytree(rehearsed.backup, tmp_path / "backup")
    assert check_backup(backup) == backup
    victim = next(path for path in sorted((backup / "results").rglob("*")) if path.is_file() and path.stat().st_size)
    said = str(victim.relative_to(backup))
    if harm == "changed":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif harm == "gone":
        victim.unlink()
    elif harm == "checksums":
        said = "results.sha256"
        (backup / said).write_text("")
    else:
        said = "layout 99"
        manifest = json.loads((backup / "backup.json").read_text()) | {"format": 99}
        (backup / "backup.json").write_text(json.dumps(manifest))
    config = elsewhere(rehearsed.config, tmp_path / "new")
    with pytest.raises(InputError) as refused:
        restore_backup(config, backup)
    assert said in refused.value.found
    assert not (config.catalog.directory / "catalog.db").exists()


def test_the_next_backup_links_what_has_not_changed_and_old_ones_go(rehearsed: Rehearsed, tmp_path: Path) -> None:
    root = shutil.copytree(rehearsed.root, tmp_path / "backups")
    (root / "20200101T000000.000000Z.partial").mkdir()
    config = elsewhere(rehearsed.config, tmp_path)
    restore_backup(config, root)
    shutil.rmtree(config.catalog.directory / "frames")
    second = make_backup(config, root)
    copied = second.copied["results"]
    assert copied.linked == copied.files > 0
    place = next((second.folder / "results").rglob("zarr.json")).relative_to(second.folder)
    assert (second.folder / place).samefile(root / rehearsed.backup.name / place)
    # The catalog names frames that are gone: said, and backed up all the same.
    assert any("frames/runs" in uri for uri in second.missing)
    assert check_backup(root) == second.folder
    third = make_backup(config, root, keep=2)
    assert {path.name for path in root.iterdir() if path.is_dir()} == {second.folder.name, third.folder.name}


def test_a_backup_of_itself_and_of_a_server_elsewhere_is_refused(rehearsed: Rehearsed, tmp_path: Path) -> None:
    config = rehearsed.config
    with pytest.raises(InputError, match="which is to be copied"):
        make_backup(config, config.catalog.directory / "results" / "backups")
    there = config.model_copy(update={"catalog": config.catalog.model_copy(update={"uri": "https://tiled.example"})})
    with pytest.raises(ConfigError, match=r"on the server https://tiled\.example"):
        make_backup(there, tmp_path)
    with pytest.raises(InputError, match="no whole backup"):
        check_backup(tmp_path)


def test_a_servers_configuration_tells_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rehearsed: Rehearsed
) -> None:
    monkeypatch.setenv("CATALOG_PASSWORD", "hush")
    path = tmp_path / "tiled.yml"
    catalog = {
        "uri": "postgresql://gbx:${CATALOG_PASSWORD}@db.example:5433/catalog",
        "writable_storage": ["/shared/arrays", "postgresql://gbx@db.example/tables"],
        "readable_storage": ["/detector"],
    }
    path.write_text(yaml.safe_dump({"trees": [{"path": "/", "tree": "catalog", "args": catalog}]}))
    config = rehearsed.config.model_copy(
        update={"catalog": rehearsed.config.catalog.model_copy(update={"store": Path("/shared/results")})}
    )
    parts = parts_of(config, path)
    assert [(part.name, part.kind) for part in parts] == [
        ("catalog", Kind.POSTGRESQL),
        ("tables", Kind.POSTGRESQL),
        ("arrays", Kind.FOLDER),
        ("results", Kind.FOLDER),
        ("models", Kind.FOLDER),
    ]
    assert parts[0].url is not None
    assert parts[0].url.password == "hush"
    assert "hush" not in f"{parts} {[part.said for part in parts]}"
    path.write_text(yaml.safe_dump({"catalog": catalog | {"writable_storage": ["s3://bucket"]}}))
    with pytest.raises(ConfigError, match="storage of tables is"):
        parts_of(config, path)


def test_the_commands_say_what_they_did(
    rehearsed: Rehearsed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GBX_TILED_URI", raising=False)
    gbx: Callable[..., Said] = lambda *given: in_process(monkeypatch, capsys, *given)  # noqa: E731
    assert gbx("restore", rehearsed.root).code == 0
    said = gbx("backup", "kept", "--without-frames", "--keep", "1")
    assert said.code == 0, said.err
    assert "catalog: 1 files" in said.out
    assert gbx("restore", "kept", "--check").out.endswith("every file is what it was\n")
    refused = gbx("restore", "kept")
    assert refused.code == 2
    assert "nothing is overwritten" in refused.err


@pytest.mark.slow
def test_a_backup_holds_together_while_scans_arrive(tmp_path: Path) -> None:
    config, settings = configured(tmp_path), small_settings(tmp_path)
    given = small_result(settings)
    stop = threading.Event()
    published: list[str] = []

    def publish(store: Path | None, way: str) -> None:
        with closing(connect(address.uri, address.api_key, store=store)) as catalog:
            sink = TiledSink(catalog)
            for number in range(100_000):
                if stop.is_set():
                    return
                published.append(sink.publish(of_run(given, f"{way}-{number:05d}")))

    def next_backup() -> Backup:
        """While the next result is on its way."""
        before = len(published)
        wait_for("another result", lambda: len(published) > before)
        return make_backup(config, tmp_path / "backups")

    with embedded_catalog(config.catalog.directory) as address:
        ways = ((address.store, "disk"), (None, "http"))
        writers = [threading.Thread(target=publish, args=one) for one in ways]
        for writer in writers:
            writer.start()
        try:
            backups = [next_backup() for _ in range(5)]
        finally:
            stop.set()
            for writer in writers:
                writer.join()
    counts = []
    for number, made in enumerate(backups):
        assert not made.missing
        other = elsewhere(config, tmp_path / f"again-{number}")
        restore_backup(other, made.folder)
        with assemble.open_catalog(other) as catalog:
            records = find_records(catalog)
            counts.append(len(records))
            for record in records:
                found = load_record(catalog, record.key)
                assert_same(found, of_run(given, record.run_uid))
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] > 0
