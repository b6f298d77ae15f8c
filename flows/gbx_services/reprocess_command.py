"""``gbx reprocess``: old runs, today's settings and models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline import assemble, reprocessing
from gbx_beamline.cli import EXIT_REFUSED, config_option, how_to_go_on, shown
from gbx_beamline.learning.jobs import Progress
from gbx_beamline.reprocessing import Choice, Reprocessed, Request

_DATES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"])
_FILE_WIDTH = 200


@click.command()
@click.option("--since", type=_DATES, help="Runs that started then or later, local time.")
@click.option("--until", type=_DATES, help="Runs that started earlier, local time.")
@click.option("--uid", "uids", multiple=True, help="This run (uid or the start of it); may be repeated.")
@click.option("--sample", help="Runs of this sample.")
@click.option("--rule", help="Only by this selection rule; default: by each that wants a run, as `gbx serve` does.")
@click.option("--model", help="Who is asked: alias, id or folder; default: as configured for each run.")
@click.option("--dask", metavar="ADDRESS|local", help="Analyse on a Dask cluster, or on all cores here.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@config_option
def reprocess(
    since: datetime | None,
    until: datetime | None,
    uids: tuple[str, ...],
    sample: str | None,
    rule: str | None,
    model: str | None,
    dask: str | None,
    dry_run: bool,
    config_path: Path | None,
) -> None:
    """Analyse old runs of the catalog again, with today's settings and models.

    Older records stay beside the new ones, each with its versions. Only what is missing is done: interrupted, the same
    command goes on. Runs must meet all conditions given. Where Prefect's settings name a server, it is a flow run
    there.

    Example: gbx reprocess --since 2026-11-01 --model candidate --dask local
    """
    from prefect.settings import PREFECT_API_URL

    with how_to_go_on():
        if PREFECT_API_URL.value():
            from gbx_flows.reprocess import reprocess as through_prefect

            rows = through_prefect(since, until, uids, sample, rule, model, dask, dry_run, config_path)
        else:
            choice = Choice(uids=uids, since=_unix(since), until=_unix(until), sample=sample, rule=rule)
            rows = _here(choice, Request(assemble.configuration(config_path).absolute(), model), dask, dry_run)
    _print(rows, dry_run)
    if any(row.failed for row in rows):
        sys.exit(EXIT_REFUSED)


def _here(choice: Choice, request: Request, dask: str | None, dry_run: bool) -> list[Reprocessed]:
    """Without Prefect: in this process, with a bar."""
    request, rows = request.checked(), list[Reprocessed]()
    with assemble.open_catalog(request.config, must_exist=True) as catalog, shown() as told:
        chosen = reprocessing.choose(catalog, request.config, choice)
        if chosen.unfinished:
            click.echo(f"{chosen.unfinished} runs have not ended: left alone", err=True)
        if chosen.unwanted:
            click.echo(f"{len(chosen.unwanted)} runs are wanted by no selection rule: left alone", err=True)
        done = (
            reprocessing.foresee(catalog, chosen.jobs, request)
            if dry_run
            else reprocessing.work(catalog, chosen.jobs, request, dask=dask)
        )
        for row in done:
            rows.append(row)
            told(Progress("runs", len(rows), len(chosen.jobs), row.job.run[:8]))
    return rows


def _print(rows: Sequence[Reprocessed], dry_run: bool) -> None:
    if not rows:
        click.echo("No runs: none meets all conditions, has ended and is wanted by a selection rule.")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_FILE_WIDTH, console.width))
    table = Table(box=None, pad_edge=False)
    for column in reprocessing.COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column == "run")
    for row in rows:
        table.add_row(*(Text(cell) for cell in reprocessing.cells(row)))
    console.print(table)
    click.echo(f"{reprocessing.counted(rows)}{'; nothing was done' if dry_run else ''}")
    for reason in reprocessing.reasons(rows):
        console.print(Text(reason, style="red"), soft_wrap=True)


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
