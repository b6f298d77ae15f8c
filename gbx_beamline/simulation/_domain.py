"""What a boundary's settings may be, and what is said when they are something else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, UnitError

SMALLEST_Q = 1e6
"""1/m. Below it a q is in 1/Angstrom or 1/nm."""

LONGEST = 1e-6
"""m. Beyond it a length between atoms is in nm or Angstrom."""


@dataclass(frozen=True)
class Domain:
    """Allowed values of one setting."""

    what: str
    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value is inside."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}"
        return f"{'above ' if self.open_low else ''}{self.low:g} to {'below ' if self.open_high else ''}{self.high:g}"


DOMAINS = MappingProxyType(
    {
        "gamma": Domain("GB friction 1/M, J s m^-4", 0.0, open_low=True),
        "diffusivity": Domain("D, m^2/s", 0.0),
        "gb_fraction": Domain("lambda_GB, share of the scatterers that sit on boundaries", 0.0, 1.0),
        "temperature": Domain("K", 0.0, open_low=True),
        "stiffness": Domain("k, J/m^2", 0.0, open_low=True),
        "sites": Domain("N, number of sites of a boundary", 3, 2000),
        "spacing": Domain("dx, m", 0.0, open_low=True),
        "bow": Domain("A of Eq. 9, m", -math.inf),
        "contrast": Domain("beta", 0.0, 1.0, open_low=True),
        "boundaries": Domain("number of boundaries in the beam", 1, 1_000_000),
        "size_spread": Domain("sigma of the lognormal distribution of sizes", 0.0, 1.0),
        "avalanche_rate": Domain("events per s", 0.0),
        "avalanche_share": Domain("mean share of the scatterers that one avalanche renews", 0.0, 0.99),
    }
)

_WORDS = MappingProxyType(
    {
        "q_convention": ("parallel", "total"),
        "orientations": ("aligned", "isotropic"),
        "avalanche_tail": ("exponential", "pareto"),
    }
)


def check_settings(settings: Any) -> None:
    """Refuse settings of a GrainBoundary outside their domains.

    Raises:
        InputError: a value outside its domain, named.
        UnitError: a length or a q in another unit than m and 1/m.
    """
    for name, domain in DOMAINS.items():
        value = getattr(settings, name)
        whole = name in ("sites", "boundaries")
        if not domain.holds(value) or (whole and value != int(value)):
            raise InputError(
                f"{name} = {value:g} ({domain.what})",
                needed=f"a {'whole' if whole else 'finite'} number, {domain}",
                action=f"correct {name}",
            )
    for name in ("spacing", "bow"):
        value = abs(getattr(settings, name))
        if value > LONGEST:
            raise UnitError(
                f"{name} = {getattr(settings, name):g} m",
                needed=f"a length in m, at most {LONGEST:g}",
                action=f"if it is in nm, write {getattr(settings, name) * 1e-9:g}",
            )
    for name, words in _WORDS.items():
        if getattr(settings, name) not in words:
            raise InputError(
                f"{name} = {getattr(settings, name)!r}", needed=f"one of {', '.join(words)}", action=f"correct {name}"
            )
    _check_q(settings)


def _check_q(settings: Any) -> None:
    q, q_z = as_tuple(settings.q), as_tuple(settings.q_z)
    for name, values in (("q", q), ("q_z", tuple(value for value in q_z if value != 0.0))):
        for value in values:
            if not math.isfinite(value) or (name == "q" and value <= 0):
                raise InputError(
                    f"{name} = {value:g} 1/m", needed="a finite, positive number", action=f"correct {name}"
                )
            if abs(value) < SMALLEST_Q:
                raise UnitError(
                    f"{name} = {value:g} looks like 1/Angstrom",
                    needed=f"1/m, at least {SMALLEST_Q:g}",
                    action=f"write {value * 1e10:g}",
                )
    if not q or len(q_z) not in (1, len(q)):
        raise InputError(
            f"{len(q)} values of q and {len(q_z)} of q_z",
            needed="at least one q, and one q_z for all or one for each",
            action="correct q_z",
        )


def as_tuple(values: float | Sequence[float]) -> tuple[float, ...]:
    """One number or several, as a tuple."""
    return tuple(float(value) for value in np.atleast_1d(np.asarray(values, dtype=float)))


def checked_times(t: Any) -> NDArray[np.float64]:
    """A time grid, or the paper's for None.

    Raises:
        InputError: not one dimension of finite, rising times from 0 on, at least two.
    """
    times = np.linspace(0.0, 2500.0, 1250) if t is None else np.asarray(t, dtype=np.float64)
    if (
        times.ndim != 1
        or len(times) < 2
        or not np.isfinite(times).all()
        or times[0] < 0
        or not (np.diff(times) > 0).all()
    ):
        raise InputError(
            f"a time grid of shape {times.shape}" + (f" from {times.flat[0]:g} s" if times.size else ""),
            needed="at least two finite times in s, each later than the one before, none before 0",
            action="give t in s since the boundary had its initial shape",
        )
    return times


def check_draw(seed: int, method: str) -> None:
    """Refuse a seed or a method that there is not.

    Raises:
        InputError: a negative seed or another method.
    """
    if seed < 0:
        raise InputError(f"seed = {seed}", needed="0 or more", action="correct the seed")
    if method not in ("exact", "euler"):
        raise InputError(f"method {method!r}", needed="'exact' or 'euler'", action="correct the method")
