"""What the viewer remembers from one start to the next, in a file of the user's own."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gbx_beamline.errors import InputError
from gbx_beamline.figures.saving import write_whole

logger = logging.getLogger(__name__)

SMALLEST, LARGEST = 0.7, 2.5
"""Of the text's scale."""


class Kept(BaseModel):
    """Choices that survive a change of scan and a restart."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    theme: str = "light"
    scale: float = Field(default=1.0, ge=SMALLEST, le=LARGEST)
    roi: str | None = None
    """Name of the chosen q-ROI; None = the one that tells most."""
    colours: str = "viridis"
    levels: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Set by hand, by the kind of map."""
    against: str = "time"
    """Abscissa of the non-stationarity panel."""
    filter: str = ""
    detector: dict[str, bool] = Field(default_factory=dict)
    """Which overlays are drawn."""
    window: str = ""
    """Place and size, as Qt writes them, base64."""
    splitters: dict[str, str] = Field(default_factory=dict)
    """Of each splitter, as Qt writes it, base64."""


def load_kept(path: Path) -> Kept:
    """What a file remembers; what cannot be read is forgotten."""
    try:
        return Kept.model_validate(json.loads(path.read_text()))
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError, ValidationError) as error:
        # Another release's file, or half a file: no reason not to show the beamline.
        logger.warning("%s is not understood, the viewer begins anew: %s", path, str(error).splitlines()[0])
        return Kept()


def save_kept(kept: Kept, path: Path) -> None:
    """Remember; a folder that cannot be written costs the memory, not the session."""
    content: dict[str, Any] = kept.model_dump()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(json.dumps(content, indent=1).encode(), path, overwrite=True)
    except (OSError, InputError) as error:
        logger.warning("the viewer's settings are not kept: %s", error)
