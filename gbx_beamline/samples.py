"""Changing what the catalog keeps of a sample: mask, q-ROIs, geometry, each time as a new version with its reason."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import GeometryConfig, MaskConfig, RoiConfig, SampleConfig
from gbx_beamline.errors import InputError

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, RecordSummary, SampleVersion

USER_VARIABLE = "GBX_USER"
"""Names who changes a sample, where a beamline's account is everybody's."""

Part = Literal["geometry", "rois", "mask"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to hold from now on; what is absent stays as it is."""

    geometry: GeometryConfig | None = None
    """Value by value."""
    rois: RoiConfig | None = None
    """In place of those before; boxes or rings."""
    labels: NDArray[Any] | None = None
    """(y, x) label image, 0 = outside, in place of other q-ROIs; goes into the catalog."""
    mask: NDArray[Any] | None = None
    """(y, x), in place of the one before; goes into the catalog."""
    true_means: Literal["good", "bad"] = "good"
    """What True stands for in ``mask``."""
    forget: tuple[Part, ...] = ()
    """Parts that are as configured again."""


def who_asks(given: str | None = None) -> str:
    """Who changes something: as given, else GBX_USER, else the account.

    Raises:
        InputError: nobody knows.
    """
    try:
        name = given or os.environ.get(USER_VARIABLE) or getpass.getuser()
    except (KeyError, OSError):
        name = ""
    if not name.strip():
        raise InputError(
            "nobody is named",
            needed="who makes the change, for its history",
            action=f"add --who NAME or set {USER_VARIABLE}",
        )
    return name.strip()


def change_sample(
    catalog: Catalog, sample: str, change: Change, *, who: str, why: str, like: int | None = None
) -> SampleVersion:
    """Make a new version of what the catalog keeps of a sample. Earlier ones stay, and results made with them.

    Args:
        catalog: Where it is kept.
        sample: Name of the sample.
        change: What is to be different.
        who: Who makes the change.
        why: Why, in words.
        like: Number of the version that the change is made to; None = the latest.

    Returns:
        The new version.

    Raises:
        InputError: nothing changes, no reason, or arrays that do not fit the sample's scans.
        RunNotFoundError: no such version.
        CatalogError: the catalog is unreachable, or somebody made a version meanwhile.
    """
    from gbx_beamline.catalog import SampleVersion, TiledSink, find_records, sample_versions, version_of
    from gbx_beamline.catalog.samples import LABELS, MASK, array_path

    _check_words(sample, why)
    versions = sample_versions(catalog, sample)
    latest = versions[-1].settings if versions else SampleConfig()
    base = latest if like is None else version_of(catalog, sample, like).settings
    scans = [one for one in find_records(catalog, sample=sample) if not one.failed]
    arrays = _new_arrays(catalog, base, change, scans[-1] if scans else None)

    def settings(attempt: str) -> SampleConfig:
        paths = {name: array_path(catalog, attempt, name) for name in arrays}
        return _changed(base, change, mask=paths.get(MASK), labels=paths.get(LABELS))

    if not arrays and settings("") == latest:
        raise InputError(
            f"nothing of sample {sample!r} changes" + (f" against version {versions[-1].number}" if versions else ""),
            needed="a mask, q-ROIs or a geometry that are others than before",
            action="look at what holds with `gbx sample show NAME`",
        )
    number, now = len(versions) + 1, time.time()
    return TiledSink(catalog).publish_sample(
        lambda attempt: SampleVersion(
            sample=sample, number=number, settings=settings(attempt), who=who, when=now, why=why
        ),
        arrays,
        access_tags=tuple(scans[-1].metadata["access_tags"]) if scans else (),
    )


def _check_words(sample: str, why: str) -> None:
    for what, said in (("name of the sample", sample), ("reason", why)):
        if not said.strip():
            raise InputError(f"an empty {what}", needed="some words", action=f"give the {what}")


def _new_arrays(
    catalog: Catalog, base: SampleConfig, change: Change, scan: RecordSummary | None
) -> dict[str, NDArray[Any]]:
    """Arrays to be kept, by name: those that differ from what is kept already."""
    from gbx_beamline.catalog.samples import LABELS, MASK

    kept = {
        MASK: None if base.mask is None else base.mask.catalog_mask,
        LABELS: None if base.rois is None else base.rois.catalog_labels,
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in ((MASK, change.mask), (LABELS, change.labels)):
        if array is None:
            continue
        _check_array(name, array, scan)
        path = kept[name]
        if path is None or not np.array_equal(catalog.array(path), array):
            arrays[name] = array
    return arrays


def _check_array(name: str, array: NDArray[Any], scan: RecordSummary | None) -> None:
    if array.ndim != 2 or array.dtype.kind not in "bui" or not array.size:
        raise InputError(
            f"a {name} of shape {array.shape} and dtype {array.dtype}",
            needed="(y, x) booleans or integers",
            action="save the image of one detector",
        )
    if not array.any():
        raise InputError(f"a {name} that is 0 everywhere", needed="some pixels that are not", action="check the file")
    shape = None if scan is None else tuple(scan.metadata["geometry"]["shape"])
    # An imported map has no detector.
    if shape is not None and shape != (1, 1) and shape != array.shape:
        raise InputError(
            f"a {name} of {array.shape[0]} x {array.shape[1]} pixels",
            needed=f"{shape[0]} x {shape[1]}, as the sample's newest scan ({scan.run_uid[:8] if scan else ''}) has",
            action="draw it on a frame of this detector",
        )


def _changed(base: SampleConfig, change: Change, *, mask: str | None, labels: str | None) -> SampleConfig:
    parts: dict[str, Any] = {name: value for name, value in base if name not in change.forget}
    if change.geometry is not None:
        before = parts.get("geometry")
        stated = change.geometry.model_dump(exclude_none=True)
        known = {} if before is None else before.model_dump(exclude_none=True)
        parts["geometry"] = GeometryConfig.model_validate({**known, **stated})
    if change.rois is not None:
        parts["rois"] = change.rois
    if labels is not None:
        parts["rois"] = RoiConfig(catalog_labels=labels)
    if mask is not None:
        parts["mask"] = MaskConfig(catalog_mask=mask, true_means=change.true_means)
    elif change.mask is not None and base.mask is not None:
        parts["mask"] = base.mask.model_copy(update={"true_means": change.true_means})
    return SampleConfig(**{name: value for name, value in parts.items() if value is not None})


_GEOMETRY = {
    "mode": ("mode", ""),
    "beam_center_x": ("beam centre x", " pixels"),
    "beam_center_y": ("beam centre y", " pixels"),
    "distance_m": ("distance", " m"),
    "wavelength_angstrom": ("wavelength", " Å"),
    "pixel_size_um": ("pixel size", " um"),
    "incidence_deg": ("incidence", " deg"),
    "critical_angle_deg": ("critical angle", " deg"),
    "tilt_deg": ("tilt", " deg"),
    "flip_x": ("flip x", ""),
    "flip_y": ("flip y", ""),
}
"""Names and units for people."""


def in_words(settings: SampleConfig) -> dict[str, str]:
    """What is kept, part by part, for people; q in 1/Angstrom."""
    said: dict[str, str] = {}
    if settings.geometry is not None:
        for name, value in settings.geometry.model_dump(exclude_none=True).items():
            what, unit = _GEOMETRY[name]
            said[what] = f"{value}{unit}"
    if settings.rois is not None:
        said["q-ROIs"] = _rois_in_words(settings.rois)
    if settings.mask is not None:
        said["mask"] = f"{settings.mask.catalog_mask or settings.mask.file}, True means {settings.mask.true_means}"
    return said


def _rois_in_words(rois: RoiConfig) -> str:
    boxes = [
        f"{box.name or f'box {number}'} q_par {box.q_par[0]:g}:{box.q_par[1]:g} q_z {box.q_z[0]:g}:{box.q_z[1]:g}"
        for number, box in enumerate(rois.boxes, start=1)
    ]
    rings = [
        f"{ring.name or f'ring {number}'} q {ring.q[0]:g}:{ring.q[1]:g}"
        for number, ring in enumerate(rois.rings, start=1)
    ]
    return "; ".join([*boxes, *rings]) or f"label image {rois.catalog_labels or rois.labels}"


def differences(before: SampleConfig | None, after: SampleConfig) -> list[str]:
    """What one version changed against the one before, in words."""
    old: Mapping[str, str] = {} if before is None else in_words(before)
    new = in_words(after)
    gone = [f"{name}: as configured again" for name in old if name not in new]
    return [f"{name}: {said}" for name, said in new.items() if old.get(name) != said] + gone
