"""A catalog that an earlier release wrote, restored from a backup and read in place by this one."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import Said, in_process

from gbx_beamline import assemble
from gbx_beamline.catalog import (
    Catalog,
    Listing,
    find_attenuation_sets,
    find_records,
    list_entries,
    load_inference,
    load_record,
)
from gbx_beamline.config import Config, parse_config
from gbx_beamline.records import SCHEMA_VERSION, Inference, ScanFailure, ScanResult
from gbx_services.backup import restore_backup
from gbx_services.doctor.catalog import check_catalog
from gbx_services.doctor.checking import Level
from gbx_viewer.model.runs import RunBook

pytestmark = pytest.mark.long

OLD = Path(__file__).parent.parent / "old_catalogs" / "schema_2.tar.xz"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, Path, dict[str, Any]]]:
    """Configuration of the restored catalog, its file, and what the old release said of its content."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    stated = {
        "catalog": {"directory": str(folder / "gbx-data")},
        "serve": {"directory": str(folder / "serve")},
        "models": {"directory": str(folder / "models")},
    }
    (folder / "gbx.yaml").write_text(yaml.safe_dump(stated))
    config = parse_config(stated)
    restore_backup(config, folder / "backup")
    # Held open: each command below finds the running server.
    with assemble.embedded_server(config.catalog):
        yield config, folder / "gbx.yaml", json.loads((folder / "said.json").read_text())


@pytest.fixture
def catalog(old: tuple[Config, Path, dict[str, Any]]) -> Iterator[Catalog]:
    with assemble.open_catalog(old[0]) as opened:
        yield opened


@pytest.fixture
def gbx(
    old: tuple[Config, Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(assemble.URI_VARIABLE, raising=False)
    monkeypatch.setenv(assemble.CONFIG_VARIABLE, str(old[1]))
    return lambda *given: in_process(monkeypatch, capsys, *given)


def digest(array: np.ndarray[Any, Any]) -> list[Any]:
    array = np.ascontiguousarray(array)
    return [array.dtype.str, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


def test_every_number_of_an_old_record_is_what_the_old_release_wrote(
    catalog: Catalog, old: tuple[Config, Path, dict[str, Any]]
) -> None:
    said = old[2]
    assert said["schema"] < SCHEMA_VERSION
    assert {record.key for record in find_records(catalog)} == set(said["records"])
    for key, expected in said["records"].items():
        found = load_record(catalog, key)
        assert found.scan.run_uid == expected["run"]
        if "failed" in expected:
            assert isinstance(found, ScanFailure)
            continue
        assert isinstance(found, ScanResult)
        assert found.scan.temperature == expected["temperature"]
        arrays = {
            "two_time": found.two_time.g2,
            "one_time": found.one_time.g2,
            "drift": np.stack([one.drift for one in found.nonequilibrium]),
            "mask": found.mask,
            "labels": found.rois.labels,
        }
        assert {name: digest(array) for name, array in arrays.items()} == {name: expected[name] for name in arrays}
        assert [one.s_noneq for one in found.nonequilibrium] == expected["s_noneq"]
        corrected = [None if one.corrected is None else one.corrected.value for one in found.nonequilibrium]
        np.testing.assert_equal(corrected, expected["corrected"])
        np.testing.assert_equal([fit.relaxation_time for fit in found.kinetics], expected["kinetics"])
        # What came later is absent, not invented.
        assert (found.analysed, found.traces, found.exposure, found.segments) == (None, None, None, ())


def test_what_a_model_said_comes_back(catalog: Catalog, old: tuple[Config, Path, dict[str, Any]]) -> None:
    for key, expected in old[2]["inferences"].items():
        outcome = load_inference(catalog, key).outcome
        assert isinstance(outcome, Inference)
        assert digest(outcome.samples) == expected


def test_old_records_are_listed_reported_and_exported(
    gbx: Callable[..., Said], old: tuple[Config, Path, dict[str, Any]], tmp_path: Path
) -> None:
    complete = [one for one in old[2]["records"].values() if "failed" not in one]
    listed = gbx("results", "--format", "csv")
    assert listed.code == 0, listed.err
    rows = list(csv.DictReader(listed.out.splitlines()))
    assert {row["run_uid"] for row in rows} == {one["run"] for one in old[2]["records"].values()}
    for one in complete:
        said = gbx("report", one["run"], "--out", f"{one['run']}.png")
        assert said.code == 0, said.err
        for form, ending in (("nxxpcs", "h5"), ("csv", "csv")):
            exported = gbx("export", one["run"], "--format", form, "--out", f"{one['run']}.{ending}")
            assert exported.code == 0, exported.err
    assert len(list(tmp_path.glob("*.png"))) == len(complete)
    assert len(list(tmp_path.iterdir())) == 3 * len(complete)


def test_old_records_are_shown_by_the_viewer_and_say_why_they_are_not_compared(
    catalog: Catalog, old: tuple[Config, Path, dict[str, Any]]
) -> None:
    entries = [entry for page in list_entries(catalog, Listing.RECORDS) for entry in page]
    book = RunBook()
    shown = book.hear_records(entries)
    assert set(shown) == {one["run"] for one in old[2]["records"].values()}
    search = find_attenuation_sets(find_records(catalog), old[0].compare, old[0].groups)
    assert not search.sets
    assert len(search.left_out) == 2
    assert all(reason for _, reason in search.left_out)


def test_the_doctor_reads_the_old_schema(old: tuple[Config, Path, dict[str, Any]]) -> None:
    checks = {check.name: check for check in check_catalog(old[0])}
    assert {check.level for check in checks.values()} == {Level.OK}
    assert f"the newest record has version {old[2]['schema']}" in checks["catalog: schema"].found
