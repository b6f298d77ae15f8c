"""``python -m gbx_services.live``: follows running scans, in a process of its own and with low priority.

``gbx serve`` keeps it where ``serve.live.enabled`` says so. The configuration file is named by ``GBX_CONFIG``.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

NICENESS = 10
"""Acquisition and the analysis of finished scans come first."""


def main() -> None:
    """Follow runs until stopped."""
    # Read by Tiled's client as it is imported: a catalog that is away must not hold up the next revision.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "3")
    os.environ.setdefault("TILED_RETRY_TIMEOUT", "5")
    os.nice(NICENESS)
    from gbx_beamline import assemble
    from gbx_beamline.correlation import probe_engines
    from gbx_services.live.service import LiveService
    from gbx_services.logs import log_as_json

    log_as_json()
    stopping = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.set())
    probe_engines()
    config = assemble.configuration()
    LiveService(config, partial(assemble.open_catalog, config)).go_on(stopping)


if __name__ == "__main__":
    main()
