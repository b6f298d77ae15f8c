"""A catalog in memory that answers like Tiled's client, as far as live records need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
from tiled.client.utils import ClientError


class Node:
    """As much of a Tiled client as live records need. What is removed reads as zeros, as on a real server."""

    def __init__(self, content: Any = None, metadata: dict[str, Any] | None = None) -> None:
        self.children: dict[str, Node] = {}
        self.content = content
        self.metadata = metadata or {}
        self.specs: Any = None
        self.tags: Any = None
        self.before_reading: Callable[[], None] = lambda: None
        self.fail_on = ""
        self.item: dict[str, Any] = {"attributes": {}, "links": {"self": "http://tiled.example/metadata/"}}
        self.context = SimpleNamespace(http_client=SimpleNamespace(get=self._get))

    def __contains__(self, key: str) -> bool:
        return key in self.children

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.children))

    def __getitem__(self, keys: str | tuple[str, ...]) -> Node:
        node = self
        for key in (keys,) if isinstance(keys, str) else keys:
            node = node.children[key]
        return node

    def hand_down(self, before_reading: Callable[[], None]) -> None:
        """Have this happen before any array below is read, also one that is written later."""
        self.before_reading = before_reading
        for child in self.children.values():
            child.hand_down(before_reading)

    def create_container(self, key: str, *, metadata: Any = None, specs: Any = None, access_tags: Any = None) -> Node:
        assert key not in self.children
        node = self.children[key] = Node(metadata=metadata)
        node.specs, node.tags, node.before_reading = specs, access_tags, self.before_reading
        node.item["attributes"]["access_tags"] = access_tags
        return node

    def write_array(self, array: Any, *, key: str, access_tags: Any = None) -> None:
        if self.fail_on == key:
            raise httpx.ConnectError("gone")
        assert key not in self.children
        self.children[key] = Node(array)
        self.children[key].tags = access_tags
        self.children[key].before_reading = self.before_reading

    def replace_metadata(self, metadata: Any, *, drop_revision: bool) -> None:
        assert drop_revision, "or each revision stays in the server's database"
        self.metadata = metadata

    def delete_contents(self, key: str, *, recursive: bool, external_only: bool) -> None:
        if key not in self.children:
            request = httpx.Request("DELETE", "http://tiled.example")
            raise ClientError("404", request, httpx.Response(404, request=request))
        self.children.pop(key).remove()

    def remove(self) -> None:
        """Zeros are what is left."""
        for child in self.children.values():
            child.remove()
        if self.content is not None:
            self.content = np.zeros_like(self.content)

    def _get(self, link: str, *, headers: Any) -> httpx.Response:
        """The values of an array, as the server's route answers."""
        assert headers == {"Accept": "application/octet-stream"}
        request = httpx.Request("GET", link)
        try:
            found = self[tuple(link.removeprefix("http://tiled.example/array/full/").split("/"))]
        except KeyError:
            return httpx.Response(404, request=request, json={})
        return httpx.Response(200, request=request, content=np.asarray(found.read()).tobytes())

    def read(self) -> Any:
        self.before_reading()
        return self.content
