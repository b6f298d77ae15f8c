"""The map of features: the same for the same seed, kept without pickle, and new scans placed where UMAP puts them."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning._embedding_places import geometric_median, smooth_weights
from gbx_beamline.learning.embedding import Embedding, find_embedding, fit_embedding, picture_of

pytest.importorskip("safetensors")

WIDTH = 40


def scans(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    """(count, WIDTH) features that depend on three parameters, with noise; ``shift`` makes another kind of scan."""
    fixed = np.random.default_rng(5)
    first, second = fixed.normal(size=(3, 24)) * 1.5, fixed.normal(size=(24, WIDTH)) / 5
    rng = np.random.default_rng(seed)
    parameters = rng.uniform(-1, 1, (count, 3))
    return np.tanh(np.tanh(parameters @ first + shift) @ second) + 0.05 * rng.normal(size=(count, WIDTH))


def small_map(points: int = 60, neighbours: int = 5) -> Embedding:
    """A map without UMAP: the coordinates are the first two features."""
    features = np.random.default_rng(0).normal(size=(points, 3)).astype(np.float32)
    return Embedding(
        coordinates=features[:, :2].copy(),
        kind=np.zeros(points, np.uint8),
        columns={"log10_diffusivity": np.linspace(-24, -20, points, dtype=np.float32)},
        points=features,
        centre=np.zeros(3, np.float32),
        projection=np.eye(3, dtype=np.float32),
        spacing=0.5,
        neighbours=neighbours,
        seed=1,
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[Embedding, NDArray[np.float64]]:
    """A map of simulations and experiments, and the features that it was fitted to."""
    features = np.concatenate([scans(900, 1), scans(200, 2, shift=1.5)])
    kind = np.repeat([0, 1], [900, 200])
    return fit_embedding(features, kind=kind, columns={"first": features[:, 0]}, seed=3), features


def test_new_scans_are_placed_where_umap_would_put_them(fitted: tuple[Embedding, NDArray[np.float64]]) -> None:
    embedding, _features = fitted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP
    umap = UMAP(n_neighbors=15, random_state=3, n_jobs=1).fit(embedding.points)
    np.testing.assert_array_equal(umap.embedding_, embedding.coordinates, "the same seed gives the same map")
    new = np.concatenate([scans(100, 11), scans(40, 12, shift=1.5)])
    expected = umap.transform(((new - embedding.centre) @ embedding.projection).astype(np.float32))
    away = np.linalg.norm(embedding.place(new).coordinates - expected, axis=1) / embedding.size
    assert np.median(away) < 0.03
    assert np.quantile(away, 0.9) < 0.1


def test_the_map_s_own_scans_stay_about_where_they_are(fitted: tuple[Embedding, NDArray[np.float64]]) -> None:
    embedding, features = fitted
    away = np.linalg.norm(embedding.place(features).coordinates - embedding.coordinates, axis=1) / embedding.size
    assert np.median(away) < 0.03
    assert embedding.kind.tolist() == [0] * 900 + [1] * 200
    np.testing.assert_array_equal(embedding.columns["first"], features[:, 0].astype(np.float32))


def test_kinds_of_scans_lie_apart_as_their_features_do(fitted: tuple[Embedding, NDArray[np.float64]]) -> None:
    embedding, _features = fitted
    new = embedding.place(np.concatenate([scans(60, 21), scans(60, 22, shift=1.5)])).coordinates
    distance = np.linalg.norm(new[:, None] - embedding.coordinates, axis=2)
    neighbour = embedding.kind[distance.argmin(axis=1)]
    assert (neighbour[60:] == 1).mean() > 0.9
    assert (neighbour[:60] == 0).mean() > 0.9


def test_what_the_map_does_not_know_is_remote(fitted: tuple[Embedding, NDArray[np.float64]]) -> None:
    embedding, _features = fitted
    known, unknown = embedding.place(scans(50, 31)), embedding.place(-5.0 * scans(50, 31, shift=3.0))
    assert 0.5 < np.median(known.remoteness) < 2.0
    assert unknown.remoteness.min() > 5.0
    assert np.isfinite(unknown.coordinates).all()
    low, high = embedding.coordinates.min(axis=0), embedding.coordinates.max(axis=0)
    assert ((unknown.coordinates >= low) & (unknown.coordinates <= high)).all(), "no picture has to be widened"


def test_a_map_comes_back_from_its_files(fitted: tuple[Embedding, NDArray[np.float64]], tmp_path: Path) -> None:
    embedding, features = fitted
    embedding.save(tmp_path / "map")
    assert sorted(path.name for path in (tmp_path / "map").iterdir()) == ["embedding.json", "embedding.safetensors"]
    found = Embedding.load(tmp_path / "map")
    assert found.settings() == embedding.settings()
    for name, values in embedding.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], values)
    np.testing.assert_array_equal(found.place(features).coordinates, embedding.place(features).coordinates)


def test_the_first_map_there_is_is_found(tmp_path: Path) -> None:
    mine, came_with = tmp_path / "mine", tmp_path / "came"
    assert find_embedding((mine, came_with)) is None
    small_map(40).save(came_with)
    found = find_embedding((mine, came_with))
    assert found is not None
    assert len(found.points) == 40
    small_map(50).save(mine)
    found = find_embedding((mine, came_with))
    assert found is not None
    assert len(found.points) == 50


def test_experiments_are_kept_where_only_some_scans_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from gbx_beamline.learning import embedding as module

    monkeypatch.setattr(module, "_umap", lambda points, neighbours, seed: points[:, :2].copy())
    features = np.concatenate([scans(300, 1), scans(30, 2)])
    kind = np.repeat([0, 1], [300, 30])
    number = np.arange(330.0)
    found, again = (fit_embedding(features, kind=kind, columns={"number": number}, most=100) for _ in range(2))
    assert found.points.shape == (100, 32)
    assert found.kind.sum() == 30
    np.testing.assert_array_equal(found.columns["number"], again.columns["number"])
    assert not np.array_equal(
        found.columns["number"],
        fit_embedding(features, kind=kind, columns={"number": number}, most=100, seed=1).columns["number"],
    )


def test_a_scan_is_placed_in_milliseconds_without_umap(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(2000, 32)).astype(np.float32)
    large = Embedding(
        coordinates=features[:, :2].copy(),
        kind=np.zeros(2000, np.uint8),
        points=features,
        centre=np.zeros(160, np.float32),
        projection=np.random.default_rng(1).normal(size=(160, 32)).astype(np.float32),
        spacing=1.0,
        neighbours=15,
        seed=0,
    )
    scan = np.random.default_rng(2).normal(size=160)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        large.place(scan)
        times.append(time.perf_counter() - begun)
    assert min(times) < 5e-3
    large.save(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 400_000
    code = f"""
import sys
from pathlib import Path
import numpy as np
from gbx_beamline.learning.embedding import Embedding
Embedding.load(Path({str(tmp_path)!r})).place(np.zeros(160))
assert not {{"umap", "numba", "torch", "sklearn"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_are_those_of_umap() -> None:
    distances = np.sort(np.random.default_rng(0).uniform(1, 3, (20, 15)), axis=1)
    weights = smooth_weights(distances)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    # exp(-(d - rho) / sigma) adds up to log2(k), and the nearest one counts 1.
    np.testing.assert_allclose(weights[:, 0] * np.log2(15), 1.0, rtol=1e-6)
    slopes = np.log(weights[:, :1] / weights[:, 1:]) / (distances[:, 1:] - distances[:, :1])
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[:, :1], slopes.shape), rtol=1e-6)
    np.testing.assert_allclose(smooth_weights(np.full((1, 4), 2.0)), 0.25)
    np.testing.assert_allclose(smooth_weights(np.array([[0.0, 0.0, 0.0, 0.0, 5.0]]))[0, :4], 0.25, atol=0.02)


def test_the_geometric_median_is_robust_and_exact_where_it_is_known() -> None:
    # Of a triangle's corners with no angle above 120 degrees it is the Fermat point; of an equilateral one the centre.
    corners = np.array([[[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]]])
    np.testing.assert_allclose(
        geometric_median(corners, np.full((1, 3), 1 / 3), 1e-6), [[0.5, np.sqrt(3) / 6]], atol=1e-6
    )
    # More than half of the weight in one place: the median is that place, the mean lies in between.
    islands = np.array([[[0.0, 0.0], [0.0, 0.0], [10.0, 0.0]]])
    np.testing.assert_allclose(geometric_median(islands, np.array([[0.4, 0.3, 0.3]]), 1e-3), [[0.0, 0.0]], atol=0.05)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.zeros((2, 4)), r"features of shape \(2, 4\); needed: \(m, 3\)"),
        (np.zeros((1, 2, 3)), r"features of shape \(1, 2, 3\)"),
        ([0.0, np.nan, np.inf], "2 features that are not finite"),
    ],
)
def test_features_of_another_model_are_refused(features: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        small_map().place(features)


@pytest.mark.parametrize(
    ("features", "options", "said"),
    [
        (np.zeros((20, 4)), {}, "more than 30 scans"),
        (np.ones((50, 4)), {}, "with the same features"),
        (np.r_[np.full((40, 2), 1.0), np.arange(20.0).reshape(10, 2)], {}, "most have the same features"),
        (np.full((50, 4), np.nan), {}, "200 features that are not finite"),
        (np.zeros(50), {}, r"features of shape \(50,\)"),
        (np.zeros((50, 4)), {"kind": np.zeros(49)}, r"kind of shape \(49,\); needed: \(50,\)"),
        (np.zeros((50, 4)), {"kind": np.full(50, 7)}, "a kind 7; needed: 0 to 1"),
        (np.zeros((50, 4)), {"columns": {"d": np.zeros(3)}}, r"d of shape \(3,\)"),
    ],
)
def test_scans_that_make_no_map_are_refused(features: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_embedding(features, **options)


@pytest.mark.parametrize(
    ("changed", "lost", "said"),
    [
        ({"version": 9}, None, "an embedding of version 9; needed: version 1"),
        ({"columns": ["absent"]}, None, r"without 'column\.absent'"),
        ({"columns": 7}, None, r"says something else \('int' object"),
        ({"spacing": "wide"}, None, "finite parts that fit together"),
        ({"neighbours": 10**9}, None, "finite parts that fit together"),
        ({}, "projection", "without 'projection'"),
    ],
)
def test_files_of_another_version_are_refused(changed: dict[str, Any], lost: str | None, said: str) -> None:
    arrays, settings = small_map().arrays(), small_map().settings() | changed
    with pytest.raises(InputError, match=said):
        Embedding.of({name: array for name, array in arrays.items() if name != lost}, settings)


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    arrays, settings = small_map().arrays(), small_map().settings()
    with pytest.raises(InputError, match="parts that fit together"):
        Embedding.of(arrays | {"points": arrays["points"][:5]}, settings)
    with pytest.raises(InputError, match="finite parts"):
        Embedding.of(arrays | {"centre": arrays["centre"] * np.nan}, settings)
    with pytest.raises(InputError, match=r"embedding\.safetensors: No such file"):
        Embedding.load(tmp_path)
    (tmp_path / "embedding.safetensors").write_bytes(b"\x80\x04N.")
    with pytest.raises(InputError, match="holds no arrays"):
        Embedding.load(tmp_path)


@pytest.mark.parametrize("endless", ["/dev/zero", "embedding.safetensors", "a sparse file"])
def test_a_file_without_an_end_is_not_read(tmp_path: Path, endless: str) -> None:
    small_map().save(tmp_path)
    arrays = tmp_path / "embedding.safetensors"
    arrays.unlink()
    if endless == "a sparse file":
        with arrays.open("wb") as file:
            file.truncate(2**40)
    else:
        arrays.symlink_to(endless)
    with pytest.raises(InputError, match=r"outside of its folder|in a circle|more than 268,435,456 bytes"):
        Embedding.load(tmp_path)


def test_a_picture_that_does_not_fit_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small_map().save(tmp_path / "three")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "embedding.json").write_text("{")
    found = picture_of([tmp_path / "none", tmp_path / "three"], 3)
    assert found is not None
    here = found.place_of(found.points[7])
    np.testing.assert_allclose((here.x, here.y), found.coordinates[7], atol=0.05)
    assert here.remoteness == 0.0
    assert picture_of([tmp_path / "none"], 3) is None
    assert not caplog.records
    assert picture_of([tmp_path / "three"], 160) is None
    assert picture_of([tmp_path / "broken"], 3) is None
    assert ["it has 3 features, the model 160" in one.message for one in caplog.records] == [True, False]
