"""Scans that belong together: found in the catalog, handed to training, judged by a model as one material."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gbx_beamline import assemble, pipeline
from gbx_beamline.config import Config
from gbx_beamline.errors import InputError, RunNotFoundError
from gbx_beamline.records import GroupAnswer, Refusal, ScanFailure, ScanInfo

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, MaterialDoseGroup
    from gbx_beamline.learning.jobs import Told
    from gbx_beamline.learning.paper import ExperimentalScan
    from gbx_beamline.learning.virtual import PreparedSuite


def infer_group(
    catalog: Catalog, group: MaterialDoseGroup, config: Config, *, model: str | Path | None = None, seed: int = 0
) -> list[GroupAnswer]:
    """Posteriors of the scans of one material-dose group that know of each other.

    Scans within 2 K share D and the friction, all share lambda. Scans outside of the model's contract are refused
    with the reason and take no part.

    Args:
        catalog: Where the records are.
        group: Of ``catalog.material_dose_groups``.
        config: Configuration; ``models`` says who is asked.
        model: Alias, id or folder of who is asked instead.
        seed: same seed, same answer.

    Raises:
        CatalogError: the catalog is unreachable.
        InputError: there is no such model, or its folder is damaged.
        DependencyError: torch, zuko or safetensors is absent.
    """
    from gbx_beamline.catalog import load_record
    from gbx_beamline.learning.contract import CellMaps, cell_maps
    from gbx_beamline.learning.kept import kept_model
    from gbx_beamline.learning.store import ModelStore

    store = ModelStore(config.models)
    judge = kept_model(store.find(model or config.models.model), store)
    answers: list[GroupAnswer | None] = []
    asked: list[tuple[int, str, ScanInfo, CellMaps]] = []
    for member in group.scans:
        key = member.record.key
        result = load_record(catalog, key)
        if isinstance(result, ScanFailure):
            continue
        try:
            maps, temperature = pipeline.to_be_judged(result)
            cells = cell_maps(maps, temperature=temperature, contract=judge.contract)
        except InputError as error:
            refusal = Refusal(model_id=judge.id, kind=type(error).__name__, reason=str(error))
            answers.append(GroupAnswer(record=key, scan=result.scan, outcome=refusal))
            continue
        asked.append((len(answers), key, result.scan, cells))
        answers.append(None)
    if asked:
        found = judge.predict_cells_group([cells for *_, cells in asked], seed=seed)
        for (place, key, scan, _), inference in zip(asked, found, strict=True):
            answers[place] = GroupAnswer(record=key, scan=scan, outcome=inference)
    return [answer for answer in answers if answer is not None]


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
    with assemble.open_catalog(config, must_exist=True) as catalog:
        yield _scans_of_catalog(catalog, config, samples, runs)


def _scans_of_suite(suite: PreparedSuite) -> Iterator[ExperimentalScan]:
    """Virtual experiments as experiments without labels; a group is what one sample gave."""
    from gbx_beamline.learning.paper import ExperimentalScan

    name = suite.settings.name
    for shot in suite:
        run, group = f"{name} {shot.plan.number}", f"{name} {shot.plan.group}"
        yield ExperimentalScan(two_time=shot.two_time, run=run, group=group)


def _scans_of_catalog(
    catalog: Catalog, config: Config, samples: Sequence[str], runs: Sequence[str]
) -> Iterator[ExperimentalScan]:
    """Analysed scans of a catalog as experiments without labels, by material-dose group. Of each run the newest
    result."""
    from gbx_beamline.catalog import find_record, find_records, load_record, material_dose_groups
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
    # Doses add up over all scans of a spot, also over those that were not asked for.
    known = {record.metadata["sample"]: None for record in newest.values()}
    everything = [record for sample in known for record in find_records(catalog, sample=sample)]
    group_of = {
        member.record.run_uid: group.name
        for group in material_dose_groups(everything, config.groups)
        for member in group.scans
    }
    for run, record in newest.items():
        outcome = load_record(catalog, record.key)
        if isinstance(outcome, ScanFailure):
            raise RunNotFoundError(
                f"run {run} was not analysed: {outcome.reason}", needed="an analysed run", action="leave it out"
            )
        yield ExperimentalScan(two_time=outcome.analysed_two_time, run=run, group=group_of[run])
