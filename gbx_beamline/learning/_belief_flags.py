"""What is said about an answer, in words for people and codes for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning._belief_prediction import WORDS, Prediction
from gbx_beamline.learning._belief_width import Width
from gbx_beamline.records import PARAMETERS, Flag

NAMES = {"diffusivity": "D", "gamma": "the GB friction gamma", "gb_fraction": "lambda_GB"}

DOUBTS = ("unlike_simulations", "not_preferred", "not_diffusive", "static_not_excluded", "prediction_fails")
"""First parts of codes that say that the grain-boundary answer may be none at all. The others limit it, and leave it
true."""

ANGSTROM_SQUARED = 1e20
"""Per m^2."""


def doubted(flags: Iterable[Flag]) -> bool:
    """Whether any flag says that the scan may be none of grain boundaries, or none that the model can judge."""
    return any(flag.code.split(":")[0] in DOUBTS for flag in flags)


def not_calibrated() -> Flag:
    """No calibration is stored with the model."""
    return Flag(
        code="not_calibrated",
        text="intervals are as the network gives them: no calibration is stored with the model",
    )


def unlike_simulations(p_value: float) -> Flag:
    """The scan lies outside what the model learned from."""
    return Flag(
        code="unlike_simulations",
        text=f"unlike anything the model was trained on: stranger than {_percent(1.0 - p_value)} of simulated scans",
    )


def unlike_experiments(p_value: float, count: int) -> Flag:
    """The scan lies outside what was accepted so far."""
    return Flag(
        code="unlike_experiments",
        text=f"unlike the {count} accepted experiments: further from them than {_percent(1.0 - p_value)} of them are "
        "from each other",
    )


def undetermined_flags(said: NDArray[np.bool_], width: Width, intervals: NDArray[np.float64]) -> list[Flag]:
    """For each parameter that the scan does not determine.

    Args:
        said: (3,) which.
        width: of one scan.
        intervals: (3, 3) low, median and high of each parameter, SI; either end leaves out 5 %.
    """
    return [
        Flag(code=f"undetermined:{name}", text=_undetermined(name, int(width.leaning[index]), intervals[index]))
        for index, name in enumerate(PARAMETERS)
        if said[index]
    ]


def prediction_flags(predictions: Sequence[Prediction]) -> list[Flag]:
    """For each statistic in which scans simulated from the answer are others than the scan."""
    return [
        Flag(
            code=f"prediction_fails:{one.statistic}",
            text=f"scans simulated from this answer look different: {WORDS[one.statistic]} is {one.measured:.2g}, "
            f"simulated {one.low:.2g} to {one.high:.2g}",
        )
        for one in predictions
        if not one.fits
    ]


def _undetermined(name: str, leaning: int, interval: NDArray[np.float64]) -> str:
    what = NAMES[name]
    if leaning == 0:
        return f"{what} is undetermined: the scan says hardly more of it than was assumed before"
    low, _, high = interval.tolist()
    side, limit = ("below", high) if leaning < 0 else ("above", low)
    return f"{what} is undetermined but for a limit: {side} {_with_unit(name, limit)} (95 %)"


def _with_unit(name: str, value: float) -> str:
    if name == "diffusivity":
        return f"{value:.2g} m^2/s ({value * ANGSTROM_SQUARED:.2g} Å^2/s)"
    return f"{value:.2g} J s m^-4" if name == "gamma" else f"{value:.2f}"


def _percent(share: float) -> str:
    """As many digits as the share's distance from 1 asks for, never 100 %."""
    return f"{100.0 * share:.1f} %" if share > 0.99 else f"{100.0 * share:.0f} %"
