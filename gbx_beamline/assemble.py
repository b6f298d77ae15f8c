"""The only place that wires: builds catalog, source and sink from a configuration.

Heavy imports stay inside functions, so that whoever imports this module pays only for what is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gbx_beamline import pipeline
from gbx_beamline.config import AnalysisConfig, CatalogConfig, Config, RoiConfig, load_config, sample_itself
from gbx_beamline.errors import (
    CatalogError,
    DependencyError,
    GbxError,
    InputError,
    RunNotFoundError,
    RunUnfinishedError,
)
from gbx_beamline.records import ScanFailure, ScanInference, ScanInfo, ScanResult
from gbx_beamline.traces import read_channels

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog

CONFIG_VARIABLE = "GBX_CONFIG"
URI_VARIABLE = "GBX_TILED_URI"
STORE_VARIABLE = "GBX_TILED_STORE"
"""With the other: folder for the arrays of results, which that server reads."""

ROOTS_VARIABLE = "GBX_DATA_ROOTS"
"""Folders, separated as in PATH, below which the files lie that catalogs and masters lead to: the Tiled server's, and
ours where the configuration has no ``catalog.roots``."""


class CatalogAddress(Protocol):
    """Where a server that was started for us listens, and with which key."""

    uri: str
    api_key: str
    store: Path | None


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
            key, store = api_key or api_key_in_environment(config), store_folder(config)
        else:
            if must_exist and not settings.directory.is_dir():
                raise CatalogError(
                    f"no catalog in {settings.directory.resolve()}",
                    needed="the folder that `gbx demo` or `gbx import` made, or a Tiled server",
                    action=f"go to where {settings.directory} is, or name a server with catalog.uri in --config FILE "
                    f"or ${URI_VARIABLE}",
                )
            address = stack.enter_context(embedded_server(settings))
            uri, key, store = address.uri, address.api_key, address.store
        catalog = connect(uri, key, raw=settings.raw, processed=settings.processed, store=store)
        stack.callback(catalog.close)
        # The embedded server keeps its catalog in SQLite.
        yield replace(catalog, words=server_address(config) is None)


def server_address(config: Config) -> str | None:
    """Address of the Tiled server, the environment's before the configuration's; None means the embedded one."""
    return os.environ.get(URI_VARIABLE) or config.catalog.uri


def store_folder(config: Config) -> Path | None:
    """Folder for arrays that belongs to the server of ``server_address``."""
    if not os.environ.get(URI_VARIABLE):
        return config.catalog.store
    named = os.environ.get(STORE_VARIABLE)
    return Path(named) if named else None


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
    if named := os.environ.get(ROOTS_VARIABLE):
        return tuple(Path(part) for part in named.split(os.pathsep) if part)
    return config.serve.live.roots or (() if server_address(config) else (settings.frames,))


@dataclass(frozen=True)
class RunSettings:
    """How one run is analysed."""

    analysis: AnalysisConfig
    sample_version: int | None
    """Of the sample's settings in the catalog that are in them; None where it keeps none."""


def settings_for(
    catalog: Catalog,
    config: Config,
    sample: str | None,
    rule: str | None = None,
    *,
    rois: RoiConfig | None = None,
    kept: bool = True,
) -> RunSettings:
    """How a run of a sample is analysed now.

    What comes later in this list wins: the detector's file, ``analysis``, ``samples`` of the configuration, what the
    catalog keeps of the sample (`gbx sample`), a selection rule, q-ROIs of the command line.

    Args:
        catalog: Keeps settings of samples.
        config: Configuration.
        sample: Name of the sample.
        rule: Selection rule by which the run is analysed.
        rois: q-ROIs of the command line.
        kept: False leaves out what the catalog keeps of the sample.

    Raises:
        CatalogError: the catalog is unreachable.
        ConfigError: no such rule.
    """
    from gbx_beamline.catalog import latest_version

    version = latest_version(catalog, sample) if kept else None
    if kept and version is None and sample and (itself := sample_itself(sample)) != sample:
        version = latest_version(catalog, itself)
    settings = config.for_run(sample, rule, kept=None if version is None else version.settings)
    if rois is not None:
        settings = settings.model_copy(update={"rois": rois})
    return RunSettings(settings, None if version is None else version.number)


def analyze_run(
    catalog: Catalog,
    uid: str,
    config: Config,
    *,
    rule: str | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    rois: RoiConfig | None = None,
    kept: bool = True,
) -> Analysis:
    """Analyse one raw run of the catalog and publish the record, unless it is there already.

    A run that cannot be analysed gets a record with the reason; trouble with the catalog itself is raised,
    because trying again may help.

    Args:
        catalog: Where the run is and the record goes.
        uid: uid of the run, or the start of it.
        config: Configuration; see ``settings_for``.
        rule: Selection rule that wants the run: what it overrides counts, and the record names it.
        retry_failed: True analyses again where only a failure is recorded.
        dry_run: True computes and publishes nothing.
        rois: q-ROIs of the command line, in place of all others.
        kept: False leaves out what the catalog keeps of the sample.

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
    found = settings_for(catalog, config, scan.sample, rule, rois=rois, kept=kept)
    settings = found.analysis
    who: dict[str, Any] = {"rule": rule or "", "sample_version": found.sample_version}
    made_by = pipeline.provenance(settings, catalog.array, **who)
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
            made_by = pipeline.provenance(settings, catalog.array, series, **who)
            existing = find_terminal(catalog, scan, made_by)
            if existing is not None and not dry_run and not (existing.failed and retry_failed):
                return Analysis(key=existing.key, outcome=None)
            outcome = replace(
                pipeline.analyze(
                    series,
                    settings,
                    scan=scan,
                    catalog_array=catalog.array,
                    readings=read_channels(run, settings.traces),
                ),
                provenance=made_by,
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
    found = settings_for(catalog, config, scan.sample, rule)
    made_by = pipeline.provenance(found.analysis, catalog.array, rule=rule or "", sample_version=found.sample_version)
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

    store = ModelStore(config.models)
    stored = store.find(_judge_of(catalog, key, config) if model is None else model)
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
    inference = pipeline.infer(found, kept_model(stored, store), record=key)
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
