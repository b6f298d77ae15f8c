"""One retraining from the accepted scans to the default model, or to the reason why it stays.

Every step leaves what it made where the next try finds it: the data set in the catalog, checkpoints and models in
``retraining.directory``, virtual experiments and evaluations beside the models.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbx_beamline import __version__
from gbx_beamline.catalog import (
    DataSet,
    HeldRetraining,
    holding_retraining,
    load_dataset,
    publish_dataset,
)
from gbx_beamline.catalog.codec import plain
from gbx_beamline.catalog.retrainings import FAILED
from gbx_beamline.config import Config
from gbx_beamline.errors import InputError, RunNotFoundError
from gbx_beamline.learning.promotion import Verdict, judged_by_evaluations
from gbx_beamline.retraining._accepting import RULE, AcceptedScan
from gbx_beamline.retraining._foreseeing import Prospect, foresee, members_of
from gbx_beamline.retraining._freezing import frozen_under_way
from gbx_beamline.retraining._keeping import keep_model, restore_model
from gbx_beamline.retraining._outcome import KEPT, NOTHING, PROMOTED, WAITS, Outcome
from gbx_beamline.retraining._reading import Read, read_scans

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog
    from gbx_beamline.learning.jobs import Told
    from gbx_beamline.learning.store import ModelStore, StoredModel


def retrain(catalog: Catalog, config: Config, told: Told, *, by: str, force: bool = False) -> Outcome:
    """Make a new model from what was accepted since the last one, where one is wanted, and promote it, where it may be.

    Interrupted at any moment, the next call goes on. Only one is under way at a time.

    Args:
        catalog: Where scans, data sets and models are.
        config: ``retraining``, ``models`` and ``training`` count.
        told: told how far it is.
        by: Who asked for it.
        force: True wants a model from whatever is accepted, however little of it is new.

    Raises:
        BusyError: another retraining is under way.
        ServiceError: another one has taken over from this.
        CatalogError: the catalog is unreachable.
        InputError: the default model is damaged, or no accepted scan can be used.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    from gbx_beamline.learning._torch import check_torch
    from gbx_beamline.learning.store import ModelStore

    check_torch()
    with holding_retraining(catalog, by=by) as held:
        work = _Work(catalog, config, ModelStore(config.models), told, held)
        outcome = work.do(force=force)
        held.note(**_kept_of(outcome))
        return outcome


class _Work:
    """The steps of one retraining."""

    def __init__(self, catalog: Catalog, config: Config, store: ModelStore, told: Told, held: HeldRetraining) -> None:
        self._catalog, self._config, self._store, self._told, self._held = catalog, config, store, told, held

    def do(self, *, force: bool) -> Outcome:
        """All of them."""
        prospect = foresee(self._catalog, self._config, self._store, force=force)
        outcome = Outcome(
            number=self._held.number,
            status=NOTHING,
            reason=f"nothing to do: {prospect.reason}",
            default=self._store.default_id(),
            maps=len(prospect.gathered.scans),
            new=len(prospect.new),
            drift=prospect.drift,
        )
        begun = self._begun_before()
        if begun is not None:
            return self._go_on(outcome, begun)
        if (waiting := self._waiting(prospect)) is not None:
            last = prospect.last
            return self._judge(replace(outcome, dataset=last.dataset if last else None), waiting, "made before")
        if not prospect.wanted:
            return outcome
        return self._make(outcome, prospect.gathered.scans, prospect.parent, prospect.reason)

    # --- what there is already

    def _begun_before(self) -> DataSet | None:
        """The data set of a retraining that did not end in order; one that failed without a model begins anew."""
        before = self._held.continues
        if before is None or before.dataset is None or (before.status == FAILED and before.candidate is None):
            return None
        try:
            return load_dataset(self._catalog, before.dataset)
        except RunNotFoundError:
            return None

    def _go_on(self, outcome: Outcome, begun: DataSet) -> Outcome:
        """With the data set of the retraining before, and with its model, where it came so far."""
        before = self._held.continues
        why = f"begun by retraining {self._held.number - 1}"
        candidate = None if before is None or before.candidate is None else self._found(before.candidate)
        if candidate is not None:
            self._held.note(dataset=begun.id, candidate=candidate.id)
            known = replace(outcome, dataset=begun.id, maps=len(begun.members), new=begun.new)
            return self._judge(known, candidate, why)
        scans = tuple(
            AcceptedScan(run_uid=one.run_uid, record=one.record, sample=one.sample, why=one.why)
            for one in begun.members
        )
        return self._make(outcome, scans, begun.parent, why, begun)

    def _waiting(self, prospect: Prospect) -> StoredModel | None:
        """The candidate of the last retraining, where it waited for the end of a proposal and is not default yet."""
        last = prospect.last
        if last is None or last.status != WAITS or last.candidate is None:
            return None
        if last.candidate == self._store.default_id():
            return None
        return self._found(last.candidate)

    def _found(self, identity: str) -> StoredModel | None:
        """A model of the store, or of the catalog where the store has lost it."""
        try:
            return self._store.find(identity)
        except InputError:
            try:
                return restore_model(self._catalog, self._store, identity)
            except (InputError, RunNotFoundError):
                return None

    # --- the model

    def _make(
        self,
        outcome: Outcome,
        scans: tuple[AcceptedScan, ...],
        parent: str | None,
        why: str,
        begun: DataSet | None = None,
    ) -> Outcome:
        """Data set and candidate, and what comes of it."""
        from gbx_beamline.learning.belief import FEWEST_ACCEPTED
        from gbx_beamline.learning.predictor import model_of
        from gbx_beamline.learning.rebelieving import with_experiments

        reigning = self._store.find("default")
        read = self._read(reigning, scans)
        outcome = replace(outcome, left_out=read.left_out)
        if len(read.members) < FEWEST_ACCEPTED:
            said = f"{len(read.members)} of {len(scans)} accepted maps can be used, {FEWEST_ACCEPTED} needed"
            return replace(outcome, reason=f"nothing to do: {said}")
        dataset = self._dataset(read, parent, begun)
        place = self._config.retraining.directory / f"{dataset.id}-{self._config.training.hash}"
        base = reigning
        if self._config.retraining.train:
            base = self._trained(dataset, place)
            # Another network sees other features.
            read = self._read(base, scans)
        candidate = with_experiments(
            base, model_of(base).belief, read.features, [one.sample for one in read.members], dataset.id, place
        )
        for model in {one.id: one for one in (reigning, base)}.values():
            keep_model(self._catalog, model)
        keep_model(self._catalog, candidate, dataset=dataset.id)
        stored = self._store.add(candidate)
        self._held.note(candidate=candidate.id)
        # All of it is in the store and in the catalog now.
        shutil.rmtree(place, ignore_errors=True)
        known = replace(outcome, dataset=dataset.id, maps=len(dataset.members), new=dataset.new)
        return self._judge(known, stored, why)

    def _read(self, model: StoredModel, scans: tuple[AcceptedScan, ...]) -> Read:
        from gbx_beamline.learning.jobs import Progress
        from gbx_beamline.learning.predictor import model_of

        return read_scans(
            self._catalog,
            model_of(model),
            scans,
            lambda done, total: self._told(Progress("reading accepted scans", done, total)),
        )

    def _dataset(self, read: Read, parent: str | None, begun: DataSet | None) -> DataSet:
        """The data set of what was read, in the catalog."""
        before = members_of(self._catalog, parent)
        dataset = DataSet(
            members=read.members,
            parent=parent,
            new=sum(one.record not in before for one in read.members),
            rule=RULE,
            package_version=__version__,
        )
        hashes = {} if begun is None else {one.record: one.sha256 for one in begun.members}
        changed = [one.record for one in read.members if hashes.get(one.record, one.sha256) != one.sha256]
        if changed:
            raise InputError(
                f"the maps of {len(changed)} records are no longer what they were, the first: {changed[0]}",
                needed="records that nobody has changed",
                action="compare the catalog with a backup; the next retraining gathers anew",
            )
        publish_dataset(self._catalog, dataset)
        self._held.note(dataset=dataset.id)
        return dataset

    def _trained(self, dataset: DataSet, place: Path) -> StoredModel:
        """A network trained anew, or gone on with."""
        from gbx_beamline.learning.jobs import train_model

        # Of the data set's own: the same data set gives the same model, another one another chance.
        seed = int(dataset.id.rpartition("-")[2][:7], 16)
        training = self._config.training.model_copy(update={"seed": seed})
        return train_model(self._config.model_copy(update={"training": training}), place, self._told)

    # --- the gate

    def _judge(self, outcome: Outcome, candidate: StoredModel, why: str) -> Outcome:
        """Promote the candidate, keep the default, or wait."""
        from gbx_beamline.learning.evaluation_job import evaluate_model, prepare_suites

        workers = self._config.retraining.workers
        suites = prepare_suites(self._config, (), self._told, workers=workers)
        for model in (self._store.find("default"), candidate):
            evaluate_model(self._store, model, suites, self._told, workers=workers)
        self._held.check()
        if frozen := frozen_under_way(self._catalog, self._config):
            return self._waits(outcome, candidate, frozen)

        def judge(asked: StoredModel, reigning: StoredModel | None) -> Verdict:
            # Within the store's own lock: whoever has taken over meanwhile is seen before anything changes.
            self._held.check()
            return judged_by_evaluations(self._store.evaluation)(asked, reigning)

        event, verdict = self._store.promote(candidate.id, judge)
        made = replace(outcome, candidate=candidate.id, verdict=verdict, default=self._store.default_id())
        if event is None:
            return replace(made, status=KEPT, reason=f"the default stays: {'; '.join(verdict.reasons)}")
        said = f"{candidate.id} is default, in place of {event.replaces} ({why}; {event.why})"
        return replace(made, status=PROMOTED, reason=f"{said}. Back again with: gbx models rollback")

    def _waits(self, outcome: Outcome, candidate: StoredModel, frozen: dict[str, float]) -> Outcome:
        hours = self._config.retraining.quiet_hours
        ends = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(frozen.values()) + hours * 3600.0))
        said = (
            f"a proposal that has frozen {', '.join(sorted(frozen))} is measuring: the default stays, and the "
            f"candidate is judged in the first retraining after {ends}, {hours:g} h after its last run"
        )
        self._store.name_candidate(candidate.id, why=said)
        return replace(outcome, status=WAITS, reason=said, candidate=candidate.id)


def _kept_of(outcome: Outcome) -> dict[str, Any]:
    """What the catalog keeps of an outcome."""
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "default": outcome.default,
        "candidate": outcome.candidate,
        "dataset": outcome.dataset,
        "maps": outcome.maps,
        "new": outcome.new,
        "left_out": dict(outcome.left_out),
        "drift": plain(outcome.drift),
        "gate": plain(outcome.verdict),
        "ended": time.time(),
        "package_version": __version__,
    }
