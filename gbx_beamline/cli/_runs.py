"""Analysing one run of the catalog, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console

from gbx_beamline import assemble
from gbx_beamline.cli._beside import beside
from gbx_beamline.cli._files import ALLOW_INCOMPLETE
from gbx_beamline.cli._saying import EXIT_REFUSED, print_error
from gbx_beamline.config import Config, RoiConfig
from gbx_beamline.errors import DependencyError, InputError
from gbx_beamline.records import ScanFailure, ScanResult

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog


@contextmanager
def opened(config: Config) -> Iterator[Catalog]:
    """The catalog of ``config``; a word on the terminal while a server starts."""
    with ExitStack() as stack:
        with Console(stderr=True).status("opening the catalog"):
            catalog = stack.enter_context(assemble.open_catalog(config, must_exist=True))
        yield catalog


def analyze_in(catalog: Catalog, uid: str, config: Config, *, rois: RoiConfig | None = None, kept: bool = True) -> None:
    """Analyse a run, ask the model, and print the result and what is next.

    Raises:
        SystemExit: the run cannot be analysed; the reason is printed.
    """
    from gbx_beamline.catalog import find_inferences, find_record, find_records
    from gbx_beamline.figures.tables import print_table

    done = assemble.analyze_run(catalog, uid, config, retry_failed=True, rois=rois, kept=kept)
    full_uid = find_record(catalog, uid).run_uid
    everything = find_records(catalog, run_uid=full_uid)
    records = [record for record in everything if record.key == done.key]
    not_inferred = None
    if config.models.infer and not any(record.failed for record in records):
        not_inferred = _why_not_inferred(catalog, done, config)
    inferences = find_inferences(catalog, record=done.key)
    around = beside(catalog, records, config)
    if isinstance(done.outcome, ScanFailure):
        print_error(done.outcome.reason.replace(*ALLOW_INCOMPLETE))
        click.echo(f"record {done.key}")
        sys.exit(EXIT_REFUSED)
    print_table(records, inferences, around)
    if not_inferred is not None:
        # The correlation stands whatever becomes of the model.
        print_error(f"no inference: {not_inferred}", label="note")
    if records and (number := records[0].metadata["provenance"].get("sample_version")) is not None:
        sample = records[0].metadata["sample"]
        click.echo(f"with version {number} of what the catalog keeps of the sample (gbx sample show {sample!r})")
    if done.already_there:
        click.echo("This run had been analysed with these settings before; the record stands.")
    elif older := [record for record in everything if record.key != done.key]:
        click.echo(f"{len(older)} older record{'s' if len(older) > 1 else ''} of this run kept")
    click.echo(f"record {done.key}\nnext: gbx report {full_uid[:8]}")


def _why_not_inferred(catalog: Catalog, done: assemble.Analysis, config: Config) -> str | None:
    """Ask the model; what keeps it from being asked, in words."""
    result = done.outcome if isinstance(done.outcome, ScanResult) else None
    try:
        assemble.infer_record(catalog, done.key, config, result=result)
    except (InputError, DependencyError) as error:
        return str(error)
    return None
