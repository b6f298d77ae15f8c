"""Ten thousand damaged or malicious inputs: no reader crashes, hangs, grows or looks outside of its folders.

``tests/fuzzing`` makes and reads them, a batch in a process of its own: its death is a failure. Some more by other
seeds: ``GBX_FUZZ_SEED=N`` moves all of them on.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("GBX_FUZZ_SEED", "0"))
COUNTS = {"masters": 4500, "configs": 2500, "documents": 1500, "numpy": 1200, "models": 300}
BATCH = 500
BATCH_SECONDS = 1200
"""One hung input is ended by the quarantine after 30 s; a batch that takes as long as this hangs by itself."""

IN_ACCESS, IN_MODIFY, IN_OPEN = 0x1, 0x2, 0x20
MANY = tuple((name, first) for name, count in COUNTS.items() for first in range(0, count, BATCH))


def test_there_are_ten_thousand() -> None:
    assert sum(COUNTS.values()) == 10_000
    assert set(COUNTS) == set(fuzzing.KINDS)


@pytest.mark.timeout(BATCH_SECONDS + 60)
@pytest.mark.parametrize(("name", "first"), MANY)
def test_batch(name: str, first: int, tmp_path: Path) -> None:
    _, outside = fuzzing.prepare(tmp_path)
    before = {path: path.read_bytes() for path in outside.iterdir()}
    number = min(BATCH, COUNTS[name] - first)
    with Watched(outside) as watched:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-m", "fuzzing", name, str(SEED + first), str(number), tmp_path],
            capture_output=True,
            text=True,
            timeout=BATCH_SECONDS,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(fuzzing.__file__).parents[1])},
        )
        opened = watched.events()
    now = (tmp_path / "now").read_text()
    assert done.returncode == 0, f"{now}: exit code {done.returncode}\n{done.stderr[-3000:]}"
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["violations"] == []
    assert told["peak"] < fuzzing.MEMORY_BYTES, f"{told['peak'] / 2**20:.0f} MiB"
    assert not opened, f"files outside were opened: {opened}"
    assert {path: path.read_bytes() for path in outside.iterdir()} == before
    # Mutations that are all refused, or all harmless, would show nothing.
    assert 0 < told["taken"] < number or name == "documents"


class Watched:
    """Notes every opening of files in a folder, by whatever process or library."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._folder = folder

    def __enter__(self) -> Watched:
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._descriptor >= 0, os.strerror(ctypes.get_errno())
        mask = IN_ACCESS | IN_MODIFY | IN_OPEN
        assert self._libc.inotify_add_watch(self._descriptor, os.fsencode(self._folder), mask) >= 0
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def events(self) -> list[str]:
        """Names of what was opened since the last call."""
        try:
            content = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return []
        names: list[str] = []
        while content:
            length = int.from_bytes(content[12:16], sys.byteorder)
            names.append(content[16 : 16 + length].rstrip(b"\0").decode())
            content = content[16 + length :]
        return names


def test_the_watch_sees_what_is_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with Watched(tmp_path) as watched:
        assert watched.events() == []
        (tmp_path / "secret").read_text()
        assert "secret" in watched.events()
