"""Which trained model infers, and where models lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gbx_beamline.config._base import Strict


class ModelsConfig(Strict):
    """The models of this place, beside those that come with the package."""

    directory: Path = Path("gbx-data/models")
    """Folder of trained models, of their lineage and of their evaluations; relative to the working folder, because it
    is written into."""
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)] = "default"
    """Who infers: an alias (default, candidate), or the id of a model that stays whatever is promoted. No path: what
    runs unattended comes out of the store."""
    infer: bool = True
    """Whether the end-of-run flow and `gbx analyze UID` ask the model; False leaves it at correlation."""
    suites: Path = Path("gbx-data/suites")
    """Folder of virtual experiments, which `gbx evaluate` makes once (some hundred MB) and keeps."""
