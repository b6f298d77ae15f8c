"""``gbx``: the science commands. Further commands come in through the entry-point group ``gbx.commands``."""

from __future__ import annotations

import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from gbx_beamline import __version__, assemble
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import GbxError
from gbx_beamline.records import ScanFailure

EXIT_REFUSED = 2
"""Exit code when the input, the configuration or the catalog says no."""


class _Commands(click.Group):
    """Our own commands, and those that installed edges add. An edge is loaded when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group="gbx.commands").names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = entry_points(group="gbx.commands", name=cmd_name)
        return next(iter(found)).load() if found else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gbx")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def gbx(debug: bool) -> None:
    """From coherent X-ray frames to grain-boundary physics.

    Example: gbx demo
    """
    # The flag is read in main(), before click has parsed anything that could fail.
    del debug


def main() -> None:
    """Entry point: errors become one sentence and exit code 2."""
    console = Console(stderr=True)
    try:
        gbx.main(standalone_mode=False)
    except GbxError as error:
        if "--debug" in sys.argv:
            raise
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_REFUSED)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_REFUSED)
    except (KeyboardInterrupt, click.Abort):
        console.print("interrupted")
        sys.exit(130)


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"YAML configuration; default: the file named by ${assemble.CONFIG_VARIABLE}, else built-in defaults.",
)


def _pair(text: str, option: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not LOW:HIGH in 1/Angstrom", param_hint=option) from error
    return low, high


def _with_rois(config: Config, rings: tuple[str, ...], boxes: tuple[tuple[str, str], ...]) -> Config:
    """``config`` with the q-ROIs of the command line, where there are any, in place of its own."""
    if not rings and not boxes:
        return config
    content: dict[str, Any] = {
        "rings": [{"q": _pair(text, "--ring")} for text in rings],
        "boxes": [{"q_par": _pair(par, "--box"), "q_z": _pair(z, "--box")} for par, z in boxes],
    }
    parsed = parse_config({"analysis": {"rois": content}}, name="command line").analysis.rois
    analysis = config.analysis.model_copy(update={"rois": parsed})
    samples = {name: part.model_copy(update={"rois": None}) for name, part in config.samples.items()}
    return config.model_copy(update={"analysis": analysis, "samples": samples})


@gbx.command()
@click.argument("target")
@config_option
@click.option("--ring", "rings", multiple=True, metavar="LOW:HIGH", help="A |q| ring, 1/Angstrom; may be repeated.")
@click.option(
    "--box",
    "boxes",
    multiple=True,
    nargs=2,
    metavar="PAR_LOW:PAR_HIGH Z_LOW:Z_HIGH",
    help="A GISAXS box in q_par and q_z, 1/Angstrom; may be repeated.",
)
@click.option("--frame-time", type=click.FloatRange(min=0, min_open=True), help="s between frames; wins over the file.")
@click.option("--allow-incomplete", is_flag=True, help="Analyse what exists of an aborted series.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="For a FILE: folder of the results."
)
@click.option("--overwrite", is_flag=True, help="For a FILE: replace results that are there.")
def analyze(
    target: str,
    config_path: Path | None,
    rings: tuple[str, ...],
    boxes: tuple[tuple[str, str], ...],
    frame_time: float | None,
    allow_incomplete: bool,
    out: Path,
    overwrite: bool,
) -> None:
    """Analyse a run of the catalog (UID) or a file of frames (Eiger master, .npy, .npz).

    The result of a UID goes to the catalog; that of a FILE to a report PNG and an .npz beside it.

    Example: gbx analyze scan_1_master.h5 --ring 0.003:0.005
    """
    config = _with_rois(assemble.configuration(config_path), rings, boxes)
    if allow_incomplete:
        analysis = config.analysis.model_copy(update={"allow_incomplete": True})
        config = config.model_copy(update={"analysis": analysis})
    path = Path(target)
    if path.suffix or path.exists():
        _analyze_file(path, config, frame_time, out, overwrite)
    else:
        _analyze_uid(target, config)


def _analyze_uid(uid: str, config: Config) -> None:
    from gbx_beamline.catalog import find_records
    from gbx_beamline.figures.tables import as_table

    with assemble.open_catalog(config) as catalog:
        done = assemble.analyze_run(catalog, uid, config, retry_failed=True)
        full_uid = catalog.run(uid).metadata["start"]["uid"]
        records = [record for record in find_records(catalog, run_uid=full_uid) if record.key == done.key]
    Console().print(as_table(records))
    if done.already_there:
        click.echo("This run had been analysed with these settings before; the record stands.")
    click.echo(f"record {done.key}")
    if isinstance(done.outcome, ScanFailure):
        sys.exit(EXIT_REFUSED)
    click.echo(f"next: gbx report {full_uid[:8]}")


def _analyze_file(path: Path, config: Config, frame_time: float | None, out: Path, overwrite: bool) -> None:
    from gbx_beamline import figures, open_series, pipeline
    from gbx_beamline.catalog import schema
    from gbx_beamline.catalog.read import RecordSummary
    from gbx_beamline.figures.tables import as_table

    series = open_series(path, allow_incomplete=config.analysis.allow_incomplete, frame_time=frame_time)
    result = pipeline.analyze(series, config)
    out.mkdir(parents=True, exist_ok=True)
    stem = path.stem.removesuffix("_master")
    arrays = figures.save_arrays(schema.result_arrays(result), out / f"{stem}_gbx.npz", overwrite=overwrite)
    picture = figures.save(figures.scan_report(result), out / f"{stem}_gbx.png", overwrite=overwrite)
    metadata = schema.result_metadata(result, attempt="", created=time.time())
    Console().print(as_table([RecordSummary(schema.pointer_key(result), metadata)]))
    click.echo(f"report {picture}\narrays {arrays}")


@gbx.command()
@config_option
@click.option("--run", "run_uid", help="Only those of this run (uid or the start of it).")
@click.option("--sample", help="Only those of this sample.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def results(config_path: Path | None, run_uid: str | None, sample: str | None, form: str) -> None:
    """List the results in the catalog, one line per q-ROI; failures with their reason.

    Example: gbx results --format csv > results.csv
    """
    from gbx_beamline.catalog import find_records
    from gbx_beamline.figures.tables import as_table, as_text

    with assemble.open_catalog(assemble.configuration(config_path)) as catalog:
        uid = None if run_uid is None else catalog.run(run_uid).metadata["start"]["uid"]
        records = find_records(catalog, run_uid=uid, sample=sample)
    if form == "table":
        Console().print(as_table(records) if records else "No results yet: `gbx demo` makes some.")
    else:
        click.echo(as_text(records, "csv" if form == "csv" else "json"))


@gbx.command()
@click.argument("uid")
@config_option
@click.option("--roi", type=click.IntRange(min=1), help="Only this q-ROI, counted from 1.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Picture: .png, .svg or .pdf.")
@click.option("--overwrite", is_flag=True, help="Replace a picture that is there.")
def report(uid: str, config_path: Path | None, roi: int | None, out: Path | None, overwrite: bool) -> None:
    """Draw the newest result of a run: two-time map, drift, one-time g2, slices.

    Example: gbx report 1a2b3c4d --out scan.png
    """
    from gbx_beamline import figures
    from gbx_beamline.catalog import find_record, load_record
    from gbx_beamline.figures.tables import as_table

    with assemble.open_catalog(assemble.configuration(config_path)) as catalog:
        record = find_record(catalog, uid)
        outcome = load_record(catalog, record.key)
    Console().print(as_table([record]))
    if isinstance(outcome, ScanFailure):
        click.echo(f"not analysed: {outcome.reason}", err=True)
        sys.exit(EXIT_REFUSED)
    picture = figures.scan_report(outcome, roi=None if roi is None else roi - 1)
    click.echo(f"report {figures.save(picture, out or Path(f'{record.run_uid[:8]}_gbx.png'), overwrite=overwrite)}")
