"""``gbx export``: a record in the formats that others read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from gbx_beamline import assemble
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._saying import EXIT_REFUSED, print_error
from gbx_beamline.errors import InputError, RunNotFoundError
from gbx_beamline.exchange import FORMATS

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, RecordSummary


@click.command("export")
@click.argument("uid")
@config_option
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="NeXus, tables, or pyCHX's HDF5.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A file, for csv a folder; default: named after the run, here."
)
@click.option("--record", "record_key", help="Of several records of the run this one, by its key.")
@click.option("--model", help="What this model says, by its id; default: what every model said.")
@click.option("--force", is_flag=True, help="Replace an earlier export that is there.")
def export_command(
    uid: str,
    config_path: Path | None,
    form: str,
    out: Path | None,
    record_key: str | None,
    model: str | None,
    force: bool,
) -> None:
    """Write the newest result of a run in a format that others read.

    nxxpcs: a NeXus file, for pyXpcsViewer too. csv: a folder of tables. pychx: a result file as pyCHX writes it.

    Example: gbx export 1a2b3c4d --format nxxpcs --out scan.nxs
    """
    from gbx_beamline.exchange import export, whole_record

    if out is not None and out.exists() and not force:
        # Before the catalog is opened and megabytes are read.
        raise InputError(
            f"{out} exists already",
            needed="a free name",
            action="choose another --out, or replace it with --force",
        )
    with assemble.open_catalog(assemble.configuration(config_path), must_exist=True) as catalog:
        summary = _chosen_record(catalog, uid, record_key)
        if summary.failed:
            print_error(f"run {summary.run_uid[:8]} was not analysed: {summary.metadata['reason']}")
            sys.exit(EXIT_REFUSED)
        with Console(stderr=True).status("reading the record"):
            record = whole_record(catalog, summary.key, model=model)
    with Console(stderr=True).status("writing"):
        path, words = export(record, form, out, overwrite=force)
    click.echo(f"exported {path}")
    for word in words:
        click.echo(f"  {word}")


def _chosen_record(catalog: Catalog, uid: str, key: str | None) -> RecordSummary:
    """The newest result of a run, or the named one of its records."""
    from gbx_beamline.catalog import find_record, find_records

    newest = find_record(catalog, uid)
    if key is None:
        return newest
    records = {record.key: record for record in find_records(catalog, run_uid=newest.run_uid, with_superseded=True)}
    if key not in records:
        raise RunNotFoundError(
            f"run {newest.run_uid[:8]} has no record {key!r}",
            needed=f"one of {', '.join(records)}",
            action="choose one of them, or leave --record out for the newest",
        )
    return records[key]
