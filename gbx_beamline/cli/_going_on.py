"""What Ctrl-C says of long work that can be gone on with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def how_to_go_on() -> Iterator[None]:
    """After Ctrl-C, say which command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["gbx", *sys.argv[1:]])
        click.echo(f"stopped; what is whole is kept. Go on with: {again}", err=True)
        raise
