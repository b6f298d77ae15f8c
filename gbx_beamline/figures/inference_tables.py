"""What models say of scans, as rows: one per scan, for terminals, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gbx_beamline.records import PARAMETERS

if TYPE_CHECKING:
    from gbx_beamline.catalog import InferenceSummary, RecordSummary

Row = dict[str, Any]

_UNITS = {"diffusivity": "_m2/s", "gamma": "_Js/m4", "gb_fraction": ""}

COLUMNS = (
    *(
        name
        for parameter in PARAMETERS
        for name in (f"{parameter}{_UNITS[parameter]}", f"{parameter}_low", f"{parameter}_high")
    ),
    *("preferred", "flags", "model"),
)
"""Keys of a row, in order. Undetermined parameters keep their numbers, which are little more than the prior's:
``flags`` says of which that is true. Where the model would not judge the scan, ``flags`` holds the reason."""

_HEADS = {"diffusivity": "D m²/s", "gamma": "γ J s m⁻⁴", "gb_fraction": "λ_GB"}

_CAPTION = (
    "D: bulk diffusivity; γ: friction of the boundaries, large = slow; λ_GB: share of scatterers at boundaries; "
    "with intervals of 90 %. undet.: this scan does not say; (true: what a simulated run was made with)."
)


def row(inference: InferenceSummary | None) -> Row:
    """The row of one scan; all None where no model was asked."""
    blank: Row = dict.fromkeys(COLUMNS)
    if inference is None:
        return blank
    meta = inference.metadata
    if inference.refused:
        return blank | {"model": inference.model_id, "flags": f"refused: {meta['refusal']['reason']}"}
    found = meta["inference"]
    values: Row = {}
    for parameter in PARAMETERS:
        estimate = found["parameters"][parameter]
        values[f"{parameter}{_UNITS[parameter]}"] = _number(estimate["median"])
        values |= {f"{parameter}_{end}": _number(estimate[end]) for end in ("low", "high")}
    probabilities = found["probabilities"]
    return (
        blank
        | values
        | {
            "preferred": max(probabilities, key=probabilities.__getitem__) if probabilities else None,
            "flags": "; ".join(flag["code"] for flag in found["flags"]),
            "model": inference.model_id,
        }
    )


def _number(value: Any) -> float | None:
    """A number of the catalog, where large ones are text."""
    return None if value is None else float(value)


def newest(inferences: Iterable[InferenceSummary]) -> dict[str, InferenceSummary]:
    """Of each correlation record, by its key, what was said last. They come oldest first."""
    return {inference.record: inference for inference in inferences}


def inference_table(records: Sequence[RecordSummary], inferences: Iterable[InferenceSummary]) -> Group | None:
    """A table for terminals of 80 columns, flags and refusals in words below it; None where no model was asked.

    Args:
        records: results, in the order to be shown.
        inferences: what models say, oldest first; of each record the newest is shown.
    """
    said = newest(inferences)
    shown = [said[record.key] for record in records if record.key in said]
    if not shown:
        return None
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("uid", "T/K", *_HEADS.values()):
        table.add_column(name, justify="left" if name == "uid" else "right", no_wrap=True)
    for inference in shown:
        meta = inference.metadata
        kelvin = "–" if meta["temperature"] is None else f"{meta['temperature']:.1f}"
        table.add_row(meta["run_uid"][:8], kelvin, *_cells(inference))
        if truth := _truth(meta):
            table.add_row("", "true", *truth, style="dim")
    models = ", ".join(dict.fromkeys(one.model_id for one in shown))
    return Group(table, *_notes(shown), Text(f"{_CAPTION} Model {models}.", style="dim"))


def _cells(inference: InferenceSummary) -> list[str]:
    if inference.refused:
        return ["refused", "–", "–"]
    found = inference.metadata["inference"]
    codes = {flag["code"] for flag in found["flags"]}
    return [
        "undet." if f"undetermined:{name}" in codes else interval(name, found["parameters"][name])
        for name in PARAMETERS
    ]


def interval(parameter: str, estimate: Mapping[str, float]) -> str:
    """Median and interval as they are read: 1.2e-22 (0.9–1.7)."""
    median, low, high = (float(estimate[name]) for name in ("median", "low", "high"))
    if parameter == "gb_fraction":
        return f"{median:.2f} ({low:.2f}–{high:.2f})"
    mantissa, power = f"{median:.1e}".split("e")
    unit = 10.0 ** int(power)
    return f"{mantissa}e{int(power)} ({low / unit:.2g}–{high / unit:.2g})"


def _truth(meta: Mapping[str, Any]) -> list[str]:
    """What a simulated run was made with."""
    truth = dict(meta["scan"].get("truth") or {})
    if truth.get("mobility"):
        truth["gamma"] = 1.0 / truth["mobility"]
    if not all(isinstance(truth.get(name), int | float) for name in PARAMETERS):
        return []
    return [format(truth[name], ".2f" if name == "gb_fraction" else ".1e") for name in PARAMETERS]


def _notes(shown: Sequence[InferenceSummary]) -> list[Text]:
    """Flags and reasons, with the runs they belong to."""
    said: dict[str, list[str]] = {}
    for inference in shown:
        meta = inference.metadata
        texts = (
            [f"refused by the model: {meta['refusal']['reason']}"]
            if inference.refused
            else [*(flag["text"] for flag in meta["inference"]["flags"]), *meta["inference"]["notes"]]
        )
        for text in texts:
            said.setdefault(text, []).append(meta["run_uid"][:8])
    return [Text(f"{', '.join(dict.fromkeys(uids))}: {text}", style="dim") for text, uids in said.items()]
