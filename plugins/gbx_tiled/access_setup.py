"""Putting an access policy to work: grants into the catalog's database, shared containers and keys into a server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiled.access_control.access_tags import AccessTagsCompiler
from tiled.client import from_uri
from tiled.server.connection_pool import close_database_connection_pool
from tiled.server.settings import DatabaseSettings

from gbx_beamline.catalog.connect import said_in_words
from gbx_beamline.errors import ConfigError, ServiceError
from gbx_tiled.access_file import SERVICES, AccessFile
from gbx_tiled.configuration import CONTAINERS
from gbx_tiled.roles import MATRIX, POLICY_SCOPES, SHELVES_TAG, Area, Right, Role, scopes_of


def compile_grants(access: AccessFile, database: str) -> None:
    """Make the catalog's database say what an access file says; servers on it follow at once.

    What the file names no more is withdrawn. Nodes keep their tags: a proposal that comes back finds its data.

    Args:
        access: The file.
        database: Address of the catalog's database, as in the server's configuration.

    Raises:
        ServiceError: the database does not answer, or is none of Tiled's.
    """
    settings = DatabaseSettings(uri=database)

    async def compiled() -> None:
        compiler = AccessTagsCompiler(POLICY_SCOPES, access.tag_definitions(), settings, _no_groups)
        try:
            compiler.load_tag_config()
            await compiler.compile()
        finally:
            await close_database_connection_pool(settings)

    try:
        asyncio.run(compiled())
    except Exception as error:  # noqa: BLE001 - whatever a driver raises
        # Not its message: drivers put the address there, and the address holds a password.
        raise ServiceError(
            f"the grants cannot be written ({type(error).__name__})",
            needed="the database of the Tiled catalog, and its password",
            action="check $GBX_CATALOG_DATABASE",
        ) from None


def prepare_server(uri: str, api_key: str, folder: Path, *, areas: Sequence[str] = tuple(Area)) -> dict[Role, str]:
    """Shared containers, and for each kind of service a principal and its key.

    Args:
        uri: Address of the Tiled server.
        api_key: An administrator's.
        folder: Where each key goes, as ``<role>.key``, readable by its owner only. A role whose file is there is
            passed over.
        areas: Paths of the containers.

    Returns:
        Ids of the principals that were made, for the access file.

    Raises:
        CatalogError: the server does not answer or refuses the key.
        ConfigError: the folder cannot be written.
    """
    with said_in_words(uri):
        root: Any = from_uri(uri, api_key=api_key, trust_env=False)
        try:
            for path in areas:
                _shelf(root, path.strip("/").split("/"))
            return {role: _service(root, role, folder) for role in SERVICES if not _key_file(folder, role).exists()}
        finally:
            root.context.close()


def _shelf(root: Any, keys: Sequence[str]) -> None:
    node = root
    for key in keys:
        if key not in node:
            node.create_container(key, specs=CONTAINERS.get(key, []), access_tags=[SHELVES_TAG])
        node = node[key]


def _service(root: Any, role: Role, folder: Path) -> str:
    # Tiled's role "user" may not register files. The key bounds what an administrator's principal may do with it.
    registers = any(Right.REGISTER in rights for rights in MATRIX[role].values())
    principal = root.context.admin.create_service_principal("admin" if registers else "user")["uuid"]
    made = root.context.admin.create_api_key(principal, scopes=sorted(scopes_of(role)), note=f"GBX {role}")
    path = _key_file(folder, role)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{made['secret']}\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", needed="a folder for keys", action="give another one with --keys"
        ) from error
    return principal


def _key_file(folder: Path, role: Role) -> Path:
    return folder / f"{role}.key"


def _no_groups(name: str) -> list[str]:
    raise KeyError(name)
