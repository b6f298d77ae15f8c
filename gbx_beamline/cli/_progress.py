"""How far a job is: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from gbx_beamline.learning.jobs import Progress, Told

_LOG_SECONDS = 30.0


def leads() -> bool:
    """Whether this process speaks for those that torchrun started together."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def shown() -> Iterator[Told]:
    """Follows what it is told, stage by stage, while the context lasts."""
    console = Console(stderr=True)
    if not leads():
        yield lambda _: None
    elif console.is_terminal:
        with _bars(console) as told:
            yield told
    else:
        yield _Log().told


@contextmanager
def _bars(console: Console) -> Iterator[Told]:
    columns = (
        *(TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn()),
        *(TimeRemainingColumn(), TextColumn("{task.fields[said]}")),
    )
    with Bars(*columns, console=console) as bars:
        stages: dict[str, TaskID] = {}

        def told(progress: Progress) -> None:
            if progress.stage not in stages:
                stages[progress.stage] = bars.add_task(progress.stage, total=None, said="")
            bar = stages[progress.stage]
            bars.update(bar, completed=progress.done, total=progress.total or None, said=progress.said)

        yield told


class _Log:
    """A line when a stage begins and ends, and every half minute between."""

    def __init__(self) -> None:
        self._stage = ""
        self._said = 0.0

    def told(self, progress: Progress) -> None:
        now = time.monotonic()
        begins, ends = progress.stage != self._stage, progress.done == progress.total > 0
        if not (begins or ends or now - self._said > _LOG_SECONDS):
            return
        self._stage, self._said = progress.stage, now
        count = f" {progress.done:,} of {progress.total:,}" if progress.total else ""
        click.echo(f"{progress.stage}{count} {progress.said}".rstrip(), err=True)
