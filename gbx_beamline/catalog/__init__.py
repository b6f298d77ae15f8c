"""The catalog: records with their schema, written once and read by pointers. The only place that knows Tiled's keys."""

from gbx_beamline.catalog.comparisons import (
    AttenuationSearch,
    AttenuationSet,
    compare_runs,
    find_attenuation_sets,
)
from gbx_beamline.catalog.connect import Catalog, connect
from gbx_beamline.catalog.groups import GroupedScan, MaterialDoseGroup, group_named, material_dose_groups
from gbx_beamline.catalog.inferences import InferenceSummary, find_inference, find_inferences, load_inference
from gbx_beamline.catalog.live import LiveSink, LiveSummary, end_live, find_live, live_key, load_live, sweep_live
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
from gbx_beamline.catalog.references import Floors, Reference, find_floor, find_references, mark_reference

__all__ = [
    "AttenuationSearch",
    "AttenuationSet",
    "Catalog",
    "Floors",
    "GroupedScan",
    "InferenceSummary",
    "LiveSink",
    "LiveSummary",
    "MaterialDoseGroup",
    "RecordSummary",
    "Reference",
    "TiledSink",
    "compare_runs",
    "connect",
    "end_live",
    "find_attenuation_sets",
    "find_floor",
    "find_for_rule",
    "find_inference",
    "find_inferences",
    "find_live",
    "find_record",
    "find_records",
    "find_references",
    "find_terminal",
    "group_named",
    "live_key",
    "load_inference",
    "load_live",
    "load_record",
    "mark_reference",
    "material_dose_groups",
    "summary_of",
    "sweep_live",
]
