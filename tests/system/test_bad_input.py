"""Bad input through the real command: one sentence, exit code 2, nothing written, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import COLUMNS, RING, ROWS, Said, as_process, contents, in_process, speckles, write_eiger

from gbx_beamline.frames import EigerHeader
from gbx_tiled.embedded import CatalogAddress

Prepare = Callable[[Path], list[str | Path]]
"""Makes the bad input in a folder and tells the arguments of the command that meets it."""

LABELLED: list[str | Path] = ["--frame-time", "0.5", "--config", "labels.yaml"]
"""Two ROIs that need no geometry; ``prepared`` writes them."""


def assert_one_sentence(said: Said, *words: str) -> None:
    """What was found, what was needed, what to do: on one line of standard error, and nothing else anywhere."""
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.endswith(".\n")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    found, _, rest = said.err.removeprefix("error: ").partition("; needed: ")
    needed, _, action = rest.partition("; ")
    assert found
    assert needed
    assert action.strip(" .\n")
    for word in words:
        assert word in said.err


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a user, with a label image of two ROIs."""
    monkeypatch.chdir(tmp_path)
    for name in ("GBX_CONFIG", "GBX_TILED_URI", "TILED_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    labels = np.zeros((ROWS, COLUMNS), dtype=np.int32)
    labels[5:20, 5:35], labels[25:45, 5:35] = 1, 2
    np.save(tmp_path / "labels.npy", labels)
    write_config(tmp_path / "labels.yaml")
    return tmp_path


def write_config(path: Path, **analysis: Any) -> Path:
    path.write_text(yaml.safe_dump({"analysis": {"rois": {"labels": "labels.npy"}, **analysis}}))
    return path


def array(frames: np.ndarray[Any, Any]) -> Prepare:
    def prepare(folder: Path) -> list[str | Path]:
        np.save(folder / "scan.npy", frames)
        return ["scan.npy", *LABELLED]

    return prepare


def cut(name: str) -> Prepare:
    """The first half of one file of a series, as a copy that broke off leaves it."""

    def prepare(folder: Path) -> list[str | Path]:
        write_eiger(folder)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        return ["scan_1_master.h5", "--ring", RING]

    return prepare


def cut_array(folder: Path) -> list[str | Path]:
    np.save(folder / "scan.npy", speckles())
    whole = (folder / "scan.npy").read_bytes()
    (folder / "scan.npy").write_bytes(whole[: len(whole) // 2])
    return ["scan.npy", *LABELLED]


def pickled(folder: Path) -> list[str | Path]:
    np.save(folder / "scan.npy", np.array([1, "a", None], dtype=object), allow_pickle=True)
    return ["scan.npy", *LABELLED]


def nan_frame() -> np.ndarray[Any, Any]:
    frames = speckles().astype(np.float64)
    frames[7] = np.nan
    return frames


def negative_in_one_frame() -> np.ndarray[Any, Any]:
    frames = speckles().astype(np.int32)
    frames[11, 8:11, 10:13] = -5
    return frames


def eiger(*arguments: str) -> Prepare:
    def prepare(folder: Path) -> list[str | Path]:
        return [write_eiger(folder).name, *arguments]

    return prepare


def one_frame(folder: Path) -> list[str | Path]:
    return [write_eiger(folder, frames=speckles()[:1]).name, "--ring", RING]


def lost_file(folder: Path) -> list[str | Path]:
    master = write_eiger(folder)
    (folder / "scan_1_data_000002.h5").unlink()
    return [master.name, "--ring", RING]


def masked_by_the_detector(folder: Path) -> list[str | Path]:
    everything = np.ones((ROWS, COLUMNS), dtype=np.uint32)
    return [write_eiger(folder, pixel_mask=everything).name, "--config", "labels.yaml"]


def masked_by_the_user(folder: Path) -> list[str | Path]:
    mask = np.ones((ROWS, COLUMNS), dtype=bool)
    mask[25:45] = False
    np.save(folder / "mask.npy", mask)
    write_config(folder / "masked.yaml", mask={"file": "mask.npy"})
    return [write_eiger(folder).name, "--config", "masked.yaml"]


def wrong_labels(folder: Path) -> list[str | Path]:
    np.save(folder / "labels.npy", np.ones((ROWS, COLUMNS - 1), dtype=np.int32))
    return [write_eiger(folder).name, "--config", "labels.yaml"]


def no_geometry(folder: Path) -> list[str | Path]:
    return [write_eiger(folder, header=EigerHeader(frame_time=0.5)).name, "--ring", RING]


def text_file(folder: Path) -> list[str | Path]:
    (folder / "scan_master.h5").write_text("not a detector file")
    return ["scan_master.h5", "--ring", RING]


def configured(text: str | bytes) -> Prepare:
    def prepare(folder: Path) -> list[str | Path]:
        (folder / "own.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return [write_eiger(folder).name, "--config", "own.yaml"]

    return prepare


def a_folder(folder: Path) -> list[str | Path]:
    write_eiger(folder / "data")
    return ["data", "--ring", RING]


def brackets_in_the_name(folder: Path) -> list[str | Path]:
    (folder / "scan [").mkdir()
    np.save(folder / "scan [/x] [tiled].npy", speckles()[:1])
    return ["scan [/x] [tiled].npy", *LABELLED]


FILES = [
    pytest.param(cut("scan_1_master.h5"), ["scan_1_master.h5", "truncated", "copy it again"], id="truncated master"),
    pytest.param(
        cut("scan_1_data_000002.h5"),
        ["10 of 24 frames", "scan_1_data_000002.h5", "--allow-incomplete"],
        id="truncated data file",
    ),
    pytest.param(cut_array, ["scan.npy", "complete .npy"], id="truncated array"),
    pytest.param(lost_file, ["scan_1_data_000002.h5", "--allow-incomplete"], id="data file absent"),
    pytest.param(text_file, ["scan_master.h5 is no HDF5 file", "check which file"], id="no HDF5"),
    pytest.param(lambda _: ["no_master.h5"], ["no file no_master.h5", "check the path"], id="no such file"),
    pytest.param(a_folder, ["data is a folder", "data/scan_1_master.h5"], id="folder"),
    pytest.param(array(speckles().astype(complex)), ["complex128", "convert the frames"], id="wrong dtype"),
    pytest.param(pickled, ["without Python objects"], id="pickled objects"),
    pytest.param(array(speckles()[0]), [f"({ROWS}, {COLUMNS})", "image[None]"], id="one image"),
    pytest.param(array(speckles()[:0]), ["no frames", "at least one", "aborted"], id="zero frames"),
    pytest.param(one_frame, ["scan_1_master.h5: 1 frame", "at least two"], id="one frame"),
    pytest.param(array(nan_frame()), ["not finite in frame 7", "bad_frames"], id="NaN frame"),
    pytest.param(
        array(negative_in_one_frame()),
        ["9 negative count(s) in frame 11", "-5", "0 or more", "mask these pixels"],
        id="negative counts come and go",
    ),
    pytest.param(masked_by_the_detector, ["'label 1'", "masked", "True = used"], id="all-masked ROI"),
    pytest.param(masked_by_the_user, ["'label 2'", "600 pixels", "masked"], id="ROI masked by the user"),
    pytest.param(wrong_labels, [f"({ROWS}, {COLUMNS - 1})", f"({ROWS}, {COLUMNS})"], id="mismatched label shape"),
    pytest.param(no_geometry, ["beam_center_x", "analysis.geometry.distance_m"], id="no geometry"),
    pytest.param(eiger(), ["no q-ROI", "analysis.rois"], id="no ROI"),
    pytest.param(brackets_in_the_name, ["scan [/x] [tiled].npy: 1 frame"], id="brackets are no markup"),
]

Q = [
    pytest.param(eiger("--ring", "0.5:0.6"), ["off the detector", "0.5..0.6", "move the q-ROI"], id="outside"),
    pytest.param(eiger("--ring", "0.016:0.025"), ["look like 1/nm", "0.0016..0.0025"], id="1/nm"),
    pytest.param(eiger("--ring", "1.6e7:2.5e7"), ["looks like 1/m", "0.0016, 0.0025", "--ring"], id="1/m"),
    pytest.param(
        configured("analysis: {rois: {rings: [{q: [1.6e+7, 2.5e+7]}]}}"),
        ["own.yaml", "analysis.rois.rings.0.q", "looks like 1/m", "0.0016, 0.0025"],
        id="1/m in a file",
    ),
    pytest.param(eiger("--ring", "0.0025:0.0016"), ["lower end 0.0025", "--ring 0.0025:0.0016"], id="upside down"),
    pytest.param(eiger("--ring", "0.0025"), ["--ring 0.0025", "LOW:HIGH", "1/Angstrom"], id="one number"),
    pytest.param(eiger("--ring", "nan:0.1"), ["--ring nan:0.1", "finite"], id="nan"),
    pytest.param(eiger("--box", "0:0.1", "0:0.1"), ["transmission", "gisaxs"], id="box in transmission"),
    pytest.param(
        eiger("--ring", RING, "--box", "0:0.1", "0:0.1"), ["1 --ring and 1 --box", "one kind"], id="two kinds"
    ),
]

CONFIGURATIONS = [
    pytest.param(
        configured("analysis: {rois: {labels: labels.npy}, maks: {file: m.npy}}"),
        ["own.yaml", "unknown key 'analysis.maks'"],
        id="unknown key",
    ),
    pytest.param(configured("analysis: [1, 2\n"), ["own.yaml is no YAML", "line 1"], id="no YAML"),
    pytest.param(configured(b"\x89HDF\r\n\x1a\n\xff\xfe"), ["own.yaml is no YAML"], id="no text"),
    pytest.param(lambda _: ["x.npy", "--config", "no.yaml"], ["no.yaml: No such file", "--config"], id="absent"),
    pytest.param(
        configured("analysis: {rois: {labels: none.npy}}"), ["none.npy: No such file", "check the path"], id="no labels"
    ),
]


@pytest.mark.parametrize(("prepare", "words"), [*FILES, *Q, *CONFIGURATIONS])
def test_analyze_refuses_in_one_sentence_and_leaves_nothing(
    prepare: Prepare,
    words: list[str],
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = prepare(prepared)
    before = contents(prepared)
    said = in_process(monkeypatch, capsys, "analyze", *arguments, "--out", "results")
    assert_one_sentence(said, *words)
    assert contents(prepared) == before
    assert not (prepared / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["analyze", "x_master.h5", "--frame-time", "-3"], ["--frame-time", "x>0"]),
        (["analyze", "x_master.h5", "--rings", "1:2"], ["--rings", "--ring"]),
        (["analyze"], ["TARGET"]),
        (["results", "--format", "xml"], ["'xml'", "'table', 'csv', 'json'"]),
        (["anlyze"], ["'anlyze'"]),
    ],
    ids=["negative time", "unknown option", "nothing", "unknown format", "unknown command"],
)
def test_a_command_that_is_spelt_wrong_is_told_where_help_is(
    arguments: list[str],
    words: list[str],
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = in_process(monkeypatch, capsys, *arguments)
    assert said.code == 2
    assert "--help' for help" in said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err


def test_a_truncated_file_in_a_process_of_its_own(prepared: Path) -> None:
    arguments = cut("scan_1_master.h5")(prepared)
    before = contents(prepared)
    assert_one_sentence(as_process("analyze", *arguments, cwd=prepared), "truncated")
    assert contents(prepared) == before


@pytest.mark.parametrize("command", [["results"], ["report", "deadbeef"], ["analyze", "deadbeef"]], ids=str)
class TestCatalog:
    """Whatever is wrong with the catalog is said by every command that needs it."""

    def test_unreachable(
        self,
        command: list[str],
        prepared: Path,
        unused_port: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("GBX_TILED_URI", f"http://127.0.0.1:{unused_port}")
        said = in_process(monkeypatch, capsys, *command)
        assert_one_sentence(said, f"http://127.0.0.1:{unused_port}", "running Tiled server", "start it")

    @pytest.mark.parametrize("address", ["tiled.example", "ftp://127.0.0.1", "http://"])
    def test_no_address(
        self,
        address: str,
        command: list[str],
        prepared: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("GBX_TILED_URI", address)
        assert_one_sentence(in_process(monkeypatch, capsys, *command), repr(address), "http://127.0.0.1:8000")

    @pytest.mark.parametrize("key", ["0" * 64, ""], ids=["wrong", "none"])
    def test_wrong_key(
        self,
        key: str,
        command: list[str],
        prepared: Path,
        catalog_address: CatalogAddress,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
        if key:
            monkeypatch.setenv("TILED_API_KEY", key)
        said = in_process(monkeypatch, capsys, *command)
        assert_one_sentence(said, catalog_address.uri, "key", "set TILED_API_KEY")
        assert catalog_address.api_key not in said.err

    def test_wrong_folder(
        self,
        command: list[str],
        prepared: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Reading begins no empty catalog where the user happens to stand."""
        before = contents(prepared)
        said = in_process(monkeypatch, capsys, *command)
        assert_one_sentence(said, f"no catalog in {prepared / 'gbx-data'}", "GBX_TILED_URI")
        assert contents(prepared) == before
        assert not (prepared / "gbx-data").exists()


@pytest.fixture
def unused_port() -> int:
    """A port where nothing answers: bound for a moment to know that it is free."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(prepared: Path, catalog_address: CatalogAddress, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a catalog that answers."""
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    return prepared


@pytest.mark.parametrize(
    "command",
    [["analyze", "deadbeef-none"], ["report", "deadbeef-none"], ["results", "--run", "deadbeef-none"]],
    ids=lambda command: command[0],
)
def test_a_uid_that_does_not_exist(
    command: list[str], served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = in_process(monkeypatch, capsys, *command)
    assert_one_sentence(
        said, "'deadbeef-none'", "at least its first", "check the uid" if command[0] == "analyze" else "gbx results"
    )
    assert not list(served.glob("*.png"))


def test_options_of_a_file_are_not_silently_ignored_for_a_uid(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = in_process(monkeypatch, capsys, "analyze", "deadbeef", "--frame-time", "2", "--overwrite")
    assert_one_sentence(said, "--frame-time, --overwrite", "'deadbeef'")


def test_a_folder_for_results_that_cannot_be(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(prepared / "scan.npy", speckles())
    before = contents(prepared)
    said = in_process(monkeypatch, capsys, "analyze", "scan.npy", *LABELLED, "--out", "labels.npy/results")
    assert_one_sentence(said, "labels.npy cannot be written", "--out")
    assert contents(prepared) == before
