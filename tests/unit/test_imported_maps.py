"""Two-time maps that somebody else computed: closed forms in every dress they come in, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import one_time
from gbx_beamline.correlation.imported import read_map
from gbx_beamline.errors import MapError
from gbx_beamline.non_equilibrium import nonequilibrium

N = 40
CONTRAST, RATE = 0.2, 0.08


def decay(contrast: float = CONTRAST, rate: float = RATE, n: int = N) -> NDArray[np.float64]:
    """(n, n) g2 - 1 of a stationary exponential relaxation."""
    time = np.arange(n)
    return contrast * np.exp(-2 * rate * np.abs(time[:, None] - time))


def ageing(n: int = N) -> NDArray[np.float64]:
    """(n, n) g2 - 1 that slows down with age, so that no two rows are alike."""
    age = (np.arange(n)[:, None] + np.arange(n)) / 2
    return CONTRAST * np.exp(-3 * np.abs(np.arange(n)[:, None] - np.arange(n)) / (5 + age))


def saved(folder: Path, array: NDArray[Any], name: str = "map.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


def bad_frames(array: NDArray[np.float64], *frames: int) -> NDArray[np.float64]:
    array = array.copy()
    array[list(frames)] = np.nan
    array[:, list(frames)] = np.nan
    return array


@pytest.mark.parametrize("baseline", [0, 1])
@pytest.mark.parametrize("told", [False, True], ids=["detected", "told"])
def test_a_stationary_exponential_has_its_rate_and_contrast_and_no_drift(
    tmp_path: Path, baseline: Any, told: bool
) -> None:
    path = saved(tmp_path, decay() + baseline)
    tt, notes = read_map(path, baseline=baseline if told else None, frame_time=0.5)
    assert (f"baseline {baseline} as told" in notes) is told
    assert any(note.startswith(f"baseline {baseline} detected") for note in notes) is not told
    np.testing.assert_allclose(tt.g2[0], 1 + decay(), rtol=1e-6)
    assert tt.frame_time == 0.5
    # Without counts the diagonal is the mean of its neighbours: the contrast is that of the first lag.
    assert tt.contrast[0] == pytest.approx(CONTRAST * np.exp(-2 * RATE), rel=1e-6)
    tau, g2, _ = one_time(tt)
    np.testing.assert_allclose(g2[0][1:], 1 + CONTRAST * np.exp(-2 * RATE * tau[1:] / 0.5), rtol=1e-6)
    # What float32 rounding of a map of variance 1e-3 leaves.
    assert nonequilibrium(tt)[0].s_noneq < 1e-9


def test_a_stack_has_its_q_on_the_last_axis_and_keeps_their_order(tmp_path: Path) -> None:
    maps = np.stack([decay(0.3, 0.02), decay(0.1, 0.5)], axis=-1)
    np.savez(tmp_path / "maps.npz", g12=1 + maps, lags=np.arange(N))
    tt, _ = read_map(tmp_path / "maps.npz")
    assert tt.names == ("map 1", "map 2")
    np.testing.assert_allclose(tt.g2, 1 + np.moveaxis(maps, -1, 0), rtol=1e-6)
    assert tt.pixels.tolist() == [0, 0], "not known"
    assert np.isnan(tt.mean_counts).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
def test_numbers_of_any_width_and_order_are_the_same_map(tmp_path: Path, dtype: Any) -> None:
    tt, notes = read_map(saved(tmp_path, (1 + decay()).astype(dtype)))
    np.testing.assert_allclose(tt.g2[0], 1 + decay(), rtol=1e-6)
    assert not any("symmetric" in note for note in notes), "rounding is no asymmetry"


@pytest.mark.parametrize("level", [0.5, 0.75, 0.89, 2.5, -0.5, 5000.0])
def test_a_level_between_the_two_baselines_is_not_guessed(tmp_path: Path, level: float) -> None:
    path = saved(tmp_path, decay(rate=2.0) + level)
    with pytest.raises(MapError, match=re.escape(f"scatters around {level:.3g} ")) as refused:
        read_map(path)
    assert "--baseline 0 or --baseline 1" in str(refused.value)
    tt, _ = read_map(path, baseline=1)
    np.testing.assert_allclose(tt.g2[0], decay(rate=2.0) + level, rtol=1e-6)


def test_noise_does_not_hide_the_baseline(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.3, (N, N))
    for baseline in (0, 1):
        _, notes = read_map(saved(tmp_path, decay() + noise + noise.T + baseline))
        assert f"baseline {baseline} detected from the longest lags" in notes


def test_the_baseline_comes_from_the_longest_lags_there_are(tmp_path: Path) -> None:
    """The last two thirds of the frames are bad: the corner of the map holds nothing."""
    tt, notes = read_map(saved(tmp_path, bad_frames(decay(rate=0.5), *range(14, N))))
    assert "baseline 0 detected from the longest lags" in notes
    assert tt.valid_frames.tolist() == [True] * 14 + [False] * (N - 14)


def test_halves_that_differ_are_averaged_with_a_word(tmp_path: Path) -> None:
    skew = np.triu(np.full((N, N), 0.01), k=1)
    tt, notes = read_map(saved(tmp_path, 1 + decay() + skew))
    assert "map was not symmetric (largest difference 0.01): the two halves were averaged" in notes
    off = ~np.eye(N, dtype=bool)
    np.testing.assert_allclose(tt.g2[0][off], (1 + decay() + 0.005)[off], rtol=1e-6)
    np.testing.assert_array_equal(tt.g2[0], tt.g2[0].T)


@pytest.mark.parametrize("empty", [0.0, np.nan], ids=["zeros", "NaN"])
@pytest.mark.parametrize("upper", [True, False], ids=["upper", "lower"])
def test_a_map_stored_as_one_half_is_made_whole_and_not_halved(tmp_path: Path, empty: float, upper: bool) -> None:
    stored = np.triu(np.ones((N, N), dtype=bool))
    half = np.where(stored if upper else stored.T, bad_frames(1 + ageing(), 7), empty)
    tt, notes = read_map(saved(tmp_path, half))
    assert "one half of 1 of 1 maps was empty: taken from the other half" in notes
    assert not any("symmetric" in note for note in notes)
    np.testing.assert_allclose(tt.g2[0], bad_frames(1 + ageing(), 7), rtol=1e-6)


def test_bad_frames_stay_unknown(tmp_path: Path) -> None:
    tt, notes = read_map(saved(tmp_path, 1 + bad_frames(ageing(), 3, 17)))
    np.testing.assert_allclose(tt.g2[0], 1 + bad_frames(ageing(), 3, 17), rtol=1e-6)
    assert np.flatnonzero(~tt.valid_frames).tolist() == [3, 17]
    assert not any("half" in note for note in notes)


def test_a_frame_unknown_in_one_half_is_unknown_in_both_with_a_word(tmp_path: Path) -> None:
    rows_only = 1 + ageing()
    rows_only[5] = np.nan
    tt, notes = read_map(saved(tmp_path, rows_only))
    np.testing.assert_allclose(tt.g2[0], 1 + bad_frames(ageing(), 5), rtol=1e-6)
    assert "map had values in one half that the other lacks: they were left out" in notes


def test_a_filled_diagonal_does_not_revive_a_bad_frame(tmp_path: Path) -> None:
    array = 1 + bad_frames(ageing(), 4)
    np.fill_diagonal(array, 1.04)
    tt, _ = read_map(saved(tmp_path, array))
    assert np.flatnonzero(~tt.valid_frames).tolist() == [4]


def test_infinite_values_are_unknown_with_a_word(tmp_path: Path) -> None:
    array = 1 + ageing()
    array[2, 9], array[9, 2], array[6, 1], array[1, 6] = np.inf, -np.inf, np.inf, np.inf
    tt, notes = read_map(saved(tmp_path, array))
    assert "4 infinite values were taken as not measured" in notes
    assert np.isnan(tt.g2[0][[2, 9, 6, 1], [9, 2, 1, 6]]).all()
    assert np.isnan(tt.g2).sum() == 4


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (decay().astype(complex), "complex128 of shape (40, 40)"),
        (decay()[:, :-1], "float64 of shape (40, 39)"),
        (np.zeros((12, 40, 40)), "for frames use `gbx analyze`"),
        (np.zeros((40, 40, 2, 2)), "shape (40, 40, 2, 2)"),
        (np.zeros((1, 1)), "N >= 2"),
        (np.zeros(40), "shape (40,)"),
        (np.full((40, 40), "g2"), "real numbers"),
        (np.ones((40, 40), dtype=bool), "holds bool"),
        (np.full((40, 40), np.nan), "without a finite value off its diagonal"),
        (np.where(np.eye(40, dtype=bool), 1.1, np.nan), "without a finite value off its diagonal"),
        (np.stack([1 + decay(), np.full((N, N), np.nan)], axis=-1), "without a finite value off its diagonal"),
    ],
    ids=[
        "complex",
        "not-square",
        "frames",
        "4-D",
        "one-cell",
        "1-D",
        "text",
        "bool",
        "NaN",
        "diagonal-only",
        "one-NaN",
    ],
)
@pytest.mark.parametrize("baseline", [None, 1])
def test_what_is_no_map_is_refused_in_words(tmp_path: Path, array: NDArray[Any], words: str, baseline: Any) -> None:
    path = saved(tmp_path, array)
    with pytest.raises(MapError, match=re.escape(words)) as refused:
        read_map(path, baseline=baseline)
    assert str(path) in refused.value.found


def test_a_file_that_holds_no_such_array_is_refused_in_words(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", first=decay(), second=decay())
    with pytest.raises(MapError, match=r"holds first, second; needed: .*'g12'"):
        read_map(tmp_path / "two.npz")
    with pytest.raises(MapError, match="No such file"):
        read_map(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("not numpy")
    with pytest.raises(MapError, match="is no NumPy file"):
        read_map(tmp_path / "text.npy")


def test_a_measured_map_with_an_invented_diagonal(shared_data: Path) -> None:
    """Egg-yolk plasma: C - 1, not symmetric, its diagonal filled with 0.04."""
    path = shared_data / "two_time" / "yolkplasma_q0p022_ttc.npy"
    measured = np.load(path)
    tt, notes = read_map(path, frame_time=1.0)
    assert notes[:2] == [
        "map was not symmetric (largest difference 0.0203): the two halves were averaged",
        "baseline 0 detected from the longest lags",
    ]
    off = ~np.eye(50, dtype=bool)
    np.testing.assert_allclose(tt.g2[0][off], (1 + (measured + measured.T) / 2)[off], rtol=1e-6)
    first = (np.diagonal(measured, 1) + np.diagonal(measured, -1)) / 2
    assert tt.contrast[0] == pytest.approx(first.mean(), rel=0.05)
    result = nonequilibrium(tt)[0]
    assert result.status == "ok"
    assert 0 < result.s_noneq < 1


@pytest.mark.parametrize("baseline", [0, 1])
def test_frames_filled_with_zeros_are_bad_frames(tmp_path: Path, baseline: int) -> None:
    lag = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    g2 = baseline + 0.2 * np.exp(-lag / 5.0)
    g2[7], g2[:, 7] = 0.0, 0.0
    np.save(tmp_path / "zeros.npy", g2)
    tt, notes = read_map(tmp_path / "zeros.npy")
    assert "1 rows of zeros were taken as bad frames" in notes
    assert not tt.valid_frames[7]
    assert tt.valid_frames.sum() == 39
    assert np.isnan(tt.g2[0, 7]).all()
    assert nonequilibrium(tt)[0].s_noneq < 1e-6, "stationary, whatever was filled in"
