"""Writing results so that readers see them complete or not at all, once.

Tiled has no transactions: a node exists with readable zeros before its data arrive. So an attempt is written
where no reader looks, and published by creating one pointer; the server's 409 decides who was first.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tiled.client.utils import ClientError
from tiled.queries import Key
from tiled.structures.core import Spec

from gbx_beamline.catalog import average_schema, inference_schema, models, samples, schema
from gbx_beamline.catalog.access import tags_of, told
from gbx_beamline.catalog.attempts import attempts_in
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.samples import SampleVersion
from gbx_beamline.errors import CatalogError, CatalogUnreachableError, RunNotFoundError
from gbx_beamline.records import Refusal, RepeatsAverage, ScanFailure, ScanInference, ScanResult

_CONFLICT = 409
_TRIAL_VALUES = 2**17
"""float64: 1 MiB."""


class TiledSink:
    """A ``ResultSink`` that writes into the catalog's processed part.

    Records inherit the access tags of their raw run.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._uri = catalog.uri
        with said_in_words(self._uri):
            self._attempts = container(catalog, schema.ATTEMPTS)
            self._arrays = attempts_in(self._attempts, catalog.store)
            self._records = container(catalog, schema.RECORDS)
            self._inferences = container(catalog, inference_schema.INFERENCES)
            self._averages = container(catalog, average_schema.AVERAGES)
            self._samples = container(catalog, samples.SAMPLES)
            self._models = container(catalog, models.MODELS)

    def publish(self, outcome: ScanResult | ScanFailure) -> str:
        """Store ``outcome``; see ``ResultSink.publish``.

        Returns:
            Key of the record. If another worker published the same identity first, theirs stands and this
            attempt is removed.
        """
        with said_in_words(self._uri):
            if isinstance(outcome, ScanFailure):
                metadata = schema.failure_metadata(outcome, created=time.time())
                key = schema.pointer_key(outcome)
                if not self._create_once(self._records, key, metadata, Spec(schema.FAILURE_SPEC, schema.SPEC_VERSION)):
                    self._renew_reason(key, metadata)
                return key
            return self._publish_arrays(
                self._records,
                schema.pointer_key(outcome),
                schema.result_arrays(outcome),
                lambda attempt: schema.result_metadata(outcome, attempt=attempt, created=time.time()),
                Spec(schema.RESULT_SPEC, schema.SPEC_VERSION),
            )

    def publish_inference(self, inference: ScanInference) -> str:
        """Store what a model says of a correlation record, once: the first answer stands.

        Args:
            inference: of a record of this catalog.

        Returns:
            Key of the inference record.

        Raises:
            RunNotFoundError: there is no such correlation record.
        """
        with said_in_words(self._uri):
            if inference.record not in self._records:
                raise RunNotFoundError(
                    f"no record {inference.record!r} in {self._uri}",
                    needed="the correlation record that an inference is about",
                    action="publish the result first",
                )
            key = inference_schema.inference_key(inference.record, inference.model_id)
            if isinstance(inference.outcome, Refusal):
                metadata = inference_schema.refusal_metadata(inference, created=time.time())
                self._create_once(self._inferences, key, metadata, inference_schema.REFUSAL_SPEC)
                return key
            return self._publish_arrays(
                self._inferences,
                key,
                {"samples": inference.outcome.samples},
                lambda attempt: inference_schema.inference_metadata(inference, attempt=attempt, created=time.time()),
                inference_schema.INFERENCE_SPEC,
            )

    def publish_average(self, average: RepeatsAverage) -> str:
        """Store the average of repeats, once for the same members.

        Args:
            average: of records of this catalog.

        Returns:
            Key of the average.

        Raises:
            InputError: over results that are in no catalog.
        """
        members = [one.record for one in average.repeats]
        with said_in_words(self._uri):
            return self._publish_arrays(
                self._averages,
                average_schema.average_key(members, common_window=average.common_window),
                average_schema.average_arrays(average),
                lambda attempt: average_schema.average_metadata(average, attempt=attempt, created=time.time()),
                average_schema.AVERAGE_SPEC,
            )

    def publish_model(
        self, description: Mapping[str, Any], files: Mapping[str, bytes], *, dataset: str | None = None
    ) -> str:
        """Store a model, once: its id names its content.

        Args:
            description: Content of ``model.json``.
            files: Content of each file of its folder by name, ``model.json`` included.
            dataset: Id of the data set it was made with.

        Returns:
            Its id.
        """
        with said_in_words(self._uri):
            return self._publish_arrays(
                self._models,
                description["id"],
                {name: np.frombuffer(content, dtype=np.uint8) for name, content in files.items()},
                lambda attempt: models.model_metadata(
                    description, dataset=dataset, attempt=attempt, created=time.time()
                ),
                models.MODEL_SPEC,
            )

    def publish_sample(
        self,
        version_of: Callable[[str], SampleVersion],
        arrays: Mapping[str, np.ndarray[Any, Any]],
        *,
        access_tags: tuple[str, ...] = (),
    ) -> SampleVersion:
        """Store a new version of a sample's settings.

        Args:
            version_of: Makes the version, given the attempt that will hold its arrays.
            arrays: Mask and label image that it brings, by name.
            access_tags: Of the sample's runs.

        Raises:
            CatalogError: somebody else has stored a version of this number meanwhile; theirs stands.
        """
        attempt = str(uuid.uuid4())
        version = version_of(attempt)
        key, tags = samples.version_key(version.sample, version.number), list(access_tags) or None
        metadata = samples.sample_metadata(version, attempt=attempt, access_tags=access_tags)
        with said_in_words(self._uri):
            stored = {"identity": key, "created": time.time(), "published": False}
            folder = self._arrays.write(attempt, arrays, stored, tags) if arrays else None
            if self._create_once(self._samples, key, metadata, samples.SAMPLE_SPEC):
                if folder is not None:
                    folder.update_metadata({"published": True}, drop_revision=True)
                return version
            if folder is not None:
                self._arrays.remove(attempt)
        raise CatalogError(
            f"somebody has just made version {version.number} of sample {version.sample!r}",
            needed="a change of what holds now",
            action="look at it with `gbx sample show NAME`, then repeat yours if it is still wanted",
        )

    def _publish_arrays(
        self,
        pointers: Any,
        key: str,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        metadata_of: Callable[[str], dict[str, Any]],
        spec: Spec,
    ) -> str:
        """An attempt with its arrays, then the pointer to it."""
        if key in pointers:
            return key
        attempt = str(uuid.uuid4())
        metadata = metadata_of(attempt)
        tags = told(metadata["access_tags"])
        folder = self._arrays.write(
            attempt, arrays, {"identity": key, "created": time.time(), "published": False}, tags
        )
        if self._create_once(pointers, key, metadata, spec):
            folder.update_metadata({"published": True}, drop_revision=True)
        else:
            self._arrays.remove(attempt)
        return key

    def _create_once(self, pointers: Any, key: str, metadata: dict[str, Any], spec: Spec) -> bool:
        try:
            pointers.create_container(
                key,
                metadata=metadata,
                specs=[spec],
                access_tags=told(metadata["access_tags"]),
            )
        except ClientError as error:
            if error.response.status_code != _CONFLICT:
                raise
            # A request whose answer was lost is retried by the client and may meet its own pointer.
            return "attempt" in metadata and pointers[key].metadata.get("attempt") == metadata["attempt"]
        return True

    def _renew_reason(self, key: str, metadata: dict[str, Any]) -> None:
        """A failure that was tried again may have another reason now; the server keeps the old one as a revision."""
        pointer = self._records[key]
        if pointer.metadata["reason"] != metadata["reason"]:
            pointer.update_metadata({name: metadata[name] for name in ("reason", "kind", "provenance")})

    def try_writing(self) -> None:
        """Write something as large as a small record and remove it again.

        Raises:
            CatalogError: the server takes no results now: its disk is full, read-only or gone.
        """
        try:
            with said_in_words(self._uri):
                attempt = str(uuid.uuid4())
                metadata = {"identity": "trial", "created": time.time(), "published": False}
                # Noise: zarr stores a constant in no bytes at all.
                self._arrays.write(attempt, {"trial": np.random.default_rng(0).random(_TRIAL_VALUES)}, metadata, None)
                self._arrays.remove(attempt)
        except CatalogUnreachableError:
            raise
        except CatalogError as error:
            raise CatalogError(
                f"the catalog takes no results: {error.found}",
                needed="storage with room, which the server may write to",
                action="make room or make it writable (the server's log says what it lacks)",
            ) from error

    def sweep(self, *, older_than: float = 86400.0) -> int:
        """Remove attempts that no pointer names and that nobody can still be writing.

        Args:
            older_than: s since the attempt began; far longer than any analysis lasts.

        Returns:
            Number of attempts removed.
        """
        with said_in_words(self._uri):
            stale = self._attempts.search(Key("published") == False).search(  # noqa: E712 - a Tiled query
                Key("created") < time.time() - older_than
            )
            abandoned = [key for key in stale if not self._is_named(key)]
            for key in abandoned:
                self._arrays.remove(key)
            self._arrays.forget(older_than)
        return len(abandoned)

    def _is_named(self, attempt: str) -> bool:
        """Whether any pointer names this attempt."""
        everywhere = (self._records, self._inferences, self._averages, self._samples, self._models)
        return any(len(pointers.search(Key("attempt") == attempt)) for pointers in everywhere)


def container(catalog: Catalog, name: str) -> Any:
    """A container of ``processed``, made where it is absent, whoever else makes it at the same time.

    It is everybody's, as its parent is: what lies in it has access tags of its own.
    """
    if not catalog.has_shelf(name):
        try:
            catalog.processed.create_container(name, access_tags=told(tags_of(catalog.processed)))
        except ClientError as error:
            if error.response.status_code != _CONFLICT:
                raise
    return catalog.shelf(name)
