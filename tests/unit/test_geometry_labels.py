"""q-ROIs from a label image: of an array, a file or the catalog."""

from __future__ import annotations

import re

import numpy as np
import pytest

import gbx_beamline as gbx
from gbx_beamline.config import RoiConfig
from gbx_beamline.errors import GeometryError, RoiError, RunNotFoundError
from gbx_beamline.geometry import rois_from_config
from gbx_beamline.records import Geometry

SAXS = Geometry(
    shape=(40, 50),
    beam_center_x=24.0,
    beam_center_y=20.0,
    distance=10.08,
    wavelength=1.285e-10,
    pixel_size_x=750e-6,
    pixel_size_y=750e-6,
)


@pytest.fixture
def drawn() -> np.ndarray:
    return gbx.q_rois(SAXS, rings=[{"q": (0.001, 0.003)}, {"q": (0.003, 0.005)}]).labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_labels_come_back_as_they_went(drawn, dtype):
    rings = gbx.q_rois(SAXS, rings=[{"q": (0.001, 0.003)}, {"q": (0.003, 0.005)}])
    rois = gbx.q_rois(SAXS, labels=drawn.astype(dtype))
    np.testing.assert_array_equal(rois.labels, drawn)
    assert rois.labels.dtype == np.int32
    assert rois.names == ("label 1", "label 2")
    np.testing.assert_array_equal(rois.q_par, rings.q_par)
    assert gbx.q_rois(SAXS, labels=drawn, names=["inner", "outer"]).names == ("inner", "outer")


def test_labels_work_without_a_geometry_and_then_tell_no_q(drawn):
    rois = gbx.q_rois(Geometry(shape=SAXS.shape), labels=drawn)
    assert np.isnan(rois.q_par).all()
    assert np.isnan(rois.q_z).all()
    assert rois.flags == ((), ())
    with pytest.raises(GeometryError, match="wavelength = nan is impossible"):
        gbx.q_rois(Geometry(shape=SAXS.shape, wavelength=float("nan")), labels=drawn)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda image: image[:-1], "a label image of shape (39, 50); needed: one label per pixel of a frame, (40, 50)"),
        (lambda image: image.T, "shape (50, 40); it looks transposed; needed: one label per pixel"),
        (lambda image: image.astype(float), "a label image of type float64; needed: integers"),
        (lambda image: image > 0, "a label image of type bool; needed: integers"),
        (lambda image: image - 1, "a label image with negative numbers, down to -1"),
        (lambda image: image * 0, "a label image without any label above 0"),
        (
            lambda image: np.where(image == 2, 4, image),
            "labels up to 4 in which 2, 3 are absent; needed: the numbers 1..Q",
        ),
        (lambda image: image + (image == 2), "labels up to 3 in which 2 is absent"),
        (
            lambda image: np.where(image == 2, 65535, image),
            "labels up to 65535 in which 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 65523 more are absent",
        ),
    ],
)
def test_a_misdrawn_label_image_is_refused(drawn, change, text):
    with pytest.raises(RoiError, match=re.escape(text)):
        gbx.q_rois(SAXS, labels=change(drawn))


def test_files_are_read(tmp_path, drawn):
    np.save(tmp_path / "one.npy", drawn)
    np.savez(tmp_path / "single.npz", anything=drawn)
    np.savez(tmp_path / "several.npz", labels=drawn, q=np.arange(3))
    for name in ("one.npy", "single.npz", "several.npz"):
        rois = rois_from_config(SAXS, RoiConfig(labels=tmp_path / name))
        np.testing.assert_array_equal(rois.labels, drawn)


def test_files_that_cannot_be_read_are_named(tmp_path, drawn):
    np.savez(tmp_path / "unclear.npz", a=drawn, b=drawn)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "whole.npy", drawn)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:500])
    np.savez(tmp_path / "whole.npz", drawn)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("1 2 3")
    for name, text in {
        "absent.npy": "label image .*absent.npy: No such file or directory; .*check the path",
        "unclear.npz": "unclear.npz holds a, b; needed: .*.npz file with .labels.",
        "objects.npy": "objects.npy is no NumPy file",
        "cut.npy": "cut.npy is no NumPy file",
        "cut.npz": "cut.npz is no NumPy file",
        "empty.npy": "empty.npy is no NumPy file",
        "text.npy": "text.npy is no NumPy file",
    }.items():
        with pytest.raises(RoiError, match=text):
            rois_from_config(SAXS, RoiConfig(labels=tmp_path / name))


def test_the_catalog_is_asked_for_the_configured_path(drawn):
    config = RoiConfig(catalog_labels="sandbox/rois/si_421K")
    arrays = {"sandbox/rois/si_421K": drawn}
    rois = rois_from_config(SAXS, config, read_catalog_array=arrays.__getitem__)
    np.testing.assert_array_equal(rois.labels, drawn)
    with pytest.raises(RoiError, match=r"'sandbox/rois/si_421K' lies in the catalog, and no catalog is open; .*uri"):
        rois_from_config(SAXS, config)


def test_a_failure_of_the_catalog_is_passed_on():
    def refuse(path: str) -> np.ndarray:
        raise RunNotFoundError(f"no {path}", needed="an array", action="look")

    with pytest.raises(RunNotFoundError, match="no gone"):
        rois_from_config(SAXS, RoiConfig(catalog_labels="gone"), read_catalog_array=refuse)
