"""``gbx view``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gbx_beamline import assemble
from gbx_beamline.cli import config_option
from gbx_beamline.errors import DependencyError, ServiceError


@click.command()
@config_option
def view(config_path: Path | None) -> None:
    """Look at the beamline: runs as they come, two-time maps while they grow, what a model says of them.

    Shows the embedded catalog, that of `gbx serve` or a facility's (catalog.uri); only reads.

    Example: gbx view --config configs/chx.yaml
    """
    # Tiled's client tries again for 45 s by itself, and reads these as it is imported; here a banner says so instead.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
    os.environ.setdefault("TILED_RETRY_TIMEOUT", "3")
    config = assemble.configuration(config_path)
    # On Linux without a display Qt would end the process with a message of its own.
    if not (display_exists() or os.environ.get("QT_QPA_PLATFORM")):
        raise ServiceError(
            "there is no display ($DISPLAY and $WAYLAND_DISPLAY are empty)",
            needed="a screen for the viewer's window",
            action="log in with a desktop or with `ssh -X`, or read results with `gbx results` and `gbx report UID`",
        )
    try:
        from gbx_viewer.ui.application import run
    except ImportError as error:
        raise DependencyError(
            f"the viewer cannot be loaded: {error}",
            needed="the package's extra `viewer` and the system libraries of Qt",
            action="install gbx-beamline[viewer]; `gbx doctor` names what else is absent",
        ) from error
    sys.exit(run(config))


def display_exists() -> bool:
    """Whether somebody would see a window."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
