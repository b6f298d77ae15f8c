"""``gbx access``: who may do what in a catalog that several proposals share."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gbx_beamline import assemble
from gbx_beamline.cli import config_option
from gbx_beamline.errors import ConfigError

DATABASE_VARIABLE = "GBX_CATALOG_DATABASE"
"""Address of the catalog's database. It may hold a password, so it is in no configuration and on no command line."""


@click.group()
def access() -> None:
    """Who may do what in a catalog that several proposals share.

    Example: gbx access table
    """


@access.command()
def table() -> None:
    """Print what each role may do in each part of the catalog.

    Example: gbx access table
    """
    from gbx_tiled.roles import table as lines

    click.echo("\n".join(lines()))


@access.command("compile")
@click.argument("file", type=click.Path(path_type=Path))
def compile_file(file: Path) -> None:
    """Put proposals, members and services of an access file into force.

    The address of the catalog's database is taken from $GBX_CATALOG_DATABASE.

    Example: gbx access compile access.yaml
    """
    from gbx_tiled.access_file import read_access_file
    from gbx_tiled.access_setup import compile_grants

    found = read_access_file(file)
    database = os.environ.get(DATABASE_VARIABLE)
    if not database:
        raise ConfigError(
            f"no ${DATABASE_VARIABLE}",
            needed="the address of the catalog's database, as in the server's configuration",
            action="set it in the environment: postgresql://USER:PASSWORD@HOST/NAME",
        )
    compile_grants(found, database)
    services = sum(map(len, found.services.values()))
    click.echo(f"in force: {len(found.proposals)} proposals, {len(found.staff)} of the staff, {services} services")


@access.command()
@config_option
@click.option("--keys", type=click.Path(path_type=Path), required=True, help="Folder that the keys go to.")
def prepare(config_path: Path | None, keys: Path) -> None:
    """Make the shared containers of a new server, and a key for each kind of service.

    Wants an administrator's key in the environment. Prints the ids of the services for the access file; the keys go to
    files that only their owner may read.

    Example: gbx access prepare --config chx.yaml --keys /etc/gbx/keys
    """
    from gbx_tiled.access_setup import prepare_server

    config = assemble.configuration(config_path)
    uri, key = assemble.server_address(config), assemble.api_key_in_environment(config)
    if not uri or not key:
        raise ConfigError(
            f"no {'server' if not uri else 'key'}",
            needed=f"catalog.uri, and an administrator's key in ${config.catalog.api_key_env}",
            action="set both; the embedded catalog has one user and no access policy",
        )
    made = prepare_server(uri, key, keys, areas=(config.catalog.raw, config.catalog.processed, "sandbox"))
    click.echo("services:" if made else "# every service had its key already")
    for role, principal in made.items():
        click.echo(f"  {role}: [{principal}]")
