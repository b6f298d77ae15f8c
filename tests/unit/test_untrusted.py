"""Files that others wrote: paths that lead out, and files that expand beyond what they hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.config import load_config
from gbx_beamline.correlation.imported import read_map
from gbx_beamline.errors import ConfigError, MapError
from gbx_beamline.untrusted import check_numpy, lies_below, parse_json, read_yaml

BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))])


def test_a_place_is_where_links_and_dots_lead(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root)
    (root / "circle").symlink_to(root / "circle")
    assert lies_below(root / "in" / "file", [root]) == root / "file"
    assert lies_below(root / "out" / ".." / "root" / "file", [root]) == root / "file"
    for path in (root / "out" / "file", root / ".." / "outside", Path("file"), root / "a\0b", tmp_path / "root2"):
        assert lies_below(path, [root]) is None
    assert lies_below(root, []) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c: &c [*c]", "nested"),
        (BOMB, "expand"),
        ("[" * 5000, "nested|flow"),
        ("n: " + "9" * 5000, "digits"),
        ("x" * (2**20 + 1), "more than"),
    ],
    ids=["itself", "bomb", "deep", "digits", "large"],
)
def test_yaml_that_expands_without_bound_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_yaml(path)
    with pytest.raises(ConfigError, match="no YAML"):
        load_config(path)


def test_aliases_of_a_sane_size_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("rois: &rois {rings: [{q: [1e-3, 2e-3]}]}\nsamples: {a: {rois: *rois}, b: {rois: *rois}}\n")
    assert read_yaml(path)["samples"]["b"]["rois"]["rings"][0]["q"] == ["1e-3", "2e-3"]


@pytest.mark.parametrize(
    "content", [b"[" * 10_000, b"[" * 70 + b"]" * 70, b"{'a': 1}", b'{"a": NaN}', b"\xff"], ids=range(5)
)
def test_json_that_is_none_or_too_deep_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"nested|Expecting|JSON|utf-8"):
        parse_json(content)


def write_npz(path: Path, shape: str, descr: str = "'<f8'", size: int = 800) -> Path:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("g12.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(size))
    return path


@pytest.mark.parametrize(
    ("shape", "descr", "size", "said"),
    [
        ("(1000000, 1000000)", "'<f8'", 800, "declares 8,000,000,000,000 bytes"),
        ("(-10, 10)", "'<f8'", 800, "declares the shape"),
        ("(10, 10)", "'|O'", 800, "Python objects"),
        ("(0, 10)", "'|V0'", 800, "without a size"),
        ("(10, 10", "'<f8'", 800, "."),
        ("(10, 10)", "'<f8'", 2_000_000, "more than 1,000,000"),
    ],
)
def test_numpy_files_that_declare_too_much_are_refused(
    tmp_path: Path, shape: str, descr: str, size: int, said: str
) -> None:
    path = write_npz(tmp_path / "map.npz", shape, descr, size)
    with pytest.raises(ValueError, match=said):
        check_numpy(path, 1_000_000)
    if size == 800:
        with pytest.raises(MapError, match=r"map\.npz"):
            read_map(path)


def test_whole_files_pass(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((100, 100)), b=np.array("text"))
    np.save(tmp_path / "b.npy", np.zeros((100, 100)))
    check_numpy(tmp_path / "a.npz", 100_000)
    check_numpy(tmp_path / "b.npy", 100_000)


def test_values_that_are_no_correlations_are_refused(tmp_path: Path) -> None:
    values = np.eye(6) + 0.1
    values[0, 1] = values[1, 0] = 1e300
    np.save(tmp_path / "map.npy", values)
    with pytest.raises(MapError, match=r"up to 1e\+300"):
        read_map(tmp_path / "map.npy", baseline=0)
