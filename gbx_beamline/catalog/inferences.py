"""Reading what models say of scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbx_beamline.catalog import inference_schema, schema
from gbx_beamline.catalog.connect import Catalog, having, said_in_words
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.records import ScanInference


@dataclass(frozen=True)
class InferenceSummary:
    """What a model says of one correlation record, as its pointer tells it, without samples."""

    key: str
    metadata: Mapping[str, Any]

    @property
    def refused(self) -> bool:
        """True where the model would not judge the scan."""
        return self.metadata["status"] == "refused"

    @property
    def record(self) -> str:
        """Key of the correlation record."""
        return self.metadata["record"]

    @property
    def model_id(self) -> str:
        """Who says it."""
        return self.metadata["model_id"]


def find_inferences(
    catalog: Catalog, *, run_uid: str | None = None, sample: str | None = None, record: str | None = None
) -> list[InferenceSummary]:
    """What models say, oldest first.

    Args:
        catalog: Where to look.
        run_uid: Only of this run.
        sample: Only of this sample.
        record: Only of this correlation record.
    """
    wanted = {"run_uid": run_uid, "sample": sample, "record": record}
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(inference_schema.INFERENCES):
            return []
        found: Any = catalog.shelf(inference_schema.INFERENCES)
        for name, value in wanted.items():
            if value is not None:
                found = having(catalog, found, name, value)
        summaries = [InferenceSummary(key, dict(node.metadata)) for key, node in found.items()]
    return sorted(summaries, key=lambda summary: summary.metadata["created"])


def find_inference(catalog: Catalog, record: str, model_id: str) -> InferenceSummary | None:
    """What this model says of a correlation record, or None where it was not asked."""
    key = inference_schema.inference_key(record, model_id)
    with said_in_words(catalog.uri):
        try:
            return InferenceSummary(key, dict(catalog.shelf(inference_schema.INFERENCES)[key].metadata))
        except KeyError:
            return None


def load_inference(catalog: Catalog, key: str) -> ScanInference:
    """A whole inference record.

    Args:
        catalog: Where it is.
        key: Key of its pointer.

    Raises:
        RunNotFoundError: no such inference.
        SchemaError: written in another version.
    """
    with said_in_words(catalog.uri):
        try:
            metadata = dict(catalog.shelf(inference_schema.INFERENCES)[key].metadata)
        except KeyError as error:
            raise RunNotFoundError(
                f"no inference {key!r} in {catalog.uri}",
                needed="the key of a published inference",
                action="list them with `gbx results --format json`",
            ) from error
        inference_schema.check_version(metadata, key)
        arrays: dict[str, Any] = {}
        if metadata["status"] == "complete":
            attempt = catalog.shelf(schema.ATTEMPTS)[metadata["attempt"]]
            arrays = {"samples": attempt["samples"].read()}
    return inference_schema.inference_from(metadata, arrays)
