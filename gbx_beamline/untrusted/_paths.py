"""Paths that documents, files or results name are opened only below folders that the configuration allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gbx_beamline.errors import SeriesError


def lies_below(path: Path, roots: Sequence[Path]) -> Path | None:
    """The real place of ``path``, whatever links and dots lead there; None where it is below none of ``roots``.

    Args:
        path: It need not exist; a relative one lies nowhere.
        roots: Folders.
    """
    if "\0" in str(path) or not path.is_absolute():
        return None
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # a circle of links
        return None
    return real if any(real.is_relative_to(root.resolve()) for root in roots) else None


def confined(path: Path | str, roots: Sequence[Path], *, setting: str = "serve.live.roots") -> Path:
    """The real place of ``path``, whatever links lead there.

    Args:
        path: Absolute; it need not exist.
        roots: Folders below which it may lie.
        setting: Where they are configured.

    Raises:
        SeriesError: it lies elsewhere, or is no absolute path.
    """
    real = lies_below(Path(path), roots)
    if real is None:
        raise SeriesError(
            f"{str(path)!r} leads out of the folders for data files",
            needed=f"a place below {' or '.join(map(str, roots)) or 'a folder that is allowed; none is'}",
            action=f"add the detector's folder to {setting}, if this is one",
        )
    return real
