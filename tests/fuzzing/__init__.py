"""Damaged and malicious input by seed: Eiger masters, configurations, documents, NumPy files, model folders.

``python -m fuzzing KIND FIRST COUNT FOLDER`` (in ``tests``) feeds so many to what reads them in a service, in one
process, as a service would. It ends with 0 when each was taken or refused in our words, and tells what else it saw.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from fuzzing.arrays import read_numpy, write_numpy
from fuzzing.configs import read_config, write_config
from fuzzing.documents import read_documents, write_documents
from fuzzing.masters import read_master, write_master
from fuzzing.models import read_folder, write_model
from fuzzing.values import SECRET_BYTES, frames

MEMORY_BYTES = 2**31
"""What a process that reads such input may have at its peak."""


@dataclass(frozen=True)
class Kind:
    """One sort of input."""

    name: str
    write: Callable[[random.Random, Path], Path]
    """Writes a mutated specimen into a folder."""
    read: Callable[[Path, Path], None]
    """Reads it as a service does, confined to the folder; any error but ours is a failure."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("masters", write_master, read_master),
        Kind("configs", write_config, read_config),
        Kind("documents", write_documents, read_documents),
        Kind("numpy", write_numpy, read_numpy),
        Kind("models", write_model, read_folder),
    )
}


def prepare(folder: Path) -> tuple[Path, Path]:
    """``root``, where specimens lie, and ``outside``, which nothing may be read from or written to."""
    root, outside = folder / "root", folder / "outside"
    root.mkdir(parents=True, exist_ok=True)
    outside.mkdir(exist_ok=True)
    with h5py.File(outside / "secret.h5", "w") as file:
        file["/entry/data/data"] = frames(4)
        file["/entry/data/data_000001"] = frames(4)
    (outside / "secret.bin").write_bytes(bytes(range(SECRET_BYTES)))
    np.save(outside / "secret.npy", frames(4))
    return root, outside


def feed(kind: Kind, first: int, count: int, folder: Path) -> int:
    """Feed specimens of the seeds ``first`` onwards; how many were taken."""
    from gbx_beamline.errors import GbxError

    root, taken = folder / "root", 0
    for seed in range(first, first + count):
        place = root / "case"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        # For whoever finds this process dead.
        (folder / "now").write_text(f"{kind.name} {seed}")
        specimen = kind.write(random.Random(f"{kind.name} {seed}"), place)
        try:
            kind.read(specimen, place)
            taken += 1
        except GbxError:
            pass
        except BaseException as error:
            raise AssertionError(f"{kind.name} {seed}: {type(error).__name__}: {error}") from error
    return taken
