"""The access file: which proposals there are, who belongs to them, and which principals are the services."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from gbx_beamline.catalog.access import SHARED_TAG, UNASSIGNED_TAG
from gbx_beamline.config import Strict
from gbx_beamline.errors import ConfigError
from gbx_beamline.untrusted import read_yaml
from gbx_tiled.roles import SCOPES, SHELF_SCOPES, SHELVES_TAG, Area, Right, Role, area_tag, scopes_in, scopes_of

SERVICES = (Role.ACQUISITION, Role.WORKER, Role.VIEWER)
"""Roles of programs, which have keys and no passwords."""

_NAME = re.compile(r"\w[\w.@+-]*", re.ASCII)
_KEPT = (SHARED_TAG, UNASSIGNED_TAG, SHELVES_TAG, "public")


def _plain(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("needs letters, digits and . @ + - _ only")
    return name


def _proposal(name: str) -> str:
    if name.casefold() in _KEPT:
        raise ValueError("is a name that the access policy keeps for itself")
    return _plain(name)


def _service(role: Role) -> Role:
    if role not in SERVICES:
        raise ValueError(f"must be one of {', '.join(SERVICES)}")
    return role


Name = Annotated[str, AfterValidator(_plain)]
Proposal = Annotated[str, AfterValidator(_proposal)]


class AccessFile(Strict):
    """One access.yaml. Names of people are those by which the authentication provider knows them."""

    proposals: dict[Proposal, list[Name]] = Field(default_factory=dict)
    """Members of each proposal, whose name is the ``data_session`` of its runs."""
    staff: list[Name] = Field(default_factory=list)
    services: dict[Annotated[Role, AfterValidator(_service)], list[Name]] = Field(default_factory=dict)
    """Ids of the service principals, as `gbx access prepare` prints them."""

    def members(self, role: Role) -> list[str]:
        """Everybody of a role."""
        if role is Role.USER:
            return sorted({name for members in self.proposals.values() for name in members})
        return sorted({*(self.staff if role is Role.STAFF else ()), *self.services.get(role, ())})

    def tag_definitions(self) -> dict[str, Any]:
        """For Tiled's AccessTagsCompiler: which principal has which scopes by which tag, and who may give it."""
        everybody = [(role, name) for role in Role for name in self.members(role)]
        others = [_grant(name, scopes_of(role)) for role, name in everybody if role is not Role.USER]
        readers = [_grant(name, SCOPES[Right.READ]) for name in self.members(Role.USER)]
        tags = {
            proposal: [*others, *(_grant(name, scopes_of(Role.USER)) for name in members)]
            for proposal, members in self.proposals.items()
        }
        tags[UNASSIGNED_TAG] = others
        tags[SHARED_TAG] = [*others, *readers]
        tags[SHELVES_TAG] = [_grant(name, SHELF_SCOPES[role]) for role, name in everybody]
        for area in Area:
            tags[area_tag(area)] = [_grant(name, scopes_in(role, area)) for role, name in everybody]
        granted = {tag: {"users": [one for one in users if one["scopes"]]} for tag, users in tags.items()}
        return {"tags": granted, "tag_owners": self._owners()}

    def _owners(self) -> dict[str, Any]:
        """Who may give a tag to what they write."""
        writers = [name for role in (Role.ACQUISITION, Role.WORKER, Role.STAFF) for name in self.members(role)]
        owners = {proposal: [*writers, *members] for proposal, members in self.proposals.items()}
        owners |= {UNASSIGNED_TAG: writers, SHARED_TAG: writers, SHELVES_TAG: self.members(Role.WORKER)}
        return {tag: {"users": [{"name": name} for name in sorted(set(names))]} for tag, names in owners.items()}


def read_access_file(path: Path) -> AccessFile:
    """Read and check an access file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or says something impossible.
    """
    needed = "a YAML file with proposals, staff and services"
    try:
        return AccessFile.model_validate(read_yaml(path) or {})
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", needed=needed, action="check the path") from error
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise ConfigError(f"{path}: {mistakes}", needed=needed, action="correct the keys named") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no YAML: {error}", needed=needed, action="correct the line named") from error


def _grant(name: str, scopes: Iterable[str]) -> dict[str, Any]:
    return {"name": name, "scopes": sorted(scopes)}
