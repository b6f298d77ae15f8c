"""Which pixels of a q-ROI go together, so that no speckle lies in two groups that are multiplied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._speckle_size import ASSUMED
from gbx_beamline.errors import InputError

FEWEST_GROUPS = 4
"""Three pairs: fewer have no scatter to tell an interval from."""

FEWEST_PIXELS = 50
"""Per group: below, a group's own mean fluctuates as much as its frames correlate."""

APART = 2.0
"""Speckle widths between groups that are multiplied: a disc's speckle correlation has fallen to 0.3 % there."""


@dataclass(frozen=True, kw_only=True)
class GroupLayout:
    """Pixel groups of one ROI, before any count is added up."""

    order: NDArray[np.int64] | None
    """(P,) the ROI's pixels, group after group; None = as they come."""
    edges: NDArray[np.int64]
    """(count + 1,) group a holds ``order[edges[a]:edges[a + 1]]``; one number when there is no group."""
    speckle_size: float
    """Full width at half maximum, pixels; NaN = not measured."""
    notes: tuple[str, ...]
    """What a reader must know: size assumed, fewer groups than asked for, none."""

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self.edges) - 1


def plan_groups(
    y: NDArray[np.int64] | None, x: NDArray[np.int64] | None, pixels: int, speckle_size: float, count: int = 8
) -> GroupLayout:
    """Split a ROI into runs of equal pixel numbers.

    Runs follow the rows, so that in grazing incidence every group has the same range of in-plane q; they follow the
    columns where rows would give fewer groups. Only consecutive runs touch: they are not multiplied, and the run
    between two that are is the guard, ``APART`` speckle widths thick at least. Fewer groups are taken until it is.

    The pixels must not hold every speckle twice: of the spectrum of a real image, which is centrosymmetric, give
    half the plane.

    Args:
        y: (P,) row of each pixel; None for a list of pixels, which is cut into runs as it comes.
        x: (P,) column of each pixel.
        pixels: P.
        speckle_size: full width at half maximum, pixels; NaN is taken as ``ASSUMED``.
        count: groups asked for.

    Returns:
        Layout with ``count`` groups, or as many as fit from ``FEWEST_GROUPS``, or none; ``notes`` say why.

    Raises:
        InputError: fewer groups asked for than ``FEWEST_GROUPS``.
    """
    if count < FEWEST_GROUPS:
        raise InputError(
            f"{count} pixel groups", needed=f"at least {FEWEST_GROUPS}, or 0 for none", action="correct the setting"
        )
    notes: list[str] = []
    if y is None or x is None:
        notes.append("pixels without positions: taken as independent, in runs as listed")
        most = min(count, pixels // FEWEST_PIXELS)
        order = None
    else:
        width = speckle_size
        if not np.isfinite(width):
            notes.append(f"speckle size not measured, taken as {ASSUMED:g} pixels")
            width = ASSUMED
        most, order = _most_runs(y, x, width, min(count, pixels // FEWEST_PIXELS))
    if most < FEWEST_GROUPS:
        notes.append(f"no pixel groups: {pixels} pixels hold fewer than {FEWEST_GROUPS} groups of independent speckles")
        most = 0
    elif most < count:
        notes.append(f"{most} of {count} pixel groups: more would share speckles or be too small")
    edges = np.linspace(0, pixels, most + 1).astype(np.int64) if most else np.zeros(1, dtype=np.int64)
    return GroupLayout(order=order, edges=edges, speckle_size=speckle_size, notes=tuple(notes))


def halved(layout: GroupLayout) -> GroupLayout | None:
    """Neighbouring groups joined two by two; None where too few would be left."""
    if layout.count % 2 or layout.count // 2 < FEWEST_GROUPS:
        return None
    note = f"{layout.count // 2} of {layout.count} pixel groups: smaller ones held no photon at times"
    return GroupLayout(
        order=layout.order, edges=layout.edges[::2], speckle_size=layout.speckle_size, notes=(*layout.notes, note)
    )


def pairs_apart(count: int) -> tuple[tuple[int, int], ...]:
    """Pairs (a, b), a < b, of runs that do not touch."""
    return tuple((a, b) for a in range(count) for b in range(a + 2, count))


def _most_runs(
    y: NDArray[np.int64], x: NDArray[np.int64], width: float, count: int
) -> tuple[int, NDArray[np.int64] | None]:
    """How many runs of sufficient thickness fit, and the order of pixels that makes them."""
    rows, columns = np.lexsort((x, y)), np.lexsort((y, x))
    best, order = 0, rows
    for candidate, position in ((rows, y[rows]), (columns, x[columns])):
        fits = next((k for k in range(count, FEWEST_GROUPS - 1, -1) if _gap(position, k) >= APART * width), 0)
        if fits > best:
            best, order = fits, candidate
    return best, None if np.array_equal(order, np.arange(len(y))) else order


def _gap(position: NDArray[np.int64], count: int) -> int:
    """Smallest distance between runs that do not touch, pixels."""
    edges = np.linspace(0, len(position), count + 1).astype(np.int64)
    return int(np.min(position[edges[2:-1]] - position[edges[1:-2] - 1]))
