"""Eiger series: damaged, leading out of their folder, declaring more than there is."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import h5py
import numpy as np

from fuzzing.values import SECRET_BYTES, damage, frames


def _base_master(draw: random.Random, folder: Path) -> tuple[Path, list[Path]]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
    from eiger_files import FIELDS, write_data, write_fields, write_filewriter1, write_nxmx

    parts = [frames(4), frames(3)]
    match draw.randrange(3):
        case 0:
            mask = np.zeros((5, 7), dtype=np.uint32)
            master = write_filewriter1(folder, parts, nimages=7, image_numbers=True, pixel_mask=mask)
        case 1:
            master = write_nxmx(folder, parts, through_links=draw.random() < 0.5)
        case _:
            master = write_data(folder / "whole_master.h5", frames(6), compressed=draw.random() < 0.5)
            with h5py.File(master, "a") as file:
                write_fields(file, FIELDS)
    return master, sorted(folder.glob("*.h5"))


def _link_out(draw: random.Random, master: Path) -> None:
    """Links and declarations that lead out of the folder, in a circle, or to more than there is."""
    outside = master.parent.parent / "outside" / "secret.h5"
    detector = "/entry/instrument/detector"
    with h5py.File(master, "a") as file:
        place = draw.choice(
            (
                "/entry/data/data",
                "/entry/data/data_000001",
                f"{detector}/detectorSpecific/pixel_mask",
                f"{detector}/frame_time",
                "/entry/data",
                detector,
                f"{detector}/detectorSpecific/nimages",
            )
        )
        if place in file:
            del file[place]
        far = draw.choice(
            (
                str(outside),
                "../outside/secret.h5",
                "./../outside/../outside/secret.h5",
                "way_out.h5",
                "/dev/zero",
                "/proc/self/mem",
                "x" * 5000,
                "fifo",
            )
        )
        match draw.randrange(9):
            case 0 | 1 | 2:
                file[place] = h5py.ExternalLink(far, draw.choice(("/entry/data/data", "/", "..")))
            case 3:
                file[place] = h5py.SoftLink(draw.choice((place, "/entry", "/nowhere", "..", "/" + "a/" * 5000)))
            case 4:
                secret = str(outside.parent / "secret.bin")
                file.create_dataset(place, (1, 5, 7), dtype="u2", external=[(secret, 0, SECRET_BYTES)])
            case 5:
                layout = h5py.VirtualLayout((4, 5, 7), "u2")
                layout[:] = h5py.VirtualSource(far, draw.choice(("/entry/data/data", place)), shape=(4, 5, 7))
                file.create_virtual_dataset(place, layout)
            case 6:
                shape = draw.choice(
                    ((2**40, 5, 7), (3, 2**31, 2**20), (2, 40_000, 40_000), (0, 5, 7), (5,), (2**31, 1, 1))
                )
                chunks = tuple(min(size, 20_000) or 1 for size in shape)
                file.create_dataset(place, shape, maxshape=(None,) * len(shape), dtype="u4", chunks=chunks)
            case 7:
                file.create_dataset(place, data=draw.choice((2**62, -1, 1e300, b"text", [1, 2], np.nan)))
            case _:
                bomb = file.create_dataset(
                    place, (1, 8_000, 8_000), dtype="u4", chunks=(1, 8_000, 8_000), compression=9
                )
                bomb[:, :1] = 1


def write_master(draw: random.Random, folder: Path) -> Path:
    """A series whose master or data files are damaged, or lead where they should not."""
    master, files = _base_master(draw, folder)
    (folder / "way_out.h5").symlink_to("../outside/secret.h5")
    os.mkfifo(folder / "fifo")
    if draw.random() < 0.4:
        _link_out(draw, master)
    else:
        damage(draw, draw.choice([master, *files]))
    if draw.random() < 0.02:
        master.unlink()
        master.symlink_to("../outside/secret.h5")
    return master


def read_master(path: Path, root: Path) -> None:
    """As the server's adapter and the analysis read it."""
    from gbx_beamline.frames import EigerFile
    from gbx_beamline.frames.quarantine import examine

    examine([path], [root], seconds=30)
    file = EigerFile(path, allow_incomplete=True, roots=[root])
    file.pixel_mask()
    for start in range(0, min(file.shape[0], 64), 8):
        stop = min(start + 8, file.shape[0])
        if file.present[start:stop].any():
            file.read(start, stop, (slice(0, 64), slice(0, 64)))
