"""``gbx train``, ``gbx adapt`` and ``gbx finetune``: models in a folder, from simulations and from experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbx_beamline import assemble, grouping
from gbx_beamline.cli._going_on import how_to_go_on
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._progress import leads, shown
from gbx_beamline.config import Config

if TYPE_CHECKING:
    from gbx_beamline.learning.jobs import Family
    from gbx_beamline.learning.store import ModelStore, StoredModel

_Command = Callable[..., Any]

_out_option = click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the checkpoint and of the model in the end; one that was interrupted is gone on with.",
)
_device_option = click.option("--device", help="As torch names it (cpu, cuda, cuda:1); default: as configured (auto).")
_candidate_option = click.option(
    "--candidate", "as_candidate", is_flag=True, help="Copy the model into the store in the end, as the candidate."
)


def _experiments_options(command: _Command) -> _Command:
    """Where unlabelled scans come from."""
    options = (
        click.option("--sample", "samples", multiple=True, help="Analysed scans of this sample; may be repeated."),
        click.option("--run", "runs", multiple=True, metavar="UID", help="This analysed run; may be repeated."),
        click.option("--suite", help="Virtual experiments in their place: a suite of the package, e.g. calibration."),
        click.option(
            "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that make the suite."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_out_option
@config_option
@click.option(
    "--family",
    type=click.Choice(["gbx", "paper"]),
    default="gbx",
    show_default=True,
    help="gbx: posteriors, on fresh simulations of measurements. paper: the paper's network on its ensemble.",
)
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that simulate; default: as configured (one per core)."
)
@_device_option
@click.option(
    "--calibrate/--no-calibrate",
    default=True,
    show_default=True,
    help="gbx: fit intervals to photon-level scans in the end; these are made once, in some minutes, and kept.",
)
@_candidate_option
def train(
    folder: Path,
    config_path: Path | None,
    family: Family,
    workers: int | None,
    device: str | None,
    calibrate: bool,
    as_candidate: bool,
) -> None:
    """Train a model on simulations alone.

    Interrupted by Ctrl-C or by anything else, it goes on from its last checkpoint when it is started again, and ends
    with the same model. On several GPUs: torchrun --nproc-per-node 4 --no-python gbx train ...

    Example: gbx train --config configs/training.yaml --out training
    """
    from gbx_beamline.learning.jobs import train_model

    config = assemble.configuration(config_path)
    with shown() as told, how_to_go_on():
        model = train_model(config, folder, told, family=family, workers=workers, device=device, calibrate=calibrate)
    _say_next(_store(config), model, as_candidate)


@click.command()
@click.argument("model")
@_out_option
@config_option
@_experiments_options
@_device_option
@_candidate_option
def adapt(
    model: str,
    folder: Path,
    config_path: Path | None,
    samples: tuple[str, ...],
    runs: tuple[str, ...],
    suite: str | None,
    workers: int,
    device: str | None,
    as_candidate: bool,
) -> None:
    """Adapt a vanilla MODEL of the paper's family to unlabelled experiments, as the paper does (Eq. 13-15).

    Kept for comparison: it makes the model agree with the measured S_noneq, and can move its answers away from the
    truth. `gbx evaluate` shows both.

    Example: gbx adapt training/paper-vanilla-0123456789 --sample silicon --out adaptation
    """
    from gbx_beamline.learning.jobs import adapt_model

    config = assemble.configuration(config_path)
    store = _store(config)
    parent = store.find(model)
    wanted: dict[str, Any] = {"samples": samples, "runs": runs, "suite": suite, "workers": workers}
    with shown() as told, how_to_go_on(), grouping.experimental_scans(config, **wanted, told=told) as scans:
        adapted = adapt_model(config, parent, scans, folder, told, device=device)
    _say_next(store, adapted, as_candidate)


@click.command()
@click.argument("model")
@_out_option
@config_option
@_experiments_options
def finetune(
    model: str,
    folder: Path,
    config_path: Path | None,
    samples: tuple[str, ...],
    runs: tuple[str, ...],
    suite: str | None,
    workers: int,
) -> None:
    """Fine-tune an adapted MODEL of the paper's family to each sample by itself, on S_noneq alone (Eq. 14).

    Leaves a model for each group of scans. Off by default everywhere else: see `gbx adapt --help` for the reason.

    Example: gbx finetune adaptation/paper-adapted-bare-0123456789 --sample silicon --out finetuned
    """
    from gbx_beamline.learning.jobs import finetune_models

    config = assemble.configuration(config_path)
    store = _store(config)
    parent = store.find(model)
    wanted: dict[str, Any] = {"samples": samples, "runs": runs, "suite": suite, "workers": workers}
    with shown() as told, how_to_go_on(), grouping.experimental_scans(config, **wanted, told=told) as scans:
        found = finetune_models(config, parent, scans, folder, told)
    for group, tuned in found.items():
        click.echo(f"{group}: {tuned.folder}")
    click.echo(f"next: gbx evaluate {next(iter(found.values())).folder}")


def _store(config: Config) -> ModelStore:
    from gbx_beamline.learning.store import ModelStore

    return ModelStore(config.models)


def _say_next(store: ModelStore, model: StoredModel, as_candidate: bool) -> None:
    if not leads():
        return
    click.echo(f"model {model.folder}")
    name = str(model.folder)
    if as_candidate:
        store.name_candidate(model.folder, why="trained with --candidate")
        click.echo(f"{model.id} is candidate")
        name = "candidate"
    click.echo(f"next: gbx evaluate {name}, then gbx models promote {name}")
