"""What an installation needs, checked one by one."""

from __future__ import annotations

import ctypes.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

from gbx_beamline import assemble
from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError

DISTRIBUTION = "gbx-beamline"
EXTRAS = ("tiled", "bluesky", "flows", "ensembles", "learning", "viewer")
LEAST_DISK = 2 * 2**30
"""Bytes that one demonstration wants free, with room to spare."""

QT_LIBRARIES = {
    "EGL": "libegl1",
    "GL": "libgl1",
    "OpenGL": "libopengl0",
    "xkbcommon": "libxkbcommon0",
    "dbus-1": "libdbus-1-3",
    "fontconfig": "libfontconfig1",
    "glib-2.0": "libglib2.0-0",
    "xcb-cursor": "libxcb-cursor0",
    "xcb-icccm": "libxcb-icccm4",
    "xcb-image": "libxcb-image0",
    "xcb-keysyms": "libxcb-keysyms1",
    "xcb-render-util": "libxcb-render-util0",
    "xkbcommon-x11": "libxkbcommon-x11-0",
}
"""What PySide6 loads from the system, and the Debian packages that hold it; from xcb-cursor on for windows on X11."""


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    passed: bool
    found: str
    cure: str = ""
    """What to do when it did not pass."""
    required: bool = True
    """False where only a part of GBX suffers."""


def examine(config: Config) -> Iterator[Check]:
    """All checks, in the order they are made."""
    yield _python()
    yield from _packages()
    yield _kernels()
    yield _qt()
    yield from _folder(config.catalog.directory)
    yield _catalog(config)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", sys.version_info >= (3, 11), found, "install Python 3.11 or 3.12")


def _packages() -> Iterator[Check]:
    for extra in ("", *EXTRAS):
        wrong: list[str] = []
        absent: list[str] = []
        for text in requires(DISTRIBUTION) or ():
            requirement = Requirement(text)
            if requirement.name == DISTRIBUTION or not _belongs(requirement, extra):
                continue
            try:
                found = version(requirement.name)
            except PackageNotFoundError:
                absent.append(f"{requirement.name} is absent")
                continue
            if not requirement.specifier.contains(found, prereleases=True):
                wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
        target = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
        yield Check(
            f"packages: {extra or 'core'}",
            not wrong and not absent,
            "; ".join([*wrong, *absent]) or "as pinned",
            f"pip install '{target}'",
            # A part that nobody installed is a choice; one of a wrong version breaks in the middle of the night.
            required=not extra or bool(wrong),
        )


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    if marker is None:
        return not extra
    return bool(extra) and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _kernels() -> Check:
    """Compiles and tests what multiplies: after this the first scan does not wait for it."""
    cure = "delete the __pycache__ folders of gbx_beamline, or set NUMBA_CACHE_DIR to a folder that can be written"
    try:
        from gbx_beamline.correlation import probe_engines, two_time

        counts = np.tile(np.arange(64, dtype=np.uint8), (8, 1))
        exact = two_time(counts, np.ones(64, dtype=np.int32), groups=0).g2
        found = probe_engines()
    # A broken cache of compiled code raises whatever it likes, in every process until it is deleted.
    except Exception as error:  # noqa: BLE001
        return Check("kernels", False, f"{type(error).__name__}: {error}", cure)
    values = np.arange(64.0)
    sound = bool(np.all(exact == np.float32(64.0 * (values @ values) / values.sum() ** 2)))
    return Check("kernels", sound, "; ".join((f"best: {found.engines[0]}", *found.notes)), cure)


def _qt() -> Check:
    absent = [package for library, package in QT_LIBRARIES.items() if ctypes.util.find_library(library) is None]
    return Check(
        "system libraries of Qt",
        not absent,
        f"absent: {', '.join(absent)}" if absent else "present",
        f"apt-get install {' '.join(absent)}",
        required=False,
    )


def _folder(directory: Path) -> Iterator[Check]:
    existing = next(folder for folder in (directory.resolve(), *directory.resolve().parents) if folder.exists())
    if not existing.is_dir():
        yield Check("folder", False, f"{existing} is a file", "choose another folder as catalog.directory")
        return
    free = shutil.disk_usage(existing).free
    yield Check(
        "disk",
        free >= LEAST_DISK,
        f"{free / 2**30:.1f} GiB free for {directory}",
        "free some, or set catalog.directory",
    )
    try:
        with tempfile.NamedTemporaryFile(prefix=".gbx-doctor-", dir=existing):
            pass
    except OSError as error:
        yield Check(
            "folder", False, f"{existing}: {error.strerror}", "choose a folder of your own as catalog.directory"
        )
    else:
        yield Check("folder", True, f"{existing} can be written")


def _catalog(config: Config) -> Check:
    new = assemble.server_address(config) is None and not config.catalog.directory.is_dir()
    try:
        with ExitStack() as stack:
            if new:
                # Looking must leave nothing behind.
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gbx-doctor-")))
                catalog_settings = config.catalog.model_copy(update={"directory": folder})
                config = config.model_copy(update={"catalog": catalog_settings})
            catalog = stack.enter_context(assemble.open_catalog(config))
            found = f"{catalog.uri}: {len(catalog.raw)} runs"
    except GbxError as error:
        return Check("catalog", False, error.found, error.action)
    except ModuleNotFoundError as error:
        return Check("catalog", False, f"{error.name} is absent", f"pip install '{DISTRIBUTION}[tiled]'")
    return Check("catalog", True, "the embedded server starts; no runs yet" if new else found)
