"""``gbx export`` and back: a record of a real catalog goes out, opens elsewhere, and comes in again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import Command, contents, in_process
from exchanged import FRAMES, whole_record

from gbx_beamline.catalog import Catalog, TiledSink, connect, find_record, load_record
from gbx_beamline.exchange import WholeRecord
from gbx_beamline.records import ScanFailure, ScanResult
from gbx_tiled.embedded import CatalogAddress

SAMPLE = "exported colloid"


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def record(catalog: Catalog) -> WholeRecord:
    """Published, with an answer and a refusal of models."""
    made = whole_record()
    scan = replace(made.result.scan, run_uid=str(uuid4()), sample=SAMPLE)
    result = replace(made.result, scan=scan)
    key = TiledSink(catalog).publish(result)
    said = tuple(replace(one, record=key, scan=scan) for one in made.inferences)
    for one in said:
        TiledSink(catalog).publish_inference(one)
    return replace(made, key=key, result=result, inferences=said)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog_directory: Path, catalog_address: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GBX_TILED_URI", "TILED_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump({"catalog": {"directory": str(catalog_directory)}}))
    monkeypatch.setenv("GBX_CONFIG", str(tmp_path / "gbx.yaml"))
    return tmp_path


@pytest.fixture
def gbx(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


@pytest.mark.parametrize(("form", "name"), [("nxxpcs", "scan.h5"), ("pychx", "uid_Res.h5")])
def test_a_record_goes_out_and_comes_in_as_a_record_with_the_same_maps(
    form: str, name: str, gbx: Command, catalog: Catalog, record: WholeRecord
) -> None:
    uid = record.result.scan.run_uid
    said = gbx("export", uid[:8], "--format", form, "--out", name)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"exported {name}\n")
    said = gbx("import", name, "--sample", f"{SAMPLE} again, {form}")
    assert said.code == 0, said.err
    (new,) = re.findall(r"imported as ([0-9a-f-]{36})", said.out)
    back = load_record(catalog, find_record(catalog, new).key)
    assert isinstance(back, ScanResult)
    np.testing.assert_array_equal(back.two_time.g2, record.result.two_time.g2)
    np.testing.assert_allclose(back.rois.q_par, record.result.rois.q_par)
    np.testing.assert_array_equal(back.rois.labels, record.result.rois.labels)
    assert back.scan.sample == f"{SAMPLE} again, {form}"
    assert back.scan.temperature == 300.0
    assert gbx("import", name, "--sample", f"{SAMPLE} again, {form}").out.startswith(f"{name}: already there as {new}")
    # What came in goes out again, with what nobody knows said.
    again = gbx("export", new, "--format", "nxxpcs", "--out", "again.h5")
    assert "not measured, NaN in the file: incident_energy, count_time, beam_center_x" in again.out, again.err


def test_tables_and_the_file_hold_what_the_catalog_holds(gbx: Command, folder: Path, record: WholeRecord) -> None:
    uid = record.result.scan.run_uid
    assert gbx("export", uid, "--format", "csv").code == 0
    tables = folder / f"{uid[:8]}_gbx_csv"
    assert len(pd.read_csv(tables / "one_time.csv")) == 3 * FRAMES
    assert pd.read_csv(tables / "inference.csv")["model"].tolist() == ["m1", "m2"]
    assert json.loads((tables / "provenance.json").read_text())["record"] == record.key
    assert gbx("export", uid, "--format", "nxxpcs", "--model", "m1").code == 0
    with h5py.File(folder / f"{uid[:8]}_gbx.h5") as file:
        parts: Any = file["entry"]
        assert [name for name in parts if name.startswith("inference")] == ["inference_1"]
        document = json.loads(parts["processing/note_2/data"][()])
    assert document["identity"] == record.key
    assert document["rois"][0]["name"] == record.result.rois.names[0]


def test_one_of_several_records_is_chosen_by_its_key(
    gbx: Command, folder: Path, catalog: Catalog, record: WholeRecord
) -> None:
    result = record.result
    other = replace(result, provenance=replace(result.provenance, config_hash="another"), flags=("made differently",))
    key = TiledSink(catalog).publish(other)
    uid = result.scan.run_uid
    for wanted, flag in ((key, "made differently"), (record.key, "\n".join(result.flags))):
        assert gbx("export", uid, "--format", "nxxpcs", "--record", wanted, "--out", f"{wanted}.h5").code == 0
        with h5py.File(folder / f"{wanted}.h5") as file:
            note: Any = file["entry/processing/note_1/data"]
            assert note.asstr()[()] == flag


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "nxxpcs", "--record", "nonsense"), "has no record 'nonsense'; needed: one of"),
        (("--format", "csv", "--model", "m9"), "model 'm9' was not asked about record"),
        (("--format", "csv", "--out", "taken"), "taken exists already; needed: a free name; choose another --out"),
        (("--format", "csv", "--out", "taken", "--force"), "taken is not an earlier export"),
        (("--format", "pychx", "--out", "scan.txt"), "ends in '.txt'; needed: the name of an HDF5 file"),
        (("--format", "matlab"), "'matlab' is not one of"),
    ],
)
def test_refusals_leave_everything_as_it_was(
    arguments: tuple[str, ...], said: str, gbx: Command, folder: Path, record: WholeRecord
) -> None:
    (folder / "taken").mkdir()
    (folder / "taken" / "chapter.tex").write_text("years")
    before = contents(folder)
    done = gbx("export", record.result.scan.run_uid, *arguments)
    assert done.code == 2
    assert said in done.err
    assert contents(folder) == before


def test_a_run_that_was_not_analysed_says_why(gbx: Command, catalog: Catalog, record: WholeRecord) -> None:
    uid = str(uuid4())
    failure = ScanFailure(
        scan=replace(record.result.scan, run_uid=uid),
        kind="SeriesError",
        reason="no frames",
        provenance=record.result.provenance,
    )
    TiledSink(catalog).publish(failure)
    said = gbx("export", uid, "--format", "csv")
    assert (said.code, "was not analysed: no frames" in said.err) == (2, True)


def test_import_says_what_to_do_with_a_compressed_series_and_with_damaged_results(
    gbx: Command, folder: Path, record: WholeRecord
) -> None:
    assert gbx("export", record.result.scan.run_uid, "--format", "pychx", "--out", "whole_Res.h5").code == 0
    content = (folder / "whole_Res.h5").read_bytes()
    (folder / "half_Res.h5").write_bytes(content[: len(content) // 2])
    (folder / "uid.cmp").write_bytes(b"Version-COMP0001")
    shutil.copy(folder / "whole_Res.h5", folder / "bare_Res.h5")
    with h5py.File(folder / "bare_Res.h5", "a") as file:
        del file["g12b"]
    said = gbx("import", "half_Res.h5", "uid.cmp", "bare_Res.h5")
    assert said.code == 2
    half, compressed, bare = said.err.splitlines()
    assert "truncated" in half
    assert "analyse it as a file with `gbx analyze uid.cmp`" in compressed
    assert "needed: two-time maps, g12b" in bare
