"""Figures of an ensemble: medians are of the members that are there, examples span S_noneq, and numbers go along."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import zarr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gbx_beamline import cli
from gbx_beamline.cli import _figures
from gbx_beamline.config import SimulationConfig, parse_config
from gbx_beamline.errors import InputError, RoiError
from gbx_beamline.figures import simulation
from gbx_beamline.figures._simulation_bins import FEWEST, binned, bins_for, edges_of
from gbx_beamline.figures._simulation_examples import age_cuts, examples_of
from gbx_beamline.figures.simulation import (
    FILES,
    EnsembleView,
    examples_page,
    phase_page,
    read_ensemble,
    save_simulation_figures,
)
from gbx_beamline.simulation.ensemble import simulate_ensemble

PAPER = SimulationConfig(mode="paper", members=60, size=24, batch=30)
MEASURED = parse_config(
    {"simulation": {"members": 12, "size": 16, "measurement": {"frames": 64, "q_par": [0.04, 0.045, 0.05]}}}
).simulation


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_ensemble(PAPER, tmp_path_factory.mktemp("paper"), workers=1).path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_ensemble(MEASURED, tmp_path_factory.mktemp("measured"), workers=1).path


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "parameters.parquet")


def changed(folder: Path, place: Path, **columns: Any) -> Path:
    """A copy of an ensemble with other values in some columns of its table."""
    shutil.copytree(folder, place)
    rows_of(folder).assign(**columns).to_parquet(place / "parameters.parquet")
    return place


def text_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def meshes(figure: Figure) -> list[tuple[Axes, QuadMesh]]:
    """Panels with bins, upper row before lower row within each column; colour bars hold a mesh too, but one row."""
    found = [(axes, one) for axes in figure.axes for one in axes.collections if isinstance(one, QuadMesh)]
    return [(axes, one) for axes, one in found if cast(Any, one.get_array()).ndim == 2 and axes.get_xlabel()]


# Bins


def test_bins_hold_every_member_once_and_their_quartiles() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0.0, 1.0, 90), np.exp(rng.uniform(0.0, 6.0, 90))
    measure = rng.random(90)
    across, up = edges_of(x, 5, scale_free=False), edges_of(y, 5, scale_free=True)
    found = binned(x, y, {"s": measure}, across, up)
    assert found.members.sum() == 90
    assert (found.members == 0).any(), "the case needs an empty bin"
    alone = np.zeros(90, dtype=bool)
    for row, column in np.ndindex(5, 5):
        low_x, high_x = across.values[column : column + 2]
        low_y, high_y = up.values[row : row + 2]
        inside = (x >= low_x) & ((x < high_x) | (column == 4)) & (y >= low_y) & ((y < high_y) | (row == 4))
        assert found.members[row, column] == inside.sum()
        drawn = found.drawn_medians("s")[row, column]
        if inside.any():
            assert found.quartiles["s"][:, row, column] == pytest.approx(
                np.quantile(measure[inside], (0.25, 0.5, 0.75))
            )
        else:
            assert np.isnan(found.quartiles["s"][:, row, column]).all()
        if inside.sum() < FEWEST:
            assert np.isnan(drawn)
            alone |= inside
        else:
            assert drawn == pytest.approx(np.median(measure[inside]))
    assert np.array_equal(found.alone, alone)


def test_only_scale_free_parameters_over_more_than_a_decade_are_logarithmic() -> None:
    wide, narrow = np.array([3e-24, 3e-21]), np.array([1e18, 6e18])
    assert edges_of(wide, 3, scale_free=True).values == pytest.approx([3e-24, 3e-23, 3e-22, 3e-21])
    assert edges_of(narrow, 5, scale_free=True).values == pytest.approx(np.linspace(1e18, 6e18, 6))
    assert not edges_of(np.array([0.001, 0.5]), 3, scale_free=False).logarithmic
    assert not edges_of(np.array([0.0, 1.0]), 3, scale_free=True).logarithmic


@pytest.mark.parametrize("value", [0.0, 4e18])
def test_a_parameter_with_one_value_still_has_bins(value: float) -> None:
    edges = edges_of(np.full(3, value), 3, scale_free=True)
    assert (np.diff(edges.values) > 0).all()
    assert edges.places(np.full(3, value)).tolist() == [1, 1, 1]


def test_bins_grow_in_number_with_the_members() -> None:
    assert [bins_for(members) for members in (1, 72, 400, 100_000)] == [3, 3, 7, 12]


# Examples


def test_cuts_start_at_their_ages_and_leave_nan_out() -> None:
    """g2 = 1 + a * earlier time + b * lag has the same cut in each row, lifted by the row's age."""
    cells, cell = 60, 2.0
    t = np.arange(cells) * cell
    g2 = 1.0 + 1e-3 * np.minimum.outer(t, t) + 1e-4 * np.abs(np.subtract.outer(t, t))
    g2[1], g2[:, 1] = np.nan, np.nan
    cuts = age_cuts(g2, cell)
    assert [cut.age for cut in cuts] == [3.0, 27.0, 51.0, 75.0, 99.0]
    for first, cut in zip((0, 12, 24, 36, 48), cuts, strict=True):
        assert cut.tau[0] == cell
        # Three rows; that of frame 1 is missing from the first cut, and so are the pairs with frame 1.
        rows = np.array([0, 2]) if first == 0 else first + np.arange(3)
        last = len(cut.tau) - 1
        assert cut.g2[last] == pytest.approx(1.0 + 1e-3 * cell * rows.mean() + 1e-4 * cut.tau[last])
    assert np.isfinite(cuts[0].g2).all()


def test_examples_go_from_nearly_stationary_to_far_from_it(paper: Path) -> None:
    examples = examples_of(read_ensemble(paper))
    norm = rows_of(paper)["s_noneq_norm"].to_numpy()
    below = [float((norm < example.values["s_noneq_norm"]).mean()) for example in examples]
    assert below == pytest.approx([0.1, 0.5, 0.75, 0.95], abs=0.02)
    assert [example.share_below for example in examples] == pytest.approx(below)
    maps = zarr.open_array(paper / "maps.zarr" / "maps", mode="r")
    for example in examples:
        assert np.array_equal(example.g2, np.asarray(maps[example.member]))
        # Eq. 1-3 written out, the diagonal left out.
        lag = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
        baseline = np.array([np.diagonal(example.g2, k).mean(dtype=np.float64) for k in range(24)])
        assert example.baseline.g2 == pytest.approx(baseline[1:], abs=1e-7)
        off = lag > 0
        g2 = example.g2.astype(np.float64)
        share = ((g2 - baseline[lag])[off] ** 2).mean() / g2[off].var()
        assert example.values["s_noneq"] == pytest.approx(share, rel=2e-3, abs=1e-6)


def test_a_tiny_ensemble_has_fewer_examples(tmp_path: Path) -> None:
    folder = simulate_ensemble(PAPER.with_choices(members=2), tmp_path / "two", workers=1).path
    ensemble = read_ensemble(folder)
    examples = examples_of(ensemble)
    assert sorted(example.member for example in examples) == [0, 1]
    assert_on_page(phase_page(ensemble))
    assert_on_page(examples_page(ensemble, examples))


# Pages


def assert_on_page(figure: Figure) -> None:
    """Everything lies on the page, and no panel, scale, title or note on another one."""
    cast(FigureCanvasAgg, figure.canvas).draw()
    page = figure.bbox
    boxes = [(one.get_text(), one.get_window_extent()) for one in figure.texts]
    boxes += [("panel", axes.get_window_extent()) for axes in figure.axes]
    seconds = [child for axes in figure.axes for child in axes.child_axes]
    for axes in (*figure.axes, *seconds):
        for axis in (axes.xaxis, axes.yaxis):
            box = axis.get_tightbbox(cast(FigureCanvasAgg, figure.canvas).get_renderer())
            if box is not None:
                boxes.append((axis.get_label_text() or "scale", box))
    for name, box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1, name
        assert page.y0 <= box.y0 < box.y1 <= page.y1, name
    for place, (name, box) in enumerate(boxes):
        for other, one in boxes[:place]:
            assert not box.overlaps(one), f"{name} lies on {other}"


def test_phase_maps_draw_medians_dots_and_counts(paper: Path) -> None:
    ensemble = read_ensemble(paper)
    figure = phase_page(ensemble)
    assert_on_page(figure)
    panels = meshes(figure)
    assert len(panels) == 6
    rows = rows_of(paper)
    for (axes, mesh), (x, y), measure in zip(
        panels,
        (("diffusivity", "gamma"), ("gb_fraction", "diffusivity")) * 3,
        ("s_noneq_norm", "s_noneq_norm", "s_noneq", "s_noneq", None, None),
        strict=True,
    ):
        scale_free = ("diffusivity", "gamma")
        edges = [edges_of(rows[name].to_numpy(), 3, scale_free=name in scale_free) for name in (x, y)]
        found = binned(rows[x].to_numpy(), rows[y].to_numpy(), {"s": rows[measure or "s_noneq"].to_numpy()}, *edges)
        drawn: Any = mesh.get_array()
        expected = found.drawn_medians("s") if measure else np.where(found.members > 0, found.members, np.nan)
        assert np.ma.filled(drawn.astype(float), np.nan) == pytest.approx(expected, nan_ok=True)
        dots = [one for one in axes.collections if isinstance(one, PathCollection)]
        if measure:
            assert len(np.asarray(dots[0].get_offsets())) == found.alone.sum()
        else:
            assert [text.get_text() for text in axes.texts] == [str(count) for count in found.members.ravel()]
    assert {axes.get_xlabel() for axes, _ in panels} == {"D (m²/s)", "λ_GB"}
    assert {axes.get_ylabel() for axes, _ in panels} == {"GB friction γ = 1/M (10¹⁸ J s m⁻⁴)", "D (m²/s)"}
    seconds = [child for axes in figure.axes for child in axes.child_axes]
    assert len(seconds) == 4
    diffusivity = rows["diffusivity"]
    assert seconds[0].get_xlim() == pytest.approx((diffusivity.min() * 1e20, diffusivity.max() * 1e20), rel=1e-6)
    said = text_of(figure)
    for word in ("√S_noneq, a ratio of norms", "S_noneq, a share of variance", "All members share one noise"):
        assert word in said


def test_examples_page_shows_maps_cuts_and_the_baseline(paper: Path) -> None:
    ensemble = read_ensemble(paper)
    examples = examples_of(ensemble)
    figure = examples_page(ensemble, examples)
    assert_on_page(figure)
    maps = [axes for axes in figure.axes if axes.images]
    cuts = [axes for axes in figure.axes if axes.get_xlabel() == "lag τ (s)"]
    assert len(maps) == len(cuts) == 4
    for example, one, below in zip(examples, maps, cuts, strict=True):
        assert np.asarray(one.images[0].get_array()) == pytest.approx(example.g2.T)
        assert one.images[0].get_extent() == [0.0, 2500.0, 0.0, 2500.0]
        assert len(below.lines) == 6
        assert np.asarray(below.lines[-1].get_ydata()) == pytest.approx(example.baseline.g2)
    legend = cuts[-1].get_legend()
    assert legend is not None
    assert legend.get_texts()[-1].get_text() == "all ages (Eq. 1)"


def test_members_without_a_measure_are_counted_and_left_out(paper: Path, tmp_path: Path) -> None:
    share = rows_of(paper)["s_noneq"].to_numpy().copy()
    share[[3, 8]] = np.nan
    ensemble = read_ensemble(changed(paper, tmp_path / "gaps", s_noneq=share))
    assert len(ensemble.members) == 58
    assert not {3, 8} & set(ensemble.members.tolist())
    assert "2 members left out: their maps have no S_noneq." in text_of(phase_page(ensemble))


def test_of_several_q_rois_the_middle_one_is_drawn_or_the_one_asked_for(measured: Path) -> None:
    ensemble = read_ensemble(measured)
    assert (ensemble.roi, ensemble.rois, ensemble.q) == (1, 3, pytest.approx(4.5e8))
    assert np.array_equal(ensemble.values["s_noneq"], rows_of(measured)["s_noneq_2"])
    last = read_ensemble(measured, roi=2)
    maps = cast(NDArray[np.float32], np.asarray(zarr.open_array(measured / "maps.zarr" / "maps", mode="r")[4]))
    np.testing.assert_array_equal(last.g2(4), maps[2])
    figure = phase_page(ensemble)
    assert_on_page(figure)
    assert "q-ROI 2 of 3" in text_of(figure)
    assert "photon and speckle noise" in text_of(figure)
    assert_on_page(examples_page(ensemble, examples_of(ensemble)))
    with pytest.raises(RoiError, match="needed: an index from 0 to 2"):
        read_ensemble(measured, roi=3)


# Files


def test_numbers_lie_beside_the_pictures(paper: Path, tmp_path: Path) -> None:
    ensemble = read_ensemble(paper)
    paths = save_simulation_figures(ensemble, tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(FILES)
    assert [path.name for path in paths] == list(FILES)
    rows: Any = rows_of(paper)
    plane = pd.read_csv(tmp_path / "made" / "phase_maps_gamma_over_diffusivity.csv")
    assert plane["members"].sum() == len(rows)
    for one in plane[plane["members"] > 0].itertuples(index=False):
        d_low, d_high, gamma_low, gamma_high, members, _, median = one[:7]
        # The ends of the range lie on borders that were computed, so they may round to either side.
        inside = rows["diffusivity"].between(d_low * (1 - 1e-12), d_high * (1 + 1e-12)) & rows["gamma"].between(
            gamma_low * (1 - 1e-12), gamma_high * (1 + 1e-12)
        )
        assert inside.sum() == members
        assert median == pytest.approx(rows["s_noneq_norm"][inside].median())
    examples = pd.read_csv(tmp_path / "made" / "examples.csv")
    assert examples["s_noneq"].to_numpy() == pytest.approx(rows["s_noneq"][examples["member"]].to_numpy())
    assert examples["s_noneq_norm"].is_monotonic_increasing
    cuts: Any = pd.read_csv(tmp_path / "made" / "examples_cuts.csv")
    assert set(cuts["curve"]) == {"cut", "baseline"}
    assert cuts["age_s"].isna().equals(cuts["curve"] == "baseline")
    with np.load(tmp_path / "made" / "examples_maps.npz") as arrays:
        assert np.array_equal(arrays["member"], examples["member"])
        one = cuts[(cuts["member"] == arrays["member"][1]) & (cuts["curve"] == "baseline")]
        expected = [np.diagonal(arrays["g2"][1], lag).mean(dtype=np.float64) for lag in range(1, 24)]
        assert one["g2"].to_numpy() == pytest.approx(expected, abs=1e-7)
        assert one["tau_s"].iloc[0] == pytest.approx(float(arrays["cell_s"]))


def test_nothing_is_drawn_over_a_file(paper: Path, tmp_path: Path) -> None:
    (tmp_path / "examples_cuts.csv").write_text("mine")
    ensemble = read_ensemble(paper)
    with pytest.raises(InputError, match=r"examples_cuts\.csv exists already"):
        save_simulation_figures(ensemble, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["examples_cuts.csv"]
    save_simulation_figures(ensemble, tmp_path, overwrite=True)
    assert (tmp_path / "examples_cuts.csv").read_text().startswith("member,curve,age_s,tau_s,g2\n")


def test_what_is_no_whole_ensemble_is_refused(paper: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no ensemble; needed: a folder that `gbx simulate` has filled"):
        read_ensemble(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(paper, broken)
    (broken / "parameters.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"parameters\.parquet cannot be read"):
        read_ensemble(broken)
    (broken / "parameters.parquet").unlink()
    with pytest.raises(InputError, match=r"not finished; .* it goes on where it stopped"):
        read_ensemble(broken)


def test_lost_maps_are_named(paper: Path, tmp_path: Path) -> None:
    shutil.copytree(paper, tmp_path / "lost")
    ensemble = read_ensemble(tmp_path / "lost")
    shutil.rmtree(tmp_path / "lost" / "maps.zarr")
    with pytest.raises(InputError, match=r"maps\.zarr/maps cannot be read"):
        ensemble.g2(0)


def test_an_ensemble_without_any_measure_is_refused(paper: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the 60 members"):
        read_ensemble(changed(paper, tmp_path / "none", s_noneq=np.nan))


# Command line


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["gbx", *map(str, arguments)])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets it; this puts it back
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_command_draws_an_ensemble(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("figures", "simulation", "--ensemble", measured, "--out", tmp_path / "made")
    assert run(monkeypatch, *command, "--roi", "4") == 2
    assert "--roi 4" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert run(monkeypatch, *command, "--roi", "3") == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "made" / name) for name in FILES]
    assert run(monkeypatch, *command) == 2
    assert "replace it with --overwrite" in capsys.readouterr().err


def test_command_without_an_ensemble_simulates_one_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_figures, "_QUICK", PAPER.with_choices(members=12))
    drawn: list[EnsembleView] = []
    monkeypatch.setattr(simulation, "save_simulation_figures", lambda found, *_, **__: drawn.append(found) or [])
    for said in (f"{tmp_path / 'ensemble'}: 12 members in", ""):
        assert run(monkeypatch, "figures", "simulation", "--out", tmp_path) == 0
        out = capsys.readouterr().out
        assert out.startswith(said)
        assert bool(out) == bool(said)
    assert [(found.path, len(found.members)) for found in drawn] == [(tmp_path / "ensemble", 12)] * 2
