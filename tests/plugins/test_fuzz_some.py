"""A few seconds of what ``tests/system/test_fuzz.py`` does at length, and that the quarantine does what it is for."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest
from fuzzing.values import frames

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames import EigerFile, quarantine
from gbx_beamline.frames.quarantine import examine


@pytest.mark.parametrize(("name", "count"), [("masters", 25), ("configs", 40), ("numpy", 15), ("documents", 40)])
def test_some_of_each(name: str, count: int, tmp_path: Path) -> None:
    fuzzing.prepare(tmp_path)
    assert 0 < fuzzing.feed(fuzzing.KINDS[name], 10_000, count, tmp_path) <= count


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fuzzing.prepare(tmp_path)[0]


def master(root: Path, name: str = "scan_master.h5") -> Path:
    path = root / name
    with h5py.File(path, "w") as file:
        file.create_dataset("/entry/data/data_000001", data=frames(4), chunks=(1, 5, 7))
        file["/entry/instrument/detector/frame_time"] = 0.1
    return path


def test_a_sound_file_passes_and_is_looked_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = master(root)
    examine([path], [root])
    monkeypatch.setattr(quarantine, "_HELPER", None)
    examine([path], [root])  # nobody is asked
    os.utime(path, ns=(1, 1))
    with pytest.raises(AttributeError):
        examine([path], [root])


def test_what_the_child_finds_is_told_in_its_words(root: Path) -> None:
    path = root / "none_master.h5"
    with h5py.File(path, "w") as file:
        file["/entry/data/data_000001"] = h5py.ExternalLink("absent.h5", "/entry/data/data")
    with pytest.raises(MissingFramesError, match=r"absent\.h5"):
        examine([path], [root])
    with pytest.raises(SeriesError, match="leads out of the folders"):
        examine([root.parent / "outside" / "secret.h5"], [root])


def test_a_file_that_takes_too_long_is_refused_and_the_next_is_looked_at(root: Path) -> None:
    slow = root / "slow_master.h5"
    with h5py.File(slow, "w") as file:
        data = file.create_dataset(
            "/entry/data/data", (1, 12_000, 12_000), "u4", chunks=(1, 12_000, 12_000), compression=9
        )
        data[:, 0, 0] = 1
    with pytest.raises(SeriesError, match=r"takes longer than 0\.05 s"):
        examine([slow], [root], seconds=0.05)
    examine([master(root)], [root])


def test_a_file_that_wants_more_memory_than_there_is_is_refused(root: Path) -> None:
    large = root / "large_master.h5"
    with h5py.File(large, "w") as file:
        data = file.create_dataset("/entry/data/data", (1, 9_000, 9_000), "u4", chunks=(1, 9_000, 9_000), compression=9)
        data[:, 0, 0] = 1
    with pytest.raises(SeriesError, match="large_master"):
        examine([large], [root], memory=2**28)
    examine([master(root)], [root])


def test_a_crash_of_the_child_and_the_death_of_the_helper_are_survived(root: Path) -> None:
    path = master(root)
    examine([path], [root])
    helper = quarantine._HELPER._process
    assert isinstance(helper, subprocess.Popen)
    helper.send_signal(signal.SIGKILL)
    helper.wait()
    os.utime(path, ns=(2, 2))
    examine([path], [root])
    assert quarantine._HELPER._process is not helper


def test_the_child_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILED_API_KEY", "secret")
    assert "secret" not in quarantine._environment().values()


@pytest.mark.parametrize("far", ["absolute", "relative", "symbolic", "virtual", "header", "external"])
def test_no_way_leads_out_of_the_roots(root: Path, far: str) -> None:
    outside = root.parent / "outside" / "secret.h5"
    path = root / f"{far}_master.h5"
    (root / "link.h5").symlink_to(outside)
    with h5py.File(path, "w") as file:
        if far == "virtual":
            layout = h5py.VirtualLayout((4, 5, 7), "u2")
            layout[:] = h5py.VirtualSource(str(outside), "/entry/data/data", shape=(4, 5, 7))
            file.create_virtual_dataset("/entry/data/data", layout)
        elif far == "external":
            file.create_dataset(
                "/entry/data/data", (1, 5, 7), "u2", external=[(str(outside.parent / "secret.bin"), 0, 70)]
            )
        elif far == "header":
            file["/entry/data/data"] = frames(4)
            file["/entry/instrument/detector"] = h5py.ExternalLink(str(outside), "/entry/data")
            file["/entry/other"] = 1
        else:
            names = {"absolute": str(outside), "relative": "../outside/secret.h5", "symbolic": "link.h5"}
            file["/entry/data/data"] = h5py.ExternalLink(names[far], "/entry/data/data")
    if far == "header":
        confined = EigerFile(path, roots=[root])
        assert confined.header.frame_time is None
        np.testing.assert_array_equal(confined.read(0, 4), frames(4))
        return
    with pytest.raises(SeriesError, match=r"secret\.h5|link\.h5|secret\.bin"):
        EigerFile(path, roots=[root]).read(0, 1)
    if far != "external":
        np.testing.assert_array_equal(EigerFile(path).read(0, 4), frames(4))  # a person may
