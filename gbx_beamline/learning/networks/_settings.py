"""Sizes of the network, as model.json keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What is needed to build the network before its weights are filled in."""

    kinds: tuple[str, ...]
    """Dynamics that are told apart; the first is the one whose parameters are inferred."""
    cells: int = 64
    lags: int = 24
    channels: tuple[int, ...] = (24, 48, 96, 128)
    """Of the convolutions, each of which halves the map."""
    image_features: int = 128
    roi_features: int = 96
    context: int = 160
    transforms: int = 4
    """Of the flow, each with the parameters in another order."""
    hidden: tuple[int, ...] = (128, 128)
    """Of the network that makes a transform's splines."""
    bins: int = 8
    """Of a spline."""

    def to_json(self) -> dict[str, Any]:
        """As ``model.json`` has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """The inverse of ``to_json``."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)
