"""``gbx evaluate``: what models are worth, on virtual experiments whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from gbx_beamline import assemble
from gbx_beamline.cli._files import check_place
from gbx_beamline.cli._going_on import how_to_go_on
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._progress import shown

if TYPE_CHECKING:
    from gbx_beamline.learning.evaluation_job import Judged

_FILE_WIDTH = 200


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@config_option
@click.option("--suite", "suites", multiple=True, help="Only this suite; may be repeated; default: all that there are.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the figures and of the numbers in them (CSV); made when absent.",
)
@click.option("--overwrite", is_flag=True, help="Replace figures and numbers that are there.")
@click.option(
    "--again", is_flag=True, help="Ask the models again where an evaluation on these suites is kept; it is replaced."
)
@click.option(
    "--finetuned",
    is_flag=True,
    help="Judge adapted models of the paper's family once more, each fine-tuned to the scans of one sample at a time.",
)
@click.option(
    "--bounds/--no-bounds", default=True, show_default=True, help="Compute what could be known at all (Cramér-Rao)."
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
def evaluate(
    models: tuple[str, ...],
    config_path: Path | None,
    suites: tuple[str, ...],
    folder: Path | None,
    overwrite: bool,
    again: bool,
    finetuned: bool,
    bounds: bool,
    workers: int,
) -> None:
    """Judge models (MODEL: alias, id or folder) side by side on virtual experiments: truth, calibration, flags.

    The experiments are simulated photon by photon, once, and kept. What is found of a model is kept too: the gate of
    `gbx models promote` compares it. Interrupted, the suites go on where they stopped.

    Example: gbx evaluate default candidate --out evaluation
    """
    from gbx_beamline.learning.evaluation_job import evaluate_finetuned, evaluate_model, prepare_suites
    from gbx_beamline.learning.store import ModelStore

    config = assemble.configuration(config_path)
    store = ModelStore(config.models)
    found = [store.find(name) for name in models]
    if folder is not None and not overwrite:
        # Before the work: an evaluation of an hour must not end in a refusal.
        check_place(folder / "families.png", overwrite)
    with shown() as told, how_to_go_on():
        prepared = prepare_suites(config, suites, told, workers=workers)
        judged: list[Judged] = []
        for model in found:
            judged.append(evaluate_model(store, model, prepared, told, again=again, bounds=bounds, workers=workers))
            if finetuned:
                tuned = evaluate_finetuned(config, model, prepared, told, bounds=bounds, workers=workers)
                judged += [] if tuned is None else [tuned]
    from gbx_beamline.learning.evaluation import evaluation_tables

    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_FILE_WIDTH, console.width))
    for table in evaluation_tables([one.report for one in judged]):
        console.print(table)
    for one in judged:
        if one.kept is not None:
            kept = f"kept in {one.kept}"
        elif one.report.model_id == one.model.id:
            kept = "an earlier evaluation on the same suites"
        else:
            kept = "not kept"
        click.echo(f"{one.report.model_id}: {kept}")
    if folder is not None:
        from gbx_beamline.figures.evaluation import save_evaluation_figures

        for path in save_evaluation_figures([one.report for one in judged], folder, overwrite=overwrite):
            click.echo(path)
