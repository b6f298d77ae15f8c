"""q-ROIs as one label image, from boxes, rings and sectors, or an image somebody drew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.config import QBox, QRing, RoiConfig
from gbx_beamline.errors import RoiError
from gbx_beamline.frames.numpy_files import read_array
from gbx_beamline.geometry.flags import flags_of
from gbx_beamline.geometry.label_images import check_labels
from gbx_beamline.geometry.maps import QMaps, q_maps
from gbx_beamline.geometry.off_detector import refuse_empty
from gbx_beamline.geometry.regions import BoxLike, RingLike, as_boxes, as_rings, inside, names_of
from gbx_beamline.geometry.settings import check_possible, missing_values
from gbx_beamline.records import Bools, Geometry, Labels, RoiSet


def q_rois(
    geometry: Geometry,
    *,
    boxes: Iterable[BoxLike] | None = None,
    rings: Iterable[RingLike] | None = None,
    labels: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> RoiSet:
    """q-ROIs of one kind as a label image.

    Args:
        geometry: Where the beam and the detector are. For ``labels`` it may be incomplete; q is then NaN.
        boxes: ``QBox``, mappings with its keys, or ``((q_par_low, q_par_high), (q_z_low, q_z_high))``;
            1/Angstrom, ``low <= |q_par| < high``. GISAXS only.
        rings: ``QRing`` or mappings with its keys; 1/Angstrom, sectors in degrees.
        labels: (y, x) integers, 0 = outside, 1..Q without a hole.
        mask: (y, x) bool, True = used. The labels keep masked pixels; q and flags are of the used ones.
        names: (Q,) different names; the default is made of each region's q, such as ``q=0.045``.

    Returns:
        Labels (y, x) int32; q_par (mean of its modulus) and q_z, (Q,) float64, 1/m; flags.

    Raises:
        GeometryError: a value is absent (all are named) or impossible.
        RoiError: not exactly one kind; a ROI off the detector, wholly masked or overlapping another;
            a label image or mask of wrong shape or type; names that do not fit.
        UnitError: values that look like 1/m.
    """
    kinds = [kind for kind, given in (("boxes", boxes), ("rings", rings), ("labels", labels)) if given is not None]
    if len(kinds) != 1:
        raise RoiError(
            f"q-ROIs as {' and '.join(kinds)}" if kinds else "no q-ROIs",
            needed="one of boxes, rings and labels",
            action="give exactly one of them",
        )
    used = _checked_mask(mask, geometry.shape)
    if labels is not None:
        image = check_labels(labels, geometry.shape)
        default = tuple(f"label {number}" for number in range(1, int(image.max()) + 1))
        check_possible(geometry)
        maps = None if missing_values(geometry) else q_maps(geometry)
        return _roi_set(geometry, maps, image, used, _checked_names(names, default))
    regions: Sequence[QBox | QRing] = as_boxes(boxes) if boxes is not None else as_rings(rings or ())
    if not regions:
        raise RoiError(f"{kinds[0]} is empty", needed="at least one q-ROI", action=f"add one to {kinds[0]}")
    if boxes is not None and geometry.mode != "gisaxs":
        raise RoiError(
            "boxes in (q_par, q_z) on a transmission geometry",
            needed="rings in |q|",
            action="give rings, or set analysis.geometry.mode to gisaxs",
        )
    maps = q_maps(geometry)
    checked = _checked_names(names, names_of(regions))
    return _roi_set(geometry, maps, _drawn(geometry, maps, regions, checked), used, checked)


def rois_from_config(
    geometry: Geometry,
    config: RoiConfig,
    *,
    mask: ArrayLike | None = None,
    read_catalog_array: Callable[[str], NDArray[Any]] | None = None,
) -> RoiSet:
    """The q-ROIs that a configuration describes.

    Args:
        geometry: Where the beam and the detector are.
        config: Boxes, rings, a label file or a label array in the catalog.
        mask: (y, x) bool, True = used.
        read_catalog_array: Reads the array at a path of the catalog; needed for ``catalog_labels`` only.

    Raises:
        RoiError: nothing is configured, a label file cannot be read, the catalog is needed and absent,
            and whatever ``q_rois`` refuses.
        GeometryError, UnitError: as ``q_rois``.
    """
    if config.boxes:
        return q_rois(geometry, boxes=config.boxes, mask=mask)
    if config.rings:
        return q_rois(geometry, rings=config.rings, mask=mask)
    if config.labels is not None:
        return q_rois(
            geometry, labels=read_array(config.labels, key="labels", what="label image", error=RoiError), mask=mask
        )
    if config.catalog_labels is None:
        raise RoiError(
            "no q-ROI is configured",
            needed="boxes, rings, labels or catalog_labels",
            action="add one to analysis.rois in the configuration, or to samples.<name>.rois",
        )
    if read_catalog_array is None:
        raise RoiError(
            f"the label image {config.catalog_labels!r} lies in the catalog, and no catalog is open",
            needed="a connection to Tiled",
            action="set catalog.uri in the configuration, or give the image as a file in analysis.rois.labels",
        )
    return q_rois(geometry, labels=read_catalog_array(config.catalog_labels), mask=mask)


def _drawn(geometry: Geometry, maps: QMaps, regions: Sequence[QBox | QRing], names: Sequence[str]) -> Labels:
    image = np.zeros(geometry.shape, dtype=np.int32)
    for number, (region, name) in enumerate(zip(regions, names, strict=True), start=1):
        pixels = inside(region, maps)
        if not pixels.any():
            refuse_empty(geometry, maps, region, name)
        shared = image[pixels]
        if shared.any():
            other = int(shared.max())
            raise RoiError(
                f"the q-ROIs {names[other - 1]!r} and {name!r} share {np.count_nonzero(shared == other)} pixels",
                needed="q-ROIs that do not overlap, because one label image holds them all",
                action="move their edges apart, or analyse them in two runs",
            )
        image[pixels] = number
    return image


def _roi_set(geometry: Geometry, maps: QMaps | None, image: Labels, used: Bools | None, names: Sequence[str]) -> RoiSet:
    kept = image if used is None else np.where(used, image, 0)
    total = np.bincount(image.ravel(), minlength=len(names) + 1)[1:]
    count = np.bincount(kept.ravel(), minlength=len(names) + 1)[1:]
    for name, before, after in zip(names, total, count, strict=True):
        if after == 0:
            raise RoiError(
                f"all {before} pixels of the q-ROI {name!r} are masked",
                needed="at least one pixel that is used",
                action="move the q-ROI, or check the mask (in GBX True = used)",
            )
    if maps is None:
        unknown = np.full(len(names), np.nan)
        q_par, q_z, flags = unknown, unknown.copy(), ((),) * len(names)
    else:
        q_par = _means(np.abs(maps.q_par), kept, count)
        q_z = _means(maps.q_z, kept, count)
        flags = tuple(flags_of(geometry, maps, kept == number) for number in range(1, len(names) + 1))
    return RoiSet(labels=image, names=tuple(names), q_par=q_par, q_z=q_z, flags=flags)


def _means(values: NDArray[np.float64], labels: Labels, count: NDArray[np.int64]) -> NDArray[np.float64]:
    inside_any = labels > 0
    return np.bincount(labels[inside_any], weights=values[inside_any], minlength=count.size + 1)[1:] / count


def _checked_mask(mask: ArrayLike | None, shape: tuple[int, int]) -> Bools | None:
    if mask is None:
        return None
    image = np.asarray(mask)
    if image.shape != tuple(shape) or image.dtype != np.bool_:
        raise RoiError(
            f"a mask of shape {image.shape} and type {image.dtype}",
            needed=f"{tuple(shape)} bool, True = used",
            action="give the mask of this detector, converted with mask.astype(bool)",
        )
    return image


def _checked_names(names: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    chosen = default if names is None else tuple(names)
    if len(chosen) != len(default):
        raise RoiError(
            f"{len(chosen)} names for {len(default)} q-ROIs", needed="one name per q-ROI", action="correct names"
        )
    twice = [name for name, times in Counter(chosen).items() if times > 1]
    if twice:
        raise RoiError(
            f"several q-ROIs called {', '.join(map(repr, twice))}",
            needed="different names",
            action="rename all but one of each",
        )
    return chosen
