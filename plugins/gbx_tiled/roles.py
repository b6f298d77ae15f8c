"""Who may do what in the catalog: one table, from which grants, documentation and tests are made."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from tiled.access_control.scopes import ScopeName

SHELVES_TAG = "shelves"
"""Tag of the containers that hold everybody's nodes, such as ``raw`` and ``processed/records``."""


class Area(StrEnum):
    """Part of the catalog, by the path of its container."""

    RAW = "raw"
    """Runs as the RunEngine wrote them."""
    PROCESSED = "processed"
    """Results, and what belongs to no proposal: models, ensembles."""
    SANDBOX = "sandbox"
    """What people keep: masks, q-ROIs, settings of samples, marks."""


class Role(StrEnum):
    """What a principal is. An administrator of Tiled may do everything and is none of these."""

    USER = "user"
    """Member of proposals."""
    STAFF = "staff"
    """Of the beamline: member of all proposals."""
    ACQUISITION = "acquisition"
    """The RunEngine's writer."""
    WORKER = "worker"
    """Analysis: flows and `gbx serve`."""
    VIEWER = "viewer"
    """Displays at the beamline."""


class Right(StrEnum):
    """What may be done with a node."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    REGISTER = "register"
    """Let the server read files of its readable storage."""


SCOPES: dict[Right, frozenset[ScopeName]] = {
    Right.READ: frozenset({ScopeName.read_metadata, ScopeName.read_data}),
    Right.WRITE: frozenset({ScopeName.create_node, ScopeName.write_metadata, ScopeName.write_data}),
    Right.DELETE: frozenset({ScopeName.delete_node, ScopeName.delete_revision}),
    Right.REGISTER: frozenset({ScopeName.register}),
}

_READ = frozenset({Right.READ})
_PERSON = {Area.RAW: _READ, Area.PROCESSED: _READ, Area.SANDBOX: frozenset({Right.READ, Right.WRITE, Right.DELETE})}

MATRIX: dict[Role, dict[Area, frozenset[Right]]] = {
    Role.USER: _PERSON,
    Role.STAFF: _PERSON,
    Role.ACQUISITION: {
        Area.RAW: frozenset({Right.READ, Right.WRITE, Right.REGISTER}),
        Area.PROCESSED: _READ,
        Area.SANDBOX: _READ,
    },
    Role.WORKER: {Area.RAW: _READ, Area.PROCESSED: frozenset(Right), Area.SANDBOX: _READ},
    Role.VIEWER: dict.fromkeys(Area, _READ),
}
"""Rights in nodes of the principal's own proposals; the services' and the staff's own are all of them. In the nodes of
other proposals nobody has any. Every role reads in every area, since Tiled lists by tags alone."""

_PUT_ON = frozenset({ScopeName.create_node, ScopeName.write_metadata})
"""What Tiled wants of whoever makes a node in a container."""

SHELF_SCOPES: dict[Role, frozenset[ScopeName]] = {
    # Without read:data: who may subscribe to a shelf or download it as a whole sees all that lies on it.
    Role.USER: frozenset({ScopeName.read_metadata}) | _PUT_ON,
    Role.STAFF: SCOPES[Right.READ] | _PUT_ON,
    Role.ACQUISITION: frozenset({ScopeName.read_metadata}) | _PUT_ON,
    # Registers: an attempt may be a folder on a disk that the server reads.
    Role.WORKER: SCOPES[Right.READ] | SCOPES[Right.REGISTER] | _PUT_ON,
    Role.VIEWER: SCOPES[Right.READ],
}
"""On shared containers themselves, as far as the area allows. None but an administrator changes or removes one."""

POLICY_SCOPES = frozenset().union(*SCOPES.values())


def area_tag(area: Area) -> str:
    """Name under which the rights in an area are kept beside those of the tags. No node ever carries it."""
    return f"area:{area}"


def scopes_in(role: Role, area: Area) -> frozenset[ScopeName]:
    """Tiled's scopes of a role in an area."""
    return frozenset().union(*(SCOPES[right] for right in MATRIX[role][area]))


def scopes_of(role: Role) -> frozenset[ScopeName]:
    """All that a role may need anywhere: the scopes of its keys, and of its grants by a proposal's tag."""
    return frozenset().union(*(scopes_in(role, area) for area in Area))


def table() -> Iterator[str]:
    """The matrix as lines of Markdown."""
    yield "| role | " + " | ".join(f"`{area}`" for area in Area) + " |"
    yield "|---" * (1 + len(Area)) + "|"
    for role, areas in MATRIX.items():
        cells = (", ".join(right for right in Right if right in areas[area]) or "nothing" for area in Area)
        yield f"| {role} | " + " | ".join(cells) + " |"
