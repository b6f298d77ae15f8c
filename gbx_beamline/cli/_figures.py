"""``gbx figures``: the paper's figures, drawn anew from simulations, results and models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from gbx_beamline import __version__, assemble
from gbx_beamline.cli._files import check_place
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._runs import opened
from gbx_beamline.config import SimulationConfig
from gbx_beamline.errors import RoiError

if TYPE_CHECKING:
    from gbx_beamline.learning.evaluation import EvaluationReport
    from gbx_beamline.learning.store import ModelStore

_MOST_FAMILIES = 5
"""Columns that a page of models has room for."""

_QUICK = SimulationConfig(mode="paper", members=400, batch=50)
"""What is drawn where no ensemble is given: the paper's, as released, small enough for a few seconds."""


@click.group()
def figures() -> None:
    """Draw the paper's figures anew: from a simulated ensemble, or from the catalog.

    Example: gbx figures paper --out figures
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


@figures.command()
@click.option(
    "--out",
    "folder",
    default="paper_figures",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the figures (PDF, SVG, PNG) and of captions.md; made when absent.",
)
@config_option
@click.option("--sample", help="Whose scans; default: of the sample that was measured at most temperatures.")
@click.option("--roi", help="Name of the q-ROI of Fig. 2; default: the one that holds the most information.")
@click.option("--model", help="Whose answers (alias or id); default: the newest of each scan.")
@click.option(
    "--ensemble",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder that `gbx simulate --mode paper` filled, for Fig. 3; default: {_QUICK.members} members, simulated "
    "now into the folder `ensemble` of --out.",
)
@click.option("--overwrite", is_flag=True, help="Replace figures that are there.")
def paper(
    folder: Path,
    config_path: Path | None,
    sample: str | None,
    roi: str | None,
    model: str | None,
    ensemble: Path | None,
    overwrite: bool,
) -> None:
    """Draw the counterparts of the paper's Figs. 2-4 from the results in the catalog (those of `gbx demo`, say).

    One sample's newest result at each temperature, a simulated ensemble, the models that `gbx evaluate` judged here,
    and what the model says of the scans. Every caption names run uids, settings and model; what is missing is said.

    Example: gbx figures paper --out paper_figures
    """
    from gbx_beamline.figures.paper import PaperSources, paper_files, paper_scans, save_paper_figures
    from gbx_beamline.figures.simulation import read_ensemble
    from gbx_beamline.learning.store import ModelStore
    from gbx_beamline.simulation.ensemble import read_manifest

    # Before the work: a simulation must not end in a refusal.
    for place in paper_files(folder):
        check_place(place, overwrite)
    config = assemble.configuration(config_path)
    store = ModelStore(config.models)
    with opened(config) as catalog:
        scans = paper_scans(catalog, sample=sample, model=None if model is None else store.resolve(model))
        uri = catalog.uri
    found = ensemble or _simulated(folder / "ensemble")
    view, manifest = read_ensemble(found), read_manifest(found) or {}
    sources = PaperSources(
        package_version=__version__,
        catalog=uri,
        scans=scans,
        ensemble=view,
        ensemble_origin={
            "settings": str(manifest.get("settings_hash")),
            "seed": str(manifest.get("settings", {}).get("seed")),
            "simulation version": str(manifest.get("simulation_version")),
        },
        reports=_reports(store),
        roi=roi,
    )
    with Console(stderr=True).status("drawing"):
        paths = save_paper_figures(sources, folder, overwrite=overwrite)
    for path in paths:
        click.echo(path)


def _reports(store: ModelStore) -> list[EvaluationReport]:
    """Evaluations with answers on the truth suite, the default model's last; those of other suites do not compare."""
    from gbx_beamline.learning.evaluation import EvaluationReport
    from gbx_beamline.learning.evaluation.report import ONE

    usable = [entry for entry in store.entries() if entry.description is not None]
    found = {entry.id: store.evaluation(store.find(entry.id)) for entry in usable}
    # One that came with a model has its measures, for the gate, and no answers.
    reports = [EvaluationReport.from_json(values) for values in found.values() if values and ONE in values["views"]]
    default = store.default_id()
    reports.sort(key=lambda report: report.model_id == default)
    return [report for report in reports if report.suites == reports[-1].suites][-_MOST_FAMILIES:]


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
