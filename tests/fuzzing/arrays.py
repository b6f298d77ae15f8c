"""NumPy files: damaged, or declaring more than they hold."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from fuzzing.values import damage, frames, ours


def write_numpy(draw: random.Random, folder: Path) -> Path:
    """A .npy or .npz file, damaged, or one that declares more than it holds."""
    path = folder / draw.choice(("file.npz", "file.npy"))
    array = draw.choice((frames(4), np.eye(6), np.ones((5, 5, 2)), np.array(["a", "b"]), np.array(3.0)))
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        save = draw.choice((np.savez, np.savez_compressed))
        names = draw.choice((("frames", "frame_time"), ("g12",), ("a", "b"), ("mask",)))
        save(path, **dict.fromkeys(names, array))
    fate = draw.random()
    if fate < 0.3:
        _inflate(draw, path)
    elif fate < 0.85:
        damage(draw, path)
    return path


def _inflate(draw: random.Random, path: Path) -> None:
    """A header that promises another shape or type, in a whole file otherwise."""
    import io
    import zipfile

    shape = draw.choice(("(1000000000000,)", "(4, 99999, 99999)", "(-4, 5)", "(4, 5, 7", f"({'9' * 500},)", "(2**9,)"))
    descr = draw.choice(("'<u2'", "'|O'", "'<f8'", "[('a', '|O')]", "'<U99999999'", "'|V0'", "__import__('os')"))
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 280
    if path.suffix == ".npy":
        path.write_bytes(content)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if draw.random() < 0.1:
            archive.writestr("mask.npy", bytes(16 * 2**20))
        archive.writestr(draw.choice(("frames.npy", "../../outside/secret.npy", "g12.npy")), content)
        if draw.random() < 0.2:
            pickled = io.BytesIO()
            np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
            archive.writestr("frame_time.npy", pickled.getvalue())


def read_numpy(path: Path, root: Path) -> None:
    """As `gbx analyze`, `gbx import` and the masks of a configuration do."""
    from gbx_beamline.correlation.imported import read_map
    from gbx_beamline.errors import InputError
    from gbx_beamline.frames import open_series
    from gbx_beamline.frames.numpy_files import read_array
    from gbx_beamline.learning._virtual_files import read_two_time
    from gbx_bluesky.feeds import ReplayFeed

    taken = [
        ours(read)
        for read in (
            lambda: open_series(path, frame_time=1.0).read(0, 1),
            lambda: read_map(path),
            lambda: read_array(path, key="mask", what="mask"),
            lambda: read_two_time(path),
            lambda: ReplayFeed.from_file(path),
        )
    ]
    if not any(taken):
        raise InputError("no reader takes it", needed="numbers", action="none")
