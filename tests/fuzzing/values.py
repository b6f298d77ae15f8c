"""Bytes and values that were tampered with."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


def damage(draw: random.Random, path: Path) -> None:
    """Flip, overwrite, cut or repeat some bytes; small changes near the start, where the structure is, most often."""
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        if not content:
            break
        place = (
            min(int(draw.expovariate(8 / len(content))), len(content) - 1)
            if draw.random() < 0.7
            else (draw.randrange(len(content)))
        )
        match draw.randrange(6):
            case 0:
                content[place] ^= 1 << draw.randrange(8)
            case 1:
                content[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                content[place : place + 8] = draw.choice((b"\xff" * 8, b"\0" * 8, b"\0\0\0\0\0\0\0\x80", b"\xff" * 4))
            case 3:
                del content[place : place + draw.choice((1, 8, 512, len(content)))]
            case 4:
                length = draw.choice((1, 16, 512))
                content[place:place] = content[place : place + length]
            case _:
                content[place : place + 32] = draw.randbytes(32)
    path.write_bytes(bytes(content))


NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, -(2**70), 10**400, 1e308, -0.0, float("nan"), float("inf"), "", " ", "\0", "a\0b", "..",
    "../../outside/secret", "/etc/passwd", "file://localhost/etc/passwd", "x" * 100_000, "\ud800", "🐟", "%s%n", "NaN",
    "1e999", [], {}, [[]], [None] * 1000, {"": {}}, {"name": {"name": []}}, b"\xff\xfe", ("a",), {1: 2}, -1e-320,
)  # fmt: skip


def mutate_value(draw: random.Random, value: Any) -> Any:
    """A JSON-like value with one part replaced, removed, repeated or nested."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        changed = dict(value)
        match draw.randrange(8):
            case 0:
                del changed[key]
            case 1:
                changed[draw.choice(("", "x", "uid", "time", "sample", "data path"))] = draw.choice(NASTY)
            case _:
                changed[key] = mutate_value(draw, value[key])
        return changed
    if isinstance(value, list) and value and draw.random() < 0.7:
        changed = list(value)
        place = draw.randrange(len(changed))
        match draw.randrange(4):
            case 0:
                del changed[place]
            case 1:
                changed += changed * 3
            case _:
                changed[place] = mutate_value(draw, changed[place])
        return changed
    if draw.random() < 0.1:
        nested: Any = value
        for _ in range(draw.choice((3, 100, 3000))):
            nested = [nested]
        return nested
    return draw.choice(NASTY)


SECRET_BYTES = 70


def frames(count: int) -> np.ndarray[Any, Any]:
    return np.arange(count * 35, dtype=np.uint16).reshape(count, 5, 7)


def ours(call: Callable[[], Any]) -> bool:
    """Let a call refuse in our words, or in those of the server; whether it did not."""
    from fastapi import HTTPException

    from gbx_beamline.errors import GbxError

    with suppress(GbxError, HTTPException):
        call()
        return True
    return False
