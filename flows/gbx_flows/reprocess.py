"""Analyse old runs again with today's settings and models, with progress and summary in Prefect's own pages.

One task does a batch: what is done is in the catalog, so a task that starts again, by hand or by itself after the
catalog or workers were lost, does what is missing. Many runs are spread over a Dask cluster, not over Prefect tasks,
each of which would cost the server some writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task

from gbx_beamline import assemble, reprocessing
from gbx_beamline.errors import AccessDeniedError, CatalogError, ServiceError
from gbx_beamline.learning.jobs import Progress
from gbx_beamline.reprocessing import Choice, Chosen, Job, Reprocessed, Request
from gbx_flows.keys import catalog_key
from gbx_flows.train import following, progress_artifact

BATCH = 50
"""Runs of one Prefect task."""

_RETRY_DELAYS: list[float] = [5, 30, 120]
"""s before each further try, when the catalog or all workers went away."""


class Ledger:
    """What was done, through all tries of all tasks; moves a progress artifact."""

    def __init__(self, total: int, artifact: UUID) -> None:
        self.rows: dict[Job, Reprocessed] = {}
        self._total = total
        self._told = following(artifact)

    def add(self, row: Reprocessed) -> None:
        """Note one more."""
        self.rows[row.job] = row
        self._told(Progress("runs", len(self.rows), self._total, row.job.run[:8]))

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of which nothing is noted."""
        return [job for job in jobs if job not in self.rows]


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, ServiceError | CatalogError) and not isinstance(error, AccessDeniedError)


@task(cache_policy=NO_CACHE, persist_result=False)
def choose_runs(choice: Choice, request: Request) -> Chosen:
    """Find the runs that are meant."""
    with assemble.open_catalog(request.config, api_key=request.api_key) as catalog:
        chosen = reprocessing.choose(catalog, request.config, choice)
    get_run_logger().info(
        "%d runs to look at; %d have not ended, %d are wanted by no selection rule",
        len(chosen.jobs),
        chosen.unfinished,
        len(chosen.unwanted),
    )
    return chosen


@task(
    retries=len(_RETRY_DELAYS),
    retry_delay_seconds=_RETRY_DELAYS,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def reprocess_batch(jobs: Sequence[Job], request: Request, dask: str | None, dry_run: bool, ledger: Ledger) -> None:
    """Do what is missing of some runs."""
    logger = get_run_logger()
    with assemble.open_catalog(request.config, api_key=request.api_key) as catalog:
        missing = ledger.missing(jobs)
        rows = (
            reprocessing.foresee(catalog, missing, request)
            if dry_run
            else reprocessing.work(catalog, missing, request, dask=dask)
        )
        for row in rows:
            ledger.add(row)
            logger.info("run %s, rule %s: %s %s", row.job.run, row.job.rule, row.status, row.reason)


@flow(name="reprocess", persist_result=False)
def reprocess(
    since: datetime | None = None,
    until: datetime | None = None,
    uids: Sequence[str] = (),
    sample: str | None = None,
    rule: str | None = None,
    model: str | None = None,
    dask: str | None = None,
    dry_run: bool = False,
    config: Path | None = None,
) -> list[Reprocessed]:
    """Analyse old runs again, or go on where an interrupted flow run stopped. Older results stay beside the new.

    Args:
        since: Runs that started then or later. This, ``sample`` or ``uids`` must be given; all conditions must be met.
        until: And earlier than this.
        uids: And these runs, each by its uid or the start of it.
        sample: And of this sample.
        rule: Only by this selection rule; None = by each that wants a run.
        model: Alias, id or folder of the model to be asked; None = as the configuration says for each run.
        dask: Address of a Dask scheduler whose workers analyse, or "local" for a cluster on the flow's machine.
        dry_run: True says what would be done.
        config: File of the configuration, on the machine that runs the flow; None = the one that ``GBX_CONFIG`` names.

    Returns:
        What became of each run; one that failed does not fail the flow.

    Raises:
        GbxError: as ``reprocessing.choose`` and ``reprocessing.work`` say.
    """
    request = Request(config=assemble.configuration(config).absolute(), model=model, api_key=catalog_key()).checked()
    choice = Choice(uids=tuple(uids), since=_unix(since), until=_unix(until), sample=sample, rule=rule)
    chosen = choose_runs(choice, request)
    ledger = Ledger(len(chosen.jobs), progress_artifact(f"{len(chosen.jobs)} runs"))
    jobs = iter(chosen.jobs)
    while batch := list(islice(jobs, BATCH)):
        reprocess_batch(batch, request, dask, dry_run, ledger)
    rows = list(ledger.rows.values())
    create_markdown_artifact(
        markdown=_markdown(rows), key=f"reprocess-{flow_run.id}", description=f"{len(rows)} runs analysed again"
    )
    return rows


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _markdown(rows: Sequence[Reprocessed]) -> str:
    columns = reprocessing.COLUMNS
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    lines += [f"| {' | '.join(reprocessing.cells(row))} |" for row in rows]
    said = "".join(f"- {reason}\n" for reason in reprocessing.reasons(rows))
    return "\n".join([f"**{reprocessing.counted(rows) or 'no runs'}**", "", *lines, "", said])
