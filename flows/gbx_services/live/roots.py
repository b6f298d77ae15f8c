"""Below which folders data files may lie: their paths come from documents, which anybody may have written."""

from __future__ import annotations

from pathlib import Path

from gbx_beamline import assemble
from gbx_beamline.config import Config
from gbx_beamline.errors import ConfigError
from gbx_tiled.configuration import FRAMES_FOLDER


def data_roots(config: Config) -> tuple[Path, ...]:
    """Those of ``serve.live.roots``; without any, the folder that the embedded catalog reads frames from.

    Raises:
        ConfigError: none is configured, and the catalog is not the embedded one.
    """
    if config.serve.live.roots:
        return config.serve.live.roots
    if assemble.server_address(config):
        raise ConfigError(
            "serve.live.enabled without serve.live.roots",
            needed="the folders below which the detector writes its data files",
            action="name them in serve.live.roots; what lies elsewhere is never opened",
        )
    return (config.catalog.directory / FRAMES_FOLDER,)
