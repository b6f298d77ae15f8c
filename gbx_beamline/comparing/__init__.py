"""Scans side by side: is it the sample, the beam or the instrument?

``compare`` looks at scans of one sample under different beam, ``floor_beside`` at a scan and a static reference. Both
take what is measured already and subtract nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.comparing._beam import dose_rate_unknown as dose_rate_unknown
    from gbx_beamline.comparing._comparison import compare as compare
    from gbx_beamline.comparing._comparison import compare_facts as compare_facts
    from gbx_beamline.comparing._curves import Curves as Curves
    from gbx_beamline.comparing._curves import curves_of as curves_of
    from gbx_beamline.comparing._instrument import Loss as Loss
    from gbx_beamline.comparing._instrument import floor_beside as floor_beside
    from gbx_beamline.comparing._instrument import loss_of_contrast as loss_of_contrast
    from gbx_beamline.comparing._instrument import why_not_beside as why_not_beside
    from gbx_beamline.comparing._refusals import in_one_geometry as in_one_geometry

_HOMES = {
    "Curves": "_curves",
    "Loss": "_instrument",
    "compare": "_comparison",
    "compare_facts": "_comparison",
    "curves_of": "_curves",
    "dose_rate_unknown": "_beam",
    "floor_beside": "_instrument",
    "in_one_geometry": "_refusals",
    "loss_of_contrast": "_instrument",
    "why_not_beside": "_instrument",
}

__all__ = [
    "Curves",
    "Loss",
    "compare",
    "compare_facts",
    "curves_of",
    "dose_rate_unknown",
    "floor_beside",
    "in_one_geometry",
    "loss_of_contrast",
    "why_not_beside",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
