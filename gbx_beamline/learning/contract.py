"""What a network sees of a scan, and which scans it may see: one versioned object for training and inference.

Units of the network: an intensity correlation is ``c = (g2 / static_baseline - 1) / 0.14``, so that uneven intensity
is taken out and the paper's contrast is 1. ``sigma`` is the noise of one cell in the same unit,

    sigma^2 = (1 / mu^2 + 2 beta / mu) / P / beta^2,  beta = 0.14,

with mu photons per pixel and time cell and P pixels: photons with photons, and photons with fully correlated speckles
of the reference contrast. It is a unit that depends on known facts only; the noise itself may be larger or smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field

from gbx_beamline.errors import ContractError
from gbx_beamline.learning._input_cells import CellMaps, RoiFacts, cells_of_record
from gbx_beamline.learning._input_features import CHANNELS, CURVES, FEWEST_CELLS, SCALARS, lag_bins, roi_features
from gbx_beamline.learning._store_parts import KNOWN_ONLY, part_of
from gbx_beamline.records import TwoTime

if TYPE_CHECKING:
    from gbx_beamline.simulation.measurement import Maps

__all__ = [
    "CHANNELS",
    "CONTRACT_VERSION",
    "CURVES",
    "SCALARS",
    "CellMaps",
    "InputContract",
    "RoiFacts",
    "ScanInput",
    "cell_maps",
    "cells_input",
    "cells_of_maps",
    "lag_bins",
    "maps_input",
    "scan_input",
]

CONTRACT_VERSION = 2
"""Changes whenever the same scan becomes another input: a model of another version is not used."""


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """Which scans a model may judge. Stored in its ``model.json``."""

    __pydantic_config__: ClassVar[ConfigDict] = KNOWN_ONLY

    version: int = CONTRACT_VERSION
    cells: Annotated[int, Field(le=1024)] = 64
    """Time cells per side of a map, each of a whole number of frames."""
    window: tuple[float, float] = (2000.0, 2600.0)
    """s that the cells may span. Of a longer scan the beginning is taken."""
    q: tuple[float, float] = (3.5e8, 5.5e8)
    """1/m, component along the boundaries' normal."""
    temperature: tuple[float, float] = (290.0, 510.0)
    """K."""
    pixels: tuple[float, float] = (1_200.0, 60_000.0)
    """Per q-ROI."""
    counts: tuple[float, float] = (0.5, 50.0)
    """Photons per pixel and time cell."""
    most_rois: Annotated[int, Field(ge=1, le=1024)] = 12
    known: float = 0.5
    """Smallest share of known cells off the diagonal."""
    normalisations: tuple[str, ...] = ("none", "smoothed_image", "static_bins", "total_intensity")
    """Of the counts before correlation. Dividing by each pixel's time average takes slow speckles away."""
    q_convention: str = "parallel"
    """Which q the diffusivity refers to."""

    def __post_init__(self) -> None:
        if self.cells < FEWEST_CELLS:
            raise ContractError(
                f"{self.cells} time cells", needed=f"at least {FEWEST_CELLS}", action="correct the contract"
            )

    def to_json(self) -> dict[str, Any]:
        """As ``model.json`` has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> InputContract:
        """The inverse of ``to_json``.

        Raises:
            ContractError: of another version, or with fields that this release does not know.
        """
        found = values.get("version")
        if found != CONTRACT_VERSION:
            raise ContractError(
                f"an input contract of version {found}",
                needed=f"version {CONTRACT_VERSION}, which this release of gbx-beamline makes inputs for",
                action="use a model trained with this release, or the release that the model was trained with",
            )
        return part_of(cls, values, "an input contract", refusal=ContractError)


class ScanInput(NamedTuple):
    """One scan as networks see it, all float32, Q q-ROIs in any order."""

    maps: NDArray[np.float32]
    """(Q, C, n, n): the channels of ``CHANNELS``."""
    curves: NDArray[np.float32]
    """(Q, 4, L): the curves of ``CURVES`` in ``lag_bins``."""
    scalars: NDArray[np.float32]
    """(Q, S): the numbers of ``SCALARS``."""
    notes: tuple[str, ...] = ()
    """What was done to the scan to fit the contract, in words."""


def scan_input(
    tt: TwoTime, *, temperature: float, q: ArrayLike | None = None, contract: InputContract | None = None
) -> ScanInput:
    """A measured scan as networks see it.

    A time cell takes as many whole frames as the scan has for each, and as keep all cells within the contract's
    window; frames left over at the end are dropped. A cell of the map is the mean over its valid pairs of different
    frames.

    Args:
        tt: of the scan.
        temperature: K.
        q: (Q,) 1/m along the boundaries' normal; None takes those of the record.
        contract: None is the default one.

    Raises:
        ContractError: the scan is outside the contract; says in what and what to do.
        UnitError: q that looks like 1/Angstrom.
        MapError: infinite values.
    """
    return cells_input(cell_maps(tt, temperature=temperature, q=q, contract=contract))


def cell_maps(
    tt: TwoTime, *, temperature: float, q: ArrayLike | None = None, contract: InputContract | None = None
) -> CellMaps:
    """The first half of ``scan_input``: maps on time cells and what is known of them; see there."""
    return cells_of_record(tt, temperature, q, contract or InputContract())


def maps_input(
    maps: Maps,
    *,
    temperature: float,
    q: ArrayLike,
    speckle_size: ArrayLike | None = None,
    static_baseline: ArrayLike | None = None,
) -> ScanInput:
    """The training shortcut: the same input from fast maps of one scan.

    Args:
        maps: of one scan, g2 (Q, n, n).
        temperature: K.
        q: (Q,) 1/m that the geometry says, without the measurement's offset.
        speckle_size: (Q,) pixels that the analysis finds, NaN where it finds none; None takes the measurement's own.
        static_baseline: (Q,) that the analysis finds; None takes ``1 + unevenness^2``.
    """
    return cells_input(cells_of_maps(maps, temperature, q, speckle_size, static_baseline))


def cells_of_maps(
    maps: Maps,
    temperature: float,
    q: ArrayLike,
    speckle_size: ArrayLike | None = None,
    static_baseline: ArrayLike | None = None,
    scan: int | None = None,
) -> CellMaps:
    """What ``cell_maps`` finds in a record, for one scan of fast maps; ``scan`` picks it from a batch. See
    ``maps_input``."""
    measurement = maps.measurements[scan or 0]
    g2 = maps.g2 if scan is None else maps.g2[scan]
    rois = range(len(measurement.pixels))
    uneven = np.array([measurement.of("unevenness", roi) for roi in rois])
    return CellMaps(
        g2=g2,
        facts=RoiFacts.of(
            rois=len(rois),
            pixels=measurement.pixels,
            counts=[measurement.of("mean_counts", roi) * maps.frames_per_cell for roi in rois],
            q=q,
            static_baseline=1.0 + uneven**2 if static_baseline is None else static_baseline,
            speckle_size=measurement.speckle_size if speckle_size is None else speckle_size,
            temperature=temperature,
            window=g2.shape[-1] * maps.frames_per_cell * measurement.frame_time,
        ),
    )


def cells_input(cells: CellMaps) -> ScanInput:
    """The second half of ``scan_input``: what networks see of maps on time cells."""
    return ScanInput(*roi_features(cells.g2, cells.facts), cells.notes)
