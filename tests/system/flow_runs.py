"""What tests of the flows share: settings by the environment, and artifacts read back from Prefect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

Configure = Callable[[pytest.MonkeyPatch, dict[str, Any]], None]
"""Points the environment at the session's catalog and at a configuration with this ``analysis``."""


def artifacts(uid: str) -> list[str]:
    """Markdown of each artifact of one run, oldest first."""
    return artifacts_of(f"xpcs-{uid}")


def artifacts_of(key: str) -> list[str]:
    """Markdown of each artifact with this key, oldest first."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return [str(artifact.data) for artifact in sorted(found, key=lambda artifact: str(artifact.created))]
