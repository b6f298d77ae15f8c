"""What is installed on this machine."""

from __future__ import annotations

import ctypes.util
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

import numpy as np
from packaging.requirements import Requirement

from gbx_beamline import __version__
from gbx_services.doctor.checking import Check, Level, bad, good

DISTRIBUTION = "gbx-beamline"
EXTRAS = ("tiled", "bluesky", "flows", "ensembles", "learning", "viewer")
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


def check_installation() -> Iterator[Check]:
    """Python, packages, kernels, the libraries of Qt."""
    yield _python()
    yield from _packages()
    yield _kernels()
    yield _qt()


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return good("Python", found)


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
        name = f"packages: {extra or 'core'}"
        if not wrong and not absent:
            yield good(name, f"as pinned, gbx {__version__}" if not extra else "as pinned")
            continue
        # A part that nobody installed is a choice; one of a wrong version breaks in the middle of the night.
        level = Level.FAILURE if not extra or wrong else Level.WARNING
        found = "; ".join([*wrong, *absent])
        yield bad(name, found, "the versions of pyproject.toml", f"pip install '{target}'", level=level)


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    if marker is None:
        return not extra
    return bool(extra) and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _kernels() -> Check:
    """Compiles and tests what multiplies: after this the first scan does not wait for it."""
    needed, cure = (
        "exact products",
        "delete the __pycache__ folders of gbx_beamline, or set NUMBA_CACHE_DIR to a folder that can be written",
    )
    try:
        from gbx_beamline.correlation import probe_engines, two_time

        counts = np.tile(np.arange(64, dtype=np.uint8), (8, 1))
        exact = two_time(counts, np.ones(64, dtype=np.int32), groups=0).g2
        found = probe_engines()
    # A broken cache of compiled code raises whatever it likes, in every process until it is deleted.
    except Exception as error:  # noqa: BLE001
        return bad("kernels", f"{type(error).__name__}: {error}", needed, cure)
    values = np.arange(64.0)
    sound = bool(np.all(exact == np.float32(64.0 * (values @ values) / values.sum() ** 2)))
    said = "; ".join((f"best: {found.engines[0]}", *found.notes))
    return good("kernels", said) if sound else bad("kernels", f"wrong products ({said})", needed, cure)


def _qt() -> Check:
    absent = [package for library, package in QT_LIBRARIES.items() if ctypes.util.find_library(library) is None]
    name = "system libraries of Qt"
    if not absent:
        return good(name, "present")
    found, action = f"absent: {', '.join(absent)}", f"apt-get install {' '.join(absent)}"
    return bad(name, found, "them, for the viewer", action, level=Level.WARNING)
