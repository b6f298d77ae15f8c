"""``gbx average``: repeats of one measurement, their mean and whether they agree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline import assemble
from gbx_beamline.cli._files import check_place
from gbx_beamline.cli._options import config_option

if TYPE_CHECKING:
    from gbx_beamline.records import RepeatedFigure, RepeatedRoi, RepeatsAverage

_FILE_WIDTH = 120
"""Columns of a table that goes into a file."""


@click.command()
@click.option("--uid", "uids", multiple=True, help="A repeat (uid or the start of it); may be repeated.")
@click.option("--sample", help="All analysed runs of this sample.")
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), help="Only scans within 2 K of this, K.")
@click.option("--rule", help="Only results of this selection rule; default: the newest of each run.")
@click.option("--common-window", is_flag=True, help="Cut longer scans to the shortest, instead of refusing them.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Picture: .png, .svg or .pdf.")
@click.option("--overwrite", is_flag=True, help="Replace a picture that is there.")
@config_option
def average(
    uids: tuple[str, ...],
    sample: str | None,
    temperature: float | None,
    rule: str | None,
    common_window: bool,
    out: Path | None,
    overwrite: bool,
    config_path: Path | None,
) -> None:
    """Average repeats of a sample at equal lags and ages, and say whether they differ by more than noise.

    The average is kept in the catalog beside the results that entered it, once for the same results.

    Example: gbx average --sample nanocrystalline-Si --temperature 421
    """
    from gbx_beamline import figures
    from gbx_beamline.repeats import average_of

    if out is not None:
        check_place(out, overwrite)
    config = assemble.configuration(config_path)
    with assemble.open_catalog(config, must_exist=True) as catalog:
        done = average_of(
            catalog, uids=uids, sample=sample, temperature=temperature, rule=rule, common_window=common_window
        )
    picture = out or Path(f"average_{done.key[:8]}.png")
    # The same results give the same picture: only another one's name is in the way.
    check_place(picture, overwrite or out is None)
    figures.save(figures.repeats_report(done.average), picture, overwrite=overwrite or out is None)
    _print(done.average)
    if done.already_there:
        click.echo("These results had been averaged before; the record stands.")
    click.echo(f"average {done.key}\nreport {picture}")


def _print(average: RepeatsAverage) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_FILE_WIDTH, console.width))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("q-ROI", "q 1/Å", "τ/s", "S_noneq", "chance of the scatter", "repeats"):
        table.add_column(name)
    for roi in average.rois:
        table.add_row(*_cells(roi))
    console.print(table)
    runs = ", ".join(one.run_uid[:8] for one in average.repeats)
    notes = [f"{len(average.repeats)} repeats: {runs}", *average.notes, *_statuses(average), _CAPTION]
    for note in notes:
        console.print(Text(note, style="dim"), soft_wrap=True)


_CAPTION = (
    "Intervals: 95 %, with what repeats differ by beyond their noise; chance of the scatter: under noise alone, in the "
    "worst of relaxation time, S_noneq and g2; below 0.01 repeats differ."
)


def _cells(roi: RepeatedRoi) -> tuple[str, ...]:
    known = math.isfinite(roi.p_value)
    return (
        roi.name,
        f"{roi.q_par * 1e-10:.4f}" if math.isfinite(roi.q_par) else "–",
        _said(roi.log_relaxation_time, logarithmic=True),
        _said(roi.s_noneq, logarithmic=False),
        f"{roi.p_value:.2g}" if known else "–",
        ("differ" if roi.different else "agree") if known else "no noise to compare with",
    )


def _said(found: RepeatedFigure, *, logarithmic: bool) -> str:
    if found.together is None:
        return "–"
    value, low, high = found.together.value, found.together.low, found.together.high
    if logarithmic:
        return f"{math.exp(value):.3g} ({math.exp(low):.3g} to {math.exp(high):.3g})"
    return f"{value + 0.0:.3f} ({low:.3f} to {high:.3f})"


def _statuses(average: RepeatsAverage) -> list[str]:
    figures = [("τ", roi.name, roi.log_relaxation_time) for roi in average.rois]
    figures += [("S_noneq", roi.name, roi.s_noneq) for roi in average.rois]
    return [f"{name} of {roi}: {found.status}" for name, roi, found in figures if found.status != "ok"]
