"""The drift monitor on a catalog: which scans are recent, which are known, and what is found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from gbx_beamline.catalog import Entry, Listing, list_entries, load_dataset
from gbx_beamline.config import Config
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.retraining._accepting import newest_answers
from gbx_beamline.retraining._drift import DriftReport, calibration, compare_scans, shares

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog
    from gbx_beamline.learning.store import ModelStore, StoredModel

EARLIER = 200
"""Scans before the recent ones that they are compared with, where the model knows no accepted ones."""

_SECONDS_A_DAY = 86400.0


def drift_report(catalog: Catalog, config: Config, store: ModelStore, *, now: float | None = None) -> DriftReport:
    """The recent scans of a catalog beside those that the reigning model knows.

    Those are the accepted maps it was made with, else the scans before the recent ones.

    Args:
        catalog: Where the scans are.
        config: ``retraining`` counts.
        store: Where the models are.
        now: Unix time, s; None = now.

    Raises:
        CatalogError: the catalog is unreachable.
        InputError: there is no default model, or it is damaged.
    """
    moment = time.time() if now is None else now
    settings = config.retraining
    since = moment - settings.look_back_days * _SECONDS_A_DAY
    model = store.find("default")
    judged = list(islice(newest_answers(catalog, since), settings.drift.recent + EARLIER))
    recent = judged[: settings.drift.recent]
    recent_keys = {str(entry.facts["record"]) for entry in recent}
    known, against = _known(catalog, model)
    if not known:
        earlier = judged[settings.drift.recent :]
        known = {str(entry.facts["record"]) for entry in earlier}
        against = f"the {len(known)} judged scans before"
    known -= recent_keys
    facts = _facts(catalog, recent_keys | known, since)
    ours = [facts[key] for key in recent_keys if key in facts]
    theirs = [facts[key] for key in known if key in facts]
    evaluation = store.evaluation(model)
    checks = [
        *compare_scans(ours, theirs, settings.drift),
        *shares([entry.facts for entry in recent], settings.drift),
        *calibration(None if evaluation is None else evaluation["measures"], settings.drift),
    ]
    return DriftReport(
        model=model.id,
        made=moment,
        recent=len(ours),
        reference=len(theirs),
        against=against,
        checks=tuple(checks),
    )


def _known(catalog: Catalog, model: StoredModel) -> tuple[set[str], str]:
    """Records of the accepted maps that a model was made with; none where it was made with none, or they are lost."""
    experiments = model.description.data.get("experiments")
    if not isinstance(experiments, Mapping):
        return set(), ""
    try:
        dataset = load_dataset(catalog, str(experiments["dataset"]))
    except RunNotFoundError:
        return set(), ""
    return {member.record for member in dataset.members}, f"the {len(dataset.members)} accepted maps of {dataset.id}"


def _facts(catalog: Catalog, wanted: set[str], since: float) -> dict[str, Mapping[str, Any]]:
    """Facts of these records."""
    missing, found = set(wanted), dict[str, Mapping[str, Any]]()
    for page in list_entries(catalog, Listing.RECORDS, since=since):
        found |= {entry.key: entry.facts for entry in page if _is_wanted(entry, missing)}
        missing -= set(found)
        if not missing:
            break
    return found


def _is_wanted(entry: Entry, wanted: set[str]) -> bool:
    return entry.key in wanted and entry.facts["status"] == "complete"
