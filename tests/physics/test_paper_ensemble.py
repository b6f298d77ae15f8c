"""The paper's ensemble: its ranges, its one noise, its resize, and its S_noneq."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.simulation import PaperEnsemble, StabilityWarning
from gbx_beamline.simulation.paper import RANGES, rank_regression
from gbx_beamline.simulation.resample import bilinear_cells


def test_hypercube_covers_the_papers_ranges_evenly() -> None:
    found = PaperEnsemble().parameters()
    assert list(found) == ["gamma", "diffusivity", "gb_fraction", "temperature"]
    for name, (low, high) in RANGES.items():
        values = np.log(found[name] / low) / np.log(high / low) if name == "diffusivity" else None
        place = (found[name] - low) / (high - low) if values is None else values
        # One member in each of 2,000 slices of every parameter.
        assert np.array_equal(np.sort((place * 2000).astype(int)), np.arange(2000))
    assert np.abs(np.corrcoef(np.stack(list(found.values()))) - np.eye(4)).max() < 0.1


def test_one_noise_for_all_or_one_for_each() -> None:
    assert set(PaperEnsemble(members=5).seeds()) == {42}
    independent = PaperEnsemble(members=5, noise="independent").seeds()
    assert len(set(independent)) == 5
    assert PaperEnsemble(members=3, noise="independent").seeds() == independent[:3]


def test_maps_are_the_resized_full_maps() -> None:
    ensemble = PaperEnsemble(members=40, size=64)
    at = next(at for at, member in enumerate(ensemble.boundaries()) if 1.2e18 < member.gamma < 2e18)
    (found,) = next(ensemble.maps(at, at + 1))
    # The released recipe read aloud: sites pushed by one noise, steps of 2 s, an axis of 2500/1249 s.
    gb = ensemble.boundaries()[at]
    noise = np.random.default_rng(42).standard_normal((1250, 48))
    kick = np.sqrt(2 * 1.380649e-23 * gb.temperature * 2.0 / (gb.gamma * 1e-18))
    z = np.zeros((1250, 50))
    for k in range(1, 1250):
        z[k, 1:-1] = z[k - 1, 1:-1] + 0.25 * 2.0 / (gb.gamma * 1e-18) * np.diff(z[k - 1], 2) + kick * noise[k]
    a = np.exp(-4.5e8j * z).mean(axis=1)
    t = np.linspace(0.0, 2500.0, 1250)
    bulk = np.exp(-(4.5e8**2) * gb.diffusivity * np.abs(t[:, None] - t))
    full = 1 + 0.14 * np.abs(gb.gb_fraction * np.outer(a, a.conj()) + (1 - gb.gb_fraction) * bulk) ** 2
    weights = bilinear_cells(1250, 64).matrix()
    assert np.abs(found - weights @ (weights @ full).T).max() < 2e-7


def test_members_do_not_depend_on_blocks() -> None:
    ensemble = PaperEnsemble(members=7, size=32, method="exact", noise="independent")
    whole = np.concatenate(list(ensemble.maps(block=3)))
    assert whole.shape == (7, 32, 32)
    assert np.array_equal(next(ensemble.maps(4, 6)), whole[4:6])


def s_of(ensemble: PaperEnsemble) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(members,) norm ratio and variance share (Eq. 3) of every member."""
    records = [nonequilibrium(g2) for block in ensemble.maps() for g2 in block]
    return np.array([each.s_noneq_norm for each in records]), np.array([each.s_noneq for each in records])


def test_s_of_a_small_ensemble_has_the_papers_trends() -> None:
    ensemble = PaperEnsemble(members=200, size=128)
    with pytest.warns(StabilityWarning, match="of 200 boundaries step close to the Euler limit"):
        norm, share = s_of(ensemble)
    assert share == pytest.approx(norm**2, rel=1e-12)
    trend = rank_regression(ensemble.parameters(), norm)
    assert trend["diffusivity"] <= -0.80
    assert trend["gb_fraction"] >= 0.35


@pytest.mark.slow
def test_s_of_the_whole_ensemble_is_the_papers() -> None:
    ensemble = PaperEnsemble()
    with pytest.warns(StabilityWarning, match=r"is 1\.\d+ times|is 2\.00 times"):
        norm, share = s_of(ensemble)
    assert 0.87 <= norm.max() <= 0.91
    assert share == pytest.approx(norm**2, rel=1e-12)
    trend = rank_regression(ensemble.parameters(), norm)
    assert trend["diffusivity"] <= -0.80
    assert trend["gb_fraction"] >= 0.35
    assert -0.30 <= trend["gamma"] <= 0.0
