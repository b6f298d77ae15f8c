"""Who may do what over HTTP: each role, proposal, area and action is tried, and compared with the table in force."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from access_server import KINDS, OTHER, OWN, SharedServer
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_websocket

from gbx_beamline.catalog.access import SHARED_TAG, UNASSIGNED_TAG
from gbx_tiled.roles import MATRIX, SHELF_SCOPES, SHELVES_TAG, Area, Right, Role

pytestmark = pytest.mark.slow

TAGS = (OWN, OTHER, UNASSIGNED_TAG, SHARED_TAG)
NUMBERS = np.arange(6, dtype=np.float64).reshape(2, 3)
HIDDEN = (401, 403, 404)
"""Answers that tell nothing of a node."""


@dataclass(frozen=True)
class Who:
    """A principal of the matrix."""

    name: str | None
    role: Role | None
    """None has no rights at all."""
    proposals: tuple[str, ...] = ()
    """Those it belongs to."""

    def may(self, right: Right, tag: str, area: Area) -> bool:
        """What the table says."""
        if self.role is None or right not in MATRIX[self.role][area]:
            return False
        # Of what is everybody's, users may change nothing.
        return tag in self.proposals or (self.role is Role.USER and tag == SHARED_TAG and right is Right.READ)


WHO = (
    Who("anna", Role.USER, (OWN,)),
    Who("dora", Role.STAFF, TAGS),
    Who(Role.ACQUISITION, Role.ACQUISITION, TAGS),
    Who(Role.WORKER, Role.WORKER, TAGS),
    Who(Role.VIEWER, Role.VIEWER, TAGS),
    Who("nobody", None),
    Who(None, None),
)


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> Iterator[SharedServer]:
    with KINDS[request.param](tmp_path_factory.mktemp("shared") / "catalog", repository / "deploy") as running:
        boss = running.client("boss")
        for area, tag in itertools.product(Area, TAGS):
            furnish(boss, area, f"kept-{tag}", tag)
        boss.close()
        yield running


@pytest.fixture(scope="module")
def boss(server: SharedServer) -> Iterator[httpx.Client]:
    with server.client("boss") as client:
        yield client


def container(key: str, tag: str | None) -> dict[str, Any]:
    tags = {} if tag is None else {"access_tags": [tag]}
    return {"id": key, "structure_family": "container", "metadata": {"secret": key}, "data_sources": [], **tags}


def array(key: str, tag: str) -> dict[str, Any]:
    structure = {
        "data_type": {"endianness": "little", "kind": "f", "itemsize": 8},
        "chunks": [[2], [3]],
        "shape": [2, 3],
        "dims": None,
        "resizable": False,
    }
    source = {"structure_family": "array", "structure": structure, "management": "writable", "assets": []}
    return container(key, tag) | {"structure_family": "array", "data_sources": [source]}


def furnish(client: httpx.Client, area: str, key: str, tag: str) -> str:
    """A container with an array of numbers in it; its path."""
    client.post(f"/metadata/{area}", json=container(key, tag)).raise_for_status()
    client.post(f"/metadata/{area}/{key}", json=array("numbers", tag)).raise_for_status()
    put_numbers(client, f"{area}/{key}/numbers").raise_for_status()
    return f"{area}/{key}"


def put_numbers(client: httpx.Client, path: str) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream"}
    return client.put(f"/array/full/{path}", content=NUMBERS.tobytes(), headers=headers)


def keys(answer: httpx.Response) -> list[str]:
    return [item["id"] for item in answer.json()["data"]] if answer.status_code == 200 else []


def subscribed(server: SharedServer, who: Who, path: str) -> bool:
    """Whether a subscription is taken on."""
    headers = {} if who.name is None else {"Authorization": server.tokens[who.name]}
    address = f"ws{server.uri.removeprefix('http')}/api/v1/stream/single/{path}?envelope_format=json"
    if headers.get("Authorization", "").startswith("Bearer "):
        address += f"&access_token={headers.pop('Authorization').removeprefix('Bearer ')}"
    try:
        with connect_websocket(address, additional_headers=headers, proxy=None, open_timeout=30) as socket:
            if who.name is None:
                socket.send(json.dumps({"type": "auth", "api_key": "00" * 36}))
                socket.recv(timeout=30)
            return True
    except InvalidStatus:
        return False
    except Exception as error:
        if "4003" in str(error):  # refused after the greeting
            return False
        raise


@pytest.mark.parametrize("area", Area)
@pytest.mark.parametrize("who", WHO, ids=lambda who: str(who.name))
class TestCells:
    """Each cell of the table for one role and area, in nodes of each proposal."""

    def test_read(self, server: SharedServer, who: Who, area: Area) -> None:
        with server.client(who.name) as client:
            for tag in TAGS:
                may, path = who.may(Right.READ, tag, area), f"{area}/kept-{tag}"
                tried: dict[str, Callable[[], bool]] = {
                    "listed": lambda path=path: path.split("/")[1] in keys(client.get(f"/search/{area}")),
                    "found": lambda tag=tag: (
                        keys(
                            client.get(
                                f"/search/{area}",
                                params={
                                    "filter[eq][condition][key]": "secret",
                                    "filter[eq][condition][value]": f'"kept-{tag}"',
                                },
                            )
                        )
                        == [f"kept-{tag}"]
                    ),
                    "deep": lambda tag=tag: f"kept-{tag}" in client.get("/search-deep/").text,
                    "distinct": lambda tag=tag: (
                        f"kept-{tag}" in client.get(f"/distinct/{area}", params={"metadata": "secret"}).text
                    ),
                    "metadata": lambda path=path: client.get(f"/metadata/{path}").status_code == 200,
                    "array": lambda path=path: (
                        client.get(f"/array/full/{path}/numbers", params={"format": "application/octet-stream"}).content
                        == NUMBERS.tobytes()
                    ),
                    "block": lambda path=path: (
                        client.get(f"/array/block/{path}/numbers", params={"block": "0,0"}).status_code == 200
                    ),
                    "revisions": lambda path=path: client.get(f"/revisions/{path}").status_code == 200,
                    "subscribed": lambda path=path: subscribed(server, who, f"{path}/numbers"),
                }
                assert {name: check() for name, check in tried.items()} == dict.fromkeys(tried, may), (who, path)

    def test_write(self, server: SharedServer, boss: httpx.Client, who: Who, area: Area) -> None:
        with server.client(who.name) as client:
            for tag in TAGS:
                may = who.may(Right.WRITE, tag, area)
                key = f"new-{who.name}-{tag}"
                made = client.post(f"/metadata/{area}", json=container(key, tag))
                inside = client.post(f"/metadata/{area}/kept-{tag}", json=container(key, tag))
                filled = put_numbers(client, f"{area}/kept-{tag}/numbers")
                changed = patch(client, f"{area}/kept-{tag}", metadata={"by": who.name}, access_tags=[tag])
                codes = [answer.status_code for answer in (made, inside, filled, changed)]
                assert all(code == 200 for code in codes) if may else all(code in HIDDEN for code in codes), (
                    codes,
                    [answer.text for answer in (made, inside, filled, changed)],
                )
                there = boss.get(f"/metadata/{area}/{key}").status_code == 200
                assert there is may
                if there:
                    assert boss.get(f"/metadata/{area}/{key}").json()["data"]["attributes"]["access_tags"] == [tag]
                    delete(boss, f"{area}/{key}")
                    delete(boss, f"{area}/kept-{tag}/{key}")

    def test_delete(self, server: SharedServer, boss: httpx.Client, who: Who, area: Area) -> None:
        with server.client(who.name) as client:
            for tag in TAGS:
                may = who.may(Right.DELETE, tag, area)
                path = furnish(boss, area, f"victim-{who.name}-{tag}", tag)
                code = delete(client, path).status_code
                assert code == 200 if may else code in HIDDEN, (who, path, code)
                assert (boss.get(f"/metadata/{path}").status_code == 404) is may
                if not may:
                    delete(boss, path)

    def test_nobody_moves_a_node_to_another_proposal_than_their_own(
        self, server: SharedServer, boss: httpx.Client, who: Who, area: Area
    ) -> None:
        with server.client(who.name) as client:
            path = furnish(boss, area, f"retagged-{who.name}", OWN)
            for tag in (OTHER, "public", f"area:{Area.SANDBOX}", "user:ben"):
                code = patch(client, path, access_tags=[tag]).status_code
                may = who.may(Right.WRITE, OWN, area) and tag in who.proposals
                assert code == 200 if may else code in HIDDEN, (who, path, tag, code)
                if may:
                    patch(boss, path, access_tags=[OWN]).raise_for_status()
            delete(boss, path)

    def test_register(self, server: SharedServer, boss: httpx.Client, who: Who, area: Area) -> None:
        file = server.directory / "frames" / "numbers.npy"
        np.save(file, NUMBERS)
        with server.client(who.name) as client:
            for tag in TAGS:
                may = who.may(Right.REGISTER, tag, area)
                key = f"registered-{who.name}-{tag}"
                body = array(key, tag)
                asset = {
                    "data_uri": f"file://localhost{file}",
                    "is_directory": False,
                    "parameter": "data_uris",
                    "num": 0,
                }
                body["data_sources"][0] |= {
                    "management": "external",
                    "mimetype": "application/x-npy",
                    "assets": [asset],
                }
                for route in ("register", "metadata"):
                    answer = client.post(f"/{route}/{area}/kept-{tag}", json=body)
                    expected = may if route == "register" else False
                    ok = answer.status_code == 200
                    assert ok is expected, (who, area, tag, route, answer.status_code, answer.text)
                if may:
                    delete(boss, f"{area}/kept-{tag}/{key}")


def patch(client: httpx.Client, path: str, **changed: Any) -> httpx.Response:
    body = {"content-type": "application/merge-patch+json", "specs": None, **changed}
    return client.patch(f"/metadata/{path}", json=body)


def delete(client: httpx.Client, path: str) -> httpx.Response:
    return client.delete(f"/metadata/{path}", params={"recursive": True, "external_only": False})


@pytest.mark.parametrize("who", WHO, ids=lambda who: str(who.name))
def test_shared_containers_stand_and_tell_nothing(server: SharedServer, who: Who) -> None:
    scopes = frozenset() if who.role is None else SHELF_SCOPES[who.role]
    with server.client(who.name) as client:
        for area in Area:
            readable = who.role is not None and bool(MATRIX[who.role][area])
            assert (client.get(f"/metadata/{area}").status_code == 200) is readable
            # Whoever subscribes to a container hears of everything that is made in it.
            hears = readable and "read:data" in scopes
            assert subscribed(server, who, str(area)) is hears
            if not hears:
                assert "kept-" not in client.get(f"/container/full/{area}", params={"format": "json"}).text
            assert delete(client, str(area)).status_code in HIDDEN
            assert patch(client, str(area), access_tags=["public"]).status_code in HIDDEN
        assert client.post("/metadata/", json=container("elsewhere", SHELVES_TAG)).status_code in HIDDEN


@pytest.mark.parametrize("who", [who for who in WHO if who.name], ids=lambda who: str(who.name))
def test_no_key_makes_a_stronger_one(server: SharedServer, who: Who) -> None:
    with server.client(who.name) as client:
        for body in ({"scopes": ["admin:apikeys"]}, {"scopes": ["inherit", "write:principals"]}):
            assert client.post("/auth/apikey", json=body | {"expires_in": 60}).status_code in HIDDEN
        assert client.get("/auth/principal").status_code in HIDDEN
        assert client.get("/metrics").status_code in HIDDEN


def test_who_leaves_a_proposal_sees_it_no_more_and_its_data_stay(server: SharedServer) -> None:
    from gbx_tiled.access_setup import compile_grants

    with server.client("ben") as ben:
        assert ben.get(f"/metadata/raw/kept-{OTHER}").status_code == 200
        left = server.access.model_copy(update={"proposals": {OWN: ["anna"], OTHER: []}})
        compile_grants(left, server.database)
        try:
            assert ben.get(f"/metadata/raw/kept-{OTHER}").status_code == 404
        finally:
            compile_grants(server.access, server.database)
        assert ben.get(f"/metadata/raw/kept-{OTHER}").status_code == 200
