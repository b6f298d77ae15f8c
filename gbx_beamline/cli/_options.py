"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from gbx_beamline import assemble

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"YAML configuration; default: the file named by ${assemble.CONFIG_VARIABLE}, else built-in defaults.",
)
