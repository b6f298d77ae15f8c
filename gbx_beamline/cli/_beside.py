"""Looks up what stands beside the records that a command lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gbx_beamline.config import Config
from gbx_beamline.figures.beside import Beside
from gbx_beamline.records import InstrumentFloor

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, RecordSummary


def beside(catalog: Catalog, records: Sequence[RecordSummary], config: Config) -> Beside:
    """Floors of the instrument, and comparisons at two attenuations, of records.

    Args:
        catalog: Where they are.
        records: As a command lists them; partners of a comparison are looked for among all scans of their samples.
        config: ``floor``, ``compare`` and ``groups``.
    """
    from gbx_beamline.catalog import Floors, find_attenuation_sets, find_records

    good = [record for record in records if not record.failed]
    floors = Floors(catalog, config.floor)
    found = {record.key: floors.beside(record) for record in good}
    samples = dict.fromkeys(record.metadata["sample"] for record in good if record.metadata["sample"])
    whole = [one for sample in samples for one in find_records(catalog, sample=sample)]
    sets = find_attenuation_sets(whole, config.compare, config.groups).sets
    return Beside(
        floors={key: one for key, one in found.items() if isinstance(one, InstrumentFloor)},
        comparisons={scan.key: one.comparison for one in sets for scan in one.scans},
    )
