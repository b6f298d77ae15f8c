"""``gbx figures``: figures of the paper, drawn anew from simulations."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from gbx_beamline.cli._files import check_place
from gbx_beamline.config import SimulationConfig
from gbx_beamline.errors import RoiError

_QUICK = SimulationConfig(mode="paper", members=400, batch=50)
"""What is drawn where no ensemble is given: the paper's, as released, small enough for a few seconds."""


@click.group()
def figures() -> None:
    """Draw figures of simulated ensembles.

    Example: gbx figures simulation --out figures
    """


@figures.command()
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the pictures and of the numbers in them (CSV); made when absent.",
)
@click.option(
    "--ensemble",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder that `gbx simulate` filled; default: {_QUICK.members} members of the paper's ensemble, simulated now "
    "into the folder `ensemble` of --out.",
)
@click.option(
    "--roi", type=click.IntRange(min=1), help="q-ROI of an ensemble with several, counted from 1; default: the middle."
)
@click.option("--overwrite", is_flag=True, help="Replace pictures and numbers that are there.")
def simulation(folder: Path, ensemble: Path | None, roi: int | None, overwrite: bool) -> None:
    """Draw S_noneq over the parameters of an ensemble, and example maps with cuts at several ages.

    Example: gbx figures simulation --ensemble ensemble --out figures
    """
    from gbx_beamline.figures.simulation import FILES, read_ensemble, save_simulation_figures

    # Before the work: a simulation must not end in a refusal.
    for name in FILES:
        check_place(folder / name, overwrite)
    source = ensemble or _simulated(folder / "ensemble")
    found = read_ensemble(source)
    if roi is not None:
        if roi > found.rois:
            raise RoiError(
                f"--roi {roi} of the ensemble in {source}",
                needed=f"a number from 1 to {found.rois}",
                action="choose one of them, or leave it out",
            )
        found = read_ensemble(source, roi=roi - 1)
    with Console(stderr=True).status("drawing"):
        paths = save_simulation_figures(found, folder, overwrite=overwrite)
    for path in paths:
        click.echo(path)


def _simulated(folder: Path) -> Path:
    """The quick ensemble, simulated unless an earlier call has done it."""
    from gbx_beamline.simulation.ensemble import simulate_ensemble

    with Console(stderr=True).status("simulating") as status:
        # In this process: to start others takes longer than the work.
        done = simulate_ensemble(
            _QUICK,
            folder,
            workers=1,
            progress=lambda whole, members: status.update(f"simulating: {whole} of {members} members"),
        )
    if done.computed:
        click.echo(f"{folder}: {done.computed} members in {done.seconds:.1f} s")
    return folder
