"""Small structured files, with limits on their size, depth and what they expand to."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

LARGEST_TEXT = 64 * 2**20
"""Bytes of a JSON file: model descriptions and evaluations have less than a hundredth of it."""

_DEEPEST = 64
"""Levels of JSON; those of ours have fewer than ten, and whoever writes them out again descends as deep."""

_LARGEST_YAML = 2**20
"""Bytes of a YAML file: people write them, and its parser takes a second for so many."""

_MOST_VALUES = 200_000


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or larger or deeper than any file of ours.
    """
    return parse_json(read_bounded(path, LARGEST_TEXT))


def parse_json(content: bytes) -> Any:
    """What JSON says; errors as ``read_json``."""
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"{len(content):,} bytes of JSON, more than {LARGEST_TEXT:,}")
    try:
        found = json.loads(content, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    if _deeper(found, _DEEPEST):
        raise ValueError(f"JSON that is nested more than {_DEEPEST} deep")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant}, which is no JSON")


def _deeper(content: Any, levels: int) -> bool:
    """Whether it is nested more than so many levels deep."""
    layer = [content]
    for _ in range(levels):
        layer = [
            inner
            for each in layer
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(layer)


def read_yaml(path: Path) -> Any:
    """Content of a YAML file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text, no YAML, too large, or expands (by aliases) to more than any file of ours.
    """
    text = read_bounded(path, _LARGEST_YAML).decode()
    # The parser takes the square of the time for brackets in brackets. Those in texts are paired, too, as a rule.
    opened = accumulate({"[": 1, "{": 1, "]": -1, "}": -1}.get(letter, 0) for letter in text)
    if max(opened, default=0) > _DEEPEST:
        raise ValueError(f"YAML that is nested more than {_DEEPEST} deep")
    try:
        content = yaml.safe_load(text)
        size = _expanded(content, {})
    except (yaml.YAMLError, OverflowError) as error:
        raise ValueError(" ".join(str(error).replace("<unicode string>", path.name).split())) from error
    except RecursionError as error:
        raise ValueError("YAML that is nested too deeply, or in itself") from error
    if size > _MOST_VALUES:
        raise ValueError(f"aliases that expand to {size:,} values")
    return content


def _expanded(content: Any, known: dict[int, int]) -> int:
    """Number of values with each alias written out. One inside of itself ends in a RecursionError."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        inner = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_expanded(each, known) for each in inner)
    return known[id(content)]


def read_bounded(path: Path, most: int) -> bytes:
    """Content of a file, of which no more is read than it may hold: a device has no end.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds more than ``most`` bytes.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most:,} bytes")
    return content
