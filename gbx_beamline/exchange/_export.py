"""The door to all formats: a record goes to one place, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py

from gbx_beamline.errors import InputError
from gbx_beamline.exchange._formats import FORMATS
from gbx_beamline.exchange._nxxpcs import write_nxxpcs
from gbx_beamline.exchange._pychx import write_pychx
from gbx_beamline.exchange._record import WholeRecord
from gbx_beamline.exchange._tables import write_tables
from gbx_beamline.whole_files import place_taken, whole_file, whole_folder

_FILES: dict[str, tuple[str, Callable[[WholeRecord, h5py.File], tuple[str, ...]]]] = {
    "nxxpcs": (".h5", write_nxxpcs),
    "pychx": ("_Res.h5", write_pychx),
}
_HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


def export(record: WholeRecord, form: str, path: Path | str | None = None, *, overwrite: bool = False) -> ExportedPath:
    """Write a record in a format that others read.

    Args:
        record: What to write.
        form: "nxxpcs" or "pychx", an HDF5 file each, or "csv", a folder of tables.
        path: Where; None names it after the run, in the current folder.
        overwrite: True replaces what is there.

    Returns:
        The path, and what a reader must know of it, in words.

    Raises:
        InputError: an unknown format, a place that is taken or cannot be written, a name that readers would not
            open.
    """
    if form not in FORMATS:
        raise InputError(f"format {form!r}", needed=f"one of {', '.join(FORMATS)}", action="choose one of them")
    name = record.result.scan.run_uid[:8]
    if form == "csv":
        return _folder(record, Path(path or f"{name}_gbx_csv"), overwrite)
    suffix, write = _FILES[form]
    path = Path(path or f"{name}_gbx{suffix}")
    if path.suffix.lower() not in _HDF5:
        raise InputError(
            f"{path} ends in {path.suffix or 'nothing'!r}",
            needed=f"the name of an HDF5 file, ending in one of {', '.join(_HDF5)}",
            action=f"name it {path.stem}{suffix}",
        )
    _check_free(path, overwrite, Path.is_file)
    # In memory first: where a disk is full, HDF5 itself leaves the process in ruins.
    with h5py.File("export", "w", driver="core", backing_store=False) as file:
        words = write(record, file)
        file.flush()
        content = file.id.get_file_image()
    with whole_file(path, overwrite=overwrite) as place:
        place.write_bytes(content)
    return path, words


ExportedPath = tuple[Path, tuple[str, ...]]
"""Where a record went, and what a reader must know of the file, in words."""


def _folder(record: WholeRecord, path: Path, overwrite: bool) -> ExportedPath:
    _check_free(path, overwrite, _holds_tables)
    with whole_folder(path, overwrite=overwrite) as place:
        words = write_tables(record, place)
    return path, words


def _check_free(path: Path, overwrite: bool, replaceable: Callable[[Path], bool]) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise place_taken(path)
    if not replaceable(path):
        raise InputError(
            f"{path} is not an earlier export of this kind",
            needed="a free name, or one of an earlier export",
            action="choose another path: nothing else is replaced",
        )


def _holds_tables(path: Path) -> bool:
    """Whether a folder holds nothing but tables and their side-car: only such a one is ever replaced."""
    return path.is_dir() and all(file.suffix in (".csv", ".json") for file in path.iterdir())
