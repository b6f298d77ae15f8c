"""A record of which only what is asked for is read: its numbers at once, its arrays one by one.

A whole record of five q-ROIs is some 200 MB; a screen shows one map of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.codec import record
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.read import summary_of
from gbx_beamline.errors import CatalogError, InputError
from gbx_beamline.records import (
    DecayFit,
    Geometry,
    JumpCheck,
    KineticsFit,
    NonEquilibrium,
    Provenance,
    ScanInfo,
    Traces,
)

_NOTHING: NDArray[Any] = np.empty(0)


class RecordParts:
    """One result of the catalog, opened. Numbers come from its pointer; each ``array`` is a request.

    Several threads may read from it.

    Args:
        catalog: Where it is; must stay open.
        key: Key of the pointer.

    Raises:
        RunNotFoundError: no such record.
        SchemaError: written by another schema version.
        InputError: a failure, which has no parts; the message holds the reason.
    """

    def __init__(self, catalog: Catalog, key: str) -> None:
        self.key = key
        self.metadata: Mapping[str, Any] = summary_of(catalog, key).metadata
        schema.check_schema(self.metadata, key)
        if self.metadata["status"] == "failed":
            raise InputError(
                f"the scan was not analysed: {self.metadata['reason']}",
                needed="an analysed scan",
                action="after a cure, `gbx analyze UID` analyses it again",
            )
        self._catalog = catalog
        self._arrays: Mapping[str, Any] | None = None

    def over(self, catalog: Catalog) -> RecordParts:
        """The same record over another connection; itself where that is the one it has."""
        if catalog is self._catalog:
            return self
        # What is published does not change.
        again = copy(self)
        again._catalog, again._arrays = catalog, None
        return again

    def array(self, name: str, index: int | None = None) -> NDArray[Any]:
        """One array of the record.

        Args:
            name: Its key, as in ``schema.result_arrays``.
            index: Only this element of its first axis, e.g. one q-ROI's map.

        Raises:
            CatalogError: the array is absent, or the catalog cannot be read.
        """
        with said_in_words(self._catalog.uri):
            try:
                if self._arrays is None:
                    # All in one request, some 20 ms of the server's: by its name each would be another.
                    self._arrays = dict(self._catalog.shelf(schema.ATTEMPTS)[self.metadata["attempt"]].items())
                node = self._arrays[name]
                return np.asarray(node.read() if index is None else node[index])
            except KeyError as error:
                raise CatalogError(
                    f"record {self.key} lacks its array {name!r}",
                    needed="a record with all its arrays",
                    action=f"analyse run {self.metadata['run_uid'][:8]} again; the other arrays can be used",
                ) from error

    @property
    def scan(self) -> ScanInfo:
        """What the run said of itself."""
        return schema.scan_from(self.metadata)

    @property
    def provenance(self) -> Provenance:
        """What made the record."""
        return schema.provenance_from(self.metadata)

    @property
    def geometry(self) -> Geometry:
        """Where beam and detector are."""
        stated: dict[str, Any] = dict(self.metadata["geometry"])
        stated["shape"] = tuple(stated["shape"])
        return Geometry(**stated)

    def traces(self) -> Traces | None:
        """Side traces of the scan, which is a request; None where the record holds none.

        Raises:
            CatalogError: as ``array``.
        """
        entry = self.metadata.get("traces")
        if not entry or not entry["traces"]:
            return None
        return schema.traces_from(entry, {"traces": self.array("traces")})

    @property
    def nonequilibrium(self) -> tuple[NonEquilibrium, ...]:
        """(Q,) without the arrays ``drift`` and ``tti``, which are empty."""
        return tuple(
            record(NonEquilibrium, roi["nonequilibrium"], drift=_NOTHING, tti=_NOTHING) for roi in self.metadata["rois"]
        )

    @property
    def fits(self) -> tuple[DecayFit, ...]:
        """(Q,) simple exponentials."""
        return tuple(record(DecayFit, roi["fit"]) for roi in self.metadata["rois"])

    @property
    def kinetics(self) -> tuple[KineticsFit, ...]:
        """Stretched exponentials, of the whole series and of windows of age."""
        return tuple(record(KineticsFit, fit) for fit in self.metadata["kinetics"])

    @property
    def jumps(self) -> tuple[JumpCheck | None, ...]:
        """(Q,) abrupt decorrelations; None where they were not looked for."""
        return tuple(None if roi["jumps"] is None else record(JumpCheck, roi["jumps"]) for roi in self.metadata["rois"])
