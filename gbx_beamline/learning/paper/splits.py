"""Training, validation and test parts that no run is spread over."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError

FRACTIONS = (0.70, 0.15, 0.15)
"""The paper's."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of each part, in rising order."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_by_run(runs: Sequence[Hashable], seed: int, *, fractions: tuple[float, float, float] = FRACTIONS) -> Split:
    """Divide maps so that all maps of a run are in one part: crops of a run are near-duplicates of each other.

    Args:
        runs: of each map the run, or the sample, that it comes from; simulated members are runs of their own.
        seed: same seed and runs, same split.
        fractions: of the *runs* in each part; validation and test hold at least one run each.

    Returns:
        Rows of the maps.

    Raises:
        InputError: fewer than three runs, or fractions that are no shares of 1.

    >>> split = split_by_run(["a", "a", "b", "c", "c"], 0)
    >>> sorted([*split.train, *split.validation, *split.test])
    [0, 1, 2, 3, 4]
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise InputError(f"fractions {fractions}", needed="three positive shares of 1", action="correct them")
    place = {run: index for index, run in enumerate(dict.fromkeys(runs))}
    count = len(place)
    if count < len(fractions):
        raise InputError(
            f"{len(runs)} maps of {count} runs",
            needed="at least 3 runs, one each for training, validation and test: crops of one run do not count",
            action="give more runs",
        )
    validation, test = (max(1, round(count * fraction)) for fraction in fractions[1:])
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(count)
    part = np.zeros(count, dtype=np.int64)
    part[order[:validation]], part[order[validation : validation + test]] = 1, 2
    of_map = part[[place[run] for run in runs]]
    return Split(*(np.flatnonzero(of_map == number) for number in range(3)))
