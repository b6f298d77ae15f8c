"""What ``deploy/local-facility.sh`` runs: up, status, down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from gbx_beamline.errors import GbxError, ServiceError
from gbx_services.facility import folder, processes_of
from gbx_services.facility.folder import Facility
from gbx_services.facility.programs import check_programs
from gbx_services.facility.report import Report, read_report
from gbx_services.logs import log_as_json

STOP_SECONDS = 120.0
"""Longest wait for an end in order."""

STALE_SECONDS = 20.0
"""Age of a report after which its keeper is not well."""

INTERRUPTED = 130
_POLL_SECONDS = 0.2

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("gbx-facility"),
    show_default=True,
    help="Folder for all data and logs of the facility.",
)


@click.group()
def main() -> None:
    """A whole facility on one machine: PostgreSQL, Redis, two Tiled servers, Prefect, workers, Dask, gbx serve."""


@main.command()
@directory_option
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="How scans are analysed."
)
@click.option("--templates", type=click.Path(path_type=Path, file_okay=False), required=True, hidden=True)
def up(directory: Path, config_path: Path | None, templates: Path) -> None:
    """Bring it up, from nothing or from a folder that was kept, and return when all of it answers.

    Ctrl-C ends what was started; a folder that was there before is kept.
    """
    directory = directory.resolve()
    check_programs()
    if folder.keeper(directory) is not None:
        click.echo(f"a facility runs in {directory} already")
        _say_status(directory)
        return
    new = folder.read(directory) is None
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    facility = folder.prepare(directory, config_path or templates.parent / "configs" / "demo.yaml")
    try:
        with (directory / "logs" / "keeper.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gbx_services.facility", "keep", str(directory), str(templates.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_plain_environment(), processes_of.MARK: str(directory)},
                start_new_session=True,
            )
        _follow(directory, process)
    except KeyboardInterrupt:
        # A second one must not leave half of it behind.
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, signal.SIG_IGN)
        click.echo("interrupted: ending what was started", err=True)
        _stop(facility)
        if new:
            folder.remove(facility)
        sys.exit(INTERRUPTED)
    except GbxError:
        _stop(facility)
        raise
    click.echo(f"\nup after {time.monotonic() - began:.0f} s. For `gbx` and `prefect` in this shell:")
    click.echo(f"  source {directory / folder.ENVIRONMENT}")
    click.echo(f"Documents are written to {facility.tiled_writing}, and read from {facility.tiled_reading}.")


@main.command()
@directory_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(directory: Path, as_json: bool) -> None:
    """One line for each part. Exit status 0 where all is well."""
    directory = directory.resolve()
    sys.exit(0 if _say_status(directory, as_json=as_json) else 1)


@main.command()
@directory_option
@click.option("--keep", "keep_data", is_flag=True, help="Keep the data for the next `up`.")
def down(directory: Path, keep_data: bool) -> None:
    """End all of it, and remove its folder."""
    directory = directory.resolve()
    facility = folder.read(directory)
    if facility is None:
        click.echo(f"no facility in {directory}")
        return
    _stop(facility)
    if keep_data:
        click.echo(f"down; its data are kept in {directory}")
        return
    left = folder.remove(facility)
    click.echo(
        f"down; {directory} is kept for what is not ours: {', '.join(left)}" if left else "down, nothing is left"
    )


@main.command("keep", hidden=True)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("templates", type=click.Path(path_type=Path))
def keep_command(directory: Path, templates: Path) -> None:
    """The process in the background that `up` starts."""
    # Prefect and Tiled take seconds to import, which status and down need not wait for.
    from gbx_services.facility.keeper import keep

    log_as_json()
    stopping = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.set())
    facility = folder.read(directory)
    if facility is None:
        raise ServiceError(f"no facility in {directory}", needed="a prepared folder", action="use `up`")
    keep(facility, templates, stopping)


def _follow(directory: Path, process: subprocess.Popen[bytes]) -> None:
    """Tell of each part as it answers, until all do."""
    told: set[str] = set()
    pause = threading.Event()
    while True:
        ended = process.poll() is not None
        report = read_report(directory)
        for part in report.parts if report else ():
            if not part.trouble and part.name not in told:
                told.add(part.name)
                click.echo(_line("ok", part.name, part.address))
        if report and report.ready:
            return
        if ended:
            log = directory / "logs" / "keeper.log"
            raise ServiceError(
                report.failure if report and report.failure else f"the keeper ended with code {process.returncode}",
                needed="all parts of the facility",
                action=f"see {log.parent}; `local-facility.sh down` removes what is left",
            )
        pause.wait(_POLL_SECONDS)


def _say_status(directory: Path, *, as_json: bool = False) -> bool:
    running, report = folder.keeper(directory) is not None, read_report(directory)
    if report is None or not running:
        click.echo(json.dumps({"running": False}) if as_json else f"no facility runs in {directory}")
        return False
    stale = time.time() - report.seen > STALE_SECONDS
    well = report.ready and not stale and not any(part.trouble for part in report.parts)
    if as_json:
        click.echo(json.dumps({"running": True, "well": well, **asdict(report)}, indent=1))
        return well
    for part in report.parts:
        click.echo(_line("no" if part.trouble else "ok", part.name, part.trouble or part.address))
    click.echo(_summary(report, stale))
    return well


def _summary(report: Report, stale: bool) -> str:
    if not report.ready:
        return report.failure or "still starting"
    if stale:
        return f"the keeper has said nothing for {time.time() - report.seen:.0f} s"
    troubled = sum(bool(part.trouble) for part in report.parts)
    return f"{troubled} of {len(report.parts)} parts do not answer" if troubled else "all is well"


def _line(mark: str, name: str, said: str) -> str:
    return f"  {click.style(mark, fg='green' if mark == 'ok' else 'red')}  {name:<16} {said}"


def _stop(facility: Facility) -> None:
    """End keeper and parts; when this returns, nothing of it runs."""
    directory = facility.directory
    deadline = time.monotonic() + STOP_SECONDS
    pause = threading.Event()
    while (pid := folder.keeper(directory)) is not None and time.monotonic() < deadline:
        processes_of.signal_to(pid, signal.SIGTERM)
        pause.wait(_POLL_SECONDS)
    if pid is not None:
        processes_of.signal_to(pid, signal.SIGKILL)
    # The keeper's children see its end by themselves; what a killed worker left does not.
    processes_of.end(directory, facility.postgres_data)


def _plain_environment() -> dict[str, str]:
    """Ours, without what would point a part at other services."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GBX_", "TILED_", "PREFECT_", "DASK_", "PG"))
    }


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _run() -> None:
    try:
        main(standalone_mode=False)
    except GbxError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    _run()
