"""The catalog: records with their schema, written once and read by pointers. The only place that knows Tiled's keys."""

from gbx_beamline.catalog.connect import Catalog, connect
from gbx_beamline.catalog.groups import GroupedScan, MaterialDoseGroup, group_named, material_dose_groups
from gbx_beamline.catalog.inferences import InferenceSummary, find_inference, find_inferences, load_inference
from gbx_beamline.catalog.listing import Entry, Listing, list_entries
from gbx_beamline.catalog.live import (
    LiveSink,
    LiveSummary,
    end_live,
    find_live,
    live_key,
    live_revision,
    load_live,
    sweep_live,
)
from gbx_beamline.catalog.parts import RecordParts
from gbx_beamline.catalog.publish import TiledSink
from gbx_beamline.catalog.read import (
    RecordSummary,
    find_for_rule,
    find_record,
    find_records,
    find_terminal,
    load_record,
    summary_of,
)

__all__ = [
    "Catalog",
    "Entry",
    "GroupedScan",
    "InferenceSummary",
    "Listing",
    "LiveSink",
    "LiveSummary",
    "MaterialDoseGroup",
    "RecordParts",
    "RecordSummary",
    "TiledSink",
    "connect",
    "end_live",
    "find_for_rule",
    "find_inference",
    "find_inferences",
    "find_live",
    "find_record",
    "find_records",
    "find_terminal",
    "group_named",
    "list_entries",
    "live_key",
    "live_revision",
    "load_inference",
    "load_live",
    "load_record",
    "material_dose_groups",
    "summary_of",
    "sweep_live",
]
