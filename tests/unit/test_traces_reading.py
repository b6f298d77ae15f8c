"""Reading a stream's table: together, and column by column where one of them cannot be served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gbx_beamline.config import TracesConfig
from gbx_beamline.traces import read_channels

COLUMNS: dict[str, Any] = {"time": [1.0, 2.0], "good": [5.0, 6.0], "ts_good": [1.5, 2.5], "odd": [7.0, 8.0]}
CHANNELS = TracesConfig.model_validate(
    {"channels": {name: {"stream": "monitor", "key": name} for name in ("good", "odd", "absent")}}
)


class AnswerError(Exception):
    """As an HTTP client raises it."""

    def __init__(self, status: int) -> None:
        self.response = type("Response", (), {"status_code": status})()


class Table:
    columns = tuple(COLUMNS)

    def __init__(self, status: int | None) -> None:
        self.reads: list[tuple[str, ...]] = []
        self._status = status
        """Of the answer where the odd column is asked for."""

    def read(self, columns: Sequence[str]) -> dict[str, Any]:
        self.reads.append(tuple(columns))
        if self._status is not None and "odd" in columns:
            raise AnswerError(self._status)
        return {name: COLUMNS[name] for name in columns}


class Node(dict[str, Any]):
    """A container; asking how long it is would be a request."""

    def __init__(self, children: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        super().__init__(children)
        self.metadata = metadata or {}

    def __len__(self) -> int:
        raise AssertionError("nobody needs its length")


def run_with(table: Table) -> Node:
    return Node({"monitor": Node({"internal": table})})


def test_columns_of_a_table_are_read_together() -> None:
    table = Table(None)
    found = read_channels(run_with(table), CHANNELS)
    assert table.reads == [("time", "good", "ts_good", "odd")]
    np.testing.assert_array_equal(found.channels["good"].stamps, [1.5, 2.5])
    np.testing.assert_array_equal(found.channels["odd"].stamps, [1.0, 2.0])
    assert found.notes == ("trace absent: no data key 'absent' in the stream 'monitor'",)


def test_a_column_that_cannot_be_served_takes_no_other_with_it() -> None:
    found = read_channels(run_with(Table(500)), CHANNELS)
    np.testing.assert_array_equal(found.channels["good"].values, [5.0, 6.0])
    np.testing.assert_array_equal(found.channels["good"].stamps, [1.5, 2.5])
    assert "trace odd: monitor/odd could not be read: the server answers 500" in found.notes


def test_a_server_that_is_overloaded_is_no_fault_of_the_run() -> None:
    with pytest.raises(AnswerError):
        read_channels(run_with(Table(503)), CHANNELS)
