"""``gbx models``: which trained models there are, who is default, and how that came about."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline import assemble
from gbx_beamline.cli._options import config_option
from gbx_beamline.cli._runs import opened
from gbx_beamline.cli._saying import EXIT_REFUSED, print_error
from gbx_beamline.errors import CatalogError

if TYPE_CHECKING:
    from gbx_beamline.learning.promotion import Verdict
    from gbx_beamline.learning.store import Entry, ModelStore, StoredModel

_FILE_WIDTH = 200


@click.group()
def models() -> None:
    """List, show, promote, roll back and restore trained models, and tell their history.

    Example: gbx models list
    """


@models.command(name="list")
@config_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_models(config_path: Path | None, form: str) -> None:
    """List the models of the package and of the configured folder.

    Example: gbx models list
    """
    store = _store(config_path)
    entries = store.entries()
    if form == "json":
        click.echo(json.dumps([_row(entry) for entry in entries], indent=1))
    elif entries:
        _print_list(entries)
    else:
        click.echo(f"No models, neither in the package nor in {store.directory}: `gbx train` makes them.")


@models.command()
@click.argument("name")
@config_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(name: str, config_path: Path | None, form: str) -> None:
    """Show a model (NAME: alias, id, beginning of an id, or a folder) after comparing every file with its hash.

    Example: gbx models show default
    """
    store = _store(config_path)
    model = store.find(name)
    evaluation = store.evaluation(model)
    if form == "json":
        click.echo(json.dumps(model.description.model_dump(mode="json") | {"evaluation": evaluation}, indent=1))
        return
    for line in _description(model):
        click.echo(line)
    click.echo(f"evaluation   {_short(evaluation['measures']) if evaluation else f'none yet: `gbx evaluate {name}`'}")
    events = [event for event in store.lineage() if model.id in (event.model, event.replaces)]
    for event in events:
        click.echo(f"lineage      {event.in_words()}")


@models.command()
@click.argument("name")
@click.option(
    "--to",
    "alias",
    type=click.Choice(["default", "candidate"]),
    default="default",
    show_default=True,
    help="default: who infers, through the gate. candidate: waits to be judged, no gate.",
)
@click.option("--why", default="named by hand", show_default=True, help="Kept in the lineage of a candidate.")
@config_option
def promote(name: str, alias: str, why: str, config_path: Path | None) -> None:
    """Make a model (NAME: alias, id or folder) the default, where it is no worse than the one there is.

    Both are compared by what `gbx evaluate` found on the same suites of virtual experiments. A folder is copied into
    the store. Analyses that are done stay as they are.

    Example: gbx models promote candidate
    """
    from gbx_beamline.learning.promotion import judged_by_evaluations

    store = _store(config_path)
    if alias == "candidate":
        click.echo(f"{store.name_candidate(name, why=why).model} is candidate")
        return
    event, verdict = store.promote(name, judged_by_evaluations(store.evaluation))
    _print_verdict(verdict)
    if event is None:
        print_error(f"{name} does not become default: {'; '.join(verdict.reasons)}.")
        sys.exit(EXIT_REFUSED)
    click.echo(f"{event.model} is default" + (f", in place of {event.replaces}" if event.replaces else ""))
    click.echo("back again with: gbx models rollback")


@models.command()
@click.option("--why", default="asked for", show_default=True, help="Kept in the lineage.")
@config_option
def rollback(why: str, config_path: Path | None) -> None:
    """Make the model default again that the last promotion replaced.

    Example: gbx models rollback --why "lambda jumps at 421 K"
    """
    event = _store(config_path).rollback(why=why)
    click.echo(f"{event.model} is default again, in place of {event.replaces}")


@models.command()
@config_option
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="Retrainings to show.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def history(config_path: Path | None, most: int, form: str) -> None:
    """Tell who became default when and why, and what became of retrainings, oldest first.

    Example: gbx models history
    """
    from gbx_beamline.catalog import find_retrainings
    from gbx_beamline.learning.store import ModelStore

    config = assemble.configuration(config_path)
    events = ModelStore(config.models).lineage()
    retrainings, unknown = [], ""
    try:
        with opened(config) as catalog:
            retrainings = find_retrainings(catalog, most=most)[::-1]
    except CatalogError as error:
        # The lineage lies beside the models and is told all the same.
        unknown = str(error)
    if form == "json":
        listed = {
            "lineage": [event.model_dump(mode="json") for event in events],
            "retrainings": [dict(one.metadata) for one in retrainings],
        }
        click.echo(json.dumps(listed, indent=1))
    else:
        for event in events:
            click.echo(f"lineage      {event.in_words()}")
        for one in retrainings:
            click.echo(f"retraining   {one.in_words()}")
        if not events and not retrainings:
            click.echo("Nothing was promoted and nothing retrained: the package's own model is default.")
    if unknown:
        print_error(f"retrainings are not known: {unknown}", label="note: ")


@models.command()
@click.argument("identity", metavar="ID")
@config_option
def restore(identity: str, config_path: Path | None) -> None:
    """Copy a model (its whole ID) that retraining has kept in the catalog back into the configured folder.

    Every file is compared with its hash. Who is default stays.

    Example: gbx models restore gbx-0123456789
    """
    from gbx_beamline.learning.store import ModelStore
    from gbx_beamline.retraining import restore_model

    config = assemble.configuration(config_path)
    with opened(config) as catalog:
        model = restore_model(catalog, ModelStore(config.models), identity)
    click.echo(f"{model.id} is in {model.folder}")


def _store(config_path: Path | None) -> ModelStore:
    from gbx_beamline.learning.store import ModelStore

    return ModelStore(assemble.configuration(config_path).models)


def _row(entry: Entry) -> dict[str, Any]:
    about = entry.description
    return {
        "id": entry.id,
        "aliases": list(entry.aliases),
        "shipped": entry.shipped,
        "family": about and about.family,
        "created": about and about.created,
        "parent": about and about.parent,
        "bytes": about and sum(facts.bytes for facts in about.files.values()),
        "folder": str(entry.folder),
        "problem": entry.problem or None,
    }


def _print_list(entries: Sequence[Entry]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("model", "is", "family", "made", "from", "MB"):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=True)
    for entry in entries:
        row = _row(entry)
        standing = [*entry.aliases, *(["damaged"] if entry.problem else [])]
        table.add_row(
            Text(entry.id),
            ", ".join(standing) or "–",
            row["family"] or "–",
            (row["created"] or "–")[:10],
            "package" if entry.shipped else row["parent"] or "–",
            "–" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f}",
        )
    console = _console()
    console.print(table)
    for entry in entries:
        if entry.problem:
            console.print(Text(f"{entry.id}: {entry.problem}", style="red"), soft_wrap=True)


def _description(model: StoredModel) -> list[str]:
    about = model.description
    size = sum(facts.bytes for facts in about.files.values())
    lines = {
        "model": about.id,
        "folder": model.folder,
        "family": f"{about.family}, {about.status}",
        "made": f"{about.created} with {', '.join(f'{name} {it}' for name, it in about.made_with.items())}",
        "from": about.parent or "the beginning",
        "files": f"{', '.join(sorted(about.files))}: {size / 1e6:.2f} MB, as their hashes say",
        "contract": _short(about.contract),
        "parameters": _short(about.parameters),
        "data": _short(about.data),
        "training": f"configuration {about.training_hash}, seeds {_short(about.seeds)}",
        "metrics": _short(about.metrics),
    }
    return [f"{name:<12} {said}" for name, said in lines.items()] + [f"note         {note}" for note in about.notes]


def _short(values: Mapping[str, Any], within: str = "") -> str:
    """Numbers of a nested mapping on one line."""
    said = []
    for name, value in values.items():
        place = f"{within}.{name}" if within else str(name)
        if isinstance(value, Mapping):
            said.append(_short(value, place))
        elif isinstance(value, list) and len(value) > 6:
            said.append(f"{place} ({len(value)} values)")
        else:
            said.append(f"{place} {f'{value:.4g}' if isinstance(value, float) else value}")
    return ", ".join(part for part in said if part)


def _print_verdict(verdict: Verdict) -> None:
    if not verdict.comparisons:
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("measure", "candidate", "default", "may be worse by", ""):
        table.add_column(name, justify="left" if name in ("measure", "") else "right")
    for one in verdict.comparisons:
        table.add_row(
            one.what,
            _number(one.candidate),
            _number(one.reigning),
            f"{one.tolerance:g}",
            Text("ok") if one.passed else Text("worse", style="bold red"),
        )
    _console().print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(_FILE_WIDTH, console.width))
