"""The picture of the scans that a model was judged with, and where those of a sample lie in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gbx_beamline.config import ModelsConfig
from gbx_beamline.errors import GbxError, InputError
from gbx_beamline.records import Floats
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.saying import ANGSTROM2

REMOTE = 5.0
"""Times the usual distance to the nearest scan from which a place in the picture says nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What a model knows, in two dimensions that have no unit: what is alike lies together."""

    model: str
    simulated: Floats
    """(n, 2)."""
    log_d: Floats
    """(n,) log10 of D in Å^2/s of the simulated; NaN where not known."""
    measured: Floats
    """(m, 2) of virtual experiments, which no model was trained on."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One scan of the sample in the picture."""

    uid: str
    x: float
    y: float
    remoteness: float
    temperature: float
    """K; NaN = not recorded."""

    @property
    def said(self) -> str:
        """How far it is from what is known, in words."""
        far = f"{self.remoteness:.1f} times the usual distance from the nearest known scan"
        return f"{far}: its place says nothing" if self.remoteness > REMOTE else far


def read_picture(settings: ModelsConfig, model: str) -> Picture:
    """The picture of a model.

    Args:
        settings: Where models lie on this machine.
        model: Its id.

    Raises:
        GbxError: no such model here, or none whose picture was drawn.
    """
    from gbx_beamline.learning.embedding import KINDS, find_embedding
    from gbx_beamline.learning.store import ModelStore

    store = ModelStore(settings)
    found = find_embedding(store.findings(store.find(model)))
    if found is None:
        raise InputError(
            f"model {model} has no picture of the scans it knows",
            needed="one that was drawn by an evaluation",
            action=f"run `gbx evaluate {model}`",
        )
    simulated = found.kind == KINDS.index("simulation")
    places = found.coordinates.astype(np.float64)
    known = found.columns.get("log10_diffusivity")
    return Picture(
        model=model,
        simulated=places[simulated],
        log_d=np.full(simulated.sum(), math.nan)
        if known is None
        else known[simulated].astype(np.float64) + math.log10(ANGSTROM2),
        measured=places[~simulated],
    )


def placed(rows: Sequence[RunRow], shown: RunRow | None) -> tuple[Placed, ...]:
    """Scans of the shown one's sample that the same model has placed, in the order of time."""
    if shown is None or shown.inference is None:
        return ()
    return tuple(
        Placed(
            uid=row.uid,
            x=said.place["x"],
            y=said.place["y"],
            remoteness=said.place["remoteness"],
            temperature=row.temperature,
        )
        for row in reversed(rows)
        if row.sample == shown.sample
        and (said := row.inference) is not None
        and said.model == shown.inference.model
        and said.place is not None
    )


def why_none(error: GbxError) -> str:
    """Why there is no picture, in a line."""
    return f"{error.found}: {error.action}"
