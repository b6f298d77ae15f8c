"""Settings of samples with their history: each change is a version of its own, and none is ever overwritten.

::

    processed/
      attempts/<uuid>             mask and label image, where a version brought new ones
      samples/<name>-<number>     one version: what holds for the sample, who said so, when and why

A version holds everything, not what changed. Its key counts: of two people who change a sample at once the second is
refused and looks again. Arrays never change once they are in an attempt, so that later versions refer to them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiled.structures.core import Spec

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.codec import plain
from gbx_beamline.catalog.connect import Catalog, having, said_in_words
from gbx_beamline.config import SampleConfig
from gbx_beamline.errors import RunNotFoundError, SchemaError

SAMPLES = "samples"

SAMPLE_VERSION = 1
"""Layout of these records. Changes when readers must change."""

SAMPLE_SPEC = Spec("XPCSSample", f"{SAMPLE_VERSION}.0")

MASK, LABELS = "mask", "labels"
"""Arrays that a version may bring."""


@dataclass(frozen=True, kw_only=True)
class SampleVersion:
    """What holds for a sample from some moment on."""

    sample: str
    number: int
    """From 1."""
    settings: SampleConfig
    """Mask and label image by their paths in the catalog."""
    who: str
    when: float
    """Unix time, s."""
    why: str


def version_key(sample: str, number: int) -> str:
    """Key of a version: readable, and no two samples share one."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", sample).strip("-")[:40]
    digest = hashlib.sha256(sample.encode()).hexdigest()[:8]
    return f"{readable}-{digest}-{number:04d}"


def sample_versions(catalog: Catalog, sample: str) -> list[SampleVersion]:
    """All versions of a sample, oldest first; none where nobody has said anything.

    Raises:
        SchemaError: written in another layout.
    """
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(SAMPLES):
            return []
        found: Any = having(catalog, catalog.shelf(SAMPLES), "sample", sample)
        versions = [_version(dict(node.metadata), key) for key, node in found.items()]
    return sorted(versions, key=lambda version: version.number)


def latest_version(catalog: Catalog, sample: str | None) -> SampleVersion | None:
    """What holds for a sample now; None where nobody has said anything, or where the sample has no name."""
    versions = sample_versions(catalog, sample) if sample else []
    return versions[-1] if versions else None


def version_of(catalog: Catalog, sample: str, number: int) -> SampleVersion:
    """One version of a sample.

    Raises:
        RunNotFoundError: there is no such version.
    """
    versions = {version.number: version for version in sample_versions(catalog, sample)}
    if number not in versions:
        raise RunNotFoundError(
            f"no version {number} of sample {sample!r}",
            needed=f"one of {', '.join(map(str, versions))}" if versions else "a sample with versions",
            action="list them with `gbx sample history NAME`",
        )
    return versions[number]


def known_samples(catalog: Catalog) -> list[str]:
    """Names of samples that have versions."""
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(SAMPLES):
            return []
        return sorted({node.metadata["sample"] for node in catalog.shelf(SAMPLES).values()})


def array_path(catalog: Catalog, attempt: str, name: str) -> str:
    """Path of an array of an attempt from the root that ``Catalog.array`` starts from."""
    # The root of a server has an empty name.
    above = sum(bool(part) for part in catalog.root.path_parts)
    return "/".join([*catalog.processed.path_parts[above:], schema.ATTEMPTS, attempt, name])


def sample_metadata(version: SampleVersion, *, attempt: str, access_tags: tuple[str, ...]) -> dict[str, Any]:
    """A version as its pointer has it."""
    return {
        "sample_version": SAMPLE_VERSION,
        "sample": version.sample,
        "number": version.number,
        "settings": plain(version.settings.model_dump(mode="json", exclude_none=True)),
        "who": version.who,
        "when": version.when,
        "why": version.why,
        "attempt": attempt,
        "access_tags": list(access_tags),
    }


def _version(metadata: Mapping[str, Any], key: str) -> SampleVersion:
    if metadata.get("sample_version") != SAMPLE_VERSION:
        raise SchemaError(
            f"sample settings {key} have layout {metadata.get('sample_version')}",
            needed=f"layout {SAMPLE_VERSION}",
            action="use the release that wrote them",
        )
    when = metadata["when"]
    return SampleVersion(
        sample=metadata["sample"],
        number=int(metadata["number"]),
        settings=SampleConfig.model_validate(metadata["settings"]),
        who=metadata["who"],
        when=math.nan if when is None else float(when),
        why=metadata["why"],
    )
