"""Commands that join the edges; ``gbx`` finds them through the entry-point group ``gbx.commands``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gbx_beamline import assemble
from gbx_beamline.cli import EXIT_REFUSED, config_option


@click.command()
@config_option
def doctor(config_path: Path | None) -> None:
    """Check this installation: packages, system libraries, disk, catalog.

    Example: gbx doctor
    """
    from gbx_services.doctor import examine

    table = Table(show_header=False, box=None, pad_edge=False)
    failed = False
    for check in examine(assemble.configuration(config_path)):
        failed |= check.required and not check.passed
        mark = "[green]ok[/]" if check.passed else "[red]no[/]" if check.required else "[yellow]--[/]"
        table.add_row(mark, check.name, check.found if check.passed else f"{check.found}\n→ {check.cure}")
    Console().print(table)
    if failed:
        sys.exit(EXIT_REFUSED)


@click.command()
@config_option
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), help="Folder for the catalog; default ./gbx-data."
)
def demo(config_path: Path | None, directory: Path | None) -> None:
    """Four simulated scans through RunEngine, Eiger files, catalog and flow, with their results.

    A second run adds scans to the same catalog.

    Example: gbx demo
    """
    from gbx_services.demo import demo_configuration, run_demo

    config = demo_configuration(config_path)
    if directory is not None:
        config = config.model_copy(update={"catalog": config.catalog.model_copy(update={"directory": directory})})
    run_demo(config, Console(), config_path=config_path)
