"""Numbers on their way through JSON and PostgreSQL."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest

from gbx_beamline.catalog.codec import plain, record


@dataclass(frozen=True)
class Numbers:
    a: float
    b: float | None
    c: int
    d: tuple[float, ...]
    e: dict[str, float]


def as_postgresql_gives(value: object) -> object:
    """What jsonb makes of JSON: a float without a fraction comes back as a whole number."""
    if isinstance(value, dict):
        return {key: as_postgresql_gives(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_postgresql_gives(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("large", [2.0**63, -(2.0**63), 1.5e20, 1e300, 9.2e18, 0.1 + 2.0])
def test_numbers_of_any_size_come_back_and_fit_into_64_bits(large: float) -> None:
    written = Numbers(large, None, int(large), (large, 5.0, math.pi), {"x": large})
    stored = as_postgresql_gives(json.loads(json.dumps(plain(written))))
    assert isinstance(stored, dict)
    whole = [value for value in (stored["a"], stored["c"], *stored["d"], stored["e"]["x"]) if isinstance(value, int)]
    assert all(-(2**63) <= value < 2**63 for value in whole)
    assert record(Numbers, stored) == written
