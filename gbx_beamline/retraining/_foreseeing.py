"""Whether a new model is wanted now, and why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbx_beamline.catalog import Retraining, find_retrainings, load_dataset
from gbx_beamline.config import Config
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.learning.belief import FEWEST_ACCEPTED
from gbx_beamline.retraining._accepting import AcceptedScan, Gathered, gather
from gbx_beamline.retraining._drift import DriftReport
from gbx_beamline.retraining._outcome import KEPT, PROMOTED, WAITS
from gbx_beamline.retraining._watching import drift_report

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog
    from gbx_beamline.learning.store import ModelStore

_SECONDS_A_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What a retraining would begin with."""

    gathered: Gathered
    new: tuple[AcceptedScan, ...]
    """Accepted scans that are not in the data set of the last model."""
    needed: int
    last: Retraining | None
    """The last retraining that made a model."""
    drift: DriftReport
    wanted: bool
    reason: str
    """Why one is wanted, or why not."""

    @property
    def parent(self) -> str | None:
        """Id of the data set of the last model."""
        return None if self.last is None else self.last.dataset


def foresee(
    catalog: Catalog, config: Config, store: ModelStore, *, force: bool = False, now: float | None = None
) -> Prospect:
    """Look whether a new model is wanted. Nothing is changed.

    Args:
        catalog: Where the scans are.
        config: ``retraining`` counts.
        store: Where the models are.
        force: True wants one from whatever is accepted, however little of it is new.
        now: Unix time, s; None = now.

    Raises:
        CatalogError: the catalog is unreachable.
        InputError: there is no default model, or it is damaged.
    """
    moment = time.time() if now is None else now
    settings = config.retraining
    last = last_model(catalog)
    before = set() if last is None else members_of(catalog, last.dataset)
    gathered = gather(catalog, settings, now=moment)
    new = tuple(scan for scan in gathered.scans if scan.record not in before)
    drift = drift_report(catalog, config, store, now=moment)
    needed = settings.fewest_after_drift if drift.alarms else settings.fewest_new
    alarmed = f"drift of {', '.join(check.what for check in drift.alarms)}" if drift.alarms else ""
    age = None if last is None else (moment - last.begun) / _SECONDS_A_DAY
    early = age is not None and age < settings.every_days and not drift.alarms
    if len(gathered.scans) < FEWEST_ACCEPTED:
        wanted, reason = False, f"{len(gathered.scans)} accepted maps, {FEWEST_ACCEPTED} needed to compare scans with"
    elif force:
        wanted, reason = True, f"asked for: {len(new)} new maps"
    elif len(new) < needed:
        wanted, reason = False, f"{len(new)} new maps, {needed} needed" + (f" ({alarmed})" if alarmed else "")
    elif early:
        wanted = False
        reason = f"the last model is {age:.1f} days old, {settings.every_days:g} are between two, and nothing drifts"
    else:
        wanted, reason = True, f"{len(new)} new maps" + (f", early because of {alarmed}" if alarmed else "")
    return Prospect(gathered=gathered, new=new, needed=needed, last=last, drift=drift, wanted=wanted, reason=reason)


def last_model(catalog: Catalog) -> Retraining | None:
    """The last retraining that made a model and ended in order; None where there was none."""
    return next((one for one in find_retrainings(catalog) if one.status in (PROMOTED, KEPT, WAITS)), None)


def members_of(catalog: Catalog, dataset: str | None) -> set[str]:
    """Records of a data set; none where there is none, or it was lost with an older catalog: all is new then."""
    if dataset is None:
        return set()
    try:
        return {member.record for member in load_dataset(catalog, dataset).members}
    except RunNotFoundError:
        return set()
