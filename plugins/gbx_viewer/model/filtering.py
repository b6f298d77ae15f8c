"""Which runs the list shows: words, and conditions such as ``T>400``, in one line that is typed."""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable
from datetime import datetime

from gbx_beamline.errors import InputError
from gbx_viewer.model.runs import RunRow, Status

Condition = Callable[[RunRow], bool]

EXAMPLE = "sample or uid, T>400, T:300-420, status:failed, since:2026-11-25, today"

_COMPARED = re.compile(r"(T|S)(>=|<=|>|<)(-?\d+(?:\.\d+)?)")
_RANGE = re.compile(r"T:(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")
_DATED = re.compile(r"(since|until|on):(\S+)")
_OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
_DAY = 86400.0


class Filter:
    """All of its conditions must hold.

    Words are looked for in sample, uid, status, reason and flags. ``T`` is in K, ``S`` is S_noneq without noise of the
    q-ROI that tells most, dates are local.

    Args:
        typed: The line.

    Raises:
        InputError: a condition that looks like one and is none, with the way to write it.
    """

    def __init__(self, typed: str) -> None:
        self.typed = typed
        self._conditions = [_condition(token) for token in typed.split()]

    def __call__(self, row: RunRow) -> bool:
        """Whether the list shows this run."""
        return all(condition(row) for condition in self._conditions)


def _condition(token: str) -> Condition:
    if match := _COMPARED.fullmatch(token):
        quantity, sign, number = match.groups()
        holds, limit = _OPERATORS[sign], float(number)
        return lambda row: holds(_quantity(row, quantity), limit)
    if match := _RANGE.fullmatch(token):
        low, high = map(float, match.groups())
        return lambda row: low <= row.temperature <= high
    if token == "today":
        return _between(_midnight(time.time()), _DAY)
    if match := _DATED.fullmatch(token):
        return _dated(*match.groups())
    if token.startswith("status:"):
        return _status(token.partition(":")[2])
    if token.startswith("sample:"):
        name = token.partition(":")[2].lower()
        return lambda row: name in row.sample.lower()
    if re.match(r"(T|S|since|until|on)[:<>=]", token):
        raise _refused(token)
    word = token.lower()
    return lambda row: any(word in text.lower() for text in (row.sample, row.uid, row.status, row.why, *row.flags))


def _quantity(row: RunRow, quantity: str) -> float:
    if quantity == "T":
        return row.temperature
    return float("nan") if row.headline is None else row.headline.value


def _dated(word: str, written: str) -> Condition:
    try:
        moment = datetime.fromisoformat(written).timestamp()
    except ValueError as error:
        raise _refused(f"{word}:{written}") from error
    if word == "since":
        return lambda row: row.started >= moment
    if word == "until":
        return lambda row: row.started <= moment + (_DAY if len(written) == len("2026-11-25") else 0.0)
    return _between(_midnight(moment), _DAY)


def _status(written: str) -> Condition:
    found = [status for status in Status if written and status.startswith(written.lower())]
    if not found:
        raise InputError(
            f"status:{written}",
            needed=f"one of {', '.join(status.split()[0] for status in Status)}",
            action="correct the filter",
        )
    return lambda row: row.status in found


def _between(start: float, span: float) -> Condition:
    return lambda row: start <= row.started < start + span


def _midnight(moment: float) -> float:
    return datetime.fromtimestamp(moment).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()  # noqa: DTZ006


def _refused(token: str) -> InputError:
    return InputError(f"{token!r}", needed=f"for example {EXAMPLE}", action="correct the filter")
