"""Fresh simulated scans as networks see them, with the truth about them.

Step by step the same: batch i follows from ``SeedSequence((seed, i))`` alone, whoever simulates it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import TrainingData
from gbx_beamline.learning._input_cells import RoiFacts
from gbx_beamline.learning._input_features import REFERENCE_CONTRAST, roi_features
from gbx_beamline.learning.contract import InputContract, ScanInput
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.training._analysis_errors import SIZE_UNKNOWN, baseline_found, size_found
from gbx_beamline.simulation.alternatives import KINDS, draw_alternative, seen_by
from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary
from gbx_beamline.simulation.measurement import (
    EFFECTS,
    Measurement,
    SamplePrior,
    VirtualScan,
    draw_measurement,
    draw_sample_group,
    measured_maps,
)
from gbx_beamline.simulation.measurement._map_draw import draw_at_cells

GRAIN_BOUNDARY = "grain_boundary"

ALL_KINDS = (GRAIN_BOUNDARY, *KINDS)
"""Kinds of dynamics by the number that batches have for them."""

CLEAN_PIXELS, CLEAN_COUNTS = 100_000_000, 10_000.0
"""Per q-ROI, and per pixel and time cell: what is told of scans without noise, whose error is to be small."""

_PAPER_SAMPLE = SamplePrior(boundaries=(1, 1), bowed=0.0, isotropic=0.0, avalanching=0.0, size_spread=(0.0, 0.0))


class TrainingScan(NamedTuple):
    """One simulated scan and the truth about it."""

    input: ScanInput
    parameters: NDArray[np.float64]
    """(3,) in SI, NaN where there are none: another kind of dynamics."""
    kind: int
    """Index into ``ALL_KINDS``."""


@dataclass(frozen=True, eq=False)
class ScanArrays:
    """B scans with R q-ROIs in all, in the form that is sent between processes."""

    maps: NDArray[np.float16]
    """(R, C, n, n); half precision keeps correlations to 5e-4 of the contrast, curves hold them in full."""
    curves: NDArray[np.float32]
    """(R, 4, L)."""
    scalars: NDArray[np.float32]
    """(R, S)."""
    rois: NDArray[np.int64]
    """(B,) q-ROIs of each scan."""
    parameters: NDArray[np.float64]
    """(B, 3) SI; NaN where there are none."""
    kinds: NDArray[np.int64]
    """(B,) index into ``ALL_KINDS``."""

    def parts(self, most: int) -> list[ScanArrays]:
        """The same in pieces of at most ``most`` scans."""
        ends = np.concatenate([[0], np.cumsum(self.rois)])
        found: list[ScanArrays] = []
        for first in range(0, len(self.rois), most):
            last = min(first + most, len(self.rois))
            rows, scans = slice(ends[first], ends[last]), slice(first, last)
            found.append(
                ScanArrays(
                    maps=self.maps[rows],
                    curves=self.curves[rows],
                    scalars=self.scalars[rows],
                    rois=self.rois[scans],
                    parameters=self.parameters[scans],
                    kinds=self.kinds[scans],
                )
            )
        return found

    def scans(self) -> list[TrainingScan]:
        """One by one."""
        return [
            TrainingScan(
                ScanInput(one.maps.astype(np.float32), one.curves, one.scalars),
                one.parameters[0],
                int(one.kinds[0]),
            )
            for one in self.parts(1)
        ]


@dataclass(frozen=True)
class _Shot:
    """One scan to be measured."""

    draw: Draw
    measurement: Measurement
    q: NDArray[np.float64]
    temperature: float
    parameters: NDArray[np.float64]
    kind: int


def prior_box(data: TrainingData) -> ParameterBox:
    """The box that training's parameters are uniform in."""
    return ParameterBox(data.log10_diffusivity, data.log10_gamma, data.gb_fraction)


def simulate_batch(
    rng: np.random.Generator, count: int, data: TrainingData | None = None, *, cells: int = 64
) -> list[TrainingScan]:
    """Fresh scans from the training's prior; see ``simulate_arrays``."""
    return simulate_arrays(rng, count, data or TrainingData(), cells=cells).scans()


def simulate_arrays(rng: np.random.Generator, count: int, data: TrainingData, *, cells: int = 64) -> ScanArrays:
    """Fresh scans from the training's prior.

    A sample's trajectory is drawn once and seen in ``data.shots`` scans. Each has its own D, lambda and measurement;
    they share gamma, temperature, window and q-ROIs with their offset and spread.

    Args:
        rng: source of randomness.
        count: B.
        data: the prior.
        cells: time cells per side of a map.
    """
    shots: list[_Shot] = []
    while len(shots) < count:
        wanted = min(data.shots, count - len(shots))
        foreign = rng.random() < data.alternatives
        shots += _other_sample(rng, wanted, data, cells) if foreign else _sample(rng, wanted, data, cells)
    return _seen(rng, shots, data, cells)


def _seen(rng: np.random.Generator, shots: Sequence[_Shot], data: TrainingData, cells: int) -> ScanArrays:
    """Measure and look at them."""
    maps = [_maps(rng, shot, data, cells) for shot in shots]
    features = roi_features(np.concatenate(maps), _facts(rng, shots, maps, data, cells))
    return ScanArrays(
        maps=features[0].astype(np.float16),
        curves=features[1],
        scalars=features[2],
        rois=np.array([len(shot.q) for shot in shots]),
        parameters=np.stack([shot.parameters for shot in shots]),
        kinds=np.array([shot.kind for shot in shots]),
    )


def _maps(rng: np.random.Generator, shot: _Shot, data: TrainingData, cells: int) -> NDArray[np.float32]:
    """(Q, n, n) g2 on time cells: what is measured, or the paper's g2 itself, not normalised."""
    if data.clean:
        return shot.draw.two_time(contrast=REFERENCE_CONTRAST)
    return measured_maps(shot.draw, shot.measurement, int(rng.integers(2**62)), cells).g2


def batch_of_step(seed: int, step: int, count: int, data: TrainingData) -> ScanArrays:
    """The scans of one step of training."""
    return simulate_arrays(_stream(seed, 0, step), count, data)


def validation_scans(seed: int, count: int, data: TrainingData) -> ScanArrays:
    """Scans that no step holds, one for each trajectory."""
    return simulate_arrays(_stream(seed, 1, 0), count, data.model_copy(update={"shots": 1}))


def held_out_scans(seed: int, count: int, data: TrainingData) -> ScanArrays:
    """Scans that neither a step nor the validation holds, one for each trajectory."""
    return simulate_arrays(_stream(seed, 2, 0), count, data.model_copy(update={"shots": 1}))


def group_scans(seed: int, count: int, data: TrainingData, *, shots: int = 9, cells: int = 64) -> list[ScanArrays]:
    """Groups of scans of one sample at one temperature: D, gamma, lambda, static fractions, optics and q-ROIs are the
    same, trajectories, beam and photons are not. Half of the groups have one q-ROI, half three."""
    found: list[ScanArrays] = []
    for group in range(count):
        rng = _stream(seed, 3, group)
        rois = min((1, 3)[group % 2], len(data.rois))
        scans = _sample_group(rng, data, rois, shots)
        seen: list[_Shot] = []
        for scan in scans:
            measurement = _switched(_with_counts(rng, scan.measurement, data), data)
            boundary = scan.boundary
            parameters = np.array([boundary.diffusivity, boundary.gamma, boundary.gb_fraction])
            draw = draw_at_cells(boundary, measurement, int(rng.integers(2**62)), cells)
            seen.append(_Shot(draw, measurement, np.atleast_1d(boundary.q), boundary.temperature, parameters, 0))
        found.append(_seen(rng, seen, data, cells))
    return found


def _stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence((seed, index), spawn_key=(purpose,))))


def _sample(rng: np.random.Generator, count: int, data: TrainingData, cells: int) -> list[_Shot]:
    """Scans of one boundary's trajectory."""
    boundary, frame = _frame(rng, data)
    draw = draw_at_cells(boundary, frame, int(rng.integers(2**62)), cells)
    box = prior_box(data)
    shots: list[_Shot] = []
    for u in box.sample(rng, count):
        u[1] = np.log10(boundary.gamma)
        physical = box.to_physical(u)
        seen = replace(
            draw,
            bulk_rates=draw.bulk_rates * (physical[0] / boundary.diffusivity),
            gb_fraction=float(physical[2]),
        )
        shots.append(_shot(rng, seen, frame, boundary, physical, 0, data))
    return shots


def _other_sample(rng: np.random.Generator, count: int, data: TrainingData, cells: int) -> list[_Shot]:
    """Scans of one sample that is no grain boundary."""
    boundary, frame = _frame(rng, data)
    kind = int(rng.integers(len(KINDS)))
    draw = draw_alternative(rng, KINDS[kind], **seen_by(frame, boundary.q, cells))
    return [_shot(rng, draw, frame, boundary, np.full(3, np.nan), kind + 1, data) for _ in range(count)]


def _frame(rng: np.random.Generator, data: TrainingData) -> tuple[GrainBoundary, Measurement]:
    """A boundary seen at some q-ROIs, and what all measurements of it share."""
    shares = np.array(data.rois) / sum(data.rois)
    scan = _sample_group(rng, data, 1 + int(rng.choice(len(shares), p=shares)), 1)[0]
    return scan.boundary, _switched(scan.measurement, data)


def _sample_group(rng: np.random.Generator, data: TrainingData, rois: int, shots: int) -> tuple[VirtualScan, ...]:
    """Scans of one sample at one temperature."""
    box = prior_box(data)
    return draw_sample_group(
        rng,
        [rng.uniform(*data.temperature_k)] * shots,
        q=(1e10 * rng.uniform(*data.q_par, rois)).tolist(),
        prior=replace(
            _PAPER_SAMPLE if data.clean else SamplePrior(bow=1e-9 * data.bow_nm),
            diffusivity=(10.0 ** box.low[0], 10.0 ** box.high[0]),
            gamma=(10.0 ** box.low[1], 10.0 ** box.high[1]),
            gb_fraction=box.gb_fraction,
        ),
        frames=data.frames,
        frame_time=rng.uniform(*data.window_s) / data.frames,
        pixels=data.pixels,
    )


def _shot(
    rng: np.random.Generator,
    draw: Draw,
    frame: Measurement,
    boundary: GrainBoundary,
    parameters: NDArray[np.float64],
    kind: int,
    data: TrainingData,
) -> _Shot:
    """One scan of the draw, with a measurement of its own."""
    rois, frame_time = len(frame.pixels), frame.frame_time
    measurement = draw_measurement(rng, rois, frames=data.frames, frame_time=frame_time, pixels=data.pixels)
    measurement = replace(_with_counts(rng, measurement, data), q_offset=frame.q_offset, q_spread=frame.q_spread)
    return _Shot(
        draw=draw,
        measurement=_switched(measurement, data),
        q=np.atleast_1d(boundary.q),
        temperature=boundary.temperature,
        parameters=parameters,
        kind=kind,
    )


def _with_counts(rng: np.random.Generator, measurement: Measurement, data: TrainingData) -> Measurement:
    """With photons from the data's own range, in place of the measurement's prior."""
    low, high = np.log(data.counts).tolist()
    per_cell = np.exp(rng.uniform(low, high, len(measurement.pixels)))
    return replace(measurement, mean_counts=tuple((per_cell / (data.frames // 64)).tolist()))


def _switched(measurement: Measurement, data: TrainingData) -> Measurement:
    """The measurement with what the settings switch off."""
    if not data.clean:
        return measurement.without(*data.without)
    rois = len(measurement.pixels)
    return replace(
        measurement.without(*EFFECTS),
        pixels=(CLEAN_PIXELS,) * rois,
        mean_counts=(CLEAN_COUNTS / (data.frames // 64),),
    )


def _facts(
    rng: np.random.Generator,
    shots: Sequence[_Shot],
    maps: Sequence[NDArray[np.float32]],
    data: TrainingData,
    cells: int,
) -> RoiFacts:
    """What the analysis would say of these scans, with its errors; of clean ones, the truth."""
    rois = [len(shot.q) for shot in shots]

    def each(name: str) -> NDArray[np.float64]:
        return np.array([shot.measurement.of(name, roi) for shot in shots for roi in range(len(shot.q))])

    def shared(values: Sequence[float]) -> NDArray[np.float64]:
        return np.repeat(np.asarray(values, dtype=np.float64), rois)

    pixels = np.array([count for shot in shots for count in shot.measurement.pixels], dtype=np.float64)
    per_cell = shots[0].measurement.frames // cells
    level = np.concatenate([np.nanmean(one, axis=(1, 2)) for one in maps]) - 1.0
    size = each("speckle_size")
    baseline = np.ones(len(pixels)) if data.clean else baseline_found(rng, each("unevenness"), level, size, pixels)
    return RoiFacts(
        pixels=pixels,
        counts=each("mean_counts") * per_cell,
        q=np.concatenate([shot.q for shot in shots]),
        static_baseline=baseline,
        speckle_size=size_found(rng, size, np.repeat(rng.random(len(shots)) < SIZE_UNKNOWN, rois)),
        temperature=shared([shot.temperature for shot in shots]),
        window=shared([per_cell * cells * shot.measurement.frame_time for shot in shots]),
    )


def contract_of(data: TrainingData) -> InputContract:
    """What a scan must be like to be judged by a model of these data.

    Data within the usual ranges have those, with the margin that a network bridges; data beyond them have their own.
    """
    usual = InputContract()
    q = (1e10 * data.q_par[0], 1e10 * data.q_par[1])
    return InputContract(
        temperature=data.temperature_k,
        window=_beyond(usual.window, data.window_s),
        q=_beyond(usual.q, q),
        pixels=_beyond(usual.pixels, data.pixels),
        counts=_beyond(usual.counts, data.counts),
        most_rois=max(usual.most_rois, len(data.rois)),
    )


def _beyond(usual: tuple[float, float], trained: tuple[float, float]) -> tuple[float, float]:
    """``usual``, unless what was trained lies partly outside of it: elsewhere the network has seen nothing."""
    inside = usual[0] <= trained[0] and trained[1] <= usual[1]
    return usual if inside else (float(trained[0]), float(trained[1]))
