"""``gbx queue``: what is still to be analysed, and what a person does about it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gbx_beamline import assemble
from gbx_beamline.cli import config_option
from gbx_beamline.errors import InputError
from gbx_services.spool import Job, Spool, State
from gbx_services.spool.store import FILE

_RULE = click.option("--rule", help="Only the job of this selection rule.")


@click.group()
def queue() -> None:
    """The queue of `gbx serve`: list, retry, drop, pause, resume. Works while the service runs and while it does not.

    Example: gbx queue list
    """


@contextmanager
def _spool(config_path: Path | None) -> Iterator[Spool]:
    directory = assemble.configuration(config_path).serve.directory
    if not (directory / FILE).exists():
        raise InputError(
            f"no queue in {directory.resolve()}",
            needed="the folder of `gbx serve`",
            action="name its configuration with --config, or go to the folder in which it was started",
        )
    spool = Spool(directory)
    try:
        yield spool
    finally:
        spool.close()


@queue.command("list")
@config_option
@click.option("--all", "everything", is_flag=True, help="Also what is done.")
def list_jobs(config_path: Path | None, everything: bool) -> None:
    """What waits, what is under way and what was given up, with the reason.

    Example: gbx queue list --all
    """
    with _spool(config_path) as spool:
        jobs = spool.jobs() if everything else spool.jobs(State.WAITING, State.HANDED_OVER, State.PARKED)
        counts, paused = spool.counts(), spool.paused
    if jobs:
        Console().print(_table(jobs))
    click.echo(", ".join(f"{number} {state}" for state, number in counts.items()))
    if paused is not None:
        click.echo(f"Analysis is switched off since {_ago(paused.since)}: {paused.reason}. Next: gbx queue resume")
    if counts[State.PARKED]:
        click.echo("Given up runs: after a cure `gbx queue retry UID`, or `gbx queue drop UID`.")


@queue.command()
@click.argument("uid", required=False)
@config_option
@_RULE
@click.option("--all", "everything", is_flag=True, help="All that was given up.")
def retry(uid: str | None, config_path: Path | None, rule: str | None, everything: bool) -> None:
    """Analyse a run again (UID or the start of it), or all that was given up.

    A result that is there stands; a failure gives way to a result.

    Example: gbx queue retry --all
    """
    if (uid is None) is not everything:
        raise InputError(
            "neither a run nor --all" if uid is None else f"the run {uid!r} and --all",
            needed="one of them",
            action="give the uid of a run, or --all for everything that was given up",
        )
    with _spool(config_path) as spool:
        click.echo(f"{spool.retry(uid, rule)} jobs wait for another try")


@queue.command()
@click.argument("uid")
@config_option
@_RULE
def drop(uid: str, config_path: Path | None, rule: str | None) -> None:
    """Have a run (UID or the start of it) not analysed. What is under way is not stopped, but not waited for.

    Example: gbx queue drop 1a2b3c4d
    """
    with _spool(config_path) as spool:
        click.echo(f"{spool.drop(uid, rule)} jobs dropped; `gbx queue retry {uid}` takes them up again")


@queue.command()
@config_option
@click.option("--reason", default="switched off by hand", show_default=True, help="Shown by `gbx queue list`.")
def pause(config_path: Path | None, reason: str) -> None:
    """Switch analysis off. Runs are collected all the same; what is under way is finished.

    Example: gbx queue pause --reason "beam studies"
    """
    with _spool(config_path) as spool:
        spool.pause(reason)
    click.echo("Analysis is switched off. Next: gbx queue resume")


@queue.command()
@config_option
def resume(config_path: Path | None) -> None:
    """Switch analysis on.

    Example: gbx queue resume
    """
    with _spool(config_path) as spool:
        was = spool.resume()
    click.echo("Analysis is switched on." if was else "Analysis was not switched off.")


def _table(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("run", "rule", "state", "tries", "ended", "next try", "reason"):
        table.add_column(column, overflow="fold", no_wrap=column == "run")
    for job in jobs:
        waits = job.due - time.time() if job.state is State.WAITING else 0.0
        table.add_row(
            job.run[:8],
            job.rule or "-",
            job.state,
            str(job.tries),
            "" if job.stopped is None else _ago(job.stopped),
            f"in {waits:.0f} s" if waits > 0 else "",
            job.record or job.reason,
        )
    return table


def _ago(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
