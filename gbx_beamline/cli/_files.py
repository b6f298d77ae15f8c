"""Analysing one file of frames: everything is checked before the work, results are written whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError, InputError, RoiError, UnitError

if TYPE_CHECKING:
    from gbx_beamline.frames import Series

ALLOW_INCOMPLETE = ("open with allow_incomplete=True", "add --allow-incomplete")
"""What the library asks of a caller, and the same in the words of the command line."""


def analyze_file(path: Path, config: Config, frame_time: float | None, out: Path, overwrite: bool) -> None:
    """Analyse the frames in ``path`` and leave ``<name>_gbx.npz`` and ``<name>_gbx.png`` in the folder ``out``.

    Args:
        path: Eiger master, .npy or .npz.
        config: Settings.
        frame_time: s between frames; None = as the file says.
        out: Folder, made if absent.
        overwrite: True replaces earlier results.

    Raises:
        GbxError: the file cannot be analysed, or a result of this name is there already. No file is left then.
    """
    from gbx_beamline import figures, pipeline
    from gbx_beamline.catalog import schema
    from gbx_beamline.catalog.read import RecordSummary
    from gbx_beamline.figures.tables import print_table

    stem = path.stem.removesuffix("_master")
    arrays, picture = out / f"{stem}_gbx.npz", out / f"{stem}_gbx.png"
    # Both before the work: a long analysis must not end in a refusal, nor with one file of the two.
    for place in (arrays, picture):
        check_place(place, overwrite)
    try:
        result = pipeline.analyze(_opened(path, config, frame_time), config)
    except InputError as error:
        raise _about(path, error) from error
    report = figures.scan_report(result)
    out.mkdir(parents=True, exist_ok=True)
    figures.save_arrays(schema.result_arrays(result), arrays, overwrite=overwrite)
    try:
        figures.save(report, picture, overwrite=overwrite)
    except GbxError:
        if not overwrite:
            arrays.unlink()
        raise
    metadata = schema.result_metadata(result, attempt="", created=time.time())
    print_table([RecordSummary(schema.pointer_key(result), metadata)])
    click.echo(f"report {picture}\narrays {arrays}")


def _opened(path: Path, config: Config, frame_time: float | None) -> Series:
    from gbx_beamline import open_series

    if path.is_dir():
        masters = sorted(path.glob("*_master.h5"))
        advice = f"name one in it, such as {masters[0]}" if masters else "name a master file or a .npy of frames"
        raise InputError(
            f"{path} is a folder",
            needed="a file with frames",
            action=advice,
        )
    return open_series(
        path, allow_incomplete=config.analysis.allow_incomplete, frame_time=frame_time or config.analysis.frame_time_s
    )


def _about(path: Path, error: InputError) -> InputError:
    """``error`` with the file it is about, and what to do in options instead of arguments."""
    action = error.action.replace(*ALLOW_INCOMPLETE).replace("pass frame_time=", "add --frame-time SECONDS")
    # What is wrong with a q-ROI or a mask is no fault of the file.
    named = path.name in error.found or isinstance(error, RoiError | UnitError)
    found = error.found if named else f"{path}: {error.found}"
    return InputError(found, needed=error.needed, action=action)


def check_place(path: Path, overwrite: bool) -> None:
    """Refuse a file that is there or that cannot come to be.

    Raises:
        InputError: unless ``path`` can be written.
    """
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already",
            needed="a free name",
            action="choose another --out, or replace it with --overwrite",
        )
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(
            f"{folder} cannot be written into", needed="a folder of your own for results", action="choose another --out"
        )
