"""``gbx floor``: static references, and what the instrument shows of a sample that does not move."""

from __future__ import annotations

from pathlib import Path

import click

from gbx_beamline import assemble
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._runs import opened
from gbx_beamline.records import NoFloor
from gbx_beamline.samples import who_asks


@click.group()
def floor() -> None:
    """Static references: what the instrument shows of a sample that does not move. Nothing is subtracted.

    A run is one by its start document (reference: static) or by a mark. Reports and results of the same geometry show
    the newest before them.

    Example: gbx floor mark 1a2b3c4d --note "silica aerogel"
    """


@floor.command()
@click.argument("uid")
@config_option
@click.option("--not-static", is_flag=True, help="Take a mark, or what the start document says, back.")
@click.option("--who", help="Who says so; default: $GBX_USER, else the account.")
@click.option("--note", default="", help="Why, or what the sample is.")
def mark(uid: str, config_path: Path | None, not_static: bool, who: str | None, note: str) -> None:
    """Say that a run is of a sample that does not move. The mark is kept in the catalog; the newest counts.

    Example: gbx floor mark 1a2b3c4d --note "silica aerogel"
    """
    from gbx_beamline.catalog import mark_reference

    with opened(assemble.configuration(config_path)) as catalog:
        run_uid = mark_reference(catalog, uid, static=not not_static, by=who_asks(who), note=note)
    said = "no static reference any more" if not_static else "a static reference now"
    click.echo(f"run {run_uid[:8]} is {said}")


@floor.command("list")
@config_option
def list_references(config_path: Path | None) -> None:
    """List the static references of the catalog.

    Example: gbx floor list
    """
    from gbx_beamline.catalog import find_references

    with opened(assemble.configuration(config_path)) as catalog:
        found = find_references(catalog)
    for one in found:
        sample = "not analysed" if one.record is None else one.record.metadata["sample"] or "sample not named"
        click.echo(f"{one.run_uid[:8]}  {sample}  ({one.why})")
    if not found:
        click.echo("No static reference yet: `gbx floor mark UID` marks one.")


@floor.command()
@click.argument("uid")
@config_option
@click.option("--reference", help="uid of the run that is to be the reference; default: the newest before the scan.")
def show(uid: str, config_path: Path | None, reference: str | None) -> None:
    """Show the floor beside the newest result of a run, or why there is none.

    Example: gbx floor show 5e6f7a8b
    """
    from gbx_beamline.catalog import find_floor, find_record
    from gbx_beamline.figures.beside import floor_line

    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        record = find_record(catalog, uid)
        found = find_floor(catalog, record.key, config.floor, reference=reference)
    if isinstance(found, NoFloor):
        click.echo(f"{record.run_uid[:8]}: {found.reason}")
        return
    for index, one in enumerate(found.rois):
        click.echo(f"{one.name}: {floor_line(found, index)}")
    for note in found.notes:
        click.echo(note)
