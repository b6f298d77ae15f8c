"""The catalog: records with their schema, written once and read by pointers. The only place that knows Tiled's keys."""

from gbx_beamline.catalog.accepted import Acceptance, acceptances, mark_accepted
from gbx_beamline.catalog.average_schema import average_key
from gbx_beamline.catalog.averages import AverageSummary, find_averages, has_average, load_average
from gbx_beamline.catalog.comparisons import (
    AttenuationSearch,
    AttenuationSet,
    compare_runs,
    find_attenuation_sets,
)
from gbx_beamline.catalog.connect import Catalog, connect
from gbx_beamline.catalog.datasets import DataSet, Member, load_dataset, publish_dataset
from gbx_beamline.catalog.groups import GroupedScan, MaterialDoseGroup, group_named, material_dose_groups
from gbx_beamline.catalog.inferences import InferenceSummary, find_inference, find_inferences, load_inference
from gbx_beamline.catalog.listing import Entry, Listing, list_entries, moment_of
from gbx_beamline.catalog.live import (
    LiveSink,
    LiveSummary,
    end_live,
    find_live,
    live_key,
    load_live,
    load_newer,
    sweep_live,
)
from gbx_beamline.catalog.models import CatalogModel, find_models, load_model_files
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
from gbx_beamline.catalog.references import Floors, Reference, find_floor, find_references, mark_reference
from gbx_beamline.catalog.retrainings import (
    HeldRetraining,
    Retraining,
    find_retrainings,
    holding_retraining,
    newest_retraining,
)
from gbx_beamline.catalog.samples import SampleVersion, known_samples, latest_version, sample_versions, version_of

__all__ = [
    "Acceptance",
    "AttenuationSearch",
    "AttenuationSet",
    "AverageSummary",
    "Catalog",
    "CatalogModel",
    "DataSet",
    "Entry",
    "Floors",
    "GroupedScan",
    "HeldRetraining",
    "InferenceSummary",
    "Listing",
    "LiveSink",
    "LiveSummary",
    "MaterialDoseGroup",
    "Member",
    "RecordParts",
    "RecordSummary",
    "Reference",
    "Retraining",
    "SampleVersion",
    "TiledSink",
    "acceptances",
    "average_key",
    "compare_runs",
    "connect",
    "end_live",
    "find_attenuation_sets",
    "find_averages",
    "find_floor",
    "find_for_rule",
    "find_inference",
    "find_inferences",
    "find_live",
    "find_models",
    "find_record",
    "find_records",
    "find_references",
    "find_retrainings",
    "find_terminal",
    "group_named",
    "has_average",
    "holding_retraining",
    "known_samples",
    "latest_version",
    "list_entries",
    "live_key",
    "load_average",
    "load_dataset",
    "load_inference",
    "load_live",
    "load_model_files",
    "load_newer",
    "load_record",
    "mark_accepted",
    "mark_reference",
    "material_dose_groups",
    "moment_of",
    "newest_retraining",
    "publish_dataset",
    "sample_versions",
    "summary_of",
    "sweep_live",
    "version_of",
]
