"""Sizes of the network, as model.json keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from gbx_beamline.learning._store_parts import KNOWN_ONLY, part_of

Width = Annotated[int, Field(ge=1, le=1024)]
"""Far more than a network of 10,000 simulations can fill, and little enough that no description fills a memory."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is needed to build the network before its weights are filled in."""

    __pydantic_config__: ClassVar[ConfigDict] = KNOWN_ONLY

    kinds: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    """Dynamics that are told apart; the first is the one whose parameters are inferred."""
    cells: Width = 64
    lags: Width = 24
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (24, 48, 96, 128)
    """Of the convolutions, each of which halves the map."""
    image_features: Width = 128
    roi_features: Width = 96
    context: Width = 160
    transforms: Annotated[int, Field(ge=1, le=16)] = 4
    """Of the flow, each with the parameters in another order."""
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (128, 128)
    """Of the network that makes a transform's splines."""
    bins: Annotated[int, Field(ge=2, le=64)] = 8
    """Of a spline."""

    def to_json(self) -> dict[str, Any]:
        """As ``model.json`` has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """The inverse of ``to_json``.

        Raises:
            InputError: sizes that are none, or larger than those of any network of ours.
        """
        return part_of(cls, values, "a network")
