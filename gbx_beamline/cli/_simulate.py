"""``gbx simulate``: an ensemble of simulated scans in a folder, registered in the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gbx_beamline import assemble
from gbx_beamline.cli._going_on import how_to_go_on
from gbx_beamline.cli._options import config_option
from gbx_beamline.config import Config

if TYPE_CHECKING:
    from gbx_beamline.simulation.ensemble import Progress as Told
    from gbx_beamline.simulation.ensemble import Simulated


@click.command()
@click.option("--n", "members", type=click.IntRange(min=1), help="Members; default: as configured (2,000).")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the ensemble; one that was interrupted is gone on with.",
)
@click.option(
    "--mode",
    type=click.Choice(["measurement", "paper"]),
    help="measurement: as a detector sees it, with all nuisances (default). paper: the paper's noise-free ensemble.",
)
@click.option("--size", type=click.IntRange(min=3), help="Time cells of a map; default: as configured.")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, same ensemble; default: as configured (42).")
@click.option("--workers", type=click.IntRange(min=1), help="Processes on this machine; default: one per core.")
@click.option("--dask", metavar="ADDRESS", help="Compute on the workers of this Dask scheduler, e.g. tcp://host:8786.")
@click.option(
    "--register/--no-register",
    default=None,
    help="Register the ensemble in the catalog; default: where there is one already.",
)
@config_option
def simulate(
    members: int | None,
    folder: Path,
    mode: str | None,
    size: int | None,
    seed: int | None,
    workers: int | None,
    dask: str | None,
    register: bool | None,
    config_path: Path | None,
) -> None:
    """Simulate an ensemble of scans with known truth: maps (zarr) and parameters (parquet).

    Interrupted, it goes on where it stopped when it is started again. The result does not depend on the number of
    workers, nor on where they run.

    Example: gbx simulate --n 2000 --out ensemble
    """
    from gbx_beamline.simulation.ensemble import simulate_ensemble

    config = assemble.configuration(config_path)
    settings = config.simulation.with_choices(members=members, mode=mode, size=size, seed=seed)
    with _shown() as told, how_to_go_on():
        done = simulate_ensemble(settings, folder, workers=workers, dask=dask, progress=told)
    click.echo(_said(done))
    for note in done.notes:
        click.echo(f"note: {note}")
    if register or (register is None and _has_catalog(config)):
        click.echo(f"registered as {_registered(config, folder)}")


def _said(done: Simulated) -> str:
    if not done.computed:
        return f"{done.path}: {done.members:,} members, all there already"
    kept = done.members - done.computed
    before = f" ({kept:,} were there already)" if kept else ""
    rate = done.computed / done.seconds
    return (
        f"{done.path}: {done.members:,} members{before}, {done.computed:,} in {done.seconds:.1f} s ({rate:.0f} maps/s)"
    )


def _has_catalog(config: Config) -> bool:
    return bool(assemble.server_address(config)) or config.catalog.directory.is_dir()


def _registered(config: Config, folder: Path) -> str:
    from gbx_beamline.catalog.ensembles import register_ensemble

    store = None if assemble.server_address(config) else config.catalog.directory / "frames"
    with Console(stderr=True).status("registering in the catalog"), assemble.open_catalog(config) as catalog:
        return f"{config.catalog.processed}/{register_ensemble(catalog, folder, store=store)}"


@contextmanager
def _shown() -> Iterator[Told]:
    """A bar on the terminal that follows what it is told."""
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("members", total=None)
        yield lambda done, members: progress.update(bar, completed=done, total=members)
