"""The ``gbx`` command as a user runs it, in this process for speed or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline import cli
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_beamline.simulation import SpeckleMovie

ROWS, COLUMNS, FRAMES = 48, 40, 24

HEADER = EigerHeader(
    frame_time=0.5,
    count_time=0.49,
    distance=10.08,
    wavelength=1.285e-10,
    beam_center_x=-40.0,
    beam_center_y=24.0,
    pixel_size_x=75e-6,
    pixel_size_y=75e-6,
)

RING = "0.0016:0.0025"
"""1/Angstrom; crosses the small detector of ``HEADER``."""


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


class Command(Protocol):
    """Runs ``gbx`` with these arguments in the current folder."""

    def __call__(self, *arguments: str | Path) -> Said: ...


def in_process(patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    """``gbx`` by its entry point."""
    patch.setattr(sys, "argv", ["gbx", *map(str, arguments)])
    patch.setattr(sys, "excepthook", sys.excepthook)  # main() sets it; this puts it back
    capture.readouterr()
    try:
        cli.main()
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    assert isinstance(code, int)
    said = capture.readouterr()
    return Said(code, said.out, said.err)


def as_process(*arguments: str | Path, cwd: Path, **environment: str) -> Said:
    """``gbx`` as it is installed, with both streams in pipes."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("gbx")), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def speckles(frames: int = FRAMES) -> NDArray[np.uint16]:
    """(frames, ROWS, COLUMNS) photon counts of moving speckles."""
    movie = SpeckleMovie((ROWS, COLUMNS), frames, rate=0.1, modes=2, mean_counts=2.0, frame_time=0.5, seed=1)
    return movie.read(0, frames)


def write_eiger(
    folder: Path,
    prefix: str = "scan_1",
    *,
    frames: NDArray[np.uint16] | None = None,
    header: EigerHeader = HEADER,
    pixel_mask: NDArray[np.uint32] | None = None,
) -> Path:
    """Master of a small series over three data files."""
    with EigerWriter(folder, prefix, header=header, frames_per_file=10, pixel_mask=pixel_mask) as eiger:
        eiger.append(speckles() if frames is None else frames)
    return folder / f"{prefix}_master.h5"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` with its bytes: what must not change when a command refuses."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
