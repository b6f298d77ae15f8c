"""A scan of one proposal through a service on a shared server: results are the proposal's, no key is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from access_server import KINDS, OTHER, OWN, SharedServer
from eiger_runs import GEOMETRY, movie
from serving import FRAMES, Service, wait_for
from tiled.client.utils import ClientError

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, connect, find_live, find_records, load_record
from gbx_beamline.catalog.access import tags_of
from gbx_beamline.cli import main
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.records import ScanResult
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_tiled.roles import SHELVES_TAG, Role

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> Iterator[SharedServer]:
    with KINDS[request.param](tmp_path_factory.mktemp("facility") / "catalog", repository / "deploy") as running:
        yield running


def scan(server: SharedServer, folder: Path) -> str:
    """One scan of proposal ``OWN``, written with the acquisition's key; its uid."""
    engine, writer = make_run_engine(
        server.uri,
        api_key=server.key(Role.ACQUISITION),
        backup_directory=folder / "journals",
        md={"data_session": OWN},
    )
    counts, mask = movie(FRAMES, seed=11)
    eiger: Any = SimulatedEiger(
        directory=server.directory / "frames" / "scans",
        feed=ReplayFeed(counts, pixel_mask=mask),
        geometry=GEOMETRY,
        frames_per_file=FRAMES // 2,
    )
    outcome: Any = engine(count_series(eiger, frames=FRAMES, frame_time=0.5, sample="gold"))
    assert writer.flush(120), "the acquisition's key does not suffice for its documents"
    writer.close()
    return outcome[0]


def opened(server: SharedServer, who: str) -> Catalog:
    return connect(server.uri, server.key(who))


@pytest.mark.timeout(600)
def test_results_are_their_proposals_and_keys_stay_secret(
    server: SharedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    frames = str(server.directory / "frames")
    monkeypatch.setenv("TILED_API_KEY", server.key(Role.WORKER))
    monkeypatch.setenv(assemble.URI_VARIABLE, server.uri)
    service = Service(
        tmp_path, catalog={"roots": [frames]}, live={"enabled": True, "roots": [frames]}, sweep={"every_s": 3600.0}
    )
    secrets = {who: word.split(" ", 1)[1] for who, word in server.tokens.items()}
    with service:
        service.wait_until_ready()
        run = scan(server, tmp_path)
        worker = opened(server, Role.WORKER)
        (record,) = wait_for("the record", lambda: find_records(worker, run_uid=run))
        assert not record.failed, record.metadata
        wait_for("the end of the live record", lambda: find_live(worker) and not find_live(worker, unsettled=True))
        titles = [_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
        check_tags(worker, run, record)
        worker.close()
        assert service.stop() == 0
    check_readers(server, record.key, run)
    monkeypatch.setenv("TILED_API_KEY", server.key(Role.VIEWER))
    for arguments in (["results", "--format", "json"], ["report", "nothing-of-this-name"], ["doctor"]):
        monkeypatch.setattr("sys.argv", ["gbx", *arguments])
        with suppress(SystemExit):
            main()
    said = capfd.readouterr()
    assert run in said.out
    places = {"processes": b"\0".join(titles), "output": (said.out + said.err).encode()}
    for folder in (tmp_path, server.directory):
        places |= {str(path): _read(path) for path in folder.rglob("*") if path.is_file() and path.suffix != ".key"}
    assert str(tmp_path / "serve.jsonl") in places
    assert any("prefect" in name and name.endswith(".db") for name in places)
    found = [(who, name) for who, secret in secrets.items() for name, text in places.items() if secret.encode() in text]
    assert found == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a process that has ended
        return b""


def check_tags(worker: Catalog, run: str, record: Any) -> None:
    """Raw run, pointer, attempt with its arrays, and live record have the proposal's tag; the shelves have theirs."""
    processed: Any = worker.processed
    attempt = processed["attempts", record.metadata["attempt"]]
    (live,) = [processed["live", summary.key] for summary in find_live(worker) if summary.run_uid == run]
    nodes = [worker.run(run), processed["records", record.key], attempt, *attempt.values(), live]
    assert [tags_of(node) for node in nodes] == [(OWN,)] * len(nodes)
    assert {tags_of(shelf) for shelf in (worker.raw, processed, *processed.values())} == {(SHELVES_TAG,)}
    assert tuple(record.metadata["access_tags"]) == (OWN,)
    with pytest.raises(ClientError, match="403"):
        worker.run(run).update_metadata({"start": {"sample": "lead"}})
    with pytest.raises(ClientError, match="403"):
        worker.raw.delete_contents(run, recursive=True, external_only=False)


def check_readers(server: SharedServer, key: str, run: str) -> None:
    """Members and displays read the result as a whole, others do not learn that it exists."""
    for who in ("anna", "dora", Role.VIEWER):
        catalog = opened(server, who)
        assert [record.key for record in find_records(catalog)] == [key]
        result = load_record(catalog, key)
        assert isinstance(result, ScanResult)
        assert result.scan.access_tags == (OWN,)
        catalog.close()
    catalog = opened(server, "ben")
    assert find_records(catalog) == []
    assert find_live(catalog) == []
    for look in (lambda: load_record(catalog, key), lambda: catalog.run(run)):
        with pytest.raises(RunNotFoundError):
            look()
    catalog.close()


def test_documents_of_an_unknown_proposal_wait_in_their_journal(server: SharedServer, tmp_path: Path) -> None:
    from gbx_tiled.access_setup import compile_grants

    engine, writer = make_run_engine(
        server.uri,
        api_key=server.key(Role.ACQUISITION),
        backup_directory=tmp_path,
        md={"data_session": "pass-new"},
    )
    import bluesky.plans as bp
    from ophyd.sim import det

    outcome: Any = engine(bp.count([det]))
    run = outcome[0]
    assert not writer.flush(60)
    assert writer.left_behind == [run]
    known = server.access.model_copy(update={"proposals": {**server.access.proposals, "pass-new": ["anna"], OTHER: []}})
    compile_grants(known, server.database)
    writer.catch_up()
    assert writer.flush(60)
    writer.close()
    anna = opened(server, "anna")
    assert tags_of(anna.run(run)) == ("pass-new",)
    anna.close()
