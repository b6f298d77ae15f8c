"""q-ROIs given on the command line."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gbx_beamline.config import Config, QBox, QRing, RoiConfig
from gbx_beamline.errors import ConfigError

_Region = TypeVar("_Region", bound=BaseModel)


def _pair(text: str, option: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise ConfigError(
            f"{option} {text}",
            needed="LOW:HIGH, two numbers in 1/Angstrom",
            action=f"write it like {option} 0.003:0.005" + (" 0.02:0.03" if option == "--box" else ""),
        ) from error
    return low, high


def _region(model: type[_Region], option: str, *texts: str) -> _Region:
    """One q-ROI of the command line; ``texts`` are its LOW:HIGH in the order of the model's q fields."""
    names = [name for name in model.model_fields if name.startswith("q")]
    values = {name: _pair(text, option) for name, text in zip(names, texts, strict=True)}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{option} {' '.join(texts)}: {said}",
            needed="LOW:HIGH in 1/Angstrom, LOW below HIGH",
            action=f"correct {option}",
        ) from error


def rois_given(rings: tuple[str, ...], boxes: tuple[tuple[str, str], ...]) -> RoiConfig | None:
    """The q-ROIs of the command line; None where there are none.

    Raises:
        ConfigError: of two kinds, or no intervals.
    """
    if not rings and not boxes:
        return None
    if rings and boxes:
        raise ConfigError(
            f"{len(rings)} --ring and {len(boxes)} --box", needed="q-ROIs of one kind", action="leave one kind out"
        )
    return RoiConfig(
        rings=tuple(_region(QRing, "--ring", text) for text in rings),
        boxes=tuple(_region(QBox, "--box", *pair) for pair in boxes),
    )


def with_rois(config: Config, rois: RoiConfig | None) -> Config:
    """``config`` with the q-ROIs of the command line, where there are any, in place of its own."""
    if rois is None:
        return config
    analysis = config.analysis.model_copy(update={"rois": rois})
    samples = {name: part.model_copy(update={"rois": None}) for name, part in config.samples.items()}
    return config.model_copy(update={"analysis": analysis, "samples": samples})
