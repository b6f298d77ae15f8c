"""The Tiled catalog: there, of our version, on our time, readable and writable with this key."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog
from gbx_beamline.catalog.probing import ReadProbe, probe_reading, probe_writing
from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError
from gbx_beamline.records import READABLE_SCHEMAS
from gbx_services.doctor.checking import Check, Level, bad, good, refused

OFF_SECONDS = 2.0
"""Between this clock and the server's: more is worth a word."""

WRONG_SECONDS = 60.0
"""More, and what is said of lags and of the last days is wrong."""


def check_catalog(config: Config) -> Iterator[Check]:
    """Connection, versions, clock, reading, writing."""
    new = assemble.server_address(config) is None and not config.catalog.directory.is_dir()
    with ExitStack() as stack:
        if new:
            # Looking must leave nothing behind.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gbx-doctor-")))
            catalog_settings = config.catalog.model_copy(update={"directory": folder})
            config = config.model_copy(update={"catalog": catalog_settings})
        try:
            catalog = stack.enter_context(assemble.open_catalog(config))
        except GbxError as error:
            yield refused("catalog", error)
            return
        yield good("catalog", "the embedded server starts" if new else f"{catalog.uri} answers")
        yield from _server(catalog)
        try:
            probe = probe_reading(catalog)
        except GbxError as error:
            yield refused("catalog: reading", error)
            return
        yield good("catalog: reading", f"{probe.runs} runs" + (f", newest {probe.newest[:8]}" if probe.newest else ""))
        yield _schema(probe)
        yield _writing(catalog, probe)


def _server(catalog: Catalog) -> Iterator[Check]:
    before = time.time()
    answer: Any = catalog.root.context.http_client.get(catalog.root.context.api_uri)
    after = time.time()
    ours, theirs = version("tiled"), str(answer.json().get("library_version"))
    if ours == theirs:
        yield good("catalog: version", f"Tiled {theirs} on both sides")
    else:
        same = ours.split(".")[:2] == theirs.split(".")[:2]
        level = Level.WARNING if same else Level.FAILURE
        found = f"the server has Tiled {theirs}, this client {ours}"
        yield bad("catalog: version", found, "the same version", f"install tiled=={theirs} here", level=level)
    stated = answer.headers.get("date")
    if stated is None:
        yield bad("clock", "the server tells no time", "a Date header", "compare `date` by hand", level=Level.WARNING)
        return
    # The header has whole seconds, and a server may keep it for one.
    moment = parsedate_to_datetime(stated).timestamp()
    off = max(before - moment - 2.0, moment - after, 0.0)
    if off <= OFF_SECONDS:
        yield good("clock", "as the server's")
        return
    level = Level.WARNING if off < WRONG_SECONDS else Level.FAILURE
    found = f"{off:.0f} s from the server's"
    yield bad("clock", found, "the same time", "start time synchronisation: timedatectl set-ntp true", level=level)


def _schema(probe: ReadProbe) -> Check:
    known = " and ".join(map(str, READABLE_SCHEMAS))
    if probe.record_schema is None:
        return good("catalog: schema", f"no records yet; versions {known} are read")
    if probe.record_schema in READABLE_SCHEMAS:
        return good("catalog: schema", f"the newest record has version {probe.record_schema}; {known} are read")
    found = f"record {probe.record} has schema version {probe.record_schema}"
    return bad(
        "catalog: schema", found, f"version {known}", "install the release that writes it (docs/how-to/upgrade.md)"
    )


def _writing(catalog: Catalog, probe: ReadProbe) -> Check:
    way = "through HTTP" if catalog.store is None else f"through {catalog.store}"
    try:
        probe_writing(catalog, probe.tags)
    except GbxError as error:
        return refused("catalog: writing", error)
    return good("catalog: writing", f"a result was written {way}, read and removed")
