"""``gbx sample``: what the catalog keeps of a sample, with its history."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline import assemble, pipeline
from gbx_beamline.cli._options import box_option, config_option, ring_option
from gbx_beamline.cli._regions import rois_given
from gbx_beamline.cli._runs import analyze_in, opened
from gbx_beamline.config import GeometryConfig, RoiConfig
from gbx_beamline.errors import ConfigError, InputError

if TYPE_CHECKING:
    from gbx_beamline.catalog import SampleVersion
    from gbx_beamline.samples import Change

_FILE_WIDTH = 160

_FORGETTABLE = click.Choice(["geometry", "rois", "mask"])


@click.group()
def sample() -> None:
    """Mask, q-ROIs and geometry of a sample, kept in the catalog with their history.

    They take the place of the configuration's in every analysis that begins afterwards: at the end of a run, in
    `gbx analyze UID` and in `gbx reprocess`. What comes later wins: detector file, `analysis`, `samples` of the
    configuration, this, a selection rule, q-ROIs of the command line.

    Example: gbx sample show nanocrystalline-Si
    """


@sample.command()
@click.argument("name")
@click.option("--version", "number", type=click.IntRange(min=1), help="An earlier version; default: what holds now.")
@config_option
def show(name: str, number: int | None, config_path: Path | None) -> None:
    """Print what is kept of a sample.

    Example: gbx sample show nanocrystalline-Si --version 2
    """
    from gbx_beamline.catalog import latest_version, version_of
    from gbx_beamline.samples import in_words

    with opened(assemble.configuration(config_path)) as catalog:
        version = latest_version(catalog, name) if number is None else version_of(catalog, name, number)
    if version is None:
        click.echo(f"Nothing is kept of {name!r}: the configuration holds. `gbx sample set` begins a history.")
        return
    click.echo(f"{name}, version {version.number}: {version.who}, {_time(version)}: {version.why}")
    for what, said in in_words(version.settings).items():
        click.echo(f"  {what}: {said}")


@sample.command()
@click.argument("name")
@config_option
def history(name: str, config_path: Path | None) -> None:
    """List all versions of a sample: when, who, why, and what changed.

    Example: gbx sample history nanocrystalline-Si
    """
    from gbx_beamline.catalog import known_samples, sample_versions
    from gbx_beamline.samples import differences

    with opened(assemble.configuration(config_path)) as catalog:
        versions = sample_versions(catalog, name)
        others = [] if versions else known_samples(catalog)
    if not versions:
        known = f"; there is something of {', '.join(others)}" if others else ""
        click.echo(f"Nothing is kept of {name!r}{known}.")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_FILE_WIDTH, console.width))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("version", "when", "who", "why", "changed"):
        table.add_column(column, overflow="fold", justify="right" if column == "version" else "left")
    before = None
    for version in versions:
        changed = "\n".join(differences(before, version.settings)) or "nothing against the one before"
        cells = (str(version.number), _time(version), version.who, version.why, changed)
        table.add_row(*(Text(cell) for cell in cells))
        before = version.settings
    console.print(table)


@sample.command("set")
@click.argument("name")
@click.option("--why", required=True, help="The reason, for the history.")
@click.option("--who", help="Who makes the change; default: $GBX_USER, else the account.")
@click.option("--mask", type=click.Path(path_type=Path, dir_okay=False), help=".npy or .npz, (y, x).")
@click.option("--true-means", type=click.Choice(["good", "bad"]), default="good", show_default=True)
@click.option("--labels", type=click.Path(path_type=Path, dir_okay=False), help="Label image as q-ROIs, 0 = outside.")
@ring_option
@box_option
@click.option("--beam-center", nargs=2, type=float, metavar="X Y", help="Pixels.")
@click.option("--incidence", type=float, help="Angle of incidence, degrees.")
@click.option("--tilt", type=float, help="Of the sample's horizon, degrees.")
@click.option("--geometry", "more", multiple=True, metavar="KEY=VALUE", help="Another key of analysis.geometry.")
@click.option("--forget", multiple=True, type=_FORGETTABLE, help="Leave a part to the configuration again.")
@click.option("--like", type=click.IntRange(min=1), help="Begin with this version instead of the latest.")
@click.option("--analyze", "uid", help="Then analyse this run; its older results stay.")
@config_option
def set_sample(
    name: str,
    why: str,
    who: str | None,
    mask: Path | None,
    true_means: str,
    labels: Path | None,
    rings: tuple[str, ...],
    boxes: tuple[tuple[str, str], ...],
    beam_center: tuple[float, float] | None,
    incidence: float | None,
    tilt: float | None,
    more: tuple[str, ...],
    forget: tuple[str, ...],
    like: int | None,
    uid: str | None,
    config_path: Path | None,
) -> None:
    """Make a new version of what is kept of a sample; earlier ones stay.

    What is not named stays as it is. Older results stay, too: `gbx reprocess --sample NAME` makes new ones beside them.

    Example: gbx sample set nanocrystalline-Si --mask mask.npy --why "beam stop moved" --analyze 1a2b3c4d
    """
    from gbx_beamline.samples import change_sample, differences, who_asks

    x, y = beam_center or (None, None)
    known = {"beam_center_x": x, "beam_center_y": y, "incidence_deg": incidence, "tilt_deg": tilt}
    change = _change(mask, true_means, labels, rois_given(rings, boxes), _geometry(known, more), forget)
    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        from gbx_beamline.catalog import sample_versions

        if uid is not None:
            _check_run(catalog.run(uid).metadata["start"], name)
        version = change_sample(catalog, name, change, who=who_asks(who), why=why, like=like)
        earlier = sample_versions(catalog, name)[: version.number - 1]
        before = earlier[-1].settings if earlier else None
        click.echo(f"version {version.number} of {name} holds from now on:")
        for line in differences(before, version.settings):
            click.echo(f"  {line}")
        if uid is not None:
            analyze_in(catalog, uid, config)
            return
    click.echo(f"next: gbx reprocess --sample {name!r} analyses its scans anew, or gbx analyze UID one of them")


def _change(
    mask: Path | None,
    true_means: Any,
    labels: Path | None,
    rois: RoiConfig | None,
    geometry: GeometryConfig | None,
    forget: tuple[Any, ...],
) -> Change:
    from gbx_beamline.frames.numpy_files import read_array
    from gbx_beamline.samples import Change

    if labels is not None and rois is not None:
        raise ConfigError("--labels and rings or boxes", needed="q-ROIs of one kind", action="leave one kind out")
    return Change(
        geometry=geometry,
        rois=rois,
        labels=None if labels is None else read_array(labels, key="labels", what="label image"),
        mask=None if mask is None else read_array(mask, key="mask", what="mask"),
        true_means=true_means,
        forget=forget,
    )


def _geometry(known: dict[str, float | None], more: tuple[str, ...]) -> GeometryConfig | None:
    """What the options say of the geometry; None where they say nothing."""
    stated: dict[str, Any] = {key: value for key, value in known.items() if value is not None}
    for item in more:
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(
                f"--geometry {item}", needed="KEY=VALUE", action="write it like --geometry distance_m=10.1"
            )
        # pydantic makes numbers and booleans of words, and refuses what are none.
        stated[key.strip()] = value.strip()
    if not stated:
        return None
    try:
        return GeometryConfig.model_validate(stated)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(
            f"geometry {said}",
            needed=f"keys {', '.join(GeometryConfig.model_fields)} with values that can be",
            action="correct the option",
        ) from error


def _check_run(start: dict[str, Any], name: str) -> None:
    """A version is made only where the run that is to show it is of this sample."""
    scan = pipeline.describe_start(start, source="catalog")
    if scan.sample != name:
        raise InputError(
            f"run {scan.run_uid[:8]} is of sample {scan.sample!r}",
            needed=f"a run of {name!r}",
            action="name another run, or the other sample",
        )


def _time(version: SampleVersion) -> str:
    return f"{datetime.fromtimestamp(version.when).astimezone():%Y-%m-%d %H:%M %Z}"
