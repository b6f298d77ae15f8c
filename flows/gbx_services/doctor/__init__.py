"""What an installation and its services need, checked one by one. Nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gbx_beamline import assemble
from gbx_beamline.config import Config
from gbx_services.doctor.checking import Check, Level, within
from gbx_services.doctor.installation import QT_LIBRARIES, check_installation
from gbx_services.doctor.places import check_frames, check_place, places

__all__ = ["QT_LIBRARIES", "Check", "Level", "examine"]

DISK_SECONDS = 15.0
NETWORK_SECONDS = 30.0
EMBEDDED_SECONDS = 150.0
"""A server of our own may take two minutes to start on a loaded machine."""

MODEL_SECONDS = 60.0
KERNEL_SECONDS = 120.0
"""They may have to be compiled first."""


def examine(config: Config, *, tiled_config: Path | None = None, dask: str | None = None) -> Iterator[Check]:
    """All checks, in the order they are made. None hangs, and none that breaks down keeps the others from being made.

    Args:
        config: Configuration.
        tiled_config: Configuration of the Tiled server, to look at what it stands on; None leaves that out.
        dask: Address of a Dask scheduler; None = of DASK_SCHEDULER_ADDRESS.
    """
    # Imports inside: what one part lacks is said of that part.
    from gbx_services.doctor import models, services

    yield from within(KERNEL_SECONDS, "installation", check_installation)
    for name, folder in places(config).items():
        yield from within(DISK_SECONDS, f"folder: {name}", partial(check_place, name, folder))
    yield from within(DISK_SECONDS, "frames", partial(check_frames, config))
    patience = NETWORK_SECONDS if assemble.server_address(config) else EMBEDDED_SECONDS
    yield from within(patience, "catalog", partial(_catalog, config))
    if tiled_config is not None:
        yield from within(NETWORK_SECONDS, "server", partial(_server, config, tiled_config))
    yield from within(NETWORK_SECONDS, "prefect", partial(services.check_prefect, config))
    yield from within(NETWORK_SECONDS, "serve", partial(services.check_serve, config))
    if (kafka := config.serve.triggers.kafka) is not None:
        yield from within(NETWORK_SECONDS, "kafka", partial(services.check_kafka, kafka))
    yield from within(NETWORK_SECONDS, "dask", partial(services.check_dask, dask))
    yield from within(MODEL_SECONDS, "model", partial(models.check_models, config))


def _catalog(config: Config) -> Iterator[Check]:
    from gbx_services.doctor.catalog import check_catalog

    return check_catalog(config)


def _server(config: Config, tiled_config: Path) -> Iterator[Check]:
    from gbx_services.doctor.server import check_server

    return check_server(config, tiled_config)
