"""Figures: what is drawn is what was measured, and awkward scans still make a page."""

from __future__ import annotations

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from gbx_beamline.errors import InputError, RoiError
from gbx_beamline.figures import save, scan_report, temperature_overview
from gbx_beamline.figures.reduction import age_slices, cells, correlation_limits, drift_limit, information, log_spaced
from gbx_beamline.figures.words import number, power_of_ten, relaxation_time, with_error
from gbx_beamline.records import (
    CorrectedS,
    DecayFit,
    Exclusions,
    Geometry,
    NonEquilibrium,
    OneTime,
    Provenance,
    RoiSet,
    ScanInfo,
    ScanResult,
    Share,
    TwoTime,
)

CONTRAST = 0.2


def exact_map(frames: int, frame_time: float, rate: float, age: float | None) -> NDArray[np.float64]:
    """1 + contrast exp(-2 |integral of the rate|), the rate constant or falling as 1 / (1 + t / age)."""
    t = np.arange(frames) * frame_time
    phase = rate * t if age is None else rate * age * np.log1p(t / age)
    return 1.0 + CONTRAST * np.exp(-2.0 * np.abs(phase[:, None] - phase[None, :]))


def measured(g2: NDArray[Any], frame_time: float, per_cell: int) -> NonEquilibrium:
    """Eq. 1-3 written out with a loop over lags."""
    coarse, _ = cells(g2, -(-len(g2) // per_cell))
    np.fill_diagonal(coarse, np.nan)
    n = len(coarse)
    tti = np.array([np.nan] + [np.nanmean(np.diagonal(coarse, lag)) for lag in range(1, n)])
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    drift = coarse - tti[lag]
    share = float(np.nanmean(drift**2) / np.nanvar(coarse))
    return NonEquilibrium(
        s_noneq=share,
        s_noneq_norm=np.sqrt(share),
        drift_rms_over_contrast=np.sqrt(np.nanmean(drift**2)) / CONTRAST,
        contrast=CONTRAST,
        drift=drift.astype(np.float32),
        tti=tti,
        cell=per_cell * frame_time,
        window=len(g2) * frame_time,
        frames_per_cell=per_cell,
        min_pairs=1,
        status="ok",
    )


def decay(tau: NDArray[np.float64], g2: NDArray[np.float64]) -> DecayFit:
    """A least-squares fit with exponent 1 and baseline 1."""
    use = np.isfinite(g2) & (tau > 0)

    def model(lag: NDArray[np.float64], contrast: float, rate: float) -> NDArray[np.float64]:
        return 1.0 + contrast * np.exp(-2.0 * rate * lag)

    values, covariance = curve_fit(model, tau[use], g2[use], p0=(CONTRAST, 2.0 / tau[use][-1]))
    contrast_error, rate_error = np.sqrt(np.diag(covariance))
    return DecayFit(
        contrast=values[0],
        rate=values[1],
        exponent=1.0,
        baseline=1.0,
        errors={"contrast": contrast_error, "rate": rate_error, "exponent": None, "baseline": None},
        status="ok",
    )


def make_scan(
    rates: tuple[float, ...] = (0.004,),
    *,
    age: float | None = None,
    frames: int = 60,
    frame_time: float = 4.0,
    bad: tuple[int, ...] = (),
    noise: float = 0.01,
    temperature: float | None = 421.0,
    uid: str = "1a2b3c4d-0000-4000-8000-000000000000",
    per_cell: int = 1,
    detector: int = 64,
    **scan: Any,
) -> ScanResult:
    """A scan with one q-ROI per rate: closed form plus symmetric noise, bad frames NaN."""
    rng = np.random.default_rng(7)
    maps = np.stack([exact_map(frames, frame_time, rate, age) for rate in rates])
    upper = np.triu(rng.normal(0.0, noise, maps.shape), 1)
    maps += upper + upper.transpose(0, 2, 1)
    valid = np.ones(frames, bool)
    valid[list(bad)] = False
    maps[:, ~valid, :] = np.nan
    maps[:, :, ~valid] = np.nan
    diagonal = np.where(valid, 1.0 + CONTRAST, np.nan) * np.ones((len(rates), 1))
    tau: NDArray[np.float64] = np.arange(frames, dtype=np.float64) * frame_time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the longest lags may hold no pair at all
        g2: Any = np.array([[np.nanmean(np.diagonal(one, lag)) for lag in range(frames)] for one in maps])
        error: Any = np.array([[np.nanstd(np.diagonal(one, lag)) for lag in range(frames)] for one in maps])
    error /= np.sqrt(np.maximum(frames - np.arange(frames), 1))
    raw = maps.copy()
    raw[:, np.arange(frames), np.arange(frames)] += 0.5  # shot noise
    q = 2e8 * (1 + np.arange(len(rates)))
    rows = np.hypot(*np.mgrid[:detector, :detector])
    labels = np.zeros((detector, detector), np.int32)
    for index in range(len(rates)):
        labels[np.abs(rows - detector * (0.3 + 0.6 * index / len(rates))) < detector / 40] = index + 1
    return ScanResult(
        scan=ScanInfo(run_uid=uid, sample=scan.pop("sample", "nc-Si on SiO2"), temperature=temperature, **scan),
        rois=RoiSet(
            labels=labels,
            names=tuple(f"q{index + 1}" for index in range(len(rates))),
            q_par=q,
            q_z=np.full(len(rates), 2.75e8),
            flags=((),) * len(rates),
        ),
        geometry=Geometry(shape=labels.shape, mode="gisaxs", flip_y=True),
        two_time=TwoTime(
            g2=raw.astype(np.float32),
            diagonal=diagonal,
            frame_time=frame_time,
            pixels=np.full(len(rates), 2400),
            mean_counts=np.full(len(rates), 1.97),
            frame_means=np.full((len(rates), frames), 1.97),
            valid_frames=valid,
            static_baseline=np.ones(len(rates)),
            saturated=np.zeros(len(rates), np.int64),
        ),
        one_time=OneTime(tau=tau, g2=g2, error=error, convention="ratio_of_sums"),
        nonequilibrium=tuple(measured(one, frame_time, per_cell) for one in maps),
        fits=tuple(decay(tau, one) for one in g2),
        kinetics=(),
        scaling=None,
        g4=(),
        exclusions=Exclusions(),
        motion=(),
        jumps=(),
        mean_image=np.exp(-rows / detector).astype(np.float32) * 5,
        mask=np.ones(labels.shape, bool),
        excluded={},
        flags=(),
        provenance=Provenance(config_hash="0123456789ab", package_version="0.1.0"),
    )


def imported_map(g2: NDArray[Any]) -> ScanResult:
    """What is left of a scan when all there is is one two-time map."""
    scan = make_scan(frames=len(g2), frame_time=1.0, temperature=None, sample=None)
    return replace(
        scan,
        rois=replace(
            scan.rois,
            labels=np.zeros((1, 1), np.int32),
            names=("",),
            q_par=np.array([np.nan]),
            q_z=np.array([np.nan]),
        ),
        geometry=Geometry(shape=(1, 1)),
        mean_image=np.full((1, 1), np.nan, np.float32),
        mask=np.zeros((1, 1), bool),
        two_time=replace(
            scan.two_time,
            g2=g2[None].astype(np.float32),
            diagonal=np.diagonal(g2)[None].astype(float),
            pixels=np.zeros(1, int),
            mean_counts=np.array([np.nan]),
            frame_means=np.full((1, len(g2)), np.nan),
        ),
    )


def no_measure(scan: ScanResult, status: str) -> ScanResult:
    blank = replace(
        scan.nonequilibrium[0],
        s_noneq=np.nan,
        s_noneq_norm=np.nan,
        drift_rms_over_contrast=np.nan,
        contrast=np.nan,
        drift=np.full_like(scan.nonequilibrium[0].drift, np.nan),
        status=status,
    )
    return replace(scan, nonequilibrium=(blank,) * len(scan.rois))


def text_of(figure: Figure) -> str:
    """Everything written on a page, as one line."""
    pieces = [one.get_text() for one in figure.texts]
    for axes in figure.axes:
        pieces += [one.get_text() for one in axes.texts]
        pieces += [axes.get_xlabel(), axes.get_ylabel()]
        legend = axes.get_legend()
        pieces += [one.get_text() for one in legend.get_texts()] if legend else []
    return " ".join(" ".join(pieces).split())


def panels(figure: Figure, title: str) -> list[Axes]:
    """The panels whose title begins so."""
    return [axes for axes in figure.axes if any(text.get_text().startswith(title) for text in axes.texts)]


def x_of(line: Line2D) -> NDArray[np.float64]:
    return np.asarray(line.get_xdata(), dtype=np.float64)


def y_of(line: Line2D) -> NDArray[np.float64]:
    return np.asarray(line.get_ydata(), dtype=np.float64)


def draw(figure: Figure) -> NDArray[np.uint8]:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


# What is drawn is what was measured


def test_map_has_t1_to_the_right_and_t2_upwards() -> None:
    g2 = np.full((8, 8), 1.1)
    g2[6, 1] = 1.3  # t1 = 6, t2 = 1: an imported map need not be symmetric
    figure = scan_report(imported_map(g2))
    image = panels(figure, "Two-time")[0].images[0]
    drawn = np.asarray(image.get_array())
    assert image.origin == "lower"
    assert drawn[1, 6] == pytest.approx(1.3)
    assert drawn[6, 1] == pytest.approx(1.1)
    assert image.get_extent() == [0.0, 8.0, 0.0, 8.0]


def test_map_shows_the_diagonal_without_shot_noise() -> None:
    scan = make_scan(noise=0.0)
    assert scan.two_time.g2[0, 5, 5] == pytest.approx(1.7)
    axes = panels(scan_report(scan), "Two-time")[0]
    drawn = np.asarray(axes.images[0].get_array())
    assert np.diagonal(drawn) == pytest.approx(1.0 + CONTRAST, rel=1e-6)
    assert any("free of shot noise" in text.get_text() for text in axes.texts)


def test_bad_frames_are_drawn_grey_and_counted() -> None:
    figure = scan_report(make_scan(bad=(20, 21)))
    image = panels(figure, "Two-time")[0].images[0]
    drawn = np.ma.filled(np.asarray(image.get_array(), dtype=float), np.nan)
    assert np.isnan(drawn[:, 20]).all()
    red, green, blue, alpha = image.get_cmap()(np.nan)
    assert red == green == blue
    assert alpha == 1.0
    assert "60 frames (2 bad)" in text_of(figure)


def test_headline_carries_what_a_value_needs_to_be_believed() -> None:
    scan = make_scan(age=100.0, per_cell=2, truth={"s_noneq": [0.25]})
    scan = replace(scan, flags=("beam drift of 6 %",), rois=replace(scan.rois, flags=(("yoneda",),)))
    written = text_of(scan_report(scan))
    record = scan.nonequilibrium[0]
    for fact in (
        "nc-Si on SiO2",
        "421.0 K (147.9 °C)",
        "run 1a2b3c4d ",
        "60 frames",
        "4 s per frame",
        "window 240 s",
        "2,400 pixels",
        "1.97 counts per pixel and frame",
        "q∥ = 0.0200 1/Å, q_z = 0.0275 1/Å",
        f"bare S_noneq {record.s_noneq:.4f}, root {record.s_noneq_norm:.3f} (noise counts)",
        f"rms / contrast = {number(record.drift_rms_over_contrast, 2)}",
        "cells of 8 s (2 frames)",
        "simulated run",
        "true S_noneq of the simulation 0.250",
        "Note: beam drift of 6 %",
        "Note: lies on the Yoneda band",
        f"relaxation time {relaxation_time(scan.fits[0])}",
        "exponent 1 (held)",
    ):
        assert fact in written
    assert "1a2b3c4d-" not in written


def corrected(record: NonEquilibrium, value: float, low: float, high: float) -> NonEquilibrium:
    """The record with a noise-corrected measure beside the bare one."""
    part = Share(value=value, low=low, high=high)
    measure = CorrectedS(
        value=value,
        low=low,
        high=high,
        status="ok",
        ageing=part,
        intermittent=Share(value=0.0, low=-0.1, high=0.1),
        drift_rms_over_contrast=0.0321,
        drift_rms_over_contrast_high=0.05,
        drift_status="ok",
        by_age=(),
        cell=record.cell,
        window=record.window,
        frames_per_cell=record.frames_per_cell,
        min_pairs=1,
        groups=8,
        speckle_size=2.0,
        pixels=2400,
        mean_counts=1.97,
    )
    return replace(record, corrected=measure, corrected_status="ok")


def test_the_corrected_measure_leads_with_its_interval_and_the_bare_one_is_named() -> None:
    scan = make_scan(age=60.0, per_cell=2)
    record = corrected(scan.nonequilibrium[0], 0.0812, 0.0555, 0.1123)
    written = text_of(scan_report(replace(scan, nonequilibrium=(record,))))
    assert "S_noneq = 0.081 (0.056 to 0.112)" in written
    assert f"bare S_noneq {number(record.s_noneq)}" in written
    assert "8 pixel groups" in written


def test_overview_draws_corrected_measures_with_their_intervals() -> None:
    runs = [
        replace(run, nonequilibrium=tuple(corrected(record, 0.2, 0.1, 0.35) for record in run.nonequilibrium))
        for run in series()
    ]
    figure = temperature_overview(runs)
    axes = panels(figure, "S_noneq (Eq. 3, noise removed)")[0]
    spans = [segment[:, 1].tolist() for lines in axes.collections for segment in lines.get_segments()]
    assert spans == [[0.1, 0.35]] * 6
    assert not any("Bare ratio" in text for text in [text_of(figure)])
    draw(figure)


def test_one_time_points_are_measured_lags_and_the_line_is_the_stored_fit() -> None:
    scan = make_scan(noise=0.005)
    axes = panels(scan_report(scan), "One-time")[0]
    points, line = axes.containers[0][0], next(one for one in axes.lines if one.get_linewidth() > 2)
    tau, g2 = (np.asarray(values, dtype=float) for values in points.get_data())
    index = np.searchsorted(scan.one_time.tau, tau)
    assert tau[0] == scan.two_time.frame_time
    assert np.array_equal(g2, scan.one_time.g2[0][index])
    fit = scan.fits[0]
    lag, drawn = (np.asarray(values, dtype=float) for values in line.get_data())
    assert drawn == pytest.approx(1.0 + fit.contrast * np.exp(-2 * fit.rate * lag), rel=1e-9)
    assert axes.get_xscale() == "log"
    low, high = axes.get_ylim()
    assert ((g2 > low) & (g2 < high))[np.isfinite(scan.one_time.error[0][index])].all()
    assert fit.rate == pytest.approx(0.004, rel=0.05)


def test_slices_of_an_ageing_sample_follow_the_closed_form() -> None:
    age, rate, frame_time = 300.0, 0.004, 2.0
    slices = age_slices(exact_map(400, frame_time, rate, age), frame_time)
    assert [one.age for one in slices] == pytest.approx([20.0, 180.0, 340.0, 500.0, 660.0], rel=0.03)
    for one in slices:
        exact = CONTRAST * np.exp(-2 * rate * age * np.log1p(one.tau / (age + one.age)))
        # Averages over a short band of ages and a twelfth of a decade of lags.
        assert one.excess == pytest.approx(exact, abs=0.02 * CONTRAST)
    youngest, oldest = (np.interp(100.0, one.tau, one.excess) for one in (slices[0], slices[-1]))
    assert oldest > 1.3 * youngest


def test_slices_of_a_stationary_sample_agree_and_leave_bad_frames_out() -> None:
    g2 = exact_map(200, 1.0, 0.01, None)
    g2[[3, 41], :] = np.nan
    g2[:, [3, 41]] = np.nan
    for one in age_slices(g2, 1.0):
        assert np.isfinite(one.excess).all()
        assert one.excess == pytest.approx(CONTRAST * np.exp(-0.02 * one.tau), abs=0.01 * CONTRAST)


# Reduction


def test_cells_are_area_means_that_leave_nan_out() -> None:
    image = np.arange(49.0).reshape(7, 7)
    image[0, 1] = np.nan
    image[2:4, 4:6] = np.nan
    binned, width = cells(image, 4)
    assert width == 2
    assert binned.shape == (3, 3)
    assert binned[0, 0] == pytest.approx((0 + 7 + 8) / 3)
    assert binned[2, 1] == pytest.approx((30 + 31 + 37 + 38) / 4)
    assert np.isnan(binned[1, 2])
    same, one = cells(image, 7)
    assert one == 1
    assert np.array_equal(same, image, equal_nan=True)


def test_colour_limits_ignore_the_diagonal_and_do_not_magnify_noise() -> None:
    rng = np.random.default_rng(1)
    static = 1.2 + rng.normal(0, 1e-4, (80, 80))
    np.fill_diagonal(static, 50.0)
    limits = correlation_limits([static], CONTRAST)
    assert limits is not None
    assert limits == pytest.approx((1.1, 1.2), abs=1e-3)
    assert correlation_limits([np.full((4, 4), np.nan)], CONTRAST) is None
    assert drift_limit(rng.normal(0, 1e-4, (50, 50)), CONTRAST) == pytest.approx(CONTRAST / 4)
    assert drift_limit(np.array([[np.nan, 0.3], [-0.3, np.nan]]), CONTRAST) == pytest.approx(0.3)


def test_drift_colours_are_centred_on_zero() -> None:
    axes = panels(scan_report(make_scan(age=60.0)), "Drift")[0]
    low, high = axes.images[0].get_clim()
    assert low == -high
    assert axes.images[0].get_cmap()(0.5)[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)


def test_log_spaced_lags_leave_out_lag_zero_and_gaps() -> None:
    tau = np.arange(2500.0)
    finite = np.ones(2500, bool)
    finite[7] = False
    chosen = log_spaced(tau, finite)
    assert chosen[0] == 1
    assert 7 not in chosen
    assert chosen[-1] == 2499
    assert 25 < chosen.size < 45


# Which q-ROIs are drawn


def test_few_rois_get_a_row_each_and_one_can_be_chosen() -> None:
    scan = make_scan((0.002, 0.004, 0.008))
    assert len(panels(scan_report(scan), "Drift")) == 3
    chosen = scan_report(scan, roi=1)
    assert len(panels(chosen, "Drift")) == 1
    assert "q∥ = 0.0400 1/Å" in text_of(chosen)
    assert "1 of 3 q-ROIs drawn" in text_of(chosen)


def test_of_many_rois_the_most_informative_are_drawn() -> None:
    scan = make_scan(tuple(np.linspace(0.002, 0.02, 7)))
    counts = np.array([0.1, 5.0, 0.2, 4.0, 0.3, 3.0, 2.0])
    scan = replace(scan, two_time=replace(scan.two_time, mean_counts=counts))
    assert np.argsort(-information(scan))[:4].tolist() == [1, 3, 5, 6]
    written = text_of(scan_report(scan))
    assert "4 of 7 q-ROIs drawn" in written
    for name, shown in (("q1:", False), ("q2:", True), ("q4:", True), ("q6:", True), ("q7:", True), ("q3:", False)):
        assert (name in written) is shown


@pytest.mark.parametrize("roi", [-1, 2])
def test_an_absent_roi_is_refused_by_name(roi: int) -> None:
    with pytest.raises(RoiError, match=r"index from 0 to 1; choose one of q1, q2"):
        scan_report(make_scan((0.002, 0.004)), roi=roi)


# Awkward scans still make a page


def test_a_measured_map_without_frames_makes_a_page(shared_data: Path) -> None:
    g2 = np.load(shared_data / "two_time" / "yolkplasma_q0p022_ttc.npy") + 1.0
    figure = scan_report(imported_map(g2))
    drawn = draw(figure)
    written = text_of(figure)
    assert "temperature not recorded" in written
    assert "q not known" in written
    assert "pixels not known · counts not known" in written
    assert "nan" not in written.lower()
    assert drawn[..., :3].std() > 10


def test_no_measure_gives_a_sentence_instead_of_a_panel() -> None:
    figure = scan_report(no_measure(make_scan(), "the map is constant"))
    axes = panels(figure, "Drift")[0]
    assert not axes.images
    assert "No non-equilibrium measure for this q-ROI: the map is constant." in text_of(figure)
    assert "no S_noneq" in text_of(figure)
    assert "nan" not in text_of(figure).lower()


def test_a_roi_without_valid_frames_says_so() -> None:
    scan = no_measure(make_scan(), "no valid frame pair")
    empty = np.full_like(scan.one_time.g2, np.nan)
    scan = replace(
        scan,
        two_time=replace(scan.two_time, g2=np.full_like(scan.two_time.g2, np.nan)),
        one_time=replace(scan.one_time, g2=empty, error=empty),
        fits=(replace(scan.fits[0], rate=np.nan, status="no finite g2"),),
        mean_image=np.full_like(scan.mean_image, np.nan),
    )
    figure = scan_report(scan)
    draw(figure)
    assert text_of(figure).count("nothing to draw") == 3
    assert "60 frames without a photon here" in text_of(figure)


def test_a_failed_fit_is_named_and_draws_no_line() -> None:
    scan = make_scan()
    failed = replace(scan.fits[0], contrast=np.nan, rate=np.nan, baseline=np.nan, status="no decay within the window")
    figure = scan_report(replace(scan, fits=(failed,)))
    draw(figure)
    assert "no fit: no decay within the window" in text_of(figure)
    assert all(one.get_linewidth() < 2 for one in panels(figure, "One-time")[0].lines)


@pytest.mark.parametrize("frames", [4, 7])
def test_a_handful_of_frames_makes_a_page(frames: int) -> None:
    draw(scan_report(make_scan(frames=frames, noise=0.0)))


def test_nothing_is_written_off_the_page_or_over_something_else() -> None:
    scan = make_scan(
        tuple(np.linspace(0.002, 0.02, 3)),
        sample="a sample with a name of one hundred characters, as people at the beamline like to write them $down",
        source="detector file of a scan whose path is long, /somewhere/deep/in/a/tree/of/folders/scan_1_master.h5",
    )
    scan = replace(scan, flags=("a remark that goes on and on " * 12,), rois=replace(scan.rois, names=("n" * 70,) * 3))
    for figure in (scan_report(scan), scan_report(scan, roi=0)):
        draw(figure)
        page = figure.bbox
        boxes = [one.get_window_extent() for one in figure.texts]
        for axes in figure.axes:
            box = axes.get_tightbbox()
            assert box is not None
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
        for number_, box in enumerate(boxes):
            assert page.x0 <= box.x0 < box.x1 <= page.x1
            assert page.y0 <= box.y0 < box.y1 <= page.y1
            assert not any(box.overlaps(other) for other in boxes[:number_]), figure.texts[number_].get_text()


# Temperature


def series() -> list[ScanResult]:
    runs = []
    for order, (temperature, age) in enumerate([(471.0, 60.0), (299.0, None), (421.0, 120.0)]):
        run = make_scan((0.004, 0.008), age=age, temperature=temperature, uid=f"{order}1234567-run")
        truth = {"s_noneq": [0.1 * (order + 1), 0.15 * (order + 1)]}
        runs.append(replace(run, scan=replace(run.scan, truth=truth)))
    return runs


def test_overview_orders_by_temperature_and_shows_the_truth_as_open_markers() -> None:
    runs = series()
    figure = temperature_overview(runs)
    titles = [axes.texts[0].get_text() for axes in figure.axes if axes.images and axes.texts]
    assert titles == ["299 K", "421 K", "471 K"]
    axes = panels(figure, "S_noneq (Eq. 3, noise removed)")[0]
    filled = {tuple(np.round(y_of(one), 9)) for one in axes.lines if one.get_marker() == "o"}
    hollow = [one for one in axes.lines if one.get_markerfacecolor() == "none" and x_of(one).size]
    assert tuple(round(runs[order].nonequilibrium[0].s_noneq, 9) for order in (1, 2, 0)) in filled
    assert len(hollow) == 2
    assert x_of(hollow[0]).tolist() == [299.0, 421.0, 471.0]
    assert y_of(hollow[0]).tolist() == pytest.approx([0.2, 0.3, 0.1])
    amplitude = panels(figure, "Amplitude")[0]
    assert any(
        y_of(one).tolist() == [runs[order].nonequilibrium[1].drift_rms_over_contrast for order in (1, 2, 0)]
        for one in amplitude.lines
    )
    clims = {axes.images[0].get_clim() for axes in figure.axes if axes.images and axes.texts}
    assert len(clims) == 1
    draw(figure)


def test_overview_names_what_it_cannot_place() -> None:
    placed, *_ = series()
    lost = make_scan(temperature=None, uid="feedbeef-run")
    silent = no_measure(make_scan(temperature=350.0, uid="cafecafe-run"), "constant map")
    wrong = make_scan(temperature=310.0, uid="deafdeaf-run", truth={"s_noneq": [0.1, 0.2]})
    figure = temperature_overview([placed, lost, silent, wrong])
    written = text_of(figure)
    draw(figure)
    assert "not placed on the axis: feedbeef." in written
    assert "No S_noneq: cafecafe q1 (constant map)." in written
    assert "does not hold one number per q-ROI: deafdeaf." in written
    assert "3 of 4 scans drawn as maps." in written


def test_overview_without_any_temperature_still_shows_maps() -> None:
    figure = temperature_overview([make_scan(temperature=None)])
    draw(figure)
    assert "No scan with both a temperature and an S_noneq." in text_of(figure)
    assert any(axes.images for axes in figure.axes)


def test_overview_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no analysed scan; needed: at least one"):
        temperature_overview([])


# Keeping figures


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_saved_by_suffix_and_never_over_a_file(tmp_path: Path, suffix: str, start: bytes) -> None:
    figure = temperature_overview([make_scan(frames=12)])
    path = tmp_path / f"scan{suffix}"
    assert save(figure, path) == path
    first = path.read_bytes()
    assert first.startswith(start)
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        save(figure, path)
    assert path.read_bytes() == b"mine"
    save(figure, path, overwrite=True)
    assert path.read_bytes().startswith(start)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_of_many_writers_exactly_one_gets_the_name(tmp_path: Path) -> None:
    figures = [temperature_overview([make_scan(frames=8)]) for _ in range(4)]

    def attempt(figure: Figure) -> bool:
        try:
            save(figure, tmp_path / "one.png")
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, figures)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["one.png"]


@pytest.mark.parametrize(
    ("name", "said"), [("scan.jpg", r"'\.jpg'; needed: a name ending in \.png"), ("no/scan.png", "No such file")]
)
def test_a_name_that_cannot_be_written_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        save(scan_report(make_scan(frames=8)), tmp_path / name)
    assert not list(tmp_path.iterdir())


# Good citizens


def test_threads_draw_the_same_page_and_settings_stay() -> None:
    before = dict(mpl.rcParams)
    scan = make_scan(frames=30)
    alone = draw(scan_report(scan))
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda _: draw(scan_report(scan)), range(4)))
    assert all(np.array_equal(alone, page) for page in pages)
    assert dict(mpl.rcParams) == before


def test_drawing_and_saving_load_no_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys; from test_figures import make_scan; from gbx_beamline.figures import save, scan_report; "
        f"save(scan_report(make_scan(frames=8)), {str(tmp_path / 'scan.pdf')!r}); "
        "print([m for m in ('matplotlib.pyplot', 'tiled', 'torch', 'prefect') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert done.stdout.strip() == "[]"


# Words


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.353, "0.353"), (2400, "2400"), (1.97, "1.97"), (0.0, "0.00"), (3e-7, "3.00·10⁻⁷"), (np.nan, "not measured")],
)
def test_numbers_as_people_say_them(value: float, said: str) -> None:
    assert number(value) == said


def test_log_axes_read_as_plain_numbers() -> None:
    assert [power_of_ten(value) for value in (0.01, 1.0, 500.0, 1e4, 2e-5)] == ["0.01", "1", "500", "10⁴", "2·10⁻⁵"]


def test_values_are_rounded_where_their_error_begins() -> None:
    assert with_error(251.37, 3.14) == "251.4 (error at least 3.1)"
    assert with_error(251.37, 31.4) == "251 (error at least 31)"
    assert with_error(12345.0, 314.0) == "12340 (error at least 310)"
    assert with_error(0.5, None) == "0.500"
