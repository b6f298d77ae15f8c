"""``gbx compare``: beam or sample, from scans at two attenuations."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from gbx_beamline import assemble
from gbx_beamline.cli._files import check_place
from gbx_beamline.cli._options import config_option
from gbx_beamline.errors import InputError


@click.command()
@click.argument("uids", metavar="[UID UID ...]", nargs=-1)
@config_option
@click.option("--sample", help="Instead of UIDs: every set of this sample's scans that can be compared.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Picture: .png, .svg or .pdf.")
@click.option("--overwrite", is_flag=True, help="Replace a picture that is there.")
def compare(
    uids: tuple[str, ...], config_path: Path | None, sample: str | None, form: str, out: Path | None, overwrite: bool
) -> None:
    """Say whether the beam drives the dynamics: scans of one sample at two attenuations, side by side.

    The ratio of relaxation rates is set against that of the dose rates (transmission x relative intensity): "sample"
    where the rate stays, "beam drives it" where it follows, "undetermined" where the intervals allow both.

    Example: gbx compare 1a2b3c4d 5e6f7a8b --out pair.png
    """
    from gbx_beamline import figures
    from gbx_beamline.catalog import compare_runs, find_attenuation_sets, find_records
    from gbx_beamline.figures import comparison_tables

    if bool(uids) == (sample is not None):
        raise InputError(
            "uids and --sample" if uids else "neither uids nor --sample",
            needed="the runs to compare, or the sample whose scans are looked through",
            action="name two runs: gbx compare UID UID",
        )
    if out is not None:
        check_place(out, overwrite)
    config = assemble.configuration(config_path)
    with (
        Console(stderr=True).status("opening the catalog") as status,
        assemble.open_catalog(config, must_exist=True) as catalog,
    ):
        status.update("comparing")
        left_out: list[str] = []
        if uids:
            found = [compare_runs(catalog, uids, config.compare)]
        else:
            search = find_attenuation_sets(find_records(catalog, sample=sample), config.compare, config.groups)
            left_out = [f"{record.run_uid[:8]}: {reason}" for record, reason in search.left_out]
            found = [compare_runs(catalog, one.uids, config.compare) for one in search.sets]
    if not found:
        raise InputError(
            f"no two scans of sample {sample!r} that can be compared"
            + (f" ({'; '.join(left_out)})" if left_out else ""),
            needed="two analysed scans of one spot and temperature at transmissions that differ by a factor of "
            f"{config.compare.least_dose_ratio:g} and more",
            action="measure one with another transmission, or name the two runs",
        )
    if form == "json":
        click.echo(comparison_tables.as_json(found))
    else:
        for order, one in enumerate(found):
            click.echo("\n" if order else "", nl=False)
            comparison_tables.print_comparison(one)
        for text in left_out:
            click.echo(f"not compared: {text}")
    if out is not None:
        for order, one in enumerate(found):
            path = out if order == 0 else out.with_stem(f"{out.stem}_{order + 1}")
            figures.save(figures.comparison_page(one), path, overwrite=overwrite)
            click.echo(f"picture {path}", err=form == "json")
