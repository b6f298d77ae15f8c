"""One realisation of the model, and the two-time maps that it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.simulation._squared_field import Field, write_map
from gbx_beamline.simulation.resample import Cells, area_cells


@dataclass(frozen=True, eq=False)
class Draw:
    """One realisation: what all speckles of one scan share.

    Given the draw, the field correlation is ``g1 = e^(-|H - H'|) [lambda sum_b w_b a_b a_b'* + (1 - lambda)
    e^(-kappa |t - t'|)]``.
    """

    t: NDArray[np.float64]
    """(n,) s."""
    amplitudes: NDArray[np.complex128]
    """(Q, B, n) a_b(t), the mean of exp(-i q_b z_i(t)) over the sites of boundary b."""
    weights: NDArray[np.float64]
    """(B,) w_b, 1 in total."""
    bulk_rates: NDArray[np.float64]
    """(Q,) kappa, 1/s."""
    renewals: NDArray[np.float64]
    """(n,) H(t): e^(H - H') is what avalanches between t and t' left in place."""
    gb_fraction: float
    """lambda."""

    def field_correlation(self) -> NDArray[np.complex128]:
        """(Q, n, n) g1, not normalised: its diagonal is ``1 - lambda (1 - sum_b w_b |a_b|^2)``."""
        weighted = self.amplitudes * self.weights[:, None]
        g1 = self.gb_fraction * np.swapaxes(weighted, 1, 2) @ self.amplitudes.conj()
        lag = np.abs(self.t[:, None] - self.t)
        g1 += (1.0 - self.gb_fraction) * np.exp(-self.bulk_rates[:, None, None] * lag)
        g1 *= np.exp(-np.abs(self.renewals[:, None] - self.renewals))
        return g1

    def two_time(self, *, contrast: float, size: int | None = None, normalised: bool = False) -> NDArray[np.float32]:
        """g2 at each q.

        Args:
            contrast: beta.
            size: cells per side, each the mean over its area of the full map; None keeps every time step.
            normalised: divide |g1|^2 by ``g1(t, t) g1(t', t')``.

        Returns:
            (Q, size, size) with baseline 1.

        Raises:
            InputError: ``size`` is not 1..n.
        """
        cells = area_cells(len(self.t), len(self.t) if size is None else size)
        maps = np.empty((len(self.amplitudes), len(cells), len(cells)), dtype=np.float32)
        self.write_maps(cells, contrast, normalised, maps)
        return maps

    def write_maps(self, cells: Cells, contrast: float, normalised: bool, out: NDArray[np.float32]) -> None:
        """Write g2 at each q on any time cells into ``out`` (Q, size, size)."""
        for roi, rate in enumerate(self.bulk_rates):
            field = Field(self.t, self.amplitudes[roi], self.weights, self.gb_fraction, float(rate), self.renewals)
            write_map(field, cells, contrast, normalised, out[roi])
