"""The only place that wires: builds catalog, source and sink from a configuration.

Heavy imports stay inside functions, so that whoever imports this module pays only for what is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from gbx_beamline import pipeline
from gbx_beamline.config import CatalogConfig, Config, load_config
from gbx_beamline.errors import (
    CatalogError,
    DependencyError,
    GbxError,
    InputError,
    RunNotFoundError,
    RunUnfinishedError,
)
from gbx_beamline.records import ScanFailure, ScanInference, ScanInfo, ScanResult

if TYPE_CHECKING:
    from pathlib import Path

    from gbx_beamline.catalog import Catalog
    from gbx_beamline.learning.jobs import Told
    from gbx_beamline.learning.paper import ExperimentalScan
    from gbx_beamline.learning.virtual import PreparedSuite

CONFIG_VARIABLE = "GBX_CONFIG"
URI_VARIABLE = "GBX_TILED_URI"


class CatalogAddress(Protocol):
    """Where a server that was started for us listens, and with which key."""

    uri: str
    api_key: str


@dataclass(frozen=True)
class Analysis:
    """What came of asking for the analysis of one run."""

    key: str
    """Key of the record that readers see; empty for a dry run."""
    outcome: ScanResult | ScanFailure | None
    """The record, where this call computed it; None when it was there already."""

    @property
    def already_there(self) -> bool:
        """True when the run had been analysed with these settings before."""
        return self.outcome is None


def configuration(path: Path | str | None = None) -> Config:
    """The configuration of ``path``, else of the file that GBX_CONFIG names, else the defaults."""
    chosen = path or os.environ.get(CONFIG_VARIABLE)
    return load_config(chosen) if chosen else Config()


@contextmanager
def open_catalog(config: Config, *, api_key: str | None = None, must_exist: bool = False) -> Iterator[Catalog]:
    """The catalog of a configuration, open while the context lasts.

    With neither ``catalog.uri`` nor the variable GBX_TILED_URI, the embedded server on ``catalog.directory``
    is used, and started where it does not run yet.

    Args:
        config: Configuration.
        api_key: Key of the server; from the environment when absent.
        must_exist: True refuses to begin an embedded catalog: who wants to read is in the wrong folder then.

    Raises:
        CatalogError: no catalog, an unreachable server, a refused key.
        ServiceError: the embedded server does not start.
    """
    from gbx_beamline.catalog import connect

    settings = config.catalog
    uri = server_address(config)
    with ExitStack() as stack:
        if uri:
            key = api_key or api_key_in_environment(config)
        else:
            if must_exist and not settings.directory.is_dir():
                raise CatalogError(
                    f"no catalog in {settings.directory.resolve()}",
                    needed="the folder that `gbx demo` or `gbx import` made, or a Tiled server",
                    action=f"go to where {settings.directory} is, or name a server with catalog.uri in --config FILE "
                    f"or ${URI_VARIABLE}",
                )
            address = stack.enter_context(embedded_server(settings))
            uri, key = address.uri, address.api_key
        catalog = connect(uri, key, raw=settings.raw, processed=settings.processed)
        stack.callback(catalog.close)
        yield catalog


def server_address(config: Config) -> str | None:
    """Address of the Tiled server, the environment's before the configuration's; None means the embedded one."""
    return os.environ.get(URI_VARIABLE) or config.catalog.uri


def api_key_in_environment(config: Config) -> str | None:
    """The key in the variable that the configuration names."""
    return os.environ.get(config.catalog.api_key_env)


def embedded_server(settings: CatalogConfig) -> AbstractContextManager[CatalogAddress]:
    """The embedded Tiled server on the configured folder, running while the context lasts."""
    found = entry_points(group="gbx.catalogs", name="embedded")
    if not found:
        raise DependencyError(
            "no embedded catalog is installed",
            needed="the package's extra `tiled`",
            action="install gbx-beamline[tiled], or set catalog.uri to a running server",
        )
    return next(iter(found)).load()(settings.directory)


def data_roots(config: Config) -> tuple[Path, ...]:
    """Folders below which detector files that the catalog names are opened; none where none is configured."""
    settings = config.catalog
    if settings.roots is not None:
        return settings.roots
    return config.serve.live.roots or (() if server_address(config) else (settings.frames,))


def analyze_run(
    catalog: Catalog,
    uid: str,
    config: Config,
    *,
    rule: str | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
) -> Analysis:
    """Analyse one raw run of the catalog and publish the record, unless it is there already.

    A run that cannot be analysed gets a record with the reason; trouble with the catalog itself is raised,
    because trying again may help.

    Args:
        catalog: Where the run is and the record goes.
        uid: uid of the run, or the start of it.
        config: Configuration; the settings of the run's sample are used.
        rule: Selection rule that wants the run: what it overrides counts, and the record names it.
        retry_failed: True analyses again where only a failure is recorded.
        dry_run: True computes and publishes nothing.

    Raises:
        CatalogError: the catalog is unreachable, has no such run, or not yet all of it.
        ConfigError: a file that the configuration names is absent; no such rule.
    """
    from gbx_beamline.catalog import TiledSink, find_terminal
    from gbx_beamline.catalog.connect import said_in_words
    from gbx_beamline.frames import open_series

    run = catalog.run(uid)
    if not run.metadata.get("stop"):
        raise RunUnfinishedError(
            f"run {uid} has no stop document in {catalog.uri}",
            needed="a finished run",
            action="wait for its end; if it has ended, its documents have not reached the catalog yet",
        )
    scan = _scan_of(catalog, run)
    settings = config.for_run(scan.sample, rule)
    made_by = pipeline.provenance(settings, catalog.array, rule=rule or "")
    outcome: ScanResult | ScanFailure
    try:
        # Frames may come over HTTP: a server that goes away meanwhile is no fault of the scan.
        with said_in_words(catalog.uri):
            series = open_series(
                run,
                allow_incomplete=settings.allow_incomplete,
                frame_time=settings.frame_time_s,
                roots=data_roots(config),
            )
            made_by = pipeline.provenance(settings, catalog.array, series, rule=rule or "")
            existing = find_terminal(catalog, scan, made_by)
            if existing is not None and not dry_run and not (existing.failed and retry_failed):
                return Analysis(key=existing.key, outcome=None)
            outcome = replace(
                pipeline.analyze(series, settings, scan=scan, catalog_array=catalog.array), provenance=made_by
            )
    except CatalogError:
        raise
    except GbxError as error:
        outcome = pipeline.failure(scan, error, made_by)
    return Analysis(key="" if dry_run else TiledSink(catalog).publish(outcome), outcome=outcome)


def publish_failure(catalog: Catalog, uid: str, error: GbxError, config: Config, *, rule: str | None = None) -> str:
    """Leave a record of why a run cannot be analysed; it stands in the way of no later result.

    Args:
        catalog: Where the run is and the record goes.
        uid: uid of the run, or the start of it.
        error: The reason.
        config: Configuration.
        rule: Selection rule that wanted the run.

    Returns:
        Key of the record.

    Raises:
        CatalogError: the catalog is unreachable, or has no such run.
        ConfigError: settings that cannot be read; no such rule.
    """
    from gbx_beamline.catalog import TiledSink

    scan = _scan_of(catalog, catalog.run(uid))
    made_by = pipeline.provenance(config.for_run(scan.sample, rule), catalog.array, rule=rule or "")
    return TiledSink(catalog).publish(pipeline.failure(scan, error, made_by))


def _scan_of(catalog: Catalog, run: Any) -> ScanInfo:
    scan = pipeline.describe_start(run.metadata["start"], source="catalog")
    return replace(scan, access_tags=catalog.access_tags(run))


@dataclass(frozen=True)
class Inferred:
    """What came of asking a model about one record."""

    key: str
    """Key of the inference record that readers see."""
    inference: ScanInference | None
    """The record, where this call made it; None when it was there already."""
    model_id: str
    """Who was asked."""


def infer_record(
    catalog: Catalog,
    key: str,
    config: Config,
    *,
    result: ScanResult | None = None,
    model: str | Path | None = None,
) -> Inferred:
    """Ask a model about one correlation record and publish what it says, unless it has been asked.

    A scan that is outside of the model's contract gets a record with the reason.

    Args:
        catalog: Where the record is.
        key: Key of the correlation record.
        config: Configuration; ``models`` says who is asked.
        result: The record, where it is at hand: it is not read again then.
        model: Alias, id or folder of who is asked instead.

    Raises:
        CatalogError: the catalog is unreachable, or has no such record.
        InputError: the record is a failure; there is no such model, or its folder is damaged.
        DependencyError: torch, zuko or safetensors is absent.
    """
    from gbx_beamline.catalog import TiledSink, find_inference, load_record
    from gbx_beamline.learning.kept import kept_model
    from gbx_beamline.learning.store import ModelStore

    stored = ModelStore(config.models).find(_judge_of(catalog, key, config) if model is None else model)
    existing = find_inference(catalog, key, stored.id)
    if existing is not None:
        return Inferred(existing.key, None, stored.id)
    found = result or load_record(catalog, key)
    if isinstance(found, ScanFailure):
        raise InputError(
            f"record {key} says that the scan could not be analysed: {found.reason}",
            needed="an analysed scan",
            action="analyse it again first",
        )
    inference = pipeline.infer(found, kept_model(stored), record=key)
    return Inferred(TiledSink(catalog).publish_inference(inference), inference, stored.id)


def _judge_of(catalog: Catalog, key: str, config: Config) -> str:
    """Who infers: the model that is frozen for the run's proposal, else the configured one."""
    from gbx_beamline.catalog import summary_of

    if not config.models.frozen:
        return config.models.model
    try:
        start = catalog.run(summary_of(catalog, key).run_uid).metadata["start"]
    except RunNotFoundError:
        # A map that was imported never was a run.
        start = {}
    return config.models.judge_of(start)


@contextmanager
def experimental_scans(
    config: Config,
    *,
    samples: Sequence[str] = (),
    runs: Sequence[str] = (),
    suite: str | None = None,
    workers: int = 1,
    told: Told,
) -> Iterator[Iterator[ExperimentalScan]]:
    """Unlabelled scans of the catalog, or virtual experiments in their place, readable while the context lasts.

    Args:
        config: Configuration.
        samples: All analysed runs of these samples.
        runs: And these runs, each by its uid or the start of it.
        suite: A suite of virtual experiments; made where it is not there yet.
        workers: Processes that make it.
        told: Told how far that is.

    Raises:
        InputError: scans of neither, or of both.
        RunNotFoundError: nothing was analysed of a sample or a run.
        CatalogError: as ``open_catalog``.
        ConfigError: no such suite.
    """
    if bool(samples or runs) == (suite is not None):
        raise InputError(
            "no experiments" if suite is None else f"the suite {suite!r} and scans of the catalog",
            needed="samples or runs that are analysed, or else a suite of virtual experiments",
            action="add --sample, --run or --suite" if suite is None else "leave one of them out",
        )
    if suite is not None:
        from gbx_beamline.learning.evaluation_job import prepare_suites

        yield _scans_of_suite(prepare_suites(config, (suite,), told, workers=workers)[suite])
        return
    with open_catalog(config, must_exist=True) as catalog:
        yield _scans_of_catalog(catalog, samples, runs)


def _scans_of_suite(suite: PreparedSuite) -> Iterator[ExperimentalScan]:
    """Virtual experiments as experiments without labels; a group is what one sample gave."""
    from gbx_beamline.learning.paper import ExperimentalScan

    name = suite.settings.name
    for shot in suite:
        run, group = f"{name} {shot.plan.number}", f"{name} {shot.plan.group}"
        yield ExperimentalScan(two_time=shot.two_time, run=run, group=group)


def _scans_of_catalog(catalog: Catalog, samples: Sequence[str], runs: Sequence[str]) -> Iterator[ExperimentalScan]:
    """Analysed scans of a catalog as experiments without labels; a group is a sample. Of each run the newest result."""
    from gbx_beamline.catalog import find_record, find_records, load_record
    from gbx_beamline.learning.paper import ExperimentalScan

    newest = {record.run_uid: record for record in (find_record(catalog, uid) for uid in runs)}
    for sample in samples:
        records = [record for record in find_records(catalog, sample=sample) if not record.failed]
        if not records:
            raise RunNotFoundError(
                f"no results of a sample {sample!r} in {catalog.uri}",
                needed="analysed scans",
                action="list them with `gbx results`, or analyse runs with `gbx analyze UID`",
            )
        newest |= {record.run_uid: record for record in records}
    for run, record in newest.items():
        outcome = load_record(catalog, record.key)
        if isinstance(outcome, ScanFailure):
            raise RunNotFoundError(
                f"run {run} was not analysed: {outcome.reason}", needed="an analysed run", action="leave it out"
            )
        yield ExperimentalScan(two_time=outcome.two_time, run=run, group=outcome.scan.sample or "unnamed sample")
