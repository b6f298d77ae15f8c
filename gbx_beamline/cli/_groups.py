"""``gbx groups``: which scans are one material in one state, and what a model says of them together."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from gbx_beamline import assemble, grouping
from gbx_beamline.cli._options import config_option
from gbx_beamline.records import GroupAnswer


@click.command()
@config_option
@click.option("--sample", help="Only those of this sample.")
@click.option("--infer", "name", metavar="GROUP", help="Ask the model about the scans of this group together.")
@click.option("--model", help="With --infer: alias, id or folder of who is asked; default: as configured.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def groups(config_path: Path | None, sample: str | None, name: str | None, model: str | None, form: str) -> None:
    """List the material-dose groups of the catalog: scans of one sample and spot within one range of dose.

    The configuration defines them: groups.spot_tolerance_um, groups.dose_edges, groups.dose_unit.

    Example: gbx groups --sample silicon
    """
    from gbx_beamline.catalog import find_records, group_named, material_dose_groups
    from gbx_beamline.figures import group_tables

    config = assemble.configuration(config_path)
    answers: list[GroupAnswer] = []
    with (
        Console(stderr=True).status("opening the catalog") as status,
        assemble.open_catalog(config, must_exist=True) as catalog,
    ):
        records = find_records(catalog, sample=sample)
        found = material_dose_groups(records, config.groups)
        if name is not None:
            status.update("asking the model")
            answers = grouping.infer_group(catalog, group_named(found, name), config, model=model)
    if name is not None:
        if form == "table":
            group_tables.print_answers(name, answers)
        else:
            click.echo(group_tables.answers_as_text(answers, form))
    elif form != "table":
        click.echo(group_tables.groups_as_text(found, form))
    elif found:
        group_tables.print_groups(found, failed=sum(record.failed for record in records))
    else:
        click.echo("No results yet: `gbx analyze UID` or `gbx demo` makes some.")
