"""S_noneq of simulated grain boundaries over (D, lambda_GB) in a scan's own window, at its q and temperature.

The map is simulated once for each kind of scan, in a process of its own, and kept in a folder of the user's.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, ServiceError
from gbx_beamline.figures.saving import write_whole
from gbx_viewer.model.inference import FRACTION, LOG_D

logger = logging.getLogger(__name__)

SIZE = (15, 11)
"""Points along log10 D and along lambda_GB."""

_TIMES, _BOUNDARIES, _SEEDS = 96, 8, 3
_VERSION = 1
_USUAL_GAMMA = 3e18
"""J s m^-4, where the scan does not determine it: the paper's."""
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Conditions:
    """What a phase map belongs to, rounded so that scans of one kind share it. SI."""

    window: float
    """s."""
    q: float
    """1/m."""
    temperature: float
    """K."""
    gamma: float
    """J s m^-4."""
    determined: bool
    """False where gamma is the paper's and not the scan's."""


@dataclass(frozen=True, eq=False)
class PhaseMap:
    """Mean of S_noneq over a few simulated scans of ``Conditions``, free of noise."""

    conditions: Conditions
    share: NDArray[np.float64]
    """(D, lambda_GB)."""

    @property
    def said(self) -> str:
        """Of what it is."""
        gamma = "γ of this scan" if self.conditions.determined else "γ undetermined: 3·10¹⁸ J s m⁻⁴ taken"
        return f"simulated S_noneq, {self.conditions.window:.0f} s, {self.conditions.temperature:.0f} K, {gamma}"


def conditions_of(window: float, q: float, temperature: float, gamma: float) -> Conditions:
    """The rounded conditions of a scan.

    Raises:
        InputError: something is not known that a simulation needs.
    """
    unknown = [
        name
        for name, value in (("window", window), ("q", q), ("temperature", temperature))
        if not (math.isfinite(value) and value > 0)
    ]
    if unknown:
        raise InputError(
            f"no phase map: {', '.join(unknown)} not known",
            needed="a scan that knows its window, q and temperature",
            action="record them with the run",
        )
    determined = math.isfinite(gamma)
    return Conditions(
        window=_rounded(window),
        q=_rounded(q),
        temperature=20.0 * max(round(temperature / 20.0), 1),
        gamma=10.0 ** (round(2 * math.log10(gamma)) / 2) if determined else _USUAL_GAMMA,
        determined=determined,
    )


def grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log10 of D in m^2/s, and lambda_GB, of the points."""
    return np.linspace(*LOG_D, SIZE[0]), np.linspace(*FRACTION, SIZE[1])


def simulate(conditions: Conditions) -> NDArray[np.float64]:
    """(D, lambda_GB) the map; some seconds of one core."""
    from gbx_beamline.non_equilibrium import nonequilibrium
    from gbx_beamline.simulation import GrainBoundary

    exponents, fractions = grid()
    times = np.linspace(0.0, conditions.window, _TIMES)
    found = np.zeros(SIZE)
    for i, exponent in enumerate(exponents):
        for j, fraction in enumerate(fractions):
            sample = GrainBoundary(
                gamma=conditions.gamma,
                diffusivity=10.0**exponent,
                gb_fraction=float(fraction),
                temperature=conditions.temperature,
                q=conditions.q,
                boundaries=_BOUNDARIES,
                bow=4.9e-8,
            )
            maps = [sample.two_time(seed, size=None, t=times) for seed in range(_SEEDS)]
            shares = [nonequilibrium(one, frame_time=float(times[1])).s_noneq for one in maps]
            finite = [value for value in shares if math.isfinite(value)]
            found[i, j] = float(np.mean(finite)) if finite else math.nan
    return found


def kept(conditions: Conditions, folder: Path) -> PhaseMap | None:
    """The map that a folder holds; None where it holds none that can be read."""
    path = folder / _name(conditions)
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        share = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return PhaseMap(conditions, share) if share.shape == SIZE else None


def keep(found: PhaseMap, folder: Path) -> None:
    """Put a map there for the next time; where that fails it is simulated again."""
    content = io.BytesIO()
    np.save(content, found.share, allow_pickle=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(content.getvalue(), folder / _name(found.conditions), overwrite=True)
    except (OSError, InputError) as error:
        logger.warning("the phase map is not kept: %s", error)


class PhaseMaps:
    """Maps from a folder, else simulated by a process of their own, so that the window stays alive meanwhile.

    Args:
        folder: Where maps are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def of(self, conditions: Conditions) -> PhaseMap:
        """The map of these conditions; takes some seconds where it is not kept.

        Raises:
            ServiceError: the process failed, or the viewer is closing.
        """
        if (found := kept(conditions, self._folder)) is not None:
            return found
        with self._lock:
            if self._closed:
                raise ServiceError("the viewer is closing", needed="a viewer", action="start it again")
            # One thread: the analysis of the next scan comes first.
            environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "gbx_viewer.model.phase_map", json.dumps(asdict(conditions))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        content, complaint = process.communicate()
        if process.returncode:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["ended without a word"]
            raise ServiceError(
                f"the phase map was not simulated: {last[0]}",
                needed="a simulation that ends",
                action="the posterior is shown without it",
            )
        made = PhaseMap(conditions, np.load(io.BytesIO(content), allow_pickle=False))
        keep(made, self._folder)
        return made

    def close(self) -> None:
        """End a simulation that is under way."""
        with self._lock:
            self._closed = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()


def _name(conditions: Conditions) -> str:
    text = json.dumps([_VERSION, SIZE, LOG_D, FRACTION, asdict(conditions)], sort_keys=True)
    return f"phase-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"


def _rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.1e}")


def _main() -> None:
    """Simulate the map of the conditions that the command line names, onto standard output."""
    os.nice(10)
    np.save(sys.stdout.buffer, simulate(Conditions(**json.loads(sys.argv[1]))), allow_pickle=False)


if __name__ == "__main__":
    _main()
