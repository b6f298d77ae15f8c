"""The configuration as rows: one for each key of each pydantic model below ``Config``."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from gbx_beamline.config import Config

_SIMPLE = {
    float: "number",
    int: "integer",
    str: "text",
    bool: "true or false",
    Path: "path",
    type(None): "null",
    Any: "anything",
}
_SIGNS: dict[type, tuple[str, str]] = {
    annotated_types.Gt: ("gt", ">"),
    annotated_types.Ge: ("ge", "≥"),
    annotated_types.Lt: ("lt", "<"),
    annotated_types.Le: ("le", "≤"),
}


@dataclass(frozen=True)
class KeyRow:
    """One key: reStructuredText in every cell but the first."""

    key: str
    value: str
    default: str
    meaning: str


def configuration_sections(
    attribute_docs: Callable[[type], Mapping[str, str]],
) -> Iterator[tuple[str, type[BaseModel], list[KeyRow]]]:
    """Path in the file, model and keys of each part; a model that is met twice is shown where it is met first.

    Args:
        attribute_docs: gives what stands under each attribute of a class.
    """
    places: dict[type[BaseModel], str] = {}
    shown: set[type[BaseModel]] = set()
    queue: list[tuple[str, type[BaseModel]]] = [("", Config)]
    while queue:
        path, model = queue.pop(0)
        if model in shown:
            continue
        shown.add(model)
        rows, below = [], []
        docs = attribute_docs(model)
        for key, field in model.model_fields.items():
            inside = [(f"{path}.{key}".lstrip(".") + steps, part) for steps, part in _models_in(field.annotation)]
            below += inside
            for place, part in inside:
                places.setdefault(part, place)
            rows.append(
                KeyRow(key, _value(field, [places[part] for _, part in inside]), _default(field), docs.get(key, ""))
            )
        yield path, model, rows
        # Depth first: analysis.rois stands under analysis.
        queue = below + queue


def label_of(path: str) -> str:
    """Anchor of the section of a part: config-analysis-rois-boxes."""
    return "config-" + (path.replace("[]", "").replace(".", "-").lower() or "top")


def _models_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Models inside a type, each with what leads to it: ``.NAME`` in a mapping, ``[]`` in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _models_in(arguments[0])
    elif origin in (dict, Mapping):
        yield from ((f".NAME{steps}", model) for steps, model in _models_in(arguments[1]))
    elif origin in (tuple, list):
        yield from ((f"[]{steps}", model) for argument in arguments[:1] for steps, model in _models_in(argument))
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _models_in(argument)


def _value(field: FieldInfo, places: list[str]) -> str:
    if places:
        return ", ".join(f"see `{place} <#{label_of(place)}>`__" for place in places)
    said = _type(field.annotation)
    limits = _limits(field.metadata)
    return f"{said}, {limits}" if limits else said


def _type(annotation: Any) -> str:
    """A type in words: "number", "one of a, b", "2 of: number"."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = _limits(arguments[1:])
        return f"{_type(arguments[0])} {limits}".rstrip()
    if origin is Literal:
        return "one of " + ", ".join(f"``{choice}``" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in arguments))
    if origin in (dict, Mapping):
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if origin in (tuple, list):
        of = [one for one in arguments if one is not Ellipsis]
        if len(of) == len(arguments) and origin is tuple:
            same = len({_type(one) for one in of}) == 1
            return f"[{', '.join(_type(one) for one in of)}]" if not same else f"list of {len(of)}: {_type(of[0])}"
        return f"list of: {_type(of[0])}"
    raise TypeError(f"the reference has no words for {annotation!r}: teach them to {__name__}")


def _limits(metadata: Any) -> str:
    """Bounds in signs: > 0, <= 32."""
    said = []
    for one in metadata:
        if isinstance(one, FieldInfo):
            said.append(_limits(one.metadata))
        elif type(one) in _SIGNS:
            name, sign = _SIGNS[type(one)]
            said.append(f"{sign} {getattr(one, name):g}")
        elif isinstance(one, StringConstraints) and one.pattern:
            said.append(f"like ``{one.pattern}``")
        elif isinstance(one, annotated_types.MinLen):
            said.append(f"at least {one.min_length}")
        elif isinstance(one, annotated_types.MaxLen):
            said.append(f"at most {one.max_length} long")
        elif (pattern := getattr(one, "pattern", None)) is not None:
            said.append(f"like ``{pattern}``")
    return ", ".join(part for part in said if part)


def _default(field: FieldInfo) -> str:
    """The default as YAML would say it; parts that are models of their own have theirs there."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "null"
    if isinstance(value, BaseModel) or _holds_models(value):
        return ""
    return f"``{_as_yaml(value)}``"


def _holds_models(value: Any) -> bool:
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return any(isinstance(one, BaseModel) for one in inside)


def _as_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_as_yaml(one)}" for key, one in value.items()) + "}"
    return str(value) or '""'
