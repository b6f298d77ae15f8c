"""Maps on a network's time cells and the facts beside them, taken from a record or refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.correlation.diagonals import cell_means
from gbx_beamline.errors import ContractError, MapError, UnitError
from gbx_beamline.records import TwoTime

if TYPE_CHECKING:
    from gbx_beamline.learning.contract import InputContract

LARGEST_INVERSE_ANGSTROM = 20.0
"""As the configuration has it: a q below is no q in 1/m."""


@dataclass(frozen=True, kw_only=True)
class RoiFacts:
    """What is known of each of R maps without looking at them. float64."""

    pixels: NDArray[np.float64]
    """(R,) pixels that entered."""
    counts: NDArray[np.float64]
    """(R,) photons per pixel and time cell."""
    q: NDArray[np.float64]
    """(R,) 1/m."""
    static_baseline: NDArray[np.float64]
    """(R,) what g2 tends to without correlation; 1 where intensity is even."""
    speckle_size: NDArray[np.float64]
    """(R,) full width at half maximum, pixels; NaN = not known."""
    temperature: NDArray[np.float64]
    """(R,) K."""
    window: NDArray[np.float64]
    """(R,) s that the cells span."""

    @classmethod
    def of(cls, *, rois: int, **values: ArrayLike) -> RoiFacts:
        """From one number for all of ``rois`` maps, or one for each."""
        return cls(**{name: np.broadcast_to(np.asarray(v, dtype=np.float64), (rois,)) for name, v in values.items()})


@dataclass(frozen=True, kw_only=True)
class CellMaps:
    """Maps on time cells of one scan, or of many one after the other."""

    g2: NDArray[np.floating]
    """(R, n, n) baseline ``static_baseline``; NaN where unknown. What is on the diagonal is not looked at."""
    facts: RoiFacts
    notes: tuple[str, ...] = ()
    """What was done to the scan, in words."""


def cells_of_record(tt: TwoTime, temperature: float, q: ArrayLike | None, contract: InputContract) -> CellMaps:
    """See ``contract.scan_input``."""
    rois = _number_of_rois(tt, contract)
    kelvin = _temperature(temperature, contract)
    wavenumbers = _wavenumbers(tt, q, rois, contract)
    if tt.normalisation not in contract.normalisations:
        raise ContractError(
            f"counts normalised by {tt.normalisation!r}",
            needed=f"one of {', '.join(contract.normalisations)}",
            action="correlate the scan again with another normalisation",
        )
    per_cell, notes = _frames_per_cell(tt, contract)
    used = per_cell * contract.cells
    counts = _counts(tt, used) * per_cell * tt.frames_per_cell
    _check_photons(tt, counts, contract)
    g2 = np.stack([_on_cells(square, used, per_cell) for square in tt.g2])
    _check_values(g2, contract)
    return CellMaps(
        g2=g2.astype(np.float32),
        facts=RoiFacts.of(
            rois=rois,
            pixels=tt.pixels,
            counts=counts,
            q=wavenumbers,
            static_baseline=tt.static_baseline,
            speckle_size=[groups.speckle_size for groups in tt.groups] if tt.groups else np.nan,
            temperature=kelvin,
            window=used * tt.frame_time,
        ),
        notes=notes,
    )


def _number_of_rois(tt: TwoTime, contract: InputContract) -> int:
    if tt.g2.ndim != 3 or tt.g2.shape[1] != tt.g2.shape[2]:
        raise MapError(
            f"maps of shape {tt.g2.shape}", needed="square maps (Q, N, N)", action="give a TwoTime as two_time makes it"
        )
    rois = len(tt.g2)
    if not 1 <= rois <= contract.most_rois:
        raise ContractError(
            f"{rois} q-ROIs", needed=f"1 to {contract.most_rois}", action="choose the q-ROIs with the best statistics"
        )
    return rois


def _temperature(temperature: float, contract: InputContract) -> float:
    low, high = contract.temperature
    kelvin = float(temperature)
    if not low <= kelvin <= high:
        hint = "; it looks like degrees Celsius: add 273.15" if low <= kelvin + 273.15 <= high else ""
        raise ContractError(
            f"temperature {kelvin:g} K{hint}",
            needed=f"{low:g} to {high:g} K, which the model was trained for",
            action="correct the temperature, or train a model for it",
        )
    return kelvin


def _wavenumbers(tt: TwoTime, q: ArrayLike | None, rois: int, contract: InputContract) -> NDArray[np.float64]:
    stated = tt.q_par if q is None else q
    if stated is None or not np.isfinite(np.asarray(stated, dtype=np.float64)).all():
        raise ContractError(
            "q of the q-ROIs is not known",
            needed="q in 1/m for each of them",
            action="give q=..., or q-ROIs that carry q (geometry)",
        )
    found = np.atleast_1d(np.asarray(stated, dtype=np.float64))
    if found.shape != (rois,):
        raise ContractError(
            f"q of shape {found.shape} for {rois} q-ROIs", needed="one q for each", action="correct the list of q"
        )
    if 0.0 < np.abs(found).max() <= LARGEST_INVERSE_ANGSTROM:
        raise UnitError(
            f"q = {', '.join(f'{value:g}' for value in found)}, which looks like 1/Angstrom",
            needed="q in 1/m",
            action="multiply by 1e10",
        )
    low, high = contract.q
    if not ((found >= low) & (found <= high)).all():
        raise ContractError(
            f"q = {', '.join(f'{value:.3g}' for value in found)} 1/m",
            needed=f"{low:.3g} to {high:.3g} 1/m, which the model was trained for",
            action="choose q-ROIs in that range, or train a model for theirs",
        )
    return found


def _frames_per_cell(tt: TwoTime, contract: InputContract) -> tuple[int, tuple[str, ...]]:
    """Rows of the maps that make a time cell, and what to say of it."""
    rows, frame_time = tt.g2.shape[-1], tt.frame_time
    low, high = contract.window
    if not (np.isfinite(frame_time) and frame_time > 0):
        raise ContractError(
            f"a frame time of {frame_time} s", needed="a positive number of s", action="give the scan's frame time"
        )
    # Frames of 2500/256 s span 2500 s but for rounding.
    slack = 1e-9
    if rows * frame_time < low * (1.0 - slack):
        raise ContractError(
            f"window too short: {rows * frame_time:,.0f} s of {low:,.0f} s",
            needed=f"a scan of {low:,.0f} s or more",
            action="measure longer, or train a model for short scans",
        )
    cell = contract.cells * frame_time
    per_cell = min(rows // contract.cells, int(high * (1.0 + slack) / cell))
    if per_cell * cell < low * (1.0 - slack):
        raise ContractError(
            f"{rows} frames of {frame_time:g} s make {contract.cells} time cells of {per_cell} whole frames, "
            f"which span {per_cell * cell:,.0f} s",
            needed=f"cells of whole frames that span {low:,.0f} to {high:,.0f} s",
            action="take shorter frames",
        )
    cut = rows * frame_time > high
    notes = f"only the first {per_cell * cell:,.0f} s of {rows * frame_time:,.0f} s were used"
    return per_cell, (notes,) if cut else ()


def _counts(tt: TwoTime, used: int) -> NDArray[np.float64]:
    """(Q,) photons per pixel and frame in the frames that are used."""
    valid = np.isfinite(tt.frame_means[:, :used])
    total = np.where(valid, tt.frame_means[:, :used], 0.0).sum(axis=1)
    counts = np.divide(total, valid.sum(axis=1), out=np.full(len(total), np.nan), where=valid.any(axis=1))
    if (np.asarray(tt.pixels) < 1).any() or not np.isfinite(tt.mean_counts).all() or not (counts > 0).all():
        raise ContractError(
            "numbers of pixels or photons are not known, or there are no photons",
            needed="pixels and mean counts of each q-ROI, which the noise of a map follows from",
            action="correlate the frames with GBX; an imported map does not say them",
        )
    return counts


def _check_photons(tt: TwoTime, counts: NDArray[np.float64], contract: InputContract) -> None:
    for what, values, (low, high), action in (
        ("pixels", tt.pixels, contract.pixels, "choose larger q-ROIs, or split one that is too large"),
        (
            "photons per pixel and time cell",
            counts,
            contract.counts,
            "leave out q-ROIs that are too dark, attenuate a beam that is too bright",
        ),
    ):
        outside = [roi for roi, value in enumerate(values) if not low <= value <= high]
        if outside:
            raise ContractError(
                f"q-ROI {outside[0]}: {values[outside[0]]:.3g} {what}",
                needed=f"{low:g} to {high:g}, which the model was trained for",
                action=f"{action}, or train a model for such scans",
            )


def _on_cells(square: NDArray[np.float32], used: int, per_cell: int) -> NDArray[np.float64]:
    """(n, n) means over valid pairs of different frames, NaN on the diagonal."""
    if np.isinf(square[:used, :used]).any():
        raise MapError("infinite values in a map", needed="finite values, NaN for bad frames", action="set them to NaN")
    cells = cell_means(square[:used, :used], per_cell)
    np.fill_diagonal(cells, np.nan)
    return cells


def _check_values(g2: NDArray[np.float64], contract: InputContract) -> None:
    pairs = g2.shape[-1] * (g2.shape[-1] - 1)
    for roi, cells in enumerate(g2):
        known = cells[np.isfinite(cells)]
        if known.size < contract.known * pairs:
            raise ContractError(
                f"q-ROI {roi}: {known.size / pairs:.0%} of the map is known",
                needed=f"at least {contract.known:.0%}",
                action="leave the q-ROI out, or measure again: too many frames are bad",
            )
        if np.ptp(known) <= 4 * float(np.finfo(np.float32).eps) * np.abs(known).max():
            raise ContractError(
                f"q-ROI {roi}: a constant map",
                needed="a measured map, which has noise at least",
                action="check how it was made, or leave the q-ROI out",
            )
