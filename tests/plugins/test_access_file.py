"""The access file and the table behind it: what they grant, what they refuse, what the documentation shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiled.access_control.scopes import ScopeName

from gbx_beamline.catalog.access import SHARED_TAG, UNASSIGNED_TAG, run_tags
from gbx_beamline.errors import ConfigError
from gbx_tiled.access_file import AccessFile, read_access_file
from gbx_tiled.roles import MATRIX, SHELVES_TAG, Area, Right, Role, area_tag, table

TWO = AccessFile(
    proposals={"pass-1": ["anna"], "pass-2": ["ben"]},
    staff=["dora"],
    services={Role.ACQUISITION: ["a-id"], Role.WORKER: ["w-id"], Role.VIEWER: ["v-id"]},
)


def granted(tag: str) -> dict[str, set[str]]:
    """Scopes by principal."""
    users = TWO.tag_definitions()["tags"][tag]["users"]
    return {one["name"]: {str(scope.value) for scope in one["scopes"]} for one in users}


def test_the_page_shows_the_table_in_force(repository: Path) -> None:
    page = (repository / "docs/explanation/access.md").read_text()
    shown = page.split("<!-- gbx access table -->\n")[1].split("<!-- end -->")[0]
    assert shown.splitlines() == list(table())


def test_what_must_never_be_granted() -> None:
    changing = {Right.WRITE, Right.DELETE, Right.REGISTER}
    assert not MATRIX[Role.WORKER][Area.RAW] & changing
    assert not any(MATRIX[Role.VIEWER][area] & changing for area in Area)
    assert not any(MATRIX[Role.USER][area] & changing for area in (Area.RAW, Area.PROCESSED))
    assert [role for role in Role if Right.DELETE in MATRIX[role][Area.RAW]] == []
    # Tiled lists by tags alone, so an area that a role may not read would still be listed to it.
    assert all(Right.READ in rights for areas in MATRIX.values() for rights in areas.values())


def test_a_proposals_tag_is_for_its_members_and_those_of_all_proposals() -> None:
    assert set(granted("pass-1")) == {"anna", "dora", "a-id", "w-id", "v-id"}
    assert set(granted(UNASSIGNED_TAG)) == {"dora", "a-id", "w-id", "v-id"}
    assert granted(SHARED_TAG)["ben"] == {"read:metadata", "read:data"}
    assert "read:data" not in granted(SHELVES_TAG)["anna"]
    assert granted("pass-1")["v-id"] == {"read:metadata", "read:data"}
    assert ScopeName.admin_apikeys.value not in {
        scope for tag in TWO.tag_definitions()["tags"] for scope in granted(tag)
    }


def test_only_who_writes_may_tag_and_nobody_by_the_tags_of_areas() -> None:
    owners = {tag: {one["name"] for one in who["users"]} for tag, who in TWO.tag_definitions()["tag_owners"].items()}
    assert owners["pass-1"] == {"anna", "dora", "a-id", "w-id"}
    assert owners[SHELVES_TAG] == {"w-id"}
    assert not any(area_tag(area) in owners for area in Area)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("proposals: {shared: [anna]}", "keeps for itself"),
        ("proposals: {Public: [anna]}", "keeps for itself"),
        ("proposals: {'area:raw': [anna]}", "letters, digits"),
        ("proposals: {pass-1: ['user:anna']}", "letters, digits"),
        ("services: {user: [x]}", "must be one of acquisition, worker, viewer"),
        ("services: {boss: [x]}", "services"),
        ("keys: {worker: secret}", "keys: Extra inputs"),
        ("- a list", "valid dictionary"),
        ("proposals: [", "no YAML"),
    ],
)
def test_an_access_file_that_says_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_access_file(path)


@pytest.mark.parametrize(
    ("start", "tags"),
    [
        ({"data_session": "pass-1"}, ["pass-1"]),
        ({"data_session": "pass-1", "tiled_access_tags": ["pass-2"]}, ["pass-2"]),
        ({}, [UNASSIGNED_TAG]),
        ({"data_session": 3, "tiled_access_tags": []}, [UNASSIGNED_TAG]),
    ],
)
def test_a_run_belongs_to_its_proposal(start: dict[str, object], tags: list[str]) -> None:
    assert run_tags(start) == tags
