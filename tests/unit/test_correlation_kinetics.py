"""Fits per q-ROI and age, and the scaling of relaxation times: closed forms come back, impossible data say why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.correlation._kinetics import fit_kinetics
from gbx_beamline.correlation._scaling import scaling
from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.records import KineticsFit, PixelGroups, TwoTime
from gbx_beamline.simulation import field_correlation, pixel_counts

NUMBERS = ("contrast", "relaxation_time", "exponent", "baseline")
TRANSMISSION = "|q|"


def as_two_time(*maps: NDArray[Any], frame_time: float = 1.0, **changes: Any) -> TwoTime:
    """Maps without noise, as if every frame had the same counts."""
    g2 = np.array(maps, dtype=np.float32)
    rois, frames, _ = g2.shape
    known: dict[str, Any] = {
        "g2": g2,
        "diagonal": np.diagonal(g2, axis1=1, axis2=2).astype(np.float64),
        "frame_time": frame_time,
        "pixels": np.full(rois, 1000),
        "mean_counts": np.ones(rois),
        "frame_means": np.ones((rois, frames)),
        "valid_frames": np.ones(frames, dtype=bool),
        "static_baseline": np.ones(rois),
        "saturated": np.zeros(rois, dtype=np.int64),
        "names": tuple(f"q{roi}" for roi in range(rois)),
    }
    return TwoTime(**(known | changes))


def decay_map(frames: int, time: float, exponent: float = 1.0, contrast: float = 0.2) -> NDArray[np.float64]:
    lag = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
    return 1.0 + contrast * np.exp(-2.0 * (lag / time) ** exponent)


def with_groups(tt: TwoTime, counts: NDArray[Any], groups: int = 8, cell: int = 1) -> TwoTime:
    """Maps of equal groups of neighbouring pixels on counts added over cells of time."""
    cells, pixels = len(counts) // cell, counts.shape[1]
    added = counts[: cells * cell].reshape(cells, cell, pixels).sum(axis=1)
    maps = two_time(added, np.repeat(np.arange(1, groups + 1), pixels // groups)).g2
    index = np.arange(cells)
    maps[:, index, index] = np.nan
    layout = PixelGroups(
        count=groups,
        pixels=(pixels // groups,) * groups,
        frames_per_cell=cell,
        pairs=tuple((a, b) for a in range(groups) for b in range(a + 1, groups)),
        speckle_size=1.0,
        status="ok",
    )
    return replace(tt, group_maps=maps[np.newaxis], groups=(layout,))


def fitted(roi: int, time: float, *, exponent: float = 1.0, error: float = 0.03, **changes: Any) -> KineticsFit:
    """A fit of the whole series as ``fit_kinetics`` would give it, with 8 groups behind its errors."""
    known: dict[str, Any] = {
        "roi": roi,
        "name": f"q{roi}",
        "window": (0.0, 100.0),
        "whole": True,
        "contrast": 0.2,
        "relaxation_time": time,
        "exponent": exponent,
        "baseline": 1.0,
        "errors": {"contrast": 0.01, "relaxation_time": error * time, "exponent": error, "baseline": 1e-3},
        "error_source": "groups",
        "groups": 8,
        "lags": 40,
        "status": "ok",
    }
    return KineticsFit(**(known | changes))


@pytest.mark.parametrize(("time", "exponent"), [(10.0, 1.0), (40.0, 1.8), (25.0, 0.6), (4.0, 1.0)])
def test_exact_decay_comes_back_in_every_window(time: float, exponent: float) -> None:
    fits = fit_kinetics(as_two_time(decay_map(900, time, exponent), frame_time=0.5))
    assert [fit.whole for fit in fits] == [True, False, False, False]
    assert [fit.window for fit in fits] == [(0.0, 450.0), (0.0, 150.0), (150.0, 300.0), (300.0, 450.0)]
    for fit in fits:
        assert fit.status == "ok"
        # Bins as wide as an eighth of their lag bend an exponential by less than this.
        assert [getattr(fit, name) for name in NUMBERS] == pytest.approx([0.2, 0.5 * time, exponent, 1.0], rel=0.01)
        assert fit.error_source == "lower bound"


def test_held_exponent_is_used_and_has_no_error() -> None:
    (fit,) = fit_kinetics(as_two_time(decay_map(300, 20.0, 1.5)), ages=0, exponent=1.5)
    assert fit.exponent == 1.5
    assert fit.errors["exponent"] is None
    assert fit.relaxation_time == pytest.approx(20.0, rel=0.01)


def test_ageing_sample_slows_down_from_window_to_window() -> None:
    # Rate falls as 1 / age; in a window the mean rate of the pairs lies within the window's own rates.
    rate = 0.5 / (1.0 + np.arange(600) / 100.0)
    fits = fit_kinetics(as_two_time(1.0 + 0.2 * field_correlation(rate) ** 2))
    times = [fit.relaxation_time for fit in fits[1:]]
    assert all(fit.status == "ok" for fit in fits)
    for window, time in enumerate(times):
        within = 1.0 / rate[200 * window : 200 * (window + 1)]
        assert within.min() < time < within.max()


def test_rois_and_their_names_are_kept_apart() -> None:
    fits = fit_kinetics(as_two_time(decay_map(300, 10.0), decay_map(300, 30.0)), ages=2)
    assert [(fit.roi, fit.name) for fit in fits] == [(0, "q0")] * 3 + [(1, "q1")] * 3
    assert [fits[0].relaxation_time, fits[3].relaxation_time] == pytest.approx([10.0, 30.0], rel=0.01)


def test_bad_frames_change_nothing_but_the_number_of_pairs() -> None:
    broken = decay_map(300, 15.0)
    broken[[0, 7, 150, 151, 299]] = np.nan
    broken[:, [0, 7, 150, 151, 299]] = np.nan
    (fit,) = fit_kinetics(as_two_time(broken), ages=1)
    assert [getattr(fit, name) for name in NUMBERS] == pytest.approx([0.2, 15.0, 1.0, 1.0], rel=0.01)


def test_groups_that_agree_make_small_errors_and_groups_that_differ_large_ones() -> None:
    counts = pixel_counts(field_correlation(np.full(120, 0.1)), 800, modes=4, mean_counts=1.0, seed=3)
    tt = two_time(counts, np.ones(800, dtype=int), groups=0)
    alone, grouped = fit_kinetics(tt)[0], fit_kinetics(with_groups(tt, counts))[0]
    assert (alone.error_source, alone.groups) == ("lower bound", 0)
    assert (grouped.error_source, grouped.groups) == ("groups", 8)
    assert grouped.relaxation_time == alone.relaxation_time
    # The same map in every group: no scatter, so no error.
    same = with_groups(tt, counts)
    assert same.group_maps is not None
    copies = np.repeat(same.group_maps[:, :1], 8, axis=1)
    certain = fit_kinetics(replace(same, group_maps=copies))[0].errors["relaxation_time"]
    measured = grouped.errors["relaxation_time"]
    assert certain is not None
    assert measured is not None
    assert certain < 1e-9 < 0.01 * grouped.relaxation_time < measured


def test_scatter_of_groups_is_that_of_their_mean() -> None:
    # Contrasts 0.1 ... 0.3 of equal groups: standard error of their mean, through a fit that is linear in it.
    tt = as_two_time(decay_map(200, 15.0))
    contrasts = np.array([0.10, 0.14, 0.18, 0.19, 0.21, 0.22, 0.26, 0.30])
    maps = np.array([decay_map(200, 15.0, contrast=each) for each in contrasts], dtype=np.float32)
    layout = PixelGroups(count=8, pixels=(100,) * 8, frames_per_cell=1, pairs=((0, 2),), speckle_size=1.0, status="ok")
    fit = fit_kinetics(replace(tt, group_maps=maps[np.newaxis], groups=(layout,)))[0]
    assert fit.errors["contrast"] == pytest.approx(contrasts.std(ddof=1) / np.sqrt(8), rel=1e-3)
    assert fit.errors["relaxation_time"] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("cell", [2, 8])
def test_cells_wider_than_the_relaxation_time_give_a_lower_bound(cell: int) -> None:
    counts = pixel_counts(field_correlation(np.full(160, 0.2)), 800, modes=4, mean_counts=1.0, seed=3)
    tt = with_groups(two_time(counts, np.ones(800, dtype=int)), counts, cell=cell)
    assert fit_kinetics(tt, ages=1)[0].error_source == ("groups" if cell < 5 else "lower bound")


def test_three_groups_are_too_few() -> None:
    counts = pixel_counts(field_correlation(np.full(120, 0.1)), 900, modes=4, mean_counts=1.0, seed=3)
    tt = with_groups(two_time(counts, np.ones(900, dtype=int)), counts, groups=3)
    assert fit_kinetics(tt, ages=1)[0].error_source == "lower bound"


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    ("correlation", "reason"),
    [
        (np.eye(100), "too fast"),
        (np.ones((100, 100)), "decay beyond the window"),
        (field_correlation(np.full(100, 0.005)), "decay beyond the window"),
        (None, "no decay"),
    ],
    ids=["uncorrelated", "static", "slow", "no speckle"],
)
def test_photons_without_a_decay_to_fit_say_which_it_is(
    correlation: NDArray[Any] | None, reason: str, grouped: bool
) -> None:
    if correlation is None:
        counts = np.random.default_rng(2).poisson(2.0, size=(100, 1600))
    else:
        counts = pixel_counts(correlation, 1600, modes=4, mean_counts=2.0, seed=2)
    tt = two_time(counts, np.ones(1600, dtype=int))
    for fit in fit_kinetics(with_groups(tt, counts) if grouped else tt):
        assert fit.status.startswith(reason)
        assert np.isnan([getattr(fit, name) for name in NUMBERS]).all()
        assert set(fit.errors.values()) == {None}
        assert (fit.error_source, fit.groups) == ("none", 0)


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (np.full((40, 40), np.nan), "too few lags"),
        (decay_map(6, 2.0), "too few lags"),
        (np.full((1, 1), 1.2), "too few lags"),
        (np.ones((60, 60)), "no decay"),
        (np.full((60, 60), 1.2), "decay beyond the window"),
        (1.0 + 0.2 * np.eye(60), "too fast"),
        (decay_map(60, 400.0), "decay beyond the window"),
    ],
    ids=["all bad", "six frames", "one frame", "flat at 1", "flat above", "diagonal only", "slow"],
)
def test_maps_without_a_decay_to_fit_say_why(maps: NDArray[Any], reason: str) -> None:
    for fit in fit_kinetics(as_two_time(maps), ages=min(3, len(maps))):
        assert fit.status.startswith(reason)
        assert np.isnan(fit.relaxation_time)


def test_misuse_of_fits_is_refused() -> None:
    tt = as_two_time(decay_map(30, 5.0))
    with pytest.raises(InputError, match="ages = -1"):
        fit_kinetics(tt, ages=-1)
    with pytest.raises(InputError, match="ages = 31; needed: 0 to 30 windows"):
        fit_kinetics(tt, ages=31)
    with pytest.raises(InputError, match="exponent 0"):
        fit_kinetics(tt, exponent=0.0)
    with pytest.raises(InputError, match="3 channels"):
        fit_kinetics(tt, channels=3)


Q = np.array([2e7, 3e7, 4.5e7, 6e7])
DIFFUSIVITY = 2e-17


def test_exact_power_law_is_diffusion_with_its_coefficient() -> None:
    found = scaling([fitted(i, 1 / (DIFFUSIVITY * q**2)) for i, q in enumerate(Q)], Q, q_convention=TRANSMISSION)
    assert (found.diffusive, found.error_source, found.q_convention) == ("yes", "groups", "|q|")
    assert found.exponent == pytest.approx(2.0)
    assert found.diffusivity == pytest.approx(DIFFUSIVITY)
    # Four equal errors of 3 %.
    assert found.diffusivity_error == pytest.approx(DIFFUSIVITY * 0.03 / 2)
    assert found.reference_q == pytest.approx(np.exp(np.log(Q).mean()))
    assert found.relaxation_time == pytest.approx(1 / (DIFFUSIVITY * found.reference_q**2))
    assert found.error == pytest.approx(0.03 / (np.log(Q).std() * 2))
    # Student's 97.5 % with 7 degrees of freedom.
    assert found.interval == pytest.approx((2 - 2.3646 * found.error, 2 + 2.3646 * found.error), rel=1e-4)
    assert found.rois == (0, 1, 2, 3)
    assert found.left_out == ()


def test_weights_follow_the_errors() -> None:
    times = 1 / (DIFFUSIVITY * Q**2)
    times[0] *= 1.5
    fits = [fitted(i, time, error=1.0 if i == 0 else 0.01) for i, time in enumerate(times)]
    assert scaling(fits, Q, q_convention=TRANSMISSION).exponent == pytest.approx(2.0, abs=0.02)


def test_scatter_beyond_the_errors_widens_them() -> None:
    times = 1 / (DIFFUSIVITY * Q**2) * np.array([1.3, 0.7, 1.3, 0.7])
    fits = [fitted(i, time, error=0.01) for i, time in enumerate(times)]
    found = scaling(fits, Q, q_convention=TRANSMISSION)
    slope, residue = np.polyfit(np.log(Q), np.log(times), 1, full=True)[:2]
    assert found.exponent == pytest.approx(-slope[0])
    assert found.error == pytest.approx(np.sqrt(residue[0] / 2) / (np.log(Q).std() * 2))


@pytest.mark.parametrize(
    ("power", "exponent", "error", "diffusive", "reason"),
    [
        (2.0, 1.0, 0.03, "yes", "n = 2.00"),
        (2.06, 0.95, 0.001, "yes", "n = 2.06"),
        (1.0, 1.8, 0.03, "no", "n = 1.00"),
        (1.0, 1.0, 0.03, "no", "n = 1.00"),
        (2.0, 1.6, 0.03, "no", "exponent of the decays 1.60"),
        (2.0, 0.6, 0.03, "no", "exponent of the decays 0.60"),
        (0.0, 1.0, 0.03, "no", "n = 0.00"),
        (2.0, 1.0, 0.5, "unknown", "does not exclude 1 and 3"),
    ],
)
def test_verdict_on_diffusion(power: float, exponent: float, error: float, diffusive: str, reason: str) -> None:
    fits = [fitted(i, (q / 3e7) ** -power, exponent=exponent, error=error) for i, q in enumerate(Q)]
    found = scaling(fits, Q, q_convention=TRANSMISSION)
    assert found.diffusive == diffusive
    assert reason in found.reason
    assert np.isfinite(found.diffusivity) == (diffusive == "yes")


def test_too_little_to_say_anything_is_unknown() -> None:
    def verdict(fits: list[KineticsFit], q: NDArray[Any] = Q) -> tuple[str, str]:
        found = scaling(fits, q, q_convention=TRANSMISSION)
        return found.diffusive, found.reason

    fits = [fitted(i, 1 / (DIFFUSIVITY * q**2)) for i, q in enumerate(Q)]
    assert verdict(fits[:2]) == ("unknown", "2 q-ROI(s) with a usable fit; at least 3 are needed")
    assert verdict([]) == ("unknown", "0 q-ROI(s) with a usable fit; at least 3 are needed")
    assert "spans a factor of only 1.2" in verdict(fits, np.array([5.0, 5.2, 5.5, 6.0]) * 1e7)[1]
    held = [replace(fit, errors=dict(fit.errors) | {"exponent": None}) for fit in fits]
    assert "were held" in verdict(held)[1]
    # Three lower bounds leave one degree of freedom: Student's 12.7 instead of 2.4 for 8 groups.
    wide = [fitted(i, 1 / (DIFFUSIVITY * q**2), error=0.08) for i, q in enumerate(Q[:3])]
    lower = [replace(fit, error_source="lower bound", groups=0) for fit in wide]
    assert verdict(wide)[0] == "yes"
    assert verdict(lower)[0] == "unknown"


def test_two_q_give_an_exponent_and_one_gives_none() -> None:
    fits = [fitted(i, 1 / (DIFFUSIVITY * q**2)) for i, q in enumerate(Q)]
    assert scaling(fits[:2], Q, q_convention=TRANSMISSION).exponent == pytest.approx(2.0)
    alone = scaling(fits[:1], Q, q_convention=TRANSMISSION)
    assert np.isnan([alone.exponent, alone.error, *alone.interval, alone.diffusivity]).all()


def test_failed_fits_windows_and_unknown_q_are_left_out() -> None:
    fits = [fitted(i, 1 / (DIFFUSIVITY * q**2)) for i, q in enumerate(Q)]
    fits[1] = replace(fits[1], relaxation_time=np.nan, status="too fast: gone")
    window = replace(fits[0], whole=False, relaxation_time=1e9)
    q = Q.copy()
    q[2], q[3] = np.nan, 0.0
    found = scaling([*fits, window], q, q_convention="q_par")
    assert found.rois == (0,)
    assert found.left_out == ("q1: too fast: gone", "q2: q is not known", "q3: q is 0")


def test_sign_of_q_par_does_not_matter() -> None:
    fits = [fitted(i, 1 / (DIFFUSIVITY * q**2)) for i, q in enumerate(Q)]
    assert scaling(fits, -Q, q_convention="q_par").diffusivity == pytest.approx(DIFFUSIVITY)


def test_misuse_of_scaling_is_refused() -> None:
    fits = [fitted(i, 1.0) for i in range(4)]
    with pytest.raises(InputError, match="no q_convention"):
        scaling(fits, Q, q_convention="")
    with pytest.raises(UnitError, match="1/Angstrom, multiply by 1e10"):
        scaling(fits, Q / 1e10, q_convention=TRANSMISSION)
    with pytest.raises(InputError, match=r"q-ROIs \[0, 1, 2, 3\] and 3 values of q"):
        scaling(fits, Q[:3], q_convention=TRANSMISSION)
    with pytest.raises(InputError, match=r"q-ROIs \[0, 0\]"):
        scaling([fits[0], fits[0]], Q, q_convention=TRANSMISSION)
