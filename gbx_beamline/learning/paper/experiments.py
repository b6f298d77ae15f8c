"""Experimental scans as unlabelled maps: one of each scan, or the paper's overlapping crops."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.config._paper_family import Crops, PaperFamilyData
from gbx_beamline.errors import ContractError, InputError, UnitError
from gbx_beamline.learning.paper.maps import cells_for, filled, on_cells, s_of
from gbx_beamline.learning.virtual import only_rois
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import TwoTime

PAPER_Q = 4.5e8
"""1/m, of all simulated maps."""

Q_TOLERANCE = 0.05
"""Relative. The bulk's rate is q^2 D: 5 % of q are 0.04 in log10 D."""

WINDOW = (2000.0, 2600.0)
"""s that a map may span; simulated ones span 2,500 s."""

CUT = 2500.0
"""s that a longer scan is cut to where no crops are asked for."""

SMALLEST_Q = 1e6
"""1/m. Below it a q is in 1/Angstrom or 1/nm."""


@dataclass(frozen=True)
class ExperimentalScan:
    """A measured scan of a group."""

    two_time: TwoTime
    run: str
    """What no split goes through: crops of a run are near-duplicates."""
    group: str
    """Material and dose: what is fine-tuned together."""


@dataclass(frozen=True, eq=False)
class ExperimentalMaps:
    """m unlabelled maps as networks see them."""

    maps: NDArray[np.float32]
    """(m, n, n) g2, filled by ``filled``."""
    s: NDArray[np.float64]
    """(m,) S_noneq of these maps as printed, as a ratio of norms."""
    s_corrected: NDArray[np.float64]
    """(m,) the same freed of noise, 0 where it came out negative; NaN where it is undetermined."""
    runs: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.maps)

    def target(self, which: Literal["bare", "corrected"]) -> NDArray[np.float64]:
        """(m,) S_noneq of this kind, as a ratio of norms."""
        return self.s if which == "bare" else self.s_corrected

    def rows(self, index: ArrayLike) -> ExperimentalMaps:
        """These maps alone."""
        chosen = np.asarray(index, dtype=np.int64)
        return ExperimentalMaps(
            maps=self.maps[chosen],
            s=self.s[chosen],
            s_corrected=self.s_corrected[chosen],
            runs=tuple(self.runs[row] for row in chosen),
            groups=tuple(self.groups[row] for row in chosen),
        )

    def of_group(self, group: str) -> ExperimentalMaps:
        """The maps of one group.

        Raises:
            InputError: there is none.
        """
        rows = [row for row, each in enumerate(self.groups) if each == group]
        if not rows:
            raise InputError(
                f"group {group!r}", needed=f"one of {', '.join(sorted(set(self.groups)))}", action="correct the group"
            )
        return self.rows(rows)

    @property
    def digest(self) -> str:
        """Twelve hex digits of the content."""
        found = hashlib.sha256()
        for array in (self.maps, self.s, self.s_corrected):
            found.update(np.ascontiguousarray(array).tobytes())
        found.update("\n".join((*self.runs, *self.groups)).encode())
        return found.hexdigest()[:12]


def experimental_maps(
    scans: Iterable[ExperimentalScan], data: PaperFamilyData, crops: Crops | None = None
) -> ExperimentalMaps:
    """Maps of all scans, at the q-ROI nearest to the simulation's q.

    Args:
        scans: in any number; their maps follow each other.
        data: size and resize.
        crops: None is one map for each scan.

    Raises:
        ContractError: a scan of another window or q; says which run.
        InputError: no scans.
    """
    crops = crops or Crops()
    maps: list[NDArray[np.float32]] = []
    s: list[tuple[float, float]] = []
    runs: list[str] = []
    groups: list[str] = []
    for scan in scans:
        try:
            part = at_paper_q(scan.two_time)
            spans = spans_of(part.g2.shape[-1], part.frame_time, crops)
        except ContractError as error:
            raise ContractError(f"run {scan.run}: {error.found}", needed=error.needed, action=error.action) from error
        for start, stop in spans:
            cropped = part.between(start, stop)
            cells = on_cells(cropped.g2[0], cells_for(stop - start, data.size, data.resize))
            maps.append(filled(cells))
            s.append((s_of(cells), corrected_of(cropped, data.size)))
            runs.append(scan.run)
            groups.append(scan.group)
    if not maps:
        raise InputError("no scans", needed="at least one", action="give experimental scans")
    bare, corrected = np.array(s).T
    return ExperimentalMaps(maps=np.stack(maps), s=bare, s_corrected=corrected, runs=tuple(runs), groups=tuple(groups))


def at_paper_q(tt: TwoTime, q: ArrayLike | None = None) -> TwoTime:
    """The record with the one q-ROI that lies nearest to the simulation's q.

    Args:
        tt: of Q q-ROIs.
        q: (Q,) 1/m, where the record carries none.

    Raises:
        ContractError: no q is known, or none is near enough.
        UnitError: q that looks like 1/Angstrom.
    """
    stated = tt.q_par if q is None else np.atleast_1d(np.asarray(q, dtype=np.float64))
    if stated is None or len(stated) != len(tt.g2) or not np.isfinite(stated).all():
        raise ContractError(
            f"q of {len(tt.g2)} q-ROI(s): {'not known' if stated is None else list(stated)}",
            needed="q in 1/m for each of them",
            action="give q=..., or q-ROIs that carry q (geometry)",
        )
    if 0 < np.abs(stated).max() < SMALLEST_Q:
        raise UnitError(
            f"q = {', '.join(f'{value:g}' for value in stated)}, which looks like 1/Angstrom",
            needed="q in 1/m",
            action="multiply by 1e10",
        )
    roi = int(np.abs(stated - PAPER_Q).argmin())
    if abs(stated[roi] - PAPER_Q) > Q_TOLERANCE * PAPER_Q:
        raise ContractError(
            f"q = {stated[roi]:.3g} 1/m is the nearest",
            needed=f"a q-ROI within {Q_TOLERANCE:.0%} of {PAPER_Q:.3g} 1/m, the one q that the paper simulates",
            action="choose another q-ROI, or a model of the GBX family",
        )
    return replace(only_rois(tt, [roi]), q_par=stated[[roi]])


def spans_of(frames: int, frame_time: float, crops: Crops) -> list[tuple[int, int]]:
    """First and one-past-last frame of each map that a scan gives.

    Raises:
        ContractError: maps that would not span the simulation's window, or fewer frames than a crop.
    """
    length = crops.frames or frames
    if crops.frames is None and frames * frame_time > WINDOW[1]:
        length = int(CUT / frame_time * (1.0 + 1e-12))
    low, high = WINDOW
    if length > frames or not low * (1.0 - 1e-9) <= length * frame_time <= high * (1.0 + 1e-9):
        raise ContractError(
            f"{min(length, frames)} frames of {frame_time:g} s, {min(length, frames) * frame_time:,.0f} s,"
            f" of a scan of {frames} frames",
            needed=f"{f'{crops.frames} frames that span ' if crops.frames else ''}{low:,.0f} to {high:,.0f} s: the"
            " simulation's maps span 2,500 s",
            action="measure longer, or correct crops",
        )
    last = frames - length if crops.frames else 0
    return [(start, start + length) for start in range(0, last + 1, crops.every)]


def corrected_of(tt: TwoTime, size: int) -> float:
    """Noise-corrected S_noneq of one q-ROI as a ratio of norms; NaN where it is undetermined.

    The share scatters around 0 for a stationary sample; where it is negative the norm is 0.
    """
    found = nonequilibrium(tt, max_cells=size)[0].s_noneq_corrected
    return float("nan") if found is None else float(np.sqrt(max(found, 0.0)))


def names_of(groups: Sequence[str]) -> tuple[str, ...]:
    """Each group once, in order."""
    return tuple(dict.fromkeys(groups))
