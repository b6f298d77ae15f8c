"""``gbx commission``: a campaign that was measured at a beamline is judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from gbx_beamline import assemble
from gbx_beamline.cli import config_option

NOT_TRUSTED = 1
"""Exit status where a trial did not come out as expected; 2 is that of a command that could not be carried out."""


@click.command()
@config_option
@click.option("--campaign", help="Name that the plans were given; default: that of the newest run.")
@click.option("--trial", "trials", multiple=True, metavar="NAME", help="Only this; may be repeated.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("commissioning"),
    show_default=True,
    help="Folder for the page.",
)
@click.option(
    "--frames",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for scans with faults put in, which Tiled may read; default: that of the embedded catalog.",
)
def commission(
    config_path: Path | None, campaign: str | None, trials: tuple[str, ...], out: Path, frames: Path | None
) -> None:
    """Judge scans of known answer: trust this installation or not, and why.

    The plans of gbx_bluesky.commissioning measure them. Here faults are put into their frames, which become runs of
    their own, what is not analysed yet is, and a page is left. Exit status 1 unless every trial came out as expected.

    Example: gbx commission --campaign 2026-3 --config configs/chx.yaml
    """
    from gbx_bluesky.run_engine import make_run_engine
    from gbx_services.commission_runs import commission as judge_campaign
    from gbx_services.rehearsal import taken_with

    config = assemble.configuration(config_path)
    directory = config.catalog.directory
    with assemble.open_catalog(config, must_exist=True) as catalog:
        engine, writer = make_run_engine(catalog.raw, backup_directory=directory / "journals")

        def take(plan: Any) -> list[str]:
            return taken_with(engine, writer, plan)

        try:
            trusted = judge_campaign(
                catalog,
                config,
                Console(),
                campaign=campaign,
                names=trials,
                out=out,
                take=take,
                frames=frames or directory / "frames",
            )
        finally:
            writer.close()
    if not trusted:
        sys.exit(NOT_TRUSTED)
