"""Parts of live analysis that need no server: what documents say, and where data files may lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gbx_beamline import assemble
from gbx_beamline.config import parse_config
from gbx_beamline.errors import ConfigError, SeriesError
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_services.live.announced import announced
from gbx_services.live.roots import data_roots

UID = "0c5a9f4e-0000-4000-8000-000000000002"


def test_a_start_document_says_where_data_files_come() -> None:
    chx = {"uid": UID, "time": 7, "data path": "/data/today/ ", "sequence id": "1234"}
    where = announced(chx)
    assert where is not None
    assert (where.run, where.started, where.folder) == (UID, 7.0, "/data/today/")
    assert (where.series, where.sequence) == (None, "1234")
    ours = announced(chx | {"file prefix": "a_1", "sequence id": "1234.0"})
    assert ours is not None
    assert (ours.series, ours.sequence) == ("a_1", "1234")


@pytest.mark.parametrize(
    "odd", [{"uid": 7}, {"uid": None}, {"time": "noon"}, {"time": True}, {"data path": None}, {"data path": " "}]
)
def test_runs_without_data_files_are_none(odd: dict[str, Any]) -> None:
    assert announced({"uid": UID, "time": 7.0, "data path": "/data"} | odd) is None


def test_odd_names_of_a_series_are_as_good_as_none() -> None:
    for odd in (None, 7, "", ["a"]):
        where = announced({"uid": UID, "time": 7.0, "data path": "/d", "file prefix": odd, "sequence id": "x"})
        assert where is not None
        assert (where.series, where.sequence) == (None, None)


def test_files_are_found_by_name_by_number_and_by_time(tmp_path: Path) -> None:
    start = {"uid": UID, "time": 0.0, "data path": str(tmp_path)}
    numbered = announced(start | {"sequence id": "8"})
    assert numbered is not None
    assert numbered.files([tmp_path]) is None, "nothing is there yet"
    with EigerWriter(tmp_path, "run_8", header=EigerHeader(frame_time=0.1), frames_per_file=2) as writer:
        writer.append(np.ones((2, 4, 4), dtype=np.uint16))
    named, timed = announced(start | {"file prefix": "run_8"}), announced(start)
    for where in (numbered, named, timed):
        assert where is not None
        files = where.files([tmp_path])
        assert files is not None
        assert files.next() is not None
    with pytest.raises(SeriesError, match="leads out of the folders for data files"):
        numbered.files([tmp_path / "elsewhere"])


def test_folders_for_data_files_must_be_named_where_the_catalog_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(assemble.URI_VARIABLE, raising=False)
    own = parse_config({"catalog": {"directory": str(tmp_path)}})
    assert data_roots(own) == (tmp_path / "frames",)
    site = {"catalog": {"uri": "http://tiled.example"}}
    with pytest.raises(ConfigError, match=r"serve\.live\.enabled without serve\.live\.roots"):
        data_roots(parse_config(site))
    assert data_roots(parse_config(site | {"serve": {"live": {"roots": ["/data"]}}})) == (Path("/data"),)
