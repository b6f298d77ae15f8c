"""q-ROIs from boxes, rings and sectors: which pixels, which q, which names, and every refusal."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import gbx_beamline as gbx
from gbx_beamline.config import QBox, QRing, RoiConfig
from gbx_beamline.errors import GeometryError, RoiError, UnitError
from gbx_beamline.geometry import q_maps, rois_from_config
from gbx_beamline.records import Geometry

# A detector of CHX's width with pixels ten times as large.
GISAXS = Geometry(
    shape=(216, 207),
    mode="gisaxs",
    beam_center_x=103.0,
    beam_center_y=20.0,
    distance=10.08,
    wavelength=1.285e-10,
    pixel_size_x=750e-6,
    pixel_size_y=750e-6,
    incidence=math.radians(0.25),
)
SAXS = GISAXS.with_changes(mode="transmission", beam_center_y=108.0)


def test_a_box_holds_the_pixels_between_its_edges_and_reports_their_mean_q():
    rois = gbx.q_rois(GISAXS, boxes=[((0.010, 0.012), (0.03, 0.04)), ((0.012, 0.014), (0.03, 0.04))])
    maps = q_maps(GISAXS)
    q_par, q_z = np.abs(maps.q_par) / 1e10, maps.q_z / 1e10
    expected = np.zeros(GISAXS.shape, np.int32)
    for number, low in ((1, 0.010), (2, 0.012)):
        expected[(q_par >= low) & (q_par < low + 0.002) & (q_z >= 0.03) & (q_z < 0.04)] = number
    np.testing.assert_array_equal(rois.labels, expected)
    assert rois.labels.dtype == np.int32
    assert rois.names == ("q=0.011", "q=0.013")
    for index in range(2):
        assert rois.q_par[index] == pytest.approx(np.abs(maps.q_par[expected == index + 1]).mean(), rel=1e-12)
        assert rois.q_z[index] == pytest.approx(maps.q_z[expected == index + 1].mean(), rel=1e-12)
    assert rois.pixels.tolist() == [np.count_nonzero(expected == 1), np.count_nonzero(expected == 2)]
    assert rois.flags == ((), ())


def test_all_ways_to_write_a_box_are_one():
    pair = ((0.01, 0.02), (0.03, 0.04))
    mapping = {"q_par": [0.01, 0.02], "q_z": [0.03, 0.04]}
    ways = [pair, np.array(pair), mapping, QBox(q_par=(0.01, 0.02), q_z=(0.03, 0.04))]
    images = [gbx.q_rois(GISAXS, boxes=[way]).labels for way in ways]
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


def test_sides_are_as_seen_from_the_sample_and_make_up_both():
    box = {"q_par": (0.0, 0.02), "q_z": (0.03, 0.04)}
    both, left, right = (gbx.q_rois(GISAXS, boxes=[{**box, "side": side}]) for side in ("both", "left", "right"))
    np.testing.assert_array_equal(left.labels + right.labels, both.labels)
    assert np.nonzero(left.labels)[1].max() == 102
    assert np.nonzero(right.labels)[1].min() == 103
    flipped = gbx.q_rois(GISAXS.with_changes(flip_x=True), boxes=[{**box, "side": "left"}])
    assert np.nonzero(flipped.labels)[1].min() == 104
    assert left.q_par[0] == pytest.approx(flipped.q_par[0], rel=1e-9)
    assert left.q_par[0] > 0


def test_adjacent_rings_share_no_pixel_and_leave_none_out():
    edges = np.linspace(0.0, 0.03, 7)
    rois = gbx.q_rois(SAXS, rings=[{"q": edge} for edge in itertools.pairwise(edges)])
    np.testing.assert_array_equal(rois.labels > 0, q_maps(SAXS).q < 0.03e10)
    assert len(rois) == 6
    assert (np.diff(rois.q_par) > 0).all()
    np.testing.assert_array_equal(rois.q_z, 0.0)


def test_a_pixel_on_an_edge_belongs_to_the_upper_ring():
    q = q_maps(SAXS).q
    on_edge = np.argwhere((q / 1e10 * 1e10 == q) & (q > 0.01e10) & (q < 0.02e10))[0]
    edge = float(q[tuple(on_edge)]) / 1e10
    rois = gbx.q_rois(SAXS, rings=[{"q": (0.005, edge)}, {"q": (edge, 0.03)}])
    assert rois.labels[tuple(on_edge)] == 2


def test_a_ring_in_gisaxs_tells_both_components():
    rois = gbx.q_rois(GISAXS, rings=[{"q": (0.030, 0.032)}])
    maps = q_maps(GISAXS)
    pixels = rois.labels == 1
    assert rois.q_par[0] == pytest.approx(np.abs(maps.q_par[pixels]).mean(), rel=1e-12)
    assert rois.q_z[0] == pytest.approx(maps.q_z[pixels].mean(), rel=1e-12)


def directions(rois) -> tuple[float, float]:
    """Mean column and row of the first ROI, from the beam."""
    rows, columns = np.nonzero(rois.labels == 1)
    return float(columns.mean()) - 103.0, float(rows.mean()) - 108.0


@pytest.mark.parametrize(
    ("azimuth", "towards"),
    [((-30, 30), (1, 0)), ((330, 390), (1, 0)), ((60, 120), (0, 1)), ((150, 210), (-1, 0)), ((170, -170), (-1, 0))],
)
def test_a_sector_points_where_its_azimuth_says(azimuth, towards):
    column, row = directions(gbx.q_rois(SAXS, rings=[{"q": (0.02, 0.025), "azimuth": azimuth}]))
    length = math.hypot(column, row)
    assert (column / length, row / length) == pytest.approx(towards, abs=0.02)


def test_sectors_make_up_the_ring_and_symmetric_adds_the_opposite_one():
    ring = {"q": (0.02, 0.025)}
    whole = gbx.q_rois(SAXS, rings=[ring])
    quarters = gbx.q_rois(SAXS, rings=[{**ring, "azimuth": (a, a + 90)} for a in (-45, 45, 135, 225)])
    np.testing.assert_array_equal(quarters.labels > 0, whole.labels > 0)
    assert len(set(quarters.names)) == 4
    pair = gbx.q_rois(SAXS, rings=[{**ring, "azimuth": (45, 135), "symmetric": True}])
    np.testing.assert_array_equal(pair.labels > 0, (quarters.labels == 2) | (quarters.labels == 4))
    turn = gbx.q_rois(SAXS, rings=[{**ring, "azimuth": (-180, 180)}])
    np.testing.assert_array_equal(turn.labels, whole.labels)


def test_names_are_told_apart_or_taken_as_given():
    boxes = [
        {"q_par": (0.01, 0.02), "q_z": (0.03, 0.04)},
        {"q_par": (0.01, 0.02), "q_z": (0.04, 0.05), "side": "left"},
        {"q_par": (0.02, 0.03), "q_z": (0.03, 0.04), "name": "far"},
    ]
    assert gbx.q_rois(GISAXS, boxes=boxes).names == (
        "q=0.01..0.02 q_z=0.03..0.04",
        "q=0.01..0.02 q_z=0.04..0.05 left",
        "far",
    )
    assert gbx.q_rois(GISAXS, boxes=boxes, names=["a", "b", "c"]).names == ("a", "b", "c")
    with pytest.raises(RoiError, match="2 names for 3 q-ROIs"):
        gbx.q_rois(GISAXS, boxes=boxes, names=["a", "b"])
    with pytest.raises(RoiError, match="several q-ROIs called 'a'"):
        gbx.q_rois(GISAXS, boxes=boxes, names=["a", "b", "a"])


def test_q_is_that_of_the_used_pixels_while_labels_keep_all():
    box = ((0.010, 0.020), (0.03, 0.04))
    mask = np.abs(q_maps(GISAXS).q_par) < 0.015e10
    masked, whole = gbx.q_rois(GISAXS, boxes=[box], mask=mask), gbx.q_rois(GISAXS, boxes=[box])
    np.testing.assert_array_equal(masked.labels, whole.labels)
    half = gbx.q_rois(GISAXS, boxes=[((0.010, 0.015), (0.03, 0.04))])
    assert masked.q_par[0] == pytest.approx(half.q_par[0], rel=1e-12)


def test_a_wholly_masked_roi_is_refused_with_its_pixels():
    labels = np.zeros(SAXS.shape, int)
    labels[:3, :4] = 1
    labels[10, 10] = 2
    mask = labels != 1
    with pytest.raises(RoiError) as caught:
        gbx.q_rois(SAXS, labels=labels, mask=mask, names=["corner", "dot"])
    assert str(caught.value) == (
        "all 12 pixels of the q-ROI 'corner' are masked; needed: at least one pixel that is used; "
        "move the q-ROI, or check the mask (in GBX True = used)."
    )


@pytest.mark.parametrize("mask", [np.ones((3, 3), bool), np.ones(SAXS.shape, np.uint8)])
def test_a_mask_of_another_kind_is_refused(mask):
    with pytest.raises(RoiError, match=r"a mask of shape .* needed: \(216, 207\) bool, True = used"):
        gbx.q_rois(SAXS, rings=[{"q": (0.01, 0.02)}], mask=mask)


def test_overlap_names_both():
    boxes = [((0.01, 0.02), (0.03, 0.04)), ((0.019, 0.024), (0.03, 0.04)), ((0.001, 0.003), (0.03, 0.04))]
    with pytest.raises(RoiError, match=r"the q-ROIs 'q=0.015' and 'q=0.0215' share \d+ pixels; .*do not overlap"):
        gbx.q_rois(GISAXS, boxes=boxes)
    with pytest.raises(RoiError, match=r"'q=0.01..0.02' and 'q=0.01..0.02 \(2\)' share"):
        gbx.q_rois(SAXS, rings=[{"q": (0.01, 0.02)}, {"q": (0.01, 0.02)}])


def test_off_the_detector_tells_what_it_covers():
    with pytest.raises(RoiError) as caught:
        gbx.q_rois(GISAXS, boxes=[((0.03, 0.06), (0.275, 0.3))])
    maps = q_maps(GISAXS)
    low, high = maps.q_z.min() / 1e10, maps.q_z.max() / 1e10
    assert str(caught.value) == (
        "the q-ROI 'q=0.045' (q_par 0.03..0.06, q_z 0.275..0.3 1/Angstrom) lies off the detector; needed: what the "
        f"detector covers, q_par from {maps.q_par.min() / 1e10:.4g} to {maps.q_par.max() / 1e10:.4g}, q_z from "
        f"{low:.4g} to {high:.4g} 1/Angstrom (q_par < 0 is on the left); "
        "the values look like 1/nm: write q_par 0.003..0.006, q_z 0.0275..0.03 1/Angstrom."
    )


def test_far_off_the_detector_hints_at_no_unit():
    with pytest.raises(RoiError, match=r"q from 0 to .*; move the q-ROI, or correct the geometry"):
        gbx.q_rois(SAXS, rings=[{"q": (5.0, 6.0)}])


def test_an_absent_side_is_off_the_detector_but_in_no_other_unit():
    left_edge = SAXS.with_changes(beam_center_x=-10.0)
    with pytest.raises(RoiError, match=r"azimuth 150..210 degrees\) lies off the detector.*; move the q-ROI"):
        gbx.q_rois(left_edge, rings=[{"q": (0.02, 0.03), "azimuth": (150, 210)}])
    with pytest.raises(RoiError, match=r"1/Angstrom on the left\) lies off the detector.*; move the q-ROI"):
        gbx.q_rois(
            GISAXS.with_changes(beam_center_x=-10.0),
            boxes=[{"q_par": (0.02, 0.03), "q_z": (0.03, 0.04), "side": "left"}],
        )


def test_a_roi_between_pixel_centres_is_told_the_size_of_a_pixel():
    with pytest.raises(
        RoiError, match=r"holds no pixel centre; .*widen q to a pixel or more, about 0.00036 1/Angstrom"
    ):
        gbx.q_rois(SAXS, rings=[{"q": (0.0001, 0.0002)}])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"boxes": [((1e8, 2e8), (3e8, 4e8))]},
            r"q_par = \(1e\+08, 2e\+08\) cannot be in .*1/m; .* write \(0.01, 0.02\)",
        ),
        ({"boxes": [((0.01, 0.02), (3e8, 4e8))]}, r"q_z = .* it looks like 1/m; .* write \(0.03, 0.04\)"),
        ({"rings": [{"q": [1e8, 2e8]}]}, r"q = .* it looks like 1/m; .* write \(0.01, 0.02\)"),
    ],
)
def test_values_in_inverse_metres_are_refused_with_the_fix(given, text):
    with pytest.raises(UnitError, match=text):
        gbx.q_rois(GISAXS, **given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "no q-ROIs; needed: one of boxes, rings and labels"),
        ({"boxes": [], "rings": []}, "q-ROIs as boxes and rings; needed: one of"),
        ({"boxes": []}, "boxes is empty"),
        ({"boxes": ((0.01, 0.02), (0.03, 0.04))}, r"\(0.01, 0.02\) is no box; .*also for a single one"),
        ({"boxes": ["inner"]}, "'inner' is no box"),
        ({"boxes": [((-0.02, 0.02), (0.03, 0.04))]}, r"an interval of \|q_par\|.*side: left"),
        ({"boxes": [((0.02, 0.01), (0.03, 0.04))]}, "q_par: the lower end 0.02 must be below the upper end 0.01"),
        ({"boxes": [((0.01, math.nan), (0.03, 0.04))]}, "should be a finite number"),
        ({"boxes": [{"q_par": (0.01, 0.02), "qz": (0.03, 0.04)}]}, "q_z: Field required; qz: Extra inputs"),
        ({"rings": [(0.01, 0.02)]}, r"\(0.01, 0.02\) is no QRing; needed: a mapping with the keys"),
        ({"rings": [{"q": (0.01, 0.02), "azimuth": (30, 30)}]}, "a sector from azimuth 30 to 30 degrees holds nothing"),
    ],
)
def test_what_is_no_region_is_refused(given, text):
    with pytest.raises(RoiError, match=text):
        gbx.q_rois(GISAXS, **given)


def test_boxes_need_gisaxs_and_regions_a_whole_geometry():
    with pytest.raises(RoiError, match=r"boxes in .* on a transmission geometry; .*analysis.geometry.mode to gisaxs"):
        gbx.q_rois(SAXS, boxes=[((0.01, 0.02), (0.03, 0.04))])
    with pytest.raises(
        GeometryError, match=r"lacks distance, incidence; .*distance_m, analysis.geometry.incidence_deg"
    ):
        gbx.q_rois(GISAXS.with_changes(distance=None, incidence=None), boxes=[((0.01, 0.02), (0.03, 0.04))])


def test_a_configuration_draws_the_same_rois():
    box, ring = QBox(q_par=(0.01, 0.02), q_z=(0.03, 0.04), name="a"), QRing(q=(0.01, 0.02))
    from_box = rois_from_config(GISAXS, RoiConfig(boxes=(box,)))
    np.testing.assert_array_equal(from_box.labels, gbx.q_rois(GISAXS, boxes=[box]).labels)
    assert from_box.names == ("a",)
    mask = q_maps(SAXS).q < 0.015e10
    from_ring = rois_from_config(SAXS, RoiConfig(rings=(ring,)), mask=mask)
    assert from_ring.q_par[0] == gbx.q_rois(SAXS, rings=[ring], mask=mask).q_par[0] < 0.015e10
    with pytest.raises(RoiError, match=r"no q-ROI is configured; needed: boxes, rings, .*samples.<name>.rois"):
        rois_from_config(SAXS, RoiConfig())
