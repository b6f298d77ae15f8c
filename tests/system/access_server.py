"""A Tiled server that two proposals share: real authentication, our policy, our keys.

Embedded: SQLite, passwords. Deployed: ``deploy/tiled-proposals.yml`` as it is: PostgreSQL, Redis, a login provider.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from login_provider import login_provider
from own_services import (
    deployed_environment,
    new_databases,
    postgres_server,
    redis_server,
    tiled_server,
    unit_command,
)

from gbx_services.prefect_service import free_port
from gbx_tiled.access_file import AccessFile
from gbx_tiled.access_setup import compile_grants, prepare_server
from gbx_tiled.configuration import access_control, server_configuration
from gbx_tiled.roles import SHELVES_TAG, Area

PROVIDER = "facility"
OWN, OTHER = "pass-100001", "pass-100002"
PEOPLE = ("anna", "ben", "dora", "nobody", "boss")
AREAS = tuple(Area)


@dataclass
class SharedServer:
    """What tests need of it."""

    uri: str
    directory: Path
    log: Path
    database: str
    """Address of the catalog's database."""
    access: AccessFile
    tokens: dict[str, str] = field(repr=False)
    """``Authorization`` headers: people by name, services by role."""

    def client(self, who: str | None) -> httpx.Client:
        headers = {} if who is None else {"Authorization": self.tokens[who]}
        # On a loaded machine the server closes connections that rest, just when they are used again.
        fresh = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(base_url=f"{self.uri}/api/v1", headers=headers, timeout=120, limits=fresh, trust_env=False)

    def key(self, who: str) -> str:
        """A key: a service's own, or one that a person makes for a day."""
        if self.tokens[who].startswith("Apikey "):
            return self.tokens[who].removeprefix("Apikey ")
        with self.client(who) as client:
            answer = client.post("/auth/apikey", json={"scopes": ["inherit"], "expires_in": 86400})
            return answer.raise_for_status().json()["secret"]


@contextmanager
def shared_server(directory: Path) -> Iterator[SharedServer]:
    """The embedded one, with shelves, services and the two proposals: anna's and ben's."""
    for name in ("arrays", "frames"):
        (directory / name).mkdir(parents=True)
    passwords = {name: secrets.token_hex(8) for name in PEOPLE}
    port = free_port()
    (directory / "server.yml").write_text(yaml.safe_dump(_configuration(directory, port)))
    environment = {f"PASSWORD_{name.upper()}": word for name, word in passwords.items()}
    environment |= {"TILED_SECRET": secrets.token_hex(32), "GBX_DATA_ROOTS": str(directory / "frames")}
    command = ["tiled", "serve", "config", str(directory / "server.yml")]
    with tiled_server(command, directory, port, environment) as (uri, log):
        tokens = {name: _log_in(uri, name, word) for name, word in passwords.items()}
        yield _furnished(uri, directory, log, tokens, f"sqlite:///{directory / 'catalog.db'}")


@contextmanager
def deployed_server(directory: Path, deploy: Path) -> Iterator[SharedServer]:
    """The same of ``deploy/tiled-proposals.yml``, started as its unit starts it. Skips where a service is absent."""
    with postgres_server() as postgres, redis_server(directory) as stream, login_provider() as logins:
        new_databases(postgres, "gbx_tiled", "gbx_tables", "gbx_logins")
        port = free_port()
        environment = deployed_environment(directory, postgres, stream) | {
            "TILED_CONFIG": str(deploy / "tiled-proposals.yml"),
            "GBX_TILED_LOGINS_URI": f"postgresql+asyncpg://{postgres}/gbx_logins",
            "GBX_TILED_ADMIN": "boss",
            "GBX_TILED_SECRET": secrets.token_hex(32),
            "GBX_OIDC_AUDIENCE": logins.audience,
            "GBX_OIDC_CLIENT_ID": logins.client_id,
            "GBX_OIDC_CLIENT_SECRET": logins.client_secret,
            "GBX_OIDC_WELL_KNOWN_URI": logins.well_known,
        }
        with tiled_server(unit_command(deploy, port), directory, port, environment) as (uri, log):
            tokens = {name: _come_back(uri, logins.code_of(name)) for name in PEOPLE}
            yield _furnished(uri, directory, log, tokens, environment["GBX_TILED_CATALOG_URI"])


KINDS: Mapping[str, Callable[[Path, Path], AbstractContextManager[SharedServer]]] = {
    "embedded": lambda directory, _: shared_server(directory),
    "deployed": deployed_server,
}
"""Servers by name; each takes a folder of its own and that of the deployment."""


def _configuration(directory: Path, port: int) -> dict[str, Any]:
    configuration = server_configuration(directory, port=port)
    configuration["catalog"]["top_level_access_tags"] = [SHELVES_TAG]
    words = {name: f"${{PASSWORD_{name.upper()}}}" for name in PEOPLE}
    return configuration | {
        "authentication": {
            "providers": [
                {
                    "provider": PROVIDER,
                    "authenticator": "tiled.authenticators:DictionaryAuthenticator",
                    "args": {"users_to_passwords": words},
                }
            ],
            "tiled_admins": [{"provider": PROVIDER, "id": "boss"}],
            "secret_keys": ["${TILED_SECRET}"],
            "allow_anonymous_access": False,
        },
        "database": {"uri": f"sqlite:///{directory / 'authn.db'}", "init_if_not_exists": True},
        "access_control": access_control(PROVIDER),
    }


def _furnished(uri: str, directory: Path, log: Path, tokens: dict[str, str], database: str) -> SharedServer:
    with httpx.Client(base_url=f"{uri}/api/v1", headers={"Authorization": tokens["boss"]}, trust_env=False) as boss:
        answer = boss.post("/auth/apikey", json={"scopes": ["inherit"], "expires_in": 3600}).raise_for_status()
        admin_key = answer.json()["secret"]
    # Its tags must be there before anything can carry them.
    compile_grants(AccessFile(), database)
    made = prepare_server(uri, admin_key, directory / "keys", areas=AREAS)
    access = AccessFile(
        proposals={OWN: ["anna"], OTHER: ["ben"]},
        staff=["dora"],
        services={role: [principal] for role, principal in made.items()},
    )
    compile_grants(access, database)
    keys = {role: f"Apikey {(directory / 'keys' / f'{role}.key').read_text().strip()}" for role in made}
    return SharedServer(uri, directory, log, database, access, tokens | keys)


def _log_in(uri: str, name: str, word: str) -> str:
    form = {"username": name, "password": word}
    answer = httpx.post(f"{uri}/api/v1/auth/provider/{PROVIDER}/token", data=form, trust_env=False, timeout=60)
    return f"Bearer {answer.raise_for_status().json()['access_token']}"


def _come_back(uri: str, code: str) -> str:
    """What a person's browser does when the login provider sends it back."""
    answer = httpx.get(
        f"{uri}/api/v1/auth/provider/{PROVIDER}/code", params={"code": code}, trust_env=False, timeout=60
    )
    return f"Bearer {answer.raise_for_status().json()['access_token']}"
