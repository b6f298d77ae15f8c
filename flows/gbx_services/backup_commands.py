"""``gbx backup`` and ``gbx restore``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gbx_beamline import assemble
from gbx_beamline.cli import EXIT_REFUSED, config_option

_TILED = click.option(
    "--tiled-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration of the Tiled server, where it is not the embedded one.",
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@config_option
@_TILED
@click.option("--without-frames", is_flag=True, help="Leave out the detector files of the embedded catalog.")
@click.option("--keep", type=click.IntRange(min=1), help="Whole backups that stay in FOLDER; older ones are removed.")
def backup(
    folder: Path, config_path: Path | None, tiled_config: Path | None, without_frames: bool, keep: int | None
) -> None:
    """Copy catalog, arrays and models into a new folder below FOLDER, while they are in use.

    Files that have not changed since the last backup in FOLDER are hard-linked to it. Every file gets a checksum.

    Example: gbx backup /backup/gbx --keep 14
    """
    from gbx_services.backup import make_backup

    made = make_backup(
        assemble.configuration(config_path),
        folder,
        tiled_config=tiled_config,
        frames=not without_frames,
        keep=keep,
        told=click.echo,
    )
    click.echo(f"whole: {made.folder}")
    if made.missing:
        click.echo(f"but the catalog names files that are not on the disk: {', '.join(made.missing)}", err=True)
        click.echo("look for them in an earlier backup (docs/how-to/runbook.md, Backup)", err=True)
        sys.exit(EXIT_REFUSED)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@config_option
@_TILED
@click.option("--check", is_flag=True, help="Only compare the backup's files with their checksums.")
@click.option("--without", multiple=True, metavar="NAME", help="Part that stays as it is: models, frames, ...")
def restore(
    folder: Path, config_path: Path | None, tiled_config: Path | None, check: bool, without: tuple[str, ...]
) -> None:
    """Put a backup back: FOLDER is one of them, or a folder of several, of which the newest is taken.

    Nothing is overwritten: where something is, it refuses. Stop `gbx serve` and the Tiled server first.

    Example: gbx restore /backup/gbx --check
    """
    from gbx_services.backup import check_backup, restore_backup

    if check:
        click.echo(f"{check_backup(folder)}: every file is what it was")
        return
    config = assemble.configuration(config_path)
    done = restore_backup(config, folder, tiled_config=tiled_config, without=without, told=click.echo)
    click.echo(f"restored: the catalog as it was at {done.made}")
    if done.queue is not None:
        click.echo(f"the queue of `gbx serve` is put aside as {done.queue}; the sweep finds what is to be analysed")
