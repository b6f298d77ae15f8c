"""The catalog's key: from the environment, else from where a facility keeps it."""

from __future__ import annotations

from typing import Any

from prefect.blocks.system import Secret

from gbx_beamline import assemble

SECRET_BLOCK = "tiled-api-key"
"""Prefect Secret that holds the catalog's key at a facility; the environment comes first."""


def catalog_key(given: str | None = None) -> str | None:
    """The key that was given; else None when the environment has it; else the Prefect Secret, where there is one."""
    if given or assemble.api_key_in_environment(assemble.configuration()):
        return given
    try:
        # Bare, because Secret[str] looks for blocks of another type than the one people create.
        secret: Any = Secret.load(SECRET_BLOCK, _sync=True)  # pyright: ignore[reportCallIssue]
    except ValueError:
        return None
    return secret.get()
