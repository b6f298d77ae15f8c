"""What the command line says when it cannot do what was asked."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from gbx_beamline.errors import DependencyError, GbxError, InputError

EXIT_REFUSED = 2
"""Exit code when the input, the configuration or the catalog says no."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as of every program that SIGINT ends."""


def print_error(said: str, *, label: str = "error: ") -> None:
    """One line on standard error, exactly as it is: no markup read into brackets, no path broken by a line's end."""
    line = Text.assemble((label, "bold red"), " ".join(said.splitlines()))
    Console(stderr=True).print(line, soft_wrap=True)


def refuse(error: GbxError | ModuleNotFoundError | OSError, debug: bool) -> NoReturn:
    """End with exit code 2 and one sentence; with ``debug`` the traceback comes before it.

    Raises:
        SystemExit: always, unless ``error`` is a fault of ours: that one goes on.
    """
    sentence = _in_words(error)
    if sentence is None:
        raise error
    if debug:
        traceback.print_exception(error)
    print_error(str(sentence))
    sys.exit(EXIT_REFUSED)


def _in_words(error: GbxError | ModuleNotFoundError | OSError) -> GbxError | None:
    if isinstance(error, GbxError):
        return error
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if not package or package.startswith("gbx_"):
            return None
        return DependencyError(
            f"the package {package!r} is not installed",
            needed="it for this command",
            action="run `gbx doctor`, which names what to install",
        )
    if error.filename is None:
        return None
    return InputError(
        f"{error.filename}: {error.strerror}",
        needed="a place that this user may read and write",
        action="check the path, its permissions and the free space",
    )


def unforeseen(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Take the place of ``sys.excepthook``: one sentence about an error that nobody foresaw; Python exits with 1."""
    said = f"{kind.__name__}: {error}" if str(error) else kind.__name__
    print_error(
        f"GBX broke down ({said}); needed: nothing from you, this is a fault of GBX; "
        "run the same command with --debug and report what it shows."
    )
