"""``gbx``: the science commands. Further commands come in through the entry-point group ``gbx.commands``."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

import click

from gbx_beamline import __version__, assemble
from gbx_beamline.cli._average import average
from gbx_beamline.cli._beside import beside
from gbx_beamline.cli._compare import compare
from gbx_beamline.cli._evaluate import evaluate
from gbx_beamline.cli._export import export_command
from gbx_beamline.cli._figures import figures as figures_group
from gbx_beamline.cli._files import analyze_file, check_place
from gbx_beamline.cli._floor import floor
from gbx_beamline.cli._going_on import how_to_go_on
from gbx_beamline.cli._groups import groups
from gbx_beamline.cli._models import models
from gbx_beamline.cli._options import box_option, config_option, ring_option
from gbx_beamline.cli._progress import shown
from gbx_beamline.cli._regions import rois_given, with_rois
from gbx_beamline.cli._retrain import accept, drift, retrain
from gbx_beamline.cli._runs import analyze_in, opened
from gbx_beamline.cli._sample import sample
from gbx_beamline.cli._saying import EXIT_INTERRUPTED, EXIT_REFUSED, print_error, refuse, unforeseen
from gbx_beamline.cli._simulate import simulate
from gbx_beamline.cli._train import adapt, finetune, train
from gbx_beamline.errors import GbxError, InputError, RoiError
from gbx_beamline.records import ScanFailure

__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_REFUSED",
    "config_option",
    "gbx",
    "how_to_go_on",
    "main",
    "print_error",
    "shown",
]


NEWEST = 50
"""Results in a table, unless it is asked for more: a year's take minutes."""


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
    """Entry point: errors become one sentence and exit code 2; with ``--debug``, anywhere, a traceback too."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not debug:
        sys.excepthook = unforeseen
    try:
        gbx.main(arguments, prog_name="gbx", standalone_mode=False)
    except (GbxError, ModuleNotFoundError, OSError) as error:
        refuse(error, debug)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_REFUSED)
    except (KeyboardInterrupt, click.Abort):
        print_error("interrupted", label="")
        sys.exit(EXIT_INTERRUPTED)


@gbx.command()
@click.argument("target")
@config_option
@ring_option
@box_option
@click.option(
    "--frame-time",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="For a FILE: s between frames; wins over it.",
)
@click.option("--allow-incomplete", is_flag=True, help="Analyse what exists of an aborted series.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="For a FILE: folder of the results; default: here."
)
@click.option("--overwrite", is_flag=True, help="For a FILE: replace results that are there.")
@click.option("--no-sample", is_flag=True, help="For a UID: leave out what the catalog keeps of the sample.")
def analyze(
    target: str,
    config_path: Path | None,
    rings: tuple[str, ...],
    boxes: tuple[tuple[str, str], ...],
    frame_time: float | None,
    allow_incomplete: bool,
    out: Path | None,
    overwrite: bool,
    no_sample: bool,
) -> None:
    """Analyse a run of the catalog (UID) or a file of frames (Eiger master, .npy, .npz).

    The result of a UID goes to the catalog; that of a FILE to a report PNG and an .npz beside it. For a UID, what
    `gbx sample` keeps of the sample wins over the configuration, --ring and --box over both.

    Example: gbx analyze scan_1_master.h5 --ring 0.003:0.005
    """
    rois = rois_given(rings, boxes)
    config = with_rois(assemble.configuration(config_path), rois)
    if allow_incomplete:
        analysis = config.analysis.model_copy(update={"allow_incomplete": True})
        config = config.model_copy(update={"analysis": analysis})
    path = Path(target)
    if path.suffix or len(path.parts) > 1 or path.exists():
        if no_sample:
            raise InputError(
                f"--no-sample with the file {path}",
                needed="a UID: of a file the catalog keeps nothing",
                action="leave --no-sample out",
            )
        analyze_file(path, config, frame_time, out or Path(), overwrite)
        return
    given = {"--frame-time": frame_time is not None, "--out": out is not None, "--overwrite": overwrite}
    if any(given.values()):
        raise InputError(
            f"{', '.join(option for option, there in given.items() if there)} with the uid {target!r}",
            needed="a FILE for these options; the frames and the result of a UID are in the catalog",
            action="leave them out, or name a file that exists",
        )
    with opened(config) as catalog:
        analyze_in(catalog, target, config, rois=rois, kept=not no_sample)


@gbx.command()
@config_option
@click.option("--run", "run_uid", help="Only those of this run (uid or the start of it).")
@click.option("--sample", help="Only those of this sample.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option(
    "--newest",
    type=click.IntRange(min=0),
    help=f"At most so many results, 0 = all; default: {NEWEST} in a table, all in the other formats.",
)
def results(config_path: Path | None, run_uid: str | None, sample: str | None, form: str, newest: int | None) -> None:
    """List the results in the catalog, one line per q-ROI; failures with their reason.

    Example: gbx results --format csv > results.csv
    """
    from gbx_beamline.catalog import find_inferences, find_record, find_records
    from gbx_beamline.figures.tables import as_text, print_table

    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        uid = None if run_uid is None else find_record(catalog, run_uid).run_uid
        most = (NEWEST if form == "table" else 0) if newest is None else newest
        records = find_records(catalog, run_uid=uid, sample=sample, newest=most or None)
        inferences = (
            [one for record in records for one in find_inferences(catalog, record=record.key)]
            if most
            else find_inferences(catalog, run_uid=uid, sample=sample)
        )
        around = beside(catalog, records, config)
    if form != "table":
        click.echo(as_text(records, "csv" if form == "csv" else "json", inferences, around))
    elif records:
        print_table(records, inferences, around)
        if most and len(records) == most:
            click.echo(f"The newest {most} results; --newest 0 lists all.")
    elif sample is not None:
        click.echo(f"No results of a sample {sample!r}.")
    else:
        click.echo("No results yet: `gbx analyze UID` or `gbx demo` makes some.")


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
    from gbx_beamline.catalog import find_inferences, find_record, load_inference, load_record
    from gbx_beamline.figures.tables import print_table

    if out is not None:
        check_place(out, overwrite)
    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        record = find_record(catalog, uid)
        picture = out or Path(f"{record.run_uid[:8]}_gbx.png")
        check_place(picture, overwrite)
        outcome = load_record(catalog, record.key)
        inferences = find_inferences(catalog, record=record.key)
        inference = load_inference(catalog, inferences[-1].key) if inferences else None
        around = beside(catalog, [record], config)
    if isinstance(outcome, ScanFailure):
        print_error(f"run {record.run_uid[:8]} was not analysed: {outcome.reason}")
        sys.exit(EXIT_REFUSED)
    if roi is not None and roi > len(outcome.rois):
        raise RoiError(
            f"--roi {roi}",
            needed=f"a number from 1 to {len(outcome.rois)}",
            action=f"choose one of {', '.join(outcome.rois.names)}, counted from 1",
        )
    drawn = figures.scan_report(
        outcome, roi=None if roi is None else roi - 1, inference=inference, floor=around.floors.get(record.key)
    )
    figures.save(drawn, picture, overwrite=overwrite)
    print_table([record], inferences, around)
    click.echo(f"report {picture}")


gbx.add_command(simulate)
gbx.add_command(export_command)
gbx.add_command(figures_group)
for command in (
    average,
    groups,
    compare,
    floor,
    sample,
    train,
    adapt,
    finetune,
    evaluate,
    models,
    accept,
    drift,
    retrain,
):
    gbx.add_command(command)
