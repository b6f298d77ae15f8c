"""The grain-boundary model against its equations read aloud, its closed forms and its full-resolution maps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.simulation import (
    Draw,
    GrainBoundary,
    StabilityWarning,
    excess_variance,
    two_time_batch,
    two_time_blocks,
)
from gbx_beamline.simulation import _squared_field as squared_field
from gbx_beamline.simulation._modes import sine_modes
from gbx_beamline.simulation._population import renewals
from gbx_beamline.simulation._steps import euler_steps, exact_steps
from gbx_beamline.simulation._streams import Draws, stream

K_B = 1.380649e-23
Q = 4.5e8
LENGTH = 49e-9
UNEVEN = np.array([0.0, 3.0, 10.0, 45.0, 200.0, 700.0, 701.5, 2500.0])
"""s. The exact sampler takes intervals of any length."""


def boundary(**settings: Any) -> GrainBoundary:
    common = {"gamma": 3e18, "diffusivity": 2e-22, "gb_fraction": 0.3, "temperature": 400.0}
    return GrainBoundary(**{**common, **settings})


def heights_by_sites(gb: GrainBoundary, noise: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Eq. 5, 6 and 9 read aloud: Euler-Maruyama of the sites themselves; noise (n, N-2), its first row unused."""
    frames, sites = len(noise), gb.sites
    z = np.zeros((frames, sites))
    length = (sites - 1) * gb.spacing
    for i in range(sites):
        x = i * gb.spacing
        z[0, i] = gb.bow * x * (length - x) / length**2
    kick = math.sqrt(2.0 * K_B * gb.temperature * step / (gb.gamma * gb.spacing * gb.spacing))
    for k in range(1, frames):
        for i in range(1, sites - 1):
            bend = (z[k - 1, i + 1] - 2.0 * z[k - 1, i] + z[k - 1, i - 1]) / gb.spacing**2
            z[k, i] = z[k - 1, i] + gb.stiffness / gb.gamma * bend * step + kick * noise[k, i - 1]
    return z


def double_sum(gb: GrainBoundary, z: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eq. 4 and 7 read aloud: g2 from a sum over pairs of sites for every pair of times."""
    frames, sites = z.shape
    q = float(np.max(gb.q))
    g2 = np.empty((frames, frames))
    for k in range(frames):
        for m in range(frames):
            total = 0j
            for i in range(sites):
                for j in range(sites):
                    phase = q * (z[k, i] - z[m, j])
                    total += complex(math.cos(phase), -math.sin(phase))
            bulk = math.exp(-(q**2) * gb.diffusivity * abs(t[m] - t[k]))
            g1 = gb.gb_fraction * total / sites**2 + (1.0 - gb.gb_fraction) * bulk
            g2[k, m] = 1.0 + gb.contrast * abs(g1) ** 2
    return g2


@pytest.mark.parametrize("bow", [0.0, 0.2, 1.0])
def test_euler_path_equals_the_double_sum(bow: float) -> None:
    gb = boundary(sites=12, gamma=2e18, bow=bow * 11e-9)
    t = np.linspace(0.0, 72.0, 25)
    noise = stream(7, Draws.NOISE).standard_normal((len(t), gb.sites - 2))
    read_aloud = double_sum(gb, heights_by_sites(gb, noise, 3.0), t)
    found = gb.two_time(seed=7, method="euler", size=None, t=t)
    assert np.ptp(read_aloud) > 1e-3
    assert np.abs(found - read_aloud).max() < 1e-6


def mean_over_sites(gb: GrainBoundary, t: NDArray[np.float64], left: Any, variance: Any) -> NDArray[np.complex128]:
    """E[g1_GB] as a plain double sum over sites.

    Args:
        gb: its settings.
        t: (n,) times.
        left: mode, time, later time -> what is left of an amplitude.
        variance: mode, time -> variance of its amplitude.
    """
    sites, frames = gb.sites, len(t)
    modes = range(1, sites - 1)
    s = [[math.sqrt(2 / (sites - 1)) * math.sin(math.pi * n * i / (sites - 1)) for i in range(sites)] for n in modes]
    x = np.arange(sites) / (sites - 1)
    start = [sum(s[n - 1][i] * gb.bow * x[i] * (1 - x[i]) for i in range(sites)) for n in modes]
    m = [[sum(s[n - 1][i] * left(n, 0, k) * start[n - 1] for n in modes) for i in range(sites)] for k in range(frames)]

    def c(i: int, j: int, k: int, later: int) -> float:
        return sum(s[n - 1][i] * s[n - 1][j] * variance(n, k) * left(n, k, later) for n in modes)

    q = float(np.max(gb.q))
    out = np.empty((frames, frames), dtype=complex)
    for k in range(frames):
        for later in range(k, frames):
            total = 0j
            for i in range(sites):
                for j in range(sites):
                    spread = c(i, i, k, k) + c(j, j, later, later) - 2 * c(i, j, k, later)
                    total += np.exp(-1j * q * (m[k][i] - m[later][j]) - q**2 / 2 * spread)
            out[k, later] = total / sites**2
            out[later, k] = out[k, later].conjugate()
    return out


def rate(gb: GrainBoundary, mode: int) -> float:
    """kappa_n, 1/s."""
    mu = 4.0 / gb.spacing**2 * math.sin(math.pi * mode / (2 * (gb.sites - 1))) ** 2
    return gb.stiffness * mu / gb.gamma


def equilibrium(gb: GrainBoundary, mode: int) -> float:
    """Variance of a mode in equilibrium, m^2."""
    return K_B * gb.temperature / (gb.spacing**2 * rate(gb, mode) * gb.gamma)


@pytest.mark.parametrize("sites", [6, 7])
def test_closed_form_equals_the_double_sum_over_sites(sites: int) -> None:
    gb = boundary(sites=sites, bow=4e-9, q=9e8)
    t = np.array([0.0, 5.0, 30.0, 31.0, 600.0])
    expected = mean_over_sites(
        gb,
        t,
        lambda n, k, later: math.exp(-rate(gb, n) * (t[later] - t[k])),
        lambda n, k: equilibrium(gb, n) * -math.expm1(-2 * rate(gb, n) * t[k]),
    )
    assert np.abs(expected.imag).max() > 0.05
    assert np.abs(gb.mean_g1_gb(t) - expected).max() < 1e-12


def test_euler_has_a_closed_form_of_its_own() -> None:
    gb = boundary(sites=6, gamma=2e18, bow=4e-9, q=9e8)
    step = 3.0  # s: k dt / (gamma dx^2) = 0.375
    t = np.linspace(0.0, 4 * step, 5)

    def left(mode: int, k: int, later: int) -> float:
        return (1.0 - rate(gb, mode) * step) ** (later - k)

    def variance(mode: int, k: int) -> float:
        kick = 2.0 * K_B * gb.temperature * step / (gb.gamma * gb.spacing**2)
        return sum(kick * (1.0 - rate(gb, mode) * step) ** (2 * past) for past in range(k))

    expected = mean_over_sites(gb, t, left, variance)
    assert np.abs(gb.mean_g1_gb(t, method="euler") - expected).max() < 1e-12
    assert np.abs(gb.mean_g1_gb(t) - expected).max() > 1e-5


def worst_z(draw: Draw, expected: NDArray[np.complex128]) -> float:
    """Largest |z| of the mean of a a* over the draw's boundaries, over all pairs of times, real and imaginary."""
    waves = draw.amplitudes[0]
    worst = 0.0
    for k in range(waves.shape[1]):
        products = waves[:, k, None] * waves[:, k:].conj()
        off = products.mean(axis=0) - expected[k, k:]
        for part in ("real", "imag"):
            spread = getattr(products, part).std(axis=0) / math.sqrt(len(waves))
            known = spread > 1e-9  # the initial shape is given, and a(t) a*(t) is real
            assert np.all(np.abs(getattr(off, part)[~known]) < 1e-7)
            worst = max(worst, float(np.max(np.abs(getattr(off, part)[known]) / spread[known], initial=0.0)))
    return worst


@pytest.mark.parametrize("bow", [0.0, 0.2, 1.0])
def test_exact_sampler_agrees_with_its_closed_form(bow: float) -> None:
    gb = boundary(bow=bow * LENGTH, boundaries=3000)
    draw = gb.draw(UNEVEN, seed=int(10 * bow) + 1)
    assert worst_z(draw, gb.mean_g1_gb(UNEVEN)) < 4.0


@pytest.mark.parametrize("bow", [0.0, 0.2, 1.0])
def test_euler_agrees_with_its_own_closed_form(bow: float) -> None:
    # At k dt / (gamma dx^2) = 0.44 the two closed forms differ by what 3,000 trajectories would notice.
    gb = boundary(gamma=5e18, bow=bow * LENGTH, boundaries=3000)
    t = 8.8 * np.arange(60)
    draw = gb.draw(t, seed=int(10 * bow) + 1, method="euler")
    some = np.array([0, 1, 2, 9, 30, 59])
    kept = replace(draw, t=t[some], amplitudes=draw.amplitudes[:, :, some], renewals=draw.renewals[some])
    assert worst_z(kept, gb.mean_g1_gb(t, method="euler")[np.ix_(some, some)]) < 4.0


def test_closed_form_of_spread_sizes_and_orientations() -> None:
    gb = boundary(bow=0.3 * 19e-9, sites=20, boundaries=6000, size_spread=0.3, orientations="isotropic")
    t = np.array([0.0, 20.0, 300.0, 2000.0])
    mean = gb.mean_g1_gb(t)
    assert worst_z(gb.draw(t, seed=5), mean) < 4.0
    assert np.abs(mean - boundary(bow=gb.bow, sites=20).mean_g1_gb(t)).max() > 0.02
    # Very many boundaries: the field correlation of one draw is the mean.
    g1 = gb.draw(t, seed=6).field_correlation()[0]
    expected = 0.3 * mean + 0.7 * np.exp(-(Q**2) * 2e-22 * np.abs(t[:, None] - t))
    assert np.abs(g1 - expected).max() < 0.01


def test_excess_variance_of_euler() -> None:
    for gamma, excess in ((1e18, 2.00), (1.05e18, 1.13), (3e18, 1.012)):
        gb = boundary(gamma=gamma)
        number = gb.euler_number(2.0)
        assert excess_variance(50, number) == pytest.approx(excess, abs=0.005 if gamma < 2e18 else 0.0005)
        modes = sine_modes(50)
        rates = modes.rates(stiffness=0.25, gamma=gamma, spacing=1e-9)
        variances = modes.stationary_variances(stiffness=0.25, temperature=400.0)
        # 20,000 steps are seven times the slowest mode's relaxation time and more.
        settled = euler_steps(np.full(20_000, 2.0), rates, variances).variances()[-1]
        assert settled.sum() / variances.sum() == pytest.approx(excess_variance(50, number), rel=1e-6)
        assert exact_steps(np.full(3, 1e6), rates, variances).variances()[-1] == pytest.approx(variances, rel=1e-12)


def test_euler_warns_near_its_limit_and_says_what_it_costs() -> None:
    t = 2.0 * np.arange(10)
    with pytest.warns(StabilityWarning, match=r"0\.500 the stationary variance is 2\.00 times"):
        boundary(gamma=1e18).draw(t, method="euler")
    with pytest.warns(StabilityWarning, match=r"0\.476 the stationary variance is 1\.13 times"):
        boundary(gamma=1.05e18).two_time(method="euler", t=t, size=None)
    with pytest.warns(StabilityWarning, match="1 of 2 boundaries step"):
        two_time_blocks([boundary(gamma=1e18), boundary()], [0, 0], t=t, size=4, method="euler")
    boundary(gamma=1.2e18).draw(t, method="euler")


# Area means and full maps.


def brute_mean(square: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Area mean by the overlap of every frame with every cell."""
    frames = len(square)
    edge = np.arange(frames + 1)
    cell = np.linspace(0, frames, size + 1)
    overlap = np.minimum(edge[1:], cell[1:, None]) - np.maximum(edge[:-1], cell[:-1, None])
    weights = np.clip(overlap, 0.0, None) * size / frames
    return weights @ square @ weights.T


CASES: dict[str, dict[str, Any]] = {
    "paper": {},
    "bent": {"bow": LENGTH},
    "fast bulk": {"diffusivity": 1e-17},
    "no bulk": {"gb_fraction": 1.0},
    "bulk alone": {"gb_fraction": 0.0},
    "three": {"boundaries": 3, "orientations": "isotropic", "size_spread": 0.2, "bow": 0.5 * LENGTH},
    "avalanches": {"avalanche_rate": 0.004, "avalanche_share": 0.3, "avalanche_tail": "pareto"},
    "many": {"boundaries": 40, "orientations": "isotropic", "avalanche_rate": 0.002, "avalanche_share": 0.2},
    "total": {"q_convention": "total", "q_z": 3e8, "q": (3e8, Q)},
}


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_maps_equal_the_area_mean_of_the_full_map(case: str, normalised: bool) -> None:
    gb = boundary(**CASES[case])
    t = np.linspace(0.0, 2500.0, 310) if case != "three" else np.sort(np.random.default_rng(1).uniform(0, 2500, 310))
    g1 = gb.draw(t, seed=11).field_correlation()
    square = np.abs(g1) ** 2
    if normalised:
        equal = np.einsum("qii->qi", g1).real
        square /= equal[:, :, None] * equal[:, None, :]
    for size in (64, 155, None):
        found = gb.two_time(11, t=t, size=size, normalised=normalised)
        assert found.dtype == np.float32
        maps = found if isinstance(gb.q, tuple) else found[None]
        for each, full in zip(maps, square, strict=True):
            expected = 1.0 + 0.14 * brute_mean(full, size or len(t))
            assert np.abs(each - expected).max() < 1.3e-7  # a unit in the last place of float32
            assert np.array_equal(each, each.T)


def test_the_papers_grid_to_256_cells() -> None:
    gb = boundary()
    full = np.abs(gb.draw(seed=3).field_correlation()[0]) ** 2
    assert np.abs(gb.two_time(3) - (1.0 + 0.14 * brute_mean(full, 256))).max() < 1.3e-7


def test_both_ways_to_the_area_mean_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    gb = boundary(boundaries=12, orientations="isotropic", bow=0.3 * LENGTH)
    t = np.linspace(0.0, 2500.0, 200)
    through_pairs = gb.two_time(2, t=t, size=33, normalised=True)
    monkeypatch.setattr(squared_field, "MOST_PAIRED", 0)
    monkeypatch.setattr(squared_field, "BLOCK", 7 * len(t))
    assert np.abs(gb.two_time(2, t=t, size=33, normalised=True) - through_pairs).max() < 1.3e-7


def test_bulk_alone_is_an_exponential() -> None:
    gb = boundary(gb_fraction=0.0, q=(Q, 2 * Q), q_z=Q, q_convention="total", contrast=0.5)
    t = np.linspace(0.0, 1000.0, 50)
    lag = np.abs(t[:, None] - t)
    for each, square in zip(gb.two_time(t=t, size=None), (2 * Q**2, 5 * Q**2), strict=True):
        assert np.abs(each - (1 + 0.5 * np.exp(-2 * square * 2e-22 * lag))).max() < 1.3e-7
    assert np.allclose(boundary(q_z=Q).draw(t).bulk_rates, Q**2 * 2e-22)


def test_a_still_boundary_without_bulk_is_flat() -> None:
    # At 1e-12 K nothing fluctuates: the bow relaxes alone.
    still = boundary(gb_fraction=1.0, temperature=1e-12)
    assert np.abs(still.two_time(t=np.linspace(0, 2500, 64), size=None) - 1.14).max() < 1.3e-7


def test_normalised_maps_have_the_full_contrast_on_the_diagonal() -> None:
    gb = boundary(bow=LENGTH)
    t = np.linspace(0.0, 2500.0, 64)
    assert np.abs(np.diagonal(gb.two_time(t=t, size=None, normalised=True)) - 1.14).max() < 1.3e-7
    assert np.diagonal(gb.two_time(t=t, size=None)).max() < 1.13


def test_field_correlation_is_one() -> None:
    gb = boundary(boundaries=4, bow=LENGTH, avalanche_rate=0.01, avalanche_share=0.4, orientations="isotropic")
    for g1 in gb.draw(np.linspace(0, 2500, 60), seed=1).field_correlation():
        assert np.array_equal(g1, g1.conj().T) or np.abs(g1 - g1.conj().T).max() < 1e-15
        assert np.linalg.eigvalsh(g1)[0] > -1e-12


@pytest.mark.parametrize("tail", ["exponential", "pareto"])
def test_avalanches_renew_the_share_that_they_should(tail: Any) -> None:
    # Poisson events each leave 1 - s in place: E e^(-H(t)) = exp(-rate <s> t).
    t = np.array([100.0, 300.0, 1000.0])
    left = np.exp(-np.array([renewals(seed, t, rate=0.002, share=0.35, tail=tail) for seed in range(4000)]))
    assert np.all(left[:, 0] == 1.0)
    expected = np.exp(-0.002 * 0.35 * (t[1:] - t[0]))
    error = left[:, 1:].std(axis=0) / math.sqrt(len(left))
    assert np.all(np.abs(left[:, 1:].mean(axis=0) - expected) < 4.0 * error)


# Seeds.


def test_several_q_see_the_same_boundary() -> None:
    t = np.linspace(0, 2500, 40)
    several = boundary(q=(3e8, Q, 6e8)).two_time(4, t=t, size=20)
    assert several.shape == (3, 20, 20)
    assert np.array_equal(several[1], boundary().two_time(4, t=t, size=20))
    assert boundary(q=(Q,)).two_time(4, t=t, size=20).shape == (1, 20, 20)
    means = boundary(q=(3e8, Q), orientations="isotropic").mean_g1_gb(t[:5])
    assert means.shape == (2, 5, 5)
    assert np.array_equal(means[1], boundary(orientations="isotropic").mean_g1_gb(t[:5]))


def test_a_seed_is_a_draw() -> None:
    t = np.linspace(0, 2500, 40)
    gb = boundary(boundaries=3, avalanche_rate=0.01, avalanche_share=0.1)
    one, same, other = (gb.draw(t, seed) for seed in (8, 8, 9))
    assert np.array_equal(one.amplitudes, same.amplitudes)
    assert np.array_equal(one.renewals, same.renewals)
    assert not np.array_equal(one.amplitudes, other.amplitudes)
    # What else is drawn does not matter.
    calm = boundary(boundaries=3).draw(t, 8)
    assert np.array_equal(one.amplitudes, calm.amplitudes)
    assert not calm.renewals.any()


def test_batches_are_the_single_maps_bit_for_bit() -> None:
    t = np.linspace(0, 2500, 60)
    members = [
        boundary(gamma=g, diffusivity=d, sites=n, boundaries=b, bow=a)
        for g, d, n, b, a in ((1e18, 1e-23, 50, 1, 0.0), (5e18, 3e-21, 31, 3, 1e-8), (2e18, 1e-22, 50, 18, 0.0))
    ]
    seeds = [3, 2**63 + 5, 3]
    batch = two_time_batch(members, seeds, t=t, size=25, normalised=True)
    assert batch.shape == (3, 25, 25)
    assert batch.dtype == np.float32
    for member, seed, found in zip(members, seeds, batch, strict=True):
        assert np.array_equal(found, member.two_time(seed, t=t, size=25, normalised=True))
    blocks = list(two_time_blocks(members, seeds, t=t, size=25, normalised=True, block=2))
    assert [len(block) for block in blocks] == [2, 1]
    assert np.array_equal(np.concatenate(blocks), batch)
