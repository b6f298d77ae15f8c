"""Which rows a step of training takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError

FEWEST = 2
"""Rows of a batch: one has no covariance."""


class Batches:
    """Rows in a new order every epoch. Batch i follows from the seed and i alone, so that a resumed training takes the
    same ones; rows left over at an epoch's end are left out of that epoch.

    Args:
        rows: to draw from; with fewer than ``size``, each batch is all of them.
        size: rows of a batch.
        seed: of the orders.
        purpose: tells apart streams of one seed.

    Raises:
        InputError: fewer than two rows.
    """

    def __init__(self, rows: NDArray[np.int64], size: int, seed: int, purpose: int) -> None:
        if len(rows) < FEWEST:
            raise InputError(
                f"{len(rows)} map(s) to train on", needed=f"at least {FEWEST}", action="give more members or scans"
            )
        self._rows, self.size = rows, min(size, len(rows))
        self._seed, self._purpose = seed, purpose
        self._epoch, self._order = -1, rows
        self.per_epoch = len(rows) // self.size

    def of_step(self, step: int) -> NDArray[np.int64]:
        """(size,) rows."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            entropy = np.random.SeedSequence((self._seed, epoch), spawn_key=(self._purpose,))
            self._epoch, self._order = epoch, np.random.default_rng(entropy).permutation(self._rows)
        return self._order[place * self.size : (place + 1) * self.size]
