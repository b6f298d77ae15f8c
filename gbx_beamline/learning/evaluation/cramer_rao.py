"""How well a scan can tell D, gamma and lambda at all: a Bayesian Cramér-Rao bound with every nuisance free.

For each shot, at its true parameters, the information of its maps (``_map_metric``: photons and speckles with their
full covariance) is added to the precision of the priors, and inverted:

    sd = sqrt[(J_maps + J_prior)^-1]   (Van Trees, Detection, Estimation and Modulation Theory I, sec. 2.4.3)

computed with every parameter in units of its prior's standard deviation, in which ``J_prior`` = 1.

- parameters are log10 D, log10 gamma and lambda; nuisances are contrast, background, static fraction, reference and
  unevenness of every q-ROI, drift of the contrast, offset of q, and the boundaries' initial bow. All priors enter as
  Gaussians of the same variance;
- ``trajectory="known"`` is conditional on one realisation of the boundaries, whose random pushes are taken as known.
  That makes gamma look far better determined than it can be, because its pushes are never known;
- ``trajectory="unknown"`` (the default) takes the realisation as what it is, unknown: over ``draws`` of it the expected
  maps have a mean and a covariance, and the information is that of a Gaussian map of that mean and of that covariance
  plus the noise's,

      J_ab = dm_a' C^-1 dm_b + tr(C^-1 dC_a C^-1 dC_b) / 2,

  in the space of the means' derivatives and of the ``MODES`` directions in which realisations differ most, measured by
  what noise can see. Boundaries are not Gaussian, so this is an estimate and no strict bound;
- approximations of both: one q per ROI, one moment per time cell; known are the monitor's errors, beam motion, the
  number, sizes and orientations of boundaries, and the rate and mean strength of avalanches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning.evaluation._map_metric import MapMetric, shared_pixels
from gbx_beamline.learning.evaluation._varied_maps import (
    LESS_FRICTION,
    MORE_FRICTION,
    STEPS,
    SampleFields,
    ScanOnCells,
    Variation,
    expected_maps,
    nuisance_variations,
    on_cells,
    sample_fields,
)
from gbx_beamline.records import PARAMETERS
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement, VirtualScan

PRIOR_SD = np.array([3.0, 3.0, 0.5]) / np.sqrt(12.0)
"""Of log10 D over 3e-24..3e-21 m^2/s, log10 gamma over 1e17..1e20 J s m^-4 and lambda over 0..0.5, all uniform."""

MODES = 8
DRAWS = 64
CELLS = 64

Trajectory = Literal["known", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The least standard deviation that an unbiased answer can have, priors included."""

    sd: NDArray[np.float64]
    """(3,) of log10 D, log10 gamma and lambda."""

    @property
    def relative(self) -> NDArray[np.float64]:
        """(3,) over the prior's own: 1 where the scan says nothing."""
        return self.sd / PRIOR_SD


def cramer_rao(
    scan: VirtualScan,
    seed: int,
    *,
    trajectory: Trajectory = "unknown",
    nuisances: bool = True,
    rois: Sequence[int] | None = None,
    draws: int = DRAWS,
    cells: int = CELLS,
) -> Bound:
    """Bound of one scan.

    Args:
        scan: the truth about it.
        seed: of its traces.
        trajectory: what is known of the boundaries' realisation, see the module.
        nuisances: False fixes all of them at their true values.
        rois: q-ROIs that are measured; None is all.
        draws: realisations behind mean and covariance where the trajectory is unknown.
        cells: n of the map.

    Raises:
        InputError: impossible settings of the scan.
    """
    measured = on_cells(scan.measurement, seed, cells)
    fields = _fields(scan.boundary, measured.time, draws if trajectory == "unknown" else 1)
    if rois is not None:
        scan = with_rois(scan, rois)
        fields = replace(fields, waves=fields.waves[:, :, list(rois)])
    expected = _Expected(scan, fields, measured)
    derivatives = expected.mean_derivatives()
    metric = _metrics(scan.measurement, measured, expected.middle.mean(axis=0))
    if trajectory == "known":
        information = _gram(derivatives, _duals(metric, derivatives))
    else:
        information = _marginal_information(expected, derivatives, metric)
    free = slice(None if nuisances else len(PARAMETERS))
    total = np.eye(len(information)) + information
    return Bound(sd=PRIOR_SD * np.sqrt(np.diagonal(np.linalg.inv(total[free, free]))[: len(PARAMETERS)]))


def with_rois(scan: VirtualScan, rois: Sequence[int]) -> VirtualScan:
    """The scan with these q-ROIs alone."""
    q = np.atleast_1d(np.asarray(scan.boundary.q, dtype=np.float64))
    measurement = scan.measurement
    chosen: dict[str, Any] = {"pixels": tuple(measurement.pixels[roi] for roi in rois)}
    for name in ("contrast", "mean_counts", "background", "unevenness", "static_fraction", "reference"):
        chosen[name] = tuple(measurement.of(name, roi) for roi in rois)
    return VirtualScan(
        boundary=replace(scan.boundary, q=tuple(q[list(rois)].tolist())), measurement=replace(measurement, **chosen)
    )


class _Expected:
    """Expected maps of a scan at the truth and around it."""

    def __init__(self, scan: VirtualScan, fields: SampleFields, cells: ScanOnCells) -> None:
        self._scan, self._fields, self._cells = scan, fields, cells
        boundary = scan.boundary
        self._truth = Variation(
            diffusivity=boundary.diffusivity, gb_fraction=boundary.gb_fraction, measurement=scan.measurement
        )
        self.middle = self._at(self._truth)
        """(M, Q, n, n) at the truth."""
        share = boundary.gb_fraction
        least, most = max(share - STEPS[2], 0.0), min(share + STEPS[2], 1.0)
        self.units = PRIOR_SD / [2.0 * STEPS[0], 2.0 * STEPS[1], most - least]
        """(3,) from differences of ``ends`` to derivatives by the parameters over their priors' spread."""
        factor = 10.0 ** STEPS[0]
        self.ends = [
            tuple(self._at(replace(self._truth, diffusivity=boundary.diffusivity * f)) for f in (1 / factor, factor)),
            tuple(self._at(replace(self._truth, boundaries=row)) for row in (LESS_FRICTION, MORE_FRICTION)),
            tuple(self._at(replace(self._truth, gb_fraction=value)) for value in (least, most)),
        ]
        """For each parameter, maps below and above the truth."""

    def mean_derivatives(self) -> NDArray[np.float64]:
        """(p, Q, n, n) derivatives of the mean map by each parameter, then by each nuisance, all in units of their
        priors' standard deviations."""
        found = [(high - low).mean(axis=0) * unit for (low, high), unit in zip(self.ends, self.units, strict=True)]
        # What optics and detector do hardly differs between realisations: a few draws will do.
        few = replace(self._fields, waves=self._fields.waves[:, :8], kept=self._fields.kept[:8])
        for low, high, unit in nuisance_variations(self._truth, self.middle.shape[1], few.bow):
            some = self._fields if low.boundaries != self._truth.boundaries else few
            ends = [expected_maps(self._scan, some, self._cells, values) for values in (low, high)]
            found.append((ends[1] - ends[0]).mean(axis=0) * unit)
        return np.stack(found)

    def _at(self, values: Variation) -> NDArray[np.float64]:
        return expected_maps(self._scan, self._fields, self._cells, values)


def _marginal_information(
    expected: _Expected, derivatives: NDArray[np.float64], metric: list[MapMetric]
) -> NDArray[np.float64]:
    """(p, p) information of the mean and of the covariance over realisations, in a small space that holds both."""
    off = expected.middle - expected.middle.mean(axis=0)
    directions = np.concatenate([derivatives, _principal(off, metric)])
    duals = _duals(metric, directions)
    # Orthonormal combinations of the directions; those that noise cannot see drop out.
    values, vectors = np.linalg.eigh(_gram(directions, duals))
    kept = values > 1e-9 * values[-1]
    basis = (vectors[:, kept] / np.sqrt(values[kept])).T @ duals.reshape(len(duals), -1)

    def covariance(maps: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = maps.reshape(len(maps), -1) @ basis.T
        return np.atleast_2d(np.cov(seen, rowvar=False))

    inverse = np.linalg.inv(np.eye(len(basis)) + covariance(expected.middle))
    mean = derivatives.reshape(len(derivatives), -1) @ basis.T
    information = mean @ inverse @ mean.T
    changes = [
        inverse @ (covariance(high) - covariance(low)) * unit
        for (low, high), unit in zip(expected.ends, expected.units, strict=True)
    ]
    for row, one in enumerate(changes):
        for column, other in enumerate(changes):
            information[row, column] += 0.5 * float(np.sum(one * other.T))
    return information


def _principal(off: NDArray[np.float64], metric: list[MapMetric]) -> NDArray[np.float64]:
    """(k, Q, n, n) directions in which maps differ most, in units of their noise; those above noise, at most MODES."""
    values, vectors = np.linalg.eigh(_gram(off, _duals(metric, off)) / max(1, len(off) - 1))
    kept = np.flatnonzero(values > 0.1)[-MODES:]
    return np.tensordot(vectors[:, kept].T, off, axes=1)


def _metrics(measurement: Measurement, cells: ScanOnCells, mean: NDArray[np.float64]) -> list[MapMetric]:
    return [
        MapMetric(
            mean[roi],
            cells.shot / measurement.of("mean_counts", roi),
            pixels=measurement.pixels[roi],
            shared=shared_pixels(measurement.speckle_size),
            known=cells.known,
        )
        for roi in range(len(mean))
    ]


def _duals(metric: list[MapMetric], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([one.duals(directions[:, roi]) for roi, one in enumerate(metric)], axis=1)


def _gram(directions: NDArray[np.float64], duals: NDArray[np.float64]) -> NDArray[np.float64]:
    gram = directions.reshape(len(directions), -1) @ duals.reshape(len(duals), -1).T
    return 0.5 * (gram + gram.T)


@lru_cache(maxsize=2)
def _cached(boundary: GrainBoundary, time: tuple[float, ...], draws: int) -> SampleFields:
    return sample_fields(boundary, np.array(time), draws, seed=0)


def _fields(boundary: GrainBoundary, time: NDArray[np.float64], draws: int) -> SampleFields:
    # Shots of one sample at one temperature share them.
    return _cached(boundary, tuple(time.tolist()), draws)
