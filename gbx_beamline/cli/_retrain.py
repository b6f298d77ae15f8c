"""``gbx accept``, ``gbx drift`` and ``gbx retrain``: models that follow what is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline import assemble
from gbx_beamline.cli._going_on import how_to_go_on
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._progress import shown
from gbx_beamline.cli._runs import opened
from gbx_beamline.samples import who_asks

if TYPE_CHECKING:
    from gbx_beamline.retraining import DriftReport

_FILE_WIDTH = 200


@click.command()
@click.argument("uid")
@config_option
@click.option("--withdraw", is_flag=True, help="Leave it out instead, whatever the rule says.")
@click.option("--who", help="Who says so; default: $GBX_USER, else the account.")
@click.option("--why", required=True, help="Why, for whoever reads it later.")
def accept(uid: str, config_path: Path | None, withdraw: bool, who: str | None, why: str) -> None:
    """Accept an analysed run into the maps that models are made with, or withdraw it.

    Most runs need nobody: complete, unflagged scans that are judged grain boundaries are accepted by themselves. What a
    person says wins, the newest last, and is kept in the catalog with name, time and reason.

    Example: gbx accept 1a2b3c4d --why "flag is the monitor's, beam was steady"
    """
    from gbx_beamline.catalog import mark_accepted

    with opened(assemble.configuration(config_path)) as catalog:
        run_uid = mark_accepted(catalog, uid, accepted=not withdraw, by=who_asks(who), note=why)
    click.echo(f"run {run_uid[:8]} is {'withdrawn' if withdraw else 'accepted'}")


@click.command()
@config_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def drift(config_path: Path | None, form: str) -> None:
    """Compare the newest scans with those that the default model knows: inputs, S, strangeness, calibration.

    An alarm makes the next retraining an early one. Chance gives one in a thousand reports.

    Example: gbx drift
    """
    from gbx_beamline.catalog.codec import plain
    from gbx_beamline.learning.store import ModelStore
    from gbx_beamline.retraining import drift_report

    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        report = drift_report(catalog, config, ModelStore(config.models))
    if form == "json":
        click.echo(json.dumps(plain(report), indent=1))
        return
    _print_drift(report)


@click.command()
@config_option
@click.option(
    "--now", "force", is_flag=True, help="However few of the accepted maps are new, and however young the model."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--who", help="Who asks for it; default: $GBX_USER, else the account.")
def retrain(config_path: Path | None, force: bool, dry_run: bool, who: str | None) -> None:
    """Make a new default model from what was accepted since the last one, where the gate lets it pass.

    What the flow `retrain` does on its schedule. Too few new maps are no error. Stopped by Ctrl-C or a kill, the same
    command goes on. `gbx models rollback` takes a promotion back.

    Example: gbx retrain --dry-run
    """
    from gbx_beamline import retraining
    from gbx_beamline.learning.store import ModelStore

    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        if dry_run:
            prospect = retraining.foresee(catalog, config, ModelStore(config.models), force=force)
            click.echo(f"{len(prospect.gathered.scans)} accepted maps, {len(prospect.new)} new")
            for reason, count in sorted(prospect.gathered.refused.items(), key=lambda item: -item[1]):
                click.echo(f"  not accepted: {count} scans, {reason}")
            _print_drift(prospect.drift)
            click.echo(f"{'would retrain' if prospect.wanted else 'nothing to do'}: {prospect.reason}")
            return
        with shown() as told, how_to_go_on():
            outcome = retraining.retrain(catalog, config, told, by=who_asks(who), force=force)
    for uid, reason in outcome.left_out.items():
        click.echo(f"left out: run {uid[:8]}: {reason}")
    click.echo(f"retraining {outcome.number}: {outcome.status}\n{outcome.reason}")
    if outcome.drift is not None and outcome.drift.alarms:
        click.echo("drift: `gbx drift` shows it")


def _print_drift(report: DriftReport) -> None:
    from gbx_beamline.retraining import DRIFT_COLUMNS, drift_rows

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in DRIFT_COLUMNS:
        table.add_column(name, justify="left" if name in (DRIFT_COLUMNS[0], "") else "right")
    for *cells, word in drift_rows(report):
        table.add_row(*cells, Text(word, style="bold red" if word.startswith("ALARM") else ""))
    console = Console()
    console = console if console.is_terminal else Console(width=max(_FILE_WIDTH, console.width))
    console.print(table)
    click.echo(f"{report.recent} recent scans beside {report.against}; model {report.model}")
    click.echo(f"drift of {', '.join(check.what for check in report.alarms)}" if report.alarms else "nothing drifts")
