"""Access tags of what we write. They mean something only to a server with an access policy; others ignore them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SHARED_TAG = "shared"
"""Of what belongs to no proposal and may be read by everybody with a key: models, simulated ensembles."""

UNASSIGNED_TAG = "unassigned"
"""Of raw runs without a proposal: for the staff and the services."""

PROPOSAL_KEY = "data_session"
"""Key of the start document that names the proposal: the access tag of its runs."""

RUN_TAGS_KEY = "tiled_access_tags"
"""Key of a start document from which TiledWriter takes a run's access tags; it is not stored."""


def tags_of(node: Any) -> tuple[str, ...]:
    """Access tags of a node; none on a server without an access policy."""
    return tuple(node.item["attributes"].get("access_tags") or ())


def told(tags: Iterable[str]) -> list[str] | None:
    """Tags as Tiled's client takes them. Without any the server keeps a node to its writer."""
    return list(tags) or None


def run_tags(start: Mapping[str, Any]) -> list[str]:
    """Access tags for a raw run: those that its start document names, else its proposal's."""
    named = start.get(RUN_TAGS_KEY)
    if isinstance(named, (list, tuple)) and named:
        return [str(tag) for tag in named]
    proposal = start.get(PROPOSAL_KEY)
    return [proposal] if isinstance(proposal, str) and proposal else [UNASSIGNED_TAG]
