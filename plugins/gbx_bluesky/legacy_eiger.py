"""CHX's older Eiger documents (resource and datum of spec AD_EIGER2) on their way to Tiled."""

from __future__ import annotations

import copy
from typing import Any

from bluesky_tiled_plugins.writing.tiled_writer import RunNormalizer
from event_model import DocumentNames

from gbx_beamline.frames.mimetype import EIGER_MIMETYPE
from gbx_bluesky.consolidator import LEGACY_SPECS, PIXEL_MASK
from gbx_bluesky.eiger_documents import mask_key

SPEC_TO_MIMETYPE: dict[str, str] = dict.fromkeys(sorted(LEGACY_SPECS), EIGER_MIMETYPE)
"""For ``TiledWriter(spec_to_mimetype=...)``."""


class EigerNormalizer(RunNormalizer):
    """Turns AD_EIGER2 resources into masters, one for each sequence id, and adds a node for the pixel mask.

    The stock normalizer keeps the keywords of a resource's first datum only, and so reads the first of several
    masters again and again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mask_resources: dict[str, str] = {}

    def datum(self, doc: Any) -> None:
        """Give each sequence id a resource of its own."""
        super().datum(doc)
        datum = self._datum_cache[doc["datum_id"]]
        if self._specs_by_resource_uid.get(doc["resource"]) not in LEGACY_SPECS:
            return
        sequence = datum["datum_kwargs"].get("seq_id")
        own = f"{doc['resource']}-{sequence}"
        if own not in self._sres_cache:
            self._sres_cache[own] = copy.deepcopy(self._sres_cache[doc["resource"]])
        datum["resource"] = own

    def emit(self, name: Any, doc: Any) -> None:
        """Pass a document on, and beside each Eiger image its pixel mask."""
        relay: Any = super().emit
        relay(name, doc)
        if name is DocumentNames.stream_resource and doc["parameters"].get("spec") in LEGACY_SPECS:
            mask_uid = f"{doc['uid']}-mask"
            self._mask_resources[doc["uid"]] = mask_uid
            parameters = {**doc["parameters"], "dataset": PIXEL_MASK}
            relay(name, {**doc, "uid": mask_uid, "data_key": mask_key(doc["data_key"]), "parameters": parameters})
        elif name is DocumentNames.stream_datum and doc["stream_resource"] in self._mask_resources:
            mask_uid = self._mask_resources[doc["stream_resource"]]
            relay(name, {**doc, "uid": f"{doc['uid']}-mask", "stream_resource": mask_uid})
