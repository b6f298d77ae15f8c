"""Commands that join the edges; ``gbx`` finds them through the entry-point group ``gbx.commands``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gbx_beamline import assemble
from gbx_beamline.cli import EXIT_REFUSED, config_option
from gbx_beamline.errors import GbxError, InputError
from gbx_services.commission_command import NOT_TRUSTED


@click.command()
@config_option
@click.option(
    "--tiled-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration of the Tiled server: also look at its databases, Redis and storage.",
)
@click.option("--dask", metavar="ADDRESS", help="A Dask scheduler to look at; default: of DASK_SCHEDULER_ADDRESS.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def doctor(config_path: Path | None, tiled_config: Path | None, dask: str | None, as_json: bool) -> None:
    """Check installation, folders, disks, catalog, permissions, clock, Prefect, service, Kafka, Dask and model.

    Each line says ok, warning or failure; exit status 2 where something has failed. Nothing is left behind.

    Example: gbx doctor --config configs/chx.yaml
    """
    from gbx_services.doctor import Level, examine

    console, colours = Console(), {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "red"}
    checks = []
    for check in examine(assemble.configuration(config_path), tiled_config=tiled_config, dask=dask):
        checks.append(check)
        if as_json:
            continue
        # Text, and wrapped by the terminal: a command to copy keeps its brackets and its paths.
        mark = (f"{check.level:<8}", colours[check.level])
        console.print(Text.assemble(mark, f" {check.name:<23} {check.found}"), soft_wrap=True)
        if check.action:
            console.print(Text(f"    needed: {check.needed}\n    → {check.action}"), soft_wrap=True)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=1))
    if any(check.level is Level.FAILURE for check in checks):
        sys.exit(EXIT_REFUSED)


@click.command()
@config_option
@click.option("--commission", is_flag=True, help="Run the commissioning suite instead: trust this installation or not.")
@click.option("--trial", "trials", multiple=True, metavar="NAME", help="Of the suite, only this; may be repeated.")
@click.option("--no-view", is_flag=True, help="Do not open the viewer at the end.")
def demo(config_path: Path | None, commission: bool, trials: tuple[str, ...], no_view: bool) -> None:
    """Four simulated scans through RunEngine, Eiger files, catalog and flow, with their results.

    A second run adds scans to the same catalog. Where there is a display, `gbx view` opens at the end.

    With --commission: samples and faults whose right answer is known, and a page that says trust or do not, and why;
    exit status 1 unless every trial came out as expected.

    Example: gbx demo --commission
    """
    from gbx_services.demo import demo_config_file, run_demo

    if not commission and trials:
        raise InputError("--trial without --commission", needed="both, or neither", action="add --commission")
    if not commission:
        config_path = config_path or demo_config_file()
        run_demo(assemble.configuration(config_path), Console(), config_path=config_path, view=not no_view)
        return
    from gbx_services.commission_runs import run_commissioning

    config_path = config_path or demo_config_file("commission.yaml")
    config = assemble.configuration(config_path)
    if not run_commissioning(config, Console(), config_path=config_path, names=trials):
        sys.exit(NOT_TRUSTED)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option
@click.option("--sample", help="Name of the sample.")
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), help="Sample temperature, K.")
@click.option("--baseline", type=click.Choice(["0", "1"]), help="Of a map: 1 for g2, 0 for g2 - 1; default: detected.")
@click.option(
    "--frame-time",
    type=click.FloatRange(min=0, min_open=True),
    help="Of a map: s between rows. Needed for .npy and .npz; wins over a result file.",
)
@click.option(
    "--copy", is_flag=True, help="Copy a master's files into the embedded catalog's folder instead of linking."
)
def import_files(
    files: tuple[Path, ...],
    config_path: Path | None,
    sample: str | None,
    temperature: float | None,
    baseline: str | None,
    frame_time: float | None,
    copy: bool,
) -> None:
    """Bring Eiger masters, two-time maps (.npy, .npz with g12) or result files of others into the catalog.

    Result files are those of pyCHX (..._Res.h5) and NXxpcs (.nxs): of them the two-time maps are taken.

    A file that cannot be imported does not keep the others out.

    Example: gbx import scan_1_master.h5 --sample Si --temperature 421
    """
    from gbx_services.importing import About, import_file

    config = assemble.configuration(config_path)
    about = About(sample, temperature, None if baseline is None else 1 if baseline == "1" else 0, frame_time)
    refused = 0
    with assemble.open_catalog(config) as catalog:
        for path in files:
            try:
                done = import_file(
                    path, catalog, config, about, embedded=not assemble.server_address(config), copy=copy
                )
            except GbxError as error:
                refused += 1
                click.echo(f"{path}: error: {error}", err=True)
                continue
            click.echo(f"{path}: {'already there as' if done.already_there else 'imported as'} {done.uid}")
            for word in done.words:
                click.echo(f"  {word}")
            follow = f"gbx report {done.uid[:8]}" if done.key else f"gbx analyze {done.uid[:8]} --config FILE"
            click.echo(f"  next: {follow}")
    if refused:
        sys.exit(EXIT_REFUSED)


@click.command()
@config_option
def serve(config_path: Path | None) -> None:
    """Analyse each scan by itself as it ends, until stopped by Ctrl-C or SIGTERM.

    Starts what the configuration does not name a server for: Tiled, Prefect. /health and /metrics answer at
    serve.health; logs are JSON lines on standard error.

    Example: gbx serve --config configs/chx.yaml
    """
    # Tiled's client tries again for 45 s by itself, and reads these as it is imported; here the queue waits, not it.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "3")
    os.environ.setdefault("TILED_RETRY_TIMEOUT", "5")
    from gbx_services.logs import log_as_json
    from gbx_services.serve import run_service

    log_as_json()
    stopping = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.set())
    named = config_path or (Path(given) if (given := os.environ.get(assemble.CONFIG_VARIABLE)) else None)
    run_service(assemble.configuration(config_path), named, stopping)
