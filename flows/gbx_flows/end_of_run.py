"""What happens when a scan has ended: analyse it, publish the record, ask the model, leave a report in Prefect.

Follows NSLS-II's convention for end-of-run flows. The configuration file is named by ``GBX_CONFIG``, the catalog
by its ``catalog.uri`` or by ``GBX_TILED_URI``. Flows pass uids and keys, never arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task

from gbx_beamline import assemble
from gbx_beamline.errors import (
    AccessDeniedError,
    CatalogError,
    ConfigError,
    DependencyError,
    InputError,
    SchemaError,
    unforeseen,
)
from gbx_beamline.figures import words
from gbx_beamline.records import ScanFailure, ScanResult
from gbx_flows.artifacts import artifact_key, report_markdown
from gbx_flows.keys import catalog_key

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog
    from gbx_beamline.config import Config

_RETRY_DELAYS: list[float] = [2, 5, 15, 40]
"""s before each further try: about a minute together, as long as a catalog takes to start again."""

_JITTER = 0.5


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Only trouble with the catalog may pass by itself; everything else would fail the same way again.

    A run may be unknown or unfinished because its documents are still on their way to the catalog.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, CatalogError) and not isinstance(error, AccessDeniedError | SchemaError)


_patient_task = task(
    retries=len(_RETRY_DELAYS),
    retry_delay_seconds=_RETRY_DELAYS,
    retry_jitter_factor=_JITTER,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
"""A task that outlasts a restart of the catalog; arrays and keys stay out of Prefect's stores."""


class Hand:
    """The record that an analysis has just made, and the open catalog, for the tasks after it.

    They find it here instead of reading 100 MB back from the catalog. It is no parameter with arrays in it: Prefect
    looks into those.

    Args:
        api_key: Of the catalog.
    """

    result: ScanResult | None = None
    """None where the record was there already, or is a failure."""

    def __init__(self, api_key: str | None = None) -> None:
        self._api_key = api_key
        self._stack = ExitStack()
        self._catalog: Catalog | None = None

    @contextmanager
    def catalog(self, config: Config) -> Iterator[Catalog]:
        """The catalog, opened once for all tasks; one that made trouble is opened anew by whoever comes next."""
        if self._catalog is None:
            self._catalog = self._stack.enter_context(assemble.open_catalog(config, api_key=self._api_key))
        try:
            yield self._catalog
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._catalog = None
        self._stack.close()


@_patient_task
def analyze_scan(
    uid: str,
    hand: Hand,
    dry_run: bool = False,
    rule: str | None = None,
    retry_failed: bool = False,
) -> str:
    """Analyse the run, as a selection rule wants it, and publish its record, unless it is there already.

    Returns:
        Key of the record; empty for a dry run.
    """
    logger = get_run_logger()
    config = assemble.configuration()
    with hand.catalog(config) as catalog:
        done = assemble.analyze_run(catalog, uid, config, rule=rule, retry_failed=retry_failed, dry_run=dry_run)
    where = "dry run, nothing published" if dry_run else f"record {done.key}"
    if done.outcome is None:
        logger.info("run %s was analysed with these settings before: %s stands", uid, where)
    elif isinstance(done.outcome, ScanFailure):
        logger.warning("run %s cannot be analysed: %s (%s)", uid, done.outcome.reason, where)
    else:
        hand.result = done.outcome
        logger.info("run %s: %d q-ROIs analysed (%s)", uid, len(done.outcome.rois), where)
    return done.key


@_patient_task
def infer_scan(uid: str, key: str, hand: Hand) -> str:
    """Ask the configured model about the scan and publish what it says, unless it has been asked.

    Correlation stands whatever becomes of the model: one that is not there costs an answer, not a record.

    Returns:
        Why no model was asked; empty where one was.
    """
    logger = get_run_logger()
    config = assemble.configuration()
    with hand.catalog(config) as catalog:
        try:
            done = assemble.infer_record(catalog, key, config, result=hand.result)
        except (InputError, DependencyError) as error:
            logger.error("run %s: no inference: %s", uid, error)
            return str(error)
    if done.inference is None:
        logger.info("run %s was judged before: %s stands", uid, done.key)
    else:
        said, limits = words.inferred(done.inference)
        logger.info("run %s: %s%s", uid, said, "".join(f"; {limit}" for limit in limits))
    return ""


@_patient_task
def publish_artifact(uid: str, key: str, hand: Hand, not_inferred: str = "") -> None:
    """A Markdown artifact with the table of results and a picture of the scan: last, because drawing takes seconds."""
    from gbx_beamline.catalog import find_inferences, load_inference, load_record, summary_of

    config = assemble.configuration()
    with hand.catalog(config) as catalog:
        summary = summary_of(catalog, key)
        outcome = hand.result or load_record(catalog, key)
        inferences = find_inferences(catalog, record=key)
        inference = load_inference(catalog, inferences[-1].key) if inferences else None
    create_markdown_artifact(
        markdown=report_markdown(outcome, [summary], inference, not_inferred),
        key=artifact_key(uid),
        description=f"XPCS analysis of run {uid[:8]}",
    )


@_patient_task
def record_failure(uid: str, error: str, hand: Hand, rule: str | None = None) -> str:
    """Leave a record of an error that nobody foresaw, so that no scan is without an answer."""
    config = assemble.configuration()
    with hand.catalog(config) as catalog:
        return assemble.publish_failure(catalog, uid, unforeseen(error), config, rule=rule)


def _forget_key() -> None:
    """Take the key out of the parameters that Prefect keeps and shows to whoever sees the flow run."""
    parameters = {**flow_run.parameters, "api_key": None}
    with get_client(sync_client=True) as client:
        client.update_flow_run(
            flow_run.id, parameters=end_of_run_workflow.serialize_parameters(parameters)
        ).raise_for_status()


def _flow_run_name() -> str:
    # A format string would stop a flow without run_start before it can say what is wrong.
    return f"end-of-run {flow_run.parameters['stop_doc'].get('run_start', 'of no run')}"


@flow(name="end-of-run", flow_run_name=_flow_run_name, persist_result=False)
def end_of_run_workflow(
    stop_doc: Mapping[str, Any],
    api_key: str | None = None,
    dry_run: bool = False,
    rule: str | None = None,
    retry_failed: bool = False,
) -> str:
    """Analyse the scan that has just ended.

    Running it twice, or twice at once, leaves one result.

    Args:
        stop_doc: The run's stop document; only ``run_start`` is used.
        api_key: Key of the catalog; else from the environment, else from the Prefect Secret ``tiled-api-key``,
            where it belongs: whatever starts a flow run with parameters may show them.
        dry_run: True computes and publishes nothing.
        rule: Selection rule of the configuration that wants the run; None = as configured for its sample.
        retry_failed: True analyses again where only a failure is recorded.

    Returns:
        Key of the record that readers see, a result or a reasoned failure; empty for a dry run.

    Raises:
        InputError: a stop document that names no run.
        CatalogError: the catalog is unreachable, refuses the key, or still lacks the run after all tries.
        ConfigError: settings that cannot be read.
    """
    if api_key:
        _forget_key()
    uid = stop_doc.get("run_start")
    if not isinstance(uid, str) or not uid:
        raise InputError(
            f"a stop document whose run_start is {uid!r}",
            needed="the uid of the run that has ended",
            action="start the flow with a stop document as Bluesky emits it",
        )
    with closing(Hand(catalog_key(api_key))) as hand:
        return _carry_out(uid, hand, dry_run, rule, retry_failed)


def _carry_out(uid: str, hand: Hand, dry_run: bool, rule: str | None, retry_failed: bool) -> str:
    try:
        record = analyze_scan(uid, hand, dry_run, rule, retry_failed)
    except (CatalogError, ConfigError):
        # Nothing can be recorded without a catalog or with settings that cannot be read.
        raise
    except Exception as error:
        if not dry_run:
            record_failure(uid, f"{type(error).__name__}: {error}", hand, rule)
        raise
    if record:
        publish_artifact(uid, record, hand, _infer(uid, record, hand))
    return record


def _infer(uid: str, record: str, hand: Hand) -> str:
    """Why no model was asked; empty where one was, or where none is to be."""
    from gbx_beamline.catalog.schema import is_failure_key

    if is_failure_key(record) or not assemble.configuration().models.infer:
        return ""
    try:
        return infer_scan(uid, record, hand)
    except CatalogError:
        raise
    except Exception as error:  # noqa: BLE001
        # One that nobody foresaw: the scan's record is there, and its report is to come all the same.
        get_run_logger().exception("run %s: no inference", uid)
        return f"the model broke down: {type(error).__name__}: {error}"
