"""A Tiled server that two proposals share: real authentication, our policy, our keys."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

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

    @property
    def database(self) -> str:
        return f"sqlite:///{self.directory / 'catalog.db'}"


@contextmanager
def shared_server(directory: Path) -> Iterator[SharedServer]:
    """Start it, with shelves, services and the two proposals: anna's and ben's."""
    for name in ("arrays", "frames"):
        (directory / name).mkdir(parents=True)
    passwords = {name: secrets.token_hex(8) for name in PEOPLE}
    port = _free_port()
    uri, log = f"http://127.0.0.1:{port}", directory / "server.log"
    configuration = _configuration(directory, port)
    (directory / "server.yml").write_text(yaml.safe_dump(configuration))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TILED_")}
    environment |= {f"PASSWORD_{name.upper()}": word for name, word in passwords.items()}
    environment |= {"TILED_SECRET": secrets.token_hex(32), "GBX_DATA_ROOTS": str(directory / "frames")}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "gbx_tiled.attached", "-", "tiled", "serve", "config"]
        process = subprocess.Popen(
            [*command, str(directory / "server.yml")],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
        )
    try:
        _await(process, uri, log)
        tokens = {name: _log_in(uri, name, word) for name, word in passwords.items()}
        yield _furnished(uri, directory, log, tokens)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()


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


def _furnished(uri: str, directory: Path, log: Path, tokens: dict[str, str]) -> SharedServer:
    with httpx.Client(base_url=f"{uri}/api/v1", headers={"Authorization": tokens["boss"]}, trust_env=False) as boss:
        answer = boss.post("/auth/apikey", json={"scopes": ["inherit"], "expires_in": 3600}).raise_for_status()
        admin_key = answer.json()["secret"]
    database = f"sqlite:///{directory / 'catalog.db'}"
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
    return SharedServer(uri, directory, log, access, tokens | keys)


def _log_in(uri: str, name: str, word: str) -> str:
    form = {"username": name, "password": word}
    answer = httpx.post(f"{uri}/api/v1/auth/provider/{PROVIDER}/token", data=form, trust_env=False, timeout=60)
    return f"Bearer {answer.raise_for_status().json()['access_token']}"


def _await(process: subprocess.Popen[bytes], uri: str, log: Path) -> None:
    deadline = time.monotonic() + 400
    while True:
        try:
            httpx.get(f"{uri}/api/v1/", trust_env=False, timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
