"""The scan on screen as a NeXus NXxpcs file, with all that its record holds."""

from __future__ import annotations

from pathlib import Path

from gbx_beamline.catalog import Catalog, find_inferences, load_inference, load_record, summary_of
from gbx_beamline.errors import InputError
from gbx_beamline.exchange import WholeRecord, export
from gbx_beamline.records import ScanFailure


def write_nexus(catalog: Catalog, key: str, path: Path) -> None:
    """Write a record and what models say of it. Reads all of the record, which may take some seconds.

    Args:
        catalog: Where it is.
        key: Of the record.
        path: Where to; a file that is there is replaced.

    Raises:
        GbxError: no such result, or the file cannot be written.
    """
    summary, found = summary_of(catalog, key), load_record(catalog, key)
    if isinstance(found, ScanFailure):
        raise InputError(f"the scan was not analysed: {found.reason}", needed="a result", action="choose another scan")
    record = WholeRecord(
        key=key,
        created=summary.metadata["created"],
        result=found,
        inferences=tuple(load_inference(catalog, one.key) for one in find_inferences(catalog, record=key)),
        document=summary.metadata,
    )
    export(record, "nxxpcs", path, overwrite=True)
