"""Tiled's access policy by tags, with what a role may do at most in each part of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiled.access_control.access_policies import TagBasedAccessPolicy
from tiled.access_control.scopes import NO_SCOPES, PUBLIC_SCOPES, ScopeName

from gbx_tiled.roles import POLICY_SCOPES, SHELVES_TAG, Area, area_tag

PARSER = "tiled.access_control.access_tags:AccessTagsParser"


class ProposalAccessPolicy(TagBasedAccessPolicy):
    """A node's tags say whose it is, the place where it lies what they may do with it.

    Results carry the tags of their raw run, so tags alone cannot tell a worker, who writes results, from one who may
    change raw runs. Both parts are grants in the catalog's database, written by ``gbx access compile`` and in force at
    once.

    Args:
        provider: Name of the authentication provider whose user names the access file holds.
        areas: Path of each area's container; those that are left out are called as the area is.
    """

    def __init__(self, *, provider: str, areas: Mapping[str, str] | None = None) -> None:
        super().__init__(provider=provider, access_tags_parser=PARSER, scopes=sorted(POLICY_SCOPES))
        paths = {area: (areas or {}).get(area, area) for area in Area}
        self._paths = {tuple(path.strip("/").split("/")): area for area, path in paths.items()}

    async def allowed_scopes(self, node: Any, principal: Any, authn_access_tags: Any, authn_scopes: Any) -> Any:
        """What the tags of a node grant, as far as its area allows."""
        by_tag = await super().allowed_scopes(node, principal, authn_access_tags, authn_scopes)
        if self._is_admin(authn_scopes):
            return by_tag
        return set(by_tag) & set(await self._most(node, principal))

    async def modify_node(
        self, node: Any, principal: Any, authn_access_tags: Any, authn_scopes: Any, access_tags: Any
    ) -> Any:
        """Keep shelves as they are: whoever may put something on one has the scope to change its metadata, too.

        Raises:
            ValueError: what the server answers with 403.
        """
        if SHELVES_TAG in node.access_tags and not self._is_admin(authn_scopes):
            raise ValueError("Only an administrator changes a container that proposals share.")
        return await super().modify_node(node, principal, authn_access_tags, authn_scopes, access_tags)

    async def _most(self, node: Any, principal: Any) -> frozenset[ScopeName] | set[ScopeName]:
        if principal is None:
            return NO_SCOPES
        # What lies inside a file has no path in the catalog; whoever came this far may see the file.
        area = self._area(await node.path_segments()) if hasattr(node, "path_segments") else None
        if area is None:
            return PUBLIC_SCOPES
        return await self.get_scopes_from_tag(area_tag(area), self._name(principal))

    def _area(self, segments: Any) -> Area | None:
        return next((area for path, area in self._paths.items() if tuple(segments[: len(path)]) == path), None)

    def _name(self, principal: Any) -> str:
        return str(principal.uuid) if principal.type == "service" else self._get_id(principal)
