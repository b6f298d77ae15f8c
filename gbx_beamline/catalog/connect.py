"""Opening a Tiled catalog, with Tiled's refusals put into words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tiled.client import from_uri
from tiled.client.container import Container
from tiled.queries import Eq, FullText, Key, Like

from gbx_beamline.catalog.access import tags_of
from gbx_beamline.errors import (
    AccessDeniedError,
    CatalogError,
    CatalogUnreachableError,
    ConfigError,
    RunNotFoundError,
)

_CONNECT_TIMEOUT = 5.0
"""s."""

SHORTEST_UID = 4
"""Fewest characters that stand for a whole uid."""


WHOLE_UID = 36


def uid_query(key: str, uid: str) -> Eq | Like:
    """Search for a whole uid, or for those that start so. In a Like query % and _ mean other characters."""
    if len(uid) >= WHOLE_UID:
        return Eq(key, uid)
    return Like(key, "".join(letter for letter in uid if letter not in "%_") + "%")


def having(catalog: Catalog, nodes: Any, key: str, value: str) -> Any:
    """Those of ``nodes`` whose metadata have this text under a key.

    SQLite has no index of metadata: for one value it reads all there is, 5 GB of 100,000 records. It does have an index
    of the words in them, which leaves a few to compare.
    """
    return _with_words(catalog, nodes, value, "").search(Key(key) == value)


def of_uid(catalog: Catalog, nodes: Any, key: str, uid: str) -> Any:
    """Those of ``nodes`` with this whole uid under a key, or with those that start so."""
    whole = len(uid) >= WHOLE_UID
    return _with_words(catalog, nodes, uid, "" if whole else "*").search(uid_query(key, uid))


def _with_words(catalog: Catalog, nodes: Any, text: str, ending: str) -> Any:
    # JSON writes other letters as numbers, which the index has as words of their own.
    plain = text.isascii() and text.isprintable() and text[:1].isalnum() and text[-1:].isalnum()
    return nodes.search(FullText(f'"{text}"{ending}')) if catalog.words and plain and '"' not in text else nodes


@dataclass(frozen=True)
class Catalog:
    """Raw runs and results of one Tiled server. Close it when done: it holds connections."""

    uri: str
    root: Container
    raw: Container
    processed: Container
    store: Path | None = None
    """Folder that this process writes and the server reads; None: all goes through HTTP."""
    words: bool = False
    """Whether its database is SQLite, which finds records by the words in them. PostgreSQL has better."""
    _shelves: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def close(self) -> None:
        """Give the connections back."""
        self.root.context.close()

    def shelf(self, name: str) -> Any:
        """A container of ``processed``, which holds all records of one kind.

        The server is asked for it once: it never changes, and each request takes it 20 ms.

        Raises:
            KeyError: it does not exist yet.
        """
        if name not in self._shelves:
            self._shelves[name] = self.processed[name]
        return self._shelves[name]

    def has_shelf(self, name: str) -> bool:
        """Whether a container of ``processed`` exists."""
        try:
            self.shelf(name)
        except KeyError:
            return False
        return True

    def run(self, uid: str) -> Any:
        """The raw run whose uid is, or starts with, ``uid``.

        Raises:
            RunNotFoundError: no such run, or several.
        """
        with said_in_words(self.uri):
            # Indexing by a partial uid fails on SQL catalogs, so the start documents are searched.
            found = of_uid(self, self.raw, "start.uid", uid)
            matches = list(found.values().head(2)) if len(uid) >= SHORTEST_UID else []
            if len(matches) == 1:
                return matches[0]
            said = f"{len(found)} runs start with {uid!r}" if matches else f"no run {uid!r} in {self.uri}"
        raise RunNotFoundError(
            said,
            needed=f"the uid of one raw run, or at least its first {SHORTEST_UID} characters",
            action="check the uid, and that catalog.uri or catalog.directory is the catalog you mean",
        )

    def access_tags(self, run: Any) -> tuple[str, ...]:
        """Access tags of a run's node; none on a server without an access policy."""
        # TiledWriter takes them out of the start document: only the node knows them.
        return tags_of(run)

    def array(self, path: str) -> Any:
        """Content of an array node, e.g. a label image or a mask kept in the catalog.

        Args:
            path: Keys from the root of the server, separated by slashes.
        """
        node: Any = self.root
        with said_in_words(self.uri):
            try:
                for key in path.strip("/").split("/"):
                    node = node[key]
            except KeyError as error:
                raise ConfigError(
                    f"no array {path!r} in {self.uri}",
                    needed="the path of an array node",
                    action="correct catalog_labels or catalog_mask in the configuration",
                ) from error
            return node.read()


def connect(
    uri: str, api_key: str | None, *, raw: str = "raw", processed: str = "processed", store: Path | None = None
) -> Catalog:
    """Open the catalog at ``uri``.

    Args:
        uri: Address of the Tiled server.
        api_key: Its key; None for a public server.
        raw, processed: Paths of the raw runs and of the results, keys separated by slashes.
        store: Folder that the server reads, where this process sees it too: results' arrays are written there.

    Raises:
        CatalogUnreachableError: nothing answers at ``uri``.
        AccessDeniedError: the key is refused.
        CatalogError: the server has no such containers.
    """
    with said_in_words(uri):
        _knock(uri, api_key)
        root = from_uri(uri, api_key=api_key, trust_env=_may_use_proxy(uri))
        try:
            return Catalog(
                uri=uri,
                root=root,
                raw=_descend(root, raw, uri),
                processed=_descend(root, processed, uri),
                store=store,
            )
        except (CatalogError, httpx.HTTPError):
            root.context.close()
            raise


def _descend(root: Any, path: str, uri: str) -> Any:
    node = root
    for key in path.strip("/").split("/"):
        try:
            node = node[key]
        except KeyError as error:
            raise CatalogError(
                f"{uri} has no container {path!r}",
                needed="containers for raw runs and for results",
                action="create it, or set catalog.raw and catalog.processed in the configuration",
            ) from error
    return node


def _knock(uri: str, api_key: str | None) -> None:
    """One request before Tiled's own client, which retries for half a minute and keeps its socket when refused."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CatalogUnreachableError(
            f"{uri!r} is no address",
            needed="the address of a Tiled server such as http://127.0.0.1:8000",
            action="correct catalog.uri",
        )
    base = uri.rstrip("/") if "/api/v1" in parts.path else f"{uri.rstrip('/')}/api/v1"
    headers = {} if api_key is None else {"Authorization": f"Apikey {api_key}"}
    # The metadata of the root: unlike the server's greeting it wants a key wherever one is needed.
    url = base if "/metadata" in base else f"{base}/metadata/"
    httpx.get(
        url, headers=headers, timeout=_CONNECT_TIMEOUT, follow_redirects=True, trust_env=_may_use_proxy(uri)
    ).raise_for_status()


def _may_use_proxy(uri: str) -> bool:
    """A site's HTTP proxy leads nowhere near our own machine."""
    return urlsplit(uri).hostname not in ("127.0.0.1", "localhost", "::1")


def _unreachable(uri: str, error: BaseException) -> CatalogUnreachableError:
    return CatalogUnreachableError(
        f"no Tiled server answers at {uri} ({error})",
        needed="a running Tiled server",
        action="start it, or correct catalog.uri; leave catalog.uri out for the embedded one",
    )


@contextmanager
def said_in_words(uri: str) -> Iterator[None]:
    """Turn the HTTP errors of Tiled's client into ours."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise AccessDeniedError(
                f"{uri} refuses the API key ({error.response.status_code})",
                needed="a key that this server accepts",
                action="set TILED_API_KEY (or the variable named by catalog.api_key_env)",
            ) from error
        raise CatalogError(
            f"{uri} answered {str(error).splitlines()[0]}",
            needed="a request the server accepts",
            action="look into the server's log",
        ) from error
    except httpx.TransportError as error:
        raise _unreachable(uri, error) from error
    except RuntimeError as error:
        # Tiled's client raises this bare when a server that wants a key gets none.
        if "API key" not in str(error) and "login" not in str(error):
            raise
        raise AccessDeniedError(
            f"{uri} wants an API key and got none",
            needed="a key that this server accepts",
            action="set TILED_API_KEY (or the variable named by catalog.api_key_env)",
        ) from error
