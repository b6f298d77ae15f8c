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

ring_option = click.option(
    "--ring", "rings", multiple=True, metavar="LOW:HIGH", help="A |q| ring, 1/Angstrom; may be repeated."
)

box_option = click.option(
    "--box",
    "boxes",
    multiple=True,
    nargs=2,
    metavar="PAR_LOW:PAR_HIGH Z_LOW:Z_HIGH",
    help="A GISAXS box in q_par and q_z, 1/Angstrom; may be repeated.",
)
