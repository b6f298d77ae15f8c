"""Which trained model infers, and where models lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from gbx_beamline.config._base import Strict

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]

_MOVING = ("default", "candidate")


class ModelsConfig(Strict):
    """The models of this place, beside those that come with the package."""

    directory: Path = Path("gbx-data/models")
    """Folder of trained models, of their lineage and of their evaluations; relative to the working folder, because it
    is written into."""
    model: ModelName = "default"
    """Who infers: an alias (default, candidate), or the id of a model that stays whatever is promoted. No path: what
    runs unattended comes out of the store."""
    frozen: dict[str, ModelName] = Field(default_factory=dict)
    """Whole ids of models by proposal, as the start document names it (``data_session``: pass-123456, or the id in
    ``proposal``): its scans are judged by one model from the first to the last, whatever is promoted meanwhile."""
    infer: bool = True
    """Whether the end-of-run flow and `gbx analyze UID` ask the model; False leaves it at correlation."""
    suites: Path = Path("gbx-data/suites")
    """Folder of virtual experiments, which `gbx evaluate` makes once (some hundred MB) and keeps."""

    @field_validator("frozen")
    @classmethod
    def _ids(cls, value: dict[str, str]) -> dict[str, str]:
        for proposal, model in value.items():
            if model in _MOVING:
                raise ValueError(f"{proposal}: {model!r} moves with each promotion; write the model's id")
        return value

    def judge_of(self, start: Mapping[str, Any]) -> str:
        """Who infers for a run with this start document. Never raises: documents say anything."""
        return next((self.frozen[name] for name in _proposals(start) if name in self.frozen), self.model)


def _proposals(start: Mapping[str, Any]) -> Iterator[str]:
    """Names of the proposal that a run belongs to."""
    proposal = start.get("proposal")
    inside = [proposal.get("proposal_id"), proposal.get("id")] if isinstance(proposal, Mapping) else [proposal]
    for name in (start.get("data_session"), *inside):
        if isinstance(name, str | int):
            yield str(name)
