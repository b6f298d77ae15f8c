"""A model's description and its parts out of JSON, with types and ranges checked.

Whoever changes a description can give it a hash that fits: what it says must not decide how much memory is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_arrays import RESTORE

KNOWN_ONLY = ConfigDict(extra="forbid", allow_inf_nan=False)
"""For ``__pydantic_config__`` of a dataclass: fields that it does not know are refused."""

Part = TypeVar("Part")


def part_of(kind: type[Part], values: Mapping[str, Any], what: str, *, refusal: type[InputError] = InputError) -> Part:
    """A dataclass or a pydantic model out of JSON.

    Args:
        kind: Its class; pydantic's annotations of its fields hold.
        values: What the description says.
        what: Its name, for the error.
        refusal: Which error.

    Raises:
        InputError: fields that are absent or unknown, of another type or out of their range.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise refusal(
            f"{what} that cannot be read ({mistakes})", needed="the fields that this release writes", action=RESTORE
        ) from error
