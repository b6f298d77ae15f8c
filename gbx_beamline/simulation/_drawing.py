"""From a GrainBoundary's settings to its draws and its mean: the parts put together, without checks of the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.simulation._closed_form import mean_field
from gbx_beamline.simulation._domain import as_tuple
from gbx_beamline.simulation._draw import Draw
from gbx_beamline.simulation._modes import K_B, Modes, sine_modes
from gbx_beamline.simulation._population import (
    draw_orientations,
    draw_sizes,
    orientation_nodes,
    renewals,
    size_distribution,
)
from gbx_beamline.simulation._stability import check_euler
from gbx_beamline.simulation._steps import Steps, euler_steps, exact_steps
from gbx_beamline.simulation._streams import Draws, stream
from gbx_beamline.simulation._trajectories import amplitudes

if TYPE_CHECKING:
    from gbx_beamline.simulation.grain_boundary import GrainBoundary

Method = Literal["exact", "euler"]


def intervals_of(times: NDArray[np.float64], method: str, euler_step: float | None = None) -> NDArray[np.float64]:
    """(n,) s that each step takes; the first leads from 0 to t_0.

    Raises:
        InputError: an impossible Euler step.
    """
    intervals = np.diff(times, prepend=0.0)
    if method == "euler" and euler_step is not None:
        if not (np.isfinite(euler_step) and euler_step > 0) or times[0] != 0.0:
            raise InputError(
                f"euler_step = {euler_step} s on times from {times[0]:g} s",
                needed="a positive step, and times from 0",
                action="correct the step, or leave it out",
            )
        intervals[1:] = euler_step
    return intervals


def check_stability(
    boundaries: Sequence[GrainBoundary], intervals: NDArray[np.float64], method: str, stacklevel: int = 4
) -> None:
    """Refuse Euler steps beyond their limit, before any work; warn once of those near it."""
    if method == "euler":
        longest = float(intervals.max())
        check_euler(
            [each.euler_number(longest) for each in boundaries], [each.sites for each in boundaries], stacklevel
        )


def own_noise(seed: int) -> np.random.Generator:
    """The stream that drives the boundaries of a draw."""
    return stream(seed, Draws.NOISE)


def realise(
    boundary: GrainBoundary,
    times: NDArray[np.float64],
    intervals: NDArray[np.float64],
    seed: int,
    method: str,
    noise_of: Callable[[int], np.random.Generator] = own_noise,
) -> Draw:
    """A draw of settings, times and steps that were checked; ``noise_of`` makes the boundaries' noise from the seed."""
    count = boundary.boundaries
    q, q_z = np.array(as_tuple(boundary.q)), np.array(as_tuple(boundary.q_z))
    sizes, facing = np.full(count, boundary.sites), np.ones(count)
    if boundary.size_spread > 0.0:
        sizes = draw_sizes(seed, count, boundary.sites, boundary.size_spread)
    if boundary.orientations == "isotropic":
        facing = draw_orientations(seed, count)
    waves = np.empty((len(q), count, len(times)), dtype=np.complex128)
    noise = noise_of(seed)
    for sites in np.unique(sizes):
        same = np.flatnonzero(sizes == sites)
        modes = sine_modes(int(sites))
        steps = _steps(boundary, modes, intervals, method)
        seen = np.outer(q, facing[same])
        waves[:, same] = amplitudes(noise, modes, steps, boundary.bow, seen, noise_at_sites=method == "euler")
    return Draw(
        t=times,
        amplitudes=waves,
        weights=np.full(count, 1.0 / count),
        bulk_rates=boundary.diffusivity * (q**2 + (q_z**2 if boundary.q_convention == "total" else 0.0)),
        renewals=renewals(
            seed,
            times,
            rate=boundary.avalanche_rate,
            share=boundary.avalanche_share,
            tail=boundary.avalanche_tail,
        ),
        gb_fraction=boundary.gb_fraction,
    )


def mean_g1(boundary: GrainBoundary, intervals: NDArray[np.float64], method: str) -> NDArray[np.complex128]:
    """(Q, n, n) closed form of E[g1_GB]."""
    q = np.array(as_tuple(boundary.q))
    numbers, shares = size_distribution(boundary.sites, boundary.size_spread)
    facing = np.ones(1)
    if boundary.orientations == "isotropic":
        # The bow's height, and six standard deviations of a free boundary's middle, sqrt(k_B T L / (4 k L_y)).
        free = np.sqrt(K_B * boundary.temperature * (numbers.max() - 1) / (4.0 * boundary.stiffness))
        facing = orientation_nodes(float(q.max() * (abs(boundary.bow) / 4.0 + 6.0 * free)))
    seen = np.outer(q, facing).ravel()
    each = np.repeat(np.eye(len(q)), len(facing), axis=1) / len(facing)
    mean = np.zeros((len(q), len(intervals), len(intervals)), dtype=np.complex128)
    for sites, share in zip(numbers, shares, strict=True):
        modes = sine_modes(int(sites))
        mean += share * mean_field(modes, _steps(boundary, modes, intervals, method), boundary.bow, seen, each)
    if boundary.orientations == "isotropic":
        # phi and phi + pi give conjugates, and the nodes hold one of the two.
        mean.imag = 0.0
    return mean


def _steps(boundary: GrainBoundary, modes: Modes, intervals: NDArray[np.float64], method: str) -> Steps:
    rates = modes.rates(stiffness=boundary.stiffness, gamma=boundary.gamma, spacing=boundary.spacing)
    variances = modes.stationary_variances(stiffness=boundary.stiffness, temperature=boundary.temperature)
    return (exact_steps if method == "exact" else euler_steps)(intervals, rates, variances)
