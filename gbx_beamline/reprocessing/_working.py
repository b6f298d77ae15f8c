"""Analyses chosen runs again, one after another here or many at once on a Dask cluster.

The catalog is the account of what is done: a record of today's settings, or an inference of the model, that is there
already is found and stands. So whatever was interrupted is gone on with by asking for the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gbx_beamline import assemble, pipeline
from gbx_beamline.config import Config
from gbx_beamline.errors import (
    CatalogError,
    CatalogUnreachableError,
    DependencyError,
    GbxError,
    InputError,
    unforeseen,
)
from gbx_beamline.reprocessing._choosing import Job
from gbx_beamline.reprocessing._outcome import Reprocessed, shares

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is to be done with each run. It travels to workers."""

    config: Config
    """With absolute paths, where workers have other working folders."""
    model: str | Path | None = None
    """Alias, id or folder of who is asked; None = as the configuration says for each run."""
    api_key: str | None = None
    """Of the catalog; None = from each worker's environment."""

    @property
    def infers(self) -> bool:
        """Whether a model is asked: one that is named always is."""
        return self.model is not None or self.config.models.infer

    def checked(self) -> Request:
        """The same with the whole id of the model that is named, whatever is promoted while runs are worked on.

        Raises:
            InputError: no such model, or its folder is damaged.
        """
        if self.model is None:
            return self
        from gbx_beamline.learning.store import ModelStore

        found = ModelStore(self.config.models).find(self.model)
        in_store = not isinstance(self.model, Path) and "/" not in self.model
        return replace(self, model=found.id if in_store else found.folder.resolve())


def work(catalog: Catalog, jobs: Sequence[Job], request: Request, *, dask: str | None = None) -> Iterator[Reprocessed]:
    """Do what is missing of each job, and tell of each as soon as it is done.

    A run that cannot be analysed gets a record with the reason and keeps no other one waiting.

    Args:
        catalog: Where runs and records are.
        jobs: What to do.
        request: How.
        dask: Address of a Dask scheduler, or "local" for a cluster on this machine; None = here, one by one.

    Raises:
        CatalogError: the catalog is unreachable or takes no results: nothing more can be done now.
        ServiceError: all workers are lost.
        DependencyError: ``distributed`` is absent.
    """
    if dask is None:
        for job in jobs:
            yield _reprocess(catalog, job, request)
    else:
        yield from _spread(catalog, jobs, request, dask)


def foresee(catalog: Catalog, jobs: Sequence[Job], request: Request) -> Iterator[Reprocessed]:
    """What ``work`` would do; nothing is computed or written."""
    from gbx_beamline.catalog import find_inference, find_records, find_terminal
    from gbx_beamline.learning.store import ModelStore

    for job in jobs:
        start = catalog.run(job.run).metadata["start"]
        scan = pipeline.describe_start(start, source="catalog")
        found = assemble.settings_for(catalog, request.config, scan.sample, job.rule)
        made_by = pipeline.provenance(found.analysis, catalog.array, rule=job.rule, sample_version=found.sample_version)
        there = find_terminal(catalog, scan, made_by)
        done = there is not None and not there.failed
        model = ""
        if request.infers:
            model = ModelStore(request.config.models).find(request.model or request.config.models.judge_of(start)).id
            done = done and there is not None and find_inference(catalog, there.key, model) is not None
        others = [one for one in find_records(catalog, run_uid=job.run) if there is None or one.key != there.key]
        yield Reprocessed(
            job=job,
            status="there already" if done else "to do",
            before=tuple(one.key for one in others),
            record="" if there is None else there.key,
            s_before=shares(others),
            s_now=() if there is None else shares([there]),
            model=model,
        )


def _spread(catalog: Catalog, jobs: Sequence[Job], request: Request, dask: str) -> Iterator[Reprocessed]:
    from gbx_beamline.simulation.workers import cluster, loss_in_words, spread

    with cluster(dask) as (workers, client):
        # There are workers, so its package is there.
        from gbx_beamline.reprocessing._at_workers import opened_at_workers

        with opened_at_workers(client, request.config, request.api_key) as opened:
            for job, future in spread(workers, partial(_reprocess_there, request=request, opened=opened), jobs):
                try:
                    with loss_in_words():
                        found = future.result()
                    yield found
                except GbxError:
                    raise
                except Exception as error:
                    # Most of all a run that took several workers along.
                    logger.exception("run %s took its worker along", job.run)
                    yield _broken_down(catalog, job, request, error)


def _reprocess_there(job: Job, request: Request, opened: str) -> Reprocessed:
    """What a worker does."""
    from dask import config as dask_config

    from gbx_beamline.reprocessing._at_workers import catalog_here

    # Tiled's client reads and writes arrays by way of Dask. In a worker that would hand them to the cluster, whose
    # thread waits for this very run. Set for good: another thread of this worker may be at another run.
    dask_config.set(scheduler="threads")
    with catalog_here(opened) as catalog:
        return _reprocess(catalog, job, request)


def _reprocess(catalog: Catalog, job: Job, request: Request) -> Reprocessed:
    from gbx_beamline.catalog import TiledSink

    try:
        return _analysed(catalog, job, request)
    except CatalogUnreachableError:
        raise
    except CatalogError as error:
        # A server that takes no results from anybody would make a failure of every run.
        TiledSink(catalog).try_writing()
        return _failed(catalog, job, str(error))
    except GbxError as error:
        return _failed(catalog, job, str(error))
    except Exception as error:
        logger.exception("the analysis of run %s broke down", job.run)
        return _broken_down(catalog, job, request, error)


def _analysed(catalog: Catalog, job: Job, request: Request) -> Reprocessed:
    from gbx_beamline.catalog import find_records
    from gbx_beamline.records import ScanFailure, ScanResult

    done = assemble.analyze_run(catalog, job.run, request.config, rule=job.rule, retry_failed=True)
    if isinstance(done.outcome, ScanFailure):
        return _failed(catalog, job, done.outcome.reason, record=done.key)
    model, reason, asked = "", "", False
    if request.infers:
        result = done.outcome if isinstance(done.outcome, ScanResult) else None
        try:
            inferred = assemble.infer_record(catalog, done.key, request.config, result=result, model=request.model)
            model, asked = inferred.model_id, inferred.inference is not None
        except (InputError, DependencyError) as error:
            # The correlation stands whatever becomes of the model.
            reason = f"no inference: {error}"
    records = find_records(catalog, run_uid=job.run)
    others = [one for one in records if one.key != done.key]
    status = "new record" if not done.already_there else "new inference" if asked else "there already"
    return Reprocessed(
        job=job,
        status="failed" if reason else status,
        reason=reason,
        before=tuple(one.key for one in others),
        record=done.key,
        s_before=shares(others),
        s_now=shares([one for one in records if one.key == done.key]),
        model=model,
    )


def _broken_down(catalog: Catalog, job: Job, request: Request, error: Exception) -> Reprocessed:
    """An error that nobody foresaw, with a record of it."""
    reason = unforeseen(f"{type(error).__name__}: {error}")
    record = assemble.publish_failure(catalog, job.run, reason, request.config, rule=job.rule)
    return _failed(catalog, job, str(reason), record=record)


def _failed(catalog: Catalog, job: Job, reason: str, *, record: str = "") -> Reprocessed:
    from gbx_beamline.catalog import find_records

    others = [one for one in find_records(catalog, run_uid=job.run) if one.key != record]
    return Reprocessed(
        job=job,
        status="failed",
        reason=reason,
        before=tuple(one.key for one in others),
        record=record,
        s_before=shares(others),
    )
