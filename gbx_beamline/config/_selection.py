"""Which finished runs are analysed, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from gbx_beamline.config._analysis import AnalysisConfig
from gbx_beamline.config._base import Strict

RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
Patterns = Annotated[tuple[str, ...], Field(min_length=1)]
"""Names, or patterns of a shell: Si*, eiger4m_*."""

DEFAULT_RULE = "default"

_WHOLE = ("rois", "mask")
"""Parts that are replaced whole: half a set of q-ROIs means nothing."""


class SelectionRule(Strict):
    """Runs that meet every condition given are analysed, once. A run that two rules want gets a record of each."""

    enabled: bool = True
    """False keeps the rule and leaves its runs alone."""
    plans: Patterns | None = None
    """``plan_name`` of the start document; None = any."""
    detectors: Patterns | None = None
    """One of the ``detectors`` of the start document; None = any, or none at all."""
    samples: Patterns | None = None
    """Name of the sample; None = any, or none at all."""
    analysis: AnalysisConfig | None = None
    """What differs from ``analysis`` and from the sample's part: q-ROIs and mask replaced whole, the rest value by
    value."""

    def wants(self, start: Mapping[str, Any]) -> bool:
        """Whether a run with this start document is analysed by this rule. Never raises: documents say anything."""
        return (
            self.enabled
            and _meets(self.plans, [start.get("plan_name")])
            and _meets(self.detectors, _several(start.get("detectors")))
            and _meets(self.samples, [_sample(start)])
        )

    def over(self, settings: AnalysisConfig) -> AnalysisConfig:
        """``settings`` with what the rule says put over them."""
        if self.analysis is None:
            return settings
        update: dict[str, Any] = {}
        for name in self.analysis.model_fields_set:
            value: Any = getattr(self.analysis, name)
            if isinstance(value, BaseModel) and name not in _WHOLE:
                stated = {key: getattr(value, key) for key in value.model_fields_set}
                value = getattr(settings, name).model_copy(update=stated)
            update[name] = value
        return settings.model_copy(update=update)


def _meets(patterns: Patterns | None, names: Iterable[object]) -> bool:
    if patterns is None:
        return True
    return any(isinstance(name, str) and fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _several(value: object) -> list[object]:
    if isinstance(value, str):
        return [value]
    return list(value) if isinstance(value, Iterable) else []


def _sample(start: Mapping[str, Any]) -> object:
    sample = start.get("sample")
    return sample.get("name") if isinstance(sample, Mapping) else sample
